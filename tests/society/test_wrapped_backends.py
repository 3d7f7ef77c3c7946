"""Wrappers in scenarios: named like any backend, without a part in what a result depends on."""

import contextlib
import sqlite3

import pytest

from society.errors import ScenarioError
from society.run import run_scenario
from society.scenario import load_scenario

SMALL = ["generations=1", "seeds=1", "groups.donors.count=4", "world.rounds=1", "sweep=null"]


def scenario(backend):
    return load_scenario("donor_game", [*SMALL, f"backend={backend}"])


def test_a_cache_answers_the_second_run_and_counts_no_tokens(tmp_path):
    file = tmp_path / "answers.sqlite"
    cached = f"{{use: cache, path: {file}, backend: {{use: limit, concurrency: 2, backend: mock}}}}"
    first = run_scenario(scenario(cached), tmp_path / "runs")
    again = run_scenario(scenario(cached), tmp_path / "runs")
    assert first["digest"] == again["digest"] and first["llm"]["calls"] == again["llm"]["calls"]
    assert first["llm"]["completion_tokens"] > 0 == again["llm"]["completion_tokens"]
    with contextlib.closing(sqlite3.connect(file)) as database:
        (kept,) = database.execute("SELECT count(*) FROM answers").fetchone()
    assert kept == first["llm"]["calls"]


def test_wrappers_have_no_part_in_the_hash_of_a_scenario():
    bare = scenario("{use: mock, persona: fair}")
    inner = "{use: mock, persona: fair}"
    for wrapped in (
        f"{{use: cache, backend: {inner}}}",
        f"{{use: retry, retries: 9, backend: {{use: limit, concurrency: 3, backend: {inner}}}}}",
    ):
        assert scenario(wrapped).hash == bare.hash
    assert scenario("{use: cache, backend: mock}").hash != bare.hash
    resolved = scenario(f"{{use: cache, backend: {inner}}}").resolved()["backend"]
    assert resolved["use"] == "cache" and resolved["backend"]["persona"] == "fair"


@pytest.mark.parametrize(
    ("backend", "problem"),
    [
        ("{use: cache}", "backend"),
        ("{use: cache, backend: mokc}", "did you mean 'mock'"),
        ("{use: cache, backend: {use: mock, persona: odd}}", "persona"),
        ("{use: limit, backend: mock, concurrency: 0}", "concurrency"),
    ],
)
def test_what_is_wrong_inside_a_wrapper_is_found_at_once(backend, problem):
    with pytest.raises(ScenarioError, match=problem):
        scenario(backend)
