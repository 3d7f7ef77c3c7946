"""Between two generations: select, give slots to newcomers, let minds inherit, name them."""

import jax.numpy as jnp

from society.carry import Carry, Parts
from society.contract import Pool, Selection
from society.population import Population
from society.selection.pairs import assign_slots, births_among, keep_within_groups, localise
from worlds.random import fold
from worlds.types import Array, Births, Seats

__all__ = ["choose", "inherit", "mask"]


def choose(
    selection: Selection, population: Population, carry: Carry, fitness: Array, types: Array
) -> Births:
    """Who takes over which slot, in one index space of all N slots."""
    key = fold(carry.keys["selection"], carry.generation)
    index = jnp.asarray(population.group_index())
    if selection.among != "group" or len(population.groups) == 1:
        full = population.full and not carry.world.births
        pool = Pool(fitness, carry.alive, index, types, carry.graph, full)
        return selection.select(key, pool)
    children, parents = [], []
    num = population.num_slots
    for number, group in enumerate(population.groups):
        rows = group.rows
        pool = Pool(fitness[rows], carry.alive[rows], index[rows], types[rows])
        births = selection.select(fold(key, number), pool)
        children.append(jnp.where(births.child < group.size, births.child + group.start, num))
        parents.append(jnp.where(births.parent >= 0, births.parent + group.start, -1))
    # Groups lie side by side, so what is dense in each is dense in all.
    return Births(jnp.concatenate(children), jnp.concatenate(parents), births.dense)


def inherit(
    parts: Parts, population: Population, carry: Carry, births: Births, seats: tuple[Seats, ...]
) -> tuple[Carry, Births, Array]:
    """Give newcomers slots and what their parents pass on.

    Returns:
      The carry, the births after slots were assigned, and their rows
      [B, 3] int32 (child uid, parent uid, slot), -1 where nobody was born.
    """
    selection = parts.selection
    assert selection is not None
    alive, refused = carry.alive, carry.refused
    if len(population.groups) > 1:
        index = jnp.asarray(population.group_index())
        if selection.imitates:
            births, _ = keep_within_groups(births, index)
        else:
            births, alive, extra = assign_slots(births, alive, index, len(population.groups))
            refused = refused + extra
    key = fold(carry.keys["transmission"], carry.generation)
    minds = list(carry.minds)
    for number, group in enumerate(population.groups):
        if not group.is_text:
            own = localise(births, group.start, group.stop)
            minds[number] = parts.transmission.pass_on(
                fold(key, number), parts.policies[number], minds[number], own, seats[number]
            )
    carry = carry._replace(minds=tuple(minds), alive=alive, refused=refused)
    if selection.imitates:
        return carry, births, jnp.full((1, 3), -1, jnp.int32)
    carry, rows = _name_newborns(carry, births, population.num_slots)
    return carry, births, rows


def mask(births: Births, fresh: Array | bool, num: int) -> Births:
    """The births where ``fresh``, else none."""
    if births.dense:
        own = births.child[:, None]
        return births._replace(parent=jnp.where(fresh, births.parent, own))
    return births._replace(child=jnp.where(fresh, births.child, num))


def _name_newborns(carry: Carry, births: Births, num: int) -> tuple[Carry, Array]:
    born = births_among(births, num)
    rank = jnp.cumsum(born) - 1
    uids = jnp.where(born, carry.next_uid + rank, -1).astype(jnp.int32)
    parent = births.parent[:, 0]
    parents = carry.uid[jnp.clip(parent, 0, num - 1)]
    rows = jnp.stack([uids, parents, births.child.astype(jnp.int32)], axis=1)
    uid = carry.uid.at[jnp.where(born, births.child, num)].set(uids, mode="drop")
    carry = carry._replace(
        uid=jnp.where(carry.alive, uid, -1),
        next_uid=carry.next_uid + born.sum(dtype=jnp.int32),
    )
    return carry, jnp.where(born[:, None], rows, -1)
