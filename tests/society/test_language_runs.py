"""Language agents in whole runs: memory, talk, words between hosts' turns, resume and replay."""

import json
import re
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from society.errors import ScenarioError
from society.journal import Journal
from society.run import replay_run, resume_run, run_scenario
from society.scenario import load_scenario

THINKERS = """
world: {use: matrix_game, game: prisoners_dilemma_akata, rounds: 4, pairs: random}
groups:
  people:
    count: 4
    policy:
      use: chat
      reasoning: REASONING
      samples: 2
      memory: {use: stream, capacity: 12, retrieved: 3, reflect_at: 30, importance: model}
      plan: {use: daily, ahead: 3}
      strategy: revised
      revise_every: 3
channels: {talk: {use: text}}
backend: mock
episodes: 2
"""

HEARERS = """
world: {use: matrix_game, game: prisoners_dilemma, rounds: 7, pairs: random}
groups:
  listeners: {count: 1, policy: {use: chat, every: 3}}
  machines: {count: 3, policy: {use: "talkers:Caller"}}
channels: {signs: {use: words, vocabulary: [zero, one, two, three, four, five, six]}}
backend: mock
"""

CALLER = '''
import jax.numpy as jnp
from worlds.policy import ArrayPolicy
from worlds.tree import pytree
from worlds.types import Decision, Mind

@pytree
class Caller(ArrayPolicy):
    """Says which step it is; the last row says nothing."""

    def init(self, key, seats):
        return Mind((), jnp.zeros(seats.num, jnp.int32))

    def act(self, key, mind, percept):
        step = jnp.where(percept.first, 0, mind.memory)
        last = jnp.arange(step.size) == step.size - 1
        said = jnp.where(last, -1, step)
        return Decision(jnp.zeros(step.size, jnp.int8), step + 1, {"signs": said})
'''

COUNTER = '''
import dataclasses
from worlds.policy import TextPolicy
from worlds.types import Reply

@dataclasses.dataclass(frozen=True)
class Counter(TextPolicy):
    """Counts its turns where it should not: in the attributes that it is told."""

    async def birth(self, ask, birth):
        birth.seat.attributes["seen"] = 10
        return {}

    async def act(self, ask, mind, turn):
        known = turn.seat.attributes
        known["seen"] = known.get("seen", 0) + 1
        told = {"seen": known["seen"], "age": known.pop("age")}
        return Reply(turn.parse(turn.options[0]), events={"told": told}), mind

    def legacy(self, mind):
        return ""
'''


def run(tmp_path: Path, text: str, *sets: str) -> dict[str, Any]:
    path = tmp_path / "here.yaml"
    path.write_text(text)
    scenario = load_scenario(path, sets, allow_code=True)
    return run_scenario(scenario, tmp_path / "runs")


def journal(summary: dict[str, Any], query: str) -> list[tuple]:
    with sqlite3.connect(Path(summary["run_dir"]) / "journal.sqlite") as database:
        return database.execute(query).fetchall()


def events(summary: dict[str, Any], kind: str) -> list[Any]:
    with Journal.open(Path(summary["run_dir"]) / "journal.sqlite", readonly=True) as rows:
        return [event.data for event in rows.events(0, kind)]


def test_a_mind_with_every_part_resumes_to_the_same_digest(tmp_path: Path) -> None:
    text = THINKERS.replace("REASONING", "bdi")
    whole = run(tmp_path, text)
    cut = run(tmp_path, text, f"limits.calls={whole['llm']['calls'] // 2}")
    assert cut["status"] == "limit"
    finished = resume_run(cut["run_dir"], sets=("limits.calls=null",))
    assert finished["digest"] == whole["digest"]


def test_a_mind_with_every_part_replays_offline_and_its_predictions_are_scored(
    tmp_path: Path,
) -> None:
    whole = run(tmp_path, THINKERS.replace("REASONING", "scot"))
    assert whole["status"] == "ok" and whole["llm"]["fallbacks"] == 0
    assert replay_run(whole["run_dir"])["digest"] == whole["digest"]
    purposes = {purpose for (purpose,) in journal(whole, "SELECT DISTINCT purpose FROM calls")}
    assert purposes >= {"birth", "act", "plan", "steps", "importance", "focus", "reflect", "revise"}
    assert len(events(whole, "plan")) and len(events(whole, "strategy"))
    found = events(whole, "prediction")
    assert found and all(0 <= event["score"] <= 1 for event in found)
    scores = [event["score"] for event in found]
    told = whole["llm"]["predictions"]
    assert told["scored"] == len(scores)
    assert told["mean_score"] == pytest.approx(sum(scores) / len(scores))


