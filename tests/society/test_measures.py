"""Measures on cases computed by hand, and on real episodes."""

import dataclasses
import types
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from rl_agents.scripted.donors import ConstantDonor
from rl_agents.scripted.mix import Strategies
from rl_agents.scripted.public_goods import Contributor
from society.contract import GroupSlice, Moment, Record
from society.measures.cooperation import Cooperation
from society.measures.counting import (
    add_count,
    add_mean,
    count_of,
    labels_of,
    mean_of,
    zero_counts,
    zero_mean,
)
from society.measures.efficiency import Efficiency, benchmarks_of
from society.measures.generosity import Generosity
from society.measures.inequality import Equality, Gini, gini
from society.measures.price import PriceEquation, price_equation, price_multilevel
from society.measures.reciprocity import Reciprocity
from society.measures.returns import Returns
from society.measures.strategies import (
    Diversity,
    Fixation,
    Neutrality,
    StrategyShares,
    hill_number,
)
from society.measures.tournament import Tournament
from society.testing import check_measure, play
from worlds.games.equilibria import pure_equilibria
from worlds.registry import entries, load, make
from worlds.types import Observation, Transition

MIX = ("always_cooperate", "always_defect", "tit_for_tat")


def mixed_game(**params):
    num = params.pop("num_slots", 3)
    return make("matrix_game", num_slots=num, num_players=num, **params)


@pytest.fixture(scope="session")
def robin():
    """ALLC, ALLD and TFT, all pairs, four rounds: 18 matches-sides can be listed by hand."""
    return play(mixed_game(rounds=4), Strategies(mix=MIX))


@pytest.fixture(scope="session")
def donors():
    world = make("donor_game", num_slots=4, num_players=4, rounds=4)
    return play(world, ConstantDonor(fraction=0.5))


@pytest.fixture(scope="session")
def commons():
    return play(make("public_goods", num_slots=4, num_players=4, rounds=2), Contributor())


def groups_of(played):
    return played.record.groups


def record_of(counts, labels, generation=None, **fields):
    counts = np.asarray(counts, float)
    generation = np.arange(len(counts)) if generation is None else np.asarray(generation)
    base = Record(
        world=types.SimpleNamespace(),
        groups=(GroupSlice("all", 0, 4, tuple(labels)),),
        series={},
        clock=np.zeros((0, 3), int),
        generations={"types/all": counts, "index": generation},
        outcome={},
        fitness=np.zeros(4),
        alive=np.ones(4, bool),
        types=np.zeros(4, int),
    )
    return dataclasses.replace(base, **fields)


ELSEWHERE = {
    # They need places, bodies, texts or learners, refuse games without, and have their own tests.
    "schelling": "test_social_measures.py",
    "automaton": "test_life_measures.py",
    "energy_audit": "test_life_measures.py",
    "evolutionary_activity": "test_life_measures.py",
    "heard_words_influence": "test_life_measures.py",
    "illumination": "test_life_measures.py",
    "lineage": "test_life_measures.py",
    "epidemic_course": "../worlds/test_epidemic.py",
    "opinion_spread": "../worlds/test_opinions.py",
    "exploitability": "test_learning.py",
    "positive_listening": "test_signalling.py",
    "positive_signalling": "test_signalling.py",
    "cultural_fst": "test_culture.py",
    "text_attractor": "test_culture.py",
    "text_diversity": "test_culture.py",
    "text_phylogeny": "test_culture.py",
    "text_similarity": "test_culture.py",
    "text_style": "test_culture.py",
    "town_life": "test_town_life.py",
}


@pytest.mark.parametrize("name", sorted(ELSEWHERE))
def test_measures_of_other_worlds_say_what_they_need(name, robin, commons):
    assert (Path(__file__).parent / ELSEWHERE[name]).exists()
    for played in (robin, commons):
        with pytest.raises(ValueError, match=r".{30}"):
            load("measure", name)().check(played.record.world, groups_of(played))


