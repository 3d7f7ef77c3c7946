"""Whole runs: limits and resuming, seeds, interventions, mixed minds, births across groups."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from society.errors import ScenarioError
from society.journal import Journal
from society.journal_rows import Divergence
from society.run import replay_run, resume_run, run_scenario
from society.scenario import load_scenario

ISLANDS = """
world: {use: matrix_game, game: prisoners_dilemma, rounds: 4, pairs: neighbours, actions: each}
groups:
  people:
    count: 12
    policy: {use: strategies, mix: [always_cooperate, always_defect, tit_for_tat]}
graph: {use: cycle, assign: in_order}
generations: 6
selection: {use: tournament, size: 3}
"""

VILLAGE = """
world: {use: matrix_game, game: prisoners_dilemma_akata, rounds: 3, pairs: random}
groups:
  people: {count: 2, policy: {use: chat, reasoning: direct}}
  machines: {count: 2, policy: tit_for_tat}
backend: mock
channels:
  talk: {use: words, vocabulary: [hello, trust, betray]}
  letters: {use: text, when: before_action, rounds: 2}
interventions:
  news: {at: 2, use: message, who: people, text: "The harvest was poor."}
"""

TWO_MODELS = """
world: {use: donor_game, rounds: 4}
groups:
  left: {count: 3, capacity: 6, policy: {use: chat, strategy: one_sentence, backend: open_hand}}
  right: {count: 3, capacity: 6, policy: {use: chat, strategy: one_sentence, backend: closed_hand}}
backends:
  open_hand: {use: mock, generosity: 0.9}
  closed_hand: {use: mock, generosity: 0.0}
generations: 3
selection: {use: truncation, keep: 0.5, among: population}
transmission: {use: advice}
"""


def run(tmp_path: Path, text: str, *sets: str, name: str = "here") -> dict[str, Any]:
    path = tmp_path / f"{name}.yaml"
    path.write_text(text)
    return run_scenario(load_scenario(path, sets), tmp_path / "runs")


def series(summary: dict[str, Any], replicate: int = 0) -> np.ndarray:
    with Journal.open(Path(summary["run_dir"]) / "journal.sqlite", readonly=True) as journal:
        return journal.metrics(replicate).values


def events(summary: dict[str, Any], kind: str) -> list[Any]:
    with Journal.open(Path(summary["run_dir"]) / "journal.sqlite", readonly=True) as journal:
        return journal.events(0, kind)


def test_a_run_stopped_by_the_clock_resumes_to_the_same_digest(tmp_path: Path) -> None:
    whole = run(tmp_path, ISLANDS)
    cut = run(tmp_path, ISLANDS, "limits.wall_s=0.001")
    assert (cut["status"], whole["status"]) == ("limit", "ok")
    assert 0 < cut["steps"] < whole["steps"]
    finished = resume_run(cut["run_dir"], sets=("limits.wall_s=null",))
    assert finished["digest"] == whole["digest"]
    assert finished["measures"] == whole["measures"]


def test_a_seed_gives_the_same_bits_alone_and_with_others(tmp_path: Path) -> None:
    together = run(tmp_path, ISLANDS, "seeds=[3, 5, 8]")
    alone = run(tmp_path, ISLANDS, "seeds=[5]")
    np.testing.assert_array_equal(series(together, 1), series(alone, 0))
    assert (
        together["measures"]["cooperation"]["values"][1] == alone["measures"]["cooperation"]["mean"]
    )


def test_selection_names_newborns_and_records_their_parents(tmp_path: Path) -> None:
    summary = run(tmp_path, ISLANDS)
    born = [birth for event in events(summary, "births") for birth in event.data]
    children = [child for child, _, _ in born]
    assert children == sorted(set(children)) and min(children) >= 12
    assert all(parent < child for child, parent, _ in born)


def test_payoffs_strategies_and_ties_change_when_an_intervention_says_so(tmp_path: Path) -> None:
    text = ISLANDS.replace("generations: 6", "generations: 1").replace(
        "selection: {use: tournament, size: 3}\n", ""
    )
    text += """
interventions:
  turn: {at: 1, use: swap_policy, policy: always_defect}
  lottery: {at: 2, use: set, path: world.punishment, value: 4.5}
  flood: {at: 3, use: cut_ties}
