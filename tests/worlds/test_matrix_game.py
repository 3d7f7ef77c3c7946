"""Matrix games against plain-Python payoffs: who meets whom, noise, endings, order, presence."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worlds.games.presets import PRESETS
from worlds.registry import make
from worlds.tree import as_arrays
from worlds.types import Graph

PD = PRESETS["prisoners_dilemma"].table


def _play(world, key, actions):
    def step(state, now):
        number, action = now
        state, transition = world.step(jax.random.fold_in(key, number), state, action)
        return state, (world.observe(state), transition)

    start = world.init(jax.random.fold_in(key, 10**6))
    state, (seen, moves) = jax.lax.scan(step, start, (jnp.arange(len(actions)), actions))
    return world.outcome(state), world.observe(start), seen, moves


# Compiling, not running, is what takes time here.
jit_quickly = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
_play_any = jit_quickly(_play)  # parameters are arguments: many worlds of one shape


def run(world, actions, seed=0, again=False):
    """Play rows of actions; returns the outcome, and observations and transitions of each step.

    ``again``: more worlds of this shape will follow, so compile for all of them.
    """
    actions = np.asarray(actions, np.int8)
    key = jax.random.PRNGKey(seed)
    # Known parameters compile twice as fast.
    call = (
        functools.partial(_play_any, world) if again else jit_quickly(lambda *a: _play(world, *a))
    )
    outcome, before, seen, moves = jax.tree.map(np.asarray, call(key, actions))

    def at(rows, index):
        return jax.tree.map(lambda row: row[index], rows)

    steps = range(len(actions))
    return outcome, [before, *(at(seen, i) for i in steps)], [at(moves, i) for i in steps]


def graph_of(edges, num, table=True):
    """An undirected graph from pairs, with its padded table."""
    rows = [sorted({b for a, b in edges if a == i} | {a for a, b in edges if b == i})
            for i in range(num)]  # fmt: skip
    width = max(len(row) for row in rows)
    padded = np.array([row + [num] * (width - len(row)) for row in rows], np.int32)
    degrees = [len(row) for row in rows]
    return Graph(
        senders=jnp.asarray(np.concatenate(rows), jnp.int32),
        receivers=jnp.asarray(np.repeat(np.arange(num), degrees), jnp.int32),
        offsets=jnp.asarray(np.concatenate([[0], np.cumsum(degrees)]), jnp.int32),
        table=jnp.asarray(padded) if table else None,
        num_slots=num,
        regular=len(set(degrees)) == 1,
    )


EDGES = [(0, 1), (0, 2), (0, 3), (1, 2), (3, 4)]


@settings(max_examples=15)
@given(st.data())
def test_a_round_robin_pays_what_the_table_says(data):
    num, copies = 4, 3
    world = make("matrix_game", num_slots=num, rounds=2, repetitions=copies)
    shape = (2, num, num - 1, copies)
    bits = data.draw(st.lists(st.integers(0, 1), min_size=72, max_size=72))
    actions = np.array(bits, np.int8).reshape(shape)
    outcome, seen, moves = run(world, actions, again=True)
    total = np.zeros((num, num))
    for action, transition in zip(actions, moves, strict=True):
        reward = np.zeros(num)
        for i, j in itertools.permutations(range(num), 2):
            mine, theirs = action[i, j - (j > i)], action[j, i - (i > j)]
            total[i, j] += PD[0, mine, theirs].sum()
            reward[i] += PD[0, mine, theirs].sum()
        assert transition.reward.tolist() == reward.tolist()
        assert float(transition.metrics["cooperation"]) == pytest.approx((action == 0).mean())
        assert float(transition.metrics["payoff"]) == pytest.approx(reward.sum() / action.size)
    assert outcome["total_scores"].tolist() == total.tolist()
    assert outcome["score"].tolist() == total.sum(1).tolist()
    view = seen[-1].view
    for i, j in itertools.permutations(range(num), 2):
        assert view.partner[i, j - (j > i)] == j
        assert view.other_last[i, j - (j > i)].tolist() == actions[-1, j, i - (i > j)].tolist()


def test_self_play_adds_a_clone_whose_score_counts_for_nobody():
    world = make("matrix_game", num_slots=2, rounds=1, self_play=True)
    # Seats: against 0, against 1, and the clone's own.
    outcome, seen, _ = run(world, [[[1, 0, 0], [0, 1, 0]]])
    assert outcome["total_scores"].tolist() == [[5, 3], [3, 5]]
    assert outcome["cooperation_counts"].tolist() == [[0, 1], [1, 0]]
    assert outcome["score"].tolist() == [8, 8]
    assert seen[-1].view.other_last.tolist() == [[0, 0, 1], [0, 0, 1]]


@settings(max_examples=10)
@given(st.permutations(range(5)))
def test_renaming_the_agents_renames_their_scores(order):
    world = make("matrix_game", num_slots=5, rounds=1, actions="same")
    action = np.array([0, 1, 0, 1, 1], np.int8)
    scores = run(world, [action], again=True)[0]["score"]
    renamed = run(world, [action[list(order)]], again=True)[0]["score"]
    assert np.asarray(scores)[list(order)].tolist() == renamed.tolist()


@settings(max_examples=10)
@given(st.lists(st.integers(0, 2), min_size=12, max_size=12))
def test_zero_sum_games_conserve_payoff(actions):
    world = make("matrix_game", game="rock_paper_scissors", num_slots=4, rounds=1, noise=0.3)
    _, _, moves = run(world, [np.array(actions).reshape(4, 3)], again=True)
    assert float(moves[0].reward.sum()) == 0


@settings(max_examples=15)
@given(st.lists(st.integers(0, 1), min_size=5, max_size=5), st.booleans(), st.booleans())
def test_one_action_meets_all_neighbours(actions, mean, table):
    graph = graph_of(EDGES, 5, table=table)
    world = make(
        "matrix_game", num_slots=5, pairs="neighbours", graph=graph,
        neighbour_payoff="mean" if mean else "sum",
    )  # fmt: skip
    expected = np.zeros(5)
    for a, b in EDGES:
        expected[a] += PD[0, actions[a], actions[b]]
        expected[b] += PD[0, actions[b], actions[a]]
    if mean:
        expected /= np.diff(graph.offsets)
    outcome, seen, _ = run(world, [np.array(actions, np.int8)], again=True)
    assert np.allclose(outcome["score"], expected)
    counts = np.zeros((5, 2))
    for a, b in EDGES:
        counts[a, actions[b]] += 1
        counts[b, actions[a]] += 1
    assert seen[0].view.counts.tolist() == np.zeros((5, 2)).tolist()
    assert seen[1].view.counts.tolist() == counts.tolist()


@settings(max_examples=10)
@given(st.lists(st.integers(0, 1), min_size=15, max_size=15))
def test_each_neighbour_can_get_its_own_action(bits):
    graph = graph_of(EDGES, 5)
    world = make("matrix_game", num_slots=5, pairs="neighbours", actions="each", graph=graph)
    actions = np.array(bits, np.int8).reshape(5, 3)
    outcome, seen, _ = run(world, [actions], again=True)
    table = np.asarray(graph.table)
    expected, faced = np.zeros(5), np.full((5, 3), -1)
    for i, k in np.argwhere(table < 5):
        j = table[i, k]
        theirs = actions[j, list(table[j]).index(i)]
        expected[i] += PD[0, actions[i, k], theirs]
        faced[i, k] = theirs
    assert np.allclose(outcome["score"], expected)
    assert seen[-1].view.other_last.tolist() == faced.tolist()


def test_two_groups_face_each_other_as_row_and_column():
    world = make(
        "matrix_game", game="battle_of_the_sexes", num_slots=3, group_sizes=(1, 2), rounds=1,
        pairs="across_groups",
    )  # fmt: skip
    outcome, seen, _ = run(world, [[[0, 1], [0, 9], [1, 9]]])
    assert outcome["score"].tolist() == [17, 7, 10]
    assert seen[-1].view.role.tolist() == [0, 1, 1]
    assert seen[-1].view.partner.tolist() == [[1, 2], [0, 3], [0, 3]]
    assert seen[-1].view.other_last.tolist() == [[0, 1], [0, -1], [1, -1]]


def test_fixed_pairs_sit_in_order_and_the_odd_one_out_waits():
    world = make("matrix_game", num_slots=5, pairs="fixed", rounds=1)
    _, seen, moves = run(world, [[0, 1, 1, 1, 1]])
    assert seen[0].view.partner.tolist() == [1, 0, 3, 2, 5]
    assert seen[0].acting.tolist() == [True] * 4 + [False]
    assert moves[0].reward.tolist() == [0, 5, 1, 1, 0]
    assert float(moves[0].metrics["cooperation"]) == 0.25
    assert seen[1].view.own_last.tolist() == [0, 1, 1, 1, -1]


def test_random_matching_pairs_everybody_with_anybody():
    world = make("matrix_game", num_slots=6, pairs="random", rounds=400)
    key = jax.random.PRNGKey(0)
    action = jnp.zeros(6, jnp.int8)

    @jax.jit
    def play(world):
        def step(state, number):
            partner = world.observe(state).view.partner
            return world.step(jax.random.fold_in(key, number), state, action)[0], partner

        return jax.lax.scan(step, world.init(key), jnp.arange(400))[1]

    partners = np.asarray(play(world))
    slots = np.arange(6)
    assert all((row[row] == slots).all() and (row != slots).all() for row in partners)
    met = np.zeros((6, 6))
    for row in partners:
        met[slots, row] += 1
    expected = 400 / 5
    assert np.abs(met[~np.eye(6, dtype=bool)] - expected).max() < 4.5 * np.sqrt(expected * 0.8)


def test_random_pairs_can_stay_for_an_episode():
    world = make("matrix_game", num_slots=6, pairs="random", rematch="episode", rounds=3)
    _, seen, _ = run(world, np.zeros((3, 6), np.int8))
    assert seen[0].view.partner.tolist() == seen[-1].view.partner.tolist()


def test_three_players_are_paid_by_their_tensor():
    rng = np.random.default_rng(0)
    table = rng.integers(0, 9, (3, 2, 2, 2)).astype(float)
    world = make(
        "matrix_game", game="custom", payoffs=table.tolist(), num_slots=6, pairs="fixed", rounds=8
    )
    plays = np.array(list(itertools.product((0, 1), repeat=3)), np.int8)
    actions = np.concatenate([plays, plays[::-1]], axis=1)
    _, seen, moves = run(world, actions)
    for action, transition in zip(actions, moves, strict=True):
        expected = [table[:, *action[:3]], table[:, *action[3:]]]
        assert transition.reward.tolist() == np.concatenate(expected).tolist()
    assert seen[1].view.other_last[1].tolist() == [actions[0, 0], actions[0, 2]]


def test_players_may_have_different_numbers_of_actions():
    table = np.arange(12.0).reshape(2, 2, 3)
    world = make(
        "matrix_game", game="custom", payoffs=table.tolist(), num_slots=2, pairs="fixed", rounds=1
    )
    _, seen, moves = run(world, [[1, 2]])
    assert moves[0].reward.tolist() == [table[0, 1, 2], table[1, 1, 2]]
    assert seen[0].legal.tolist() == [[True, True, False], [True, True, True]]


def test_payoffs_may_be_given_cell_by_cell():
    cells = [[[3, 3], [0, 5]], [[5, 0], [1, 1]]]
    world = make("matrix_game", game="custom", bimatrix=cells, rounds=1)
    assert np.array_equal(world.table(), PD)
    assert np.array_equal(make("matrix_game", game="custom", payoffs=[[3, 0], [5, 1]]).table(), PD)


def test_a_sweep_over_payoffs_compiles_once():
    traces = []

    @jax.jit
    def span(world):
        traces.append(1)
        return world.table().max()

    values = [float(span(make("matrix_game", temptation=float(t)))) for t in (5, 6, 7.5)]
    assert values == [5, 6, 7.5]
    assert len(traces) == 1


def test_later_movers_see_what_earlier_ones_did():
    world = make("matrix_game", num_slots=2, pairs="fixed", order="alternating", rounds=2)
    assert world.horizon == 4
    outcome, seen, moves = run(world, [[1, 9], [9, 0], [0, 9], [9, 0]])
    assert [o.acting.tolist() for o in seen] == [
        [True, False], [False, True], [True, False], [False, True], [False, False],
    ]  # fmt: skip
    assert seen[1].view.other_last.tolist() == [-1, 1]
    assert [t.reward.tolist() for t in moves] == [[0, 0], [5, 0], [0, 0], [3, 3]]
    assert [bool(t.terminated.all()) for t in moves] == [False, False, False, True]
    assert outcome["score"].tolist() == [8, 3]


@pytest.mark.parametrize("game", ["prisoners_dilemma", "rock_paper_scissors"])
def test_noise_flips_as_often_as_asked_and_spreads_evenly(game):
    world = make("matrix_game", game=game, num_slots=40, noise=0.1, repetitions=51, rounds=1)
    _, seen, _ = run(world, [np.ones((40, 39, 51), np.int8)])
    done = np.asarray(seen[-1].view.own_last)
    error = 4.5 * np.sqrt(0.09 / done.size)
    assert abs((done != 1).mean() - 0.1) < error
    if game == "rock_paper_scissors":
        assert abs((done == 2).mean() - 0.05) < error
    flips = done != 1
    assert abs(np.corrcoef(flips[..., :25].ravel(), flips[..., 26:].ravel())[0, 1]) < 0.03


def test_spare_slots_change_nobodys_noise():
    small = make("matrix_game", num_slots=4, noise=0.5, actions="same", rounds=1)
    large = dataclasses.replace(small, num_slots=7, present=jnp.arange(7) < 4, num_players=4)
    _, seen_small, moves_small = run(small, [np.zeros(4, np.int8)], seed=3)
    _, seen_large, moves_large = run(large, [np.zeros(7, np.int8)], seed=3)
    assert seen_small[1].view.own_last.tolist() == seen_large[1].view.own_last[:4].tolist()
    assert moves_small[0].reward.tolist() == moves_large[0].reward[:4].tolist()
    assert moves_large[0].reward[4:].tolist() == [0, 0, 0]


@pytest.mark.parametrize("pairs", ["all", "random", "fixed"])
def test_absent_slots_neither_act_nor_earn(pairs):
    present = jnp.array([True, False, True, True, False])
    world = make("matrix_game", num_slots=5, num_players=3, present=present, pairs=pairs)
    shape = world.action_space(0).shape
    outcome, seen, moves = run(world, [np.ones((5, *shape), np.int8)])
    assert not (seen[0].acting & ~present).any()
    expected = 6 if pairs == "all" else 2  # punishment of one each
    assert float(moves[0].reward.sum()) == expected
    assert moves[0].reward[jnp.array([1, 4])].tolist() == [0, 0]
    assert seen[0].alive.tolist() == present.tolist()
    assert np.isfinite(outcome["score"]).all()


def test_discounting_weighs_later_rounds_less_but_not_rewards():
    world = make("matrix_game", pairs="fixed", discount=0.5, rounds=3)
    outcome, _, moves = run(world, np.zeros((3, 2), np.int8))
    assert outcome["score"].tolist() == [3 * 1.75] * 2
    assert [t.reward.tolist() for t in moves] == [[3, 3]] * 3


def test_episodes_end_by_chance_as_often_as_asked():
    world = make("matrix_game", pairs="fixed", end_probability=0.25, rounds=60)
    assert world.ends_early
    keys = jax.random.split(jax.random.PRNGKey(0), 2000)

    @jax.jit
    @jax.vmap
    def length(key):
        def step(state, number):
            state, transition = world.step(
                jax.random.fold_in(key, number), state, jnp.zeros(2, jnp.int8)
            )
            return state, transition.terminated[0]

        return jnp.argmax(jax.lax.scan(step, world.init(key), jnp.arange(60))[1]) + 1

    lengths = np.asarray(length(keys))
    assert lengths.mean() == pytest.approx(4, abs=4.5 * np.sqrt(12 / 2000))


def test_the_cap_truncates_where_an_episode_could_have_gone_on():
    world = make("matrix_game", pairs="fixed", end_probability=0.0, rounds=2)
    _, _, moves = run(world, np.zeros((2, 2), np.int8))
    assert moves[1].truncated.all()
    assert not moves[1].terminated.any()
    sure = make("matrix_game", pairs="fixed", end_probability=1.0, rounds=2)
    _, seen, moves = run(sure, np.zeros((1, 2), np.int8))
    assert moves[0].terminated.all()
    assert not seen[1].acting.any()


@pytest.mark.parametrize(
    "params",
    [
        {"num_slots": 4},
        {"num_slots": 4, "repetitions": 3},
        {"num_slots": 4, "self_play": True},
        {"num_slots": 5, "pairs": "random", "game": "rock_paper_scissors"},
        {"num_slots": 4, "pairs": "across_groups", "group_sizes": (2, 2)},
        {"num_slots": 5, "pairs": "neighbours", "graph": graph_of(EDGES, 5)},
        {"num_slots": 2, "pairs": "across_groups", "order": "alternating"},
        {"num_slots": 2, "game": "ordinal", "number": 7, "pairs": "fixed", "repetitions": 2},
    ],
)
def test_views_and_actions_lie_in_their_spaces(params):
    world = make("matrix_game", rounds=2, **params)
    space = world.action_space(0)
    space.seed(0)
    actions = [np.stack([space.sample() for _ in range(world.num_slots)]) for _ in range(2)]
    assert world.noop().shape == actions[0].shape
    _, seen, _ = run(world, actions)
    shown = world.observation_space(0)
    for observation in seen:
        for slot in range(world.num_slots):
            row = {
                name: np.asarray(part[slot])
                for name, part in observation.view._asdict().items()
                if not isinstance(part, tuple)
            }
            assert shown.contains(row)
    assert len(world.action_names) == world.num_actions


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"game": "prisoners_dilema"}, "choose one of"),
        ({"game": "matching_pennies", "temptation": 4.0}, "does not apply"),
        ({"payoffs": [[1, 2], [3, 4]]}, "set game: custom"),
        ({"game": "custom"}, "exactly one of"),
        ({"game": "custom", "payoffs": [[1.0, 2, 3], [3, 4, 5]]}, "shape"),
        ({"self_play": True, "pairs": "fixed"}, "pairs: all"),
        ({"order": "alternating"}, "pairs: fixed"),
        ({"pairs": "across_groups", "group_sizes": (1, 1, 1), "num_slots": 3}, "two groups"),
        ({"pairs": "neighbours", "game": "battle_of_the_sexes"}, "different payoffs"),
        ({"num_slots": 1}, "cannot fill"),
        ({"actions": "same", "repetitions": 3, "num_slots": 3}, "actions: each"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_does(params, message):
    with pytest.raises(ValueError, match=message):
        make("matrix_game", **params)


def test_worlds_survive_flattening_with_every_kind_of_parameter():
    world = make("matrix_game", game="custom", payoffs=[[1, 2], [3, 4]], discount=0.9)
    leaves, treedef = jax.tree.flatten(as_arrays(world))
    assert np.array_equal(jax.tree.unflatten(treedef, leaves).table(), world.table())
