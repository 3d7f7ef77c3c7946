"""The epidemic against theory, and against a plain-Python reference."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from society.graphs.base import Ties, pack
from worlds.populations.captions.epidemic import EpidemicCaption
from worlds.populations.epidemic import EXPOSED, INFECTIOUS, RECOVERED, SUSCEPTIBLE, Epidemic
from worlds.random import fold, random_pair
from worlds.registry import make
from worlds.types import ParseError, Seat


def final_size(r0, share):
    """Solve s = (1 - share) exp(-r0 (1 - s)) for the share that never falls ill."""
    s = 1.0 - share
    for _ in range(10_000):
        s = (1.0 - share) * math.exp(-r0 * (1.0 - s))
    return s


def run(world, days, action=0, seed=0):
    """Play one action for all; returns the last state and the metrics of every day."""
    root = jax.random.PRNGKey(seed)
    choice = jnp.full(world.num_slots, action, jnp.int32)

    def day(state, number):
        state, moved = world.step(fold(root, number), state, choice)
        return state, moved.metrics

    return jax.jit(lambda w: jax.lax.scan(day, w.init(root), jnp.arange(days)))(world)


@pytest.mark.parametrize("incubation", [0.0, 3.0])
def test_the_mean_field_comes_to_the_analytic_final_size(incubation):
    size = {"num_slots": 40_000, "num_players": 40_000}
    world = make("epidemic", r0=2.5, initial_share=0.01, incubation_days=incubation, **size)
    state, metrics = run(world, 250)
    assert int(((state.status == INFECTIOUS) | (state.status == EXPOSED)).sum()) == 0
    expected = final_size(2.5, 0.01)
    # The share that escapes has a standard deviation below 0.005 at this size.
    assert float(metrics["susceptible"][-1]) == pytest.approx(expected, abs=0.015)


def test_below_the_threshold_only_few_follow_the_first_cases():
    size = {"num_slots": 40_000, "num_players": 40_000}
    _, metrics = run(make("epidemic", r0=0.5, initial_share=0.01, **size), 120)
    assert float(metrics["susceptible"][-1]) == pytest.approx(final_size(0.5, 0.01), abs=0.005)


def test_a_regular_graph_of_many_ties_is_near_the_mean_field_and_home_protects():
    num, ties = 4000, 40
    rng = np.random.default_rng(0)
    pairs = np.concatenate(
        [np.stack([np.arange(num), rng.permutation(num)], 1) for _ in range(ties // 2)]
    )
    pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], 1), axis=0)
    graph = pack(Ties(pairs, None, False), num)
    world = make("epidemic", r0=3.0, graph=graph, num_slots=num, num_players=num)
    _, out = run(world, 150)
    _, home = run(world, 150, action=1)
    assert float(out["susceptible"][-1]) == pytest.approx(final_size(3.0, 0.01), abs=0.04)
    # At home both sides have a quarter of their contacts: r0 falls to 3 / 16.
    assert float(home["susceptible"][-1]) == pytest.approx(final_size(3.0 / 16, 0.01), abs=0.01)
    assert float(home["home"][-1]) == 1.0 and float(out["home"][-1]) == 0.0


def plain_day(world, key, status, contact, neighbours):
    """One day in plain Python: new statuses."""
    luck, length = (np.asarray(words) for words in random_pair(key, jnp.arange(len(status))))
    ties = np.mean([len(known) for known in neighbours])
    rate = float(world.r0) / float(world.infectious_days) / ties
    new = list(status)
    for i, state in enumerate(status):
        met = sum(contact[j] for j in neighbours[i] if status[j] == INFECTIOUS)
        chance = 1.0 - math.exp(-contact[i] * rate * met)
        if state == SUSCEPTIBLE and luck[i] / 2**32 < chance:
            new[i] = EXPOSED if float(world.incubation_days) else INFECTIOUS
        if state == EXPOSED and length[i] / 2**32 < 1 / float(world.incubation_days):
            new[i] = INFECTIOUS
        if state == INFECTIOUS and length[i] / 2**32 < 1 / float(world.infectious_days):
            new[i] = RECOVERED
    return new


def test_days_on_a_graph_are_those_of_a_plain_reference():
    num = 30
    rng = np.random.default_rng(1)
    pairs = np.unique(np.sort(rng.integers(0, num, (60, 2)), 1), axis=0)
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    neighbours = [[] for _ in range(num)]
    for a, b in pairs.tolist():
        neighbours[a].append(b)
        neighbours[b].append(a)
    world = make(
        "epidemic",
        r0=4.0,
        incubation_days=2.0,
        initial_share=0.2,
        graph=pack(Ties(pairs, None, False), num),
        num_slots=num,
        num_players=num,
    )
    step = jax.jit(world.step)
    state = world.init(jax.random.PRNGKey(5))
    assert int((state.status == INFECTIOUS).sum()) == 6
    status, seen = np.asarray(state.status).tolist(), set()
    for day in range(25):
        key = fold(jax.random.PRNGKey(9), day)
        home = np.random.default_rng(day).integers(0, 2, num)
        contact = np.where(home, 0.25, 1.0)
        state, _ = step(key, state, jnp.asarray(home, jnp.int32))
        status = plain_day(world, key, status, contact, neighbours)
        assert np.asarray(state.status).tolist() == status
        seen |= set(status)
    assert seen == {SUSCEPTIBLE, EXPOSED, INFECTIOUS, RECOVERED}


def test_rewards_are_what_the_caption_says():
    world = make("epidemic", home_cost=2.0, illness_cost=30.0, r0=20.0, initial_share=0.5)
    state = world.init(jax.random.PRNGKey(0))
    home = jnp.asarray([1, 0] * 4, jnp.int32)
    after, moved = jax.jit(world.step)(jax.random.PRNGKey(1), state, home)
    caught = np.asarray(after.caught & ~state.caught)
    expected = -2.0 * np.asarray(home) - 30.0 * caught
    assert caught.any()
    np.testing.assert_array_equal(moved.reward, expected)
    rules = EpidemicCaption(jax.tree.map(np.asarray, world)).rules(Seat(0))
    assert "A day at home costs you 2 points." in rules
    assert "Catching the disease costs you 30 points." in rules


def test_the_caption_tells_cases_and_reads_only_the_two_choices():
    world = make("epidemic", awareness="own", initial_share=0.5)
    caption = EpidemicCaption(jax.tree.map(np.asarray, world))
    seen = world.observe(world.init(jax.random.PRNGKey(0)))
    rows = [{name: np.asarray(part)[slot] for name, part in seen.view.items()} for slot in range(8)]
    words = [caption.words(row, Seat(slot)) for slot, row in enumerate(rows)]
    assert all("50,000 of every 100,000" in text for text in words)
    assert sum("You are ill" in text for text in words) == 4
    assert int(caption.action("Answer: stay home", rows[0], Seat(0))) == 1
    assert int(caption.action("Go out.", rows[0], Seat(0))) == 0
    with pytest.raises(ParseError, match="neither go out nor stay at home"):
        caption.action("I would rather not say", rows[0], Seat(0))


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"infectious_days": 0.5}, "use 1 or more"),
        ({"incubation_days": 0.5}, "use 0"),
        ({"initial_share": 1.5}, "from 0 to 1"),
    ],
)
def test_diseases_that_make_no_sense_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        Epidemic(**params).check_params()