@pytest.mark.parametrize("name", sorted(set(entries("measure")) - ELSEWHERE.keys()))
def test_every_registered_measure_conforms_on_a_world_that_it_accepts(name, robin, donors, commons):
    measure = load("measure", name)()
    accepted = 0
    for played in (robin, donors, commons):
        try:
            measure.check(played.record.world, groups_of(played))
        except ValueError as error:
            assert len(str(error)) > 30, "a refusal says what fits"
            continue
        check_measure(measure, played, groups_of(played))
        accepted += 1
    assert accepted, f"measure {name} accepts none of the sample worlds"


# ---- cooperation and reciprocity ---------------------------------------------------------


def test_cooperation_counts_acts_by_round_and_by_strategy(robin):
    found = check_measure(Cooperation(by="type"), robin, groups_of(robin))
    # Round 1: ALLC and TFT cooperate with both others: 4 of 6. Later TFT answers ALLD: 3 of 6.
    assert found["cooperation_by_round"] == pytest.approx([4 / 6, 3 / 6, 3 / 6, 3 / 6])
    assert found["cooperation_initial"] == pytest.approx(4 / 6)
    assert found["cooperation"] == pytest.approx(13 / 24)
    assert found["cooperation_final"] == pytest.approx(13 / 24)
    assert found["cooperation.always_cooperate"] == 1.0
    assert found["cooperation.always_defect"] == 0.0
    assert found["cooperation.tit_for_tat"] == pytest.approx(5 / 8)


def test_cooperation_is_refused_where_no_action_is_cooperative(donors):
    with pytest.raises(ValueError, match="cooperative"):
        Cooperation().check(donors.record.world, groups_of(donors))
    with pytest.raises(ValueError, match="cooperative"):
        Cooperation().check(mixed_game(game="rock_paper_scissors"), ())


def test_clones_and_empty_seats_do_not_count():
    world = mixed_game(rounds=3, self_play=True, num_slots=2)
    played = play(world, Strategies(mix=("always_cooperate", "always_defect")))
    found = check_measure(Cooperation(by="type"), played, groups_of(played))
    assert found["cooperation"] == found["cooperation.always_cooperate"] - 0.5 == 0.5


def test_reciprocity_of_tit_for_tat_and_defectors_is_as_computed_by_hand(robin):
    found = check_measure(Reciprocity(by="type"), robin, groups_of(robin))
    # ALLC against ALLD: always C after CD. TFT against ALLD: CD once, then DD twice.
    assert found["p_cd.always_cooperate"] == 1.0
    assert found["p_cc.tit_for_tat"] == 1.0
    assert found["p_cd.tit_for_tat"] == 0.0 and found["p_dd.tit_for_tat"] == 0.0
    assert np.isnan(found["p_dc.tit_for_tat"]) and np.isnan(found["contrition.tit_for_tat"])
    assert found["reciprocity.tit_for_tat"] == 1.0
    assert found["retaliation.tit_for_tat"] == 1.0 and found["forgiveness.tit_for_tat"] == 0.0
    assert found["niceness.tit_for_tat"] == 1.0 and found["niceness.always_defect"] == 0.0
    # Over everybody, after CD: three answers of ALLC (all C) and one of TFT (D).
    assert found["p_cd"] == pytest.approx(3 / 4)
    assert found["niceness"] == pytest.approx(4 / 6)


def test_reciprocity_needs_answers_to_single_partners():
    world = mixed_game(pairs="neighbours")
    with pytest.raises(ValueError, match="actions: each"):
        Reciprocity().check(world, ())


def test_who_defects_first_later_is_not_nice_either():
    world = mixed_game(rounds=4, num_slots=2)
    played = play(world, Strategies(mix=("alternator", "grudger")))
    found = check_measure(Reciprocity(by="type"), played, groups_of(played))
    assert found["niceness.alternator"] == 0.0 and found["niceness.grudger"] == 1.0


