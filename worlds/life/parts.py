"""Parts of a step of ``Life``: machines, newborns' bodies, the ground's growth, metrics."""

from typing import TYPE_CHECKING, Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from worlds.life import body
from worlds.life.births import Matched
from worlds.life.machines import WORDS, Machines, Report, compute, rule_program
from worlds.life.space import Near, Neighbours, cell_of, wrap
from worlds.life.state import LifeState
from worlds.life.terrain import CHANGEABLE, Ground
from worlds.random import random_pair, uniform
from worlds.types import Array

if TYPE_CHECKING:
    from worlds.life.life import Life

__all__ = ["Grown", "born", "computed", "first_machines", "grown", "metrics_of", "taught"]

IDENTITY = 8


def taught(world: "Life", state: LifeState, acts: body.Acts, seen: Neighbours) -> Machines:
    """Machines pushed, and programmed by those who see them (the last slot of several)."""
    assert seen.machines is not None
    near, machines = seen.machines, state.machines
    shove = body.shoved(near, acts.push, world.reach, world.strength, world.robots)
    position = wrap(machines.position + shove, world.size)
    target = jnp.where(acts.program[:, None], near.index, world.robots)
    slot = jnp.broadcast_to(jnp.arange(world.num_slots)[:, None], target.shape)
    source = jnp.full(world.robots + 1, -1, jnp.int32).at[target].max(slot.astype(jnp.int32))
    source = source[: world.robots]
    program = acts.words[jnp.maximum(source, 0), :WORDS]
    program = jnp.where((source >= 0)[:, None], program, machines.program)
    return machines._replace(position=position, program=program)


def computed(
    world: "Life", machines: Machines, peers: Near | None, bits: Array
) -> tuple[Machines, tuple[Array, Array], Array, Report]:
    """Instructions, then the acts that memories steer; what they dig is (cells, changes)."""
    assert peers is not None
    machines, report = compute(machines, peers, world.ticks)
    memory = machines.memory
    cell = cell_of(machines.position, world.size)
    writes, reads = memory[:, 4] > 0.5, memory[:, 4] < -0.5
    seen = jnp.where(bits[cell], 1.0, -1.0)
    memory = memory.at[:, 0].set(jnp.where(reads, seen, memory[:, 0]))
    spot = jnp.where(writes, cell, world.size**2)
    bits = bits.at[spot].set(memory[:, 0] > 0, mode="drop")
    digs = jnp.where((memory[:, 5] > 0.5)[:, None], memory[:, 6 : 6 + CHANGEABLE], 0.0)
    goes = jnp.where((memory[:, 3] > 0.5)[:, None], memory[:, 1:3], 0.0)
    position = wrap(machines.position + world.machine_speed * goes, world.size)
    return machines._replace(memory=memory, position=position), (cell, digs), bits, report


def born(
    world: "Life", key: Array, before: LifeState, state: LifeState, matched: Matched, lives: Array
) -> LifeState:
    """Bodies of newborns, beside their first parent; the dead leave nothing behind."""
    num, new = world.num_slots, matched.born[:, None]
    first, second = matched.parents[:, 0], matched.parents[:, 1]
    first = jnp.maximum(first, 0)
    second = jnp.where(second >= 0, second, first)
    words = random_pair(key, jnp.arange(num * (IDENTITY + 2)))
    units = [(word >> 8).astype(jnp.float32) * np.float32(2.0**-24) for word in words]
    coin, change = (unit.reshape(num, IDENTITY + 2) for unit in units)
    coin, change = coin[:, :IDENTITY] < 0.5, 2 * change - 1
    change, beside = change[:, :IDENTITY], change[:, IDENTITY:]
    inherited = jnp.where(coin, before.identity[first], before.identity[second])
    inherited = jnp.clip(inherited + world.drift * change, -1.0, 1.0)
    place = wrap(state.position[first] + beside, world.size)
    there = (lives | matched.born)[:, None]

    def fresh(newborn: Any, old: Array) -> Array:
        return jnp.where(there, jnp.where(new, newborn, old), 0.0)

    bore = (matched.child < num).astype(jnp.int32)
    bore = (
        bore
        + (
            jnp.zeros(num + 1, jnp.int32)
            .at[jnp.where(matched.parents[:, 1] >= 0, matched.parents[:, 1], num)]
            .add(1)[:num]
        )
    )
    gone = ~there[:, 0] | matched.born
    return state._replace(
        position=fresh(place, state.position),
        identity=fresh(inherited, before.identity),
        voice=fresh(0.0, state.voice),
        inbox=fresh(0.0, state.inbox),
        last=fresh(0.0, state.last),
        age=jnp.where(gone, 0, state.age),
        children=jnp.where(gone, 0, state.children + bore),
    )


