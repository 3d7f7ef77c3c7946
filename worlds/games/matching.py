"""Who meets whom, and how one side's actions become what the other side sees.

Actions are [N, K, R]: slot i has K seats, and R independent copies are played side by
side. Facing turns everybody's own actions into what was played against them.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from worlds.random import random_bits
from worlds.types import Array, Graph

__all__ = [
    "Tables",
    "cross_partners",
    "edge_seats",
    "face_all",
    "face_cross",
    "face_edges",
    "face_tables",
    "insert_diagonal",
    "random_tables",
    "round_robin_partners",
    "seated_in_order",
]


class Tables(NamedTuple):
    """Who sits with whom at tables of n.

    members: [N, n - 1] int32 slots of the others, by role; N where a slot sits out.
    role: [N] int32 seat at the table, which is the player of the payoff table.
    """

    members: Array
    role: Array


# ---- everybody against everybody ---------------------------------------------------


def round_robin_partners(num: int, self_play: bool) -> np.ndarray:
    """Return [N, K] int32: the slot that each seat of each slot plays against.

    Seats are in slot order, leaving oneself out. With self-play, seat i of slot i plays
    its clone, whose moves are those of the extra last seat.
    """
    slots = np.arange(num, dtype=np.int32)
    if self_play:
        return np.concatenate([np.broadcast_to(slots, (num, num)), slots[:, None]], axis=1)
    return np.broadcast_to(slots, (num, num))[~np.eye(num, dtype=bool)].reshape(num, num - 1)


def face_all(own: Array, self_play: bool) -> Array:
    """Return what was played against each seat of a round robin, in the shape of ``own``."""
    num = own.shape[0]
    if not self_play:
        return _drop_diagonal(jnp.swapaxes(insert_diagonal(own), 0, 1))
    eye = jnp.eye(num, dtype=bool).reshape(num, num, *[1] * (own.ndim - 2))
    clone = own[:, num:]
    square = own[:, :num]
    diagonal = jnp.where(eye, square, 0).sum(axis=1, dtype=own.dtype)
    other = jnp.where(eye, clone, jnp.swapaxes(square, 0, 1))
    return jnp.concatenate([other, diagonal[:, None]], axis=1)


def insert_diagonal(rows: Array) -> Array:
    """[N, N - 1, ...] to [N, N, ...] with zeros on the diagonal.

    Without its first entry a square's flat form is N - 1 runs of N entries and one
    diagonal entry each, so that two pads do it without an index.
    """
    num, rest = rows.shape[0], rows.shape[2:]
    none = [(0, 0)] * len(rest)
    runs = jnp.pad(rows.reshape(num - 1, num, *rest), [(0, 0), (0, 1), *none])
    flat = jnp.pad(runs.reshape((num - 1) * (num + 1), *rest), [(1, 0), *none])
    return flat.reshape(num, num, *rest)


def _drop_diagonal(square: Array) -> Array:
    num, rest = square.shape[0], square.shape[2:]
    runs = square.reshape(num * num, *rest)[1:].reshape(num - 1, num + 1, *rest)
    return runs[:, :num].reshape(num, num - 1, *rest)


# ---- two groups --------------------------------------------------------------------


def cross_partners(sizes: tuple[int, int]) -> np.ndarray:
    """Return [N, K] int32: every member of one group meets every member of the other.

    K is the larger size; padding seats of the larger group hold N.
    """
    first, second = sizes
    num, width = first + second, max(sizes)
    partner = np.full((num, width), num, np.int32)
    partner[:first, :second] = np.arange(first, num)
    partner[first:, :first] = np.arange(first)
    return partner


def face_cross(own: Array, sizes: tuple[int, int]) -> Array:
    """Return what the other group played against each seat; -1 at padding seats."""
    first, second = sizes
    width = max(sizes)
    none = [(0, 0)] * (own.ndim - 2)

    def padded(block: Array, seats: int) -> Array:
        pads = [(0, 0), (0, width - seats), *none]
        return jnp.pad(jnp.swapaxes(block, 0, 1), pads, constant_values=-1)

    to_first = padded(own[first:, :first], second)
    to_second = padded(own[:first, :second], first)
    return jnp.concatenate([to_first, to_second])


# ---- tables of n -------------------------------------------------------------------


def seated_in_order(present: Array, size: int) -> Tables:
    """Seat the present slots at tables of ``size``: the first ones together, and so on."""
    return _seat(jnp.where(present, 0, 1), present, size)


def random_tables(key: Array, present: Array, size: int) -> Tables:
    """Seat the present slots at random tables of ``size``; the remainder sits out.

    Every slot draws a word and the words are sorted, so that empty slots change nothing
    for the others.
    """
    word = random_bits(key, jnp.arange(present.shape[0]))
    return _seat(jnp.where(present, word >> 1, jnp.uint32(0xFFFFFFFF)), present, size)


def _seat(order_by: Array, present: Array, size: int) -> Tables:
    num = present.shape[0]
    order = jnp.argsort(order_by, stable=True).astype(jnp.int32)
    place = jnp.zeros(num, jnp.int32).at[order].set(jnp.arange(num, dtype=jnp.int32))
    seated = place < (present.sum(dtype=jnp.int32) // size) * size
    role = place % size
    others = jnp.arange(size - 1)
    others = others + (others >= role[:, None])
    at = jnp.minimum((place - role)[:, None] + others, num - 1)
    return Tables(jnp.where(seated[:, None], order[at], num), jnp.where(seated, role, 0))


def face_tables(own: Array, tables: Tables) -> Array:
    """Return [N, n - 1, R] what the others at the table played; -1 for those sitting out."""
    return own[:, 0].at[tables.members].get(mode="fill", fill_value=-1)


# ---- neighbours --------------------------------------------------------------------


def edge_seats(graph: Graph) -> Array:
    """Return [N, K] int32: where in its partner's row each tie of a padded table lies.

    Entries are flat indices into [N * K]; padding holds N * K. The tie from i to j and
    the tie from j to i are found by sorting all ties by their two ends.
    """
    num, width = graph.table.shape
    own = jnp.broadcast_to(jnp.arange(num, dtype=jnp.int32)[:, None], (num, width)).ravel()
    other = graph.table.ravel()
    first = jnp.where(other < num, own, num)  # padding last in both orders
    there = jnp.lexsort((other, first))
    back = jnp.lexsort((first, other))
    match = jnp.zeros(num * width, jnp.int32).at[there].set(back.astype(jnp.int32))
    mutual = (own[match] == other) & (other[match] == own) & (other < num)
    return jnp.where(mutual, match, num * width).reshape(num, width)


def face_edges(own: Array, seats: Array) -> Array:
    """Return what each neighbour played against each seat; -1 at padding seats."""
    num, width, copies = own.shape
    flat = own.reshape(num * width, copies)
    return flat.at[seats].get(mode="fill", fill_value=-1)
