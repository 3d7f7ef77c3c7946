"""Edits, rewiring and attachment: what they keep, what they change, what they refuse."""

import dataclasses

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.graphs import build_graph, edit, pack, unpack
from society.graphs.attachment import (
    AttachNone,
    AttachPreferential,
    AttachRandom,
    AttachToParents,
    attach_newborns,
)
from society.graphs.base import Ties
from society.graphs.growth import BarabasiAlbert, WattsStrogatz
from society.graphs.lattices import Complete, Cycle, Empty, Star
from society.graphs.random_graphs import ErdosRenyi, RandomRegular
from society.graphs.rewiring import CutDefectors, Homophily, RandomRewire, Situation

SEEDS = st.integers(0, 2**32 - 1)


def make_rng(seed=0):
    return np.random.default_rng(seed)


def shapes(graph):
    parts = (graph.senders, graph.receivers, graph.offsets, graph.weights, graph.table)
    return [None if part is None else (part.shape, part.dtype) for part in parts]


def assert_sound(graph):
    """No tie to oneself or twice, and rows, offsets and table tell the same."""
    ties = unpack(graph)
    codes = ties.pairs if ties.directed else np.sort(ties.pairs, axis=1)
    assert len(np.unique(codes, axis=0)) == len(ties.pairs)
    assert (ties.pairs[:, 0] != ties.pairs[:, 1]).all()
    again = pack(
        ties,
        graph.num_slots,
        capacity=len(graph.senders),
        width=0 if graph.table is None else graph.table.shape[1],
    )
    np.testing.assert_array_equal(graph.senders, again.senders)
    np.testing.assert_array_equal(graph.offsets, again.offsets)
    if graph.table is not None:
        np.testing.assert_array_equal(graph.table, again.table)


GRAPHS = st.sampled_from(
    [
        build_graph(rule, 24, dynamic=dynamic, seed=7)
        for rule in (
            RandomRegular(degree=4),
            WattsStrogatz(k=4, p=0.2),
            BarabasiAlbert(m=2),
            ErdosRenyi(p=0.1),
            ErdosRenyi(p=0.1, directed=True),
        )
        for dynamic in (False, True)
    ]
)


@given(graph=GRAPHS, seed=SEEDS)
def test_swapping_ends_keeps_every_degree_and_the_layout(graph, seed):
    after = RandomRewire().apply(graph, make_rng(seed), Situation())
    assert shapes(after) == shapes(graph) and after.regular == graph.regular
    assert_sound(after)
    for end in (0, 1):
        before_ends = np.sort(unpack(graph).pairs[:, end]) if graph.directed else None
        if graph.directed:
            np.testing.assert_array_equal(np.sort(unpack(after).pairs[:, end]), before_ends)
    np.testing.assert_array_equal(edit.degrees(after), edit.degrees(graph))


def test_swapping_ends_forgets_the_lattice():
    lattice = build_graph(Cycle(k=6), 600, assign="in_order")
    after = edit.randomise(lattice, "degrees", make_rng(1))
    clustering = networkx.average_clustering(networkx.Graph(unpack(after).pairs.tolist()))
    assert clustering < 0.03  # 0.6 on the lattice, about 6 / 600 at random
    kept = set(map(tuple, unpack(after).pairs.tolist())) & set(
        map(tuple, unpack(lattice).pairs.tolist())
    )
    assert len(kept) < 60


@given(seed=SEEDS)
def test_drawing_pairs_anew_keeps_only_the_number_of_ties(seed):
    graph = build_graph(Star(), 20)
    after = RandomRewire(keep="ties").apply(graph, make_rng(seed), Situation())
    assert_sound(after)
    assert len(unpack(after).pairs) == 19
    assert edit.degrees(after).max() < 19


@given(seed=SEEDS)
def test_drawing_pairs_anew_keeps_the_shapes_of_a_graph_made_for_change(seed):
    graph = build_graph(RandomRegular(degree=4), 24, width=7)
    graph = dataclasses.replace(graph, regular=False)
    after = edit.randomise(graph, "ties", make_rng(seed))
    assert shapes(after) == shapes(graph)
    assert_sound(after)
    assert len(unpack(after).pairs) == 48


def test_drawing_pairs_anew_works_where_nearly_all_are_tied():
    graph = build_graph(ErdosRenyi(p=0.97), 12, seed=1)
    after = edit.randomise(graph, "ties", make_rng(0))
    assert_sound(after)
    assert len(unpack(after).pairs) == len(unpack(graph).pairs)