def test_what_a_mind_writes_into_its_attributes_is_gone_in_its_next_turn(tmp_path: Path) -> None:
    (tmp_path / "counters.py").write_text(COUNTER)
    summary = run(
        tmp_path,
        """
world: {use: matrix_game, game: prisoners_dilemma, rounds: 3, pairs: random}
groups:
  people: {count: 2, policy: {use: "counters:Counter"}, attributes: {age: 41}}
backend: mock
""",
    )
    assert events(summary, "told") == [{"seen": 1, "age": 41}] * 6


def test_words_said_while_a_reader_was_not_asked_reach_it_in_order(tmp_path: Path) -> None:
    (tmp_path / "talkers.py").write_text(CALLER)
    summary = run(tmp_path, HEARERS)
    assert summary["status"] == "ok"
    rows = journal(
        summary, "SELECT step, request FROM questions WHERE purpose = 'act' ORDER BY step"
    )
    assert [step for step, _ in rows] == [0, 3, 6]
    words = "zero one two three four five six".split()
    heard = {}
    for step, request in rows:
        prompt = json.loads(request)[1][1][1]
        inbox = prompt.partition("Messages you received")[2].partition("\n\n")[0]
        heard[step] = [word for word in inbox.split() if word in words]
    assert heard == {
        0: [],
        3: ["zero", "zero", "one", "one", "two", "two"],
        6: ["three", "three", "four", "four", "five", "five"],
    }
    again = replay_run(summary["run_dir"], allow_code=True)
    assert again["digest"] == summary["digest"]


@pytest.mark.parametrize("mode", ["marked", "raw", "shuffled", "silent"])
def test_letters_before_the_act_arrive_as_the_channel_says(tmp_path: Path, mode: str) -> None:
    text = f"""
world: {{use: matrix_game, game: stag_hunt, rounds: 2, pairs: neighbours, actions: same}}
groups:
  people: {{count: 4, policy: {{use: chat, memory: none}}}}
graph: {{use: cycle, assign: in_order}}
channels: {{letters: {{use: text, when: before_action, mode: {mode}}}}}
backend: mock
"""
    summary = run(tmp_path, text)
    assert summary["status"] == "ok"
    talks = journal(summary, "SELECT request FROM questions WHERE purpose = 'talk'")
    acts = journal(summary, "SELECT uid, request FROM questions WHERE purpose = 'act' AND step = 0")
    assert len(talks) == 8 and len(acts) == 4
    assert "You can speak to Agent 1, Agent 3" in talks[0][0]
    sent = journal(summary, "SELECT speaker, recipients FROM messages WHERE step = 0")
    for speaker, recipients in sent:
        near = {(speaker + 1) % 4, (speaker - 1) % 4}
        named = set(json.loads(recipients))
        assert named <= near if mode in ("marked", "raw") else True
        assert len(named) == 1 or mode in ("silent", "shuffled")
    shown = [request for _, request in acts if "I give about" in request]
    assert bool(shown) == (mode != "silent") and len(shown) <= 4
    if mode in ("marked", "raw"):
        assert all(("every line marked" in request) == (mode == "marked") for request in shown)


def test_a_groups_own_framing_is_checked_before_the_run(tmp_path: Path) -> None:
    text = """
world: {use: donor_game, rounds: 2}
groups:
  people: {count: 4, policy: {use: chat, framing: {story: cooking}}}
backend: mock
"""
    with pytest.raises(ScenarioError, match="cooking is told of matrix_game only"):
        run(tmp_path, text)


def test_the_manifest_holds_the_hashes_of_the_prompts_in_use(tmp_path: Path) -> None:
    text = """
world: {use: matrix_game, rounds: 1}
groups:
  usual: {count: 1, policy: chat}
  other:
    count: 1
    policy: {use: chat, persona: "You are it.", prompts: {direct: "{{ question }}"}}
backend: mock
"""
    summary = run(tmp_path, text)
    prompts = json.loads((Path(summary["run_dir"]) / "manifest.json").read_text())["prompts"]
    usual, other = prompts["usual"], prompts["other"]
    assert {name for name in other if usual.get(name) != other[name]} == {"direct", "persona"}
    assert all(len(digest) == 64 for digest in other.values())


@pytest.mark.slow
def test_two_models_a_learner_and_a_rule_share_a_world_from_yaml_alone(tmp_path: Path) -> None:
    other = shutil.copytree(Path(__file__).parents[1] / "data" / "llama", tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 2048}))
    changes = [f"backends.other={{use: local, model: {other}}}", "episodes=2", "world.rounds=5",
               "groups.learners.learner.rollout=5", "groups.other.policy.reasoning=direct",
               "limits.max_fallback_rate=1"]  # fmt: skip
    summary = run_scenario(load_scenario("mixed_minds", changes), tmp_path / "runs")
    assert summary["status"] == "ok", summary.get("reason")
    asked = journal(summary, "SELECT backend, uid, count(*) FROM calls GROUP BY backend, uid")
    assert {(backend, uid) for backend, uid, _ in asked} == {
        ("tiny", 0), ("tiny", 1), ("other", 2), ("other", 3),
    }  # fmt: skip
    assert {calls for _, _, calls in asked} == {10}
    told = json.loads((Path(summary["run_dir"]) / "manifest.json").read_text())
    names = {name: said.split()[:2] for name, said in told["fingerprints"].items()}
    assert names == {"tiny": ["local", "society-tiny"], "other": ["local", "other"]}
    assert replay_run(summary["run_dir"])["digest"] == summary["digest"]


