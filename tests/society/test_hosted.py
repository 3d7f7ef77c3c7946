"""Worlds of texts in the loop: stopped and resumed, replayed offline, learned by array policies."""

import pytest

from society.run import replay_run, resume_scenario, run_scenario
from society.scenario import load_scenario

SHORT = {
    "rooms_cooperation": ["world.max_steps=6", "seeds=1"],
    "town_day": ["world.minutes=90"],
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


def load(name, *more):
    backend = "drift" if name.startswith("story") else "mock"
    return load_scenario(name, [*SHORT[name], f"backend={backend}", *more])


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
