"""The living planet: bodies, energy, births; one test for each known way to get it wrong."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worlds.life import Life
from worlds.life.births import match, mates
from worlds.life.body import ACTS, acts_of, bites, blows, shoved, width_of
from worlds.life.space import bins_of, nearest, offsets, patch
from worlds.life.terrain import FIELDS, TERRAINS, Climate, lattice, maps
from worlds.random import fold
from worlds.testing import check_world
from worlds.tree import as_arrays

WORDS = 16
PLAN = {name: column for column, name in enumerate(ACTS)}
SMALL = {"num_slots": 8, "num_players": 4, "size": 16, "sight": 5, "patch": 1, "company": 4}


@functools.cache
def compiled():
    """Compiled once for all tests that share a world's structure."""
    return jax.jit(lambda world, key, state, action: world.step(key, state, action))


def planet(**params):
    return as_arrays(Life(**{**SMALL, **params}))


def begin(world, seed=0):
    return world.init(jax.random.PRNGKey(seed))


def act(world, **columns):
    """An action in which the named acts have the given values, for all rows or for each."""
    action = np.zeros((world.num_slots, width_of(world.words)), np.float32)
    for name, values in columns.items():
        action[:, PLAN[name]] = values
    return jnp.asarray(action)


def move(world, state, action, seed=1):
    return compiled()(world, jax.random.PRNGKey(seed), state, action)


def rich(world, state, stock=100.0):
    return state._replace(stock=jnp.where(state.alive, stock, 0.0))


@pytest.mark.slow
def test_it_keeps_the_contract():
    check_world(planet(robots=4, mating="either", terrain="fractal"), steps=6)


def test_an_episode_can_be_cut():
    check_world(planet(max_steps=5, robots=0), steps=6)


@pytest.mark.parametrize("terrain", TERRAINS)
def test_every_terrain_makes_varied_maps_that_drift_slowly(terrain):
    points = lattice(jax.random.PRNGKey(1))
    climate = Climate(drift=jnp.float32(0.01))
    first, next_, later = (
        np.asarray(maps(terrain, points, climate, jnp.int32(tick), 32)) for tick in (0, 1, 500)
    )
    assert first.shape == (len(FIELDS), 32, 32)
    assert first.min() >= 0 and first.max() <= 1
    if terrain == "flat":
        assert np.ptp(later) == 0
        return
    assert all(field.std() > 0.05 for field in first)
    assert 0 < np.abs(next_ - first).mean() < 0.02 < np.abs(later - first).mean()


def test_maps_are_continuous_across_the_edge():
    for terrain in ("perlin", "fractal", "islands", "bands"):
        field = np.asarray(
            maps(terrain, lattice(jax.random.PRNGKey(2)), Climate(), jnp.int32(0), 64)
        )
        inside = np.abs(np.diff(field, axis=1)).max()
        assert np.abs(field[:, 0] - field[:, -1]).max() <= inside * 1.5 + 1e-6


@pytest.mark.slow
def test_neighbours_by_bins_are_those_of_all_pairs():
    rng = np.random.default_rng(0)
    for size, sight, num in ((16, 5, 12), (32, 4, 60), (8, 6, 9)):
        position = rng.uniform(0, size, (num, 2)).astype(np.float32)
        held = rng.random(num) < 0.8
        bins = bins_of(jnp.asarray(position), jnp.asarray(held), size, sight, crowd=num)
        near = nearest(jnp.asarray(position), jnp.asarray(position), bins, count=4, same=True)
        way = position[None] - position[:, None]
        way -= size * np.round(way / size)
        distance = np.sqrt((way**2).sum(-1))
        distance[:, ~held] = np.inf
        np.fill_diagonal(distance, np.inf)
        distance[distance > sight] = np.inf
        expected = np.sort(distance, axis=1)[:, :4]
        np.testing.assert_allclose(near.distance[:, : expected.shape[1]], expected, rtol=1e-4)
        assert int(near.unseen) == 0


def test_a_full_bin_counts_those_it_cannot_show():
    position = jnp.full((6, 2), 3.0)
    bins = bins_of(position, jnp.ones(6, bool), 16, 4, crowd=4)
    assert int(nearest(position, position, bins, count=4, same=True).unseen) == 2


