"""Equilibria, dynamics and fixation against enumerated and closed-form values."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worlds.games import equilibria
from worlds.games.ordinal import FAMILIES, family, ordinal_games, ordinal_table
from worlds.games.presets import PRESETS
from worlds.registry import make

DATA = Path(__file__).parents[1] / "data"
CLOSED = json.loads((DATA / "closed_form.json").read_text())
ORDINAL = json.loads((DATA / "games_2x2_ordinal_144.json").read_text())["games"]
CANONICAL = json.loads((DATA / "games_canonical_equilibria.json").read_text())
AXELROD = json.loads((DATA / "axelrod_200_turns.json").read_text())
PD = PRESETS["prisoners_dilemma"].table


def assert_solved(table, expected):
    assert [list(cell) for cell in equilibria.pure_equilibria(table)] == expected["pure"]
    assert sorted(list(c) for c in equilibria.pareto_cells(table)) == sorted(expected["pareto"])
    assert equilibria.dominant_strategies(table, 0) == expected["dominant_row"]
    assert equilibria.dominant_strategies(table, 1) == expected["dominant_col"]
    assert [equilibria.maximin(table, 0), equilibria.maximin(table, 1)] == expected["maximin_pure"]
    mixed = equilibria.interior_mixed(table)
    assert (mixed is None) == (expected["mixed"] is None)
    if mixed is not None:
        assert mixed == pytest.approx(expected["mixed"], abs=1e-12)


def test_the_144_ordinal_games_are_the_enumerated_ones_with_their_equilibria():
    tables = ordinal_games()
    assert len(tables) == 144
    for table, expected in zip(tables, ORDINAL, strict=True):
        assert table.tolist() == [expected["A"], expected["B"]]
        assert_solved(table, expected)


def test_families_have_the_published_sizes():
    sizes = [sum(family(t) == name for t in ordinal_games()) for name in FAMILIES]
    assert dict(zip(FAMILIES, sizes, strict=True)) == {
        "win_win": 36, "biased": 44, "second_best": 12, "unfair": 19, "tragic": 8,
        "prisoners_dilemma": 7, "cyclic": 18,
    }  # fmt: skip


def test_games_can_be_counted_within_their_family():
    table = ordinal_table(6, "prisoners_dilemma")
    assert family(table) == "prisoners_dilemma"
    assert make("matrix_game", game="ordinal", family="cyclic", number=17).table().shape == (
        2,
        2,
        2,
    )
    with pytest.raises(ValueError, match="0 to 6"):
        make("matrix_game", game="ordinal", family="prisoners_dilemma", number=7)
    with pytest.raises(ValueError, match="choose one of win_win"):
        ordinal_table(0, "sad")


def test_ordinal_games_beyond_the_last_are_refused():
    with pytest.raises(ValueError, match="0 to 143"):
        ordinal_table(144)


@pytest.mark.parametrize(
    ("preset", "oracle"),
    [
        ("prisoners_dilemma", "pd_axelrod"), ("prisoners_dilemma_akata", "pd_akata"),
        ("battle_of_the_sexes", "bos_akata"), ("stag_hunt", "stag"), ("chicken", "chicken"),
        ("matching_pennies", "matching_pennies"), ("deadlock", "deadlock"),
    ],
)  # fmt: skip
def test_presets_have_the_known_payoffs_and_equilibria(preset, oracle):
    table = PRESETS[preset].table
    assert table.tolist() == [CANONICAL[oracle]["A"], CANONICAL[oracle]["B"]]
    assert_solved(table, CANONICAL[oracle])
    assert PRESETS[preset].symmetric == CANONICAL[oracle]["symmetric"]


def test_hawk_dove_is_the_known_game_with_dove_first():
    table = PRESETS["hawk_dove"].table[:, ::-1, ::-1]
    assert table.tolist() == [CANONICAL["hawkdove_V2_C4"][key] for key in ("A", "B")]


def test_the_value_of_the_battle_of_the_sexes_is_70_over_17():
    first, second = equilibria.interior_mixed(PRESETS["battle_of_the_sexes"].table)
    row = PRESETS["battle_of_the_sexes"].table[0]
    value = np.array([first, 1 - first]) @ row @ np.array([second, 1 - second])
    assert value == pytest.approx(70 / 17)


def test_replicator_dynamics_reach_the_closed_form_values():
    hawk_dove = [[-1, 2], [0, 1]]
    after = equilibria.replicator(hawk_dove, [0.1, 0.9], 1.0)
    assert after == pytest.approx(CLOSED["replicator_hd_from_0.1_t1"], abs=1e-6)
    assert equilibria.replicator(hawk_dove, [0.1, 0.9], 60.0)[0] == pytest.approx(0.5, abs=1e-6)
    dilemma = equilibria.replicator(PD[0], [0.9, 0.1], 1.0)
    assert dilemma == pytest.approx(CLOSED["replicator_pd_from_0.9C_t1"], abs=1e-6)
    cycle = equilibria.replicator(PRESETS["rock_paper_scissors"].table[0], [0.5, 0.3, 0.2], 10.0)
    assert cycle == pytest.approx(CLOSED["replicator_rps_t10"], abs=1e-6)
    assert np.prod(cycle) == pytest.approx(0.03, abs=1e-8)


@pytest.mark.parametrize("case", CLOSED["moran_fixation"])
def test_moran_fixation_is_the_closed_form(case):
    size, fitness = (float(part.split("=")[1]) for part in case.split(","))
    expected = CLOSED["moran_fixation"][case]
    assert equilibria.moran_fixation(int(size), fitness) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("size", [4, 10, 20])
def test_tit_for_tat_invades_defectors_as_computed(size):
    scores = np.array(AXELROD["total_score_row_vs_col"])[np.ix_([0, 2], [0, 2])] / 200
    expected = CLOSED["moran_TFT_in_ALLD_payoff_per_turn_200"][f"N={size}"]
    assert equilibria.moran_fixation_payoffs(scores, size) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("mutant", ["ALLC_in_ALLD", "ALLD_in_ALLC"])
def test_fermi_fixation_is_the_closed_form(mutant):
    payoff = np.array([[2.0, -1.0], [3.0, 0.0]])  # benefit 3, cost 1
    payoff = payoff if mutant == "ALLC_in_ALLD" else payoff[::-1, ::-1]
    for strength, expected in CLOSED[f"fermi_fixation_{mutant}_b3c1_N50"].items():
        value = equilibria.fermi_fixation(payoff, 50, float(strength))
        assert value == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("pair", sorted(AXELROD["stationary_eps0.01"]))
def test_stationary_play_of_memory_one_strategies_is_the_published_one(pair):
    row, column = (AXELROD["memory_one"][name] for name in pair.split("|"))
    found = equilibria.stationary_memory_one(row, column, PD, noise=0.01)
    expected = AXELROD["stationary_eps0.01"][pair]
    assert found.distribution == pytest.approx(expected["dist"], abs=1e-6)
    assert (found.row, found.column) == pytest.approx(expected["pay"], abs=1e-6)


def test_extortion_takes_twice_the_surplus_of_a_random_player():
    extort = equilibria.zero_determinant(3, 0, 5, 1, slope=0.5, baseline=1, phi=1 / 9)
    assert extort == pytest.approx(AXELROD["memory_one"]["ZDExtort2"])
    found = equilibria.stationary_memory_one(extort, [0.5] * 4, PD)
    assert (found.row - 1) / (found.column - 1) == pytest.approx(2.0, abs=1e-9)


def test_too_large_a_phi_is_refused():
    with pytest.raises(ValueError, match="smaller phi"):
        equilibria.zero_determinant(3, 0, 5, 1, slope=0.5, baseline=1, phi=0.5)


def test_discounts_that_sustain_cooperation_are_the_known_ones():
    assert equilibria.repeated_threshold(3, 0, 5, 1) == pytest.approx(
        {"grim": 0.5, "tit_for_tat": 2 / 3}
    )
    akata = equilibria.repeated_threshold(8, 0, 10, 5)
    assert akata == pytest.approx({"grim": 0.4, "tit_for_tat": 0.4})


@given(st.lists(st.integers(-5, 5), min_size=12, max_size=12))
def test_swapping_the_players_mirrors_every_equilibrium(values):
    table = np.array(values).reshape(2, 2, 3)
    mirrored = np.stack([table[1].T, table[0].T])
    cells = [cell[::-1] for cell in equilibria.pure_equilibria(table)]
    assert sorted(cells) == equilibria.pure_equilibria(mirrored)
    assert equilibria.maximin(table, 0) == equilibria.maximin(mirrored, 1)
