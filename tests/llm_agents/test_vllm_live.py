"""With a real vLLM server on loopback, and its engine in this process: `make test-vllm`.

The model is society-tiny, or the folder that SOCIETY_TEST_MODEL names.
"""

import asyncio
import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from llm_agents.backends.base import ChatMessage, Request
from llm_agents.backends.openai_http import OpenAIHTTP
from llm_agents.backends.serving import ModelServer
from llm_agents.testing import check_backend

pytestmark = pytest.mark.vllm

MODEL = os.environ.get("SOCIETY_TEST_MODEL", "society-tiny")
QUESTIONS = Path(__file__).parents[1] / "data" / "choice_questions.jsonl"
SAME = 0.99

IPD = """
about: A model meets tit for tat ten times
world: {use: matrix_game, game: prisoners_dilemma, rounds: 10, pairs: across_groups}
groups:
  model: {policy: {use: chat, reasoning: direct, sampling: {temperature: 0.7}}}
  opponent: {policy: tit_for_tat}
backend: mock
limits: {max_fallback_rate: 1}
"""
SCENARIOS = {
    "donor_game": [
        "generations=2", "seeds=1", "groups.donors.count=4", "world.rounds=2", "sweep=null",
        "groups.donors.policy.sampling.max_tokens=60", "limits.max_fallback_rate=1",
    ],
    "iterated_pd": ["seeds=3"],
}  # fmt: skip


def note(line):
    """Show a figure; the suite runs with -s."""
    print(f"\n  {line}", flush=True)


@pytest.fixture(scope="module")
def server():
    began = time.monotonic()
    with ModelServer(MODEL, name="tiny", max_model_len=2048, wait_s=900) as running:
        note(f"server ready after {time.monotonic() - began:.0f} s")
        yield running


@pytest.fixture(scope="module")
def engine():
    """vLLM's engine in this process; one for the whole module, on the loop that it is used on."""
    from llm_agents.backends.vllm_engine import VLLM

    return VLLM(model=MODEL, max_model_len=2048)


@pytest.fixture(scope="module")
def loop():
    with asyncio.Runner() as runner:
        yield runner


class Lesson(NamedTuple):
    """A question with options and the taught answer; kept out of the model's training."""

    task: str
    messages: tuple[ChatMessage, ...]
    answer: str
    options: tuple[str, ...]


@pytest.fixture(scope="module")
def lessons():
    """Two hundred of them: decisions in games, predictions, surveys."""
    found = []
    for line in QUESTIONS.read_text(encoding="utf-8").splitlines():
        task, said, answer, options = json.loads(line)
        messages = tuple(ChatMessage(role, text) for role, text in said)
        found.append(Lesson(task, messages, answer, tuple(options)))
    return found


def questions(lessons, **changes):
    return [
        Request(messages=one.messages, options=one.options, max_tokens=8, seed=seed, **changes)
        for seed, one in enumerate(lessons)
    ]


def asked(loop, backend, requests, how="choose"):
    async def main():
        answers = await getattr(backend, how)(requests)
        if isinstance(backend, OpenAIHTTP):
            await backend.aclose()
        return answers

    return loop.run(main())


def test_the_server_passes_the_conformance_kit(server, loop):
    backend = OpenAIHTTP(url=server.url)
    loop.run(check_backend(backend))
    assert backend._server.dialect.name == "vllm"


def test_the_engine_in_this_process_passes_the_conformance_kit(engine, loop):
    loop.run(check_backend(engine, close=False))


def test_the_same_model_makes_the_same_choices_everywhere(server, engine, loop, lessons):
    from llm_agents.backends.local import Local
    from llm_agents.backends.transformers_torch import Transformers

    backends = {
        "local": Local(model=MODEL),
        "transformers": Transformers(model=MODEL),
        "vllm": engine,
        "openai_http": OpenAIHTTP(url=server.url),
    }
    said = {}
    for name, backend in backends.items():
        began = time.monotonic()
        answers = asked(loop, backend, questions(lessons))
        took = time.monotonic() - began
        assert not [one.error for one in answers if one.error], name
        said[name] = [one.choice for one in answers]
        right = sum(one.text == lesson.answer for one, lesson in zip(answers, lessons, strict=True))
        methods = sorted({one.method for one in answers})
        note(f"{name:13} {right / len(lessons):.3f} right, {len(lessons) / took:.0f}/s, {methods}")
    for name, choices in said.items():
        same = sum(a == b for a, b in zip(choices, said["local"], strict=True)) / len(choices)
        note(f"{name:13} {same:.4f} the same as local")
        assert same >= SAME, name


@pytest.mark.parametrize("way", ["logprobs", "structured", "regex", "text"])
def test_no_way_of_choosing_loses_accuracy_against_plain_scoring(way, server, loop, lessons):
    from llm_agents.backends.transformers_torch import Transformers

    plain = asked(loop, Transformers(model=MODEL), questions(lessons))
    other = asked(loop, OpenAIHTTP(url=server.url, choice=way), questions(lessons))
    right = [
        sum(one.text == lesson.answer for one, lesson in zip(answers, lessons, strict=True))
        / len(lessons)
        for answers in (plain, other)
    ]
    note(f"{way}: {right[1]:.3f} right, plain scoring {right[0]:.3f}")
    assert right[1] >= right[0] - 0.02


