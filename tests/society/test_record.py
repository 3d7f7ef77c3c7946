"""What a run keeps changes nothing about it: rows, columns, pictures, births."""

from pathlib import Path

import numpy as np
import pytest

import society.execute
from society.build import build, situation_of
from society.graphs import edit
from society.journal import Journal
from society.machine import Machine, unstack
from society.newcomers import tie_newcomers
from society.recording import kept_columns, summed, write_gif
from society.run import replay_run, resume_run, run_scenario
from society.scenario import ScenarioError, load_scenario
from worlds.populations.epidemic import Epidemic
from worlds.types import Births

CITY = """
about: a city that can be drawn
world: {use: epidemic, initial_share: 0.3}
groups:
  residents: {count: 12, policy: {use: cautious, cases: 50000}}
steps: 10
seeds: 2
"""
BREED = """
about: two kinds, the better half breeds
world: {use: matrix_game, game: prisoners_dilemma, rounds: 1, actions: same}
groups:
  people: {count: 8, policy: {use: strategies, mix: [always_cooperate, always_defect]}}
generations: 9
selection: {use: truncation, keep: 0.5}
measures: [strategy_shares]
"""
KINDS = """
about: two kinds on a graph, with room to grow
world: {use: matrix_game, game: prisoners_dilemma, rounds: 2, pairs: neighbours, actions: same}
groups:
  kind: {count: 8, capacity: 14, policy: always_cooperate}
  unkind: {count: 8, capacity: 14, policy: always_defect}
graph: {use: random_regular, degree: 4, attach: {use: random, k: 2}}
generations: 6
selection: {use: truncation, keep: 0.5, among: population}
"""


def journal_of(summary):
    return Journal.open(Path(summary["run_dir"]) / "journal.sqlite", readonly=True)


def loaded(tmp_path, text, *sets):
    path = tmp_path / "record.yaml"
    path.write_text(text)
    return load_scenario(path, sets)


def test_a_digest_does_not_depend_on_what_is_recorded(tmp_path):
    def run(*sets):
        return run_scenario(loaded(tmp_path, BREED, *sets), tmp_path / "runs")

    whole, thin = run(), run("record.every=4", "record.fields=[cooperation]")
    assert whole["digest"] == thin["digest"]
    assert replay_run(thin["run_dir"])["digest"] == thin["digest"]
    assert run("seeds=[5]")["digest"] != whole["digest"]


def test_fields_choose_columns_and_measures_that_miss_one_are_named(tmp_path):
    fields = "record.fields=[coop*, fitness]"
    summary = run_scenario(loaded(tmp_path, BREED, fields), tmp_path / "runs")
    with journal_of(summary) as journal:
        names = journal.metric_names()
        assert not journal.events(0, "births")  # lineage is not among the fields
    assert names and {name.removeprefix("generation/") for name in names} <= {
        "cooperation",
        "fitness",
    }
    assert "cooperation" in summary["measures"]
    assert "strategy_shares" not in summary["measures"]
    assert "types/people" in summary["not_measured"]["strategy_shares"]


def test_lineage_is_kept_where_it_is_asked_for(tmp_path):
    def births(*sets):
        summary = run_scenario(loaded(tmp_path, BREED, *sets), tmp_path / "runs")
        with journal_of(summary) as journal:
            return [event.data for event in journal.events(0, "births")]

    every_step = births()
    assert every_step and births("record.every=3", "record.fields=['*']") == every_step
    assert births("record.every=3") == []


@pytest.mark.slow
def test_a_run_stopped_in_the_middle_sums_up_to_the_same_digest(tmp_path, monkeypatch):
    sets = ["generations=40", "record.every=2", "record.fields=[fitness]"]
    whole = run_scenario(loaded(tmp_path, BREED, *sets), tmp_path / "runs")
    with monkeypatch.context() as patch:
        patch.setattr(society.execute.Execution, "_late", lambda self: True)
        stopped = run_scenario(loaded(tmp_path, BREED, *sets), tmp_path / "runs")
    assert stopped["status"] == "limit" and 0 < stopped["steps"] < whole["steps"]
    assert resume_run(stopped["run_dir"])["digest"] == whole["digest"]


