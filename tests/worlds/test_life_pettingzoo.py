"""The planet as a PettingZoo environment, with births and deaths."""

import numpy as np
import pytest
from pettingzoo.test import parallel_api_test

from worlds.life.body import ACTS, width_of
from worlds.pettingzoo import parallel_env

PARAMS = {
    "num_slots": 6,
    "num_players": 3,
    "size": 16,
    "sight": 4,
    "patch": 0,
    "company": 2,
    "words": 2,
    "reserve": 0.0,
    "max_age": 12,
    "max_steps": 60,
}


def test_names_come_from_uids_and_never_return():
    env = parallel_env("life", **PARAMS)
    env.reset(seed=3)
    action = np.zeros(width_of(2), np.float32)
    action[ACTS.index("birth")] = action[ACTS.index("eat")] = 1.0
    present, gone, born = set(env.agents), set(), 0
    for _ in range(40):
        before = set(env.agents)
        if not before:
            break
        seen, _, ended, _, _ = env.step(dict.fromkeys(env.agents, action))
        now = set(env.agents)
        dead = {name for name, over in ended.items() if over}
        assert dead == before - now and not dead & now
        assert not now & gone, "somebody who died lives again"
        assert set(seen) == before | now
        born += len(now - before)
        gone |= before - now
        present |= now
    assert born >= 3 and len(gone) >= 3
    assert len(present) == 3 + born


@pytest.mark.filterwarnings("ignore::UserWarning:pettingzoo.test.parallel_test")
def test_the_planet_passes_pettingzoos_own_test():
    parallel_api_test(parallel_env("life", **PARAMS), num_cycles=15)


def test_two_environments_with_one_seed_live_the_same_lives():
    runs = []
    for _ in range(2):
        env = parallel_env("life", **PARAMS)
        env.reset(seed=5)
        rng = np.random.default_rng(0)
        told = []
        for _ in range(15):
            if not env.agents:
                break
            actions = {
                name: rng.uniform(-1, 1, width_of(2)).astype(np.float32) for name in env.agents
            }
            seen, rewards, *_ = env.step(actions)
            told.append((sorted(rewards.items()), [row["own"].tobytes() for row in seen.values()]))
        runs.append(told)
    assert runs[0] == runs[1]
