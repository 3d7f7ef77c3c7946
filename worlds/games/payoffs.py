"""What a round pays, from everybody's actions."""

from typing import NamedTuple

import jax.numpy as jnp

from worlds.types import Array

__all__ = ["Meeting", "meet", "payoff_of"]


class Meeting(NamedTuple):
    """What happened at each seat in a round, summed over copies.

    payoff: [N, K] float32. cooperations: [N, K] int32, how often action 0 was carried out.
    """

    payoff: Array
    cooperations: Array


def meet(table: Array, role: Array, own: Array, other: Array) -> Meeting:
    """Pay both sides of two-player games.

    Args:
      table: [2, A, B] float32 payoffs of the row and the column player.
      role: [N, K] int32, which of the two each seat is.
      own, other: [N, K, R] int8 actions; negative where nobody is met, which pays nothing.

    Returns:
      Sums over the R copies.
    """
    if table.shape[1:] == (2, 2):
        return _meet_by_counts(table, role, own, other)
    payoff = payoff_of(table, role, own, other[:, None])
    return Meeting(payoff.sum(axis=-1), (own == 0).sum(axis=2, dtype=jnp.int32))


def payoff_of(table: Array, role: Array, own: Array, others: Array) -> Array:
    """Look up every seat's payoff.

    Args:
      table: [n, A1, ..., An] float32.
      role: [...] int32 player that each seat is.
      own: [..., R] int8. others: [N, n - 1, ..., R] int8, in the order of the other players.

    Returns:
      The shape of ``own``, float32; 0 where somebody is missing.
    """
    num_roles = table.shape[0]
    width = max(table.shape[1:])
    pads = [(0, 0)] + [(0, width - size) for size in table.shape[1:]]
    padded = jnp.pad(table, pads, mode="edge")
    # Seen from each player: own action first, then the others' in order.
    seen = jnp.stack([jnp.moveaxis(padded[i], i, 0) for i in range(num_roles)]).ravel()
    index = role[..., None] * width + own
    missing = own < 0
    for other in range(num_roles - 1):
        action = others[:, other]
        index = index * width + jnp.maximum(action, 0)
        missing = missing | (action < 0)
    return jnp.where(missing, 0.0, seen[jnp.maximum(index, 0)])


def _meet_by_counts(table: Array, role: Array, own: Array, other: Array) -> Meeting:
    """2x2 games: from four counts for each seat, taken in one pass over the copies."""
    mine, theirs, both = _counts(own == 0, other == 0, other >= 0)
    met = jnp.where(other[:, :, 0] >= 0, own.shape[2], 0)
    cells = (both, mine - both, theirs - both, met - mine - theirs + both)
    seen = jnp.stack([table[0], table[1].T]).reshape(2, 4)
    payoff = jnp.zeros(role.shape, jnp.float32)
    for cell, count in enumerate(cells):
        payoff = payoff + count.astype(jnp.float32) * jnp.where(role == 0, *seen[:, cell])
    return Meeting(payoff, mine)


def _counts(mine: Array, theirs: Array, met: Array) -> tuple[Array, Array, Array]:
    """Count over copies how often I, the other, and both cooperated.

    Up to 1,023 copies the three counts travel in one word, ten bits each.
    """
    mine = mine & met
    if mine.shape[2] > 1023:
        a, b, c = (x.sum(axis=2, dtype=jnp.int32) for x in (mine, theirs, mine & theirs))
        return a, b, c
    word = (
        mine.astype(jnp.int32)
        + (theirs.astype(jnp.int32) << 10)
        + ((mine & theirs).astype(jnp.int32) << 20)
    ).sum(axis=2, dtype=jnp.int32)
    return word & 1023, (word >> 10) & 1023, word >> 20