@given(seed=SEEDS, to=st.sampled_from(["random", "neighbour_of_neighbour"]), graph=GRAPHS)
def test_only_ties_with_defectors_are_cut_and_their_partners_turn_elsewhere(seed, to, graph):
    rng = make_rng(seed)
    defected = rng.random(24) < 0.3
    alive = np.ones(24, bool)
    after = CutDefectors(p=1.0, to=to).apply(graph, rng, Situation(alive, defected))
    assert shapes(after) == shapes(graph)
    assert_sound(after)
    before, now = unpack(graph), unpack(after)
    assert len(now.pairs) == len(before.pairs)
    kept = set(map(tuple, now.pairs.tolist()))
    for pair in map(tuple, before.pairs.tolist()):
        innocent = not defected[pair[0]] and (graph.directed or not defected[pair[1]])
        assert not innocent or pair in kept


def test_cooperators_leave_defectors_in_the_long_run():
    graph = build_graph(ErdosRenyi(mean_degree=6), 200, dynamic=True, seed=2)
    defected = np.arange(200) < 60
    rng = make_rng(3)
    for _ in range(30):
        graph = CutDefectors(p=0.5).apply(graph, rng, Situation(None, defected))
    degrees = edit.degrees(graph)
    mixed = defected[unpack(graph).pairs].sum(1) == 1
    assert degrees[60:].mean() > 1.3 * degrees[:60].mean()
    assert mixed.mean() < 0.42  # 2 * 0.3 * 0.7 at the start


def test_friends_of_friends_are_chosen_where_there_are_any():
    graph = build_graph(Cycle(k=4), 40, assign="in_order", dynamic=True)
    defected = np.zeros(40, bool)
    defected[10] = True
    after = CutDefectors(p=1.0, to="neighbour_of_neighbour").apply(
        graph, make_rng(1), Situation(None, defected)
    )
    assert edit.degrees(after)[10] == 0
    new = set(map(tuple, unpack(after).pairs.tolist())) - set(
        map(tuple, unpack(graph).pairs.tolist())
    )
    assert len(new) == 4 and all(abs(a - b) <= 4 for a, b in new)


def test_cutting_needs_to_know_who_defected():
    with pytest.raises(ValueError, match="who defected"):
        CutDefectors().apply(build_graph(Cycle(), 9), make_rng(), Situation())


@given(seed=SEEDS)
def test_homophily_joins_the_alike(seed):
    graph = build_graph(ErdosRenyi(mean_degree=4), 60, dynamic=True, seed=seed % 1000)
    kinds = np.array(list("abc"))[np.arange(60) % 3]
    rng = make_rng(seed)
    for _ in range(12):
        graph = Homophily(by="kind", p=0.9).apply(graph, rng, Situation(columns={"kind": kinds}))
    assert_sound(graph)
    pairs = unpack(graph).pairs
    assert (kinds[pairs[:, 0]] == kinds[pairs[:, 1]]).mean() > 0.95


def test_homophily_by_numbers_and_by_strategies_and_its_errors():
    graph = build_graph(Cycle(), 30, dynamic=True)
    ages = np.arange(30.0)
    after = Homophily(by="age", within=3, p=1.0).apply(
        graph, make_rng(), Situation(columns={"age": ages})
    )
    gaps = np.abs(np.diff(ages[unpack(after).pairs], axis=1))
    assert (gaps <= 3).mean() > 0.9
    Homophily().apply(graph, make_rng(), Situation(types=np.arange(30) % 2))
    with pytest.raises(ValueError, match="attributes are age"):
        Homophily(by="cast").apply(graph, make_rng(), Situation(columns={"age": ages}))
    with pytest.raises(ValueError, match="no numbers"):
        Homophily(by="c", within=1).apply(
            graph, make_rng(), Situation(columns={"c": ages.astype(str)})
        )


@given(graph=GRAPHS, seed=SEEDS, share=st.floats(0, 1))
def test_cutting_ties_removes_the_share_and_keeps_the_shapes(graph, seed, share):
    slots = [3, 5, 8]
    touched = np.isin(unpack(graph).pairs, slots).any(1).sum()
    after = edit.cut_ties(graph, slots, share, make_rng(seed))
    assert shapes(after) == shapes(graph)
    assert_sound(after)
    assert len(unpack(graph).pairs) - len(unpack(after).pairs) == round(share * touched)
    gone = edit.remove_slots(graph, slots)
    assert not np.isin(unpack(gone).pairs, slots).any()


@given(graph=GRAPHS, seed=SEEDS, count=st.integers(0, 3))
def test_added_ties_fit_or_are_refused(graph, seed, count):
    rng = make_rng(seed)
    draw = edit.anybody(graph)
    anchors = np.repeat([1, 2, 3], count)
    edited = edit.tie_anew(graph, anchors, draw, rng)
    assert shapes(edited.graph) == shapes(graph)
    assert_sound(edited.graph)
    added = len(unpack(edited.graph).pairs) - len(unpack(graph).pairs)
    assert added + edited.refused == 3 * count
    before = set(map(tuple, unpack(graph).pairs.tolist()))
    assert before <= set(map(tuple, unpack(edited.graph).pairs.tolist()))


