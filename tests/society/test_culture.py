import math

import numpy as np
import pytest

from society.contract import Record
from society.graphs.base import build_graph
from society.graphs.lattices import ConnectedCaveman
from society.journal_rows import StoredEvent
from society.measures.culture import CulturalFst, TextAttractor, TextDiversity, TextSimilarity, mtld
from society.measures.texts import mean_similarity, tfidf, told_by_round
from society.run import run_scenario
from society.scenario import load_scenario


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
    slope, position = found["attractor_slope"], found["attractor_position"]
    low, high = slope["ci95"]
    assert low - 0.05 <= keep**steps <= high + 0.05
    assert abs(slope["mean"] - keep**steps) < 3 * slope["se"] + 0.02
    assert abs(position["mean"] - attractor) < 3 * position["se"] + 0.5


def test_caves_keep_more_difference_between_them_than_a_complete_graph(tmp_path):
    cliques = run(tmp_path, "story_networks", "backend=drift", "seeds=3", "steps=5")
    mixed = run(tmp_path, "story_networks", "backend=drift", "seeds=3", "steps=5", "graph=complete")
    assert min(cliques["cultural_fst"]["values"]) > max(mixed["cultural_fst"]["values"]) + 0.2
