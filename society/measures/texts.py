"""Texts of a run as measures read them: who told what when, word by word."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import networkx as nx
import numpy as np
from scipy import sparse

from society.contract import GroupSlice, Measure, Record
from worlds.text.words import tokens
from worlds.types import Graph

__all__ = [
    "STOP_WORDS",
    "OfTexts",
    "Told",
    "latest",
    "mean_similarity",
    "rounds_of",
    "similarity_matrix",
    "tfidf",
    "ties_of_graph",
    "ties_of_record",
    "told_by_round",
    "vectors_by_round",
]

_MOST_LISTED = 64
STOP_WORDS = frozenset(
    "a about after again all am an and any are as at be because been before being below between "
    "both but by can could did do does doing down during each few for from further had has have "
    "having he her here hers him his how i if in into is it its just me more most my no nor not "
    "now of off on once only or other our ours out over own same she should so some such than "
    "that the their theirs them then there these they this those through to too under until up "
    "very was we were what when where which while who whom why will with would you your".split()
)


class OfTexts(Measure):
    """Measures that read the texts of a run."""

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """Demand a world in which texts are told."""
        if not hasattr(world, "happenings"):
            name = getattr(world, "component_name", type(world).__name__)
            raise ValueError(
                f"this measure reads texts, and world {name!r} tells none; use it with a world "
                "of texts, such as retelling"
            )


class Told(NamedTuple):
    """One text: the round in which it was told (0 first), by whom, and the text."""

    round: int
    slot: int
    text: str


def told_by_round(record: Record, kind: str = "text") -> list[list[Told]]:
    """Texts of a replicate, round by round; rounds in which nobody told anything are left out.

    Args:
      record: with the events of a world of texts.
      kind: which happenings count.
    """
    return rounds_of(record.events, kind)


def rounds_of(events: Iterable[Any], kind: str = "text") -> list[list[Told]]:
    """The same from a replicate's events."""
    rounds: dict[tuple[int, int, int], list[Told]] = {}
    for event in events:
        if event.kind == "world" and event.data["kind"] == kind:
            place = (event.generation, event.episode, event.step)
            rounds.setdefault(place, []).append(
                Told(0, int(event.data["slot"]), str(event.data["data"]))
            )
    return [
        [one._replace(round=number) for one in sorted(rounds[place], key=lambda one: one.slot)]
        for number, place in enumerate(sorted(rounds))
    ]


def latest(rounds: Sequence[Sequence[Told]]) -> list[Told]:
    """The last text of everybody, in slot order."""
    last = {one.slot: one for told in rounds for one in told}
    return [last[slot] for slot in sorted(last)]


def ties_of_record(record: Record, num: int) -> nx.Graph | None:
    """Who is tied to whom among ``num`` slots; None where everybody meets everybody."""
    return ties_of_graph(record.graph, num)


def ties_of_graph(graph: Graph | None, num: int) -> nx.Graph | None:
    """The same from a graph."""
    if graph is None or graph.complete:
        return None
    senders, receivers = np.asarray(graph.senders), np.asarray(graph.receivers)
    real = (senders < num) & (receivers < num)
    ties = nx.empty_graph(num)
    ties.add_edges_from(zip(senders[real].tolist(), receivers[real].tolist(), strict=True))
    return ties


def tfidf(texts: Sequence[str], stop_words: frozenset[str] = STOP_WORDS) -> Any:
    """Unit vectors of texts: term frequency times smoothed inverse document frequency.

    idf(w) = ln((1 + n) / (1 + df(w))) + 1 for n texts, as is common practice; texts without
    any counted word are zero vectors.

    Returns:
      [n, V] sparse float64 rows; words in alphabetical order.
    """
    counts = [Counter(word for word in tokens(text) if word not in stop_words) for text in texts]
    vocabulary = {word: i for i, word in enumerate(sorted({w for one in counts for w in one}))}
    spread = Counter(word for one in counts for word in one)
    rows, columns, values = [], [], []
    for row, one in enumerate(counts):
        for word, number in one.items():
            rows.append(row)
            columns.append(vocabulary[word])
            values.append(number * (math.log((1 + len(texts)) / (1 + spread[word])) + 1.0))
    shape = (len(texts), max(len(vocabulary), 1))
    matrix = sparse.csr_matrix((values, (rows, columns)), shape=shape, dtype=np.float64)
    sizes = np.sqrt(np.asarray(matrix.multiply(matrix).sum(1)).ravel())
    return sparse.diags(1.0 / np.where(sizes > 0, sizes, 1.0)) @ matrix


def vectors_by_round(
    rounds: Sequence[Sequence[Told]], vectors: Callable[[Sequence[str]], Any] = tfidf
) -> list[Any]:
    """Unit vectors of the texts of every round, made of all texts together.

    Args:
      rounds: texts of a replicate. vectors: texts -> [n, V] sparse unit rows.
    """
    rows = vectors([one.text for told in rounds for one in told])
    ends = np.cumsum([len(told) for told in rounds])
    return [rows[end - len(told) : end] for told, end in zip(rounds, ends, strict=True)]


def similarity_matrix(parts: Sequence[Any]) -> list[list[float]]:
    """[T, T] mean similarity of rounds, for at most 64 of them, evenly chosen.

    The diagonal leaves out a text's likeness to itself, and is NaN for rounds of one text.
    """
    listed = np.unique(np.linspace(0, len(parts) - 1, _MOST_LISTED).round().astype(int))
    return [
        [
            mean_similarity(parts[a]) if a == b else mean_similarity(parts[a], parts[b])
            for b in listed
        ]
        for a in listed
    ]


def mean_similarity(left: Any, right: Any = None) -> float:
    """Mean cosine similarity of all pairs of unit rows; of distinct ones within one set.

    NaN where there is no pair.
    """
    if right is not None:
        if not left.shape[0] or not right.shape[0]:
            return float("nan")
        return float((left.mean(0) @ np.asarray(right.mean(0)).T).item())
    num = left.shape[0]
    if num < 2:
        return float("nan")
    total = np.asarray(left.sum(0)).ravel()
    own = float(left.multiply(left).sum())
    return float((total @ total - own) / (num * (num - 1)))
