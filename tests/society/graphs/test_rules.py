"""Graph rules: exact properties by hypothesis, statistics against networkx's generators."""

import networkx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.graphs import build_graph, graph_rng, unpack
from society.graphs.growth import BarabasiAlbert, WattsStrogatz
from society.graphs.lattices import (
    Complete,
    ConnectedCaveman,
    Cycle,
    Empty,
    Grid2D,
    Path,
    Star,
    pairs_in_blocks,
)
from society.graphs.random_graphs import ErdosRenyi, RandomRegular, StochasticBlock
from society.graphs.similarity import Similarity

SEEDS = st.integers(0, 2**32 - 1)


def network(rule, num, seed=0, columns=None):
    """The rule's ties as a networkx graph; asserts that they are simple."""
    ties = rule.edges(num, np.random.default_rng(seed), columns or {})
    pairs = np.asarray(ties.pairs)
    made = networkx.DiGraph() if ties.directed else networkx.Graph()
    made.add_nodes_from(range(num))
    made.add_edges_from(pairs.tolist())
    assert made.number_of_edges() == len(pairs), "a tie is there twice"
    assert networkx.number_of_selfloops(made) == 0
    assert made.number_of_nodes() == num
    return made


@given(seed=SEEDS, degree=st.integers(0, 12), half=st.integers(1, 30))
def test_random_regular_gives_everybody_the_same_degree(seed, degree, half):
    num = 2 * half
    degree = min(degree, num - 1)
    made = network(RandomRegular(degree=degree), num, seed)
    assert set(dict(made.degree).values()) == {degree}


@pytest.mark.parametrize(("num", "degree"), [(200, 80), (201, 100), (64, 60)])
def test_random_regular_is_regular_also_when_dense(num, degree):
    made = network(RandomRegular(degree=degree), num, 3)
    assert set(dict(made.degree).values()) == {degree}


@given(seed=SEEDS, num=st.integers(1, 60), p=st.floats(0, 1))
def test_erdos_renyi_is_simple_for_every_probability(seed, num, p):
    network(ErdosRenyi(p=p), num, seed)
    network(ErdosRenyi(p=p, directed=True), num, seed)


