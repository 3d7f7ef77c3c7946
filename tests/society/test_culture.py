import math
import re
import sys

import networkx as nx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from society.build import build
from society.contract import Record
from society.graphs.base import build_graph
from society.graphs.lattices import ConnectedCaveman
from society.journal_rows import StoredEvent
from society.measures.culture import CulturalFst, TextAttractor, TextDiversity, TextSimilarity
from society.measures.text_phylogeny import (
    TextPhylogeny,
    neighbour_joining,
    newick_of,
    text_distances,
)
from society.measures.text_style import TextStyle, installed_properties, mtld, property_of
from society.measures.texts import mean_similarity, tfidf, told_by_round
from society.run import run_scenario
from society.scenario import load_scenario
from worlds.registry import make


def record(rounds, graph=None, given=()):
    """A record of texts: rounds of slot -> text."""
    events = [
        StoredEvent(0, 0, 0, 0, 0, "world", slot, n, {"kind": "given", "slot": slot, "data": text})
        for n, (slot, text) in enumerate(given)
    ]
    for step, told in enumerate(rounds):
        events += [
            StoredEvent(0, 0, 0, step, 0, "world", slot, 10 + n, data)
            for n, (slot, text) in enumerate(told.items())
            for data in [{"kind": "text", "slot": slot, "data": text}]
        ]
    num = 1 + max(slot for told in rounds for slot in told)
    empty = np.zeros(num)
    world, clock = None, np.zeros((0, 3))
    return Record(
        world, (), {}, clock, {}, {}, empty, empty == 0, empty, graph, events=tuple(events)
    )


def test_cosines_of_word_vectors_are_those_by_hand():
    rows = tfidf(["fox river", "fox lantern", ""], frozenset())
    rare, common = math.log(4 / 2) + 1, math.log(4 / 3) + 1
    expected = common**2 / (common**2 + rare**2)
    assert mean_similarity(rows[0], rows[1]) == pytest.approx(expected)
    assert mean_similarity(rows[:2]) == pytest.approx(expected)
    assert mean_similarity(rows[:2], rows[2]) == 0.0
    assert math.isnan(mean_similarity(rows[0]))
    assert mean_similarity(rows[:2], rows[:2]) == pytest.approx((1 + expected) / 2)


def test_the_diagonal_leaves_out_a_texts_likeness_to_itself():
    found = TextSimilarity().finish((), record([{0: "fox", 1: "river"}, {0: "fox", 1: "fox"}]))
    assert found["similarity_to_first"] == pytest.approx(0.5)
    assert found["cumulative_change"] == pytest.approx(0.5)
    assert found["similarity_within"] == pytest.approx(1.0)
    assert found["similarity_matrix"][0][0] == pytest.approx(0.0)


def test_hill_numbers_count_words_as_they_should():
    found = TextDiversity().finish((), record([{0: "a a b b", 1: "c c d d"}]))
    names = ("words_hill_0", "words_hill_1", "words_hill_2")
    assert [found[name] for name in names] == pytest.approx([4, 4, 4])
    skewed = TextDiversity().finish((), record([{0: "a a a b"}]))
    assert skewed["words_hill_2"] == pytest.approx(1 / (0.75**2 + 0.25**2))
    assert skewed["distinct_2"] == pytest.approx(2 / 3)
    assert skewed["text_length"] == 4


def test_lexical_diversity_is_the_mean_length_of_varied_runs():
    # Forward: "a b a" has 2 kinds in 3 words (< 0.72), a factor; so has the next three words.
    assert mtld("a b a b a b".split()) == pytest.approx(6 / 2)
    assert mtld("a b c d".split()) == 4.0


def test_all_difference_lies_between_parts_that_share_no_word():
    texts = {0: "fox river", 1: "fox river", 2: "lamp drum", 3: "lamp drum"}
    measure = CulturalFst(by="block", blocks=2)
    assert measure.finish((), record([texts]))["cultural_fst"] == pytest.approx(1.0)
    mixed = {0: "fox river", 1: "lamp drum", 2: "fox river", 3: "lamp drum"}
    found = measure.finish((), record([mixed]))
    assert found["distance_total"] == pytest.approx(4 / 6)
    assert found["cultural_fst"] == pytest.approx((4 / 6 - 1) / (4 / 6))


def test_cliques_are_found_in_the_graph():
    graph = build_graph(ConnectedCaveman(cliques=2), 8, assign="in_order")
    texts = {slot: "fox" if slot < 4 else "drum" for slot in range(8)}
    assert CulturalFst(by="clique").finish((), record([texts], graph))[
        "cultural_fst"
    ] == pytest.approx(1)


