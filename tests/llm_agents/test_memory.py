"""Memory streams: scores worked out by hand, batches, bounds, and checkpoints."""

import json
import sys
import types

import numpy as np
import pytest

from llm_agents import memory_search
from llm_agents.embeddings import Embedding, Hashing, SentenceTransformers
from llm_agents.memory import Memory, NoMemory, Window
from llm_agents.memory_search import Entry, Recall, Remember, Streams, Weights, spread
from society.tree_codec import decode, encode
from worlds.registry import load


class Axes(Embedding):
    """One axis for each word; not exact, so that its vectors are stored."""

    words = ("fish", "sea", "moon", "bread")
    size = 4

    def embed(self, texts):
        found = [[float(word in text) for word in self.words] for text in texts]
        return np.asarray(found, np.float32).reshape(len(texts), 4)


def streams(num=1, capacity=100, embedding=None):
    return Streams(num, embedding or Axes(), capacity)


def kept(held, *rows, agent=0):
    """Remember (text, importance, own turn) one after the other."""
    length = 0
    for text, importance, now in rows:
        entry = Entry("saw", text, importance, now)
        length = held.remember(agent, Remember(length, (entry,)))
    return length


def ids(found):
    return [row.id for row in found]


ROWS = (("fish in the sea", 2, 0), ("the moon", 10, 1), ("bread", 6, 2), ("the sea", 4, 3))


def test_a_score_is_the_weighted_sum_of_three_stretched_parts():
    held = streams()
    length = kept(held, *ROWS)
    recall = Recall(("fish and sea",), length, 4, 4, 0.5, Weights(1.0, 2.0, 3.0))
    (((*found,),),) = held.search([(0, recall)])
    decayed = np.array([0.5**4, 0.5**3, 0.5**2, 0.5**1])
    recency = (decayed - decayed[0]) / (decayed[3] - decayed[0])
    importance = np.array([0.0, 1.0, 0.5, 0.25])
    relevance = np.array([1.0, 0.0, 0.0, np.sqrt(0.5)])  # cosines with (1, 1, 0, 0) / sqrt 2
    expected = recency + 2 * importance + 3 * relevance
    assert ids(found) == np.argsort(-expected).tolist()
    np.testing.assert_allclose([row.score for row in found], np.sort(expected)[::-1], atol=1e-3)


def test_the_latest_memory_has_the_highest_recency():
    held = streams()
    length = kept(held, *[(f"bread {n}", 5, n) for n in range(6)])
    only = Weights(1.0, 0.0, 0.0)
    (((*found,),),) = held.search([(0, Recall(("moon",), length, 6, 6, 0.9, only))])
    assert ids(found) == [5, 4, 3, 2, 1, 0]
    assert found[0].score == 1.0 and found[-1].score == 0.0


def test_what_is_found_counts_as_used_unless_it_is_asked_aside():
    held = streams()
    length = kept(held, ("the moon", 5, 0), ("bread", 5, 1), ("bread", 5, 2))
    relevant, recent = Weights(0, 0, 1), Weights(1, 0, 0)
    aside = Recall(("moon",), length, 9, 1, 0.9, relevant, leaves_trace=False)
    assert ids(held.search([(0, aside)])[0][0]) == [0]
    latest = Recall(("x",), length, 9, 1, 0.9, recent, leaves_trace=False)
    assert ids(held.search([(0, latest)])[0][0]) == [2]
    held.search([(0, Recall(("moon",), length, 9, 1, 0.9, relevant))])
    assert ids(held.search([(0, latest)])[0][0]) == [0]


def test_equal_values_count_half_and_newer_memories_win_ties():
    values = np.float32([[3, 3, 3], [1, 2, 9]])
    valid = np.array([[True, True, True], [True, True, False]])
    assert spread(values, valid).tolist()[0] == [0.5, 0.5, 0.5]
    assert spread(values, valid).tolist()[1][:2] == [0.0, 1.0]
    held = streams()
    length = kept(held, *[("bread", 5, 0)] * 5)
    (((*found,),),) = held.search([(0, Recall(("bread",), length, 0, 3))])
    assert ids(found) == [4, 3, 2] and {row.score for row in found} == {1.5}


