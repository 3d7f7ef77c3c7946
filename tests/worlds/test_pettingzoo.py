"""Worlds as PettingZoo environments: PettingZoo's own tests, and what they do not look at."""

import inspect
import json
import os
import subprocess
import sys
import warnings

import jax
import numpy as np
import pytest
from pettingzoo.test import api_test, parallel_api_test, parallel_seed_test, seed_test
from pettingzoo.test.state_test import state_test

from society.run import run_scenario
from society.scenario import load_scenario
from worlds import aec_env, make, parallel_env
from worlds.random import fold, named
from worlds.registry import entries

# One world of each family is enough in the fast suite: all of these share their machinery.
SIBLINGS = (
    "battle_of_the_colours",
    "clean_up",
    "in_the_matrix",
    "monster_hunt",
    "navigation",
    "commons_harvest",
    "tsp",
    "goal_sequence",
)
WORLDS = [name for name in sorted(entries("world")) if name not in SIBLINGS]
SLOW = [pytest.param(name, marks=pytest.mark.slow) for name in SIBLINGS]
VARIANTS = [(name, {}) for name in WORLDS] + [
    pytest.param(name, {}, marks=pytest.mark.slow) for name in SIBLINGS
]
VARIANTS += [
    ("matrix_game", {"rounds": 5, "num_slots": 4, "num_players": 4}),
    (
        "matrix_game",
        {
            "game": "custom",
            "bimatrix": (((1.0, 2.0), (3.0, 4.0)), ((5.0, 6.0), (7.0, 8.0)), ((0.0, 0.0),) * 2),
            "pairs": "fixed",
            "order": "alternating",
            "rounds": 3,
        },
    ),
]
IDS = [f"{getattr(one, 'values', one)[0]}-{index}" for index, one in enumerate(VARIANTS)]


