"""Networks: what they see, how they choose, what they remember, whose they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from scipy import stats

from rl_agents import heads
from rl_agents.features import columns_of, encode, width_of
from rl_agents.heads import Head, head_of
from rl_agents.memory_one_odds import MemoryOneOdds
from rl_agents.mixed import Mixed
from rl_agents.network_policy import Cnn, Gru, Lstm, Mlp
from rl_agents.per_slot import by_member
from rl_agents.ppo import values_of
from rl_agents.tabular import Tabular
from rl_agents.testing import check_policy
from rl_agents.testing_learners import trajectory_of
from worlds.registry import make
from worlds.types import Seats

KEY = jax.random.PRNGKey(0)


def seats_of(world):
    return Seats(world.num_slots, 0, world, world.action_space(0), world.observation_space(0))


def game(**params):
    return make("matrix_game", rounds=3, pairs="fixed", num_slots=4, **params)


@pytest.mark.parametrize(
    ("policy", "world"),
    [
        (Mlp(width=4, layers=1), game()),
        pytest.param(Gru(width=4, parameters="separate"), game(), marks=pytest.mark.slow),
        (Lstm(width=4), make("cartpole", num_slots=2)),
        pytest.param(
            Cnn(width=4, features=(2,), memory="gru"),
            make("coin_game", max_steps=4),
            marks=pytest.mark.slow,
        ),
        (Tabular(sees=("own_last", "other_last")), game()),
        (Mixed(), game()),
        (MemoryOneOdds(), game()),
    ],
    ids=["mlp", "gru", "lstm", "cnn", "tabular", "mixed", "memory_one_odds"],
)
def test_policies_that_can_be_trained_keep_the_contract(policy, world):
    check_policy(policy, world, steps=3)


def test_small_integers_are_shown_as_names_and_unbounded_numbers_squashed():
    space = spaces.Dict(
        {
            "last": spaces.Box(-1, 1, (2,), np.int8),
            "place": spaces.Discrete(3, start=5),
            "flags": spaces.MultiBinary(2),
            "score": spaces.Box(-np.inf, np.inf, (), np.float32),
            "share": spaces.Box(0, 1, (), np.float32),
        }
    )
    view = {
        "last": jnp.array([[-1, 1]], jnp.int8),
        "place": jnp.array([6]),
        "flags": jnp.array([[0, 1]]),
        "score": jnp.array([-(np.e**2 - 1)]),
        "share": jnp.array([0.25]),
    }
    columns = columns_of(space)
    row = encode(view, columns, (1,))
    by_name = {"flags": [0, 1], "last": [1, 0, 0, 0, 0, 1], "place": [0, 1, 0]}
    expected = {**by_name, "score": [-2], "share": [0.25]}
    order = [column.path[0] for column in columns]
    np.testing.assert_allclose(row[0], np.concatenate([expected[n] for n in order]), rtol=1e-6)
    assert width_of(columns) == row.shape[1] == 13
    assert [c.path for c in columns_of(space, ("share",))] == [("share",)]
    with pytest.raises(ValueError, match="sees: shares is not in what the world shows; it has"):
        columns_of(space, ("shares",))


def test_choices_come_as_often_as_their_probabilities_and_never_when_illegal():
    head = Head("discrete", (), 5)
    out = jnp.broadcast_to(jnp.array([0.0, 1.0, 5.0, -1.0, 2.0]), (20_000, 5))
    legal = jnp.broadcast_to(jnp.array([True, True, False, True, False]), (20_000, 5))
    action, log_prob = jax.jit(lambda key: heads.sample(key, head, out, None, legal))(KEY)
    share = np.bincount(np.asarray(action), minlength=5) / 20_000
    expected = np.exp([0, 1, -np.inf, -1, -np.inf]) / np.exp([0, 1, -1]).sum()
    np.testing.assert_allclose(share, expected, atol=0.012)
    np.testing.assert_allclose(np.exp(log_prob), expected[np.asarray(action)], rtol=1e-5)
    entropy = heads.entropy(head, out[:1], None, legal[:1])
    assert float(entropy[0]) == pytest.approx(stats.entropy(expected[expected > 0]), rel=1e-5)


def test_normal_numbers_have_the_density_that_is_noted():
    head = head_of(spaces.Box(-np.inf, np.inf, (2,), np.float32))
    mean, log_std = jnp.full((5000, 2), 0.5), jnp.full((5000, 2), -1.0)
    action, log_prob = heads.sample(KEY, head, mean, log_std, None)
    expected = stats.norm.logpdf(np.asarray(action), 0.5, np.exp(-1)).sum(axis=1)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-4, atol=1e-4)
    assert stats.kstest(np.asarray(action)[:, 0], "norm", (0.5, np.exp(-1))).pvalue > 0.01
    entropy = 2 * stats.norm.entropy(0.5, np.exp(-1))
    assert float(heads.entropy(head, mean, log_std, None)[0]) == pytest.approx(entropy, rel=1e-5)
    bounded = head_of(spaces.Box(-1, 1, (2,), np.float32))
    cut, _ = heads.sample(KEY, bounded, mean, log_std, None)
    np.testing.assert_array_equal(cut, np.clip(action, -1, 1))
    assert float(cut.max()) == 1.0 < float(action.max())


@pytest.mark.parametrize("policy", [Gru(width=5), Lstm(width=5)], ids=["gru", "lstm"])
def test_unrolling_a_trajectory_gives_what_was_noted_step_by_step(policy):
    """Across the ends of episodes, and with rows that do not act in every step."""
    world = game(order="alternating")
    mind = policy.init(KEY, seats_of(world))
    trajectory, _ = trajectory_of(policy, mind, world, 10)
    percept, spec = trajectory.percept, mind.params.spec
    assert percept.first.sum() >= 2 * 4 and not percept.acting.all()
    x = policy.inputs(spec, percept, percept.first.shape)
    net = mind.params.net
    outputs = policy.unroll(spec, net, trajectory.memory, x, percept.first, percept.acting)
    acting = np.asarray(percept.acting)
    noted = np.asarray(trajectory.extras["value"])
    np.testing.assert_allclose(np.asarray(outputs.value)[acting], noted[acting], rtol=1e-4)
    logs = heads.log_prob(spec.head, outputs.out, None, None, trajectory.action)
    noted = np.asarray(trajectory.extras["log_prob"])
    np.testing.assert_allclose(np.asarray(logs)[acting], noted[acting], rtol=1e-4)


@pytest.mark.parametrize("parameters", ["shared", "separate"])
def test_values_of_all_steps_at_once_are_those_of_each_step(parameters):
    policy = Mlp(width=5, parameters=parameters)
    world = game(order="alternating")
    mind = policy.init(KEY, seats_of(world))
    trajectory, _ = trajectory_of(policy, mind, world, 10)
    assert "value" not in trajectory.extras, "it is left to the learner"
    found = np.asarray(values_of(policy, mind, trajectory))
    for step in range(10):
        percept = jax.tree.map(lambda leaf, step=step: leaf[step], trajectory.percept)
        alone = np.asarray(policy.value(mind, percept))
        np.testing.assert_allclose(found[step], alone, rtol=1e-4, atol=1e-6)


def test_separate_networks_act_as_each_would_alone():
    world, policy = game(), Mlp(width=4, parameters="separate")
    mind = policy.init(KEY, seats_of(world))
    spec, net = mind.params.spec, mind.params.net
    x = jax.random.normal(KEY, (8, spec.width))  # two worlds of four members
    value = by_member(lambda net, x: policy.step(spec, net, (), x), net, 4, (x,)).value
    for row in range(8):
        own = jax.tree.map(lambda leaf, member=row % 4: leaf[member], net)
        alone = policy.step(spec, own, (), x[row : row + 1]).value[0]
        assert float(value[row]) == pytest.approx(float(alone), rel=1e-4, abs=1e-6)


def test_what_a_network_cannot_do_is_said():
    with pytest.raises(ValueError, match="shows no image"):
        Cnn().check(seats_of(game()))
    with pytest.raises(ValueError, match="a network cannot act in"):
        head_of(spaces.Text(5))
    with pytest.raises(ValueError, match="a network cannot read"):
        columns_of(spaces.Text(5))
    with pytest.raises(ValueError, match="name a few small integers"):
        Tabular().check(seats_of(make("coin_game", max_steps=4)))
