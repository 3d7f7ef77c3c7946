"""Device operations along a graph: every layout must say the same as a dense matrix."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from worlds.graph_ops import (
    degree,
    gather_neighbours,
    mean_neighbours,
    neighbour_table,
    random_neighbour,
    sum_neighbours,
)
from worlds.types import Graph

NUM = 14
# Threefry has a hundred operations; run one by one they take longer than their compilation.
draw_once = jax.jit(random_neighbour)
add_up = jax.jit(sum_neighbours, static_argnames="weighted")
average = jax.jit(mean_neighbours)
count = jax.jit(degree)


def make_graph(matrix, *, table=True, weights=False, spare=0, regular=False):
    """A Graph from a dense [N, N] matrix, receiver by sender."""
    num = len(matrix)
    receivers, senders = np.nonzero(matrix)
    counts = (matrix != 0).sum(1)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    pad = [num] * spare
    shown = None
    if table:
        shown = np.full((num, max(counts.max() + (spare > 0), 1)), num, np.int32)
        for slot in range(num):
            row = senders[offsets[slot] : offsets[slot + 1]]
            shown[slot, : len(row)] = row
    return jax.tree.map(
        jnp.asarray,
        Graph(
            senders=np.array([*senders, *pad], np.int32),
            receivers=np.array([*receivers, *pad], np.int32),
            offsets=offsets,
            weights=np.array([*matrix[matrix != 0], *([0.0] * spare)], np.float32)
            if weights
            else None,
            table=shown,
            num_slots=num,
            regular=regular,
        ),
    )


def ties(seed=0, p=0.25):
    rng = np.random.default_rng(seed)
    matrix = (rng.random((NUM, NUM)) < p) & ~np.eye(NUM, dtype=bool)
    matrix[3] = False  # nobody is heard by 3
    return matrix * rng.uniform(0.5, 2.0, (NUM, NUM)).round(2)


RING = np.roll(np.eye(NUM), 1, 1) + np.roll(np.eye(NUM), -1, 1)
ALL = 1.0 - np.eye(NUM)


def in_pieces(matrix, width=4, spare=3):
    """The graph with its rows in pieces of ``width``, as large graphs with hubs have them."""
    graph = make_graph(matrix, table=False)
    pieces, owners = [], []
    for slot in range(NUM):
        row = np.flatnonzero(matrix[slot])
        for start in range(0, len(row), width):
            piece = row[start : start + width]
            pieces.append([*piece, *[NUM] * (width - len(piece))])
            owners.append(slot)
    blocks = np.array(pieces + [[NUM] * width] * spare, np.int32)
    return dataclasses.replace(
        graph,
        blocks=jnp.asarray(blocks),
        owners=jnp.asarray(np.array([*owners, *[NUM] * spare], np.int32)),
    )


CASES = {
    "pieces": (in_pieces(ties(p=0.6)), ties(p=0.6) != 0),
    "wide table": (make_graph(ties(p=0.9)), ties(p=0.9) != 0),
    "table": (make_graph(ties()), ties() != 0),
    "padded table": (make_graph(ties(), spare=5), ties() != 0),
    "rows": (make_graph(ties(), table=False, spare=3), ties() != 0),
    "weighted table": (make_graph(ties(), weights=True, spare=2), ties()),
    "weighted rows": (make_graph(ties(), table=False, weights=True), ties()),
    "regular": (make_graph(RING, regular=True), RING),
    "complete": (Graph(num_slots=NUM, complete=True), ALL),
}


@pytest.fixture(params=CASES, scope="module")
def case(request):
    return CASES[request.param]


def test_sums_equal_the_dense_product_for_every_layout_and_dtype(case):
    graph, matrix = case
    rng = np.random.default_rng(1)
    for x in (
        rng.integers(0, 2, NUM).astype(bool),
        rng.integers(-128, 128, NUM).astype(np.int8),
        rng.normal(size=(NUM, 3)).astype(np.float32),
    ):
        total = add_up(graph, jnp.asarray(x))
        exact = graph.weights is None and x.dtype.kind in "bi"
        assert total.dtype == (jnp.int32 if exact else jnp.float32)
        np.testing.assert_allclose(total, matrix @ x.astype(float), rtol=1e-5, atol=1e-5)
        if graph.weights is None:
            continue
        plain = add_up(graph, jnp.asarray(x), weighted=False)
        np.testing.assert_allclose(plain, (matrix != 0) @ x.astype(float), rtol=1e-5, atol=1e-5)


def test_means_and_degrees_equal_the_dense_ones_with_and_without_the_dead(case):
    graph, matrix = case
    x = np.random.default_rng(2).normal(size=(NUM, 2)).astype(np.float32)
    for alive in (None, np.arange(NUM) % 3 != 0):
        counted = matrix * (1.0 if alive is None else alive)
        weight = counted.sum(1, keepdims=True)
        expected = np.divide(counted @ x, weight, out=np.zeros((NUM, 2)), where=weight > 0)
        given = None if alive is None else jnp.asarray(alive)
        np.testing.assert_allclose(average(graph, x, given), expected, atol=1e-5)
        np.testing.assert_array_equal(count(graph, given), (counted != 0).sum(1))


def test_gathering_lists_each_in_neighbour_once(case):
    graph, matrix = case
    if graph.table is None and not graph.complete:
        with pytest.raises(ValueError, match="width"):
            neighbour_table(graph)
        return
    x = jnp.arange(NUM, dtype=jnp.int32) + 100
    gathered = np.asarray(gather_neighbours(graph, x, fill=-7))
    for slot in range(NUM):
        row = gathered[slot][gathered[slot] != -7]
        np.testing.assert_array_equal(np.sort(row) - 100, np.flatnonzero(matrix[slot]))


def test_random_neighbours_are_uniform_among_the_living_and_the_own_slot_if_none(case):
    graph, matrix = case
    key = jax.random.PRNGKey(3)
    lane = jnp.arange(NUM)
    steps = jnp.arange(4000)
    for alive in (None, jnp.arange(NUM) % 3 != 0):
        draw = jax.jit(
            jax.vmap(lambda step, who=alive: random_neighbour(graph, key, lane, step, who))
        )
        drawn = np.asarray(draw(steps))
        allowed = (matrix != 0) & (True if alive is None else np.asarray(alive))
        for slot in range(NUM):
            counts = np.bincount(drawn[:, slot], minlength=NUM)
            options = np.flatnonzero(allowed[slot])
            if not len(options):
                assert counts[slot] == len(steps)
                continue
            assert counts[options].sum() == len(steps)
            expected = len(steps) / len(options)
            deviation = ((counts[options] - expected) ** 2 / expected).sum()
            assert deviation < len(options) + 6 * np.sqrt(2 * len(options)) + 6


def test_draws_do_not_change_when_slots_are_added():
    small, large = (Graph(num_slots=n, complete=True) for n in (6, 11))
    key = jax.random.PRNGKey(0)
    alive = jnp.arange(6) < 5
    for step in range(20):
        first = draw_once(small, key, jnp.arange(6), step, alive)
        more = draw_once(large, key, jnp.arange(11), step, jnp.arange(11) < 5)
        np.testing.assert_array_equal(first[:5], more[:5])


def test_a_single_agent_and_a_graph_without_ties_work():
    alone = Graph(num_slots=1, complete=True)
    assert sum_neighbours(alone, jnp.ones(1)).tolist() == [0.0]
    assert draw_once(alone, jax.random.PRNGKey(0), jnp.arange(1)).tolist() == [0]
    empty = make_graph(np.zeros((4, 4)), table=False, spare=1)
    assert sum_neighbours(empty, jnp.ones(4)).tolist() == [0.0] * 4
    assert mean_neighbours(empty, jnp.ones(4)).tolist() == [0.0] * 4
    drawn = draw_once(empty, jax.random.PRNGKey(0), jnp.arange(4))
    assert drawn.tolist() == [0, 1, 2, 3]
    living = draw_once(empty, jax.random.PRNGKey(0), jnp.arange(4), 0, jnp.ones(4, bool))
    assert living.tolist() == [0, 1, 2, 3]
