"""Packing ties into arrays: layouts, capacity, seats."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.graphs import Ties, build_graph, edit, pack, unpack
from society.graphs.growth import BarabasiAlbert
from society.graphs.lattices import Complete, Cycle, Empty, Path, Star
from society.graphs.random_graphs import ErdosRenyi, RandomRegular
from society.graphs.similarity import Similarity


@st.composite
def tie_lists(draw, most=12):
    num = draw(st.integers(1, most))
    directed = draw(st.booleans())
    every = [(i, j) for i in range(num) for j in range(num) if i != j and (directed or i < j)]
    pairs = draw(st.lists(st.sampled_from(every), unique=True)) if every else []
    flip = draw(st.booleans()) and not directed
    weights = None
    if draw(st.booleans()):
        weights = np.arange(1, len(pairs) + 1, dtype=np.float32)
    shaped = np.array(pairs, np.int32).reshape(-1, 2)
    return num, Ties(shaped[:, ::-1] if flip else shaped, weights, directed)


def dense(graph):
    """[N, N] weights, receiver by sender, read from the rows of ties."""
    matrix = np.zeros((graph.num_slots, graph.num_slots))
    for row in range(int(graph.offsets[-1])):
        weight = 1.0 if graph.weights is None else graph.weights[row]
        matrix[graph.receivers[row], graph.senders[row]] += weight
    return matrix


@given(made=tie_lists(), spare=st.integers(0, 5))
def test_packing_and_unpacking_lose_nothing(made, spare):
    num, ties = made
    rows = len(ties.pairs) * (1 if ties.directed else 2)
    graph = pack(ties, num, capacity=rows + spare)
    expected = np.zeros((num, num))
    weights = np.ones(len(ties.pairs)) if ties.weights is None else ties.weights
    for (sender, receiver), weight in zip(ties.pairs, weights, strict=True):
        expected[receiver, sender] = weight
        if not ties.directed:
            expected[sender, receiver] = weight
    np.testing.assert_array_equal(dense(graph), expected)
    back = unpack(graph)
    assert back.directed == ties.directed
    np.testing.assert_array_equal(dense(pack(back, num)), expected)
    assert (graph.senders[rows:] == num).all() and (graph.receivers[rows:] == num).all()
    assert len(graph.senders) == max(rows + spare, 1)
    for slot in range(num):
        row = graph.senders[graph.offsets[slot] : graph.offsets[slot + 1]]
        assert (np.diff(row) > 0).all()
        if graph.table is not None:
            shown = graph.table[slot][graph.table[slot] < num]
            np.testing.assert_array_equal(shown, row)


def test_a_complete_graph_stays_implicit_until_it_must_change():
    graph = build_graph(Complete(), 1_000_000)
    assert graph.complete and graph.senders is None
    written = build_graph(Complete(), 5, dynamic=True)
    assert not written.complete and len(unpack(written).pairs) == 10


def test_a_table_is_kept_where_degrees_are_alike():
    regular = build_graph(RandomRegular(degree=4), 20)
    assert regular.regular and regular.table.shape == (20, 4)
    path = build_graph(Path(), 20)
    assert path.table.shape == (20, 2) and not path.regular
    assert build_graph(Star(), 100).table is None
    assert build_graph(BarabasiAlbert(m=3), 2000).table is None
    assert build_graph(Star(), 100, width=99).table.shape == (100, 99)


def test_too_small_a_capacity_or_width_is_refused():
    with pytest.raises(ValueError, match="capacity: 40"):
        build_graph(Cycle(), 20, capacity=39)
    with pytest.raises(ValueError, match="width: 19"):
        build_graph(Star(), 20, width=5)


def test_only_slots_that_somebody_holds_get_ties():
    present = np.array([True, False, True, True, False, True])
    for assign in ("shuffled", "in_order"):
        graph = build_graph(Cycle(), 6, present=present, assign=assign, seed=3)
        assert (np.diff(graph.offsets) == np.where(present, 2, 0)).all()


def test_seats_are_shuffled_unless_the_order_is_asked_for():
    ordered = build_graph(Path(directed=True), 50, assign="in_order")
    np.testing.assert_array_equal(unpack(ordered).pairs[:, 0] + 1, unpack(ordered).pairs[:, 1])
    shuffled = unpack(build_graph(Path(directed=True), 50, seed=1)).pairs
    assert (shuffled[:, 0] + 1 != shuffled[:, 1]).sum() > 40


def test_attributes_follow_their_agents_when_seats_are_shuffled():
    values = np.array(["a", "b"] * 10)
    for assign in ("shuffled", "in_order"):
        graph = build_graph(
            Similarity(attribute="x"), 20, columns={"x": values}, assign=assign, seed=5
        )
        pairs = unpack(graph).pairs
        assert len(pairs) == 90 and (values[pairs[:, 0]] == values[pairs[:, 1]]).all()


def test_a_dynamic_graph_keeps_room_and_promises_nothing():
    graph = build_graph(RandomRegular(degree=4), 20, dynamic=True)
    assert not graph.regular
    assert graph.table.shape[1] > 4 and len(graph.senders) > 80
    assert len(build_graph(Empty(), 9, dynamic=True).senders) > 0
    assert len(build_graph(Empty(), 9).senders) == 1


def test_degrees_are_counted_for_a_million_agents_in_seconds():
    graph = build_graph(ErdosRenyi(mean_degree=2), 1_000_000)
    assert abs(graph.offsets[-1] / 1_000_000 - 2) < 0.02


@pytest.mark.parametrize("dynamic", [False, True])
def test_large_graphs_with_hubs_come_in_pieces_that_hold_every_tie_once(dynamic):
    num = 12_000
    rule = BarabasiAlbert(m=3)
    graph = build_graph(rule, num, dynamic=dynamic, seed=1)
    senders, owners = graph.blocks, np.repeat(graph.owners[:, None], graph.blocks.shape[1], 1)
    real = senders < num
    assert (owners[real] < num).all()
    codes = np.sort(owners[real].astype(np.int64) * num + senders[real])
    rows = int(graph.offsets[-1])
    expected = graph.receivers[:rows].astype(np.int64) * num + graph.senders[:rows]
    np.testing.assert_array_equal(codes, expected)
    assert (np.diff(graph.owners) >= 0).all()
    fewer = edit.cut_ties(graph, [0, 1], 1.0, np.random.default_rng(0))
    assert fewer.blocks.shape == graph.blocks.shape
    star = pack(
        Ties(np.stack([np.zeros(num - 1, int), np.arange(1, num)], 1)),
        num,
        capacity=len(graph.senders),
        width=0,
    )
    assert star.blocks.shape == graph.blocks.shape