@pytest.fixture(autouse=True)
def advice_of_pettingzoo():
    """Let PettingZoo advise against dictionaries and infinite bounds; errors stay errors."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="pettingzoo.test")
        yield


@pytest.mark.parametrize(("name", "params"), VARIANTS, ids=IDS)
@pytest.mark.parametrize("shown", [{}, {"masks": "observation"}], ids=["arrays", "masks"])
def test_every_world_passes_the_tests_of_pettingzoo(name, params, shown):
    parallel_api_test(parallel_env(name, **shown, **params), num_cycles=30)
    api_test(aec_env(name, **shown, **params), num_cycles=30)
    parallel_seed_test(lambda: parallel_env(name, **shown, **params), num_cycles=30)
    seed_test(lambda: aec_env(name, **shown, **params), num_cycles=30)


@pytest.mark.parametrize("name", WORLDS + SLOW)
def test_worlds_with_captions_pass_with_texts_too(name):
    world = make(name)
    if world.caption is None:
        pytest.skip(f"{name} has no caption")
    parallel_api_test(parallel_env(world, text=True), num_cycles=10)
    api_test(aec_env(world, text=True, render_mode="ansi"), num_cycles=10)
    state_test(aec_env(world), parallel_env(world), num_cycles=3)


@pytest.mark.parametrize("kind", ["Pond", "Colony", "Story"])
def test_worlds_with_births_texts_and_masks_pass_too(toys, kind):
    world = getattr(toys, kind)()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Colony cannot say beforehand who will be born
        parallel_api_test(parallel_env(world, max_steps=25), num_cycles=60)
        api_test(aec_env(world, max_steps=25), num_cycles=60)
        if kind != "Story":  # random texts are drawn in another order
            parallel_seed_test(lambda: parallel_env(world, max_steps=25), num_cycles=30)
        seed_test(lambda: aec_env(world, max_steps=25), num_cycles=30)


def test_nobody_who_died_lives_again_under_the_same_name(toys):
    env = parallel_env(toys.Colony(), max_steps=40)
    assert not hasattr(env, "possible_agents")
    env.reset(seed=1)
    dead, seen = set(), set(env.agents)
    slots = {}
    while env.agents:
        before = set(env.agents)
        _, _, ended, cut, _ = env.step(dict.fromkeys(env.agents, 1))
        gone = {name for name in ended if ended[name] or cut[name]}
        assert not dead & set(env.agents)
        assert set(env.agents) == {name for name in ended if name not in gone}
        assert set(ended) - before == set(env.agents) - before, "newborns are announced"
        dead |= gone
        seen |= set(env.agents)
        slots.update({name: env._table._slots[name] for name in env.agents})
    assert len(seen) > env.world.num_slots, "slots are used again"
    assert len(set(slots.values())) <= env.world.num_slots
    numbers = sorted(int(name.removeprefix("agent_")) for name in seen)
    assert numbers == list(range(len(numbers)))


def test_whoever_loses_its_slot_to_a_newcomer_sees_its_own_last_row(toys):
    env = parallel_env(toys.Colony(), max_steps=9)
    observations, _ = env.reset(seed=1)
    for _ in range(8):
        previous = observations
        observations, _, ended, _, infos = env.step(dict.fromkeys(env.agents, 1))
        for name in [name for name in ended if ended[name]]:
            if name in env._table._kept:
                assert observations[name] == previous[name]
                assert not infos[name]["acting"]
                return
    pytest.fail("no slot was used again")


def test_only_acting_agents_get_turns():
    env = aec_env("donor_game", num_players=6, rounds=3)
    env.reset(seed=3)
    parallel = parallel_env("donor_game", num_players=6, rounds=3)
    _, infos = parallel.reset(seed=3)
    for _ in range(4):
        donors = [name for name in parallel.agents if infos[name]["acting"]]
        assert len(donors) == 3
        turns = []
        for _ in donors:
            turns.append(env.agent_selection)
            env.step(np.float32(0.5))
        assert turns == donors
        *_, infos = parallel.step({name: np.float32(0.5) for name in donors})
        assert env.agents == parallel.agents


def test_both_views_pay_the_same():
    env = aec_env("donor_game", num_players=4, rounds=2)
    env.reset(seed=5)
    totals = dict.fromkeys(env.agents, 0.0)
    for name in env.agent_iter():
        _, reward, ended, cut, _ = env.last()
        totals[name] += reward
        env.step(None if ended or cut else np.float32(0.25))
    parallel = parallel_env("donor_game", num_players=4, rounds=2)
    parallel.reset(seed=5)
    expected = dict.fromkeys(parallel.agents, 0.0)
    while parallel.agents:
        _, rewards, *_ = parallel.step(dict.fromkeys(parallel.agents, np.float32(0.25)))
        for name, reward in rewards.items():
            expected[name] += reward
    assert totals == pytest.approx(expected)


def test_steps_in_which_nobody_acts_pass_by_themselves(toys):
    env = aec_env(toys.Pond(num_players=4, rounds=5))
    env.reset(seed=0)
    order = []
    for name in env.agent_iter():
        _, _, ended, cut, _ = env.last()
        if ended or cut:
            env.step(None)
            continue
        order.append(name)
        env.step(1)
    everybody, even = [f"agent_{i}" for i in range(4)], ["agent_0", "agent_2"]
    assert order == (everybody + even) * 2 + everybody


def test_a_seed_begins_the_episode_that_a_run_with_it_begins():
    env = parallel_env("public_goods", rounds=3)
    world = env.world
    root = jax.random.PRNGKey(11)
    init, move = jax.jit(world.init), jax.jit(world.step)
    for episode in range(2):
        env.reset(seed=11 if episode == 0 else None)
        state = init(fold(named(root, "init"), 0, episode))
        for step in range(3):
            action = np.full((4, 1), 0.1 * (step + 1), np.float32)
            _, rewards, *_ = env.step({f"agent_{i}": action[i] for i in range(4)})
            key = fold(named(root, "world"), 0, episode, step)
            state, moved = move(key, state, action)
            np.testing.assert_allclose(list(rewards.values()), moved.reward, rtol=1e-6)


def test_a_run_with_a_seed_goes_as_the_environment_with_it(tmp_path):
    params = {"rounds": 12, "noise": 0.3}
    (tmp_path / "slips.yaml").write_text(
        "world: {use: matrix_game, rounds: 12, noise: 0.3}\n"
        "groups: {players: {count: 2, policy: always_cooperate}}\n"
        "measures: [returns]\nseeds: [23]\n"
    )
    summary = run_scenario(load_scenario(tmp_path / "slips.yaml"), tmp_path)
    env = parallel_env("matrix_game", **params)
    env.reset(seed=23)
    total = 0.0
    while env.agents:
        _, rewards, *_ = env.step(dict.fromkeys(env.agents, 0))
        total += sum(rewards.values())
    assert summary["measures"]["returns_total"]["mean"] == pytest.approx(total)
    assert total != 12 * 6.0, "nobody slipped"


def test_reset_without_a_seed_goes_on_to_another_episode():
    env = parallel_env("donor_game", num_players=8)
    first, _ = env.reset(seed=4)
    second, _ = env.reset()
    again, _ = env.reset(seed=4)
    partners = [[row["partner"].item() for row in shown.values()] for shown in (first, second)]
    assert partners[0] != partners[1]
    assert [row["partner"].item() for row in again.values()] == partners[0]


def test_arrays_and_dictionaries_say_the_same():
    one, two = (parallel_env("public_goods", rounds=4) for _ in range(2))
    one.reset(seed=2)
    two.unwrapped.reset_arrays(seed=2)
    for step in range(4):
        action = np.full((4, 1), 0.2 * step, np.float32)
        shown, rewards, ended, _, _ = one.step({f"agent_{i}": action[i] for i in range(4)})
        seen, moved = two.unwrapped.step_arrays(action)
        assert one.agents == two.agents
        np.testing.assert_array_equal(list(rewards.values()), moved.reward)
        np.testing.assert_array_equal(list(ended.values()), moved.terminated)
        np.testing.assert_array_equal([row["share"] for row in shown.values()], seen.view["share"])


def test_illegal_actions_become_the_noop_and_are_told(toys):
    env = parallel_env(toys.Pond(num_players=4))
    env.reset(seed=0)
    table = env._table
    table.episode.state = {**table.episode.state, "energy": np.zeros(4, np.float32)}
    table.episode.observation = jax.device_get(env.world.observe(table.episode.state))
    infos = table.infos(env.agents)
    assert infos["agent_0"]["action_mask"].tolist() == [1, 1, 0]
    _, rewards, _, _, infos = env.step(dict.fromkeys(env.agents, 2))
    assert set(rewards.values()) == {0.0}
    assert "not legal" in infos["agent_0"]["fault"]


def test_many_actions_at_once_have_nested_masks():
    table = (((1.0, 2.0), (3.0, 4.0)), ((5.0, 6.0), (7.0, 8.0)), ((0.0, 0.0), (0.0, 0.0)))
    env = parallel_env(
        "matrix_game", game="custom", bimatrix=table, pairs="fixed", rounds=2, repetitions=3
    )
    _, infos = env.reset(seed=0)
    roles = [len(np.flatnonzero(infos[name]["action_mask"][0])) for name in env.agents]
    assert sorted(roles) == [2, 3]
    for name in env.agents:
        assert env.action_space(name).sample(infos[name]["action_mask"]).shape == (3,)


def test_texts_are_read_as_actions_and_mistakes_become_data():
    env = parallel_env("matrix_game", rounds=3, text=True, render_mode="ansi")
    shown, _ = env.reset(seed=0)
    assert set(shown["agent_0"]) == {"text", "vec"}
    assert "Round 1" in shown["agent_0"]["text"]
    assert "rounds" in env.rules("agent_0")
    caption = env._table.wording.caption
    cooperate, defect = caption.labels[:2]
    _, rewards, _, _, infos = env.step({"agent_0": f"Answer: {cooperate}", "agent_1": defect})
    assert list(rewards.values()) == [0.0, 5.0]
    assert "fault" not in infos["agent_0"]
    _, rewards, _, _, infos = env.step({"agent_0": "I would rather not say", "agent_1": defect})
    assert list(rewards.values()) == [0.0, 5.0], "the no-op cooperates"
    assert "Answer" in infos["agent_0"]["fault"] or "not" in infos["agent_0"]["fault"]
    assert "[agent_1]" in env.render()


def test_host_worlds_show_texts_and_look_indices_up_in_options(toys):
    env = parallel_env(toys.Story())
    shown, infos = env.reset(seed=0)
    assert shown["agent_0"]["text"] in ("Once", "Long ago")
    assert shown["agent_0"]["vec"].shape == (64,) and shown["agent_0"]["vec"].dtype == np.float32
    assert np.linalg.norm(shown["agent_0"]["vec"]) == pytest.approx(1.0)
    assert [infos[name]["acting"] for name in env.agents] == [True, False]
    shown, rewards, *_ = env.step({"agent_0": 1})
    assert shown["agent_1"]["text"].endswith("fox")
    assert rewards == {"agent_0": 3.0, "agent_1": 0.0}
    shown, *_ = env.step({"agent_1": "jumped"})
    assert shown["agent_0"]["text"].endswith("fox jumped")


@pytest.mark.parametrize("name", ["retelling", "rooms", "town", "negotiation"])
def test_worlds_of_texts_show_the_text_and_its_words_as_numbers(name):
    env = parallel_env(name)
    shown, _ = env.reset(seed=1)
    for agent in env.agents:
        assert set(env.observation_space(agent).spaces) == {"text", "vec"}
        assert env.observation_space(agent).contains(shown[agent])


@pytest.mark.parametrize(
    ("action", "error"),
    [
        ({"agent_0": 1}, "agent_1 must act"),
        ({"agent_0": 1, "agent_1": 7}, "7 of agent_1 is not in Discrete"),
        ({"agent_0": 1, "agent_1": 0.5}, "0.5 of agent_1 is not in Discrete"),
        ({"agent_0": [1, 1], "agent_1": [0, 0]}, "other shapes"),
    ],
)
def test_impossible_actions_are_refused_by_name(action, error):
    env = parallel_env("matrix_game", rounds=2)
    env.reset(seed=0)
    with pytest.raises((KeyError, ValueError), match=error):
        env.step(action)


def test_wrong_arguments_are_refused_with_what_is_allowed(toys):
    with pytest.raises(TypeError, match=r"dataclasses\.replace"):
        parallel_env(make("donor_game"), rounds=3)
    with pytest.raises(ValueError, match="no caption"):
        parallel_env(toys.Pond(), text=True)
    with pytest.raises(ValueError, match="render_mode"):
        parallel_env(toys.Pond(), render_mode="human")
    with pytest.raises(NotImplementedError, match="parallel_env"):
        aec_env("donor_game").step_arrays(None)


def test_a_limit_truncates_and_the_rules_terminate(toys):
    env = parallel_env(toys.Pond(rounds=6), max_steps=2)
    env.reset(seed=0)
    env.step(dict.fromkeys(env.agents, 0))
    _, _, ended, cut, _ = env.step(dict.fromkeys(env.agents, 0))
    assert not any(ended.values()) and all(cut.values()) and not env.agents
    env = parallel_env(toys.Pond(rounds=1))
    env.reset(seed=0)
    _, _, ended, cut, _ = env.step(dict.fromkeys(env.agents, 0))
    assert all(ended.values()) and not any(cut.values()) and not env.agents


def rollout(names, steps):
    """What random agents see and earn in every world, as plain values."""
    found = {}
    for name in names:
        env = parallel_env(name)
        shown, _ = env.reset(seed=9)
        rows, known = [], set()
        while env.agents and len(rows) < steps:
            for agent in env.agents:  # where agents are born nobody knows them all beforehand
                if agent not in known:
                    env.action_space(agent).seed(len(known))
                    known.add(agent)
            actions = {agent: env.action_space(agent).sample() for agent in env.agents}
            shown, rewards, *_ = env.step(actions)
            values = jax.tree.leaves((shown, rewards))
            rows.append([np.asarray(value).tobytes().hex() for value in values])
        found[name] = rows
    return found


def test_many_steps_are_the_same_in_another_process():
    lines = [
        "import json, jax, numpy as np",
        "from worlds import parallel_env",
        inspect.getsource(rollout),
        f"print(json.dumps(rollout({WORLDS!r}, 12)))",
    ]
    child = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "77"},
    )
    assert json.loads(child.stdout) == rollout(WORLDS, 12)
