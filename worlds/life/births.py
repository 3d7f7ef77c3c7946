"""Births inside a step: who wants a child with whom, and which free slot it gets.

There is one index space, the N slots. Parents and children are matched by rank among those
of their group, and the same arrays say whom the mind inherits from: body and network cannot
come from different parents.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from worlds.life.space import Near
from worlds.types import Array

__all__ = ["Matched", "match", "mates"]


class Matched(NamedTuple):
    """Who bears whom.

    child: [N] int32 slot of each slot's child, N where it has none. refused: [N] bool, found
    no slot. parents: [N, 2] int32 parents of whoever is born in a slot, -1 = nobody.
    born: [N] bool.
    """

    child: Array
    refused: Array
    parents: Array
    born: Array


def mates(wants: Array, near: Near, reach: Any, group: Array) -> Array:
    """[N] int32 slot of each willing slot's mate, N where none: pairs of mutually nearest.

    Only willing members of the same group within reach are candidates.
    """
    num = wants.shape[0]
    near_group = jnp.append(group, -1)[near.index]
    willing = jnp.append(wants, False)[near.index] & (near_group == group[:, None])
    willing = willing & (near.distance <= reach) & wants[:, None]
    first = jnp.argmax(willing, axis=1)[:, None]
    some = jnp.take_along_axis(willing, first, 1)[:, 0]
    choice = jnp.where(some, jnp.take_along_axis(near.index, first, 1)[:, 0], num)
    back = jnp.append(choice, num)[choice]
    mutual = some & (back == np.arange(num))
    return jnp.where(mutual, choice, num).astype(jnp.int32)


def match(
    bears: Array, mate: Array, free: Array, group_sizes: tuple[int, ...], turn: Array
) -> Matched:
    """Give the k-th of a group that bears the k-th free slot of the group.

    Ranks are counted from a slot that ``turn`` moves on, so that a full world does not
    always refuse the same slots.

    Args:
      bears: [N] bool, bear a child and would pay for it. mate: [N] int32, N = none.
      free: [N] bool. group_sizes: slots of each group. turn: int32.
    """
    num = bears.shape[0]
    children, parents, start = [], [], 0
    for size in group_sizes:
        place = np.arange(size, dtype=np.int32)
        shift = jnp.mod(turn, size)
        order = start + jnp.mod(place + shift, size)
        both = jnp.stack([bears[order], free[order]])
        rank = jnp.cumsum(both, axis=1) - 1
        # Those who ask, then those who do not; free slots, then the others.
        rows = order[jnp.argsort(~both, axis=1, stable=True)]
        found = both & (rank < both.sum(1)[::-1, None])
        match = jnp.where(found, jnp.take_along_axis(rows[::-1], rank, 1), -1)
        back = match[:, jnp.mod(place - shift, size)]
        children.append(jnp.where(back[0] >= 0, back[0], num))
        parents.append(back[1])
        start += size
    child, parent = jnp.concatenate(children), jnp.concatenate(parents)
    served = child < num
    other = jnp.append(jnp.where(mate < num, mate, -1), -1)[parent]
    parents = jnp.stack([parent, jnp.where(parent >= 0, other, -1)], axis=1)
    return Matched(child, bears & ~served, parents, parent >= 0)
