"""Graphs from networkx by name and from files."""

import networkx
import numpy as np
import pytest

from society.graphs import build_graph, unpack
from society.graphs.sources import FromFile, FromNetworkx


@pytest.mark.parametrize(
    ("name", "params", "num"),
    [
        ("watts_strogatz", {"k": 4, "p": 0.1}, 30),
        ("watts_strogatz_graph", {"k": 4, "p": 0.1}, 30),
        ("random_geometric", {"radius": 0.3}, 30),
        ("balanced_tree", {"r": 2, "h": 3}, 15),
        ("scale_free", None, 30),
        ("karate_club", None, 34),
    ],
)
def test_any_generator_of_networkx_can_be_named(name, params, num):
    rule = FromNetworkx(generator=name, params=params)
    first, again = (build_graph(rule, num, seed=2) for _ in range(2))
    np.testing.assert_array_equal(first.senders, again.senders)
    assert first.offsets[-1] > 0


def test_a_generator_keeps_its_weights_and_directions():
    club = networkx.karate_club_graph()
    graph = build_graph(FromNetworkx(generator="karate_club"), 34, assign="in_order")
    ties = unpack(graph)
    for (a, b), weight in zip(ties.pairs.tolist(), ties.weights.tolist(), strict=True):
        assert club[a][b]["weight"] == weight
    assert len(ties.pairs) == club.number_of_edges()
    assert build_graph(FromNetworkx(generator="scale_free"), 20).directed


@pytest.mark.parametrize(
    ("name", "params", "part"),
    [
        ("read_gpickle", None, "no generator"),
        ("relabel_nodes", None, "no generator"),
        ("os", None, "no generator"),
        ("wats_strogatz", None, "did you mean 'watts_strogatz'"),
        ("watts_strogatz", {"kk": 3}, "it takes (n, k, p"),
        ("watts_strogatz", {"k": 300, "p": 0.1}, "k>n"),
        ("karate_club", None, "made 34 nodes for 50"),
    ],
)
def test_what_networkx_cannot_do_is_said_clearly(name, params, part):
    with pytest.raises(ValueError) as error:
        build_graph(FromNetworkx(generator=name, params=params), 50)
    assert part in str(error.value)


def from_text(tmp_path, text, num=4, name="ties.csv", columns=None, **params):
    path = tmp_path / name
    path.write_text(text)
    return unpack(build_graph(FromFile(path=str(path), **params), num, columns=columns))


@pytest.mark.parametrize(
    "text",
    [
        "0,1\n1,2\n",
        "source,target\n0,1\n2,1\n",
        "0 1  # friends\n\n# a comment\n1 2\n",
        "0\t1\n1\t2\n2\t1\n",
        "0;1\n1;2\n2;2\n",
        "\ufefffrom,to\n0,1\n1,2\n",
    ],
)
def test_lists_of_ties_are_read_in_their_usual_forms(tmp_path, text):
    assert from_text(tmp_path, text).pairs.tolist() == [[0, 1], [1, 2]]


def test_weights_and_directions_are_read(tmp_path):
    ties = from_text(tmp_path, "source,target,note,weight\n0,1,x,2.5\n2,1,y,1\n", directed=True)
    assert ties.directed and ties.weights.tolist() == [2.5, 1.0]
    assert ties.pairs.tolist() == [[0, 1], [2, 1]]
    assert from_text(tmp_path, "0 1 0.5\n1 2 4\n").weights.tolist() == [0.5, 4.0]


def test_names_are_found_among_the_agents(tmp_path):
    columns = {"age": np.array([30, 31, 32, 33]), "name": np.array(["Ada", "Bo", "Cy", "Di"])}
    ties = from_text(tmp_path, "a,b\nDi,Ada\nBo,Cy\n", columns=columns)
    assert sorted(ties.pairs.tolist()) == [[0, 3], [1, 2]]


def test_numbers_mean_agents_unless_there_is_an_id(tmp_path):
    columns = {"id": np.array([30, 31, 32, 33])}
    assert from_text(tmp_path, "30,33\n", columns=columns).pairs.tolist() == [[0, 3]]
    assert from_text(tmp_path, "1,3\n", columns={"age": np.arange(4)}).pairs.tolist() == [[1, 3]]


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("0,1\n1\n", "ties.csv:2: expected two nodes"),
        ("0,1,x\n1,2,3\n", "weight 'x' is no number"),
        ("0,9\n", "names node 9, but agents are 0 to 3"),
        ("Ada,Bo\nBo,Cy\n", "give the agents an attribute"),
        ("0,1,2\n1,0,3\n", "twice with different weights"),
    ],
)
def test_what_a_file_gets_wrong_is_named_with_its_line(tmp_path, text, part):
    with pytest.raises(ValueError) as error:
        from_text(tmp_path, text)
    assert part in str(error.value)


def test_unknown_names_and_missing_files_are_refused(tmp_path):
    columns = {"name": np.array(["Ada", "Bo", "Cy", "Di"])}
    with pytest.raises(ValueError, match="'Eve' and 0 others"):
        from_text(tmp_path, "Ada,Eve\n", columns=columns, match="name")
    with pytest.raises(ValueError, match="no file"):
        build_graph(FromFile(path=str(tmp_path / "none.csv")), 3)


def test_graphml_keeps_ties_weights_and_names(tmp_path):
    made = networkx.Graph()
    made.add_edge("Ada", "Bo", weight=2.0)
    made.add_edge("Bo", "Cy", weight=3.0)
    path = tmp_path / "town.graphml"
    networkx.write_graphml_xml(made, path)
    columns = {"name": np.array(["Cy", "Ada", "Bo"])}
    ties = unpack(build_graph(FromFile(path=str(path)), 3, columns=columns))
    assert ties.pairs.tolist() == [[0, 2], [1, 2]] and ties.weights.tolist() == [3.0, 2.0]


def test_graphml_with_entities_or_nonsense_is_refused(tmp_path):
    bomb = '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "b">]><graphml>&b;</graphml>'
    for text, part in ((bomb, "entities"), ("<graphml", "no GraphML")):
        path = tmp_path / "bad.graphml"
        path.write_text(text)
        with pytest.raises(ValueError, match=part):
            build_graph(FromFile(path=str(path)), 3)
