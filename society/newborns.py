"""Births and deaths inside a step: minds inherit, uids are given, lives are noted.

A world that gives birth says in ``Transition.parents`` who bore whom. The same slots tell
the minds whom to inherit from, through the same path as between generations (one
``Transmission``), so body and mind of a child come from the same parents. Inheritance is
a compact list: it costs what the births of a step cost, whatever the number of slots.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from society.journal_rows import StoredEvent
from society.selection.pairs import localise
from worlds.random import fold
from worlds.types import Array, Births, Transition

__all__ = [
    "BORN",
    "DIED",
    "Lives",
    "begin_lives",
    "births_of",
    "check_births",
    "empty_log",
    "events_of",
    "first_state",
    "found",
    "note",
    "note_founders",
    "settle",
    "ticks_that_fit",
]

BORN, DIED = 0, 1
# Tick in the chunk, BORN or DIED, uid, slot, two parents' uids, distance as bits, tick of the run.
COLUMNS = 8
_LOG_BYTES = 8 * 2**20


class Lives(NamedTuple):
    """Who was born and who died in the latest tick.

    born: [N] bool; founders of a later episode too. died: [N] bool, of those before.
    uid_before: [N] int32. parents: [N, 2] int32 uids, -1 = none. distance: [N] float32 of
    each newborn's mind from its first parent's, as its policy measures it. founded: bool,
    founders have just taken their slots, and nothing has happened since.
    """

    born: Array
    died: Array
    uid_before: Array
    parents: Array
    distance: Array
    founded: Array


class Log(NamedTuple):
    """Lives of a chunk's ticks: rows [E, 8] int32, and how many of them are used."""

    rows: Array
    used: Array


def begin_lives(num: int) -> Lives:
    """Nobody was born, nobody died."""
    return Lives(
        born=jnp.zeros(num, bool),
        died=jnp.zeros(num, bool),
        uid_before=jnp.full(num, -1, jnp.int32),
        parents=jnp.full((num, 2), -1, jnp.int32),
        distance=jnp.zeros(num, jnp.float32),
        founded=jnp.bool_(False),
    )


def empty_log(num: int, ticks: int) -> Log:
    """Room for one birth and one death a slot in each of so many ticks, and for a block more."""
    return Log(jnp.zeros(((2 * ticks + 3) * num, COLUMNS), jnp.int32), jnp.int32(0))


def ticks_that_fit(ticks: int, num: int, replicates: int) -> int:
    """Ticks of a chunk whose log fits in memory."""
    fits = _LOG_BYTES // (2 * 4 * COLUMNS * num * replicates)
    return int(np.clip(fits, 4, ticks))


def check_births(world: Any, selects: bool) -> None:
    """Refuse selection between generations where the world itself selects."""
    if world.births and selects:
        raise ValueError(
            "this world gives birth inside its steps, so who reproduces is decided there; "
            "leave selection out, or set generations: 1"
        )


def found(carry: Any, founders: np.ndarray) -> Any:
    """Let founders take the first slots at the beginning of an episode.

    In all but the first episode they are new individuals, with new uids, who have the minds
    that the slots' last holders left.
    """
    held = jnp.asarray(founders)
    begins = (carry.generation == 0) & (carry.episode == 0)
    fresh = jnp.where(held, carry.next_uid + jnp.cumsum(held) - 1, -1).astype(jnp.int32)
    lives = begin_lives(held.shape[0])
    return carry._replace(
        alive=held,
        uid=jnp.where(begins, carry.uid, fresh),
        next_uid=jnp.where(begins, carry.next_uid, carry.next_uid + held.sum(dtype=jnp.int32)),
        newborn=held & ~begins,
        lives=lives._replace(
            born=held,
            died=carry.alive & ~begins,
            uid_before=carry.uid,
            founded=jnp.bool_(True),
        ),
    )


def settle(
    engine: Any, parts: Any, carry: Any, alive: Array, transition: Transition, frozen: Array
) -> Any:
    """Give newborns uids and minds after a step.

    Args:
      carry: after the step, with ``alive`` and ``uid`` of before.
      alive: [N] bool after the step.
      frozen: the tick only waited; nobody was born.
    """
    assert transition.parents is not None
    num = alive.shape[0]
    parents = jnp.where(frozen, -1, transition.parents)
    has_parents = (parents >= 0).any(axis=1)
    born = alive & (has_parents | ~carry.alive)
    died = carry.alive & (~alive | born)
    births = _listed(born & has_parents, parents)
    minds, distance = _inherit(engine, parts, carry, births)
    rank = jnp.cumsum(born) - 1
    named = jnp.where(born, carry.next_uid + rank, carry.uid)
    uids = jnp.append(carry.uid, -1)[jnp.where(parents >= 0, parents, num)]
    refused = carry.refused
    if transition.refused is not None:
        index = jnp.asarray(engine.population.group_index())
        refused = refused.at[index].add((transition.refused & ~frozen).astype(jnp.int32))
    return carry._replace(
        minds=minds,
        alive=alive,
        newborn=born,
        uid=jnp.where(alive, named, -1).astype(jnp.int32),
        next_uid=carry.next_uid + born.sum(dtype=jnp.int32),
        refused=refused,
        lives=Lives(born, died, carry.uid, _two(uids), distance, jnp.bool_(False)),
    )


