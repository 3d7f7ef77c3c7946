"""Views as rows of numbers: what a network is shown of an observation space.

A view is a pytree with one leaf for each part of the space. Small integers become one-hot,
large or real numbers stay numbers, unbounded ones are squashed. Which it is depends on the
space alone, so an encoding is a tuple of ``Column``, static and hashable.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import gymnasium
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from worlds.spaces import part_of
from worlds.types import Array

__all__ = ["Column", "columns_of", "encode", "heard", "picture_of", "width_of"]

_MOST_VALUES = 32  # integers of more values than this are numbers, not names


class Column(NamedTuple):
    """One leaf of a view.

    path: names or indices from the view to the leaf. shape: of one row of the leaf.
    kind: "names" (one-hot from ``low``, ``values`` of them), "number" (as it is) or
    "squashed" (sign times log of one plus size).
    """

    path: tuple[Any, ...]
    shape: tuple[int, ...]
    kind: str
    low: int = 0
    values: int = 1

    @property
    def width(self) -> int:
        """Numbers that it becomes."""
        return int(np.prod(self.shape, dtype=int)) * (self.values if self.kind == "names" else 1)


def columns_of(space: gymnasium.Space[Any], sees: Sequence[str] = ()) -> tuple[Column, ...]:
    """The columns of a space; ``sees`` picks parts of a Dict by name, all when empty.

    Raises:
      ValueError: A part that the space does not have, or texts.
    """
    if sees:
        parts = space.spaces if isinstance(space, spaces.Dict) else {}
        unknown = [name for name in sees if name not in parts]
        if unknown:
            has = ", ".join(parts) or "no named parts"
            raise ValueError(f"sees: {unknown[0]} is not in what the world shows; it has {has}")
        space = spaces.Dict({name: parts[name] for name in parts if name in sees})
    return tuple(_walk(space, ()))


def _walk(space: gymnasium.Space[Any], path: tuple[Any, ...]) -> list[Column]:
    if isinstance(space, spaces.Dict):
        return [column for name, part in space.items() for column in _walk(part, (*path, name))]
    if isinstance(space, spaces.Tuple):
        return [
            column
            for index, part in enumerate(space.spaces)
            for column in _walk(part, (*path, index))
        ]
    if isinstance(space, spaces.Discrete):
        return [_whole(path, (), int(space.start), int(space.start + space.n) - 1)]
    if isinstance(space, spaces.MultiDiscrete):
        low = int(np.min(space.start))
        return [_whole(path, space.shape, low, int(np.max(space.start + space.nvec)) - 1)]
    if isinstance(space, spaces.MultiBinary):
        return [Column(path, tuple(space.shape or ()), "number")]
    if isinstance(space, spaces.Box):
        return [_box(path, space)]
    raise ValueError(
        f"a network cannot read {space}; give the world numbers to show, or "
        "choose a language policy"
    )


def _box(path: tuple[Any, ...], space: spaces.Box) -> Column:
    shape = tuple(space.shape)
    bounded = bool(space.is_bounded())
    if np.issubdtype(space.dtype, np.integer) and bounded and space.low.size:
        return _whole(path, shape, int(space.low.min()), int(space.high.max()))
    return Column(path, shape, "number" if bounded else "squashed")


def _whole(path: tuple[Any, ...], shape: Any, low: int, high: int) -> Column:
    values = high - low + 1
    if 2 < values <= _MOST_VALUES:
        return Column(path, tuple(shape), "names", low, values)
    if values <= 2:
        return Column(path, tuple(shape), "number")
    return Column(path, tuple(shape), "squashed")


def width_of(columns: Sequence[Column]) -> int:
    """Features of one row."""
    return sum(column.width for column in columns)


def encode(view: Any, columns: Sequence[Column], lead: tuple[int, ...]) -> Array:
    """Features of rows: [*lead, F] float32.

    Args:
      view: pytree whose leaves are [*lead, ...].
      columns: what to show, in this order. lead: leading axes, [n] or [T, n].
    """
    parts = [_encode(_leaf(view, column.path), column, lead) for column in columns]
    if not parts:
        return jnp.zeros((*lead, 0), jnp.float32)
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=-1)


def _leaf(view: Any, path: tuple[Any, ...]) -> Array:
    for step in path:
        view = part_of(view, step) if isinstance(step, str) else view[step]
    return view


def _encode(leaf: Array, column: Column, lead: tuple[int, ...]) -> Array:
    flat = leaf.reshape(*lead, -1)
    if column.kind == "names":
        names = jnp.arange(column.low, column.low + column.values)
        return (flat[..., None] == names).astype(jnp.float32).reshape(*lead, -1)
    numbers = flat.astype(jnp.float32)
    if column.kind == "squashed":
        return jnp.sign(numbers) * jnp.log1p(jnp.abs(numbers))
    return numbers


def picture_of(columns: Sequence[Column]) -> int | None:
    """Index of the first column that is an image [H, W, channels] or a map [H, W], or None."""
    for index, column in enumerate(columns):
        if len(column.shape) in (2, 3) and min(column.shape[:2]) > 2:
            return index
    return None


def heard(
    inbox: Mapping[str, Array], channels: Sequence[tuple[str, int]], lead: tuple[int, ...]
) -> Array:
    """Features of what was heard: [*lead, sum of sizes] float32.

    Args:
      inbox: channel -> [*lead, size]: means of vectors, or how often each word was heard.
      channels: (name, size) of those that are read.
    """
    parts = [inbox[name].reshape(*lead, size).astype(jnp.float32) for name, size in channels]
    return jnp.concatenate([jnp.zeros((*lead, 0), jnp.float32), *parts], axis=-1)
