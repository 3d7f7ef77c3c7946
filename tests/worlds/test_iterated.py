"""The fast memory-one kernel against a plain-Python replay and stationary theory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worlds.games.equilibria import stationary_memory_one
from worlds.games.iterated import play_memory_one
from worlds.games.presets import PRESETS
from worlds.random import fold, random_pair, threshold

PD = PRESETS["prisoners_dilemma"].table
ROW, COLUMN = [0.9, 0.15, 0.6, 0.3, 0.5], [0.8, 0.3, 0.45, 0.2, 0.7]


def replay(key, row, column, lane, rounds):
    """One pair, round by round, from the words that the kernel draws."""
    limits = np.asarray(threshold(jnp.array([row, column])))
    counts = np.zeros(4, int)
    state = None
    for number in range(rounds):
        stream, step = (fold(key, 1), 0) if number == 0 else (fold(key, 2), number - 1)
        first, second = random_pair(stream, jnp.uint32(lane), step)
        mine = limits[0, 4 if state is None else 2 * state[0] + state[1]]
        theirs = limits[1, 4 if state is None else 2 * state[1] + state[0]]
        state = (int(first >= mine), int(second >= theirs))
        counts[2 * state[0] + state[1]] += 1
    return counts


@pytest.mark.parametrize("rounds", [1, 71])
def test_a_small_batch_equals_a_replay_round_by_round(rounds):
    key = jax.random.PRNGKey(5)
    rows, columns = jnp.tile(jnp.array(ROW), (3, 1)), jnp.tile(jnp.array(COLUMN), (3, 1))
    played = play_memory_one(key, rows, columns, PD, rounds=rounds)
    for lane in (0, 2):
        assert played.counts[lane].tolist() == replay(key, ROW, COLUMN, lane, rounds).tolist()


def test_batches_of_every_size_play_the_same_pair_alike():
    key = jax.random.PRNGKey(2)
    counts = []
    for batch in (1, 40, 4096):
        rows = jnp.tile(jnp.array(ROW), (batch, 1))
        columns = jnp.tile(jnp.array(COLUMN), (batch, 1))
        played = play_memory_one(key, rows, columns, PD, rounds=129)
        assert (played.counts.sum(axis=1) == 129).all()
        counts.append(played.counts[0].tolist())
    assert counts[0] == counts[1] == counts[2]


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_long_run_shares_are_the_stationary_ones(noise):
    rows = jnp.tile(jnp.array(ROW), (4096, 1))
    columns = jnp.tile(jnp.array(COLUMN), (4096, 1))
    played = play_memory_one(jax.random.PRNGKey(1), rows, columns, PD, rounds=401, noise=noise)
    theory = stationary_memory_one(ROW[:4], COLUMN[:4], PD, noise)
    shares = np.asarray(played.counts) / 401
    error = shares.std(axis=0) / np.sqrt(len(shares))
    # The first few rounds are not yet stationary: 401 rounds leave a bias below 0.003.
    assert (np.abs(shares.mean(axis=0) - theory.distribution) < 4.5 * error + 0.003).all()
    assert float(played.row.mean()) == pytest.approx(theory.row, abs=0.02)
    assert float(played.column.mean()) == pytest.approx(theory.column, abs=0.02)
