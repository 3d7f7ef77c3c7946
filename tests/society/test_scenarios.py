"""Every shipped scenario runs, shortened, and comes to the summary that was looked at.

Run with UPDATE_GOLDEN=1 to write the summaries anew, then read what changed.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from society.run import replay_run, run_scenario
from society.scenario import load_scenario, shipped

GOLDEN = Path(__file__).parent.parent / "golden" / "scenarios"
SHORT = {
    "clean_up": [
        "world.layout=small",
        "world.max_steps=40",
        "groups.harvesters.count=2",
        "seeds=2",
    ],
    "coin_game": [
        "world.max_steps=10",
        "groups.players.learner.rollout=20",
        "num_envs=2",
        "steps=40",
    ],
    "commons_harvest": [
        "world.layout=small",
        "world.max_steps=40",
        "groups.harvesters.count=3",
        "seeds=2",
    ],
    "commons_mixed": [
        "world.layout=small",
        "groups.learners.count=2",
        "groups.learners.policy.width=8",
        "groups.learners.learner.rollout=16",
        "groups.talkers.count=1",
        "groups.keepers.count=1",
        "steps=32",
    ],
    "cultural_accumulation_in_context": [
        "groups.pupils.policy=imitator",
        "generations=4",
        "world.length=8",
        "seeds=2",
    ],
    "cultural_accumulation_in_weights": [
        "world.symbols=3",
        "world.length=4",
        "world.trials=4",
        "world.models=2",
        "groups.pupils.count=2",
        "groups.pupils.policy.width=8",
        "groups.pupils.learner.rollout=32",
        "steps=64",
        "generations=3",
        "seeds=2",
    ],
    "goal_sequence_accumulation": [
        "world.size=4",
        "world.steps=8",
        "world.trials=2",
        "groups.walkers.count=2",
        "groups.walkers.policy.width=8",
        "groups.walkers.learner.rollout=32",
        "steps=64",
        "generations=3",
        "seeds=2",
    ],
    "memory_sequence_train": [
        "world.length=4",
        "groups.pupils.count=2",
        "groups.pupils.policy.width=8",
        "groups.pupils.learner.rollout=16",
        "groups.pupils.learner.minibatches=2",
        "num_envs=2",
        "steps=32",
        "seeds=1",
    ],
    "navigation_local_information": [
        "world.size=6",
        "world.max_steps=10",
        "groups.robots.count=2",
        "groups.robots.learner.rollout=20",
        "num_envs=2",
        "steps=40",
    ],
    "tsp_accumulation": [
        "world.cities=4",
        "world.trials=4",
        "groups.travellers.count=2",
        "groups.travellers.policy.width=8",
        "groups.travellers.learner.rollout=32",
        "steps=64",
        "generations=3",
        "seeds=2",
    ],
    "axelrod_tournament": ["world.rounds=20"],
    "cheap_talk": ["groups.people.count=5", "world.rounds=3", "seeds=2"],
    "cooperation_on_networks": ["generations=30", "groups.players.count=100"],
    "cooperation_study": ["generations=30", "groups.players.count=100", "seeds=2"],
    "epidemic_city": ["groups.residents.count=400", "steps=20", "interventions.news.at=10"],
    "demo": ["generations=2", "world.rounds=2", "groups.donors.count=4", "backend=mock"],
    "donor_game": ["generations=2", "world.rounds=4", "groups.donors.count=6", "seeds=2"],
    "life_language": ["steps=9", "groups.people.policy.every=4", "record.every=4"],
    "life_planet": [
        "steps=6",
        "world.size=32",
        "world.robots=4",
        "groups.animals.count=8",
        "groups.animals.capacity=16",
        "groups.animals.policy.width=8",
        "record.every=1",
    ],
    "life_predators": ["steps=20", "groups.reds.policy.width=4", "groups.blues.policy.width=4"],
    "life_quick": ["steps=40"],
    "life_rule110": ["steps=8"],
    "life_seasons": ["steps=20", "groups.animals.policy.width=4"],
    "ippo_pd": ["steps=40", "num_envs=2", "groups.players.policy.width=4"],
    "lola_ipd": ["steps=60", "groups.players.count=8"],
    "mixed_minds": [
        "episodes=2",
        "world.rounds=4",
        "groups.learners.learner.rollout=4",
        "backends.tiny={use: mock}",
    ],
    "moran_fixation": ["generations=60", "seeds=8", "record.every=20"],
    "opinions": [
        "groups.citizens.count=12",
        "groups.bots.count=2",
        "steps=12",
        "surveys.panel.at=[0, 6, 12]",
        "interventions.rumour.at=6",
        "interventions.rumour.who.number=2",
    ],
    "ordinal_2x2_games": ["generations=30", "seeds=2"],
    "public_goods_punishment": ["generations=30", "groups.players.count=20", "seeds=2"],
    "rooms_cooperation": ["world.max_steps=6", "backend=mock"],
    "rooms_explore": ["world.max_steps=12", "world.explore=4", "seeds=1", "backend=mock"],
    "twenty_questions": ["world.questions=3", "seeds=1", "backend=mock"],
    "negotiation": ["world.turns=4", "seeds=2", "backend=mock"],
    "hidden_roles": ["seeds=1", "backend=mock"],
    "iterated_learning": ["world.chain=2", "groups.chains.count=2", "backend=mock"],
    "game_master_village": ["world.max_steps=2", "backend=mock"],
    "town_day": ["world.minutes=72", "backend=mock"],
    "town_party": ["world.minutes=72", "backend=mock"],
    "town_candidacy": ["world.minutes=72", "backend=mock"],
    "story_chain": ["groups.tellers.count=20", "steps=2", "backend=drift"],
    "story_networks": ["steps=3", "backend=drift"],
    "quickstart": ["generations=6", "groups.people.count=30", "seeds=2"],
}


# Where networks learn or evolve, the last bit of a product decides what happens later, and
# processors differ in it. There the golden summary fixes what is measured, not the numbers.
CHAOTIC = {
    "clean_up",
    "coin_game",
    "commons_harvest",
    "commons_mixed",
    "cultural_accumulation_in_weights",
    "goal_sequence_accumulation",
    "ippo_pd",
    "life_language",
    "life_planet",
    "life_predators",
    "life_quick",
    "life_seasons",
    "memory_sequence_train",
    "mixed_minds",
    "navigation_local_information",
    "tsp_accumulation",
}

# They differ from a sibling in what compiles long, not in what could break.
SLOW = {
    "clean_up",
    "commons_harvest",
    "goal_sequence_accumulation",
    "life_language",
    "life_planet",
    "life_predators",
    "life_seasons",
    "memory_sequence_train",
    "navigation_local_information",
    "tsp_accumulation",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if name in SLOW else ())
        for name in sorted(shipped())
    ],
)
def test_a_shipped_scenario_comes_to_its_golden_summary(name: str, tmp_path: Path) -> None:
    assert name in SHORT, f"say in SHORT how the scenario {name} is shortened"
    summary = run_scenario(load_scenario(name, SHORT[name]), tmp_path)
    assert summary["status"] == "ok", summary.get("reason")
    found = {
        "steps": summary["steps"],
        "llm": {key: summary["llm"][key] for key in ("calls", "faults", "fallbacks")},
        "measures": _rounded(summary["measures"]),
    }
    if "surveys" in summary:
        found["surveys"] = _rounded(summary["surveys"])
    path = GOLDEN / f"{name}.json"
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    golden = json.loads(path.read_text())
    if name in CHAOTIC:
        found, golden = found | {"measures": _shape(found)}, golden | {"measures": _shape(golden)}
    assert found == golden
    if name in ("donor_game", "moran_fixation"):
        again = replay_run(summary["run_dir"])
        assert again["digest"] == summary["digest"]


def _shape(found: dict[str, Any]) -> dict[str, Any]:
    """Names of the measures, over how many runs, and how long those are that are lists."""
    return {
        name: value["n"] if isinstance(value, dict) and "n" in value else type(value).__name__
        for name, value in found["measures"].items()
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, dict) and "ci95" in value:
        return _rounded({"mean": value["mean"], "n": value["n"]})
    if isinstance(value, dict):
        return {str(key): _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.4g}")
    return value
