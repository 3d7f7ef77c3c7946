"""Evolved networks keep the contract, and inherit unit by unit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_agents.evolved import EvolvedAttention, EvolvedLstm, EvolvedMlp
from rl_agents.evolved.genome import apply_layer, crossed, distances, make_genome, mutated
from rl_agents.evolved.networks import Genomes
from rl_agents.evolved.noise import normal
from rl_agents.testing import check_policy
from worlds.policy import ArrayPolicy
from worlds.random import fold
from worlds.registry import make
from worlds.types import Births, Mind


@pytest.mark.slow
@pytest.mark.parametrize(
    "policy",
    [EvolvedMlp(width=4), EvolvedLstm(width=4, rank=2), EvolvedAttention(width=4, heads=2)],
    ids=["mlp", "lstm", "attention"],
)
def test_evolved_networks_keep_the_contract(policy):
    world = make("life", num_slots=3, num_players=3, size=16, patch=0, company=2, words=2, sight=4)
    check_policy(policy, world, steps=2)


def test_they_also_choose_among_actions():
    check_policy(EvolvedMlp(width=4), make("matrix_game", rounds=3), steps=2)


def test_noise_is_normal():
    drawn = np.asarray(normal(jax.random.PRNGKey(0), (200_001,)))
    assert abs(drawn.mean()) < 0.01 and abs(drawn.std() - 1) < 0.01
    assert abs((drawn**4).mean() - 3) < 0.1 and abs((drawn**3).mean()) < 0.05
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.01


def population(num=6):
    return make_genome(jax.random.PRNGKey(1), num, {"one": (3, 5), "two": (5, 2)}, 0)[0]


def test_genomes_are_drawn_by_slot_whatever_the_blocks():
    key, layers = jax.random.PRNGKey(4), {"long": (1000, 400), "short": (7, 3)}
    own, shared = make_genome(key, 5, layers, 0)  # blocks of two: the last one overlaps
    assert shared == {} and own["long"]["w"].shape == (5, 1001, 400)
    for slot in range(5):
        drawn = normal(fold(key, jnp.int32(slot)), (400_021,))
        long = np.asarray(drawn[:400_000]).reshape(1000, 400) / np.sqrt(1000)
        np.testing.assert_allclose(own["long"]["w"][slot, :-1], long, rtol=1e-5, atol=1e-7)
        short = np.asarray(drawn[400_000:]).reshape(7, 3) / np.sqrt(7)
        np.testing.assert_allclose(own["short"]["w"][slot, :-1], short, rtol=1e-5, atol=1e-7)
    assert not own["long"]["w"][:, -1].any() and not own["short"]["w"][:, -1].any()


def test_children_of_two_take_each_unit_whole_from_either_parent():
    own = population(40)
    births = Births(
        jnp.arange(20, 40), jnp.stack([jnp.arange(20), (jnp.arange(20) + 1) % 20], axis=1)
    )
    born = crossed(jax.random.PRNGKey(2), own, births)
    child = np.asarray(born["one"]["w"][20:])
    first = np.asarray(own["one"]["w"][:20])
    second = np.roll(first, -1, axis=0)
    from_first = (child == first).all(axis=1)
    from_second = (child == second).all(axis=1)
    assert (from_first | from_second).all()
    assert 0.3 < from_first.mean() < 0.7
    np.testing.assert_array_equal(born["one"]["w"][:20], own["one"]["w"][:20])


def test_dense_and_listed_births_of_one_parent_are_the_same():
    own = population()
    listed = Births(jnp.array([5, 6, 3]), jnp.array([[0], [-1], [1]]))
    parent = jnp.arange(6).at[5].set(0).at[3].set(1)
    dense = Births(jnp.arange(6), parent[:, None], True)
    one, two = (crossed(jax.random.PRNGKey(0), own, births) for births in (listed, dense))
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_size_of_mutations_is_a_heritable_factor():
    own = population()
    births = Births(jnp.array([4, 5]), jnp.array([[0], [1]]))
    own = crossed(jax.random.PRNGKey(0), own, births)
    changed = mutated(jax.random.PRNGKey(1), own, births, jnp.array([0.01, 0.1]))
    far = np.asarray(distances(changed, births))
    assert 5 < far[1] / far[0] < 20
    size = sum(leaf[0].size for leaf in jax.tree.leaves(own))
    assert far[0] == pytest.approx(0.01 * np.sqrt(size), rel=0.4)


def test_births_of_one_parent_inherit_and_mutate_at_once_with_the_same_results():
    policy, key = EvolvedMlp(width=4), jax.random.PRNGKey(1)
    own = population()
    mind = Mind(Genomes(own, {}, jnp.arange(6.0) / 6, form=()))
    births = Births(jnp.array([4, 6, 2]), jnp.array([[0], [-1], [2]]))  # slot 2 takes over itself
    shown = Births(births.child, jnp.array([[0], [-1], [-1]]))
    keys = key, jax.random.PRNGKey(2)

    def size(heirs):
        scale = policy.mutation_scale(heirs)
        return 0.1 * scale.at[births.child].get(mode="fill", fill_value=0.0)

    args = keys, mind, births, shown, jnp.float32(0), size
    once, apart = policy.bear(*args), ArrayPolicy.bear(policy, *args)
    for one, two in zip(jax.tree.leaves(once), jax.tree.leaves(apart), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-6, atol=1e-7)
    changed = [
        index
        for index in range(6)
        if (once.params.own["one"]["w"][index] != own["one"]["w"][index]).any()
    ]
    assert changed == [2, 4]


def test_low_rank_layers_are_shared_weights_plus_a_product():
    genomes, base = make_genome(jax.random.PRNGKey(3), 2, {"one": (4, 3)}, 2)
    own, shared = genomes["one"], base["one"]
    x = jnp.arange(8.0).reshape(2, 4)
    full = shared + jnp.einsum("nir,nro->nio", own["u"], own["v"][:, :-1])
    expected = jnp.einsum("ni,nio->no", x, full)
    np.testing.assert_allclose(apply_layer(own, shared, x), expected, rtol=1e-5)
    many = jnp.stack([x, x], axis=1)
    np.testing.assert_allclose(apply_layer(own, shared, many)[:, 1], expected, rtol=1e-5)
