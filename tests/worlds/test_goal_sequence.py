"""Goals in a hidden order: paid by hand, shown as walked, taught by the shortest way."""

import dataclasses
from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worlds import make
from worlds.accumulation.goal_sequence import Errand
from worlds.random import fold
from worlds.types import Seat
from worlds.wording import caption_of

KEY = jax.random.PRNGKey(5)
LEFT, RIGHT, AHEAD = 0, 1, 2


def world_with(goals, order, **changes):
    """Four by four places, everybody begins at cell 2 facing south."""
    params = {"size": 4, "goals": len(goals), "length": len(order), "steps": 6, "trials": 2}
    world = make("goal_sequence", **{**params, "num_slots": 1, "num_players": 1, **changes})
    task = Errand(jnp.asarray(goals, jnp.int32), jnp.asarray(order, jnp.int32))
    return dataclasses.replace(
        world, lesson=dataclasses.replace(world.blank_lesson(KEY), task=task)
    )


def walk(world, tape):
    """Rewards and views of a tape, and the last state."""
    step, observe = jax.jit(type(world).step), jax.jit(type(world).observe)
    state, rewards, views = jax.jit(type(world).init)(world, KEY), [], []
    for clock, action in enumerate(tape):
        views.append(jax.device_get(observe(world, state).view))
        state, moved = step(world, fold(KEY, clock), state, jnp.array([action], jnp.int32))
        rewards.append(moved.reward[0].item())
    return rewards, views, jax.device_get(state)


def test_goals_pay_in_their_order_and_wrong_ones_set_back():
    # Goal 0 lies south of the start (cell 6), goal 1 south of that (cell 10).
    world = world_with([6, 10], [0, 1], steps=8)
    rewards, _, state = walk(world, [AHEAD, AHEAD, AHEAD, LEFT, LEFT, AHEAD, AHEAD, LEFT])
    # Right (0), right (1), a free cell, two turns; then 1 where 0 is next, which sets back to 1
    # as the next one; then 0 where 1 is next.
    assert rewards == [1, 1, 0, 0, 0, -1, -1, 0]
    assert state.first.tolist() == [0.0]
    assert int(state.reached[0]) == 0 and int(state.cell[0]) == 2 and int(state.facing[0]) == 2
    assert state.right.tolist() == [0.0]


def test_turning_and_the_edge():
    world = world_with([3, 15], [1, 0])
    rewards, views, state = walk(world, [LEFT, AHEAD, AHEAD, RIGHT, AHEAD, AHEAD])
    # Facing east, onto the wrong goal; the edge holds; south twice.
    assert rewards == [0, -1, 0, 0, 0, 0]
    grid = views[0]["grid"][0]
    assert grid.shape == (5, 5, 4)
    # Facing south from the top row: three rows ahead, then the edge in the farthest row; the
    # board's western side lies to the right.
    assert grid[0, :, 0].all() and not grid[4, 1:5, 0].any() and grid[4, 0, 0] == 1
    assert np.argwhere(grid[:, :, 1]).tolist() == [[4, 1]]  # one to the left, beside
    assert np.argwhere(grid[:, :, 2]).tolist() == [[1, 1]]  # three ahead, one to the left
    assert not grid[:, :, 3].any(), "nobody to see"
    assert state.ended.all() and int(state.trial[0]) == 1


def test_whoever_walked_before_is_seen_at_the_same_time_of_its_trial():
    world = world_with([3, 15], [0, 1], steps=4)
    tape = [AHEAD, AHEAD, LEFT, AHEAD]
    _, _, state = walk(world, tape * 2)
    taught = world.taught(
        dataclasses.replace(world.lesson, seen=jnp.ones(2)),
        jax.tree.map(jnp.asarray, state),
        jnp.array([0]),
        jnp.array([True]),
    )
    assert taught.models.tolist() == [tape]
    _, views, _ = walk(dataclasses.replace(world, lesson=taught), [RIGHT, LEFT, LEFT, RIGHT])
    places = [np.argwhere(view["grid"][0, :, :, 3]).tolist() for view in views]
    # Where it stood before each step, as seen by somebody who only turns: at the start, then
    # out of sight behind the right shoulder's window, two ahead, two to the right.
    assert places[0] == [[4, 2]]
    assert places[2] == [[2, 2]]
    assert places[3] == [[4, 4]]
    hidden = dataclasses.replace(taught, seen=jnp.zeros(2))
    _, views, _ = walk(dataclasses.replace(world, lesson=hidden), [RIGHT, LEFT])
    assert not any(view["grid"][..., 3].any() for view in views)