@given(seed=SEEDS, num=st.integers(4, 60), half=st.integers(1, 3), p=st.floats(0, 1))
def test_watts_strogatz_keeps_the_number_of_ties_and_half_of_each_degree(seed, num, half, p):
    k = min(2 * half, (num - 1) // 2 * 2)
    made = network(WattsStrogatz(k=k, p=p), num, seed)
    assert made.number_of_edges() == num * k // 2
    if k < num - 1:
        assert min(dict(made.degree).values()) >= k // 2


@given(seed=SEEDS, num=st.integers(2, 900), m=st.integers(1, 5))
def test_barabasi_albert_is_connected_and_brings_m_ties_a_node(seed, num, m):
    m = min(m, num - 1)
    made = network(BarabasiAlbert(m=m), num, seed)
    assert made.number_of_edges() == m * (num - m)
    assert networkx.is_connected(made)
    assert min(dict(made.degree).values()) >= min(m, 1)


@given(seed=SEEDS, sizes=st.lists(st.integers(1, 15), min_size=1, max_size=6))
def test_blocks_with_certain_ties_are_cliques_and_nothing_else(seed, sizes):
    rule = StochasticBlock(sizes=tuple(sizes), p_in=1.0, p_out=0.0)
    made = network(rule, sum(sizes), seed)
    cliques = sorted(len(part) for part in networkx.connected_components(made))
    assert cliques == sorted(sizes)
    assert made.number_of_edges() == sum(size * (size - 1) // 2 for size in sizes)


def test_blocks_between_which_ties_are_certain_make_a_multipartite_graph():
    made = network(StochasticBlock(sizes=(3, 4, 5), p_in=0.0, p_out=1.0), 12)
    expected = networkx.complete_multipartite_graph(3, 4, 5)
    assert set(map(frozenset, made.edges)) == set(map(frozenset, expected.edges))


def test_blocks_may_be_the_values_of_an_attribute():
    columns = {"class": np.array(["a", "b", "a", "b", "a"])}
    made = network(StochasticBlock(attribute="class", p_in=1.0, p_out=0.0), 5, columns=columns)
    assert sorted(map(sorted, networkx.connected_components(made))) == [[0, 2, 4], [1, 3]]


@given(cliques=st.integers(1, 8), extra=st.integers(0, 20))
def test_a_caveman_graph_is_connected_whatever_the_sizes(cliques, extra):
    num = 3 * cliques + extra
    assert networkx.is_connected(network(ConnectedCaveman(cliques=cliques), num))


@pytest.mark.parametrize(
    ("rule", "num", "expected"),
    [
        (Path(), 7, networkx.path_graph(7)),
        (Path(directed=True), 7, networkx.path_graph(7, create_using=networkx.DiGraph)),
        (Cycle(), 7, networkx.cycle_graph(7)),
        (Cycle(k=4), 9, networkx.circulant_graph(9, [1, 2])),
        (Star(), 6, networkx.star_graph(5)),
        (Empty(), 4, networkx.empty_graph(4)),
        (Complete(), 6, networkx.complete_graph(6)),
        (Grid2D(rows=3, cols=4), 12, networkx.grid_2d_graph(3, 4)),
        (Grid2D(periodic=True), 12, networkx.grid_2d_graph(3, 4, periodic=True)),
        (Grid2D(periodic=True), 25, networkx.grid_2d_graph(5, 5, periodic=True)),
        (ConnectedCaveman(cliques=4), 20, networkx.connected_caveman_graph(4, 5)),
        (WattsStrogatz(k=4, p=0.0), 12, networkx.watts_strogatz_graph(12, 4, 0)),
        (ErdosRenyi(p=1.0), 8, networkx.complete_graph(8)),
        (BarabasiAlbert(m=3), 4, networkx.star_graph(3)),
    ],
)
def test_rules_without_chance_equal_networkx(rule, num, expected):
    expected = networkx.convert_node_labels_to_integers(expected, ordering="sorted")
    made = network(rule, num)
    if made.is_directed():
        assert set(made.edges) == set(expected.edges)
    else:
        assert set(map(frozenset, made.edges)) == set(map(frozenset, expected.edges))


def test_moore_neighbours_on_a_torus_are_eight_and_at_a_corner_three():
    torus = network(Grid2D(periodic=True, neighbourhood="moore"), 30)
    assert set(dict(torus.degree).values()) == {8}
    flat = network(Grid2D(neighbourhood="moore"), 30)
    assert sorted(dict(flat.degree).values())[:4] == [3, 3, 3, 3]
    assert flat.has_edge(0, 7) and flat.has_edge(1, 6) and not flat.has_edge(5, 6)


@given(sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_numbers_of_pairs_within_blocks_are_a_bijection(sizes):
    total = sum(size * (size - 1) // 2 for size in sizes)
    pairs = pairs_in_blocks(np.arange(total), np.array(sizes))
    assert len({tuple(sorted(pair)) for pair in pairs.tolist()}) == total


def test_numbers_of_pairs_are_exact_at_a_million_nodes():
    num = 1_000_000
    last = num * (num - 1) // 2 - 1
    high = np.array([num - 1, num - 1, 777_777, 2])
    low = np.array([num - 2, 0, 12_345, 1])
    index = high * (high - 1) // 2 + low
    assert index[0] == last
    np.testing.assert_array_equal(pairs_in_blocks(index, np.array([num])), np.stack([high, low], 1))


def mean_and_error(values):
    return np.mean(values), np.std(values) / np.sqrt(len(values))


def assert_alike(ours, theirs, sigmas=4.5):
    """Means of two samples agree within their joint standard error."""
    (mean, error), (other, other_error) = mean_and_error(ours), mean_and_error(theirs)
    assert abs(mean - other) <= sigmas * np.hypot(error, other_error) + 1e-12


STATISTICS = {
    "clustering": networkx.average_clustering,
    "variance of degrees": lambda made: np.var(list(dict(made.degree).values())),
    "largest degree": lambda made: max(dict(made.degree).values()),
    "ties": lambda made: made.number_of_edges(),
}


@pytest.mark.parametrize(
    ("rule", "theirs"),
    [
        (RandomRegular(degree=6), lambda s: networkx.random_regular_graph(6, 120, s)),
        (ErdosRenyi(mean_degree=6), lambda s: networkx.gnp_random_graph(120, 6 / 119, s)),
        (WattsStrogatz(k=6, p=0.2), lambda s: networkx.watts_strogatz_graph(120, 6, 0.2, s)),
        (BarabasiAlbert(m=3), lambda s: networkx.barabasi_albert_graph(120, 3, s)),
        (
            StochasticBlock(sizes=(40, 80), p_in=0.2, p_out=0.02),
            lambda s: networkx.stochastic_block_model([40, 80], [[0.2, 0.02], [0.02, 0.2]], seed=s),
        ),
    ],
)
def test_statistics_agree_with_networkx(rule, theirs):
    ours = [network(rule, 120, seed) for seed in range(120)]
    others = [theirs(seed) for seed in range(120)]
    for statistic in STATISTICS.values():
        assert_alike([statistic(made) for made in ours], [statistic(made) for made in others])


def test_nodes_that_arrive_all_at_once_have_the_degrees_of_nodes_one_by_one():
    num, m = 3000, 3
    ours = [
        np.bincount(BarabasiAlbert(m=m).edges(num, np.random.default_rng(s), {}).pairs.ravel())
        for s in range(12)
    ]
    theirs = [
        np.array([d for _, d in sorted(networkx.barabasi_albert_graph(num, m, s).degree)])
        for s in range(12)
    ]
    for statistic in (
        lambda d: (d == m).mean(),
        lambda d: (d > 30).mean(),
        lambda d: d[:50].mean(),
        lambda d: d[1000:2000].mean(),
        lambda d: np.log(d).mean(),
    ):
        assert_alike(
            [statistic(degrees) for degrees in ours], [statistic(degrees) for degrees in theirs]
        )


@pytest.mark.parametrize(
    ("rule", "num", "part"),
    [
        (RandomRegular(degree=3), 5, "even"),
        (RandomRegular(degree=5), 5, "below 5"),
        (ErdosRenyi(), 5, "exactly one"),
        (ErdosRenyi(mean_degree=7), 5, "[0, 4]"),
        (WattsStrogatz(k=3), 9, "even"),
        (BarabasiAlbert(m=9), 5, "1 to 4"),
        (Grid2D(), 13, "use 9 or 12"),
        (Grid2D(rows=3), 10, "3 x 3"),
        (ConnectedCaveman(cliques=4), 9, "1 to 3"),
        (StochasticBlock(sizes=(2, 2), p_in=1.0, p_out=0.0), 5, "add up to 4"),
        (StochasticBlock(p_in=1.0, p_out=0.0), 5, "exactly one"),
        (Cycle(k=6), 5, "below 5"),
        (Similarity(attribute="trade"), 5, "attributes are none"),
    ],
)
def test_what_cannot_be_tied_says_what_can(rule, num, part):
    with pytest.raises(ValueError) as error:
        build_graph(rule, num)
    assert part in str(error.value)


def test_too_many_ties_are_refused_before_memory_is_full():
    with pytest.raises(ValueError, match="choose a lower probability"):
        build_graph(ErdosRenyi(p=0.5), 1_000_000)
    with pytest.raises(ValueError, match="raise above"):
        build_graph(Similarity(attribute="x"), 1_000_000, columns={"x": np.zeros(1_000_000)})


def test_numbers_are_tied_within_the_distance_that_the_threshold_leaves():
    values = np.random.default_rng(0).normal(size=80)
    ties = unpack(build_graph(Similarity(attribute="x", above=0.9), 80, columns={"x": values}))
    gaps = np.abs(values[:, None] - values) / np.ptp(values)
    expected = np.argwhere(np.triu(1 - gaps > 0.9, 1))
    np.testing.assert_array_equal(ties.pairs[np.lexsort(ties.pairs.T[::-1])], expected)


def test_tags_are_tied_by_what_they_share():
    tags = np.array(["banks; mining", "mining", "banks;mining", "food", "", "mining ;food"], object)
    rule = Similarity(attribute="trade", above=0.3, weights="similarity")
    ties = unpack(build_graph(rule, 6, columns={"trade": tags}))
    found = dict(zip(map(tuple, ties.pairs.tolist()), ties.weights.tolist(), strict=True))
    assert found == pytest.approx(
        {
            (0, 1): 0.5,
            (0, 2): 1.0,
            (0, 5): 1 / 3,
            (1, 2): 0.5,
            (1, 5): 0.5,
            (2, 5): 1 / 3,
            (3, 5): 0.5,
        }
    )


def test_amounts_are_compared_by_weighted_jaccard_and_isolates_can_be_linked():
    amounts = np.array([[1.0, 2, 0], [1, 1, 0], [0, 0, 3], [0, 0, 0]])
    rule = Similarity(attribute="held", above=0.2)
    assert unpack(build_graph(rule, 4, columns={"held": amounts})).pairs.tolist() == [[0, 1]]
    linked = build_graph(
        Similarity(attribute="held", above=0.2, isolates="link"), 4, columns={"held": amounts}
    )
    assert (np.diff(linked.offsets) > 0).all()


def test_categories_are_tied_where_they_are_equal():
    made = network(Similarity(attribute="c"), 5, columns={"c": np.array(list("abaab"))})
    assert sorted(map(sorted, networkx.connected_components(made))) == [[0, 2, 3], [1, 4]]


def test_equal_seeds_give_equal_graphs_and_named_streams_differ():
    first, again = (build_graph(WattsStrogatz(), 50, seed=4) for _ in range(2))
    np.testing.assert_array_equal(first.senders, again.senders)
    assert graph_rng(1, "rewire", 3).integers(2**60) != graph_rng(1, "rewire", 4).integers(2**60)
    assert graph_rng(1, "a").integers(2**60) != graph_rng(1, "b").integers(2**60)