def test_a_batch_gives_what_each_would_find_alone():
    rng = np.random.default_rng(0)
    words = [f"word{n}" for n in range(40)]
    num = 7

    def filled():
        held = streams(num, 50, Hashing(width=64))
        for agent in range(num):
            draw = np.random.default_rng(agent)
            texts = [" ".join(draw.choice(words, 5)) for _ in range(10 * agent)]
            kept(held, *[(t, float(draw.integers(1, 11)), n) for n, t in enumerate(texts)],
                 agent=agent)  # fmt: skip
        return held

    asked = [
        (agent, Recall((" ".join(rng.choice(words, 3)), "word1"), 10 * agent, 80, 5))
        for agent in (5, 0, 2, 6)
    ]
    together = filled().search(asked)
    for place, one in enumerate(asked):
        assert filled().search([one])[0] == together[place]
    assert [len(found[0]) for found in together] == [5, 0, 5, 5]


def test_who_asks_twice_is_answered_twice():
    held = streams(2)
    length = kept(held, *ROWS)
    recalls = [(0, Recall((word,), length, 4, 1, 1.0, Weights(0, 0, 1))) for word in Axes.words]
    assert [ids(found[0]) for found in held.search(recalls)] == [[0], [3], [1], [2]]


def test_the_oldest_memories_are_forgotten_beyond_the_capacity():
    held = streams(capacity=4)
    length = kept(held, *[(f"bread {n}", 5, n) for n in range(10)])
    assert length == 10 and held.ids.shape == (1, 4) and held.vectors.shape[1] == 4
    (((*found,),),) = held.search([(0, Recall(("bread",), length, 10, 99))])
    assert sorted(ids(found)) == [6, 7, 8, 9]
    assert {row.entry.text for row in found} == {f"bread {n}" for n in (6, 7, 8, 9)}
    (((*newest,),),) = held.search([(0, Recall((), length, 10, 3))])
    assert ids(newest) == [7, 8, 9]


def test_doing_a_step_again_and_being_born_leave_no_old_rows():
    held = streams(capacity=3)
    length = kept(held, ("fish", 5, 0), ("moon", 5, 1))
    held.remember(0, Remember(length, (Entry("saw", "sea"),)))
    held.remember(0, Remember(length, (Entry("saw", "bread"),)))
    (((*found,),),) = held.search([(0, Recall(("bread",), length + 1, 2, 9))])
    assert [row.entry.text for row in sorted(found)] == ["fish", "moon", "bread"]
    for _ in range(9):
        length = held.remember(0, Remember(length, (Entry("saw", "fish"),)))
    length = held.remember(0, Remember(0, (Entry("saw", "moon"),)))
    assert length == 1 and held.search([(0, Recall(("fish",), 0, 0, 9))]) == [[[]]]
    (((*found,),),) = held.search([(0, Recall(("fish",), 1, 0, 9))])
    assert [row.entry.text for row in found] == ["moon"]


@pytest.mark.parametrize("embedding", [Axes(), Hashing(width=32)])
def test_streams_go_through_the_checkpoint_codec_bit_for_bit(embedding):
    def ask(held):
        return held.search([(1, Recall(("fish moon",), 30, 40, 4)), (0, Recall(("sea",), 2, 9, 4))])

    first = streams(2, 20, embedding)
    kept(first, ("fish", 3, 0), ("the sea", 7, 1))
    kept(first, *[(f"{ROWS[n % 4][0]} {n}", 1 + n % 9, n) for n in range(30)], agent=1)
    ask(first)
    stored = decode(encode(first.state))
    second = streams(2, 20, embedding)
    second.restore(stored)
    assert ask(second) == ask(first)
    assert encode(second.state) == encode(first.state)
    json.dumps(stored["entries"])
    assert (stored["vectors"] is None) == embedding.exact