def test_texts_come_round_by_round_in_slot_order():
    rounds = told_by_round(record([{1: "b", 0: "a"}, {0: "c"}]))
    assert [[(one.round, one.slot, one.text) for one in told] for told in rounds] == [
        [(0, 0, "a"), (0, 1, "b")],
        [(1, 0, "c")],
    ]


def test_an_attractor_is_a_fixed_point_of_a_line():
    lengths = [4, 10, 20, 40]
    first = [(slot, " ".join(["w"] * n)) for slot, n in enumerate(lengths)]
    told = [round(15 + 0.5 * (n - 15) + 0.5) for n in lengths]
    last = {slot: " ".join(["w"] * n) for slot, n in enumerate(told)}
    found = TextAttractor().finish((), record([last], given=first))
    assert found["attractor_slope"] == pytest.approx(0.5, abs=0.03)
    assert found["attractor_position"] == pytest.approx(16, abs=1)
    assert found["attractor_p"] < 0.01


def test_embeddings_tell_alike_what_shares_words():
    made = TextSimilarity(by="embedding", embedding="hashing")
    texts = [{0: "fox river", 1: "lamp drum"}, {0: "Fox, river!", 1: "lamp drum"}]
    found = made.finish((), record(texts))
    assert found["embedding_similarity_within"] < 0.2
    assert found["embedding_similarity_to_first"] == pytest.approx(0.5, abs=0.1)


def test_properties_of_texts_go_round_by_round():
    found = TextStyle().finish((), record([{0: "a b", 1: "a a a a"}, {0: "a", 1: "b c d"}]))
    assert found["text_length_by_round"] == [3.0, 2.0]
    assert found["first_text_lexical_diversity"] == pytest.approx((1 + 0.25) / 2)
    assert found["text_lexical_diversity"] == 1.0


def test_glad_texts_are_positive_and_long_words_are_hard():
    pytest.importorskip("vaderSentiment")
    pytest.importorskip("pyphen")
    polarity, fog = property_of("polarity"), property_of("difficulty")
    assert polarity("What a wonderful, happy day.") > 0.5 > -0.5 > polarity("A horrible, sad loss.")
    hard = "Institutional heterogeneity necessitates multidimensional methodological deliberation."
    assert fog("The cat sat on the mat.") < fog(hard)
    ease = property_of("reading_ease")
    # Six words of one syllable in a sentence.
    assert fog("The cat sat on the mat.") == pytest.approx(0.4 * 6)
    assert ease("The cat sat on the mat.") == pytest.approx(206.835 - 1.015 * 6 - 84.6)
    assert ease("The cat sat on the mat.") > ease(hard) and fog("") == 0.0
    assert set(installed_properties()) >= {"polarity", "difficulty", "reading_ease"}


def test_a_missing_library_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "vaderSentiment.vaderSentiment", None)
    property_of.cache_clear()
    with pytest.raises(ValueError, match=r"societylab\[text\]"):
        TextStyle(of=("polarity",)).check(make("retelling"), ())
    property_of.cache_clear()


# ---- trees of texts ---------------------------------------------------------------------


def test_distances_along_a_tree_give_back_the_tree():
    # Studier & Keppler's example: leaves a..e, ways through the tree known by hand.
    distances = np.array(
        [[0, 5, 9, 9, 8], [5, 0, 10, 10, 9], [9, 10, 0, 8, 7], [9, 10, 8, 0, 3], [8, 9, 7, 3, 0]],
        float,
    )
    branches = neighbour_joining(distances)
    lengths = {branch.child: branch.length for branch in branches}
    assert [lengths[leaf] for leaf in range(5)] == pytest.approx([2, 3, 4, 2, 1])
    assert len(branches) == 2 * 5 - 3
    tree = newick_of(branches, list("abcde"))
    assert "(a:2,b:3)" in tree and tree.endswith(";")


