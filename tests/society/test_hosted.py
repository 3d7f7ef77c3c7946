"""Worlds of texts in the loop: stopped and resumed, replayed offline, learned by array policies."""

import contextlib
import json
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from killing import finish, kill_at_each, replay

from society.errors import ScenarioError
from society.journal import Journal
from society.run import replay_run, resume_scenario, run_scenario
from society.scenario import load_scenario
from worlds.registry import make

SHORT = {
    "rooms_cooperation": ["world.max_steps=6", "seeds=1"],
    "town_day": ["world.minutes=90"],
    "town_party": ["world.minutes=120"],
    "story_networks": ["groups.tellers.count=20", "steps=3"],
    "story_chain": ["groups.tellers.count=20", "steps=3"],
    "iterated_learning": ["world.chain=2", "groups.chains.count=2"],
    "twenty_questions": ["world.questions=4", "seeds=1"],
    "game_master_village": ["world.max_steps=3"],
    "negotiation": ["world.turns=4", "seeds=1"],
    "hidden_roles": ["seeds=1"],
    "rooms_explore": ["world.max_steps=12", "world.explore=4", "seeds=1"],
}
FAST = ("rooms_cooperation", "game_master_village")
POINTS = ("journal.after_commit:3", "checkpoint.half_written:1", "journal.before_commit:1")


def settings(name, *more):
    backend = "drift" if name.startswith("story") else "mock"
    return [*SHORT[name], f"backend={backend}", *more]


def load(name, *more):
    return load_scenario(name, settings(name, *more))


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("negotiation", POINTS[:1]),
        *(pytest.param(name, POINTS, marks=pytest.mark.slow) for name in SHORT),
    ],
)
def test_a_killed_world_of_texts_ends_the_same_and_replays_offline(name, points, tmp_path):
    whole = json.loads(json.dumps(run_scenario(load(name), tmp_path / "whole")))
    scenario = [name, *(part for one in settings(name) for part in ("--set", one))]
    folder, known = kill_at_each(tmp_path, scenario, points)
    assert 0 < len(known) < whole["llm"]["calls"]
    last = finish(tmp_path, folder, whole, known)
    assert len(last.asked) == len(set(last.asked)) == whole["llm"]["calls"] - len(known)
    assert replay(tmp_path, folder).summary["digest"] == whole["digest"]


@pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in SHORT]
)
def test_a_world_of_texts_is_resumed_and_replayed_to_the_same_digest(name, tmp_path):
    whole = run_scenario(load(name), tmp_path / "whole")
    assert whole["status"] == "ok", whole.get("reason")
    calls = whole["llm"]["calls"]
    cut = run_scenario(load(name, f"limits.calls={calls // 2}"), tmp_path / "cut")
    assert cut["status"] == "limit" and cut["llm"]["calls"] <= calls // 2
    resumed = resume_scenario(load(name, f"limits.calls={calls * 2}"), cut["run_dir"])
    assert resumed["digest"] == whole["digest"]
    assert resumed["llm"]["calls"] == calls  # nothing was asked twice
    assert replay_run(cut["run_dir"])["digest"] == whole["digest"]


@pytest.mark.slow
def test_a_learner_plays_in_a_world_of_texts_by_hashed_words(tmp_path):
    policy = "groups.players.policy={use: mlp, width: 8}"
    learner = "groups.players.learner={use: ippo, rollout: 8}"
    scenario = load_scenario(
        "rooms_cooperation", [policy, learner, "world.max_steps=16", "seeds=1"]
    )
    summary = run_scenario(scenario, tmp_path)
    assert summary["status"] == "ok" and summary["steps"] == 16
    assert replay_run(summary["run_dir"])["digest"] == summary["digest"]


def test_array_policies_choose_among_the_options_of_a_text_world(tmp_path):
    scenario = load_scenario(
        "rooms_cooperation", ["world.max_steps=8", "groups.players.policy=random", "seeds=2"]
    )
    summary = run_scenario(scenario, tmp_path)
    assert summary["status"] == "ok" and summary["llm"]["calls"] == 0
    assert replay_run(summary["run_dir"])["digest"] == summary["digest"]


