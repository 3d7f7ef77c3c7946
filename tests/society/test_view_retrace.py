"""Retracing a run and interviewing its agents, in this process."""

import hashlib
import sqlite3

import pytest

from society.journal import Journal
from society.journal_rows import metrics_row
from society.recorder import RunFolder
from society.run import run_scenario
from society.scenario import load_resolved, load_scenario
from society.view.film_store import FilmStore
from society.view.retrace import film

ARRAYS = ("groups.players.count=30", "generations=4", "seeds=2")
LANGUAGE = (
    "groups.donors.count=4", "generations=2", "world.rounds=4", "backend=mock",
)  # fmt: skip


def ran(name, sets, out):
    return RunFolder.open(run_scenario(load_scenario(name, sets), out)["run_dir"])


def filmed(folder, path, replicate=0):
    store = FilmStore(path)
    film(folder, store, replicate)
    return store, store.snapshots(0)["rows"]


def contents(folder):
    files = [path for path in folder.path.rglob("*") if path.is_file()]
    kept = [path for path in files if not path.name.endswith(("-shm", "-wal"))]
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in kept}


def test_a_retrace_finds_the_strategies_that_the_run_counted(tmp_path):
    folder = ran("cooperation_on_networks", ARRAYS, tmp_path)
    before = contents(folder)
    for replicate in (0, 1):
        store, rows = filmed(folder, tmp_path / f"{replicate}.sqlite", replicate)
        with Journal.open(folder.journal_path, readonly=True) as journal:
            names = list(journal.metric_names())
            table = journal.metrics(replicate).values
        column = names.index("generation/types/players[0]")
        counted = [int(row[column]) for row in table]
        # Who is there at the start plays after the first selection, which is part of the tick.
        assert [row["clock"][0] for row in rows] == [0, 0, 1, 2, 3]
        assert [row["types"].count(0) for row in rows[1:]] == counted
        stage = store.fact("stage")
        assert stage["groups"][0]["types"] == ["always_cooperate", "always_defect"]
        assert len(stage["places"]) == 30 and len(stage["edges"]) >= 30
        assert store.fact("status") == {"status": "done", "note": ""}
    assert contents(folder) == before


def test_a_journal_that_says_otherwise_is_named(tmp_path):
    folder = ran("cooperation_on_networks", ARRAYS, tmp_path)
    database = sqlite3.connect(folder.journal_path)
    chosen = "FROM metrics WHERE replicate = 0 AND generation = 2"
    row = database.execute(f"SELECT * {chosen}").fetchone()
    changed = metrics_row((*row[:4], bytes(len(row[4])), row[5]))
    database.execute(f"DELETE {chosen}")
    database.execute("INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?, ?)", changed)
    database.commit()
    database.close()
    store, _ = filmed(folder, tmp_path / "f.sqlite")
    assert "generation 2" in store.fact("status")["note"]


@pytest.mark.slow
def test_language_agents_are_retraced_and_interviewed(tmp_path):
    from society.build import build
    from society.view.interview import interview
    from society.view.workers import INTERVIEWS, Interviews

    folder = ran("demo", LANGUAGE, tmp_path)
    before = contents(folder)
    store, rows = filmed(folder, tmp_path / "f.sqlite")
    assert store.mind(rows[-1]["seq"], 0)["strategy"]
    simulation = build(load_resolved(folder.scenario_path))
    for number, clock in enumerate([(0, 0, 0), (1, 0, 3)]):
        uid = (rows[0] if clock[0] == 0 else rows[-1])["uid"]
        who = 1 if uid is None else uid[1]
        answer = interview(
            folder, simulation, replicate=0, uid=who, clock=clock, question="Whom do you trust?"
        )
        assert answer
        kept = Interviews(folder.path).asked(0)["interviews"]
        assert [one["answer"] for one in kept][number] == answer
        assert kept[number]["clock"] == list(clock) and kept[number]["uid"] == who
    with pytest.raises(ValueError, match="nobody"):
        interview(folder, simulation, replicate=0, uid=999, clock=(0, 0, 0), question="Who?")
    after = contents(folder)
    after.pop(folder.path / INTERVIEWS)
    assert after == before
