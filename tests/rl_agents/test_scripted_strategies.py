"""Strategies move by move as in the Axelrod library, in slices and by selection, with noise."""

import json
from pathlib import Path
from typing import NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_agents.scripted.classic import Cycler, TitForTat
from rl_agents.scripted.mix import Strategies, shares
from rl_agents.scripted.stochastic import MemoryOne, Random
from rl_agents.scripted.strategy import Strategy
from worlds.games.equilibria import zero_determinant
from worlds.random import fold
from worlds.registry import entries, load, make
from worlds.types import Births, Mind, Percept, Seats

DATA = Path(__file__).parents[1] / "data"
CASES = json.loads((DATA / "axelrod_cases.json").read_text())
ORACLE = json.loads((DATA / "axelrod_200_turns.json").read_text())
TURNS = len(CASES["moves"]["tit_for_tat"][0]["other"])
STOCHASTIC = (
    "random", "generous_tit_for_tat", "naive_prober", "zd_extort", "zd_generous", "memory_one",
)  # fmt: skip


class Seen(NamedTuple):
    own_last: jax.Array
    other_last: jax.Array


def seats_of(world, fixed=True, num=None):
    return Seats(
        num=num or world.num_slots,
        start=0,
        world=world,
        action_space=world.action_space(0),
        observation_space=world.observation_space(0),
        fixed=fixed,
    )


def symbols(name, key):
    mapping = {"C": 0, "D": 1, ".": 0, "x": 1}
    return np.array([[mapping[s] for s in case[key]] for case in CASES["moves"][name]], np.int8)


def tournament(policy, world, seed=0, fixed=True):
    """Play one episode of a world by a policy that holds all its slots."""
    seats = seats_of(world, fixed)
    policy.check(seats)

    @jax.jit
    def run(world, key):
        def body(step, both):
            state, mind = both
            seen = world.observe(state)
            first = jnp.broadcast_to(step == 0, (world.num_slots,))
            percept = Percept(seen.view, seen.alive, seen.acting, first)
            decision = policy.act(fold(key, 2, step), mind, percept)
            state, _ = world.step(fold(key, 3, step), state, decision.action)
            return state, mind._replace(memory=decision.memory)

        start = world.init(fold(key, 0)), policy.init(fold(key, 1), seats)
        return world.outcome(jax.lax.fori_loop(0, world.horizon, body, start)[0])

    return jax.tree.map(np.asarray, run(world, jax.random.PRNGKey(seed)))


