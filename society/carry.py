"""What a replicate is on the device, and what a chunk of its run leaves behind."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from society.contract import Selection, Transmission
from society.plan import Plan
from worlds.rows import with_row
from worlds.types import Array, Graph, Mind

__all__ = [
    "Carry",
    "Chunk",
    "Loop",
    "Parts",
    "checksum",
    "flatten",
    "join",
    "keep",
    "names_of",
    "placed",
    "results_of",
    "width_of",
    "written",
]

_BASIS, _PRIME = 2166136261, 16777619  # of the Fowler-Noll-Vo hash
_PLACE = np.uint32(2654435761)
_FEW = 2**14  # words


class Parts(NamedTuple):
    """Components whose leaves may change without compiling anew.

    Text policies are None, as are the learners of groups that do not learn.
    """

    policies: tuple[Any, ...]
    selection: Selection | None
    transmission: Transmission
    channels: Mapping[str, Any]
    learners: tuple[Any, ...] = ()


class Carry(NamedTuple):
    """One replicate between two ticks.

    world: parameters. graph: ties of this replicate, or None. state: of the world.
    minds: per group.
    actions: [N, ...] what text groups last decided; pending: channel -> words they say now.
    outbox: channel -> what everybody sent last, delivered in the next turn.
    alive, newborn: [N] bool. uid: [N] int32. next_uid: int32.
    generation, episode, step, within: int32 scalars; within counts ticks of the generation.
    begun: the episode has been set up. over: the episode has ended before its horizon.
    renewed: selection for the generation that begins has been made already.
    totals: outcome name -> sum over this generation's finished episodes (see ``results_of``);
    count of those.
    accs: accumulators of the measures. keys: stream -> [2] uint32. refused: [G] int32.
    checksum: uint32 over state and minds at the last episode end.
    lives: births and deaths of the latest tick, in worlds where steps give birth.
    learners: a Course per group (``society.learning``), None for those that do not learn; ()
    where nobody does.
    """

    world: Any
    graph: Graph | None
    state: Any
    minds: tuple[Mind, ...]
    actions: Any
    pending: Mapping[str, Array]
    outbox: Mapping[str, Array]
    alive: Array
    newborn: Array
    uid: Array
    next_uid: Array
    generation: Array
    episode: Array
    step: Array
    within: Array
    begun: Array
    over: Array
    renewed: Array
    totals: Mapping[str, Array]
    count: Array
    accs: tuple[Any, ...]
    keys: Mapping[str, Array]
    refused: Array
    checksum: Array
    learners: tuple[Any, ...] = ()
    lives: Any = ()


class Chunk(NamedTuple):
    """What a chunk of at most C ticks leaves for the host to record.

    ticks: [C, M] float32 metrics. clock: [C, 3] int32 (generation, episode, step).
    frozen: [C] bool, the tick only waited. generations: [Cg, K] float32 and hashes [Cg] uint32
    of generations that ended. births: [Cg, B, 3] int32 (child uid, parent uid, slot), -1 = none,
    of generations that began. ended: int32 generations that ended in the chunk.
    lives: log of births and deaths inside steps, in worlds where there are any.
    said: channel -> [k, N] words of the chunk's first ticks, for language agents.
    """

    ticks: Array
    clock: Array
    frozen: Array
    generations: Array
    hashes: Array
    births: Array
    ended: Array
    lives: Any = ()
    said: Mapping[str, Array] = {}


class Loop(NamedTuple):
    """What a chunk's loop carries: a replicate, what it leaves, and ticks done so far."""

    carry: Carry
    chunk: Chunk
    index: Array


def join(rows: list[Any]) -> Any:
    """Pytrees of several groups' rows as one, in slot order."""
    if len(rows) == 1:
        return rows[0]
    return jax.tree.map(lambda *parts: jnp.concatenate(parts), *rows)


def placed(carry: Carry) -> Any:
    """The replicate's world with its graph, who is present, and the generation's clock."""
    fields = {field.name for field in dataclasses.fields(carry.world)}
    values = {"graph": carry.graph, "present": carry.alive, "within": carry.within}
    return dataclasses.replace(
        carry.world, **{name: value for name, value in values.items() if name in fields}
    )


def results_of(plan: Plan, carry: Carry) -> dict[str, Array]:
    """What the generation that ends came to: outcome name -> value.

    Where every tick is a generation the state itself still tells, and is not kept twice.
    """
    if not plan.instant:
        return dict(carry.totals)
    return {**placed(carry).outcome(carry.state), **carry.totals}


def keep(condition: Array, old: Any, new: Any) -> Any:
    """``old`` where the condition holds, else ``new``, leaf by leaf."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), old, new)


def flatten(metrics: Mapping[str, Array]) -> Array:
    """All values in name order as one float32 vector."""
    values = [jnp.asarray(metrics[name]).astype(jnp.float32) for name in sorted(metrics)]
    if not values:
        return jnp.zeros(0, jnp.float32)
    if any(value.ndim for value in values):
        return jnp.concatenate([value.ravel() for value in values])
    # Scalars are put in place one by one: what makes them then shares a kernel.
    place, row = np.arange(len(values)), jnp.zeros(len(values), jnp.float32)
    for number, value in enumerate(values):
        row = jnp.where(place == number, value, row)
    return row


def names_of(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Names of the columns that ``flatten`` makes; works on shapes."""
    names: list[str] = []
    for name in sorted(metrics):
        size = metrics[name].size
        names += [name] if metrics[name].ndim == 0 else [f"{name}[{i}]" for i in range(size)]
    return tuple(names)


def width_of(metrics: Mapping[str, Any]) -> int:
    """Number of columns that ``flatten`` makes."""
    return sum(value.size for value in metrics.values())


def written(chunk: Chunk, place: Array, **rows: Any) -> Chunk:
    """The chunk with one row of each field named, at a place that there is."""
    return chunk._replace(
        **{name: with_row(getattr(chunk, name), row, place) for name, row in rows.items()}
    )


def checksum(tree: Any) -> Array:
    """A uint32 over all bits of a pytree of arrays.

    Leaves are summed, and the sums mixed in order. Small leaves of a type share one sum: a kernel
    for each would take most of what an episode's end takes to compile.
    """
    leaves = [jnp.asarray(leaf).ravel() for leaf in jax.tree.leaves(tree)]
    total = jnp.uint32(_mix(_BASIS, len(leaves)))
    few: dict[Any, list[tuple[Array, np.ndarray]]] = {}
    for number, leaf in enumerate(leaves):
        factor = np.uint32(_mix(1, len(leaves) - 1 - number))
        if leaf.size <= _FEW:
            weights = (np.arange(leaf.size, dtype=np.uint32) * _PLACE | 1) * factor
            few.setdefault(leaf.dtype, []).append((leaf, weights))
        else:
            place = jnp.arange(leaf.size, dtype=jnp.uint32) * _PLACE
            total = total + factor * jnp.sum(_as_words(leaf) * (place | 1), dtype=jnp.uint32)
    for pairs in few.values():
        words = _as_words(jnp.concatenate([leaf for leaf, _ in pairs]))
        weights = np.concatenate([weights for _, weights in pairs])
        total = total + jnp.sum(words * weights, dtype=jnp.uint32)
    return total


def _mix(value: int, times: int) -> int:
    return value * pow(_PRIME, times, 2**32) % 2**32


def _as_words(leaf: Array) -> Array:
    if leaf.dtype == jnp.float32:
        return jax.lax.bitcast_convert_type(leaf, jnp.uint32)
    return leaf.astype(jnp.uint32)
