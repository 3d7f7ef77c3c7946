"""Matching newcomers to slots: nobody is overwritten, nobody is lost, everything is counted."""

import functools
import types

import jax
import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from society.breeding import choose
from society.selection import (
    BestNeighbour,
    assign_slots,
    births_among,
    dense_births,
    keep_within_groups,
    localise,
)
from worlds.types import Births

SIZE = 9


@st.composite
def events(draw):
    """Pairs among nine slots of up to three groups; dead rows are no children or parents."""
    bounds = sorted(draw(st.lists(st.integers(0, SIZE), min_size=2, max_size=2)))
    group = np.digitize(np.arange(SIZE), bounds).astype(np.int32)
    alive = np.array(draw(st.lists(st.booleans(), min_size=SIZE, max_size=SIZE)))
    living = np.flatnonzero(alive).tolist()
    children = draw(st.lists(st.sampled_from(living), unique=True)) if living else []
    parents = [draw(st.sampled_from(living)) for _ in children]
    padding = SIZE - len(children)
    child = np.array(children + [SIZE] * padding, np.int32)
    parent = np.array(parents + [-1] * padding, np.int32)[:, None]
    return group, alive, child, parent


@functools.partial(jax.jit, static_argnames="dense")
def placed(child, parent, alive, group, dense=False):
    births, alive, refused = assign_slots(Births(child, parent, dense), alive, group, 3)
    return births.child, births.parent[:, 0], alive, refused


@given(events())
def test_newcomers_take_free_slots_of_their_parents_groups_and_are_conserved(event):
    group, alive, child, parent = event
    to, who, after, refused = map(np.asarray, placed(child, parent, alive, group))
    born, asked = to < SIZE, child < SIZE
    dead = np.zeros(SIZE, bool)
    dead[child[asked]] = True
    # Nobody is overwritten: slots were free or freed, and each is taken once.
    assert len(set(to[born])) == born.sum()
    assert (~alive[to[born]] | dead[to[born]]).all()
    # Everybody is at home with the parent, and the parent is the one asked for.
    assert (group[to[born]] == group[who[born]]).all()
    assert (who[born] == parent[born, 0]).all()
    # Counts are conserved: asked = born + refused, and the living are old ones plus born.
    assert born.sum() + refused.sum() == asked.sum()
    assert after.sum() == alive.sum() - dead.sum() + born.sum()
    assert after[to[born]].all() and after[alive & ~dead].all()
    # A group refuses only where it is full.
    for number in range(3):
        if refused[number]:
            assert after[group == number].all()


@given(events())
def test_placement_is_the_same_every_time(event):
    group, alive, child, parent = event
    first, second = placed(child, parent, alive, group), placed(child, parent, alive, group)
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


def test_newcomers_go_to_their_parents_group_and_the_last_one_is_refused():
    group = jnp.array([0, 0, 0, 1, 1], jnp.int32)
    alive = jnp.array([True, True, True, True, False])
    births = Births(jnp.array([1, 2], jnp.int32), jnp.array([[3], [3]], jnp.int32))
    placement = assign_slots(births, alive, group, 2)
    assert placement.births.child.tolist() == [4, 5]
    assert placement.births.parent[:, 0].tolist() == [3, -1]
    assert placement.alive.tolist() == [True, False, False, True, True]
    assert placement.refused.tolist() == [0, 1]


def test_a_dense_row_that_is_its_own_parent_keeps_its_life():
    group, alive = jnp.zeros(3, jnp.int32), jnp.ones(3, bool)
    births = dense_births(jnp.array([0, 0, 2], jnp.int32))
    placement = assign_slots(births, alive, group, 1)
    assert placement.births.child.tolist() == [3, 1, 3]
    assert births_among(births, 3).tolist() == [False, True, False]


def test_imitation_across_groups_is_dropped_and_counted():
    group = jnp.array([0, 0, 1, 1], jnp.int32)
    dense, dropped = keep_within_groups(dense_births(jnp.array([1, 2, 2, 0], jnp.int32)), group)
    assert dense.parent[:, 0].tolist() == [1, 1, 2, 3] and int(dropped) == 2
    compact = Births(jnp.array([1, 4], jnp.int32), jnp.array([[2], [-1]], jnp.int32))
    kept, dropped = keep_within_groups(compact, group)
    assert kept.child.tolist() == [4, 4] and int(dropped) == 1


def test_a_groups_share_of_births_is_counted_from_its_first_row():
    births = Births(jnp.array([1, 3, 4, 5], jnp.int32), jnp.array([[0], [2], [3], [-1]], jnp.int32))
    own = localise(births, 2, 5)
    assert own.child.tolist() == [3, 1, 2, 3]
    assert own.parent[:, 0].tolist() == [-1, 0, 1, -1]
    dense = localise(dense_births(jnp.array([0, 0, 3, 0, 4], jnp.int32)), 2, 5)
    assert dense.dense and dense.parent[:, 0].tolist() == [1, 1, 2]


def test_groups_that_imitate_among_themselves_leave_the_others_minds_alone():
    groups = tuple(
        types.SimpleNamespace(start=start, size=2, rows=slice(start, start + 2)) for start in (0, 2)
    )
    population = types.SimpleNamespace(
        groups=groups, num_slots=4, group_index=lambda: np.array([0, 0, 1, 1])
    )
    carry = types.SimpleNamespace(
        keys={"selection": jax.random.PRNGKey(0)},
        generation=jnp.int32(1),
        alive=jnp.ones(4, bool),
        graph=None,
    )
    fitness = jnp.array([1.0, 2.0, 5.0, 3.0])
    births = choose(BestNeighbour(among="group"), population, carry, fitness, jnp.zeros(4, int))
    assert births.dense and births.parent[:, 0].tolist() == [1, 1, 2, 2]
    assert births_among(births, 4).tolist() == [True, False, False, True]