@pytest.mark.parametrize("fixed", [True, False])
def test_every_move_equals_axelrods_with_and_without_noise(fixed):
    names = list(CASES["moves"])
    rows = len(CASES["moves"][names[0]])
    policy = Strategies(mix=tuple(names))
    world = make("matrix_game", num_slots=2, pairs="fixed", rounds=TURNS)
    mind = policy.init(jax.random.PRNGKey(0), seats_of(world, fixed, num=rows * len(names)))
    other = jnp.asarray(np.concatenate([symbols(name, "other") for name in names]))
    flips = jnp.asarray(np.concatenate([symbols(name, "flips") for name in names]))
    expected = np.concatenate([symbols(name, "intended") for name in names])
    everyone = jnp.ones(other.shape[0], bool)

    @jax.jit
    def play(mind):
        def turn(carry, now):
            memory, own_last, other_last, first = carry
            theirs, flip = now
            percept = Percept(Seen(own_last, other_last), everyone, everyone, everyone & first)
            decision = policy.act(jax.random.PRNGKey(0), Mind(mind.params, memory), percept)
            move = decision.action
            return (decision.memory, move ^ flip, theirs, jnp.bool_(False)), move

        blank = jnp.full(other.shape[0], -1, jnp.int8)
        start = (mind.memory, blank, blank, jnp.bool_(True))
        return jax.lax.scan(turn, start, (other.T, flips.T))[1].T

    played = np.asarray(play(mind))
    wrong = sorted({names[row // rows] for row in np.argwhere(played != expected)[:, 0]})
    assert not wrong
    assert 0.2 < expected.mean() < 0.8


@pytest.mark.parametrize("fixed", [True, False])
def test_the_round_robin_of_twelve_equals_axelrods_in_every_cell(fixed):
    world = make("matrix_game", num_slots=12, rounds=200, self_play=True)
    result = tournament(Strategies(mix=tuple(CASES["tournament"])), world, fixed=fixed)
    assert np.array_equal(result["total_scores"], ORACLE["total_score_row_vs_col"])
    assert np.array_equal(result["cooperation_counts"], ORACLE["coop_count_row_vs_col"])


@pytest.mark.parametrize("turns", [1, 63, 333])
def test_round_robins_of_other_lengths_equal_axelrods(turns):
    world = make("matrix_game", num_slots=12, rounds=turns, self_play=True)
    result = tournament(Strategies(mix=tuple(CASES["tournament"])), world)
    expected = CASES["round_robins"][str(turns)]
    assert np.array_equal(result["total_scores"], expected["total_scores"])
    assert np.array_equal(result["cooperation_counts"], expected["cooperation_counts"])


def test_slices_and_selection_agree_on_a_noisy_mix_with_draws():
    mix = {name: 1 + index % 3 for index, name in enumerate([*CASES["moves"], *STOCHASTIC])}
    policy = Strategies(mix=mix)
    world = make("matrix_game", num_slots=43, rounds=40, noise=0.05, repetitions=3)
    sliced = tournament(policy, world, seed=1, fixed=True)
    chosen = tournament(policy, world, seed=1, fixed=False)
    for name in sliced:
        assert np.array_equal(sliced[name], chosen[name]), name
    assert len(np.unique(sliced["score"])) > 20


def test_a_mix_of_one_plays_like_the_strategy_alone():
    world = make("matrix_game", num_slots=6, rounds=30, noise=0.1)
    alone = tournament(TitForTat(), world, seed=4)
    mixed = tournament(Strategies(mix=("tit_for_tat",)), world, seed=4)
    assert np.array_equal(alone["total_scores"], mixed["total_scores"])
    assert alone["total_scores"].std() > 0


@pytest.mark.parametrize("name", ["generous_tit_for_tat", "zd_extort", "zd_generous"])
def test_chances_from_payoffs_equal_axelrods(name):
    world = make("matrix_game", rounds=2)
    numbers = load("policy", name)().setup(seats_of(world))
    assert np.allclose(numbers[:4], CASES["four_vectors"][name], atol=1e-6)


def test_zero_determinant_chances_follow_the_payoffs_of_the_world():
    world = make("matrix_game", rounds=2, temptation=6.0)
    numbers = load("policy", "zd_extort")(factor=3.0).setup(seats_of(world))
    phi = 0.5 / (1 / 3 * (1 - 0) + 6 - 1)
    expected = zero_determinant(3, 0, 6, 1, slope=1 / 3, baseline=1, phi=phi)
    assert np.allclose(numbers[:4], expected, atol=1e-6)


def test_memory_one_cooperates_as_often_as_its_chances_say():
    policy = MemoryOne(cc=0.9, cd=0.1, dc=0.6, dd=0.3, initial=0.25)
    rows = 40_000
    mind = policy.init(jax.random.PRNGKey(0), seats_of(make("matrix_game"), num=rows))
    everyone = jnp.ones(rows, bool)
    cells = ((0, 0, 0.9), (0, 1, 0.1), (1, 0, 0.6), (1, 1, 0.3), (-1, -1, 0.25))
    for number, (own, other, chance) in enumerate(cells):
        view = Seen(jnp.full(rows, own, jnp.int8), jnp.full(rows, other, jnp.int8))
        percept = Percept(view, everyone, everyone, ~everyone)
        action = policy.act(jax.random.PRNGKey(number), mind, percept).action
        assert abs(float((action == 0).mean()) - chance) < 4.5 * np.sqrt(0.25 / rows)


def test_random_chooses_all_of_many_actions_equally():
    world = make("matrix_game", game="rock_paper_scissors", num_slots=30_000, pairs="fixed")
    policy, seats = Random(), seats_of(world)
    policy.check(seats)
    seen = world.observe(world.init(jax.random.PRNGKey(0)))
    percept = Percept(seen.view, seen.alive, seen.acting, seen.alive)
    mind = policy.init(jax.random.PRNGKey(0), seats)
    action = np.asarray(policy.act(jax.random.PRNGKey(1), mind, percept).action)
    assert np.abs(np.bincount(action, minlength=3) / len(action) - 1 / 3).max() < 0.015


def test_rows_that_do_not_act_keep_their_memory():
    policy = load("policy", "two_tits_for_tat")()
    mind = policy.init(jax.random.PRNGKey(0), seats_of(make("matrix_game"), num=2))
    view = Seen(jnp.zeros(2, jnp.int8), jnp.ones(2, jnp.int8))
    acting = jnp.array([True, False])
    decision = policy.act(
        jax.random.PRNGKey(0), mind, Percept(view, acting | True, acting, acting & False)
    )
    assert decision.memory.tolist() == [2, 0]


def test_memory_is_blank_again_in_a_new_episode():
    policy = load("policy", "grudger")()
    mind = policy.init(jax.random.PRNGKey(0), seats_of(make("matrix_game"), num=2))
    everyone = jnp.ones(2, bool)
    blank = jnp.full(2, -1, jnp.int8)
    percept = Percept(Seen(blank, blank), everyone, everyone, jnp.array([True, False]))
    decision = policy.act(
        jax.random.PRNGKey(0), mind._replace(memory=jnp.ones(2, jnp.int8)), percept
    )
    assert decision.memory.tolist() == [0, 1]


def test_selection_copies_strategies_and_mutation_changes_only_newcomers():
    policy = Strategies(mix=("tit_for_tat", "always_defect", "grudger"))
    mind = policy.init(jax.random.PRNGKey(0), seats_of(make("matrix_game"), False, num=6))
    assert policy.types(mind).tolist() == [0, 0, 1, 1, 2, 2]
    births = Births(jnp.array([0, 5, 6]), jnp.array([[2], [1], [-1]]))
    mind = policy.inherit(jax.random.PRNGKey(0), mind, births)
    assert policy.types(mind).tolist() == [1, 0, 1, 1, 2, 0]
    mutants = policy.mutate(jax.random.PRNGKey(3), mind, births, jnp.float32(1), jnp.float32(0))
    assert policy.types(mutants).tolist()[1:5] == [0, 1, 1, 2]
    assigned = policy.assign(mind, jnp.array([1, 2]), 2)
    assert policy.types(assigned).tolist() == [1, 2, 2, 1, 2, 0]


def test_fixed_minds_refuse_to_change_strategy():
    policy = Strategies(mix=("tit_for_tat", "always_defect"))
    mind = policy.init(jax.random.PRNGKey(0), seats_of(make("matrix_game"), True, num=4))
    with pytest.raises(ValueError, match="declared fixed"):
        policy.inherit(jax.random.PRNGKey(0), mind, Births(jnp.array([0]), jnp.array([[2]])))


def test_rows_are_divided_by_weight():
    assert shares(10, [1, 1, 1]) == [4, 3, 3]
    assert shares(7, [0.5, 0.25, 0.25]) == [3, 2, 2]
    assert shares(3, [5, 0]) == [3, 0]


@pytest.mark.parametrize(
    ("policy", "world", "message"),
    [
        (TitForTat(), {"game": "rock_paper_scissors"}, "two actions"),
        (TitForTat(), {"pairs": "neighbours", "num_slots": 5}, "world.actions: each"),
        (Cycler(pattern="CX"), {}, "letters C and D"),
        (Strategies(mix=("tit_for_tat", "tit_for_tat")), {}, "twice"),
        (Strategies(mix={"tit_for_tat": -1.0}), {}, "weights"),
        (Strategies(mix=("constant_donor",)), {}, "no scripted strategy"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(policy, world, message):
    with pytest.raises(ValueError, match=message):
        policy.check(seats_of(make("matrix_game", **world)))


def test_every_scripted_strategy_plays_two_rounds_of_a_dilemma():
    world = make("matrix_game", num_slots=2, rounds=2)
    known = {name: load("policy", name) for name in entries("policy")}
    names = tuple(name for name, cls in known.items() if issubclass(cls, Strategy))
    assert set(CASES["moves"]) | set(STOCHASTIC) <= set(names)
    world = make("matrix_game", num_slots=len(names), rounds=3)
    result = tournament(Strategies(mix=names), world)
    assert np.isfinite(result["score"]).all()
    assert result["score"].max() > result["score"].min()
    assert isinstance(world.action_space(0), gymnasium.spaces.MultiDiscrete)