"""
    text = text.replace("rounds: 4,", "rounds: 4, punishment: 1,")
    text = text.replace("actions: each", "actions: same").replace(", tit_for_tat]", "]")
    summary = run(tmp_path, text)
    names = ["cooperation", "payoff"]
    with Journal.open(Path(summary["run_dir"]) / "journal.sqlite", readonly=True) as journal:
        columns = [journal.metric_names().index(name) for name in names]
    cooperation, payoff = series(summary)[:, columns].T
    assert cooperation[0] == 0.5 and cooperation[1] == 0
    np.testing.assert_allclose(payoff[1:], [2.0, 9.0, 0.0])  # two neighbours; at last none
    done = [event.data["name"] for event in events(summary, "intervention")]
    assert done == ["turn", "lottery", "flood"]


def test_an_intervention_that_cannot_be_is_refused_before_the_run(tmp_path: Path) -> None:
    text = ISLANDS + "interventions: {turn: {at: 1, use: swap_policy, policy: gradual}}\n"
    with pytest.raises(ScenarioError, match=r"here.yaml:\d+:\d+.*interventions.turn.*'gradual'"):
        run(tmp_path, text)


def test_words_and_letters_pass_between_language_agents_and_machines(tmp_path: Path) -> None:
    summary = run(tmp_path, VILLAGE)
    assert summary["status"] == "ok"
    folder = Path(summary["run_dir"])
    with sqlite3.connect(folder / "journal.sqlite") as database:
        rows = database.execute("SELECT step, turn, channel, speaker FROM messages").fetchall()
        requests = [
            row[0] for row in database.execute("SELECT request FROM questions WHERE step = 2")
        ]
    letters = [row for row in rows if row[2] == "letters"]
    assert {turn for _, turn, _, _ in letters} == {0, 1}
    assert {speaker for _, _, _, speaker in letters} == {0, 1}
    assert any("The harvest was poor." in request for request in requests)
    assert replay_run(folder)["digest"] == summary["digest"]


def test_a_changed_answer_in_the_journal_is_noticed_and_named(tmp_path: Path) -> None:
    summary = run(tmp_path, VILLAGE)
    database = sqlite3.connect(Path(summary["run_dir"]) / "journal.sqlite")
    with database:
        database.execute("UPDATE calls SET request_hash = 'other', seal = seal WHERE step = 1")
    database.close()
    with pytest.raises((Divergence, ValueError), match=r"step|damaged"):
        replay_run(summary["run_dir"])


def test_the_better_model_takes_over_slots_of_its_own_group(tmp_path: Path) -> None:
    summary = run(tmp_path, TWO_MODELS)
    births = [event.data | {"uid": event.uid} for event in events(summary, "birth")]
    later = [birth for birth in births if birth["parents"]]
    assert len(later) == 2 * 3
    assert all((birth["slot"] < 6) == _is_left(births, birth["parents"][0]) for birth in later)
    assert summary["llm"]["backends"] == ["open_hand", "closed_hand"]


def _is_left(births: list[dict[str, Any]], uid: int) -> bool:
    return next(birth["slot"] for birth in births if birth["uid"] == uid) < 6


def test_answers_that_cannot_be_read_fail_the_run_and_are_counted(tmp_path: Path) -> None:
    summary = run(tmp_path, TWO_MODELS, "backends.open_hand.malformed_rate=1.0")
    assert summary["status"] == "failed"
    assert summary["llm"]["fallbacks"] > 0
    assert "max_fallback_rate" in summary["reason"]


def test_a_run_stopped_by_its_budget_resumes_to_the_same_digest(tmp_path: Path) -> None:
    whole = run(tmp_path, TWO_MODELS)
    cut = run(tmp_path, TWO_MODELS, "limits.calls=25")
    assert cut["status"] == "limit" and cut["llm"]["calls"] <= 25
    finished = resume_run(cut["run_dir"], sets=("limits.calls=null",))
    assert finished["digest"] == whole["digest"]
    assert finished["llm"]["calls"] == whole["llm"]["calls"]
    stored = json.loads((Path(cut["run_dir"]) / "summary.json").read_text())
    assert stored["digest"] == whole["digest"]


def test_talk_before_the_act_is_no_round_of_the_game(tmp_path: Path) -> None:
    text = """
world: {use: matrix_game, game: prisoners_dilemma, rounds: 6, pairs: across_groups}
groups:
  patterned: {policy: {use: cycler, pattern: CCD}}
  kind: {policy: always_cooperate}
