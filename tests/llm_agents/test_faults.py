"""The fault table of docs/reference/backends.md, row by row, and as part of whole runs."""

import asyncio
import contextlib
import importlib.util
import re
import sqlite3
import time
from email.utils import formatdate
from pathlib import Path

import pytest

from llm_agents.backends.base import BackendDownError, ChatMessage, Request
from llm_agents.backends.openai_http import OpenAIHTTP
from society.run import replay_run, resume_run, run_scenario
from society.scenario import load_scenario

_spec = importlib.util.spec_from_file_location(
    "fault_server", Path(__file__).with_name("fault_server.py")
)
assert _spec is not None and _spec.loader is not None
faults = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(faults)
completion, reply = faults.completion, faults.reply

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "backends.md"
ROW = re.compile(r"^\| ([^|]+) \| (yes|no)[^|]* \| `(\w+)` \| (the run|the agent) \|$", re.M)
OPTIONS, NUMBER = ("J", "F"), {"type": "number"}


def status(number, *headers, **error):
    return reply({"error": {"message": "no", **error}}, f"{number} Status", headers)


def far(seconds):
    return formatdate(time.time() + seconds, usegmt=True)


# Every row: what is on the wire, and how often a request is asked with two retries.
FAULTS = {
    "429": (status(429), 3),
    "429, Retry-After in seconds": (status(429, "Retry-After: 0.01"), 3),
    "429, Retry-After as a date": (status(429, f"Retry-After: {far(-5)}"), 3),
    "429, Retry-After in the far future": (status(429, f"Retry-After: {far(99999)}"), 1),
    "429, quota spent": (status(429, code="insufficient_quota"), 1),
    "5xx": (status(503), 3),
    "4xx": (status(401), 1),
    "reset": (faults.DROP, 3),
    "hang": (faults.HANG, 3),
    "truncated body": (reply(completion("Answer: 1"), length=10_000), 3),
    "HTML with 200": (reply(b"<html>Welcome to the hotel network</html>"), 3),
    "malformed JSON": (reply(b'{"choices": [{"mess'), 3),
    "JSON of another kind": (reply({"object": "chat.completion"}), 3),
    "error in a body with 200": (reply({"error": {"message": "overloaded"}}), 3),
    "empty choices": (reply(completion(choices=[])), 3),
    "null content": (reply(completion(None)), 3),
    "refusal": (reply(completion(None, choice={"message": {"refusal": "I will not"}})), 1),
    "wrong option": (reply(completion("banana")), 4),
    "wrong form": (reply(completion("banana")), 1),
}
TABLE = {
    name.strip(): (again, kind, who) for name, again, kind, who in ROW.findall(PAGE.read_text())
}


def test_the_table_and_the_tests_have_the_same_rows():
    assert list(TABLE) == list(FAULTS)


@pytest.mark.parametrize("row", FAULTS)
def test_a_lasting_fault_ends_as_the_table_says(row):
    wire, calls = FAULTS[row]
    again, kind, who = TABLE[row]
    response, requests = asked(wire, row=row)
    assert response.error is not None and response.error.kind == kind
    assert len(requests) == calls == response.attempts
    assert response.error.visible == (who == "the agent")
    assert (calls > 1) == (again == "yes")


@pytest.mark.parametrize("row", [row for row in FAULTS if TABLE[row][0] == "yes"])
def test_a_passing_fault_is_survived(row):
    response, requests = asked(FAULTS[row][0], reply(completion('{"answer": "F"}')), row=row)
    assert response.error is None and len(requests) == 2 == response.attempts


def asked(*behaviours, row):
    """Ask a server that behaves so; the answer, and the requests that reached it."""
    options = OPTIONS if row == "wrong option" else None
    schema = NUMBER if row == "wrong form" else None
    request = Request(
        (ChatMessage("user", "hello"),), options=options, schema=schema, seed=1, max_tokens=9
    )

    async def main():
        async with faults.FaultServer(*behaviours) as server:
            backend = OpenAIHTTP(url=server.url, timeout_s=0.3, first_wait_s=0.01, retries=2)
            ask = backend.choose if options else backend.generate
            (response,) = await ask([request])
            await backend.aclose()
            return response, server.requests

    return asyncio.run(main())


# ---- whole runs -------------------------------------------------------------------------


class Model:
    """Answers donor prompts as a function of the seed; misbehaves where it is told to."""

    def __init__(self):
        self.answered, self.fault, self.left = [], None, 0

    def __call__(self, said):
        if self.fault is not None and self.left <= 0:
            return self.fault
        self.left -= 1
        self.answered.append(said["seed"])
        return faults.donor(said)


def scenario(url):
    backend = f"{{use: openai_http, url: '{url}', retries: 0, timeout_s: 2, concurrency: 1}}"
    sets = ["generations=2", "seeds=1", "groups.donors.count=4", "world.rounds=3", "sweep=null"]
    return load_scenario("donor_game", [*sets, f"backend={backend}"])


STOPPING = [row for row in FAULTS if TABLE[row][2] == "the run"]


@pytest.mark.slow
def test_a_run_that_meets_every_fault_in_turn_ends_as_if_there_had_been_none(tmp_path):
    model = Model()
    with faults.served(model) as url:
        whole = run_scenario(scenario(url), tmp_path / "whole")
        calls = len(model.answered)
        assert calls == whole["llm"]["calls"] > 2 * len(STOPPING)
        model.answered, folder, faults_met = [], None, 0
        for row in STOPPING:
            model.fault, model.left = FAULTS[row][0], 2
            with pytest.raises(BackendDownError, match=TABLE[row][1]):
                if folder is None:
                    run_scenario(scenario(url), tmp_path / "cut")
                else:
                    resume_run(folder)
            (folder,) = (tmp_path / "cut").iterdir()
            faults_met += 1
            with contextlib.closing(sqlite3.connect(folder / "journal.sqlite")) as journal:
                (stored,) = journal.execute("SELECT count(*) FROM calls").fetchone()
            assert stored == len(model.answered) == 2 * faults_met, row  # no answer is lost
        model.fault = None
        done = resume_run(folder)
    assert sorted(model.answered) == sorted(set(model.answered)) and len(model.answered) == calls
    assert done["digest"] == whole["digest"]
    assert replay_run(folder)["digest"] == whole["digest"]


@pytest.mark.parametrize(
    "row",
    [
        "null content",
        pytest.param("empty choices", marks=pytest.mark.slow),
        pytest.param("refusal", marks=pytest.mark.slow),
    ],
)
def test_what_the_agent_sees_is_a_flagged_fallback_and_the_run_goes_on(row, tmp_path):
    model = Model()
    with faults.served(model) as url:
        easy = load_scenario(
            "donor_game",
            [
                "generations=1", "seeds=1", "groups.donors.count=4", "world.rounds=1",
                "sweep=null", "limits.max_fallback_rate=1",
                f"backend={{use: openai_http, url: '{url}', retries: 0}}",
            ],
        )  # fmt: skip
        model.fault, model.left = FAULTS[row][0], 4  # births are answered
        done = run_scenario(easy, tmp_path)
    assert done["status"] == "ok" and done["llm"]["fallbacks"] > 0
    assert done["llm"]["faults"] > 0
