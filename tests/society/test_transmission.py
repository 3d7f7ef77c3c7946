"""Transmission: who inherits what, and which texts newcomers read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rl_agents.scripted.donors import ConstantDonor
from society.selection import dense_births
from society.testing import check_transmission
from society.transmission import Advice, Copy, Mutate, Nothing
from worlds.policy import ArrayPolicy
from worlds.registry import entries, load, make
from worlds.types import Births, Decision, Mind, Seats

KEY = jax.random.PRNGKey(0)


def seats_of(num):
    world = make("donor_game", num_slots=num, num_players=num)
    return Seats(num, 0, world, world.action_space(0), world.observation_space(0))


def shares(*values):
    return Mind(jnp.array(values, jnp.float32))


@pytest.mark.parametrize("name", list(entries("transmission")))
def test_every_registered_transmission_conforms(name):
    check_transmission(load("transmission", name)(), ConstantDonor(), seats_of(6))


def test_copies_are_exact_without_a_rate_and_differ_with_one():
    births = Births(jnp.array([1, 3, 4], jnp.int32), jnp.array([[0], [2], [-1]], jnp.int32))
    mind = shares(0.2, 0.5, 0.8, 0.5)
    exact = Copy().pass_on(KEY, ConstantDonor(), mind, births)
    np.testing.assert_allclose(exact.params, [0.2, 0.2, 0.8, 0.8])
    moved = Copy(sd=0.1).pass_on(KEY, ConstantDonor(), mind, births)
    np.testing.assert_allclose(moved.params[jnp.array([0, 2])], [0.2, 0.8])
    assert moved.params[1] != 0.2 and moved.params[3] != 0.8


def test_a_newcomer_in_its_parents_own_slot_mutates_too():
    births = Births(jnp.array([1], jnp.int32), jnp.array([[1]], jnp.int32))
    moved = Mutate(sd=0.1).pass_on(KEY, ConstantDonor(), shares(0.5, 0.5), births)
    assert moved.params[0] == 0.5 and moved.params[1] != 0.5
    stays = dense_births(jnp.array([0, 1], jnp.int32))
    kept = Mutate(sd=0.1).pass_on(KEY, ConstantDonor(), shares(0.5, 0.5), stays)
    np.testing.assert_array_equal(kept.params, [0.5, 0.5])


def test_without_transmission_newcomers_start_as_minds_are_made():
    births = Births(jnp.array([1, 9], jnp.int32), jnp.array([[0], [-1]], jnp.int32))
    mind = Nothing().pass_on(
        KEY, ConstantDonor(fraction=0.3), shares(0.9, 0.9, 0.9, 0.9), births, seats_of(4)
    )
    np.testing.assert_allclose(mind.params, [0.9, 0.3, 0.9, 0.9])
    assert Nothing().texts({0: "share"}, (0,)) == ()
    with pytest.raises(ValueError, match="seats"):
        Nothing().pass_on(KEY, ConstantDonor(), shares(0.9), births)


def test_newcomers_read_all_survivors_or_the_chosen_ones():
    legacies = {0: "give half", 2: "", 4: "give nothing", 5: "mirror"}
    assert Advice().texts(legacies, (4,)) == ("give half", "give nothing", "mirror")
    assert Advice(route="vertical").texts(legacies, (4,)) == ("give nothing",)
    assert Advice(route="oblique").texts(legacies, (4,)) == ("give half", "mirror")
    assert Advice(limit=1).texts(legacies, (4,)) == ("give half",)
    assert Copy().texts(legacies, (4, 7)) == ("give nothing",)


class Scaled(ArrayPolicy):
    """Minds are (value, scale of their own changes)."""

    def init(self, key, seats):
        return Mind(jnp.zeros((seats.num, 2)))

    def act(self, key, mind, percept):
        return Decision(mind.params[:, 0])

    def mutation_scale(self, mind):
        return mind.params[:, 1]

    def mutate(self, key, mind, births, rate, sd):
        moved = mind.params[births.child, 0] + sd
        return Mind(mind.params.at[births.child, 0].set(moved, mode="drop"))


def test_adapted_changes_have_the_size_that_minds_carry():
    births = Births(jnp.array([0, 2, 3], jnp.int32), jnp.array([[1], [1], [-1]], jnp.int32))
    mind = Mind(jnp.array([[1.0, 5.0], [2.0, 6.0], [3.0, 7.0]]))
    moved = Mutate(sd=0.5, adapt_sd=True).pass_on(KEY, Scaled(), mind, births)
    np.testing.assert_allclose(moved.params[:, 0], [1 + 2.5, 2, 3 + 3.5])
    Mutate(adapt_sd=True).check([Scaled()])
    with pytest.raises(ValueError, match="mutation_scale"):
        Mutate(adapt_sd=True).check([ConstantDonor()])