def test_labels_name_groups_where_there_are_several():
    two = (GroupSlice("a", 0, 2, ("x", "y")), GroupSlice("b", 2, 3, ("x",)), GroupSlice("c", 3, 4))
    assert labels_of(two) == ("a.x", "a.y", "b", "c")
    assert labels_of(two[:1]) == ("x", "y") and labels_of(two[2:]) == ("c",)


def test_counters_carry_beyond_32_bits_and_means_do_not_drift():
    counts = zero_counts(1)
    for _ in range(5):
        counts = add_count(counts, jnp.array([2**31 - 1]))
    assert count_of(counts)[0] == 5 * (2**31 - 1)
    mean = zero_mean()
    for value in (1e8, 1.0, -1e8, 1.0):
        mean = add_mean(mean, jnp.float32(value))
    assert mean_of(mean) == 0.5


# ---- efficiency, equality, returns -------------------------------------------------------


def test_efficiency_places_the_payoff_between_equilibrium_and_optimum(robin):
    found = check_measure(Efficiency(), robin, groups_of(robin))
    # Payoffs of four rounds: ALLC-ALLD 0+20, ALLC-TFT 12+12, ALLD-TFT (5+3) + (0+3).
    payoff = (20 + 24 + 11) / 24
    assert found["payoff"] == pytest.approx(payoff)
    assert (found["payoff_optimum"], found["payoff_nash"]) == (3.0, 1.0)
    assert found["efficiency"] == pytest.approx((payoff - 1) / 2)


def test_benchmarks_take_pure_equilibria_or_the_mixed_one():
    battle = np.array([[[10, 0], [0, 7]], [[7, 0], [0, 10]]], float)
    assert len(pure_equilibria(battle)) == 2
    assert benchmarks_of(battle, "worst") == (8.5, 8.5)
    stag = np.array([[[4, 1], [3, 2]], [[4, 3], [1, 2]]], float)
    assert benchmarks_of(stag, "worst") == (4, 2) and benchmarks_of(stag, "best") == (4, 4)
    pennies = np.array([[[1, -1], [-1, 1]], [[-1, 1], [1, -1]]], float)
    assert benchmarks_of(pennies, "worst") == (0, 0)


def test_payoff_of_shared_actions_is_per_interaction():
    world = mixed_game(pairs="neighbours", num_slots=4)
    played = play(world, Strategies(mix=("always_defect", "always_cooperate")))
    found = check_measure(Efficiency(), played, groups_of(played))
    # Two D, two C, each meets the three others: D 1 + 5 + 5, C 0 + 0 + 3.
    assert found["payoff"] == pytest.approx((2 * 11 + 2 * 3) / 12)


@pytest.mark.parametrize(
    ("values", "expected"),
    [([1, 1, 1], 0), ([0, 0, 9], 2 / 3), ([1, 3], 1 / 4), ([-1, 1], 1 / 2), ([0, 0], 0), ([5], 0)],
)
def test_gini_is_the_mean_difference_over_twice_the_mean(values, expected):
    assert gini(np.array(values)) == pytest.approx(expected)
    shifted = np.array(values, float) - min(0, min(values))
    if shifted.sum():
        pairs = np.abs(shifted[:, None] - shifted[None]).sum()
        assert gini(np.array(values)) == pytest.approx(pairs / (2 * len(values) * shifted.sum()))


def test_equality_is_one_minus_gini_over_the_living():
    record = record_of(
        [[4]], ["x"], fitness=np.array([1.0, 3.0, 99.0, 99.0]), alive=np.array([1, 1, 0, 0], bool)
    )
    assert Equality().finish((), record) == {"equality": pytest.approx(0.75)}
    assert Gini().finish((), record) == {"gini": pytest.approx(0.25)}
    with pytest.raises(ValueError, match="possible: wealth"):
        Gini(of="health").finish((), dataclasses.replace(record, outcome={"wealth": np.ones(4)}))