def test_the_running_sum_is_the_same_for_all_chunks_and_for_no_other_numbers():
    rng = np.random.default_rng(0)
    clock = rng.integers(0, 9, (40, 3)).astype(np.int32)
    values = rng.normal(size=(40, 5)).astype(np.float32)
    values[3, 2] = np.nan
    whole = summed(None, clock, values)
    parts = None
    for start, stop in ((0, 1), (1, 7), (7, 7), (7, 39), (39, 40)):
        parts = summed(parts, clock[start:stop], values[start:stop])
    np.testing.assert_array_equal(parts, whole)
    for row in (0, 17, 39):
        other = values.copy()
        other[row, 1] = np.nextafter(other[row, 1], 9)
        assert (summed(None, clock, other) != whole).any()
    swapped = values[[1, 0, *range(2, 40)]]
    assert (summed(None, clock, swapped) != whole).any()


def test_columns_are_chosen_by_their_metric():
    names = ("welfare", "types/a[0]", "types/a[1]", "generation/types/a[0]", "generation/fitness")
    assert kept_columns(names, ()) == names
    assert kept_columns(names, ("types/*",)) == names[1:4]
    assert kept_columns(names, ("fit*", "welfare")) == ("welfare", "generation/fitness")


def test_pictures_are_drawn_at_their_steps_and_make_a_film(tmp_path, monkeypatch):
    def frame(self, state):
        shades = np.asarray(state.status, np.uint8) * 80
        return np.repeat(shades.reshape(3, 4, 1), 3, axis=2)

    with pytest.raises(ScenarioError, match="draws no pictures"):
        build(loaded(tmp_path, CITY, "record.frames_every=4"))
    monkeypatch.setattr(Epidemic, "frame", frame, raising=False)
    plain = run_scenario(loaded(tmp_path, CITY), tmp_path / "runs")
    filmed = run_scenario(loaded(tmp_path, CITY, "record.frames_every=4"), tmp_path / "runs")
    assert filmed["digest"] == plain["digest"]
    folder = Path(filmed["run_dir"]) / "frames"
    assert sorted(path.name for path in folder.iterdir()) == ["replicate-0", "replicate-1"]
    drawn = sorted((folder / "replicate-1").glob("*.npy"))
    assert [int(path.stem) for path in drawn] == [0, 4, 8, 10]
    first = np.load(drawn[0])
    assert first.shape == (3, 4, 3) and first.dtype == np.uint8
    assert (first == 160).sum() == 3 * 4  # four of twelve are infectious on the first day
    film = tmp_path / "city.gif"
    pytest.importorskip("PIL")
    assert write_gif(filmed["run_dir"], film, replicate=1) == 4
    assert film.read_bytes()[:3] == b"GIF"


def test_newcomers_get_ties_by_the_rule_and_the_dead_lose_theirs(tmp_path):
    summary = run_scenario(loaded(tmp_path, KINDS), tmp_path / "runs")
    with journal_of(summary) as journal:
        tied = journal.events(0, "attach")
        born = {event.generation: len(event.data) for event in journal.events(0, "births")}
    assert {event.generation: event.data["newborns"] for event in tied} == born
    assert sorted(born) == [1, 2, 3, 4, 5]
    assert replay_run(summary["run_dir"])["digest"] == summary["digest"]


def test_a_newcomer_loses_the_old_ties_and_gets_those_of_the_rule(tmp_path):
    simulation = build(loaded(tmp_path, KINDS))
    carry = unstack(Machine(simulation).start([0]), 0)
    num = simulation.population.num_slots
    before = edit.degrees(carry.graph)
    assert sorted(set(before.tolist())) == [0, 4]  # spare slots have none
    alive = carry.alive.copy()
    alive[9] = True  # slot 9 was free
    carry = carry._replace(alive=alive)
    births = Births(np.int32([0, 9, num]), np.int32([[1], [1], [-1]]))
    situation = situation_of(simulation, carry)
    place = {"seed": 0, "tick": 2, "replicate": 0, "generation": 1}
    after, events = tie_newcomers(simulation.attach, carry, births, situation, **place)
    degrees = edit.degrees(after.graph)
    assert degrees[0] >= 2 and degrees[9] >= 2
    # Four ties were cut, four were drawn (two of them may be one).
    assert before.sum() - 8 + 6 <= degrees.sum() <= before.sum()
    assert not set(after.graph.senders[after.graph.senders < num].tolist()) - set(
        np.flatnonzero(alive).tolist()
    )
    assert events[0].data == {"newborns": 2, "refused": 0}


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["graph.attach=null"], "say how they get some with graph.attach"),
        (["graph={use: complete, attach: random}"], "choose another graph"),
        (["selection=null"], "those who are born between generations"),
        (["record.fields=[cooperatoin]"], "no metric is called 'cooperatoin'; metrics here"),
    ],
)
def test_what_cannot_be_kept_or_tied_is_refused(tmp_path, sets, message):
    with pytest.raises(ScenarioError, match=message):
        build(loaded(tmp_path, KINDS, *sets))
