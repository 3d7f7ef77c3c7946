"""Network measures against networkx, closed forms and cases computed by hand."""

import networkx
import numpy as np
import pytest

from society.contract import GroupSlice, Record
from society.graphs import Ties, build_graph, pack
from society.graphs.growth import BarabasiAlbert, WattsStrogatz
from society.graphs.lattices import Complete, Path
from society.graphs.random_graphs import ErdosRenyi, RandomRegular, StochasticBlock
from society.measures.network import (
    Assortativity,
    Clustering,
    Components,
    Degrees,
    Modularity,
    Mutuality,
)

ALL = (Degrees(), Clustering(), Assortativity(), Modularity(), Mutuality(), Components())


def record_of(graph, num, types=None, alive=None, groups=None):
    types = np.zeros(num, np.int32) if types is None else np.asarray(types, np.int32)
    names = tuple(f"strategy_{kind}" for kind in range(int(types.max(initial=0)) + 1))
    empty = np.zeros(0)
    return Record(
        world=None,
        groups=groups or (GroupSlice("all", 0, num, names),),
        series={},
        clock=np.zeros((0, 3), np.int32),
        generations={},
        outcome={},
        fitness=empty,
        alive=np.ones(num, bool) if alive is None else alive,
        types=types,
        graph=graph,
    )


def take(record, measures=ALL):
    found = {}
    for measure in measures:
        found |= measure.finish((), record)
    return found


def as_networkx(graph, types):
    count = int(graph.offsets[-1])
    made = networkx.DiGraph() if graph.directed else networkx.Graph()
    made.add_nodes_from((slot, {"kind": int(types[slot])}) for slot in range(graph.num_slots))
    made.add_edges_from(
        zip(graph.senders[:count].tolist(), graph.receivers[:count].tolist(), strict=True)
    )
    return made


@pytest.mark.parametrize(
    "rule",
    [
        ErdosRenyi(p=0.05),
        WattsStrogatz(k=6, p=0.1),
        BarabasiAlbert(m=3),
        StochasticBlock(blocks=3, p_in=0.2, p_out=0.02),
        ErdosRenyi(p=0.06, directed=True),
    ],
)
def test_measures_equal_those_of_networkx(rule):
    num = 90
    types = np.arange(num) // 30
    graph = build_graph(rule, num, assign="in_order", seed=5)
    made = as_networkx(graph, types)
    found = take(record_of(graph, num, types))
    degrees = [d for _, d in (made.in_degree if graph.directed else made.degree)]
    assert found["degree_mean"] == pytest.approx(np.mean(degrees))
    assert found["degree_variance"] == pytest.approx(np.var(degrees))
    assert (found["degree_min"], found["degree_max"]) == (min(degrees), max(degrees))
    assert found["density"] == pytest.approx(networkx.density(made))
    plain = made.to_undirected()
    assert found["clustering"] == pytest.approx(networkx.average_clustering(plain))
    assert found["transitivity"] == pytest.approx(networkx.transitivity(plain))
    assert found["assortativity_degree"] == pytest.approx(
        networkx.degree_assortativity_coefficient(made)
    )
    assert found["assortativity_type"] == pytest.approx(
        networkx.attribute_assortativity_coefficient(made, "kind")
    )
    parts = [set(np.flatnonzero(types == kind).tolist()) for kind in range(3)]
    assert found["modularity_type"] == pytest.approx(networkx.community.modularity(made, parts))
    assert found["mutuality"] == pytest.approx(
        networkx.reciprocity(made) if graph.directed else 1.0
    )
    sizes = [len(part) for part in networkx.connected_components(plain)]
    assert found["components"] == len(sizes)
    assert found["largest_component"] == pytest.approx(max(sizes) / num)
    assert found["isolates"] == networkx.number_of_isolates(plain)


def test_a_complete_graph_measures_the_same_implicit_or_written_out():
    types = np.array([0, 0, 0, 1, 1, 2, 2, 2])
    implicit = build_graph(Complete(), 8)
    written = build_graph(Complete(), 8, dynamic=True)
    for graph in (None, implicit):
        assert take(record_of(graph, 8, types)) == pytest.approx(
            take(record_of(written, 8, types)), nan_ok=True
        )


def test_two_cliques_of_two_strategies_are_perfectly_assorted():
    pairs = [(a, b) for block in (range(4), range(4, 8)) for a in block for b in block if a < b]
    graph = pack(Ties(np.array(pairs, np.int32)), 8)
    found = take(record_of(graph, 8, np.arange(8) // 4))
    assert found["assortativity_type"] == pytest.approx(1.0)
    assert found["modularity_type"] == pytest.approx(0.5)
    assert found["clustering"] == 1.0 and found["components"] == 2


def test_the_dead_and_their_ties_do_not_count():
    graph = build_graph(Path(), 5, assign="in_order")
    alive = np.array([True, True, False, True, True])
    found = take(record_of(graph, 5, alive=alive))
    assert found["degree_mean"] == 1.0 and found["components"] == 2
    assert found["largest_component"] == 0.5


def test_kinds_are_strategies_by_name_or_groups():
    groups = (
        GroupSlice("left", 0, 4, ("tft", "alld")),
        GroupSlice("right", 4, 8, ("alld", "tft")),
    )
    types = np.array([0, 0, 1, 1, 1, 1, 0, 0])  # tft, tft, alld, alld | tft, tft, alld, alld
    graph = pack(Ties(np.array([[0, 4], [1, 5], [2, 6], [3, 7]], np.int32)), 8)
    record = record_of(graph, 8, types, groups=groups)
    assert Assortativity().finish((), record)["assortativity_type"] == pytest.approx(1.0)
    by_group = Assortativity(by="group").finish((), record)
    assert by_group["assortativity_group"] == pytest.approx(-1.0)
    assert Modularity(by="group").finish((), record)["modularity_group"] == pytest.approx(-0.5)


def test_the_rewired_null_has_no_homophily():
    types = np.arange(200) // 100
    graph = build_graph(
        StochasticBlock(blocks=2, p_in=0.1, p_out=0.02), 200, assign="in_order", seed=1
    )
    found = Assortativity(nulls=8).finish((), record_of(graph, 200, types))
    assert found["assortativity_type"] > 0.5
    assert abs(found["assortativity_type_null"]) < 0.1
    assert 0 < found["assortativity_type_null_sd"] < 0.1


def test_measures_of_nothing_are_not_numbers_and_do_not_fail():
    lonely = build_graph(ErdosRenyi(p=0.0), 3)
    found = take(record_of(lonely, 3))
    assert np.isnan(found["assortativity_type"]) and np.isnan(found["mutuality"])
    assert found["isolates"] == 3 and found["transitivity"] == 0.0
    nobody = take(record_of(lonely, 3, alive=np.zeros(3, bool)))
    assert np.isnan(nobody["degree_mean"]) and nobody["components"] == 0
    assert np.isnan(
        take(record_of(build_graph(RandomRegular(degree=2), 9), 9))["assortativity_degree"]
    )