def shortest(size, goals, aim, pose):
    """Steps until a goal is entered, found by brute force."""
    seen, queue = {pose}, deque([(pose, 0)])
    rows, columns = (-1, 0, 1, 0), (0, 1, 0, -1)
    while queue:
        (cell, facing), far = queue.popleft()
        row, column = cell // size + rows[facing], cell % size + columns[facing]
        inside = 0 <= row < size and 0 <= column < size
        ahead = row * size + column if inside else cell
        if inside and ahead == goals[aim]:
            return far + 1
        nexts = [(cell, (facing + 1) % 4), (cell, (facing + 3) % 4)]
        if ahead not in goals:
            nexts.append((ahead, facing))
        for one in nexts:
            if one not in seen:
                seen.add(one)
                queue.append((one, far + 1))
    return None


def test_ways_are_the_shortest_that_avoid_other_goals():
    size = 5
    world = make("goal_sequence", size=size)
    for seed in range(4):
        goals = np.random.default_rng(seed).choice(size * size, 3, replace=False)
        far = np.asarray(world.steps_to(jnp.asarray(goals, jnp.int32))).min(axis=1)
        for aim in range(3):
            for pose in range(0, 4 * size * size, 3):
                brute = shortest(size, goals.tolist(), aim, divmod(pose, 4))
                assert far[aim, pose] == (1_000_000 if brute is None else brute)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_teachers_know_the_order_but_for_noise(noise):
    world = make(
        "goal_sequence", teachers="oracle", noise=noise, models=16, steps=60, num_slots=16,
        num_players=16,
    )  # fmt: skip
    init, step = jax.jit(type(world).init), jax.jit(type(world).step)
    state = init(world, KEY)
    models = state.models
    right = wrong = 0.0
    for clock in range(60):
        state, moved = step(world, fold(KEY, clock), state, models[:, clock])
        right += float((moved.reward > 0).sum())
        wrong += float((moved.reward < 0).sum())
    if not noise:
        assert wrong == 0 and right > 16 * 5, "a goal every few steps"
    else:
        # Half of the aims are drawn, a third of those by chance the next one; standing on a
        # goal that is drawn again costs a way around.
        assert 0.15 < wrong / (right + wrong) < 0.5


def test_tasks_never_ask_for_the_same_goal_twice_in_a_row():
    world = make("goal_sequence", goals=4, length=400)
    task = jax.jit(type(world).draw_task)(world, KEY)
    order, goals = np.asarray(task.order), np.asarray(task.goals)
    assert (order[1:] != order[:-1]).all() and order.min() == 0 and order.max() == 3
    pairs = np.bincount((order[1:] - order[:-1]) % 4, minlength=4)
    assert pairs[0] == 0 and pairs[1:].min() > 90, "each other goal is as likely"
    assert len(set(goals.tolist())) == 4 and world.start not in goals


def test_a_seat_is_told_where_goals_lie():
    world = world_with([6, 0], [0, 1])
    _, views, _ = walk(world, [AHEAD, LEFT])
    caption = caption_of(world)
    assert caption is not None
    seat = Seat(0)
    assert "3 goals" not in caption.rules(seat) and "2 goals: red and blue" in caption.rules(seat)
    row = {name: leaf[0] for name, leaf in views[0].items()}
    assert "The red goal: 1 ahead" in caption.words(row, seat)
    row = {name: leaf[0] for name, leaf in views[1].items()}
    assert "It gave you 1" in caption.words(row, seat)
    assert int(caption.action("Answer: step ahead", row, seat)) == AHEAD