class Grown(NamedTuple):
    """The ground's energy after a step, and sums over all cells.

    energy: [S * S]. sun, faded: what it gained and lost. stored: what it holds. terraformed:
    mean |difference| from the base maps.
    """

    energy: Array
    sun: Array
    faded: Array
    stored: Array
    terraformed: Array


def grown(world: "Life", energy: Array, ground: Ground, made: Array) -> Grown:
    """The ground grows by its fertility and fades; above its capacity it only fades.

    Sums are over rows, then over columns: as exact as a tree, and two kernels for all four.
    """
    fertility, capacity = ground.fields[0].reshape(-1), ground.fields[-1].reshape(-1)
    more = jnp.maximum(energy + world.growth * fertility - world.decay, 0.0)
    new = jnp.minimum(more, jnp.maximum(capacity, energy - world.decay))
    change, size = new - energy, world.size
    maps = [jnp.maximum(change, 0.0), jnp.maximum(-change, 0.0), new]
    columns = [values.reshape(size, size).sum(0) for values in maps]
    columns.append(jnp.abs(made).reshape(CHANGEABLE * size, size).sum(0))
    sun, faded, stored, dug = jnp.stack(columns).sum(1)
    return Grown(new, sun, faded, stored, dug / made.size)


def metrics_of(
    world: "Life",
    before: LifeState,
    state: LifeState,
    acts: body.Acts,
    seen: Neighbours,
    matched: Matched,
    dies: Array,
    report: Report | None,
    heard: Array,
) -> dict[str, Array]:
    """What the recorder keeps of a step."""
    masks = {
        "population": state.alive,
        "born": matched.born,
        "died": dies,
        "refused": matched.refused,
        "speaking": acts.speak,
        "hearing": heard,
        "attacking": acts.attack > 0,
        "before": before.alive,
    }
    # One kernel counts all masks, one adds both sums: each kernel costs time to compile.
    counted = jnp.stack(list(masks.values())).sum(1, dtype=jnp.int32)
    counts = {name: counted[row] for row, name in enumerate(masks)}
    age = jnp.where(before.alive, before.age, 0).astype(jnp.float32)
    age, stock = jnp.stack([age, state.stock]).sum(1)
    metrics = {
        "mean_age": age / jnp.maximum(counts.pop("before"), 1),
        "mean_stock": stock / jnp.maximum(counts["population"], 1),
        "unseen": seen.near.unseen,
        **counts,
    }
    metrics |= {f"energy_{name}": value for name, value in state.flows._asdict().items()}
    if report is not None:
        assert seen.machines is not None
        aimed = acts.program[:, None] & (seen.machines.index < world.robots)
        metrics |= {
            "programs_written": aimed.sum(dtype=jnp.int32),
            "programs_copied": report.copied,
            "programs_used": report.used,
        }
    return metrics


def first_machines(world: "Life", key: Array) -> Machines:
    """Machines as ``layout``, ``rule`` and ``tape`` say, the rest at random."""
    num = world.robots
    lane = jnp.arange(num)
    if world.layout == "row":
        middle = jnp.full(num, world.size / 2)
        position = jnp.stack([middle, lane.astype(jnp.float32) + 0.5], axis=1)
    else:
        where = uniform(key, jnp.arange(num * 2), 3).reshape(num, 2)
        position = wrap(where * world.size, world.size)
    many = jnp.arange(2 * num * WORDS)
    memory, program = 2 * uniform(key, many, 4).reshape(2, num, WORDS) - 1
    if world.rule >= 0:
        program = jnp.broadcast_to(jnp.asarray(rule_program(world.rule)), (num, WORDS))
        memory = jnp.zeros((num, WORDS)).at[:, 0].set(memory[:, 0])
    if world.tape:
        bits = np.array([2.0 * (bit == "1") - 1.0 for bit in world.tape], np.float32)
        memory = memory.at[:, 0].set(bits)
    return Machines(position, memory, program)
