"""Births as arrays: making them, and matching them to slots and to the rows of groups."""

from typing import NamedTuple

import jax.numpy as jnp

from worlds.types import Array, Births

__all__ = [
    "Placement",
    "assign_slots",
    "births_among",
    "dense_births",
    "keep_within_groups",
    "localise",
    "newborns",
]


class Placement(NamedTuple):
    """Where newcomers went.

    births: as asked for, with ``child`` in the group of its parent; refused ones are padding.
    alive: [M] bool after deaths and births. refused: [G] int32 births without a free slot.
    """

    births: Births
    alive: Array
    refused: Array


def dense_births(parent: Array) -> Births:
    """Return births in which every row takes part; a row that is its own parent stays.

    Args:
      parent: [M] int32 rows.
    """
    return Births(
        jnp.arange(parent.shape[0], dtype=jnp.int32), parent.astype(jnp.int32)[:, None], True
    )


def newborns(parent: Array, born: Array) -> Births:
    """Return births into the rows where ``born``; the other rows are padding.

    Args:
      parent: [M] int32 rows. born: [M] bool.
    """
    size = parent.shape[0]
    child = jnp.where(born, jnp.arange(size, dtype=jnp.int32), size)
    return Births(child, jnp.where(born, parent, -1).astype(jnp.int32)[:, None], False)


def births_among(births: Births, rows: int) -> Array:
    """Return [B] bool: pairs that change somebody.

    Padding does not, nor do rows of dense births that are their own parents. In births that
    are not dense, a row may be taken by a newcomer that descends from its last holder.
    """
    parent = births.parent[:, 0]
    named = (births.child < rows) & (parent >= 0)
    return named & (parent != births.child) if births.dense else named


def keep_within_groups(births: Births, group: Array) -> tuple[Births, Array]:
    """Drop pairs that cross groups, and count them for the child's group.

    Minds of two groups may differ in kind, so an individual that keeps its slot can only
    take over what somebody of its own group knows.

    Args:
      births: pairs of rows among M. group: [M] int32.

    Returns:
      The births (dense ones stay dense: crossing rows become their own parents) and
      the number of dropped pairs, int32 scalar.
    """
    rows = group.shape[0]
    child = jnp.minimum(births.child, rows - 1)
    parent = births.parent[:, 0]
    crosses = births_among(births, rows) & (group[child] != group[jnp.maximum(parent, 0)])
    if births.dense:
        kept = Births(births.child, jnp.where(crosses, child, parent)[:, None], True)
    else:
        kept = Births(
            jnp.where(crosses, rows, births.child),
            jnp.where(crosses[:, None], -1, births.parent),
            False,
        )
    return kept, crosses.sum(dtype=jnp.int32)


def assign_slots(births: Births, alive: Array, group: Array, num_groups: int) -> Placement:
    """Match newcomers to free slots of their parents' groups, by cumulative-sum rank.

    Rows named as ``child`` die and become free, also where their newcomer goes elsewhere.
    The k-th newcomer of a group (in the order of ``births``) takes the group's k-th free
    slot; who finds none is refused and counted. Newcomers never overwrite the living.

    Args:
      births: pairs of rows among M (``births_among`` says which of them count).
      alive: [M] bool before the event.
      group: [M] int32 in [0, num_groups), of every slot, dead or alive.
      num_groups: static number of groups G.
    """
    rows = alive.shape[0]
    real = births_among(births, rows)
    gone = jnp.zeros(rows, bool).at[jnp.where(real, births.child, rows)].set(True, mode="drop")
    free = ~alive | gone

    home = jnp.where(real, group[jnp.maximum(births.parent[:, 0], 0)], num_groups)
    rank, wanted = _rank_within(home, num_groups)
    free_home = jnp.where(free, group, num_groups)
    offered = jnp.zeros(num_groups + 1, jnp.int32).at[free_home].add(1)[:num_groups]
    free_rows = jnp.argsort(free_home, stable=True).astype(jnp.int32)
    first_free = jnp.cumsum(offered) - offered

    placed = real & (rank < _take(offered, home))
    position = jnp.where(placed, _take(first_free, home) + rank, 0)
    child = jnp.where(placed, free_rows[position], rows).astype(jnp.int32)
    parent = jnp.where(placed[:, None], births.parent, -1)
    now_alive = (alive & ~gone).at[child].set(True, mode="drop")
    refused = jnp.maximum(wanted - offered, 0)
    return Placement(Births(child, parent, False), now_alive, refused)


def localise(births: Births, start: int, stop: int) -> Births:
    """Return the pairs within one group's slots [start, stop), counted from its first row.

    Pairs whose child or first parent lies outside become padding (or, where ``births`` is
    dense, rows that are their own parents, and the result is dense over the group).
    """
    rows = stop - start
    if births.dense:
        births = Births(births.child[start:stop], births.parent[start:stop], True)
    child, parent = births.child - start, births.parent - start
    inside = (parent >= 0) & (parent < rows)
    mine = (child >= 0) & (child < rows) & inside[:, 0]
    if births.dense:
        return dense_births(jnp.where(mine, parent[:, 0], child))
    return Births(
        jnp.where(mine, child, rows), jnp.where(inside & mine[:, None], parent, -1), False
    )


def _rank_within(home: Array, num_groups: int) -> tuple[Array, Array]:
    """Return each entry's rank among entries of its group, and the size of every group."""
    sizes = jnp.zeros(num_groups + 1, jnp.int32).at[home].add(1)
    order = jnp.argsort(home, stable=True)
    start = jnp.cumsum(sizes) - sizes
    rank_sorted = jnp.arange(home.shape[0], dtype=jnp.int32) - start[home[order]]
    rank = jnp.zeros(home.shape[0], jnp.int32).at[order].set(rank_sorted)
    return rank, sizes[:num_groups]


def _take(per_group: Array, home: Array) -> Array:
    return per_group[jnp.minimum(home, per_group.shape[0] - 1)]
