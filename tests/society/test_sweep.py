from pathlib import Path

import pytest

from society.scenario import ScenarioError, load_scenario
from society.sweep import cells, check_sweep, conditions

WANTED = Path(__file__).parent / "scenarios_wanted"
BASE = """\
world: {use: matrix_game, game: prisoners_dilemma, rounds: 3, pairs: neighbours}
groups:
  players: {count: 8, policy: {use: strategies, mix: [tit_for_tat, always_defect]}}
graph: {use: cycle, k: 2}
generations: 2
selection: {use: fermi, beta: 1}
sweep:
"""


@pytest.fixture
def load(tmp_path):
    def load(sweep, *sets):
        path = tmp_path / "case.yaml"
        path.write_text(BASE + "".join(f"  {line}\n" for line in sweep))
        return load_scenario(path, sets)

    return load


def test_cells_are_all_combinations_of_conditions_and_factors(load):
    scenario = load(
        [
            "conditions: {a: {}, b: {world.rounds: 5}}",
            "factors:",
            "  selection.beta: [0.1, 10]",
            "  graph: {ring: {use: cycle, k: 4}, grid: {use: grid_2d, periodic: true}}",
        ]
    )
    found = {cell.name: cell.changes for cell in cells(scenario)}
    assert len(found) == 8
    assert found["b/selection.beta=10/graph=grid"] == {
        "world.rounds": 5,
        "selection.beta": 10,
        "graph": {"use": "grid_2d", "periodic": True},
    }
    checked = check_sweep(scenario)
    assert checked.runs == 8
    assert checked.factors == {"selection.beta": ["0.1", "10"], "graph": ["ring", "grid"]}


def test_a_cell_is_the_scenario_with_its_changes_under_the_command_line(load):
    scenario = load(["conditions: {b: {world.rounds: 5, generations: 7}}"], "world.rounds=9")
    changed = scenario.with_changes(conditions(scenario)[0]["b"])
    assert changed.generations == 7
    assert changed.world.params["rounds"] == 9
    assert scenario.generations == 2


def test_without_conditions_there_is_one(load):
    assert [cell.name for cell in cells(load(["conditions: {}"]))] == ["base"]
    assert [c.name for c in cells(load(["factors: {seeds: [1, 2]}"]))] == [
        "base/seeds=1",
        "base/seeds=2",
    ]


def test_nulls_add_conditions_that_the_scenario_can_have(load):
    added, notes = conditions(load(["nulls: standard"]))
    assert added["null_rewired"]["interventions.null_rewired"]["keep"] == "degrees"
    assert added["null_no_selection"] == {"selection": {"use": "fermi", "beta": 0}}
    assert "null_silent_channels" not in added
    assert notes == []
    added, notes = conditions(load(["nulls: [silent_channels]"]))
    assert list(added) == ["base"]
    assert notes == ["nulls: silent_channels changes nothing in this scenario"]


def test_nulls_and_framings_of_language_agents(load):
    scenario = load(
        ["nulls: [tit_for_tat, silent_channels]", "robustness: [story, option_order]"],
        "groups.players.policy=chat",
        "world.pairs=all",
        "world.actions=same",
        "graph=null",
        "selection=null",
        "channels.talk={use: text}",
    )
    added, _ = conditions(scenario)
    assert added["null_silent_channels"] == {"channels.talk.mode": "silent"}
    assert added["robust_story_cooking"] == {"framing.story": "cooking"}
    assert {"robust_option_order_fixed", "robust_option_order_reversed"} <= set(added)
    assert added["null_tit_for_tat"] == {"groups.players.policy": "tit_for_tat"}


def test_every_added_condition_gives_a_valid_scenario(load):
    scenario = load(["nulls: standard", "robustness: standard"])
    for changes in conditions(scenario)[0].values():
        assert scenario.with_changes(changes).hash


@pytest.mark.parametrize("method", ["random", "latin", "sobol"])
def test_sampled_methods_draw_points_between_the_ends(load, method):
    lines = [
        f"method: {method}",
        "samples: 12",
        "factors:",
        "  selection.beta: {low: 0.01, high: 100, log: true}",
        "  world.rounds: {low: 2, high: 9}",
        "  graph: [complete, cycle]",
    ]
    drawn = [cell.changes for cell in cells(load(lines))]
    assert len(drawn) == 12
    assert drawn == [cell.changes for cell in cells(load(lines))]
    betas = [changes["selection.beta"] for changes in drawn]
    assert all(0.01 <= beta <= 100 for beta in betas)
    assert 2 <= sum(beta < 1 for beta in betas) <= 10  # even on the logarithm
    assert all(isinstance(changes["world.rounds"], int) for changes in drawn)
    assert {changes["graph"] for changes in drawn} == {"complete", "cycle"}


