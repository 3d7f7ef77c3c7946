"""The Donor Game against the published table, its listed defects, and a plain-Python copy."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worlds.registry import make
from worlds.testing import check_world

# Mean, lowest and highest final resources of game 2 in the study's own code, where 12 donors
# give the same share in 12 rounds (endowment 10, multiplier 2).
PUBLISHED = {
    0.0: (10.0, 10.0, 10.0),
    0.1: (18.708459276480003, 17.952215725440006, 19.464702827520007),
    0.5: (341.171875, 182.96875, 499.375),
    0.75: (2414.79736328125, 635.01220703125, 4194.58251953125),
    1.0: (15360.0, 0.0, 30720.0),
}


# Three worlds are compiled in all: two with every extra, one plain. Extras that no action
# uses change nothing, which the published table shows.
EXTRAS = {
    "published": {"partner_choice": "refuse"},
    "corrected": {"punishment": "costly", "partner_choice": "refuse"},
}


@functools.cache
def game(protocol="plain"):
    if protocol == "plain":
        world = make("donor_game")
    else:
        world = make("donor_game", protocol=protocol, **EXTRAS[protocol])
    return with_players(world, 12)


def with_players(world, number):
    return dataclasses.replace(world, present=jnp.arange(12) < number)


@jax.jit
def outcome(world, state):
    return world.outcome(state)


@jax.jit
def look(world, state):
    return world.observe(state)


@jax.jit
def play(world, key, actions):
    """Play [T, N] actions: the last state, and observations and transitions of every step."""

    def step(state, action):
        observation = world.observe(state)
        state, transition = world.step(key, state, action)
        return state, (observation, transition, state)

    return jax.lax.scan(step, world.init(key), actions)


def constant(world, fraction, key=0):
    actions = jnp.full((world.horizon, world.num_slots), fraction, jnp.float32)
    return play(world, jax.random.PRNGKey(key), actions)


def donors(observation, world):
    """One letter a round: which half of the shuffled order may give."""
    acting = np.asarray(observation.acting)
    first = np.flatnonzero(acting[0])
    assert np.all(acting.sum(axis=1) == world.num_players // 2)
    return "".join("A" if row[first].all() else "B" for row in acting)


@pytest.mark.parametrize("fraction", PUBLISHED)
@pytest.mark.parametrize("key", [0, 7])
def test_constant_donors_end_where_the_published_code_ends(fraction, key):
    world = game("published")
    state, _ = constant(world, fraction, key)
    resources = np.asarray(outcome(world, state)["resources"], np.float64)
    expected = PUBLISHED[fraction]
    found = (resources.mean(), resources.min(), resources.max())
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_defect_4_published_donors_repeat_in_the_middle_of_a_game():
    world = game("published")
    _, (observation, *_) = constant(world, 1.0)
    assert donors(observation, world) == "ABABABBABABA" + "BABABAABABAB"


def test_defect_4_corrected_donors_alternate_and_full_donation_doubles_every_round():
    world = game()
    state, (observation, *_) = constant(world, 1.0)
    assert donors(observation, world) == "ABABABABABAB" + "BABABABABABA"
    np.testing.assert_allclose(outcome(world, state)["resources"], 30720.0)


@pytest.mark.parametrize("protocol", ["published", "corrected"])
def test_every_pair_of_halves_meets_twice_a_game_once_in_each_role(protocol):
    world = game(protocol)
    _, (observation, *_) = constant(world, 0.0)
    for start in (0, 12):
        meetings = {}
        for round_ in range(start, start + 12):
            for slot in np.flatnonzero(observation.acting[round_]):
                partner = int(observation.view["partner"][round_, slot])
                meetings.setdefault(frozenset((int(slot), partner)), []).append(int(slot))
        assert len(meetings) == 36
        assert all(len(set(donors)) == len(donors) == 2 for donors in meetings.values())


def test_defect_5_published_results_ignore_game_1_and_corrected_results_do_not():
    for protocol in ("published", "corrected"):
        world = game(protocol)
        results = []
        for first_share in (0.0, 0.5):
            actions = np.full((24, 12), 0.5, np.float32)
            actions[:12] = first_share
            state, _ = play(world, jax.random.PRNGKey(0), jnp.asarray(actions))
            results.append(np.asarray(outcome(world, state)["resources"]))
            np.testing.assert_allclose(np.asarray(state.first_resources) == 10.0, first_share == 0)
        assert np.array_equal(*results) == (protocol == "published")


def test_defect_6_published_punishment_is_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"UnboundLocalError.*set protocol: corrected"):
        make("donor_game", protocol="published", punishment="costly")


def test_defect_6_corrected_punishment_takes_twice_what_it_costs_but_not_below_zero():
    world = game("corrected")
    key = jax.random.PRNGKey(0)
    state, (observation, transition, _) = play(world, key, jnp.full((24, 12), -0.25))
    acting = np.asarray(observation.acting[0])
    reward = np.asarray(transition.reward[0])
    np.testing.assert_allclose(reward[acting], -2.5)
    np.testing.assert_allclose(reward[~acting], -5.0)
    entry = np.asarray(observation.view["trace"])[1][np.asarray(observation.acting[1])][:, 0]
    np.testing.assert_allclose(entry[:, 3], -0.25)
    _, (_, _, after) = play(world, key, jnp.full((24, 12), -1.0))
    assert np.all(np.asarray(after.resources) >= 0)
    np.testing.assert_allclose(np.asarray(after.resources[0])[~acting], 0.0)
    np.testing.assert_allclose(outcome(world, state)["donated_fraction"], 0.0)


def test_without_punishment_a_negative_share_gives_nothing():
    world = game()
    state, (_, transition, _) = constant(world, -1.0)
    np.testing.assert_array_equal(transition.reward, 0.0)
    np.testing.assert_array_equal(outcome(world, state)["resources"], 10.0)


def test_game_2_starts_from_fresh_resources_traces_and_reputations():
    world = game()
    _, (observation, *_) = constant(world, 0.5)
    view = jax.tree.map(lambda x: np.asarray(x[12]), observation.view)
    np.testing.assert_array_equal(view["resources"], 10.0)
    np.testing.assert_array_equal(view["reputation"], -1.0)
    np.testing.assert_array_equal(view["trace"], -1.0)
    np.testing.assert_array_equal(view["game"], 1)


def test_a_trace_follows_the_chain_of_partners_and_not_the_donors_own_history():
    world = game()
    _, (observation, *_) = constant(world, 0.5)
    acting, partner = np.asarray(observation.acting), np.asarray(observation.view["partner"])
    for round_ in range(1, 12):
        for donor in np.flatnonzero(acting[round_]):
            expected, who = [], partner[round_, donor]
            # The recipient was a donor one round earlier; its trace goes on with its partner's.
            for back in range(round_ - 1, max(round_ - 4, -1), -1):
                expected.append((back, who, partner[back, who], 0.5))
                who = partner[back, who]
            rows = np.asarray(observation.view["trace"][round_, donor])
            assert [tuple(row) for row in rows if row[0] >= 0] == expected


def test_nobody_acts_after_the_last_round():
    world = game()
    state, (_, transition, _) = constant(world, 0.5)
    last = look(world, state)
    assert not last.acting.any() and last.alive.all()
    assert transition.terminated[-1].all() and not transition.terminated[:-1].any()


@pytest.mark.parametrize("protocol", ["published", "corrected"])
def test_absent_slots_never_play_and_an_odd_one_sits_out(protocol):
    present = np.array([1, 0, 1, 1, 0, 1, 1, 0, 1, 0, 1, 1], bool)
    for held in (present, present & (np.arange(12) < 11)):
        world = dataclasses.replace(game(protocol), present=jnp.asarray(held))
        state, (observation, transition, _) = constant(world, 0.5)
        acting = np.asarray(observation.acting)
        assert not acting[:, ~held].any()
        assert np.all(acting.sum(1) == held.sum() // 2)
        assert np.all(np.asarray(transition.reward)[:, ~held] == 0)
        partners = np.asarray(observation.view["partner"])
        assert set(partners[partners >= 0]) <= set(np.flatnonzero(held))
        assert np.all(np.asarray(outcome(world, state)["resources"])[~held] == 0)


def test_every_view_lies_in_the_observation_space():
    world = game("corrected")
    key = jax.random.PRNGKey(1)
    actions = jax.random.uniform(key, (24, 12), minval=-2, maxval=1)
    _, (observation, *_) = play(world, key, actions)
    space = world.observation_space(0)
    for step in range(24):
        for slot in range(12):
            row = jax.tree.map(lambda x, t=step, i=slot: np.asarray(x[t, i]), observation.view)
            assert space.contains(row), row


@pytest.mark.parametrize(
    "params",
    [
        {"num_players": 11, "num_slots": 12},
        {"num_players": 14, "num_slots": 12},
        {"rounds": 400},
    ],
)
def test_impossible_games_are_refused(params):
    with pytest.raises(ValueError, match=r"donor_game|float32"):
        make("donor_game", **params)


# ---- a plain-Python copy of the rules ---------------------------------------------------


class Player:
    def __init__(self, name):
        self.name = name
        self.first = None
        self.begin()

    def begin(self):
        self.resources, self.trace, self.reputation = 10.0, [], None


def schedule(order, rounds, protocol):
    """Rounds of (donor, recipient) pairs, by rotating one half of a list around the other."""
    half = len(order) // 2
    first, second = order[:half], order[half : 2 * half]
    games = []
    for round_ in range(rounds):
        block, turn = divmod(round_, half)
        shift = turn if protocol == "published" else round_ + (block if half % 2 == 0 else 0)
        shift %= half
        pairs = list(zip(first, second[half - shift :] + second[: half - shift], strict=True))
        gives = (turn + block) % 2 == 0 if protocol == "published" else round_ % 2 == 0
        games.append(pairs if gives else [(b, a) for a, b in pairs])
    return games


def play_round(pairs, round_, shares, protocol):
    for donor, recipient in pairs:
        share = float(shares[donor.name])
        refuses = share < -1
        paid = 0.0 if refuses else abs(share) * donor.resources
        recorded = -2.0 if refuses else share
        if protocol == "published" and donor.resources == 0 and share >= 0:
            recorded = 1.0
        donor.resources -= paid
        if share >= 0:
            recipient.resources += 2 * paid
            judge(donor, recipient, recorded, protocol)
        else:
            recipient.resources = max(0.0, recipient.resources - 2 * paid)
        donor.trace = [(round_, donor.name, recipient.name, recorded), *recipient.trace][:3]


def judge(donor, recipient, given, protocol):
    other = recipient.reputation
    if protocol == "published":
        fresh, other = not donor.reputation, other or 0.0
    else:
        fresh = donor.reputation is None or other is None
    if fresh:
        donor.reputation = given
    else:
        donor.reputation = ((1 - abs(given - other)) + 0.5 * donor.reputation) / 1.5


def check_against_copy(world, players, key, actions):
    state, (_, _, after) = play(world, key, jnp.asarray(actions))
    after = jax.tree.map(np.asarray, after)
    rounds = world.rounds
    people = [Player(slot) for slot in range(players)]
    ranked = [people[slot] for slot in np.asarray(state.order) if slot < players]
    for game_ in (0, 1):
        for person in people:
            person.begin()
        for round_, pairs in enumerate(schedule(ranked, rounds, world.protocol)):
            step = game_ * rounds + round_
            pairs = [(b, a) for a, b in pairs] if game_ else pairs
            play_round(pairs, round_, actions[step], world.protocol)
            if step + 1 == rounds:
                continue  # the world already shows game 2
            standing = [-1.0 if p.reputation is None else p.reputation for p in people]
            traces = [(p.trace + [(-1,) * 4] * 3)[:3] for p in people]
            for found, expected in (
                (after.resources, [person.resources for person in people]),
                (after.reputation, standing),
                (after.trace, traces),
            ):
                found = found[step, :players]
                assert np.allclose(found, expected, rtol=1e-4, atol=1e-4), (step, found, expected)


@pytest.mark.parametrize("protocol", EXTRAS)
@pytest.mark.parametrize("players", [10, 12])
@settings(max_examples=8)
@given(seed=st.integers(0, 2**31 - 1))
def test_any_play_agrees_with_a_plain_python_copy(protocol, players, seed):
    world = with_players(game(protocol), players)
    draw = np.random.default_rng(seed)
    shape = (24, 12)
    choices = [0.0, 1.0, -2.0, draw.uniform(0, 1, shape)]
    if world.punishment == "costly":
        choices += [-1.0, draw.uniform(-1, 0, shape)]
    kinds = draw.integers(0, len(choices), shape)
    actions = np.select([kinds == k for k in range(len(choices))], choices).astype(np.float32)
    check_against_copy(world, players, jax.random.PRNGKey(seed), actions)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**31 - 1), gifts_only=st.booleans())
def test_resources_change_by_exactly_what_was_given_times_the_multiplier(seed, gifts_only):
    world = game("corrected")
    draw = np.random.default_rng(seed)
    actions = draw.uniform(0 if gifts_only else -1, 1, (24, 12)).astype(np.float32)
    _, (observation, transition, _) = play(world, jax.random.PRNGKey(seed), jnp.asarray(actions))
    acting = np.asarray(observation.acting)
    owned = np.asarray(observation.view["resources"], np.float64)
    spent = np.where(acting, np.abs(actions) * owned, 0)
    gain = np.where(actions >= 0, spent, 0).sum(1)
    change = np.asarray(transition.reward, np.float64).sum(1)
    loss = np.where(acting & (actions < 0), 3 * spent, 0).sum(1)
    tolerance = 1e-5 * owned.sum(1) + 1e-3
    assert np.all(change >= gain - loss - tolerance)  # harm stops at 0
    assert np.all(change <= gain - loss / 3 + tolerance)
    assert np.all(np.abs(change - gain)[loss == 0] <= tolerance[loss == 0])


VARIANTS = [
    {},
    {"protocol": "published"},
    {"punishment": "costly", "partner_choice": "refuse", "trace": 0},
]


@pytest.mark.slow
@pytest.mark.parametrize("params", VARIANTS)
def test_variants_keep_the_contract(params):
    world = make("donor_game", **params)
    check_world(world, longer=make("donor_game", num_slots=world.num_slots + 3, **params))