def test_returns_are_averaged_by_strategy_and_group(robin):
    found = check_measure(Returns(by="type"), robin, groups_of(robin))
    assert found["returns.always_cooperate"] == 12 and found["returns.always_defect"] == 28
    assert found["returns.tit_for_tat"] == 15 and found["returns_total"] == 55
    halves = (GroupSlice("left", 0, 2, MIX), GroupSlice("right", 2, 3, MIX))
    assert check_measure(Returns(by="group"), robin, halves)["returns.left"] == 20


# ---- tournaments and donors --------------------------------------------------------------


def test_tournament_lists_scores_counts_and_a_ranking(robin):
    found = check_measure(Tournament(), robin, groups_of(robin))
    assert found["names"] == list(MIX)
    assert found["total_scores"] == [[0, 0, 12], [20, 0, 8], [12, 3, 0]]
    assert found["cooperation_counts"] == [[0, 4, 4], [0, 0, 0], [4, 1, 0]]
    assert found["scores"] == pytest.approx([12 / 8, 28 / 8, 15 / 8])
    assert found["ranking"] == ["always_defect", "tit_for_tat", "always_cooperate"]
    assert found["winner"] == "always_defect" and found["wins"] == [0, 2, 0]


def test_individuals_of_one_strategy_are_numbered(robin):
    same = dataclasses.replace(robin.record, types=np.array([0, 1, 0]))
    assert Tournament().finish((), same)["names"] == [
        "always_cooperate",
        "always_defect",
        "always_cooperate_2",
    ]


def test_generosity_follows_the_donated_share(donors):
    record = dataclasses.replace(
        donors.record,
        generations={
            "donated_fraction": np.array([0.1, 0.3, 0.5]),
            "resources": np.array([12.0, 20.0, 40.0]),
            "index": np.array([0, 1, 2]),
        },
    )
    found = Generosity().finish((), record)
    assert found["generosity"] == 0.5 and found["generosity_initial"] == 0.1
    assert found["generosity_trend"] == pytest.approx(0.2) and found["resources"] == 40


# ---- strategies over generations ---------------------------------------------------------


def test_shares_are_listed_over_generations_and_thinned():
    record = record_of([[4, 0], [3, 1], [1, 3]], ["a", "b"])
    found = StrategyShares().finish((), record)
    assert found["share.a"] == 0.25 and found["strategy_names"] == ["a", "b"]
    assert found["strategy_shares"] == [[1, 0], [0.75, 0.25], [0.25, 0.75]]
    assert StrategyShares(points=2).finish((), record)["strategy_generations"] == [0, 2]


def test_fixation_says_who_and_since_when():
    taken = record_of([[2, 2], [4, 0], [3, 1], [0, 4], [0, 4]], ["a", "b"])
    found = Fixation().finish((), taken)
    assert found["fixated"] == 1 and found["fixation.b"] == 1 and found["fixation.a"] == 0
    assert found["fixation_generation"] == 3
    open_ = Fixation().finish((), record_of([[4, 0], [3, 1]], ["a", "b"]))
    assert open_["fixated"] == 0 and np.isnan(open_["fixation_generation"])
    assert Fixation().finish((), record_of([[4, 0]], ["a", "b"]))["fixation_generation"] == 0


def test_groups_are_taken_over_one_by_one():
    two = (GroupSlice("rows", 0, 2, ("a", "b")), GroupSlice("columns", 2, 4, ("a", "b")))
    counts = {"types/rows": np.array([[1, 1], [2, 0]]), "types/columns": np.array([[0, 2], [0, 2]])}
    record = record_of([[0]], ["x"], groups=two, generations={**counts, "index": np.array([0, 1])})
    found = Fixation().finish((), record)
    assert found["fixation.rows.a"] == found["fixation.columns.b"] == found["fixated"] == 1
    assert found["fixation_generation"] == 1 and found["fixation.rows.b"] == 0
    assert StrategyShares().finish((), record)["strategy_shares"] == [
        [0.5, 0.5, 0, 1],
        [1, 0, 0, 1],
    ]


