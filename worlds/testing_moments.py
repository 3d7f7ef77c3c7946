"""Checks of what a world shows and does in single steps."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from worlds.registry import entries
from worlds.spaces import part_of, rows_of
from worlds.testing_trees import same_form as check_form
from worlds.types import Observation, Transition
from worlds.world import World

__all__ = [
    "check_birth",
    "check_end",
    "check_form",
    "check_no_key",
    "check_outcome",
    "check_seen",
    "check_transition",
]


def check_seen(world: World[Any], seen: Observation, where: str) -> None:
    """Masks are [N] bool, acting implies alive, views lie within the observation space."""
    num = world.num_slots
    for name in ("alive", "acting"):
        _check_array(getattr(seen, name), (num,), "bool", f"{where}: Observation.{name}")
    alive, acting = np.asarray(seen.alive), np.asarray(seen.acting)
    wrong = np.flatnonzero(acting & ~alive).tolist()
    assert not wrong, f"{where}: slots {wrong[:8]} act but are not alive"
    if seen.legal is not None:
        assert np.ndim(seen.legal) == 2, f"{where}: Observation.legal is not [N, A]"
        _check_array(seen.legal, np.shape(seen.legal), "bool", f"{where}: Observation.legal")
        assert len(seen.legal) == num, f"{where}: Observation.legal has not {num} rows"
        stuck = np.flatnonzero(acting & ~np.asarray(seen.legal).any(axis=1)).tolist()
        assert not stuck, f"{where}: slots {stuck[:8]} must act but nothing is legal for them"
    for name in ("text", "options"):
        shown = getattr(seen, name)
        assert shown is None or len(shown) == num, (
            f"{where}: Observation.{name} has {len(shown)} entries for {num} slots"
        )
    space = world.observation_space(0)
    if isinstance(space, spaces.Dict) and not space.spaces and _empty(seen.view):
        return
    _check_dtypes(space, seen.view, num, f"{where}: view")
    rows = rows_of(space, seen.view, num)
    for slot in np.flatnonzero(alive).tolist():
        own = world.observation_space(slot)
        assert own.contains(rows[slot]), (
            f"{where}: what slot {slot} sees is outside of its observation space"
            f"{_outside(own, rows[slot])}"
        )


def check_transition(world: World[Any], seen: Observation, moved: Transition, where: str) -> None:
    """Rewards and ends have their shapes and dtypes; the dead earn nothing."""
    num = world.num_slots
    _check_array(moved.reward, (num,), "float32", f"{where}: Transition.reward")
    for name in ("terminated", "truncated"):
        _check_array(getattr(moved, name), (num,), "bool", f"{where}: Transition.{name}")
    reward, alive = np.asarray(moved.reward), np.asarray(seen.alive)
    assert np.isfinite(reward).all(), f"{where}: rewards are {reward[~np.isfinite(reward)][:4]}"
    paid = np.flatnonzero(~alive & (reward != 0)).tolist()
    assert not paid, f"{where}: slots {paid[:8]} hold nobody but earn {reward[paid][:4]}"
    both = np.asarray(moved.terminated) & np.asarray(moved.truncated) & alive
    assert not both.any(), (
        f"{where}: slots {np.flatnonzero(both).tolist()[:8]} are both terminated (by the rules) "
        "and truncated (by a limit); an end has one reason"
    )
    assert isinstance(moved.metrics, Mapping), f"{where}: Transition.metrics is no mapping"
    for name, value in moved.metrics.items():
        assert np.asarray(value).dtype.kind in "fiub", f"{where}: metric {name!r} is no number"


def check_birth(
    world: World[Any], seen: Observation, after: Observation, moved: Transition, where: str
) -> None:
    """Parents are given where worlds give birth, and newborns are alive."""
    num, born = world.num_slots, np.zeros(world.num_slots, bool)
    if world.births:
        assert moved.parents is not None, (
            f"{where}: World.births is {world.births}, but Transition.parents is None"
        )
        named = np.shape(moved.parents)[-1] if np.ndim(moved.parents) == 2 else 0
        shape = (num, min(max(named, 1), world.births))
        _check_array(moved.parents, shape, "int32", f"{where}: Transition.parents")
        parents = np.asarray(moved.parents)
        assert ((parents >= -1) & (parents < num)).all(), (
            f"{where}: parents are slots from 0 to {num - 1}, or -1, not {parents.min()} to "
            f"{parents.max()}"
        )
        born = (parents >= 0).any(axis=1)
        unborn = np.flatnonzero(born & ~np.asarray(after.alive)).tolist()
        assert not unborn, f"{where}: slots {unborn[:8]} have parents but nobody lives there"
        return
    assert moved.parents is None, (
        f"{where}: Transition.parents is given, but World.births is 0; declare "
        "`births: ClassVar[int] = ...`, the number of parents"
    )
    risen = np.flatnonzero(np.asarray(after.alive) & ~np.asarray(seen.alive)).tolist()
    assert not risen, (
        f"{where}: slots {risen[:8]} were empty and hold somebody now; worlds with births "
        "declare World.births and name the parents"
    )


def check_end(
    world: World[Any],
    steps: Sequence[tuple[Observation, Transition, Observation]],
    name: str,
) -> None:
    """Episodes end at the horizon at the latest, earlier only where the world says so."""
    for index, (seen, moved, after) in enumerate(steps):
        done = np.asarray(moved.terminated) | np.asarray(moved.truncated)
        over = bool((done | ~np.asarray(after.alive)).all())
        at_horizon = world.horizon is not None and index + 1 == world.horizon
        assert over or not at_horizon, (
            f"{name}: horizon is {world.horizon}, but after so many steps slots "
            f"{np.flatnonzero(~done & np.asarray(seen.alive)).tolist()[:8]} are neither terminated "
            "nor truncated"
        )
        assert not over or at_horizon or world.ends_early, (
            f"{name}: the episode is over after {index + 1} steps, before its horizon "
            f"{world.horizon}; ends_early must be True"
        )
        if over:
            late = np.flatnonzero(np.asarray(after.acting)).tolist()
            assert not late, f"{name}: slots {late[:8]} still act after the end of the episode"
        elif not world.births:
            stay = np.flatnonzero(done & np.asarray(seen.alive) & np.asarray(after.alive)).tolist()
            assert not stay, (
                f"{name}, step {index}: slots {stay[:8]} are terminated or truncated but alive "
                "afterwards, although the episode goes on; whoever is out is not alive"
            )


def check_outcome(world: World[Any], first: Any, last: Any, name: str) -> None:
    """Outcomes keep their form, and hold the world's own fitness."""
    start, end = world.outcome(first), world.outcome(last)
    assert isinstance(end, dict) and all(isinstance(key, str) for key in end), (
        f"{name}.outcome must return a dict from names to arrays"
    )
    check_form(start, end, f"{name}: outcome")
    for key, value in end.items():
        assert not np.isnan(np.asarray(value, np.float64)).any(), f"{name}: outcome {key!r} is NaN"
    per_slot = [key for key in end if np.shape(end[key]) == (world.num_slots,)]
    assert world.fitness in ("reward", *per_slot), (
        f"{name}.fitness is {world.fitness!r}, but outcomes of shape [N] are {per_slot}; "
        "reward is allowed too"
    )
    known = entries("measure")
    missing = [measure for measure in world.measures if measure not in known]
    assert not missing, f"{name}.measures names {missing}, which no component is called"