@given(st.integers(4, 12), st.integers(0, 10**6))
@settings(max_examples=25, deadline=None)
def test_any_tree_is_found_again_from_its_ways(leaves, seed):
    rng = np.random.default_rng(seed)
    net, ends = nx.Graph(), [0, 1]
    net.add_edge(0, 1, length=rng.uniform(0.5, 2))
    for leaf in range(2, leaves):  # graft every further leaf onto an edge
        one, other, data = list(net.edges(data=True))[rng.integers(net.number_of_edges())]
        knot = 1000 + leaf
        net.remove_edge(one, other)
        net.add_edge(one, knot, length=data["length"] / 2)
        net.add_edge(knot, other, length=data["length"] / 2)
        net.add_edge(knot, leaf, length=rng.uniform(0.5, 2))
        ends.append(leaf)
    ways = dict(nx.all_pairs_dijkstra_path_length(net, weight="length"))
    distances = np.array([[ways[a][b] for b in ends] for a in ends])
    found = nx.Graph()
    for branch in neighbour_joining(distances):
        found.add_edge(branch.parent, branch.child, length=branch.length)
    again = dict(nx.all_pairs_dijkstra_path_length(found, weight="length"))
    assert np.allclose([[again[a][b] for b in ends] for a in ends], distances)


@pytest.mark.parametrize("kind", ["compression", "words", "edit"])
def test_texts_with_a_common_past_stand_together_in_their_tree(kind):
    fox = "the quick brown fox carried a silver key across the frozen river at night and sang"
    sea = "two brothers built boats of cedar because one of them wanted to leave their harbour"
    texts = {
        0: fox,
        1: f"{fox} softly",
        2: sea,
        3: f"{sea} soon",
        4: f"{fox} twice",
        5: f"{sea} again",
    }
    found = TextPhylogeny(distance=kind).finish((), record([texts]))
    assert found["tree_fit"] > 0.9
    inner = re.search(r"\((?:[^()]|\([^()]*\))*\)", found["text_tree"][1:])
    assert inner is not None
    together = {int(slot) for slot in re.findall(r"slot_(\d)", inner[0])}
    assert together <= {0, 1, 4} or together <= {2, 3, 5}


def test_distances_of_texts_are_those_by_hand():
    words = text_distances(["fox river", "fox river", "lamp"], "words")
    assert words[0] == pytest.approx([0, 0, 1])
    edits = text_distances(["a b c d", "a b x d", "a"], "edit")
    assert edits[0] == pytest.approx([0, 0.25, 0.75])
    both = text_distances(["a b c d e f g h " * 4, "a b c d e f g h " * 4, "1 9 4 7 2 6 0 3 5"])
    assert both[0, 1] < 0.5 < both[0, 2] and both[0, 0] == 0


def test_few_texts_make_no_tree():
    found = TextPhylogeny().finish((), record([{0: "a", 1: "b"}]))
    assert found["text_tree"] == "" and math.isnan(found["tree_fit"])


SPELT = (
    "[{use: text_similarity, by: tfidf, embedding: sentence_transformers}, "
    "{use: text_attractor, of: length}]"
)


def run(tmp_path, name, *sets):
    return run_scenario(load_scenario(name, sets=sets), out=tmp_path)["measures"]


def test_retelling_with_a_known_drift_comes_to_its_attractor(tmp_path):
    """Chains of n retellings have slope keep ** n and the same fixed point."""
    keep, attractor, steps = 0.7, 30.0, 4
    found = run(
        tmp_path,
        "story_chain",
        f"backends={{known: {{use: drift, keep: {keep}, attractor: {attractor}, noise: 1}}}}",
        "backend=known",
        "groups.tellers.count=40",
        f"steps={steps}",
        "seeds=4",
    )
    known = {"strength": 1 - keep**steps, "slope": keep**steps, "position": attractor}
    for name, value in known.items():
        low, high = found[f"attractor_{name}"]["ci95"]
        assert low <= value <= high and high - low < 0.1 * max(value, 1), name


def test_caves_keep_more_difference_between_them_than_a_complete_graph(tmp_path):
    cliques = run(tmp_path, "story_networks", "backend=drift", "seeds=3", "steps=5")
    mixed = run(tmp_path, "story_networks", "backend=drift", "seeds=3", "steps=5", "graph=complete")
    assert min(cliques["cultural_fst"]["values"]) > max(mixed["cultural_fst"]["values"]) + 0.2


def test_a_measure_that_names_its_defaults_is_the_worlds_own():
    """A run folder's scenario spells all parameters out; its measures keep their names."""
    plain = load_scenario("story_chain", sets=["backend=drift"])
    spelt = load_scenario("story_chain", sets=["backend=drift", f"measures={SPELT}"])
    names = list(build(plain).measures)
    assert list(build(spelt).measures) == names
    other = load_scenario(
        "story_chain", sets=["backend=drift", "measures=[{use: text_similarity, by: embedding}]"]
    )
    assert names == ["text_similarity", "text_attractor"]
    assert list(build(other).measures) == ["text_similarity", "text_similarity_0"]