def test_hill_numbers_count_effective_strategies():
    assert [hill_number(np.full(4, 0.25), q) for q in (0, 1, 2)] == pytest.approx([4, 4, 4])
    assert hill_number(np.array([0.5, 0.5, 0]), 0) == 2
    assert hill_number(np.array([0.8, 0.2]), 2) == pytest.approx(1 / 0.68)
    assert hill_number(np.array([0.8, 0.2]), 1) == pytest.approx(0.8**-0.8 * 0.2**-0.2)
    found = Diversity().finish((), record_of([[2, 2], [4, 0]], ["a", "b"]))
    assert found["diversity_richness"] == 1 and found["diversity_mean"] == pytest.approx(1.5)


def drifting(pull, pairs=4000, size=200):
    """Pairs of generations of a Wright-Fisher population; ``pull`` bends the chances."""
    rng = np.random.default_rng(0)
    p = rng.integers(40, 160, pairs) / size
    after = rng.binomial(size, p + pull * p * (1 - p) * (2 * p - 1))
    rows = np.stack([p * size, after], 1).ravel()
    generation = (np.arange(pairs)[:, None] * 3 + [0, 1]).ravel()
    return record_of(np.stack([rows, size - rows], 1), ["a", "b"], generation)


def test_neutral_drift_has_unit_variance_and_no_conformity():
    found = Neutrality().finish((), drifting(0.0))
    assert found["neutrality_variance"] == pytest.approx(1.0, abs=0.08)
    assert abs(found["neutrality_conformity"]) < 0.05


def test_conformity_is_found_where_there_is_some():
    found = Neutrality().finish((), drifting(0.5))
    assert found["neutrality_conformity"] == pytest.approx(0.5, abs=0.05)


def test_turnover_counts_who_enters_the_top():
    record = record_of([[5, 4, 1, 0], [5, 1, 4, 0], [0, 1, 4, 5]], list("abcd"))
    assert Neutrality(top=2).finish((), record)["neutrality_turnover"] == 1.0


# ---- the Price equation ------------------------------------------------------------------


def test_price_equation_is_exact():
    rng = np.random.default_rng(1)
    for _ in range(20):
        w, z, dz = rng.poisson(1.5, 30), rng.normal(size=30), rng.normal(size=30)
        w[0] = 1
        found = price_equation(w, z, z + dz)
        offspring = (w * (z + dz)).sum() / w.sum()
        assert found.change == pytest.approx(offspring - z.mean(), abs=1e-9)
        group = rng.integers(0, 4, 30)
        assert sum(price_multilevel(w, z, group)) == pytest.approx(found.selection, abs=1e-9)
    with pytest.raises(ValueError, match="offspring"):
        price_equation([0, 0], [1, 2], [1, 2])


def moment(generation, kinds, reward):
    num = len(kinds)
    alive = jnp.ones(num, bool)
    ended = jnp.zeros(num, bool)
    return Moment(
        Observation((), alive, alive),
        jnp.zeros(num, jnp.int32),
        Transition(jnp.asarray(reward, jnp.float32), ended, ended),
        jnp.asarray(kinds, jnp.int32),
        jnp.int32(generation),
        jnp.int32(0),
        jnp.int32(0),
    )


def test_price_measure_splits_what_happened_between_generations():
    record = record_of([[2, 2]], ["a", "b"])
    measure = PriceEquation()
    acc = measure.begin(None, record.groups)
    # Two steps of generation 0: a earns 6 of 8. Then a holds 4 of 4 instead of 2 of 4.
    for step in (
        moment(0, [0, 0, 1, 1], [2, 1, 1, 0]),
        moment(0, [0, 0, 1, 1], [2, 1, 1, 0]),
        moment(1, [0, 0, 0, 0], [1, 1, 1, 1]),
    ):
        acc = measure.update(acc, step)
    found = measure.finish(acc, record)
    assert found["selection.a"] == pytest.approx(6 / 8 - 0.5)
    assert found["change.a"] == pytest.approx(0.5) and found["rest.a"] == pytest.approx(0.25)
    assert found["selection.b"] + found["rest.b"] == pytest.approx(found["change.b"])
