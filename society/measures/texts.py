"""Texts of a run as measures read them: who told what when, word by word."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from society.contract import Record
from worlds.text.words import tokens

__all__ = ["STOP_WORDS", "Told", "mean_similarity", "tfidf", "told_by_round"]

STOP_WORDS = frozenset(
    "a about after again all am an and any are as at be because been before being below between "
    "both but by can could did do does doing down during each few for from further had has have "
    "having he her here hers him his how i if in into is it its just me more most my no nor not "
    "now of off on once only or other our ours out over own same she should so some such than "
    "that the their theirs them then there these they this those through to too under until up "
    "very was we were what when where which while who whom why will with would you your".split()
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
    rounds: dict[tuple[int, int, int], list[Told]] = {}
    for event in record.events:
        if event.kind == "world" and event.data["kind"] == kind:
            place = (event.generation, event.episode, event.step)
            rounds.setdefault(place, []).append(
                Told(0, int(event.data["slot"]), str(event.data["data"]))
            )
    return [
        [one._replace(round=number) for one in sorted(rounds[place], key=lambda one: one.slot)]
        for number, place in enumerate(sorted(rounds))
    ]


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
