"""Components in files of their own: named by path, installed, and checked by the kits."""

import asyncio
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from llm_agents.testing import check_backend
from rl_agents.scripted.classic import TitForTat, TitForTwoTats
from rl_agents.testing import check_policy
from society.errors import ScenarioError
from society.graphs import build_graph
from society.run import replay_run, run_scenario
from society.scenario import load_scenario
from worlds import make, parallel_env
from worlds.registry import entries, load
from worlds.tree import as_arrays
from worlds.types import Percept, Seats

PLUGINS = Path(__file__).parents[2] / "examples" / "plugins"
MODULES = ("lake", "warden", "hesitant", "moderate", "ladder")


@pytest.fixture
def plugins(monkeypatch):
    """The modules of the folder, importable as a scenario there makes them."""
    monkeypatch.syspath_prepend(str(PLUGINS))
    yield {name: importlib.import_module(name) for name in MODULES}
    for name in MODULES:
        sys.modules.pop(name, None)


def run(name, out):
    """Run a scenario of the folder, trusting its code."""
    return run_scenario(load_scenario(PLUGINS / f"{name}.yaml", allow_code=True), out)


def mean(summary, name):
    """A measure's mean over the seeds."""
    return summary["measures"][name]["mean"]


# ---- the components themselves ---------------------------------------------------------------


def test_the_example_of_the_readme_runs(plugins):
    code = re.search(r"```python\n(.*?)```", (PLUGINS / "README.md").read_text(), re.DOTALL)
    exec(compile(code[1], "README.md", "exec"), {})


def test_the_lake_can_be_played_in_words(plugins):
    env = parallel_env(plugins["lake"].Lake(rounds=3), text=True)
    shown, _ = env.reset(seed=0)
    assert "60.0 fish" in shown["agent_0"]["text"]
    _, rewards, *_ = env.step(dict.fromkeys(env.agents, "Answer: 3"))
    assert set(rewards.values()) == {3.0}


def test_the_lake_recovers_or_is_emptied_as_its_formula_says(plugins):
    env = parallel_env(plugins["lake"].Lake(size=10.0, growth=0.5, rounds=9))
    env.reset(seed=0)
    shown, rewards, ended, *_ = env.step(dict.fromkeys(env.agents, 1))
    left = 10.0 - 4.0
    assert shown["agent_0"]["stock"] == pytest.approx(left + 0.5 * left * (1 - left / 10.0))
    assert not any(ended.values())
    shown, rewards, ended, *_ = env.step(dict.fromkeys(env.agents, 4))
    assert sum(rewards.values()) == pytest.approx(7.2)  # all there was, in equal parts
    assert len(set(rewards.values())) == 1 and all(ended.values())


def test_a_policy_says_which_world_it_needs(plugins):
    with pytest.raises(ValueError, match="use it in lake"):
        check_policy(plugins["warden"].Warden(), make("matrix_game"))


@pytest.mark.parametrize(("patience", "classic"), [(1, TitForTat()), (2, TitForTwoTats())])
def test_patience_one_and_two_are_the_classics(plugins, patience, classic):
    world = make("matrix_game", rounds=30)
    seats = Seats(2, 0, world, world.action_space(0), world.observation_space(0))
    found = []
    for policy in (as_arrays(plugins["hesitant"].Hesitant(patience=patience)), classic):
        mind, rng = policy.init(jax.random.PRNGKey(0), seats), np.random.default_rng(0)
        own, other, actions = np.full(2, -1, np.int8), np.full(2, -1, np.int8), []
        view, yes = world.observe(world.init(jax.random.PRNGKey(0))).view, np.ones(2, bool)
        for step in range(30):
            seen = view._replace(own_last=own, other_last=other)
            percept = Percept(seen, yes, yes, np.full(2, step == 0))
            decision = policy.act(jax.random.PRNGKey(step), mind, percept)
            mind = mind._replace(memory=decision.memory)
            own = np.asarray(decision.action, np.int8)
            other = rng.integers(0, 2, 2).astype(np.int8)
            actions.append(own.tolist())
        found.append(actions)
    assert found[0] == found[1]


