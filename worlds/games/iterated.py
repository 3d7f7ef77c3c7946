"""Memory-one strategies against each other, as fast as random words can be drawn.

A round of two memory-one players is a jump among four states. What each state would jump
to depends only on the words drawn for the round, so the jumps of a whole block of rounds
are prepared first, side by side: one byte a round holds two bits for each state. The
serial part is then one shift and one mask a round.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp

from worlds.random import fold, random_pair, threshold
from worlds.types import Array

__all__ = ["IteratedPlay", "play_memory_one"]

_UNROLL = 32


class IteratedPlay(NamedTuple):
    """What B pairs did in all rounds.

    counts: [B, 4] int32 rounds that ended in CC, CD, DC, DD (row player first).
    row, column: [B] float32 payoffs per round.
    """

    counts: Array
    row: Array
    column: Array


@functools.partial(jax.jit, static_argnames="rounds")
def play_memory_one(
    key: Array,
    row: Array,
    column: Array,
    table: Array,
    *,
    rounds: int,
    noise: Array | float = 0.0,
) -> IteratedPlay:
    """Play pairs of memory-one strategies; every pair's draws are its own.

    Args:
      key: [2] uint32.
      row, column: [B, 5] chances to cooperate after CC, CD, DC, DD (own action first) and
        in the first round.
      table: [2, 2, 2] payoffs, action 0 is C.
      rounds: number of rounds.
      noise: chance that an action is flipped as it is carried out.
    """
    chances = jnp.stack([row, column[:, [0, 2, 1, 3, 4]]]).astype(jnp.float32)
    limits = jnp.moveaxis(threshold(chances + noise * (1.0 - 2.0 * chances)), 2, 1)
    lane = jnp.arange(row.shape[0], dtype=jnp.uint32)
    first, second = random_pair(fold(key, 1), lane)
    opening = _next(first < limits[0, 4], second < limits[1, 4])
    wide = row.shape[0] >= 4096
    length = 4 if wide else 64 if row.shape[0] >= 32 else 512
    walk = _walk_wide if wide else _walk
    blocks, rest = divmod(rounds - 1, length)

    def play(number: Array | int, both: tuple[Array, Array], size: int = length) -> tuple:
        start = jnp.uint32(number) * jnp.uint32(length)
        word = walk(fold(key, 2), limits, both[0] & 3, start, size)
        return word, both[1] + _unpacked(word)

    carry = jax.lax.fori_loop(0, blocks, play, (opening, _unpacked(opening)))
    if rest:
        carry = play(blocks, carry, rest)
    mine, theirs, both = carry[1]
    counts = jnp.stack([both, mine - both, theirs - both, rounds - mine - theirs + both], axis=1)
    cells = jnp.asarray(table, jnp.float32).reshape(2, 4)
    paid = counts.astype(jnp.float32) @ cells.T / rounds
    return IteratedPlay(counts, paid[:, 0], paid[:, 1])


def _next(mine: Array, theirs: Array) -> Array:
    """The word of one round: who cooperated, and a tally of it.

    Bits 0 and 1 are the state (column's and row's cooperation); above lie three counters
    of ten bits each: row's, column's, and joint cooperations. Words of rounds add up, but
    for the state, so a block must be shorter than 1,024 rounds.
    """
    both = (mine & theirs).astype(jnp.uint32)
    mine, theirs = mine.astype(jnp.uint32), theirs.astype(jnp.uint32)
    return mine * (2 + (1 << 2)) + theirs * (1 + (1 << 12)) + (both << 22)


def _unpacked(word: Array) -> Array:
    tally = word >> 2
    return jnp.stack([tally & 1023, (tally >> 10) & 1023, tally >> 20]).astype(jnp.int32)


def _walk(key: Array, limits: Array, state: Array, start: Array, length: int) -> Array:
    """Play a block: prepare every jump, then follow them."""
    shape = (length, limits.shape[2])
    lane = jax.lax.broadcasted_iota(jnp.uint32, shape, 1)
    step = start + jax.lax.broadcasted_iota(jnp.uint32, shape, 0)
    first, second = random_pair(key, lane, step)
    jumps = jnp.zeros(shape, jnp.uint32)
    for cell in range(4):  # CC is state 3, DD is state 0
        mine, theirs = first < limits[0, cell], second < limits[1, cell]
        after = (mine.astype(jnp.uint32) << 1) | theirs.astype(jnp.uint32)
        jumps = jumps | (after << (2 * (3 - cell)))

    def follow(word: Array, jump: Array) -> tuple[Array, None]:
        state = (jump.astype(jnp.uint32) >> (2 * (word & 3))) & 3
        return (word & ~jnp.uint32(3)) + _next(state >= 2, (state & 1) == 1), None

    # A loop even for short blocks, or XLA would draw the words anew for every use.
    unroll = _UNROLL if length > _UNROLL else 1
    return jax.lax.scan(follow, state, jumps.astype(jnp.uint8), unroll=unroll)[0]


def _walk_wide(key: Array, limits: Array, state: Array, start: Array, length: int) -> Array:
    """Play a block of many pairs: all its rounds in one pass over the pairs."""
    lane = jnp.arange(limits.shape[2], dtype=jnp.uint32)
    word = state
    for number in range(length):
        mine, theirs = (word & 2) == 2, (word & 1) == 1
        first, second = random_pair(key, lane, start + jnp.uint32(number))
        row, column = (
            jnp.where(
                mine,
                jnp.where(theirs, limits[side, 0], limits[side, 1]),
                jnp.where(theirs, limits[side, 2], limits[side, 3]),
            )
            for side in (0, 1)
        )
        word = (word & ~jnp.uint32(3)) + _next(first < row, second < column)
    return word