def test_directions_are_signed_and_wrap():
    way = offsets(jnp.array([[1.0, 1.0], [1.0, 1.0]]), jnp.array([[15.0, 2.0], [3.0, 15.5]]), 16)
    np.testing.assert_allclose(way, [[-2.0, 1.0], [2.0, -1.5]])


def test_views_wrap_at_the_edge():
    cells = np.asarray(patch(jnp.array([[0.5, 0.5]]), 16, 1)).reshape(3, 3)
    assert cells.tolist() == [[255, 240, 241], [15, 0, 1], [31, 16, 17]]


def test_a_push_goes_away_from_the_pusher_whatever_the_side():
    world = planet()
    state = begin(world)
    for side in (-1.0, 1.0):
        place = jnp.zeros((8, 2)).at[0].set(8.0).at[1].set(jnp.array([8.0, 8.0 + side]))
        place = place.at[2:].set(jnp.array([1.0, 1.0]))
        near = world.neighbours(state._replace(position=place)).near
        push = jnp.zeros(8).at[0].set(1.0)
        shift = np.asarray(shoved(near, push, 1.5, 0.5, 8))
        np.testing.assert_allclose(shift[1], [0.0, 0.5 * side], atol=1e-6)
        pull = np.asarray(shoved(near, -push, 1.5, 0.5, 8))
        np.testing.assert_allclose(pull[1], [0.0, -0.5 * side], atol=1e-6)


def test_nothing_that_is_done_with_a_negative_sign_makes_energy():
    world = planet(growth=0.0, decay=0.0)
    state = rich(world, begin(world))
    stored = float(state.stock.sum() + state.energy.sum())
    for name in ("attack", "push", "eat", "speak", "program"):
        after, _ = move(world, state, act(world, **{name: -1.0}))
        assert float(after.flows.stored) < stored, name
    action = np.zeros((8, width_of(WORDS)), np.float32)
    action[:, -5:] = -1.0
    dug, _ = move(world, state, jnp.asarray(action))
    idle, _ = move(world, state, world.noop())
    assert float(dug.flows.spent) > float(idle.flows.spent)


def test_every_number_of_an_action_is_read():
    action = np.eye(width_of(WORDS), dtype=np.float32) * 0.5
    acts = acts_of(jnp.asarray(action), jnp.ones(len(action), bool), WORDS)
    told = np.concatenate([np.asarray(part).reshape(len(action), -1) for part in acts], axis=1)
    assert len(set(map(bytes, told))) == len(action), "two numbers of an action mean the same"
    assert (told != 0).any(axis=1).all(), "a number of an action means nothing"


def test_odd_numbers_are_harmless():
    action = jnp.full((2, width_of(WORDS)), jnp.nan).at[1].set(jnp.inf)
    acts = acts_of(action, jnp.ones(2, bool), WORDS)
    assert all(np.isfinite(np.asarray(part)).all() for part in acts)
    assert float(acts.move.max()) == 1.0