@pytest.mark.parametrize(
    ("lines", "path", "words"),
    [
        (["conditions: {Bad: {}}"], "sweep.conditions.Bad", "small letters"),
        (["conditions: {a: 3}"], "sweep.conditions.a", "expected a map"),
        (["conditions: {a: {world.roundz: 3}}"], "sweep.conditions.a", "world.roundz: unknown"),
        (["conditions: {a: {world..x: 3}}"], "sweep.conditions.a.world..x", "is no path"),
        (["factors: {world.rounds: 3}"], "sweep.factors.world.rounds", "expected a list"),
        (["factors: {world.rounds: []}"], "sweep.factors.world.rounds", "empty"),
        (["factors: {world.rounds: [3, x]}"], "sweep.factors.world.rounds.1", "whole number"),
        (["factors: {seeds: {low: 1, high: 2}}"], "sweep.factors.seeds", "needs method"),
        (["method: sobol"], "sweep.method", "needs samples"),
        (["samples: 3"], "sweep.samples", "needs method"),
        (["nulls: [randum]"], "sweep.nulls.0", "did you mean 'random'"),
        (["robustness: [labels, x]"], "sweep.robustness.1", "unknown name"),
        (
            ["method: latin", "samples: 2", "factors: {seeds: {low: 3, high: 2}}"],
            "sweep.factors.seeds",
            "below high",
        ),
        (
            ["method: latin", "samples: 2", "factors: {seeds: {low: 0, high: 2, log: true}}"],
            "sweep.factors.seeds",
            "positive",
        ),
        (
            ["factors: {graph: {a: {use: cycle, kk: 4}}}"],
            "sweep.factors.graph.a",
            "graph.kk: unknown key",
        ),
    ],
)
def test_what_is_wrong_in_a_sweep_is_located(load, lines, path, words):
    with pytest.raises(ScenarioError) as caught:
        check_sweep(load(lines))
    (problem,) = caught.value.problems
    assert problem.path == path
    assert words in problem.message
    assert problem.line >= 8


def test_problems_of_all_conditions_are_collected(load):
    scenario = load(["conditions:", "  a: {world.roundz: 3}", "  b: {seeds: 0, stepz: 1}"])
    with pytest.raises(ScenarioError) as caught:
        check_sweep(scenario)
    assert [(p.line, p.message.split(":")[0]) for p in caught.value.problems] == [
        (9, "world.roundz"),
        (10, "seeds"),
        (10, "stepz"),
    ]


def test_wanted_sweeps_expand():
    scenario = load_scenario(WANTED / "payoff_graph_study.yaml")
    names = [cell.name for cell in cells(scenario)]
    assert "base/world.temptation=1.1/graph=lattice" in names
    assert "null_rewired/world.temptation=1.5/graph=scale_free" in names
    donors = load_scenario(WANTED / "donor_game.yaml")
    assert {"baseline", "punishment", "short_trace", "no_advice"} <= set(conditions(donors)[0])


def test_stakes_are_raised_for_language_agents_alone(load):
    def named(*sets):
        return conditions(load(["robustness: [payoff_scale]"], *sets))

    added, notes = named()
    assert list(added) == ["base"] and "payoff_scale" in notes[0]
    talkers = ("groups.players.policy=chat", "world.pairs=all", "world.actions=same")
    rest = ("graph=null", "selection=null", "backend=mock")
    added, _ = named(*talkers, *rest)
    scaled = added["robust_payoff_scale_10"]
    assert scaled == {
        "world.reward": 30, "world.sucker": 0, "world.temptation": 50, "world.punishment": 10,
    }  # fmt: skip


def test_an_aa_pair_changes_nothing_but_seeds(load):
    found = list(cells(load(["robustness: [again]"], "seeds=[3, 8]")))
    assert [(cell.condition, cell.changes, cell.seeds) for cell in found] == [
        ("base", {}, None),
        ("robust_again", {}, (9, 10)),
    ]


@pytest.mark.parametrize(("method", "points"), [("morris", 4 * 3), ("saltelli", 4 * 4)])
def test_designs_of_salib_give_their_number_of_points(load, method, points):
    pytest.importorskip("SALib")
    lines = [
        f"method: {method}",
        "samples: 4",
        "factors:",
        "  selection.beta: {low: 0.01, high: 100, log: true}",
        "  graph: [complete, cycle]",
    ]
    found = list(cells(load(lines)))
    assert len(found) == points
    assert all(len(cell.unit) == 2 and 0 <= min(cell.unit) <= max(cell.unit) < 1 for cell in found)
    assert {cell.changes["graph"] for cell in found} == {"complete", "cycle"}


def test_designs_without_their_package_or_factors_are_explained(load, monkeypatch):
    monkeypatch.setattr("society.sweep.installed", lambda: False)
    with pytest.raises(ScenarioError, match="needs SALib: pip install"):
        check_sweep(load(["method: morris", "samples: 2", "factors: {selection.beta: [1, 2]}"]))
    with pytest.raises(ScenarioError, match="morris needs factors"):
        check_sweep(load(["method: morris", "samples: 2"]))