GIVERS = """
world: WORLD
groups:
  people: {count: 4, policy: {use: chat, answers: json}}
backend: {use: mock, persona: mixed}
episodes: 1
"""


@pytest.mark.parametrize(
    ("world", "most"),
    [
        ("{use: public_goods, rounds: 2, group_size: 4, endowment: 20}", 20.0),
        ("{use: donor_game, rounds: 2}", 10.0),
    ],
)
def test_numbers_are_answered_in_json_by_the_worlds_schema(tmp_path, world, most):
    summary = run(tmp_path, GIVERS.replace("WORLD", world))
    rows = journal(summary, "SELECT request, response FROM questions WHERE purpose = 'act'")
    assert rows and not events(summary, "fallback")
    for request, response in rows:
        _, messages, _, _, schema, *_ = json.loads(request)
        answer = json.loads(json.loads(response)["text"])["answer"]
        limits = schema["properties"]["answer"]
        assert limits["type"] == "number" and 0 <= answer <= limits["maximum"]
        assert f"from 0 to {limits['maximum']:g}." in messages[1][1]
        assert "After 'Answer:'" not in messages[1][1]
    assert json.loads(rows[0][0])[4]["properties"]["answer"]["maximum"] == most
    assert summary["digest"] == replay_run(Path(summary["run_dir"]))["digest"]


def test_json_that_breaks_the_schema_is_asked_for_again_and_then_falls_back(tmp_path):
    text = GIVERS.replace("WORLD", "{use: public_goods, rounds: 1, group_size: 4}")
    summary = run(tmp_path, text, "backend.malformed_rate=1", "groups.people.policy.max_reasks=1")
    assert len(journal(summary, "SELECT 1 FROM calls WHERE purpose = 'act'")) == 8
    found = events(summary, "fallback")
    assert len(found) == 4 and "no JSON object" in found[0]["problem"]


def test_json_answers_and_reasons_exclude_each_other(tmp_path):
    text = GIVERS.replace("WORLD", "{use: public_goods, rounds: 1, group_size: 4}")
    with pytest.raises(ScenarioError, match=r"answers: json .*reasoning: justify"):
        run(tmp_path, text, "groups.people.policy.reasoning=justify")


ECHO = '''
import jax.numpy as jnp
from worlds.policy import ArrayPolicy
from worlds.tree import pytree
from worlds.types import Decision, Mind

@pytree
class Echo(ArrayPolicy):
    """Says again what it has heard, and plays its second action where it has heard "stop"."""

    def init(self, key, seats):
        return Mind((), ())

    def act(self, key, mind, percept):
        heard = percept.inbox["signs"]
        word = jnp.where(heard.any(axis=1), heard.argmax(axis=1), -1)
        return Decision((word == 1).astype(jnp.int8), (), {"signs": word.astype(jnp.int32)})
'''

TALKERS = """
world: {use: matrix_game, game: prisoners_dilemma, rounds: 9, pairs: random}
groups:
  people: {count: 1, policy: {use: chat}}
  machines: {count: 1, policy: {use: "echoes:Echo"}}
channels: {signs: {use: words, vocabulary: [go, stop]}}
backend: {use: mock, seed: 4}
"""


def test_words_go_from_language_agents_to_arrays_and_back(tmp_path):
    (tmp_path / "echoes.py").write_text(ECHO)
    summary = run(tmp_path, TALKERS)
    said = dict(journal(summary, "SELECT step, text FROM messages WHERE channel = 'signs'"))
    assert {"go", "stop"} <= set(said.values()) and len(said) < 9, "it also keeps silent"
    rows = journal(
        summary, "SELECT step, request FROM questions WHERE purpose = 'act' ORDER BY step"
    )
    for step, request in rows:
        prompt = json.loads(request)[1][1][1].rpartition("So far")[0]
        inbox = prompt.partition("Messages you received:")[2].partition("\n\n")[0]
        assert re.findall(r"\| (\w+)$", inbox, re.M) == (
            [said[step - 2]] if step - 2 in said else []
        )
        if step > 1:
            machine = re.findall(r"the other player chose (\w)", prompt)[-1]
            assert (machine == "F") == (said.get(step - 2) == "stop")
    assert replay_run(summary["run_dir"], allow_code=True)["digest"] == summary["digest"]