"""
    talk = "channels: {talk: {use: words, vocabulary: [hello], when: before_action, rounds: 2}}\n"
    silent, talking = run(tmp_path, text), run(tmp_path, text + talk)
    np.testing.assert_array_equal(series(silent), series(talking))
    assert silent["measures"]["cooperation"]["mean"] == pytest.approx(10 / 12)


@pytest.mark.parametrize("transmission", ["copy", "{use: advice, route: vertical}"])
def test_newcomers_read_their_parents_also_where_nobody_survives(
    tmp_path: Path, transmission: str
) -> None:
    text = f"""
world: {{use: donor_game, rounds: 2}}
groups:
  donors: {{count: 4, policy: {{use: chat, strategy: one_sentence}}}}
backend: mock
generations: 2
selection: roulette
transmission: {transmission}
"""
    summary = run(tmp_path, text)
    born = [event for event in events(summary, "birth") if event.generation == 1]
    strategies = {event.uid: event.data["text"] for event in events(summary, "birth")}
    with sqlite3.connect(Path(summary["run_dir"]) / "journal.sqlite") as database:
        query = "SELECT uid, request FROM questions WHERE generation = 1 AND purpose = ?"
        asked = dict(database.execute(query, ("birth",)))
    assert len(born) == 4
    for event in born:
        (parent,) = event.data["parents"]
        assert strategies[parent] and strategies[parent] in asked[event.uid]


def test_an_intervention_at_a_generations_first_step_meets_those_selected_for_it(
    tmp_path: Path,
) -> None:
    text = """
world: {use: matrix_game, rounds: 2, pairs: all}
groups:
  people:
    count: 6
    policy: {use: strategies, mix: {always_cooperate: 0, always_defect: 1}}
generations: 3
selection: truncation
interventions:
  converts:
    {at: {generation: 1, step: 0}, use: swap_policy, policy: always_cooperate, who: {number: 2}}
seeds: 3
"""
    summary = run(tmp_path, text)
    for replicate in range(3):
        shares = _generations(summary, "types/people[0]", replicate)
        assert shares[:2].tolist() == [0, 2]  # as many as were named, whoever was born
    born = [(event.generation, len(event.data)) for event in events(summary, "births")]
    assert born == [(1, 3), (2, 3)]
    assert replay_run(summary["run_dir"])["digest"] == summary["digest"]


def _generations(summary: dict[str, Any], name: str, replicate: int) -> np.ndarray:
    with Journal.open(Path(summary["run_dir"]) / "journal.sqlite", readonly=True) as journal:
        column = journal.metric_names().index(f"generation/{name}")
        values = journal.metrics(replicate).values[:, column]
    return values[~np.isnan(values)]


@pytest.mark.parametrize(
    "change, complaint",
    [
        ("interventions.cut={at: 2, use: cut_ties}", "give the scenario a graph"),
        ("interventions.cut={at: 2, use: cut_ties, share: 3}", "share"),
        ("interventions.tie={at: 2, use: add_ties, count: -3}", "count"),
        (
            "interventions.late={at: {generation: 0, step: 3}, use: broadcast, text: Hi}",
            "lasts 3 steps",
        ),
        ("interventions.news.channel=leters", "channels that do: talk, letters"),
        ("channels.letters.to=nearby", "who is near whom"),
    ],
)
def test_what_would_fail_in_the_middle_of_a_run_is_refused_before_it(
    tmp_path: Path, change: str, complaint: str
) -> None:
    with pytest.raises(ScenarioError, match=complaint):
        run(tmp_path, VILLAGE, change)
    assert not (tmp_path / "runs").exists()


def test_ties_may_not_change_under_matches_that_are_played_along_them(tmp_path: Path) -> None:
    text = ISLANDS + "interventions: {flood: {at: 1, use: cut_ties}}\n"
    with pytest.raises(ScenarioError, match=r"interventions.flood.*world.actions: same"):
        run(tmp_path, text)


def test_ties_with_defectors_are_cut(tmp_path: Path) -> None:
    text = """
world: {use: matrix_game, rounds: 6, pairs: neighbours}
groups:
  people: {count: 20, policy: {use: strategies, mix: [always_cooperate, always_defect]}}
graph: {use: cycle, assign: in_order, rewire: {use: cut_defectors, p: 1.0, every: 1}}
"""
    summary = run(tmp_path, text)
    with Journal.open(Path(summary["run_dir"]) / "journal.sqlite", readonly=True) as journal:
        column = journal.metric_names().index("payoff")
    payoff = series(summary)[:, column]
    assert payoff[0] != payoff[-1]
    assert replay_run(summary["run_dir"])["digest"] == summary["digest"]
