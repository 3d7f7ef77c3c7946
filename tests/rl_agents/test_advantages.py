"""Credit goes to whoever earned it: against a plain-Python account of each individual."""

import jax.numpy as jnp
import numpy as np
import pytest

from rl_agents.advantage_alignment import aligned
from rl_agents.advantages import advantages, following, returns
from rl_agents.learner import Trajectory
from worlds.types import Percept

STEPS, ROWS = 24, 12


@pytest.fixture(scope="module")
def trajectory():
    """Rows that pause, die, are cut and change hands."""
    rng = np.random.default_rng(0)
    acting = rng.random((STEPS, ROWS)) < 0.7
    terminated = rng.random((STEPS, ROWS)) < 0.08
    truncated = rng.random((STEPS, ROWS)) < 0.08
    changes = rng.random((STEPS + 1, ROWS)) < 0.06
    uid = np.cumsum(changes, axis=0) * ROWS + np.arange(ROWS)
    cut = np.where(truncated, rng.normal(size=(STEPS, ROWS)), 0)
    flags = jnp.zeros((STEPS, ROWS), bool)
    percept = Percept((), flags, jnp.asarray(acting), flags)
    return Trajectory(
        percept=percept,
        uid=jnp.asarray(uid[:-1], jnp.int32),
        action=(),
        extras={},
        reward=jnp.asarray(rng.normal(size=(STEPS, ROWS)), jnp.float32),
        terminated=jnp.asarray(terminated),
        truncated=jnp.asarray(truncated),
        cut_value=jnp.asarray(cut, jnp.float32),
        memory=(),
        final=percept,
        final_uid=jnp.asarray(uid[-1], jnp.int32),
    )


def lives(trajectory, row):
    """Stretches of one individual's one episode: (decisions, rewards, what stands at the end).

    A decision is a step at which it acts; its reward runs up to its next one. The end is None
    where nothing follows, a cut value, or "last" where the trajectory stops.
    """
    reward = np.asarray(trajectory.reward)[:, row]
    acting = np.asarray(trajectory.percept.acting)[:, row]
    uid = np.append(np.asarray(trajectory.uid)[:, row], int(trajectory.final_uid[row]))
    term, trunc = (
        np.asarray(trajectory.terminated)[:, row],
        np.asarray(trajectory.truncated)[:, row],
    )
    cut, decisions, rewards = np.asarray(trajectory.cut_value)[:, row], [], []
    for step in range(STEPS):
        if acting[step]:
            decisions.append(step)
            rewards.append(0.0)
        if decisions:
            rewards[-1] += reward[step]
        end = "none"
        if term[step]:
            end = 0.0
        elif trunc[step]:
            end = cut[step]
        elif uid[step] != uid[step + 1]:
            end = 0.0
        elif step == STEPS - 1:
            end = "last"
        if end != "none":
            if decisions:
                yield decisions, rewards, end
            decisions, rewards = [], []


def test_advantages_are_those_of_each_life_by_itself(trajectory):
    rng = np.random.default_rng(1)
    value = rng.normal(size=(STEPS, ROWS)).astype(np.float32)
    last = rng.normal(size=ROWS).astype(np.float32)
    gamma, lam = 0.9, 0.7
    found = np.asarray(advantages(trajectory, jnp.asarray(value), jnp.asarray(last), gamma, lam))
    expected = np.zeros((STEPS, ROWS))
    for row in range(ROWS):
        for decisions, rewards, end in lives(trajectory, row):
            after, ahead = last[row] if end == "last" else end, 0.0
            for step, reward in zip(decisions[::-1], rewards[::-1], strict=True):
                ahead = reward + gamma * after - value[step, row] + gamma * lam * ahead
                after = value[step, row]
                expected[step, row] = ahead
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_returns_are_discounted_sums_up_to_the_end_of_each_life(trajectory):
    last, gamma = np.zeros(ROWS, np.float32), 0.9
    found = np.asarray(returns(trajectory, jnp.asarray(last), gamma))
    for row in range(ROWS):
        for decisions, rewards, end in lives(trajectory, row):
            total = 0.0 if end == "last" else end
            for step, reward in zip(decisions[::-1], rewards[::-1], strict=True):
                total = reward + gamma * total
                assert found[step, row] == pytest.approx(total, rel=1e-4, abs=1e-5)


def test_every_decision_leads_to_the_next_one_of_the_same_life(trajectory):
    found = following(trajectory)
    acting = np.asarray(trajectory.percept.acting)
    seen = 0
    for row in range(ROWS):
        for decisions, rewards, end in lives(trajectory, row):
            for place, (step, reward) in enumerate(zip(decisions, rewards, strict=True)):
                seen += 1
                final = place == len(decisions) - 1
                assert float(found.reward[step, row]) == pytest.approx(reward, rel=1e-4, abs=1e-5)
                assert bool(found.over[step, row]) == (final and end != "last")
                if not final:
                    assert int(found.then[step, row]) == decisions[place + 1]
                elif end == "last":
                    assert int(found.then[step, row]) == STEPS
                else:
                    assert float(found.cut[step, row]) == pytest.approx(end, abs=1e-6)
    assert seen == acting.sum() > 100


def test_alignment_multiplies_ones_past_with_the_others_present():
    rng = np.random.default_rng(2)
    own = rng.normal(size=(6, 4))
    first = np.zeros((6, 4), bool)
    first[3] = True
    found = np.asarray(aligned(jnp.asarray(own), jnp.asarray(first), 2, 0.5, 0.9))
    for row, other in ((0, 1), (1, 0), (2, 3), (3, 2)):
        for begin, stop in ((0, 3), (3, 6)):
            for step in range(begin, stop):
                past = sum(0.9 ** (step - k) * own[k, row] for k in range(begin, step))
                expected = own[step, row] + 0.5 * 0.9 * past * own[step, other]
                assert found[step, row] == pytest.approx(expected, rel=1e-4)
