"""Public goods: closed forms, payoff identities, and a plain-Python copy of both phases."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worlds.games.public_goods import UNKNOWN
from worlds.registry import make
from worlds.testing import check_world

EVERYTHING = {
    "punishment": "costly",
    "reward": "costly",
    "participation": "voluntary",
    "threshold": 15.0,
    "rounds": 4,
}


@functools.cache
def game(**params):
    world = make("public_goods", **params)
    return dataclasses.replace(world, present=jnp.ones(world.num_slots, bool))


@jax.jit
def begin(world, key):
    return world.init(key)


@jax.jit
def outcome(world, state):
    return world.outcome(state)


@jax.jit
def look(world, state):
    return world.observe(state)


@jax.jit
def play(world, key, actions):
    """Play [T, N, W] actions: the last state, and what was seen, paid and left each step."""

    def step(state, action):
        observation = world.observe(state)
        before = state
        state, transition = world.step(jax.random.fold_in(key, state.clock), state, action)
        return state, (observation, transition, state, before)

    return jax.lax.scan(step, world.init(key), actions)


def one_round(shares):
    world = game(rounds=1)
    actions = jnp.asarray(shares, jnp.float32)[None, :, None]
    state, _ = play(world, jax.random.PRNGKey(0), actions)
    return np.asarray(outcome(world, state)["earnings"])


def test_closed_forms_of_four_members_with_20_points_and_factor_1_6_hold_exactly():
    assert one_round([1, 1, 1, 1]).tolist() == [32.0] * 4
    assert one_round([0, 0, 0, 0]).tolist() == [20.0] * 4
    assert one_round([0, 1, 1, 1])[0] == 44.0
    assert one_round([1, 0, 0, 0])[0] == 8.0


def test_one_point_more_returns_less_to_its_giver_and_more_to_the_group():
    low, high = one_round([0.5, 0.3, 0.2, 0.8]), one_round([0.55, 0.3, 0.2, 0.8])
    np.testing.assert_allclose(high[0] - low[0], 0.4 - 1, atol=1e-5)
    np.testing.assert_allclose(high[1:] - low[1:], 0.4, atol=1e-5)


def test_discrete_levels_round_a_share_to_the_nearest_step():
    world = game(rounds=1, levels=3)
    actions = jnp.asarray([[[0.2], [0.3], [0.7], [0.8]]], jnp.float32)
    state, _ = play(world, jax.random.PRNGKey(0), actions)
    assert np.asarray(state.share).tolist() == [0.0, 0.5, 0.5, 1.0]


@pytest.mark.parametrize(("below", "kept"), [("lost", 10.0), ("returned", 20.0)])
def test_a_missed_threshold_multiplies_nothing(below, kept):
    world = game(rounds=1, threshold=30.0, below_threshold=below)
    for giving, expected in ((2, kept), (3, 10 + 30 * 1.6 / 4)):
        shares = jnp.where(jnp.arange(4) < giving, 0.5, 0.0)[None, :, None]
        state, _ = play(world, jax.random.PRNGKey(0), shares)
        np.testing.assert_allclose(outcome(world, state)["earnings"][0], expected, rtol=1e-6)


def test_fines_cost_one_point_and_take_three():
    world = game(rounds=1, punishment="costly")
    actions = np.zeros((2, 4, 4), np.float32)
    actions[0, 1:, 0] = 1.0
    key = jax.random.PRNGKey(0)
    _, (observation, *_) = play(world, key, jnp.asarray(actions))
    others = np.asarray(observation.view["other_slots"][1])
    actions[1, :, 1:] = np.where((others == 0) & (np.arange(4) > 0)[:, None], -2.0, 0.0)
    state, _ = play(world, key, jnp.asarray(actions))
    earnings = np.asarray(outcome(world, state)["earnings"])
    np.testing.assert_allclose(earnings, [44 - 3 * 2 * 3, 24 - 2, 24 - 2, 24 - 2], rtol=1e-6)
    np.testing.assert_allclose(outcome(world, state)["points"], [0, 2, 2, 2])
    assert np.asarray(state.received).tolist() == [-6.0, 0.0, 0.0, 0.0]


def test_nobody_spends_more_than_the_income_of_the_round():
    world = game(rounds=1, punishment="costly")
    actions = np.zeros((2, 4, 4), np.float32)
    actions[0, 0, 0] = 1.0  # earns 8
    actions[1, 0, 1:] = -10.0
    state, _ = play(world, jax.random.PRNGKey(0), jnp.asarray(actions))
    assert np.asarray(state.points).tolist() == [8.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("participants", [0, 1, 2, 3, 4])
def test_loners_earn_their_payoff_and_a_single_participant_is_one_of_them(participants):
    world = game(rounds=1, participation="voluntary")
    joins = np.arange(4) < participants
    shares = np.where(joins, 1.0, -1.0)
    shares[0] = 0.0 if participants else -1.0  # one of the participants rides free
    actions = jnp.asarray(shares, jnp.float32)[None, :, None]
    state, _ = play(world, jax.random.PRNGKey(0), actions)
    earnings = np.asarray(outcome(world, state)["earnings"])
    alone = participants < 2
    cooperator = 26.0 if alone else 1.6 * 20 * (participants - 1) / participants
    expected = np.where(joins, cooperator, 26.0)
    expected[0] = 26.0 if alone else 20 + cooperator
    np.testing.assert_allclose(earnings, expected, rtol=1e-6)


def test_strangers_meet_anew_and_partners_stay():
    for matching, same in (("strangers", False), ("partners", True)):
        world = game(rounds=4, matching=matching, punishment="costly", num_slots=8, num_players=8)
        _, (*_, before) = play(world, jax.random.PRNGKey(0), jnp.zeros((8, 8, 4)))
        groups = np.sort(np.asarray(before.groups.others), axis=2)
        assert np.array_equal(groups[0], groups[1])  # both phases of a round
        assert all(np.array_equal(groups[0], group) for group in groups[2::2]) == same


def test_groups_cover_everybody_once_and_those_left_over_sit_out():
    world = make("public_goods", num_slots=11, num_players=8)
    for held in (range(8), range(3, 11), range(6)):
        present = np.isin(np.arange(11), list(held))
        held_world = dataclasses.replace(world, present=jnp.asarray(present))
        state = begin(held_world, jax.random.PRNGKey(2))
        placed, others = np.asarray(state.groups.placed), np.asarray(state.groups.others)
        assert placed.sum() == len(list(held)) // 4 * 4 and not placed[~present].any()
        assert np.all((others < 11) == placed[:, None])
        for slot in np.flatnonzero(placed):
            group = {slot, *others[slot]}
            assert len(group) == 4
            assert all({mate, *others[mate]} == group for mate in others[slot])


def test_everybody_acts_in_both_phases_until_the_end():
    world = game(rounds=2, punishment="costly")
    state, (observation, transition, *_) = play(world, jax.random.PRNGKey(0), jnp.zeros((4, 4, 4)))
    assert observation.acting.all()
    assert np.asarray(observation.view["phase"][:, 0]).tolist() == [0, 1, 0, 1]
    assert transition.terminated[-1].all() and not transition.terminated[:-1].any()
    assert not look(world, state).acting.any()


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"num_players": 6, "num_slots": 8}, "do not fill groups of 4"),
        ({"levels": 1}, "levels 1"),
        ({"threshold": 90.0}, "cannot be reached"),
        ({"group_size": 1}, "groups of at least 2"),
    ],
)
def test_impossible_games_are_refused(params, message):
    with pytest.raises(ValueError, match=message):
        make("public_goods", **params)


def random_actions(world, seed):
    """Shares and points in and beyond their bounds, whole and fractional."""
    draw = np.random.default_rng(seed)
    shape = (world.horizon, *world.noop().shape)
    actions = draw.uniform(-12, 12, shape)
    actions[..., 0] = draw.choice([-1.0, 0.0, 1.0, *draw.uniform(0, 1, 3)], shape[:-1])
    actions[..., 1:] *= draw.random(shape)[..., 1:] < draw.random()
    return actions.astype(np.float32)


def copy_of_round(world, members, shares, points):
    """One group's payoffs by hand: {slot: payoff}, points as {(from, to): p}."""
    joined = [slot for slot in members if shares[slot] >= 0]
    given = {slot: max(shares[slot], 0) * 20 for slot in members}
    total = sum(given.values())
    first = {}
    for slot in members:
        if slot not in joined or len(joined) < 2:
            first[slot] = 26.0
        else:
            share = total * 1.6 / len(joined) if total >= world.threshold else 0.0
            first[slot] = 20 - given[slot] + share
    paid = {}
    for slot in members:
        mine = {to: p for (who, to), p in points.items() if who == slot}
        cost = sum(abs(p) for p in mine.values())
        scale = min(1.0, max(first[slot], 0) / cost) if cost else 1.0
        paid |= {(slot, to): p * scale for to, p in mine.items()}
    second = dict(first)
    for (who, to), p in paid.items():
        second[who] -= abs(p)
        second[to] += 3 * p
    return first, second


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31 - 1))
def test_any_play_agrees_with_a_plain_python_copy(seed):
    world = game(**EVERYTHING, num_slots=12, num_players=12)
    world = dataclasses.replace(world, present=jnp.arange(12) < 4 * (1 + seed % 3))
    actions = random_actions(world, seed)
    _, (_, transition, _, before) = play(world, jax.random.PRNGKey(seed), jnp.asarray(actions))
    reward = np.asarray(transition.reward)
    for step in range(0, world.horizon, 2):
        others = np.asarray(before.groups.others[step])
        shares = np.clip(actions[step, :, 0], -1, 1)
        seen = set()
        for slot in np.flatnonzero(np.asarray(before.groups.placed[step])):
            if slot in seen:
                continue
            members = [int(slot), *map(int, others[slot])]
            seen |= set(members)
            points = {
                (who, int(to)): float(np.clip(actions[step + 1, who, 1 + seat], -10, 10))
                for who in members
                for seat, to in enumerate(others[who])
            }
            first, second = copy_of_round(world, members, shares, points)
            for who in members:
                assert abs(reward[step, who] - first[who]) < 1e-3
                assert abs(reward[step + 1, who] - (second[who] - first[who])) < 1e-3
        absent = [who for who in range(12) if who not in seen]
        assert np.all(reward[step : step + 2, absent] == 0)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**31 - 1))