def test_products_are_exact_so_that_their_order_does_not_matter():
    rng = np.random.default_rng(1)
    held = streams(1, 500, Hashing(width=128))
    texts = [" ".join(map(str, rng.integers(0, 99, 12))) for _ in range(300)]
    length = kept(held, *[(text, 5, 0) for text in texts])
    held.search([(0, Recall((texts[0],), length, 1, 1))])
    assert held.vectors.dtype == np.int16 and np.abs(held.norms[0, :300] - 4000).max() < 7
    vectors = held.vectors[0, :300].astype(np.float32)
    exact = vectors.astype(np.int64) @ vectors[7].astype(np.int64)
    assert np.array_equal(vectors @ vectors[7], exact)
    order = rng.permutation(128)
    assert np.array_equal(vectors[:, order] @ vectors[7, order], exact)


def test_many_memories_are_multiplied_block_by_block_with_the_same_result():
    rng = np.random.default_rng(2)
    vectors = rng.integers(-900, 900, (5, 1700, 96)).astype(np.int16)
    agents = np.array([0, 2, 3])
    queries = rng.integers(-900, 900, (3, 96, 2)).astype(np.float32)
    for rows in (1, 40, 1700):
        assert 1700 * 96 > memory_search._BLOCK > 3 * 40 * 96, "one, several and parts of agents"
        found = memory_search._products(vectors, agents, rows, queries)
        exact = vectors[agents, :rows].astype(np.int64) @ queries.astype(np.int64)
        assert np.array_equal(found, exact)


def test_hashed_texts_are_alike_where_they_share_words():
    embedding = Hashing()
    texts = ["Ada gave me bread", "ADA gave bread away", "the price of the moon", "", "?!"]
    vectors = embedding.embed(texts)
    assert vectors.shape == (5, 256) and vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors[:3], axis=1), 1, rtol=1e-6)
    assert vectors[0] @ vectors[1] > 0.4 > 0.2 > abs(vectors[0] @ vectors[2])
    assert not vectors[3:].any()
    assert np.array_equal(embedding.embed(texts[1:2])[0], vectors[1])
    assert np.array_equal(embedding.embed(["Stra\u00dfe"]), embedding.embed(["STRASSE"]))


def test_a_missing_library_is_named_with_what_to_do():
    with pytest.raises(ModuleNotFoundError, match="use embedding: hashing"):
        SentenceTransformers().embed(["x"])


def test_a_sentence_model_embeds_by_name_and_is_asked_for_where_it_is_missing(monkeypatch):
    from llm_agents.embeddings import _sentence_model

    class Letters:
        """The library's interface: counts letters."""

        def __init__(self, name, device):
            assert (name, device) == ("letters", "cpu")

        def get_sentence_embedding_dimension(self):
            return 2

        def encode(self, texts, show_progress_bar):
            return [[text.count("a"), text.count("b")] for text in texts]

    module = types.SimpleNamespace(SentenceTransformer=Letters)
    monkeypatch.setitem(sys.modules, "sentence_transformers", module)
    _sentence_model.cache_clear()
    embedding = load("embedding", "sentence_transformers")(model="letters")
    assert isinstance(embedding, SentenceTransformers) and embedding.size == 2
    assert embedding.embed(["aab", ""]) == pytest.approx(
        np.array([[2 / 5**0.5, 1 / 5**0.5], [0, 0]])
    )
    held = Streams(1, embedding, 4)
    length = held.remember(0, Remember(0, (Entry("saw", "bbb"), Entry("saw", "aaa"))))
    found = held.search([(0, Recall(("a",), length, 1, 1))])
    assert [row.entry.text for row in found[0][0]] == ["aaa"]
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    _sentence_model.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r"pip install sentence-transformers.*hashing"):
        embedding.embed(["a"])


def test_a_kind_made_from_one_that_keeps_nothing_is_asked_unless_it_says_so():
    class Keeper(NoMemory):
        pass

    class Forgetful(NoMemory):
        keeps = False

    assert (Memory.keeps, NoMemory.keeps, Window.keeps) == (True, False, True)
    assert (Keeper.keeps, Forgetful.keeps) == (True, False)
