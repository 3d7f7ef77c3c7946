"""Learners: the contract of each, and results that are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_agents.adam import adam_begin, adam_step
from rl_agents.advantage_alignment import AdvantageAlignment
from rl_agents.deep_q_learning import DeepQLearning
from rl_agents.evolution import EvolutionStrategy
from rl_agents.fictitious_play import FictitiousPlay
from rl_agents.genetic import GeneticAlgorithm
from rl_agents.ippo import Ippo
from rl_agents.lola import Lola, lola_gradient, values
from rl_agents.mappo import Mappo
from rl_agents.memory_one_odds import MemoryOneOdds
from rl_agents.mixed import Mixed
from rl_agents.network_policy import Gru, Mlp
from rl_agents.pbt import PopulationBasedTraining
from rl_agents.q_learning import QLearning
from rl_agents.regret_matching import RegretMatching
from rl_agents.reinforce import Reinforce
from rl_agents.tabular import Tabular
from rl_agents.testing_learners import check_learner
from worlds.registry import make

SEES = ("own_last", "other_last")
SMALL = {"width": 4, "layers": 1, "sees": SEES}
ONCE = {"epochs": 1, "minibatches": 1}
CASES = {
    "ippo": (Ippo(rollout=4, **ONCE), Mlp(**SMALL)),
    "ippo with memory, separate": (
        Ippo(rollout=4, epochs=1, minibatches=2),
        Gru(width=4, sees=SEES, parameters="separate"),
    ),
    "mappo": (Mappo(rollout=4, width=4, **ONCE), Mlp(**SMALL)),
    "reinforce": (Reinforce(rollout=4), Mlp(**SMALL)),
    "q_learning": (QLearning(rollout=4), Tabular(sees=SEES)),
    "q_learning, shared": (QLearning(rollout=4), Tabular(sees=SEES, parameters="shared")),
    "deep_q_learning": (
        DeepQLearning(rollout=4, memory=32, batch=8, repeats=1),
        Mlp(decide="epsilon_greedy", **SMALL),
    ),
    "evolution_strategy": (EvolutionStrategy(rollout=4), Mlp(parameters="separate", **SMALL)),
    "genetic_algorithm": (GeneticAlgorithm(rollout=4), Mlp(parameters="separate", **SMALL)),
    "advantage_alignment": (AdvantageAlignment(rollout=4, **ONCE), Mlp(**SMALL)),
    "pbt": (
        PopulationBasedTraining(learner=Ippo(rollout=4, **ONCE), every=1),
        Mlp(parameters="separate", **SMALL),
    ),
}


QUICK = ("ippo", "q_learning", "evolution_strategy", "deep_q_learning")


@pytest.mark.parametrize(
    "name",
    [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in CASES],
)
def test_learners_keep_the_contract(name):
    learner, policy = CASES[name]
    world = make("matrix_game", rounds=3, pairs="fixed", num_slots=4, order="alternating")
    check_learner(learner, policy, world, eager=name == "q_learning")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ippo", "ippo with memory, separate", "mappo"])
def test_learners_learn_the_same_without_being_compiled(name):
    learner, policy = CASES[name]
    check_learner(learner, policy, make("matrix_game", rounds=3, pairs="fixed", num_slots=4))


@pytest.mark.parametrize(
    ("learner", "policy"),
    [
        (Lola(rollout=2), MemoryOneOdds()),
        (RegretMatching(rollout=3), Mixed()),
        (FictitiousPlay(rollout=3), Mixed()),
    ],
    ids=["lola", "regret_matching", "fictitious_play"],
)
def test_learners_of_games_keep_the_contract(learner, policy):
    check_learner(learner, policy, make("matrix_game", rounds=9, pairs="fixed", num_slots=4))


def test_actions_in_continuous_spaces_are_learned():
    """The network of a Box space has a spread, which the gradient reaches."""
    world = make("public_goods", rounds=3, num_slots=4)
    if world.action_space(0).__class__.__name__ != "Box":
        pytest.skip("no world with continuous actions")
    check_learner(Ippo(rollout=4, **ONCE), Mlp(width=4, layers=1), world, eager=False)


def test_adam_steps_as_published():
    params, state = {"w": jnp.array([1.0, -2.0])}, adam_begin({"w": jnp.zeros(2)})
    first, second = np.zeros(2), np.zeros(2)
    expected = np.array([1.0, -2.0])
    for count, grad in enumerate(([0.5, -1.0], [2.0, 0.0], [-1.0, 1.0]), 1):
        params, state = adam_step(params, state, {"w": jnp.array(grad)}, 0.1)
        first = 0.9 * first + 0.1 * np.array(grad)
        second = 0.999 * second + 0.001 * np.array(grad) ** 2
        ahead = first / (1 - 0.9**count)
        expected = expected - 0.1 * ahead / (np.sqrt(second / (1 - 0.999**count)) + 1e-5)
    np.testing.assert_allclose(params["w"], expected, rtol=1e-5)


TABLE = jnp.array([[[-1.0, -3.0], [0.0, -2.0]], [[-1.0, 0.0], [-3.0, -2.0]]])


def strategy(*chances):
    """Log-odds of cooperating at the start and after CC, CD, DC, DD."""
    chance = np.clip(np.array(chances), 1e-6, 1 - 1e-6)
    return jnp.asarray(np.log(chance / (1 - chance)), jnp.float32)


def test_exact_values_of_memory_one_strategies():
    tit_for_tat, defector = strategy(1, 1, 0, 1, 0), strategy(0, 0, 0, 0, 0)
    both = np.asarray(values(tit_for_tat, tit_for_tat, TABLE, 0.9))
    np.testing.assert_allclose(both, -10, rtol=1e-3)
    found = np.asarray(values(tit_for_tat, defector, TABLE, 0.9))
    np.testing.assert_allclose(found, [-3 - 2 * 9, -2 * 9], rtol=1e-3)
    np.testing.assert_allclose(values(defector, tit_for_tat, TABLE, 0.9), found[::-1], rtol=1e-3)


def test_values_agree_with_played_games():
    rng = np.random.default_rng(0)
    one, two = rng.normal(size=5), rng.normal(size=5)
    p, q = 1 / (1 + np.exp(-one)), 1 / (1 + np.exp(-two))
    state, total, gamma = np.zeros((40_000, 2), int) - 1, np.zeros(2), 0.8
    for round_ in range(60):
        own = [
            np.where(state[:, i] < 0, 0, 1 + 2 * state[:, i] + state[:, 1 - i]) for i in range(2)
        ]
        acts = np.stack([rng.random(40_000) > c[s] for c, s in zip((p, q), own, strict=True)], 1)
        state = acts.astype(int)
        table = np.asarray(TABLE)
        total += gamma**round_ * table[:, state[:, 0], state[:, 1]].mean(axis=1)
    found = values(jnp.asarray(one), jnp.asarray(two), TABLE, gamma)
    np.testing.assert_allclose(found, total, atol=0.03)


def test_without_foresight_lola_is_the_plain_gradient():
    one, two = strategy(0.3, 0.6, 0.2, 0.7, 0.4), strategy(0.5, 0.4, 0.6, 0.1, 0.3)

    def game(a, b):
        return values(a, b, TABLE, 0.9)

    up_one, up_two = lola_gradient(game, one, two, jnp.float32(0), jnp.float32(0))
    np.testing.assert_allclose(up_one, jax.grad(lambda a: game(a, two)[0])(one), rtol=1e-4)
    np.testing.assert_allclose(up_two, jax.grad(lambda b: game(one, b)[1])(two), rtol=1e-4)
    step = jax.grad(lambda b: game(one, b)[1])(two)
    near = 1e-3
    seen = lola_gradient(game, one, two, jnp.float32(near), jnp.float32(0))[0] - up_one
    # To first order: the change of one's gradient is that of V1 along the opponent's step,
    # where only the step depends on oneself.
    harm = jax.grad(lambda b: game(one, b)[0])(two)

    def effect(a):
        return jnp.dot(harm, jax.grad(lambda b: game(a, b)[1])(two))

    np.testing.assert_allclose(seen / near, jax.grad(effect)(one), rtol=0.05, atol=0.05)
    assert np.abs(np.asarray(step)).max() > 0
