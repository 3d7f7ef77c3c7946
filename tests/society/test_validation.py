"""Claims: what may be said of a study, judged by target patterns and whole intervals."""

import json

import numpy as np
import pytest

from society.scenario import ScenarioError, load_scenario
from society.study.read import CellResults, Results
from society.study.validation import validation_of
from society.sweep import check_sweep

NOISE = np.linspace(-0.02, 0.02, 10)
BASE = """\
world: {use: matrix_game, game: prisoners_dilemma}
groups:
  players: {count: 4, policy: tit_for_tat}
sweep:
  factors: {world.rounds: [2, 5]}
validation:
  claim: mechanism
  targets:
    kind: {measure: cooperation, %s}
"""


def cell(condition, level, centre):
    values = {"x": dict(enumerate((centre + NOISE).tolist()))}
    return CellResults(
        f"{condition}/{level}",
        condition=condition,
        point={"a": level},
        values=values,
        seeds=tuple(range(10)),
        runs=("somewhere",),
    )


CELLS = (cell("base", "1", 0.2), cell("base", "2", 0.8))


def judge(targets, *more, claim="mechanism", cells=CELLS, **sweep):
    scenario = {"validation": {"claim": claim, "targets": targets}, "sweep": sweep}
    return validation_of(Results("study", "made_up", (*cells, *more), {"scenario": scenario}))


def verdict(**target):
    (found,) = judge({"only": {"measure": "x", **target}})["targets"]
    return found["verdict"]


def test_a_target_is_met_or_missed_by_its_whole_interval():
    assert verdict(where={"a": 1}, low=0.1, high=0.3) == "met"
    assert verdict(where={"a": 1}, low=0.2, high=0.3) == "open"
    assert verdict(where={"a": 2}, high=0.3) == "missed"
    assert verdict(where={"a": 1}, low=0.5) == "missed"


def test_a_target_without_a_place_must_hold_in_every_cell():
    assert verdict(low=0.1) == "met"
    assert verdict(low=0.5) == "missed"


def test_an_order_is_met_where_the_whole_interval_of_the_difference_is_above_zero():
    assert verdict(where={"a": 2}, above={"a": 1}) == "met"
    assert verdict(where={"a": 1}, above={"a": 2}) == "missed"
    (found,) = judge({"o": {"measure": "x", "where": {"a": 2}, "above": {"a": 1}}})["targets"]
    assert found["found"] == pytest.approx(0.6)
    assert (found["runs"], found["wanted"]) == (20, "above a = 1")
    equal = judge(
        {"o": {"measure": "x", "where": {"a": 2}, "above": {"a": 1}}},
        cells=(cell("base", "1", 0.5), cell("base", "2", 0.5)),
    )
    assert equal["targets"][0]["verdict"] == "open"


def test_conditions_are_places_too_and_the_baseline_is_meant_otherwise():
    more = (cell("loud", "1", 0.9), cell("loud", "2", 0.9))
    target = {"measure": "x", "where": {"condition": "loud"}, "above": {"condition": "base"}}
    (found,) = judge({"o": target}, *more)["targets"]
    assert (found["verdict"], found["found"]) == ("met", pytest.approx(0.4))
    (found,) = judge({"o": {"measure": "x", "high": 0.85}}, *more)["targets"]
    assert found["verdict"] == "met"


def test_what_may_be_said_depends_on_targets_and_robustness():
    good = {"t": {"measure": "x", "where": {"a": 1}, "high": 0.3}}
    robust = cell("robust_labels_jf", "1", 0.2)
    again = cell("robust_again", "1", 0.2)
    assert judge({})["status"] == "not validated"
    assert judge(good, claim="illustration")["status"] == "not validated"
    assert judge(good)["status"] == "qualified"
    assert "qualification" in judge(good)["words"]
    assert judge(good, again)["status"] == "qualified"
    assert judge(good, again, robustness=["standard"])["status"] == "validated"
    assert judge(good, robust)["status"] == "validated"
    bad = good | {"u": {"measure": "x", "where": {"a": 2}, "high": 0.3}}
    assert judge(bad, robust)["status"] == "not validated"
    assert "1 of 2" in judge(bad, robust)["words"]


def test_a_measure_that_nobody_has_leaves_a_target_open():
    (found,) = judge({"t": {"measure": "y", "low": 0}})["targets"]
    assert (found["verdict"], found["found"], found["runs"]) == ("open", None, 0)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("where: {world.round: 2}, low: 0", "did you mean 'world.rounds'"),
        ("where: {world.rounds: 3}, low: 0", "has no level '3'; allowed: 2, 5"),
        ("above: {condition: best}", "no level 'best'; allowed: base"),
        ("low: 0, above: {world.rounds: 2}", "give either"),
        ("where: {world.rounds: 2}", "give either"),
        ("low: 2, high: 1", r"low \(2\) must not be above high \(1\)"),
        ("high: 1, hihg: 2", "hihg"),
    ],
)
def test_what_is_wrong_in_a_target_is_located(tmp_path, target, words):
    path = tmp_path / "case.yaml"
    path.write_text(BASE % target)
    with pytest.raises(ScenarioError, match=words) as caught:
        check_sweep(load_scenario(path))
    assert caught.value.problems[0].line >= 6


def test_a_claim_changes_neither_hash_nor_runs(tmp_path):
    path = tmp_path / "case.yaml"
    path.write_text(BASE % "where: {world.rounds: 2}, low: 0")
    with_claim = load_scenario(path)
    path.write_text((BASE % "low: 0").partition("validation")[0])
    assert with_claim.hash == load_scenario(path).hash
    assert json.loads(json.dumps(with_claim.resolved()))["validation"]["claim"] == "mechanism"
