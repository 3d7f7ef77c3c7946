"""Worlds side by side: each goes as it would alone; slots stay where groups expect them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worlds.many import ManyWorlds
from worlds.random import fold
from worlds.registry import make
from worlds.tree import as_arrays

KEY = jax.random.PRNGKey(3)


def many(single, num_envs=3, restart=False, sizes=None):
    sizes = sizes or (single.num_slots,)
    slots = num_envs * single.num_slots
    return as_arrays(
        ManyWorlds(
            world=single, num_envs=num_envs, restart=restart, group_sizes=sizes, num_slots=slots
        )
    )


@pytest.mark.slow
def test_one_world_is_one_of_a_batch():
    single = make("matrix_game", rounds=4, pairs="random", noise=0.3, num_slots=4)
    world = many(single, sizes=(1, 3))
    state = world.init(KEY)
    alone = [single.init(fold(fold(KEY, jnp.int32(0)), copy)) for copy in range(3)]
    for step in range(4):
        seen, key = world.observe(state), jax.random.fold_in(KEY, step)
        rng = np.random.default_rng(step)
        action = jnp.asarray(rng.integers(0, 2, 12), jnp.int32)
        state, moved = world.step(key, state, action)
        for copy in range(3):
            own = single.observe(alone[copy])
            rows = jax.tree.map(lambda leaf, copy=copy: leaf[copy], world.split(seen))
            jax.tree.map(np.testing.assert_array_equal, rows, own)
            given = world.split(action)[copy]
            alone[copy], transition = single.step(fold(key, copy), alone[copy], given)
            reward = world.split(moved.reward)[copy]
            np.testing.assert_array_equal(reward, transition.reward)
    scores = np.stack([single.outcome(one)["score"] for one in alone])
    np.testing.assert_array_equal(world.split(world.outcome(state)["score"]), scores)


def test_rows_are_group_by_group_and_world_by_world():
    world = many(make("matrix_game", rounds=2, num_slots=5), num_envs=2, sizes=(2, 3))
    rows = jnp.arange(10)
    np.testing.assert_array_equal(world.split(rows), [[0, 1, 4, 5, 6], [2, 3, 7, 8, 9]])
    np.testing.assert_array_equal(world.merge(world.split(rows)), rows)
    assert [world.slot_within(slot) for slot in range(10)] == [0, 1, 0, 1, 2, 3, 4, 2, 3, 4]


def test_a_world_that_is_over_begins_anew_and_still_shows_its_end():
    world = many(make("cartpole", num_slots=1), num_envs=4, restart=True)
    state, step = jax.jit(world.init)(KEY), jax.jit(world.step)
    ends = 0
    for index in range(30):
        state, moved = step(jax.random.fold_in(KEY, index), state, jnp.ones(4, jnp.int32))
        over = np.asarray(moved.terminated)
        np.testing.assert_array_equal(world.fresh(state), over)
        assert np.asarray(world.observe(state).alive).all(), "everybody plays all the time"
        now, last = world.observe(state).view, world.observe_last(state).view
        assert (np.abs(np.asarray(last)[over, 2]) > 0.2).all()
        assert (np.abs(np.asarray(now)[over]) <= 0.05).all()
        np.testing.assert_array_equal(np.asarray(now)[~over], np.asarray(last)[~over])
        ends += over.sum()
    assert ends >= 8 and (np.asarray(state.count) >= 2).all()


def test_a_limit_truncates_and_is_no_end_by_the_rules():
    world = many(make("cartpole", max_steps=3, num_slots=1), num_envs=2, restart=True)
    state = world.init(KEY)
    for index in range(3):
        state, moved = world.step(jax.random.fold_in(KEY, index), state, jnp.zeros(2, jnp.int32))
        np.testing.assert_array_equal(moved.truncated, [index == 2] * 2)
        assert not np.asarray(moved.terminated).any()


def test_hosts_and_births_are_refused():
    class Elsewhere(type(make("cartpole"))):
        backend = "host"

    world = ManyWorlds(world=Elsewhere(), num_envs=2, group_sizes=(1,), num_slots=2)
    with pytest.raises(ValueError, match="runs on the host, so use num_envs: 1"):
        world.check_params()
