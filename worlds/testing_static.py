"""Checks of a world at rest: how it is declared, and what its spaces say."""

import dataclasses
import typing
from collections.abc import Iterator
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces

from worlds.spaces import AnyText, batch_of
from worlds.tree import as_arrays, is_provided, static_fields
from worlds.world import World

__all__ = ["FloatLeaf", "check_declaration", "check_spaces", "float_leaves"]

_MOST_SLOTS = 64  # slots whose spaces are compared


@dataclasses.dataclass(frozen=True)
class FloatLeaf:
    """A float parameter of a world."""

    name: str

    def scaled(self, world: Any, factor: float) -> Any:
        """The world with another value."""

        def scale(leaf: Any) -> Any:
            return leaf * np.asarray(leaf).dtype.type(factor)

        changed = jax.tree.map(scale, getattr(world, self.name))
        return dataclasses.replace(world, **{self.name: changed})


def check_declaration(world: World[Any]) -> None:
    """Frozen, a pytree, floats as leaves, size provided, parameters sound."""
    cls, name = type(world), type(world).__name__
    assert isinstance(world, World), f"{name} is no subclass of worlds.world.World"
    assert dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen, (  # type: ignore[attr-defined]
        f"{name} is no frozen dataclass; decorate it with @worlds.tree.pytree"
    )
    leaves, form = jax.tree.flatten(world)
    assert not (len(leaves) == 1 and leaves[0] is world), (
        f"{name} is not registered with JAX; decorate it with @worlds.tree.pytree"
    )
    assert type(jax.tree.unflatten(form, leaves)) is cls, f"{name} does not survive flattening"
    fields = {field.name: field for field in dataclasses.fields(cls)}
    assert "num_slots" in fields and is_provided(fields["num_slots"]), (
        f"{name}.num_slots must be declared as `num_slots: int = provided(default)`"
    )
    assert isinstance(world.num_slots, int) and world.num_slots >= 1, (
        f"{name}.num_slots is {world.num_slots!r}; it is a Python int of at least 1"
    )
    _check_fields(world, fields)
    assert world.backend in ("jax", "host"), f"{name}.backend is {world.backend!r}: jax or host"
    horizon = world.horizon
    assert horizon is None or (isinstance(horizon, int) and horizon >= 1), (
        f"{name}.horizon is {horizon!r}; it is a Python int of at least 1, or None"
    )
    assert isinstance(world.ends_early, bool), f"{name}.ends_early must be a Python bool"
    world.check_params()
    as_arrays(world)


def _check_fields(world: World[Any], fields: dict[str, Any]) -> None:
    name, hints = type(world).__name__, typing.get_type_hints(type(world))
    static = static_fields(type(world))
    for field in fields.values():
        value = getattr(world, field.name)
        if field.name in static:
            try:
                hash(value)
            except TypeError:
                raise AssertionError(
                    f"{name}.{field.name} is static but holds {value!r:.60}, which cannot be "
                    "hashed; use tuples instead of lists and dicts"
                ) from None
            assert hints[field.name] is not float, (
                f"{name}.{field.name} is a float but static, so every value compiles anew; "
                "leave `static` away"
            )
        else:
            texts = [leaf for leaf in jax.tree.leaves(value) if isinstance(leaf, str)]
            assert not texts or world.backend == "host", (
                f"{name}.{field.name} is a leaf but holds the text {texts[0]!r}; annotate it "
                "as str, a Literal or a tuple of str"
            )


def check_spaces(world: World[Any]) -> None:
    """All slots share shapes and dtypes; the no-op is an action of every slot."""
    name, num = type(world).__name__, world.num_slots
    for kind in (world.observation_space, world.action_space):
        first = kind(0)
        assert isinstance(first, gymnasium.Space), (
            f"{name}.{kind.__name__} returns {first!r:.60}, which is no gymnasium.Space"
        )
        for slot in range(1, min(num, _MOST_SLOTS)):
            assert _form(kind(slot)) == _form(first), (
                f"{name}.{kind.__name__}({slot}) is {kind(slot)} but that of slot 0 is {first}; "
                "all slots share shapes and dtypes, roles differ through legal and bounds"
            )
    noop = world.noop()
    if world.backend == "jax":
        for leaf in jax.tree.leaves(noop):
            assert np.ndim(leaf) >= 1 and np.shape(leaf)[0] == num, (
                f"{name}.noop() holds an array of shape {list(np.shape(leaf))}; it has one row "
                f"for each of the {num} slots"
            )
        noop = jax.device_get(noop)
    rows = [_row(noop, slot) for slot in range(min(num, _MOST_SLOTS))]
    for slot, row in enumerate(rows):
        assert _contains(world.action_space(slot), row), (
            f"{name}.noop() does {row!r:.80} in slot {slot}, which is not in its action space "
            f"{world.action_space(slot)}"
        )
    assert _fits(world, noop), (
        f"{name}.noop() and action_space have different structures; actions are written over "
        "the rows of noop()"
    )


def float_leaves(world: World[Any]) -> list[FloatLeaf]:
    """The float parameters of a world (not the arrays that a builder provides)."""
    return list(_float_leaves(world))


def _float_leaves(world: World[Any]) -> Iterator[FloatLeaf]:
    static = static_fields(type(world))
    for field in dataclasses.fields(type(world)):  # type: ignore[arg-type]
        value = getattr(world, field.name)
        if field.name in static or is_provided(field) or value is None:
            continue
        floats = [np.asarray(leaf).dtype.kind == "f" for leaf in jax.tree.leaves(value)]
        if floats and all(floats):
            yield FloatLeaf(field.name)


def _form(space: gymnasium.Space[Any]) -> Any:
    if isinstance(space, spaces.Dict):
        return {name: _form(part) for name, part in space.items()}
    if isinstance(space, spaces.Tuple):
        return [_form(part) for part in space.spaces]
    return type(space), space.shape, space.dtype


def _row(noop: Any, slot: int) -> Any:
    if isinstance(noop, dict):
        return {name: _row(part, slot) for name, part in noop.items()}
    if isinstance(noop, tuple) and hasattr(noop, "_fields"):
        return _row(dict(zip(noop._fields, noop, strict=True)), slot)  # type: ignore[attr-defined]
    return noop[slot] if isinstance(noop, list | tuple) else noop[slot, ...]


def _contains(space: gymnasium.Space[Any], row: Any) -> bool:
    if isinstance(space, spaces.Dict):
        return isinstance(row, dict) and all(_contains(space[name], row[name]) for name in row)
    if isinstance(space, AnyText) or isinstance(row, str):
        return space.contains(row)
    array = np.asarray(row)
    if array.shape != (space.shape or ()):
        return False
    if isinstance(space, spaces.Discrete):
        return array.dtype.kind in "iu" and space.contains(np.int64(array))
    return space.contains(array.astype(space.dtype))


def _fits(world: World[Any], noop: Any) -> bool:
    rows = [world.action_space(slot).sample() for slot in range(world.num_slots)]
    try:
        batch_of(noop, range(world.num_slots), rows)
    except (TypeError, ValueError, KeyError, AttributeError, IndexError):
        return False
    return True