def test_simultaneous_eaters_get_equal_shares_and_no_more_than_there_is():
    energy = jnp.full(4, 10.0)
    cell = jnp.array([0, 0, 0, 1, 2])
    share, left = bites(energy, cell, jnp.array([True, True, True, True, False]), 0.5)
    np.testing.assert_allclose(share, [8.75 / 3, 8.75 / 3, 8.75 / 3, 5.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(left, [1.25, 5.0, 10.0, 10.0], rtol=1e-6)


def test_blows_take_no_more_than_there_is_and_loot_is_part_of_it():
    world = planet()
    place = jnp.full((8, 2), 4.0)
    state = begin(world)._replace(position=place, alive=jnp.arange(8) < 3)
    attack = jnp.array([1.0, 1.0, 0, 0, 0, 0, 0, 0])
    energy = jnp.array([50.0, 50.0, 0.5, 0, 0, 0, 0, 0])
    fight = blows(world.neighbours(state).near, attack, energy, 1.5, 1.0, 0.5)
    assert float(fight.lost[2]) == pytest.approx(0.5)
    assert float(fight.won.sum()) == pytest.approx(0.5 * float(fight.lost.sum()), rel=1e-6)


def test_mates_are_mutual_and_of_one_group():
    world = planet()
    place = jnp.zeros((8, 2)).at[:, 1].set(jnp.array([0.0, 0.5, 1.4, 1.5, 8, 9, 12, 12]))
    state = begin(world)._replace(position=place, alive=jnp.ones(8, bool))
    group = jnp.array([0, 0, 0, 1, 0, 0, 0, 1])
    found = np.asarray(mates(jnp.ones(8, bool), world.neighbours(state).near, 1.5, group))
    assert found.tolist() == [1, 0, 8, 8, 5, 4, 8, 8]


def test_children_get_free_slots_of_their_own_group_and_the_rest_are_refused():
    bears = jnp.array([True, True, False, False, True, False])
    free = jnp.array([False, False, True, False, False, True])
    found = match(bears, jnp.full(6, 6), free, (4, 2), jnp.int32(0))
    assert found.parents[:, 0].tolist() == [-1, -1, 0, -1, -1, 4]
    assert found.refused.tolist() == [False, True, False, False, False, False]
    turned = match(bears, jnp.full(6, 6), free, (4, 2), jnp.int32(1))
    assert turned.parents[2, 0] == 1 and bool(turned.refused[0])


def test_a_child_is_borne_by_its_parent_alone_and_beside_it():
    """Only slot 3 can pay; the child must come from slot 3, not from some sorted order."""
    world = planet(drift=0.0)
    state = begin(world)
    state = state._replace(stock=jnp.zeros(8).at[:4].set(jnp.array([5.0, 5.0, 5.0, 90.0])))
    after, moved = move(world, state, act(world, birth=1.0))
    assert moved.parents[:, 0].tolist() == [-1, -1, -1, -1, 3, -1, -1, -1]
    np.testing.assert_array_equal(after.identity[4], state.identity[3])
    assert float(np.abs(offsets(after.position[3], after.position[4], 16)).max()) <= 1.0
    assert after.stock[4] == world.gift and after.children[3] == 1
    assert after.age[4] == 0


def test_refused_births_are_counted_and_cost_nothing():
    world = planet(num_players=8)
    state = rich(world, begin(world))
    wanted, moved = move(world, state, act(world, birth=1.0))
    idle, _ = move(world, state, world.noop())
    assert int(moved.metrics["refused"]) == 8 and bool(moved.refused.all())
    np.testing.assert_array_equal(wanted.stock, idle.stock)


def test_two_parents_share_the_cost_of_a_child():
    world = planet(mating="sexual", drift=0.0)
    place = jnp.full((8, 2), 4.0).at[2:].set(12.0)
    state = begin(world)
    alive = jnp.arange(8) < 2
    state = state._replace(position=place, alive=alive)
    state = rich(world, state)
    after, moved = move(world, state, act(world, birth=1.0))
    assert moved.parents[2].tolist() == [0, 1]
    assert float(after.stock[0]) == pytest.approx(float(after.stock[1]), rel=1e-5)
    mixed, parents = np.asarray(after.identity[2]), np.asarray(state.identity[:2])
    assert ((mixed == parents[0]) | (mixed == parents[1])).all()
    apart = state._replace(position=place.at[1].set(9.0))
    _, lonely = move(world, apart, act(world, birth=1.0))
    assert int(lonely.metrics["born"]) == 0


def test_whoever_owes_more_than_it_has_dies_even_if_it_eats():
    world = planet(growth=0.0)
    state = begin(world)
    state = state._replace(stock=jnp.where(state.alive, 0.1, 0.0), energy=state.energy * 0 + 0.1)
    after, moved = move(world, state, act(world, eat=1.0))
    assert moved.terminated[:4].all() and not after.alive.any()


def test_a_living_body_pays_for_everything_it_does():
    world = planet()
    state = rich(world, begin(world))
    idle, _ = move(world, state, world.noop())
    for name in ("south", "east", "push", "attack", "speak", "program"):
        busy, _ = move(world, state, act(world, **{name: 1.0}))
        assert float(busy.flows.spent) > float(idle.flows.spent), name


def test_energy_is_accounted_for_in_every_step():
    world = planet(loot=0.3, mating="either", robots=4, richness=4.0)
    state = begin(world)
    stored = float(state.flows.stored)
    rng = np.random.default_rng(0)
    came = went = 0.0
    for step in range(60):
        action = rng.uniform(-1, 1, (8, width_of(WORDS))).astype(np.float32)
        state, _ = move(world, state, jnp.asarray(action), seed=step)
        flows = {name: float(value) for name, value in state.flows._asdict().items()}
        came += flows["sun"]
        went += flows["faded"] + flows["spent"] + flows["fought"]
    assert went > 0 and came > 0
    assert stored + came - went == pytest.approx(flows["stored"], rel=1e-5)


def test_messages_reach_those_in_sight_and_nobody_else():
    world = planet()
    place = jnp.zeros((8, 2)).at[1].set(3.0).at[2].set(8.0)
    state = begin(world)._replace(position=place, alive=jnp.arange(8) < 3)
    action = np.zeros((8, width_of(WORDS)), np.float32)
    action[0, PLAN["speak"]] = 1.0
    action[0, len(ACTS) + WORDS : len(ACTS) + 2 * WORDS] = 0.5
    after, moved = move(world, rich(world, state), jnp.asarray(action))
    assert float(after.inbox[1].min()) == 0.5
    assert float(jnp.abs(after.inbox[2]).max()) == 0.0
    assert int(moved.metrics["hearing"]) == 1


def test_terraforming_changes_ones_own_cell_and_fades():
    world = planet(healing=0.1)
    state = rich(world, begin(world))
    action = np.zeros((8, width_of(WORDS)), np.float32)
    action[0, -5] = 1.0
    after, _ = move(world, state, jnp.asarray(action))
    changed = np.flatnonzero(np.asarray(after.made[0]))
    home = int(state.position[0, 0]) * 16 + int(state.position[0, 1])
    assert changed.tolist() == [home]
    later, _ = move(world, after, world.noop())
    assert 0 < float(later.made[0, home]) < float(after.made[0, home])


def test_seasons_are_opposite_in_the_two_halves():
    world = planet(terrain="flat", climate=Climate(season=0.4, year=64.0))
    state = begin(world)._replace(tick=jnp.int32(16))
    fertility = np.asarray(world.ground(state).fields[0])
    assert fertility[0].mean() == pytest.approx(0.5 + 0.4 * np.cos(np.pi / 16), abs=1e-3)
    assert fertility[8].mean() < 0.5 < fertility[0].mean()


def test_old_age_leaves_what_there_was_to_the_ground():
    world = planet(max_age=3, growth=0.0, decay=0.0)
    state = rich(world, begin(world))._replace(age=jnp.full(8, 3))
    after, moved = move(world, state, world.noop())
    assert moved.terminated[:4].all()
    assert float(after.flows.carrion) > 390
    assert float(after.energy.sum()) == pytest.approx(float(after.flows.stored), rel=1e-6)


def test_wrong_parameters_are_refused_with_advice():
    for params, advice in (
        ({"tape": "012", "robots": 3}, "consist of 0 and 1"),
        ({"tape": "01", "robots": 3}, "2 bits for 3 robots"),
        ({"patch": 9}, "lower it"),
        ({"robots": 2, "words": 4}, "robots: 0"),
        ({"robots": 20, "layout": "row"}, "row of 16"),
    ):
        with pytest.raises(ValueError, match=advice):
            Life(**{**SMALL, **params}).check_params()


def test_other_prices_compile_nothing_anew():
    world = planet()
    dear = dataclasses.replace(
        world, prices=dataclasses.replace(world.prices, living=jnp.float32(2.0))
    )
    state = rich(world, begin(world))
    cheap, _ = move(world, state, world.noop())
    before = compiled()._cache_size()
    costly, _ = move(dear, state, world.noop())
    assert compiled()._cache_size() == before
    assert float(costly.flows.spent) > float(cheap.flows.spent)


def test_keys_differ_from_step_to_step():
    world = planet(drift=1.0)
    state = rich(world, begin(world))
    one, _ = move(world, state, act(world, birth=1.0), seed=3)
    two, _ = move(world, state, act(world, birth=1.0), seed=4)
    assert not np.array_equal(one.identity, two.identity)
    assert not np.array_equal(fold(jax.random.PRNGKey(0), 1), fold(jax.random.PRNGKey(0), 2))