def check_no_key(state: Any, key: Any, where: str) -> None:
    """The state holds no random key: keys come from the clock."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]:
        dtype = getattr(leaf, "dtype", None)
        typed = dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)
        raw = not typed and dtype == np.uint32 and np.shape(leaf) == np.shape(key)
        assert not (typed or raw), (
            f"{where}: state{jax.tree_util.keystr(path)} looks like a random key; states hold "
            "none, step gets a fresh one every time"
        )


def _empty(part: Any) -> bool:
    return isinstance(part, tuple) and not part


def _check_array(value: Any, shape: tuple[int, ...], dtype: str, what: str) -> None:
    found = np.asarray(value)
    assert found.shape == shape and found.dtype == dtype, (
        f"{what} is {found.dtype}{list(found.shape)}; it must be {dtype}{list(shape)}"
    )


def _check_dtypes(space: gymnasium.Space[Any], batch: Any, num: int, what: str) -> None:
    """Every part that the space names exists with its dtype, and no other array does."""
    if isinstance(space, spaces.Dict):
        names = list(batch) if isinstance(batch, Mapping) else list(getattr(batch, "_fields", ()))
        held = [name for name in names if not _empty(part_of(batch, name))]
        extra = [name for name in held if name not in space.keys()]
        lacking = [name for name in space.keys() if name not in names]
        assert not extra and not lacking, (
            f"{what} holds {names}, but observation_space names {list(space.keys())}"
        )
        for name, part in space.items():
            _check_dtypes(part, part_of(batch, name), num, f"{what}.{name}")
        return
    if isinstance(space, spaces.Tuple):
        for index, (part, item) in enumerate(zip(space.spaces, batch, strict=True)):
            _check_dtypes(part, item, num, f"{what}[{index}]")
        return
    if isinstance(space, spaces.Text):
        return
    found = np.asarray(batch)
    assert found.shape == (num, *(space.shape or ())), (
        f"{what} is an array {list(found.shape)}, but observation_space says "
        f"{[num, *(space.shape or ())]}"
    )
    whole = found.dtype.kind in "iub" and np.dtype(space.dtype).kind in "iub"
    exact = isinstance(space, spaces.Box)
    assert found.dtype == space.dtype or (whole and not exact), (
        f"{what} is {found.dtype}, but observation_space says {space.dtype}"
    )


def _outside(space: gymnasium.Space[Any], row: Any) -> str:
    """Which part is outside, for the message."""
    if isinstance(space, spaces.Dict):
        for name, part in space.items():
            if not part.contains(row[name]):
                return f": {name} is {np.asarray(row[name])!r:.80}, not in {part}"
    return f": {row!r:.80} is not in {space}"
