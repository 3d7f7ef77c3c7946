"""Scripted donors: what each gives, to whom, and what its children inherit."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_agents.scripted.donors import ConstantDonor, ImageScorer, RandomDonor, ReputationDonor
from worlds.registry import make
from worlds.types import Births, Percept, Seats

KEY = jax.random.PRNGKey(0)


def seats(world):
    return Seats(world.num_slots, 0, world, world.action_space(0), world.observation_space(0))


def percept(**view):
    num = len(next(iter(view.values())))
    yes = jnp.ones(num, bool)
    return Percept({name: jnp.asarray(column) for name, column in view.items()}, yes, yes, yes)


def act(policy, view, params=None):
    mind = policy.init(KEY, seats(make("donor_game", num_players=2, num_slots=2)))
    if params is not None:
        mind = mind._replace(params=jnp.asarray(params, jnp.float32))
    return np.asarray(policy.act(KEY, mind, view).action).tolist()


def test_a_constant_donor_gives_its_share_to_anybody():
    assert act(ConstantDonor(fraction=0.25), percept(partner_reputation=[0.0, 1.0])) == [0.25, 0.25]


def test_a_reputation_donor_gives_to_the_reputable_and_the_unknown():
    policy = ReputationDonor(fraction=0.5, threshold=0.6)
    assert act(policy, percept(partner_reputation=[0.59, 0.61])) == [0.0, 0.5]
    assert act(policy, percept(partner_reputation=[-1.0, 0.0])) == [0.5, 0.0]


def test_an_image_scorer_reads_only_the_newest_entry_and_may_punish():
    rows = [[[4, 1, 2, 0.1], [3, 5, 1, 0.9]], [[4, 2, 3, 0.6], [-1, -1, -1, -1]]]
    view = percept(trace=np.float32(rows))
    assert act(ImageScorer(fraction=0.5, threshold=0.25), view) == [0.0, 0.5]
    assert act(ImageScorer(fraction=0.5, threshold=0.25, punish=0.5), view) == [-0.5, 0.5]
    nothing = percept(trace=np.full((2, 2, 4), -1, np.float32))
    assert act(ImageScorer(fraction=0.5, punish=0.5), nothing) == [0.5, 0.5]


def test_a_random_donor_gives_uniform_shares():
    policy = RandomDonor()
    view = percept(partner_reputation=np.zeros(4000, np.float32))
    shares = np.asarray(policy.act(KEY, policy.init(KEY, None), view).action)
    assert shares.min() >= 0 and shares.max() < 1
    np.testing.assert_allclose(np.quantile(shares, [0.25, 0.5, 0.75]), [0.25, 0.5, 0.75], atol=0.03)


@pytest.mark.parametrize("policy", [ConstantDonor(), ReputationDonor(), ImageScorer()])
@pytest.mark.parametrize("dense", [True, False])
def test_newcomers_inherit_and_only_they_mutate(policy, dense):
    mind = policy.init(KEY, seats(make("donor_game", num_slots=4, num_players=4)))
    mind = mind._replace(params=jnp.asarray([0.1, 0.2, 0.3, 0.4]))
    if dense:  # rows 0 and 3 copy row 1, the others keep their own mind
        births = Births(jnp.arange(4), jnp.asarray([[1], [1], [2], [1]]), dense=True)
    else:  # the last row is padding
        births = Births(jnp.asarray([3, 0, 4]), jnp.asarray([[1], [1], [4]]))
    passed = policy.inherit(KEY, mind, births)
    np.testing.assert_allclose(passed.params, [0.2, 0.2, 0.3, 0.2])
    changed = policy.mutate(KEY, passed, births, jnp.float32(0), jnp.float32(0.1))
    assert (np.asarray(changed.params) != np.asarray(passed.params)).tolist() == [1, 0, 0, 1]
    extreme = policy.mutate(KEY, passed, births, jnp.float32(0), jnp.float32(50.0))
    assert np.all((np.asarray(extreme.params) >= 0) & (np.asarray(extreme.params) <= 1))


def test_policies_refuse_worlds_they_cannot_play_and_say_what_fits():
    goods = make("public_goods")
    with pytest.raises(ValueError, match="use it in donor_game"):
        ConstantDonor().check(seats(goods))
    with pytest.raises(ValueError, match="punishment: costly"):
        ImageScorer(punish=0.5).check(seats(make("donor_game")))
    ImageScorer(punish=0.5).check(seats(make("donor_game", punishment="costly")))
    with pytest.raises(ValueError, match="trace: 1"):
        ImageScorer().check(seats(make("donor_game", trace=0)))
    ReputationDonor().check(seats(make("donor_game")))


def test_image_scorers_end_richer_than_free_riders_among_them():
    world = make("donor_game")
    policy = ImageScorer(fraction=0.5, threshold=0.25)

    @jax.jit
    def run(policy, mind, key):
        def step(state, _):
            observation = world.observe(state)
            one = Percept(observation.view, observation.alive, observation.acting, None)
            action = policy.act(key, mind, one).action
            action = action.at[0].set(0.0)  # slot 0 rides free
            return world.step(key, state, action)[0], None

        return world.outcome(jax.lax.scan(step, world.init(key), None, length=24)[0])

    mind = policy.init(KEY, seats(world))
    results = [np.asarray(run(policy, mind, jax.random.PRNGKey(k))["resources"]) for k in range(8)]
    rider = np.mean([row[0] for row in results])
    others = np.mean([row[1:] for row in results])
    naive = dataclasses.replace(policy, threshold=0.0)
    blind = mind._replace(params=jnp.zeros(12))
    exploited = np.mean(
        [np.asarray(run(naive, blind, jax.random.PRNGKey(k))["resources"])[0] for k in range(8)]
    )
    assert rider < others < exploited
