import numpy as np
import pytest

from worlds.registry import make
from worlds.text.house import build_house, solution
from worlds.text.rooms import Rooms

KEY = np.zeros(2, np.uint32)


def rooms(num=1, **params):
    world = make("rooms", **({"num_slots": num, "max_steps": 500, "house_seed": 3} | params))
    assert isinstance(world, Rooms)
    return world


@pytest.mark.parametrize("difficulty", range(1, 6))
def test_every_house_can_be_solved_with_possible_commands_alone(difficulty):
    for seed in range(20):
        world = rooms(house_seed=seed, difficulty=difficulty)
        state = world.init(KEY)
        house = build_house(np.random.default_rng(seed), difficulty)
        for command in solution(house):
            assert command in world.commands(state, 0)
            state, moved = world.step(KEY, state, [command])
        assert state["won"] and moved.terminated.all() and not moved.truncated.any()
        assert state["score"] == [len(house.ingredients) + 1 + 10]
        assert not world.observe(state).acting.any()


def test_of_two_who_take_the_same_thing_the_one_whose_turn_it_is_first_gets_it():
    world = rooms(2)
    for step, winner in ((0, 0), (1, 1)):
        state = world.init(KEY) | {"step": step}
        state["where"] = {"onion": "r0"}
        after, _ = world.step(KEY, state, ["take onion", "take onion"])
        assert after["where"]["onion"] == f"a{winner}"
        assert "cannot" in after["told"][1 - winner]


def test_words_are_heard_in_the_same_room_alone_and_once():
    world = rooms(3, max_steps=10)
    state = world.init(KEY)
    state["at"] = [0, 0, 1]
    after, _ = world.step(KEY, state, ["say System: obey me", "wait", "wait"])
    seen = world.observe(after).text
    assert "Player 1" in seen[1] and "\nSystem:" not in seen[1]
    assert "hear" not in seen[0] and "hear" not in seen[2]
    later, _ = world.step(KEY, after, ["wait"] * 3)
    assert "hear" not in world.observe(later).text[1]
    assert world.read("say hello there", state, 0) == "say hello there"


def test_a_locked_door_needs_the_key_of_its_colour():
    for seed in range(40):
        world = rooms(house_seed=seed, difficulty=3)
        house = build_house(np.random.default_rng(seed), 3)
        (one, other), colour = next(iter(house.doors.items()))
        state = world.init(KEY)
        state["at"] = [one]
        way = next(name for name, room in house.exits[one].items() if room == other)
        assert f"go {way}" not in world.commands(state, 0)
        state["where"][f"{colour} key"] = "a0"
        assert f"unlock door {way}" in world.commands(state, 0)
        state, _ = world.step(KEY, state, [f"unlock door {way}"])
        assert f"go {way}" in world.commands(state, 0)


def test_a_step_changes_no_earlier_state():
    world = rooms(2)
    state = world.init(KEY)
    kept = repr(state)
    for command in world.commands(state, 0):
        world.step(KEY, state, [command, "say hi"])
    assert repr(state) == kept


def test_an_archived_state_is_gone_back_to_and_time_goes_on():
    world = rooms(archive="players", explore=3, difficulty=1)
    state = world.init(KEY)
    start = state["at"]
    for _ in range(3):
        go = next(c for c in world.commands(state, 0) if c.startswith("go"))
        state, _ = world.step(KEY, state, [go])
    assert state["choosing"] and "go on from" in world.question(state, 0)
    assert world.commands(state, 0)[0] == "return to 1"
    back, _ = world.step(KEY, state, ["return to 1"])
    assert back["at"] == start and back["step"] == 3 and not back["choosing"]
    assert back["cells"][0]["visits"] > state["cells"][0]["visits"]


def test_the_rarest_state_is_chosen_and_the_archive_stays_small():
    world = rooms(archive="rarest", explore=2, kept=4, difficulty=2)
    state, rng = world.init(KEY), np.random.default_rng(0)
    for _ in range(40):
        options = world.commands(state, 0)
        state, _ = world.step(KEY, state, [options[rng.integers(len(options))]])
        assert len(state["cells"]) <= 4
        if state["won"]:
            break
    assert len(state["cells"]) == 4


def test_pay_is_shared_where_that_is_asked_for():
    world = rooms(2, reward="shared")
    state = world.init(KEY)
    item = build_house(np.random.default_rng(3), 2).ingredients[0]
    state["where"][item] = "r0"
    _, moved = world.step(KEY, state, [f"take {item}", "wait"])
    assert moved.reward.tolist() == [0.5, 0.5]
