"""Bare kernels: what the games would cost without worlds, policies and the loop.

They compute the same thing as the general path and nothing else, and serve only as a
yardstick for it.
"""

import functools

import jax
import jax.numpy as jnp

from worlds.random import below, fold, random_pair, threshold

_PENDING = 15  # what four bits can count


@functools.partial(jax.jit, static_argnames=("turns", "copies", "answers"))
def tournament(key, noise, *, turns, copies, answers=False):
    """Twelve strategies, everybody against everybody and a clone, with execution errors.

    Rows: the twelve of Axelrod's oracle in order; columns: opponents, then the clone.
    Actions are int8 [12, 13, copies], 1 = D. Returns three counts a seat: own, the
    other's and joint cooperations, [12, 13] int32 each, summed over copies. With
    ``answers`` also, for each strategy, [12, 8] choices and cooperative ones after CC, CD,
    DC, DD, and [12] seats that broke the peace: what the measure ``reciprocity`` counts.
    """
    shape = (12, 13, copies)
    half = (copies + 1) // 2
    slot = jax.lax.broadcasted_iota(jnp.uint32, (12, 13, half), 0)
    seat = jax.lax.broadcasted_iota(jnp.uint32, (12, 13, half), 1)
    copy = jax.lax.broadcasted_iota(jnp.uint32, (12, 13, half), 2)
    limit = threshold(noise)

    def errors(turn):
        first, second = random_pair(fold(key, turn), slot, (seat << 16) | copy)
        return (first < limit).astype(jnp.uint8) | ((second < limit).astype(jnp.uint8) << 4)

    def body(turn, state):
        own, other, memory, gradual, tally, packed, peace = state
        begun = turn > 0
        moves, memory, gradual = _moves(own, other, memory, gradual, begun)
        if answers:
            packed, peace = _answered(own, other, moves, packed, peace)
        # A branch, so that the draws are made once and not fused into the concatenation.
        drawn = jax.lax.cond(
            noise > 0, errors, lambda _: jnp.zeros((12, 13, half), jnp.uint8), turn
        )
        slips = jnp.concatenate([drawn & 15, drawn >> 4], axis=2)[:, :, :copies]
        own = moves ^ slips.astype(jnp.int8)
        other = _facing(own)
        mine, theirs = (own == 0).astype(jnp.uint32), (other == 0).astype(jnp.uint32)
        tally = tally + (mine | (theirs << 10) | ((mine & theirs) << 20))
        return own, other, memory, gradual, tally, packed, peace

    def stretch(index, both):
        """Turns until the counters of four bits are full, which are then added up."""
        state, counts = both
        first = index * _PENDING
        state = jax.lax.fori_loop(first, jnp.minimum(first + _PENDING, turns), body, state)
        return (*state[:5], jnp.zeros_like(state[5]), state[6]), counts + _nibbles(state[5])

    blank = jnp.full(shape, -1, jnp.int8)
    memory = jnp.zeros((4, *shape[1:]), jnp.int8)
    gradual = jnp.zeros(shape[1:], jnp.uint32)
    tally = jnp.zeros(shape, jnp.uint32)
    start = blank, blank, memory, gradual, tally, *((tally, blank + 1) if answers else ((), ()))
    if answers:
        full = start, jnp.zeros((12, 8), jnp.int32)
        end, counts = jax.lax.fori_loop(0, -(-turns // _PENDING), stretch, full)
    else:
        end = jax.lax.fori_loop(0, turns, body, start)
    sums = tuple(
        part.astype(jnp.int32).sum(axis=2)
        for part in (end[4] & 1023, (end[4] >> 10) & 1023, end[4] >> 20)
    )
    if not answers:
        return sums
    return *sums, counts, (end[6][:, :12] >> 1).sum((1, 2), dtype=jnp.int32)


def _facing(own):
    """What was played against each seat; the extra seat is the clone's."""
    eye = jnp.eye(12, dtype=bool)[:, :, None]
    square = own[:, :12]
    diagonal = jnp.where(eye, square, 0).sum(axis=1, dtype=jnp.int8)
    facing = jnp.where(eye, own[:, 12:], jnp.swapaxes(square, 0, 1))
    return jnp.concatenate([facing, diagonal[:, None]], axis=1)


def _answered(own, other, moves, packed, peace):
    """Counters of four bits a seat, and who broke the peace, after one more choice."""
    known = own >= 0
    byte = jnp.where(moves == 0, jnp.uint32(17), jnp.uint32(1))
    place = (jnp.maximum(own * 2 + other, 0) * 8).astype(jnp.uint32)
    packed = packed + jnp.where(known, byte << place, jnp.uint32(0))
    broken = (peace > 0) | (own == 1) | (other == 1)
    first = ~broken & (moves == 1)
    return packed, jnp.where(first, 3, (peace & 2) | broken.astype(jnp.int8)).astype(jnp.int8)


def _nibbles(packed):
    """[12, 8] int32: counters of all seats but the clone's, two at a time."""
    pairs = [((packed[:, :12] >> (4 * place)) & 0x000F000F).sum(2) for place in range(4)]
    parts = [pair & 0xFFFF for pair in pairs] + [pair >> 16 for pair in pairs]
    return jnp.stack([part.sum(1, dtype=jnp.int32) for part in parts], axis=1)


def _moves(own, other, memory, gradual, begun):
    """One slice a strategy; memories of Grudger, TF2T, 2TFT and Hard TFT, and Gradual."""
    hit = other == 1
    grudge = memory[0] | jnp.where(hit[4], 1, 0).astype(jnp.int8)
    run = jnp.where(hit[5], jnp.minimum(memory[1] + 1, 2), 0).astype(jnp.int8)
    two = jnp.where(hit[6], 2, jnp.maximum(memory[2] - 1, 0)).astype(jnp.int8)
    hard = jnp.where(hit[9], 3, jnp.maximum(memory[3] - 1, 0)).astype(jnp.int8)
    seen = (gradual >> 16) + hit[11].astype(jnp.uint32)
    left = gradual & 0xFFFF
    left = jnp.where((left == 0) & hit[11], seen + 1, jnp.maximum(left, 1) - 1)
    gradual = jnp.where(begun, (seen << 16) | left, gradual)
    memory = jnp.where(begun, jnp.stack([grudge, run, two, hard]), memory)
    yes = jnp.ones_like(hit[0])
    rows = [
        hit[0], ~yes, yes, own[3] == 0, grudge == 1, run == 2, two > 0, hit[7], other[8] == 0,
        hard > 0, own[10] != other[10], left >= 2,
    ]  # fmt: skip
    opening = jnp.zeros((12, 1, 1), bool).at[jnp.array([2, 7])].set(True)
    moves = jnp.where(begun, jnp.stack(rows), opening)
    return moves.astype(jnp.int8), memory, gradual


@functools.partial(jax.jit, static_argnames="steps")
def imitation(types, table, payoff, beta, key, *, steps):
    """Pairwise comparison on a regular graph: everybody meets all neighbours, then Fermi.

    Args:
      types: [N] int8, 1 = defects. table: [N, K] int32 neighbours, K at most 63.
      payoff: [2, 2] float32 of the row player. beta: intensity of selection.

    One byte an agent holds its strategy and how many of its neighbours defect, so that a
    model is read with one gather. The branches keep draws, gathers and arithmetic in loops
    of their own: in one loop with a gather, nothing is vectorised.
    """
    num, width = table.shape
    lane = jnp.arange(num, dtype=jnp.uint32)
    rows = jnp.arange(num, dtype=jnp.int32)
    entries = table.ravel()
    always = beta >= 0

    def earned(byte):
        defectors = (byte & 63).astype(jnp.float32)
        own = jnp.where(byte >= 64, payoff[1, 0], payoff[0, 0])
        loss = jnp.where(byte >= 64, payoff[1, 1] - payoff[1, 0], payoff[0, 1] - payoff[0, 0])
        return width * own + defectors * loss

    def body(step, types):
        counts = _gather(types, table).sum(axis=1, dtype=jnp.int8)
        byte = counts | (types << 6)

        def draw():
            first, second = random_pair(fold(key, step), lane)
            return (second & ~jnp.uint32(63)) | below(first, width).astype(jnp.uint32)

        # Six bits choose the neighbour's place, the other 26 decide.
        word = jax.lax.cond(always, draw, lambda: jnp.zeros(num, jnp.uint32))
        place = rows * width + (word & 63).astype(jnp.int32)
        model = jax.lax.cond(always, lambda: _gather(byte, _gather(entries, place)), lambda: byte)
        chance = jax.nn.sigmoid(beta * (earned(model) - earned(byte)))
        return jnp.where(word < threshold(chance), model >> 6, types)

    return jax.lax.fori_loop(0, steps, body, types)


@functools.partial(jax.jit, static_argnames="steps")
def imitation_by_segments(types, senders, receivers, payoff, beta, key, *, steps):
    """The same dynamics as one would first write them: float32, jax.random, segment_sum."""
    num = types.shape[0]
    width = senders.shape[0] // num

    def body(step, strategy):
        key_pick, key_adopt = jax.random.split(jax.random.fold_in(key, step))
        mine, theirs = strategy[receivers], strategy[senders]
        gain = (1 - mine) * ((1 - theirs) * payoff[0, 0] + theirs * payoff[0, 1]) + mine * (
            (1 - theirs) * payoff[1, 0] + theirs * payoff[1, 1]
        )
        earned = jax.ops.segment_sum(gain, receivers, num, indices_are_sorted=True)
        pick = jax.random.randint(key_pick, (num,), 0, width)
        model = senders[jnp.arange(num) * width + pick]
        chance = jax.nn.sigmoid(beta * (earned[model] - earned))
        adopts = jax.random.uniform(key_adopt, (num,)) < chance
        return jnp.where(adopts, strategy[model], strategy)

    return jax.lax.fori_loop(0, steps, body, types.astype(jnp.float32))


def _gather(values, index):
    """``values[index]`` without the handling of negative indices."""
    return values.at[index].get(mode="promise_in_bounds", wrap_negative_indices=False)
