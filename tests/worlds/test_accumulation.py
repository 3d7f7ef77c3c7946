"""Lifetimes of trials: judged by hand, taught by others, worth what the formulae say."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from society.measures.ratchet import ratchet_of
from worlds import make
from worlds.random import fold

KEY = jax.random.PRNGKey(3)


def live(world, choose, key=KEY):
    """Play a lifetime; returns the final state and what was seen at every step."""
    step, observe = jax.jit(type(world).step), jax.jit(type(world).observe)
    state, views = world.init(key), []
    for clock in range(world.horizon):
        seen = observe(world, state)
        if not np.asarray(seen.acting).any():
            break
        views.append(jax.device_get(seen.view))
        action = jnp.asarray(choose(clock, state), jnp.int32)
        state, _ = step(world, fold(key, clock), state, action)
    return jax.device_get(state), views


def test_a_mistake_ends_the_trial_and_pupils_go_by_their_own_clock():
    world = make("memory_sequence", symbols=3, length=4, trials=2, num_slots=2, num_players=2)

    def choose(clock, state):
        right = np.asarray(state.task)[np.clip(np.asarray(state.place), 0, 3)]
        wrong = (right + 1) % 3
        return [right[0], wrong[1] if clock == 1 else right[1]]

    state, views = live(world, choose)
    assert state.first.tolist() == [4.0, 0.0]  # four right; one right, one wrong
    assert state.last.tolist() == [4.0, 4.0]
    assert [view["ended"].tolist() for view in views[:5]] == [
        [0, 0], [0, 0], [0, 1], [0, 0], [1, 0],
    ]  # fmt: skip
    assert len(views) == 8
    found = {name: np.asarray(value) for name, value in world.outcome(state).items()}
    assert found["best_reward"].tolist() == [4.0, 4.0]
    assert found["mean_reward"].tolist() == [4.0, 2.0]
    assert found["last_score"].tolist() == [4.0, 4.0]


def test_demonstrators_are_replayed_from_their_last_trial():
    world = make("memory_sequence", symbols=3, length=4, trials=2, num_slots=2, num_players=2)
    lesson = world.blank_lesson(KEY)
    state, _ = live(dataclasses.replace(world, lesson=lesson), lambda *_: [0, 1])
    assert (state.task == np.asarray(lesson.task)).all(), "the lesson's task is played"
    models, known = jnp.array([1, 0, 0]), jnp.array([True, True, False])
    taught = world.taught(
        dataclasses.replace(lesson, seen=jnp.ones(2)),
        jax.tree.map(jnp.asarray, state),
        models,
        known,
    )
    assert taught.models[0].tolist() == state.kept[1].tolist()
    assert taught.models[2].tolist() == [-1] * 4
    pupil = dataclasses.replace(world, lesson=taught)
    _, views = live(pupil, lambda *_: [2, 2])
    assert views[0]["visible"].tolist() == [1, 1]
    assert views[0]["shown"][0].tolist() == [1, 0, -1]  # what slots 1 and 0 chose first
    hidden = dataclasses.replace(taught, seen=jnp.zeros(2))
    _, views = live(dataclasses.replace(world, lesson=hidden), lambda *_: [2, 2])
    assert all((view["shown"] == -1).all() for view in views)


def test_visibility_falls_from_the_first_trial_to_the_last():
    world = make("memory_sequence", symbols=2, length=2, trials=3, teachers="oracle",
                 num_slots=400, num_players=400)  # fmt: skip
    state, step = world.init(KEY), jax.jit(type(world).step)
    share = {}
    for clock in range(6):
        for trial in range(3):
            rows = np.asarray(state.trial) == trial
            share.setdefault(trial, []).extend(np.asarray(state.visible)[rows].tolist())
        # Everybody errs, so every step ends a trial.
        wrong = 1 - np.asarray(state.task)[np.asarray(state.place) % 2]
        state, _ = step(world, fold(KEY, clock), state, jnp.asarray(wrong, jnp.int32))
        if clock == 2:
            break
    means = [float(np.mean(share[trial])) for trial in range(3)]
    assert means[0] == 1.0 and means[2] == 0.0
    assert means[1] == pytest.approx(0.5, abs=0.1)


def test_the_noisy_oracles_expectation_is_the_sum_over_all_runs():
    world = make("memory_sequence", length=4)
    for p in (0.0, 0.3, 0.9, 1.0):
        brute = sum(
            np.prod([p if right else 1 - p for right in run]) * (*run, False).index(False)
            for run in itertools.product((True, False), repeat=4)
        )
        assert world.expected_score(p) == pytest.approx(brute)


def test_tours_are_paid_by_their_legs_and_the_best_one_is_found():
    world = make("tsp", cities=4, trials=2, num_slots=2, num_players=2)
    places = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    lesson = dataclasses.replace(world.blank_lesson(KEY), task=places)
    around, back = [0, 1, 2, 3] * 2, [0, 0, 1, 1, 2, 2]
    state, _ = live(
        dataclasses.replace(world, lesson=lesson),
        lambda clock, _: [around[clock], back[clock % 6]],
    )
    side = 1 - 0.5**0.5  # (sqrt 2 - 1) / sqrt 2
    assert state.first[0] == pytest.approx(4 * side, abs=1e-6)
    assert state.first[1] == -1.0  # the second city was the first again
    assert float(world.best_return(places)) == pytest.approx(4 * side, abs=1e-6)
    found = world.outcome(jax.tree.map(jnp.asarray, state))
    assert np.asarray(found["shortfall"])[0] == pytest.approx(0.0, abs=1e-6)


def test_teachers_of_the_oracle_are_as_good_as_said():
    world = make("memory_sequence", symbols=4, length=64, models=64, teachers="oracle", skill=3.0)
    state = jax.device_get(jax.jit(type(world).init)(world, KEY))
    right = (state.models == state.task[None, :]).mean(axis=1)
    # Mean over u of p + (1 - p) / 4 with p = 1 - 1 / (1 + u): 1 - 0.75 ln(4) / 3.
    assert right.mean() == pytest.approx(1 - 0.75 * np.log(4) / 3, abs=0.06)
    assert right[:16].mean() > right[-16:].mean() + 0.2, "best first, as demonstrators are"
    tours = make("tsp", models=16, teachers="oracle")
    made = np.asarray(jax.jit(type(tours).init)(tours, KEY).models)
    assert (np.sort(made, axis=1) == np.arange(6)).all(), "tours visit every city once"


def test_ratchet_statistics_by_hand():
    found = ratchet_of(np.array([1.0, 3.0, 2.0, 4.0]))
    assert found["gain"] == 3.0 and found["best"] == 4.0
    assert found["slope"] == pytest.approx(0.8)
    assert found["loss"] == pytest.approx(1 / 3)
    assert found["advances"] == pytest.approx(2 / 3)
    assert np.isnan(ratchet_of(np.array([5.0]))["gain"])