def test_the_backend_keeps_the_contract(plugins):
    asyncio.run(check_backend(plugins["moderate"].Moderate()))


def test_the_ladder_has_two_rails_and_rungs(plugins):
    graph = build_graph(plugins["ladder"].Ladder(rung=2), 8, assign="in_order")
    ends = np.asarray(graph.offsets)
    assert np.diff(ends).tolist() == [2, 2, 3, 1, 2, 2, 3, 1]
    assert sorted(np.asarray(graph.senders)[ends[2] : ends[3]].tolist()) == [1, 3, 6]
    with pytest.raises(ValueError, match="even number"):
        plugins["ladder"].Ladder().check(7, {})


# ---- named by a path ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lake", "moderate", "patience"])
def test_code_runs_only_where_it_is_allowed(name):
    with pytest.raises(ScenarioError, match="--allow-code"):
        load_scenario(PLUGINS / f"{name}.yaml")


def test_a_world_and_a_policy_of_a_file_run(plugins, tmp_path):
    summary = run("lake", tmp_path)
    assert summary["status"] == "ok"
    assert summary["steps"] == 20
    assert mean(summary, "returns.others") > mean(summary, "returns.wardens") > 0
    again = replay_run(summary["run_dir"], allow_code=True)
    assert again["digest"] == summary["digest"]


def test_a_backend_of_a_file_answers(plugins, tmp_path):
    summary = run("moderate", tmp_path)
    assert summary["status"] == "ok"
    assert summary["llm"]["calls"] == 15
    assert summary["llm"]["fallbacks"] == 0
    assert summary["llm"]["backends"] == ["moderate"]
    configured = load_scenario(
        PLUGINS / "moderate.yaml", ["backends.moderate.motto=Enough."], allow_code=True
    )
    assert configured.backend_component("moderate").build().motto == "Enough."


def test_a_strategy_and_a_graph_rule_of_files_play(plugins, tmp_path):
    summary = run("patience", tmp_path)
    assert summary["status"] == "ok"
    assert mean(summary, "returns.others") > mean(summary, "returns.patient") > 0
    assert 0.1 < mean(summary, "cooperation") < 0.5


# ---- installed -----------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def installed(tmp_path_factory):
    """A folder that holds the example package, built and installed there."""
    target = tmp_path_factory.mktemp("installed")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    quiet = ["--no-deps", "--no-index", "--no-build-isolation", "--no-compile"]
    subprocess.run(
        [*pip, *quiet, "--target", target, PLUGINS / "package"],
        check=True,
        capture_output=True,
        text=True,
    )
    return target


def test_installed_components_have_short_names_and_need_no_flag(installed, monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(installed))
    for kind, names in {
        "world": ["lake"],
        "policy": ["hesitant", "warden"],
        "backend": ["moderate"],
        "graph": ["ladder"],
    }.items():
        known = entries(kind)
        for name in names:
            assert known[name].target == f"lakeside.{name}:{name.title()}"
            assert not known[name].builtin
            assert load(kind, name).component_name == name
    summary = run_scenario(load_scenario(PLUGINS / "package" / "lake.yaml"), tmp_path)
    assert summary["status"] == "ok"
    assert summary["llm"]["backends"] == ["moderate"]


def test_installed_components_are_listed(installed):
    child = subprocess.run(
        [sys.executable, "-m", "society.cli", "list", "--json"],
        cwd=installed,
        capture_output=True,
        text=True,
        check=True,
    )
    listed = json.loads(child.stdout)
    assert {"name": "lake", "description": "from lakeside.lake"} in listed["worlds"]
    assert "hesitant" in [entry["name"] for entry in listed["policies"]]


def test_the_package_declares_every_file_and_every_kind():
    declared = (PLUGINS / "package" / "pyproject.toml").read_text()
    assert set(re.findall(r'"\.\./(\w+)\.py"', declared)) == set(MODULES)
    readme = (PLUGINS / "README.md").read_text()
    for module in MODULES:
        assert f"`{module}.py`" in readme
