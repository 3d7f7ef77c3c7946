"""Selection rules against closed forms, hand-computed chances and their conformance kit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from society.contract import Pool
from society.selection import (
    BestNeighbour,
    Conformist,
    Fermi,
    MoranBirthDeath,
    MoranDeathBirth,
    NoSelection,
    Rank,
    Replicator,
    Roulette,
    Tournament,
    Truncation,
)
from society.testing import check_selection, sample_pools
from worlds.registry import entries, load, make
from worlds.types import Births, Graph

# (players, r) -> chance; players -> chance; beta -> chance: the closed forms of birth-death
# chains, e.g. (1 - 1/r) / (1 - r**-N).
MORAN = {(10, 1.5): 0.3392158552348126, (20, 1.1): 0.10678147706595072}
TFT_IN_ALLD = {10: 0.2432325156714463}
FERMI = {0.1: 0.10118748271286242, 1.0: 0.6539681616467743}


def pool_of(fitness, alive=None, types=None, graph=None):
    fitness = jnp.asarray(fitness, jnp.float32)
    size = fitness.shape[0]
    alive = jnp.ones(size, bool) if alive is None else jnp.asarray(alive)
    types = jnp.zeros(size, jnp.int32) if types is None else jnp.asarray(types, jnp.int32)
    return Pool(fitness, alive, jnp.zeros(size, jnp.int32), types, graph)


def select(selection, pool, key=0):
    """Return the births under one key, compiled as a whole."""
    child, parent = jax.jit(lambda k: selection.select(k, pool)[:2])(jax.random.PRNGKey(key))
    return Births(child, parent)


def parents_over_keys(selection, pool, num=20_000):
    """Return [num, B] children and parents under different keys."""
    keys = jax.random.split(jax.random.PRNGKey(1), num)
    child, parent = jax.jit(jax.vmap(lambda k: selection.select(k, pool)[:2]))(keys)
    return np.asarray(child), np.asarray(parent)[..., 0]


def within_error(found, expected, num, sigmas=4.0):
    return abs(found - expected) < sigmas * np.sqrt(expected * (1 - expected) / num) + 1e-9


def fixation(selection, payoff, num_players, runs, graph=None, most=20_000):
    """Share of runs in which one mutant (type 1) takes over, until all runs are decided.

    payoff: number of mutants -> (payoff of residents, payoff of mutants).
    """

    def generation(key, types):
        mutants = types.sum()
        resident, mutant = payoff(mutants)
        fitness = jnp.where(types == 1, mutant, resident)
        births = selection.select(key, pool_of(fitness, None, types, graph))
        return types.at[births.child].set(types[births.parent[:, 0]], mode="drop")

    def body(state):
        step, types = state
        keys = jax.vmap(functools.partial(jax.random.fold_in, data=step))(roots)
        return step + 1, jax.vmap(generation)(keys, types)

    def undecided(state):
        mutants = state[1].sum(1)
        return (state[0] < most) & ((mutants > 0) & (mutants < num_players)).any()

    roots = jax.random.split(jax.random.PRNGKey(5), runs)
    start = jnp.zeros((runs, num_players), jnp.int32).at[:, 0].set(1)
    _, types = jax.jit(lambda t: jax.lax.while_loop(undecided, body, (0, t)))(start)
    shares = np.asarray(types.mean(1))
    assert set(np.unique(shares)) <= {0.0, 1.0}
    return shares.mean()


def cycle(size):
    ring = np.stack([(np.arange(size) - 1) % size, (np.arange(size) + 1) % size], 1)
    return Graph(
        senders=jnp.asarray(ring.ravel(), jnp.int32),
        receivers=jnp.repeat(jnp.arange(size, dtype=jnp.int32), 2),
        offsets=jnp.arange(0, 2 * size + 1, 2, dtype=jnp.int32),
        table=jnp.asarray(ring, jnp.int32),
        num_slots=size,
        regular=True,
    )


def path_of_four(table):
    """0 - 1 - 2 - 3, each seeing those beside it."""
    return Graph(
        senders=jnp.array([1, 0, 2, 1, 3, 2], jnp.int32),
        receivers=jnp.array([0, 1, 1, 2, 2, 3], jnp.int32),
        offsets=jnp.array([0, 1, 3, 5, 6], jnp.int32),
        table=jnp.array([[1, 4], [0, 2], [1, 3], [2, 4]], jnp.int32) if table else None,
        num_slots=4,
    )


@pytest.mark.parametrize("name", list(entries("selection")))
def test_every_registered_selection_conforms(name):
    cls = load("selection", name)
    check_selection(cls())


@pytest.mark.parametrize(
    "selection",
    [
        Fermi(update="one"),
        MoranDeathBirth(events=5, mapping="exponential"),
        Tournament(size=3, elites=2),
        Truncation(parents="cyclic", among="population"),
    ],
    ids=lambda rule: type(rule).__name__,
)
def test_variants_conform(selection):
    check_selection(selection)


def test_none_yields_no_pairs():
    births = select(NoSelection(), pool_of([1, 2]))
    assert births.child.shape == (0,) and births.parent.shape == (0, 1)


def test_truncation_replaces_the_worst_half_by_offspring_of_the_best_half():
    births = select(Truncation(keep=0.5), pool_of([5, 1, 4, 2, 3, 0], [1, 1, 1, 1, 1, 0]))
    # Five living: 2.5 rounds to 3 survivors (rows 0, 2, 4).
    assert births.child.tolist() == [1, 3, 6, 6, 6, 6]
    assert set(births.parent[:2, 0].tolist()) <= {0, 2, 4}
    assert births.parent[2:, 0].tolist() == [-1] * 4


def test_cyclic_truncation_gives_every_survivor_the_same_number_of_offspring():
    births = select(Truncation(keep=0.5, parents="cyclic"), pool_of([0, 9, 1, 8, 2, 7]))
    assert births.child.tolist()[:3] == [0, 2, 4]
    assert births.parent[:3, 0].tolist() == [1, 3, 5]


def test_truncation_breaks_ties_at_random():
    child, _ = parents_over_keys(Truncation(keep=0.5), pool_of([1, 1, 1, 1]), 4000)
    losers = np.array([(child == row).any(1).mean() for row in range(4)])
    assert np.all(np.abs(losers - 0.5) < 0.04)


def test_tournament_of_two_prefers_the_fitter_with_its_known_chance():
    # P(best of 3 wins a tournament of 2) = 1 - (2/3)**2 = 5/9; worst 1/9.
    _, parent = parents_over_keys(Tournament(size=2), pool_of([1, 2, 3]))
    found = np.bincount(parent.ravel(), minlength=3) / parent.size
    np.testing.assert_allclose(found, [1 / 9, 3 / 9, 5 / 9], atol=0.01)


@pytest.mark.parametrize(
    ("fitness", "shares"),
    [([1, 2, 5], [1 / 8, 2 / 8, 5 / 8]), ([-1, 0, 2], [0, 1 / 4, 3 / 4]), ([0, 0, 0], [1 / 3] * 3)],
)
def test_roulette_draws_in_proportion_to_shifted_fitness(fitness, shares):
    _, parent = parents_over_keys(Roulette(), pool_of(fitness))
    np.testing.assert_allclose(
        np.bincount(parent.ravel(), minlength=3) / parent.size, shares, atol=0.01
    )


def test_rank_gives_the_chances_of_baker():
    # n = 4, s = 1.5: 0.5 / 4 + 2 i 0.5 / 12 for i = 0 .. 3.
    _, parent = parents_over_keys(Rank(pressure=1.5), pool_of([10, 1000, -5, 7]))
    expected = np.array([0.125 + 2 / 12, 0.125 + 3 / 12, 0.125, 0.125 + 1 / 12])
    found = np.bincount(parent.ravel(), minlength=4) / parent.size
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_elites_are_never_replaced():
    child, _ = parents_over_keys(Roulette(elites=2), pool_of([3, 9, 1, 8]), 200)
    assert not np.isin(child, [1, 3]).any()


@pytest.mark.parametrize(("players", "r"), list(MORAN))
def test_moran_birth_death_fixes_a_mutant_with_its_known_chance(players, r):
    found = fixation(MoranBirthDeath(), lambda m: (1.0, r), players, runs := 4000)
    assert within_error(found, MORAN[players, r], runs)


def test_moran_events_in_one_generation_follow_one_another():
    found = fixation(MoranBirthDeath(events=7), lambda m: (1.0, 1.5), 10, runs := 4000)
    assert within_error(found, MORAN[10, 1.5], runs)


def test_birth_death_on_a_cycle_fixes_as_in_a_mixed_population():
    # Isothermal theorem, Lieberman, Hauert & Nowak (2005).
    found = fixation(MoranBirthDeath(), lambda m: (1.0, 1.5), 10, runs := 4000, cycle(10))
    assert within_error(found, MORAN[10, 1.5], runs)


@pytest.mark.parametrize("players", list(TFT_IN_ALLD))
def test_tit_for_tat_invades_defectors_with_its_known_chance(players):
    def payoff(m):
        others = players - 1
        defector = (m * 1.02 + (others - m) * 1.0) / others
        reciprocator = ((m - 1) * 3.0 + (players - m) * 0.995) / others
        return defector, reciprocator

    found = fixation(MoranBirthDeath(), payoff, players, runs := 4000)
    assert within_error(found, TFT_IN_ALLD[players], runs)


def test_death_birth_lets_neighbours_compete_by_fitness():
    # The victim of the path 0 - 1 - 2 - 3 is 1 in a quarter of cases; then 2 wins with 3/4.
    for table in (True, False):
        pool = pool_of([1, 100, 3, 5], graph=path_of_four(table))
        child, parent = parents_over_keys(MoranDeathBirth(), pool, 8000)
        assert abs((child == 1).mean() - 0.25) < 0.02
        assert abs((parent[child == 1] == 2).mean() - 0.75) < 0.04
        assert set(parent[child == 0].tolist()) == {1}


def test_exponential_mapping_weighs_by_exp_of_payoff():
    pool = pool_of([0.0, np.log(3.0), 0.0])
    rule = MoranBirthDeath(mapping="exponential")
    _, parent = parents_over_keys(rule, pool)
    assert abs((parent == 1).mean() - 0.6) < 0.015


@pytest.mark.parametrize("beta", list(FERMI))
def test_fermi_fixes_a_defector_among_cooperators_with_its_known_chance(beta):
    def payoff(m):  # donation game b = 3, c = 1, means over the 49 others; m defectors
        return (3.0 * (49 - m)) / 49 - 1.0, 3.0 * (50 - m) / 49

    found = fixation(Fermi(beta=beta, update="one"), payoff, 50, runs := 1000, most=200_000)
    assert within_error(found, FERMI[beta], runs)


def test_fermi_follows_its_formula_on_every_layout_of_ties():
    # Rows 0 and 3 have one neighbour: P(0 copies 1) = 1 / (1 + exp(-0.5 (4 - 1))).
    expected = 1 / (1 + np.exp(-1.5))
    for graph in (path_of_four(True), path_of_four(False)):
        _, parent = parents_over_keys(Fermi(beta=0.5), pool_of([1, 4, 0, 0], graph=graph), 8000)
        assert within_error((parent[:, 0] == 1).mean(), expected, 8000)
        assert within_error((parent[:, 3] == 2).mean(), 0.5, 8000)


def test_replicator_copies_in_proportion_to_the_gain():
    # Santos & Pacheco: (4 - 1) / (max(1, 2) * 2.5) = 0.6 for row 0; nobody copies the worse.
    for graph in (path_of_four(True), path_of_four(False)):
        _, parent = parents_over_keys(
            Replicator(scale=2.5), pool_of([1, 4, 0, 0], graph=graph), 8000
        )
        assert within_error((parent[:, 0] == 1).mean(), 0.6, 8000)
        assert (parent[:, 1] == 1).all() and (parent[:, 3] == 3).all()


def test_replicator_without_scale_never_exceeds_a_chance_of_one():
    # k = (1, 2, 2, 1); payoffs per tie 1, 2, 0, 0: D = 2, so row 0 copies with 3 / (2 * 2).
    _, parent = parents_over_keys(
        Replicator(), pool_of([1, 4, 0, 0], graph=path_of_four(True)), 8000
    )
    assert within_error((parent[:, 0] == 1).mean(), 0.75, 8000)


def replicator_shares(matrix, shares, dt, size=200_000):
    """Shares at t = 1 of a large mixed population that imitates in proportion to gains."""
    matrix = jnp.asarray(matrix, jnp.float32)
    counts = np.round(np.asarray(shares) * size).astype(int)
    types = jnp.asarray(np.repeat(np.arange(len(shares)), counts), jnp.int32)
    rule = Replicator(scale=1 / dt, payoffs="averaged")

    def step(index, types):
        mix = jnp.stack([(types == kind).mean() for kind in range(len(shares))])
        pool = pool_of((matrix @ mix)[types], types=types)
        births = rule.select(jax.random.fold_in(jax.random.PRNGKey(2), index), pool)
        return types[births.parent[:, 0]]

    final = jax.jit(lambda t: jax.lax.fori_loop(0, round(1 / dt), step, t))(types)
    return np.bincount(np.asarray(final), minlength=len(shares)) / len(final)


@pytest.mark.parametrize(
    ("matrix", "start", "expected"),
    [
        ([[-1, 2], [0, 1]], [0.1, 0.9], [0.1855926350120905, 0.814407364987909]),
        ([[3, 0], [5, 1]], [0.9, 0.1], [0.6048692170937433, 0.3951307829062561]),
    ],
    ids=["hawk-dove", "prisoners-dilemma"],
)
def test_many_replicators_follow_the_replicator_equation(matrix, start, expected):
    # Euler's error at dt = 0.02 is below 0.005, noise of 200,000 agents below 0.002.
    np.testing.assert_allclose(replicator_shares(matrix, start, 0.02), expected, atol=0.006)


def test_best_neighbour_is_copied_only_when_strictly_better():
    for graph in (path_of_four(True), path_of_four(False)):
        births = select(BestNeighbour(), pool_of([2, 2, 1, 3], graph=graph))
        assert births.parent[:, 0].tolist() == [0, 1, 3, 3]
    everyone = select(BestNeighbour(), pool_of([2, 2, 1, 3]))
    assert everyone.parent[:, 0].tolist() == [3, 3, 3, 3]


def test_equally_good_neighbours_are_copied_equally_often():
    for graph in (path_of_four(True), path_of_four(False)):
        _, parent = parents_over_keys(BestNeighbour(), pool_of([5, 1, 5, 0], graph=graph), 4000)
        assert within_error((parent[:, 1] == 0).mean(), 0.5, 4000)


def star(table):
    """Slot 0 sees 1, 2, 3 and 4; these see only 0."""
    return Graph(
        senders=jnp.array([1, 2, 3, 4, 0, 0, 0, 0], jnp.int32),
        receivers=jnp.array([0, 0, 0, 0, 1, 2, 3, 4], jnp.int32),
        offsets=jnp.array([0, 4, 5, 6, 7, 8], jnp.int32),
        table=jnp.array([[1, 2, 3, 4], *[[0, 5, 5, 5]] * 4], jnp.int32) if table else None,
        num_slots=5,
    )


@pytest.mark.parametrize("table", [True, False])
@pytest.mark.parametrize("strength", [0.0, 1.0, 2.0])
def test_conformists_copy_a_strategy_with_the_power_of_its_share(table, strength):
    pool = pool_of([0] * 5, types=[7, 1, 1, 1, 2], graph=star(table))
    _, parent = parents_over_keys(Conformist(strength=strength), pool, 8000)
    expected = 0.75**strength / (0.75**strength + 0.25**strength)
    assert within_error(np.isin(parent[:, 0], [1, 2, 3]).mean(), expected, 8000)
    assert (parent[:, 1:] == 0).all()


def test_strong_conformists_follow_the_majority_of_all():
    pool = pool_of([0] * 5, types=[1, 1, 1, 0, 0])
    _, parent = parents_over_keys(Conformist(strength=50.0), pool, 200)
    assert np.isin(parent, [0, 1, 2]).all()


def test_a_rule_looks_at_its_group_where_it_is_told_to():
    pool = sample_pools()["ring"]
    _, parent = parents_over_keys(Fermi(beta=0.0, among="group"), pool, 500)
    assert len(np.unique(parent[:, 0])) > 3


def test_replicator_takes_its_scale_from_the_game():
    game = make("matrix_game", game="weak_prisoners_dilemma", temptation=1.5, rounds=4)
    assert float(Replicator().fitted(game).scale) == pytest.approx(6.0)
    assert Replicator().fitted(game).payoffs == "accumulated"
    assert float(Replicator(scale=2.0).fitted(game).scale) == 2.0
    shared = make("matrix_game", pairs="neighbours", neighbour_payoff="mean")
    assert Replicator().fitted(shared).payoffs == "averaged"
    assert Replicator().fitted(make("donor_game")).scale == 0.0
    assert Fermi().fitted(game).beta == 1.0