def test_a_group_earns_its_endowments_plus_the_growth_of_what_it_gave(seed):
    world = game(rounds=1)
    shares = np.random.default_rng(seed).uniform(0, 1, 4).astype(np.float32)
    earnings = one_round(shares)
    np.testing.assert_allclose(earnings.sum(), 4 * 20 + 0.6 * 20 * shares.sum(), rtol=1e-5)
    np.testing.assert_allclose(earnings + 20 * shares, (earnings + 20 * shares)[0], rtol=1e-5)
    assert world.horizon == 1


@settings(max_examples=10)
@given(seed=st.integers(0, 2**31 - 1))
def test_sanctions_cost_their_givers_one_and_move_three_per_point(seed):
    world = game(**EVERYTHING, num_slots=12, num_players=12)
    actions = random_actions(world, seed)
    _, (_, transition, after, before) = play(world, jax.random.PRNGKey(seed), jnp.asarray(actions))
    second = np.arange(1, world.horizon, 2)
    reward = np.asarray(transition.reward)[second].sum(1)
    received = np.asarray(after.received)[second]
    cost = (np.asarray(after.points) - np.asarray(before.points))[second].sum(1)
    np.testing.assert_allclose(reward, 3 * received.sum(1) - cost, atol=1e-2)
    income = np.asarray(before.income)[second]
    spent = (np.asarray(after.points) - np.asarray(before.points))[second]
    assert np.all(spent <= np.maximum(income, 0) + 1e-3)


def test_every_view_lies_in_the_observation_space_and_samples_can_be_played():
    world = game(**EVERYTHING, num_slots=12, num_players=12)
    space, act = world.observation_space(0), world.action_space(0)
    act.seed(0)
    actions = np.stack([[act.sample() for _ in range(12)] for _ in range(world.horizon)])
    _, (observation, *_) = play(world, jax.random.PRNGKey(0), jnp.asarray(actions))
    for step in range(world.horizon):
        for slot in range(12):
            row = jax.tree.map(lambda x, t=step, i=slot: np.asarray(x[t, i]), observation.view)
            assert space.contains(row), row
    assert np.all(np.asarray(observation.view["others"][0]) == UNKNOWN)


VARIANTS = [
    {},
    {"punishment": "costly", "matching": "partners"},
    {**EVERYTHING, "levels": 3},
]


@pytest.mark.slow
@pytest.mark.parametrize("params", VARIANTS)
def test_variants_keep_the_contract(params):
    world = make("public_goods", **params)
    check_world(world, longer=make("public_goods", num_slots=world.num_slots + 3, **params))
