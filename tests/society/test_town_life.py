"""Who knows whom in a town: from conversations to a table, a graph and numbers."""

import csv
import json
from pathlib import Path

import networkx
import numpy as np
import pytest

from society.export import export
from society.journal_rows import StoredEvent
from society.measures.town_life import relationships
from society.run import run_scenario
from society.scenario import load_scenario
from worlds.registry import make

KEY = np.zeros(2, np.uint32)


def conversation(one, other, lines):
    data = {"kind": "conversation", "slot": one, "data": {"with": other, "lines": lines}}
    return StoredEvent(0, 0, 0, 0, 0, "world", one, 0, data)


def test_conversations_are_counted_by_pair_whoever_began():
    events = [conversation(2, 0, 4), conversation(0, 2, 3), conversation(1, 2, 1)]
    assert relationships(events) == {(0, 2): (2, 7), (1, 2): (1, 1)}


def test_a_conversation_that_ends_is_told_once_with_all_its_lines():
    world = make("town", num_slots=2, names=("Ada", "Ben"), tick_s=60, minutes=60, chat_lines=3)
    state, told = world.init(KEY), []
    state["at"] = [world._town.find("Pub")] * 2
    for words in (["talk to Ben", "carry on"], ["say Hi", ""], ["", "say Ho"], ["say Bye", ""]):
        after, _ = world.step(KEY, state, words)
        told.append([row for row in world.happenings(state, words, after)
                     if row.kind == "conversation"])  # fmt: skip
        state = after
    assert [len(rows) for rows in told] == [0, 0, 0, 1]
    assert told[3][0].slot == 0 and told[3][0].data == {"with": 1, "lines": 3}
    later, _ = world.step(KEY, state, world.noop())
    assert later["ended"] == []


@pytest.fixture(scope="module")
def day(tmp_path_factory):
    """An hour of six people at one place, who are bound to talk."""
    people = ", ".join(f"{{name: P{i}, age: 30, job: baker}}" for i in range(6))
    scenario = load_scenario(
        "town_day",
        ["world.minutes=90", "backend=mock", f"groups.residents.table=[{people}]", "seeds=2"],
    )
    return run_scenario(scenario, tmp_path_factory.mktemp("town"))


def test_a_run_tells_what_became_of_the_town(day):
    found = day["measures"]
    events = found["conversations"]["values"]
    between = np.array(found["lines_between"])
    assert between.shape == (6, 6) and (between == between.T).all()
    assert found["calls_per_agent_hour"]["mean"] > 0
    calls = day["llm"]["calls"] / 6 / 1.5 / 2
    assert found["calls_per_agent_hour"]["mean"] == pytest.approx(calls, rel=1e-4)
    assert all(0 <= value <= 1 for value in found["tie_density"]["values"])
    assert all(value == int(value) for value in events)


def test_relationships_are_exported_as_a_table_and_as_graphs(day, tmp_path):
    if not sum(day["measures"]["conversations"]["values"]):
        pytest.fail("nobody talked; the test needs a livelier town")
    export(day["run_dir"], "csv", tmp_path)
    with (tmp_path / "relationships.csv").open() as file:
        rows = list(csv.DictReader(file))
    lines = sum(int(row["lines"]) for row in rows)
    between = np.array(day["measures"]["lines_between"])
    assert lines == pytest.approx(between.sum() / 2 * len(day["seeds"]))
    files = export(day["run_dir"], "graphml", tmp_path)
    assert all(path.name.startswith("relationships-seed") for path in files)
    total = sum(
        data["lines"] for path in files for *_, data in networkx.read_graphml(path).edges(data=True)
    )
    assert total == lines


def test_asking_residents_in_between_changes_nothing_but_adds_answers(tmp_path):
    plain = ["world.minutes=60", "backend=mock"]
    asked = [
        *plain,
        "surveys={mood: {at: [0, 6], questions: [{id: glad, ask: Glad?, options: [a, b]}]}}",
    ]
    one = run_scenario(load_scenario("town_day", plain), tmp_path / "a")
    two = run_scenario(load_scenario("town_day", asked), tmp_path / "b")
    assert one["digest"] == two["digest"]
    assert two["llm"]["calls"] - one["llm"]["calls"] == 2 * 12
    assert "mood" in json.dumps(two["surveys"]) and Path(two["run_dir"]).exists()