def test_forms_are_kept_and_whitespace_does_not_loop(server, loop):
    schema = {
        "type": "object",
        "properties": {"action": {"enum": ["cooperate", "defect"]}},
        "required": ["action"],
        "additionalProperties": False,
    }
    ask = (ChatMessage("user", "Cooperate or defect?"),)
    requests = [
        Request(messages=ask, schema=schema, seed=1, max_tokens=40),
        Request(messages=ask, regex="[0-9]{2}", seed=1, max_tokens=8),
    ]
    first, second = asked(loop, OpenAIHTTP(url=server.url), requests, "generate")
    assert first.error is None and json.loads(first.text)["action"] in ("cooperate", "defect")
    assert second.error is None and len(second.text) == 2


def test_equal_seeds_get_equal_texts_alone_and_in_a_crowd(server, loop):
    requests = [
        Request(
            messages=(ChatMessage("user", f"Say {i}."),), seed=i, temperature=1.0, max_tokens=24
        )
        for i in range(48)
    ]
    together = asked(loop, OpenAIHTTP(url=server.url), requests, "generate")
    alone = asked(loop, OpenAIHTTP(url=server.url, concurrency=1), requests[:12], "generate")
    same = sum(a.text == b.text for a, b in zip(together, alone, strict=False))
    note(f"{same} of {len(alone)} texts are equal alone and among {len(requests)}")
    assert same >= 0.9 * len(alone)
    assert server.running  # seeded requests crash an engine without the guards


# ---- whole runs -------------------------------------------------------------------------


@pytest.fixture
def scenario(tmp_path):
    """(name, backend) -> a loaded scenario."""
    from society.scenario import load_scenario

    def load(name, backend):
        target = name
        if name == "iterated_pd":
            target = tmp_path / "iterated_pd.yaml"
            target.write_text(IPD)
        return load_scenario(target, [*SCENARIOS[name], f"backend={backend}"])

    return load


def http(server):
    return f"{{use: openai_http, url: '{server.url}', retries: 1, first_wait_s: 0.1}}"


def calls_in(folder):
    with contextlib.suppress(sqlite3.OperationalError):
        with contextlib.closing(sqlite3.connect(folder / "journal.sqlite")) as journal:
            return journal.execute("SELECT count(*) FROM calls").fetchone()[0]
    return 0


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_killed_server_costs_no_answer_and_replay_needs_none(name, server, scenario, tmp_path):
    from llm_agents.backends.base import BackendDownError
    from society.run import replay_run, resume_run, run_scenario

    whole = run_scenario(scenario(name, http(server)), tmp_path / "whole")
    calls = whole["llm"]["calls"]
    note(f"{name}: {calls} calls, {whole['wall_s']:.1f} s, fallbacks {whole['llm']['fallbacks']}")
    assert whole["status"] == "ok" and calls > 8

    out = tmp_path / "cut"
    over = threading.Event()

    def kill():
        while not over.is_set():
            folders = list(out.iterdir()) if out.is_dir() else []
            if folders and calls_in(folders[0]) >= calls // 3:
                server.kill()
                return
            time.sleep(0.005)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(BackendDownError):
            run_scenario(scenario(name, http(server)), out)
    finally:
        over.set()
        killer.join()
    (folder,) = out.iterdir()
    stored = calls_in(folder)
    assert calls // 3 <= stored < calls
    began = time.monotonic()
    server.start()
    server.wait()
    note(f"{name}: killed after {stored} of {calls}; back after {time.monotonic() - began:.0f} s")
    resumed = resume_run(folder)
    assert resumed["status"] == "ok" and resumed["llm"]["calls"] == calls
    replayed = replay_run(folder)
    assert replayed["digest"] == resumed["digest"]
    equal = "equal to" if resumed["digest"] == whole["digest"] else "another than"
    note(f"{name}: digest {resumed['digest'][:12]}, {equal} the uninterrupted run's")


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_run_with_the_engine_inside_replays_to_the_same_digest(name, tmp_path):
    target = name
    if name == "iterated_pd":
        target = str(tmp_path / "iterated_pd.yaml")
        (tmp_path / "iterated_pd.yaml").write_text(IPD)
    backend = f"backend={{use: vllm, model: '{MODEL}', max_model_len: 2048}}"
    sets = [word for change in (*SCENARIOS[name], backend) for word in ("--set", change)]
    done = society("run", target, *sets, "--out", str(tmp_path / "runs"))
    note(f"{name} in one process: {done['llm']['calls']} calls, {done['wall_s']:.1f} s")
    assert society("replay", done["run_dir"])["digest"] == done["digest"]


def society(*words):
    """Run the command line in a process of its own; returns its JSON."""
    done = subprocess.run(
        [sys.executable, "-m", "society.cli", *words, "--json"],
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return json.loads(done.stdout[done.stdout.index("{\n") :])