def test_a_full_graph_refuses_and_counts():
    full = build_graph(Cycle(), 10, assign="in_order")
    edited = edit.add_pairs(full, np.array([[0, 5], [0, 1], [2, 2], [5, 0]]))
    assert edited.refused == 1  # 0-5 finds no row; the others exist, are loops, or repeat it
    assert len(unpack(edited.graph).pairs) == 10
    roomy = build_graph(Cycle(), 10, assign="in_order", capacity=22, width=3)
    edited = edit.add_pairs(roomy, np.array([[0, 5], [0, 4]]))
    assert edited.refused == 1 and [0, 5] in unpack(edited.graph).pairs.tolist()


def test_new_ties_of_a_directed_graph_run_towards_those_who_ask():
    graph = build_graph(Empty(), 12, dynamic=True)
    graph = pack(Ties(unpack(graph).pairs, directed=True), 12, capacity=30, width=0)
    after = edit.add_ties(graph, [4], 3, make_rng())
    pairs = unpack(after).pairs
    assert (pairs[:, 1] == 4).all() and len(pairs) == 3


def test_a_complete_graph_says_how_to_make_it_editable():
    with pytest.raises(ValueError, match="dynamic: true"):
        edit.cut_ties(build_graph(Complete(), 5), [0], 1.0, make_rng())


def test_graphs_of_several_replicates_get_the_same_shapes():
    graphs = [build_graph(ErdosRenyi(mean_degree=4), 30, seed=seed) for seed in range(4)]
    assert len({str(shapes(graph)) for graph in graphs}) > 1
    aligned = edit.align(graphs)
    assert len({str(shapes(graph)) for graph in aligned}) == 1
    assert len({graph.regular for graph in aligned}) == 1
    for before, after in zip(graphs, aligned, strict=True):
        np.testing.assert_array_equal(unpack(before).pairs, unpack(after).pairs)


def newborn_graph(capacity=None):
    present = np.arange(30) < 20
    return build_graph(
        RandomRegular(degree=4), 30, present=present, dynamic=True, capacity=capacity, seed=1
    )


@given(seed=SEEDS, k=st.integers(0, 4))
def test_newborns_get_k_ties_to_the_living(seed, k):
    graph = newborn_graph()
    newborns = np.array([3, 20, 21])
    alive = np.arange(30) < 22
    for rule in (AttachRandom(k=k), AttachPreferential(k=k)):
        edited = attach_newborns(
            graph, rule, make_rng(seed), newborns, np.full((3, 1), -1), Situation(alive)
        )
        assert shapes(edited.graph) == shapes(graph) and edited.refused == 0
        assert_sound(edited.graph)
        assert not np.isin(unpack(edited.graph).pairs, np.flatnonzero(~alive)).any()
        assert (edit.degrees(edited.graph)[newborns] >= k).all()
    bare = attach_newborns(
        graph, AttachNone(), make_rng(), newborns, np.full((3, 1), -1), Situation(alive)
    )
    assert (edit.degrees(bare.graph)[newborns] == 0).all()


def test_newborns_inherit_the_ties_of_their_parents():
    graph = newborn_graph()
    situation = Situation(np.arange(30) < 22)
    edited = attach_newborns(
        graph, AttachToParents(), make_rng(), [20, 21], [[0, -1], [1, 2]], situation
    )
    tied = {slot: set() for slot in range(30)}
    for a, b in unpack(graph).pairs.tolist():
        tied[a].add(b)
        tied[b].add(a)
    now = networkx.Graph(unpack(edited.graph).pairs.tolist())
    assert set(now[20]) == tied[0] | {0}
    assert set(now[21]) == (tied[1] | tied[2] | {1, 2})
    only = attach_newborns(graph, AttachToParents(share=0.0), make_rng(), [20], [[0]], situation)
    assert edit.degrees(only.graph)[20] == 1


def test_births_beyond_the_capacity_are_refused_and_counted():
    edited = attach_newborns(
        newborn_graph(capacity=84),
        AttachRandom(k=3),
        make_rng(),
        [20, 21],
        np.full((2, 1), -1),
        Situation(np.arange(30) < 22),
    )
    assert edited.refused == 4 and len(unpack(edited.graph).pairs) == 42


def test_preferential_newborns_prefer_the_hub():
    graph = build_graph(Star(), 60, assign="in_order", present=np.arange(60) < 40, dynamic=True)
    chosen = [
        0
        in networkx.Graph(
            unpack(
                attach_newborns(
                    graph,
                    AttachPreferential(k=1),
                    make_rng(seed),
                    [50],
                    [[-1]],
                    Situation(np.arange(60) <= 50),
                ).graph
            ).pairs.tolist()
        )[50]
        for seed in range(200)
    ]
    # 40 of 39 * 2 + 41 weights belong to the hub.
    assert abs(np.mean(chosen) - 40 / 119) < 0.14