def births_of(lives: Lives, uid: np.ndarray) -> Births:
    """The latest tick's births as slots, on the host; parents who are gone are -1.

    Args:
      uid: [N] of those who hold the slots now.
    """
    child = np.flatnonzero(np.asarray(lives.born) & ~np.asarray(lives.founded))
    slots = {int(name): slot for slot, name in enumerate(uid) if name >= 0}
    parents = np.asarray(lives.parents)[child]
    found = [[slots.get(int(name), -1) for name in row] for row in parents]
    return Births(child.astype(np.int32), np.array(found, np.int32).reshape(-1, 2))  # type: ignore


def first_state(world: Any, key: Array) -> Any:
    """A state before the first tick, which sets up the first episode anyway.

    Planets are blank until then: what makes them would be compiled twice.
    """
    if not world.births:
        return world.init(key)
    shape = jax.eval_shape(world.init, key)
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shape)


def note_founders(engine: Any, loop: Any, carry: Any) -> Any:
    """The chunk of a loop with the founders of an episode that ``carry`` has just begun."""
    if not carry.world.births:
        return loop.chunk
    lives = carry.lives
    fresh = lives.founded
    lives = lives._replace(born=lives.born & fresh, died=lives.died & fresh)
    log = note(engine, loop.chunk.lives, carry._replace(lives=lives), loop.index)
    return loop.chunk._replace(lives=log)


def note(engine: Any, log: Log, carry: Any, index: Array) -> Log:
    """Write who died in the latest tick, then who was born, in slot order.

    Args:
      index: int32 of the tick in its chunk.
    """
    lives, uid = carry.lives, carry.uid
    num = uid.shape[0]
    slot = jnp.arange(num, dtype=jnp.int32)
    ones = jnp.ones(num, jnp.int32)
    bits = jax.lax.bitcast_convert_type(lives.distance, jnp.int32)
    none = -ones
    tick = carry.generation * engine.plan.ticks_per_generation + carry.within
    when, clock = index * ones, tick * ones
    gone = [when, DIED * ones, lives.uid_before, slot, none, none, 0 * ones, clock]
    came = [when, BORN * ones, uid, slot, *lives.parents.T, bits, clock]
    happened = jnp.concatenate([lives.died, lives.born])
    new = jnp.concatenate([jnp.stack(gone, 1), jnp.stack(came, 1)])
    # A whole block is written, what happened first; the next block covers the rest of it.
    block = new[jnp.argsort(~happened, stable=True)]
    rows = jax.lax.dynamic_update_slice(log.rows, block, (log.used, jnp.int32(0)))
    room = rows.shape[0] - 2 * num
    return Log(rows, jnp.minimum(log.used + happened.sum(dtype=jnp.int32), room))


def events_of(replicate: int, log: Log, clock: np.ndarray) -> list[StoredEvent]:
    """One journal event for each tick in which somebody was born or died.

    Its data: ``tick`` of the run; ``born``: [uid, parent, other parent, slot, distance] each;
    ``died``: [uid, slot] each.
    """
    rows = np.asarray(log.rows)[: int(log.used)]
    if not len(rows):
        return []
    ticks, first = np.unique(rows[:, 0], return_index=True)
    found = []
    for tick, part in zip(ticks.tolist(), np.split(rows, first[1:]), strict=True):
        came, gone = part[part[:, 1] == BORN], part[part[:, 1] == DIED]
        distance = np.ascontiguousarray(came[:, 6]).view(np.float32)
        data = {
            "tick": int(part[0, 7]),
            "born": [
                [uid, one, two, slot, float(f"{far:.6g}")]
                for (uid, slot, one, two), far in zip(came[:, 2:6].tolist(), distance, strict=True)
            ],
            "died": gone[:, 2:4].tolist(),
        }
        generation, episode, step = clock[tick].tolist()
        found.append(StoredEvent(replicate, generation, episode, step, 0, "lives", -1, 0, data))
    return found


def _listed(born: Array, parents: Array) -> Births:
    """Births as a list that begins with the real ones."""
    num = born.shape[0]
    first = jnp.argsort(~born, stable=True).astype(jnp.int32)
    child = jnp.where(jnp.arange(num) < born.sum(), first, num)
    row = jnp.minimum(child, num - 1)
    return Births(child, jnp.where((child < num)[:, None], parents[row], -1))


def _inherit(engine: Any, parts: Any, carry: Any, births: Births) -> tuple[tuple[Any, ...], Array]:
    key = fold(carry.keys["transmission"], carry.generation, carry.episode, carry.step)
    minds = list(carry.minds)
    num = engine.population.num_slots
    distance = jnp.zeros(num, jnp.float32)
    for number, group in enumerate(engine.population.groups):
        if group.is_text:
            continue
        policy = parts.policies[number]
        own = localise(births, group.start, group.stop)
        seats = engine.seats(parts, carry, number)
        minds[number] = parts.transmission.pass_on(
            fold(key, number), policy, minds[number], own, seats
        )
        if hasattr(policy, "distance"):
            slots = jnp.where(own.child < group.size, own.child + group.start, num)
            far = policy.distance(minds[number], own)
            distance = distance.at[slots].set(far, mode="drop")
    return tuple(minds), distance


def _two(uids: Array) -> Array:
    """[N, 2]: the first two parents."""
    none = jnp.full((uids.shape[0], 1), -1, jnp.int32)
    return jnp.concatenate([uids, none], axis=1)[:, :2]
