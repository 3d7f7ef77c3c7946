"""Scripted players of public goods, and their types under selection."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_agents.scripted.public_goods import (
    ConditionalCooperator,
    Contributor,
    FreeRider,
    PublicGoodsTypes,
    Punisher,
)
from worlds.registry import make
from worlds.types import Births, Percept, Seats

KEY = jax.random.PRNGKey(0)
COSTLY = {"punishment": "costly", "rounds": 6}


def seats(world):
    return Seats(world.num_slots, 0, world, world.action_space(0), world.observation_space(0))


def act(policy, world, share, others):
    others = jnp.asarray([others], jnp.float32)
    view = {"share": jnp.asarray([share], jnp.float32), "others": others}
    mind = policy.init(KEY, seats(world)._replace(num=1))
    return np.asarray(policy.act(KEY, mind, Percept(view, None, None, None)).action)[0].tolist()


def test_each_rule_does_what_its_name_says():
    plain, costly = make("public_goods"), make("public_goods", **COSTLY)
    seen = [0.2, 0.4, -1.0]  # the third abstained
    assert act(Contributor(share=0.75), plain, 1, seen) == [0.75]
    assert act(FreeRider(), plain, 1, seen) == [0.0]
    np.testing.assert_allclose(act(ConditionalCooperator(match=0.5), plain, 1, seen), [0.15])
    assert act(ConditionalCooperator(opening=0.6), plain, -2, [-2] * 3) == [np.float32(0.6)]
    assert act(Punisher(points=3), costly, 0.3, seen) == [1.0, -3.0, 0.0, 0.0]
    assert act(Punisher(points=3, tolerance=0.2), costly, 0.5, seen) == [1.0, -3.0, 0.0, 0.0]
    assert act(FreeRider(), costly, 0.3, seen) == [0.0] * 4


def test_policies_refuse_worlds_they_cannot_play_and_say_what_fits():
    donor, plain = make("donor_game"), make("public_goods")
    with pytest.raises(ValueError, match="plays public_goods"):
        Contributor().check(seats(donor))
    with pytest.raises(ValueError, match="punishment: costly"):
        Punisher().check(seats(plain))
    with pytest.raises(ValueError, match="types are cooperator"):
        PublicGoodsTypes(mix=("cooperater",)).check(seats(plain))
    with pytest.raises(ValueError, match="participation: voluntary"):
        PublicGoodsTypes(mix=("cooperator", "loner")).check(seats(plain))
    PublicGoodsTypes().check(seats(make("public_goods", **COSTLY)))


def test_types_are_dealt_evenly_inherited_and_redrawn():
    policy = PublicGoodsTypes(mix=("cooperator", "defector", "punisher", "loner"))
    world = make("public_goods", num_slots=400, num_players=400, **COSTLY)
    mind = policy.init(KEY, seats(world))
    assert np.bincount(np.asarray(policy.types(mind))).tolist() == [100] * 4
    births = Births(
        jnp.arange(400), jnp.where(jnp.arange(400) < 200, 399, jnp.arange(400))[:, None], True
    )
    passed = policy.inherit(KEY, mind, births)
    assert len(set(np.asarray(passed.params)[:200])) == 1
    changed = policy.mutate(KEY, passed, births, jnp.float32(0.5), jnp.float32(0))
    differs = np.asarray(changed.params) != np.asarray(passed.params)
    assert not differs[200:].any()
    assert 50 < differs[:200].sum() < 100  # half are redrawn, a quarter of those unchanged


@jax.jit
def play(world, policy, mind, key):
    """Mean contribution in every step, and everybody's earnings."""

    def step(state, tick):
        observation = world.observe(state)
        percept = Percept(observation.view, observation.alive, observation.acting, None)
        action = policy.act(key, mind, percept).action
        state, transition = world.step(jax.random.fold_in(key, tick), state, action)
        return state, transition.metrics["contribution"]

    state, shares = jax.lax.scan(step, world.init(key), jnp.arange(world.horizon))
    return shares, world.outcome(state)


def test_defectors_earn_most_without_punishment_and_least_with_it():
    costly = make("public_goods", num_slots=40, num_players=40, **COSTLY)
    # Four points fine 12, more than the 12 that free riding saves at most when three punish.
    policy = PublicGoodsTypes(points=4.0)
    mind = policy.init(KEY, seats(costly))
    kinds = np.arange(40) % 10
    few = mind._replace(params=jnp.asarray(np.where(kinds == 0, 1, 0), jnp.int32))
    many = mind._replace(params=jnp.asarray(np.where(kinds == 0, 1, 2), jnp.int32))
    for params, defectors_win in ((few, True), (many, False)):
        _, outcome = play(costly, policy, params, KEY)
        earnings = np.asarray(outcome["earnings"])
        assert (earnings[kinds == 0].mean() > earnings[kinds != 0].mean()) == defectors_win


def test_conditional_cooperation_decays_with_one_in_ten_riding_free():
    world = make("public_goods", num_slots=40, num_players=40, **COSTLY)
    policy = PublicGoodsTypes(mix=("conditional", "defector", "punisher"))
    mind = policy.init(KEY, seats(world))
    mind = mind._replace(params=jnp.asarray(np.arange(40) % 10 == 0, jnp.int32))
    shares = np.asarray(play(world, policy, mind, KEY)[0])[::2]
    assert shares[0] == pytest.approx(0.9)
    assert np.all(np.diff(shares) < 0)