# ---- speech in a room -------------------------------------------------------------------

TOGETHER = ["world.max_steps=14", "world.house_seed=3", "seeds=1", "backend=mock"]


def were_together(events):
    """Whether both players stood in one room before each step: their commands played again."""
    world = make("rooms", num_slots=2, difficulty=1, max_steps=14, house_seed=3)
    state, together = world.init(np.zeros(2, np.uint32)), []
    for step in range(14):
        together.append(state["at"][0] == state["at"][1])
        done = {e.data["slot"]: e.data["data"]["did"] for e in events if e.step == step}
        state, _ = world.step(np.zeros(2, np.uint32), state, [done[0], done[1]])
    return together


def test_players_speak_to_those_in_their_room_alone_before_they_act(tmp_path):
    summary = run_scenario(load_scenario("rooms_cooperation", TOGETHER), tmp_path)
    with Journal.open(Path(summary["run_dir"]) / "journal.sqlite", readonly=True) as journal:
        messages, events = journal.messages(0), journal.events(0, "world")
    with contextlib.closing(sqlite3.connect(Path(summary["run_dir"]) / "journal.sqlite")) as calls:
        asked = calls.execute("SELECT step, uid, purpose, request FROM questions").fetchall()
    together = were_together(events)
    assert 0 < sum(together) < 14, "this house should part the players and not at once"
    for step, near in enumerate(together):
        heard = {one.speaker: one.recipients for one in messages if one.step == step}
        assert heard == ({0: (1,), 1: (0,)} if near else {}), step
        talks = [one for one in asked if one[0] == step and one[2] == "talk"]
        assert len(talks) == (2 if near else 0), "nobody is asked what to say to nobody"
    first = {row.speaker: row.text for row in messages if row.step == 0}
    (act,) = [one[3] for one in asked if one[:3] == (0, 0, "act")]
    assert first[1] in act and "Player 2" in act


@pytest.mark.slow
def test_a_learner_in_the_room_is_spoken_to_and_minds_it_not(tmp_path):
    """A mixed pair: the learner plays the same, whether or not the other speaks."""
    mixed = [
        *TOGETHER,
        "groups.players=null",
        "groups.talker.policy={use: chat, memory: none}",
        "groups.learner.policy={use: mlp, width: 8}",
        "groups.learner.learner={use: ippo, rollout: 7}",
    ]
    heard, done = {}, {}
    for mode in ("marked", "silent"):
        scenario = load_scenario("rooms_cooperation", [*mixed, f"channels.speech.mode={mode}"])
        summary = run_scenario(scenario, tmp_path / mode)
        assert summary["status"] == "ok"
        with Journal.open(Path(summary["run_dir"]) / "journal.sqlite", readonly=True) as journal:
            heard[mode] = {(one.speaker, *one.recipients) for one in journal.messages(0)}
            done[mode] = [e.data["data"]["did"] for e in journal.events(0, "world") if e.uid == 1]
    assert heard == {"marked": {(0, 1)}, "silent": {(0,)}}
    assert done["marked"] == done["silent"] and len(done["silent"]) == 14


@pytest.mark.parametrize(
    ("scenario", "channel", "complaint"),
    [
        ("story_chain", "{use: text, to: nearby}", "does not say who is near whom"),
        ("rooms_cooperation", "{use: forum, to: nearby}", "only texts are heard nearby"),
        (
            "rooms_cooperation",
            "{use: words, to: nearby, vocabulary: [here]}",
            "only texts are heard nearby",
        ),
    ],
)
def test_only_texts_in_worlds_with_places_are_heard_nearby(scenario, channel, complaint, tmp_path):
    changed = load_scenario(scenario, [f"channels.hall={channel}", "backend=mock"])
    with pytest.raises(ScenarioError, match=complaint):
        run_scenario(changed, tmp_path)
