"""Memory streams of a group: rows that are only added to, searched all at once.

A stream is a row of texts in the order they were kept. An agent's mind holds no texts, only
the *length* of its stream; rows beyond it do not count, so doing a step again writes the
same rows to the same places. Minds ask the desk with ``Remember`` and ``Recall``; what a
group wants to recall at a time is one matrix product over one array.

Vectors are held as whole numbers of length 4000, in two bytes each, and multiplied in float32
block by block. Every sum of their products stays below 2**24, so products are exact whatever the
order of summation, and a search gives the same bits on every machine, for one agent or a thousand.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from llm_agents.embeddings import Embedding, unit

__all__ = ["Entry", "Recall", "Recency", "Remember", "Row", "Streams", "Weights", "spread"]

SCALE = 4000.0
_ROOM = 16
_BLOCK = 1 << 17  # numbers multiplied at a time: as float32 they stay in a core's cache
_SCORED = 1 << 17  # memories scored at a time


class Entry(NamedTuple):
    """What is to be remembered.

    kind: "saw", "heard", "did", "thought" or "plan". importance: 1 to 10. now: the agent's
    own turn. evidence: ids of the memories that a thought rests on.
    """

    kind: str
    text: str
    importance: float = 1.0
    now: int = 0
    evidence: tuple[int, ...] = ()


class Row(NamedTuple):
    """A memory that was found; ``id`` counts from the agent's birth."""

    id: int
    entry: Entry
    score: float = 0.0


class Weights(NamedTuple):
    """How much each part counts in a memory's score."""

    recency: float = 1.0
    importance: float = 1.0
    relevance: float = 1.0


_EQUAL = Weights()


@dataclasses.dataclass(frozen=True, slots=True)
class Remember:
    """Add entries behind the first ``length`` rows of one's stream."""

    length: int
    entries: tuple[Entry, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Recall:
    """Find memories among the first ``length`` rows of one's stream.

    queries: texts; for each, the best ``most`` memories are found. Without any, the newest.
    now: the agent's own turn; what is found counts as used then.
    decay: what a memory's recency is multiplied by in every turn in which it is not used.
    leaves_trace: what is found counts as used.
    """

    queries: tuple[str, ...]
    length: int
    now: int
    most: int
    decay: float = 0.99
    weights: Weights = _EQUAL
    leaves_trace: bool = True


class Streams:
    """The memory streams of one group of agents.

    ids: [n, m] int64, which memory lies in a place, -1 = none. importance: [n, m] float32.
    used: [n, m] int32, the own turn in which it was last found or made.
    vectors: [n, m, d] int16. norms: [n, m] float32 lengths of them.
    A memory with id i lies at place i modulo ``capacity``: the oldest is overwritten.
    """

    def __init__(self, num_minds: int, embedding: Embedding, capacity: int) -> None:
        """Empty streams of ``num_minds`` agents, at most ``capacity`` memories each."""
        self.embedding, self.capacity, self.num_minds = embedding, capacity, num_minds
        self._entries: list[list[Entry]] = [[] for _ in range(num_minds)]
        self._fresh: list[tuple[int, int]] = []  # (agent, place) whose vector is not made yet
        self._recency = Recency()
        self.ids = np.full((num_minds, 0), -1, np.int64)
        self.importance = np.zeros((num_minds, 0), np.float32)
        self.used = np.zeros((num_minds, 0), np.int32)
        self.norms = np.zeros((num_minds, 0), np.float32)
        self.vectors = np.zeros((num_minds, 0, 0), np.int16)

    # ---- checkpoint ---------------------------------------------------------------------

    @property
    def state(self) -> dict[str, Any]:
        """Everything that is remembered, as plain values."""
        exact = self.embedding.exact
        if not exact:
            self._embed(())
        return {
            "entries": [
                [[e.kind, e.text, list(e.evidence), e.now] for e in entries]
                for entries in self._entries
            ],
            "ids": self.ids.copy(),
            "importance": self.importance.copy(),
            "used": self.used.copy(),
            "vectors": None if exact else self.vectors.copy(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what ``state`` once was."""
        self.ids = np.array(state["ids"])
        self.importance = np.array(state["importance"])
        self.used = np.array(state["used"])
        self.norms = np.zeros(self.ids.shape, np.float32)
        self.vectors = np.zeros((*self.ids.shape, 0), np.int16)
        self._entries = [
            [
                Entry(kind, text, float(self.importance[agent, place]), now, tuple(evidence))
                for place, (kind, text, evidence, now) in enumerate(entries)
            ]
            for agent, entries in enumerate(state["entries"])
        ]
        held = state["vectors"]
        if held is None or not held.size:
            agents, places = np.nonzero(self.ids >= 0)
            self._fresh = list(zip(agents.tolist(), places.tolist(), strict=True))
        else:
            self._fresh = []
            self.vectors = np.array(held, np.int16)
            self.norms = _lengths(self.vectors)

    # ---- writing ------------------------------------------------------------------------

    def remember(self, agent: int, request: Remember) -> int:
        """Add memories; returns the new length of the stream."""
        entries, ids = self._entries[agent], self.ids
        if request.length < min(len(entries), self.capacity):  # a newcomer, or a step done again
            del entries[request.length :]
            ids[agent, request.length :] = -1
        for number, entry in enumerate(request.entries):
            row = request.length + number
            place = row % self.capacity
            if place >= self.ids.shape[1]:
                self._grow(place + 1)
            if place < len(entries):
                entries[place] = entry
            else:
                entries.append(entry)
            self.ids[agent, place] = row
            self.importance[agent, place] = entry.importance
            self.used[agent, place] = entry.now
            self._fresh.append((agent, place))
        return request.length + len(request.entries)

    # ---- searching ----------------------------------------------------------------------

    def search(self, asked: Sequence[tuple[int, Recall]]) -> list[list[list[Row]]]:
        """Find memories for many agents at once.

        Args:
          asked: (agent, what it wants to recall); who asks twice is answered in turn.

        Returns:
          For each, for each of its queries (or once, without queries), rows best first.
        """
        vectors = self._embed([text for _, recall in asked for text in recall.queries])
        answers: list[list[list[Row]]] = [[] for _ in asked]
        searching = []
        for number, (agent, recall) in enumerate(asked):
            if not recall.queries:
                answers[number] = [self._newest(agent, recall)]
            elif recall.length and self.ids.shape[1]:
                searching.append(number)
            else:
                answers[number] = [[] for _ in recall.queries]
        searching.sort(key=lambda number: asked[number][0])
        while searching:
            once = {asked[number][0]: number for number in reversed(searching)}
            now = [number for number in searching if once[asked[number][0]] == number]
            searching = [number for number in searching if number not in set(now)]
            step = max(1, _SCORED // self.ids.shape[1])
            for start in range(0, len(now), step):
                self._search(asked, now[start : start + step], vectors, answers)
        return answers

    def _search(
        self,
        asked: Sequence[tuple[int, Recall]],
        searching: Sequence[int],
        vectors: np.ndarray,
        answers: list[list[list[Row]]],
    ) -> None:
        agents = np.asarray([asked[number][0] for number in searching])
        recalls = [asked[number][1] for number in searching]
        starts = np.cumsum([0, *(len(recall.queries) for _, recall in asked)])
        width = max(len(recall.queries) for recall in recalls)
        queries = np.zeros((len(agents), vectors.shape[1], width), np.float32)
        for place, number in enumerate(searching):
            count = len(asked[number][1].queries)
            queries[place, :, :count] = vectors[starts[number] : starts[number] + count].T
        rows = min(self.ids.shape[1], max(recall.length for recall in recalls))
        dots = _products(self.vectors, agents, rows, queries)
        scorer = _Scorer(self, agents, rows, recalls)
        for place, number in enumerate(searching):
            answers[number] = [[] for _ in recalls[place].queries]
        for column in range(width):
            for place, found in scorer.best(dots[:, :, column]):
                if column < len(recalls[place].queries):
                    agent = int(agents[place])
                    answers[searching[place]][column] = [
                        Row(int(self.ids[agent, spot]), self._entries[agent][spot], score)
                        for spot, score in found
                    ]
        for place, number in enumerate(searching):
            if not recalls[place].leaves_trace:
                continue
            spots = [row.id % self.capacity for found in answers[number] for row in found]
            self.used[agents[place], spots] = recalls[place].now

    def _newest(self, agent: int, recall: Recall) -> list[Row]:
        first = max(0, recall.length - min(recall.most, self.capacity))
        spots = [row % self.capacity for row in range(first, recall.length)]
        return [
            Row(row, self._entries[agent][spot])
            for row, spot in zip(range(first, recall.length), spots, strict=True)
        ]

    def _embed(self, queries: Sequence[str]) -> np.ndarray:
        """Make the vectors that are missing and those of the queries, in one batch."""
        fresh = list(dict.fromkeys(self._fresh))
        fresh = [(agent, place) for agent, place in fresh if self.ids[agent, place] >= 0]
        texts = [self._entries[agent][place].text for agent, place in fresh] + list(queries)
        if not texts:
            return np.zeros((0, self.vectors.shape[-1]), np.float32)
        vectors = np.rint(unit(self.embedding.embed(texts)) * SCALE).astype(np.float32)
        if self.vectors.shape[-1] != vectors.shape[1]:
            self.vectors = np.zeros((*self.ids.shape, vectors.shape[1]), np.int16)
        if fresh:
            agents, places = np.transpose(fresh)
            self.vectors[agents, places] = vectors[: len(fresh)]
            self.norms[agents, places] = _lengths(vectors[: len(fresh)])
        self._fresh = []
        return vectors[len(fresh) :]

    def _grow(self, needed: int) -> None:
        room = min(self.capacity, max(_ROOM, 2 * self.ids.shape[1], needed))
        more = room - self.ids.shape[1]
        self.ids = np.pad(self.ids, ((0, 0), (0, more)), constant_values=-1)
        self.importance = np.pad(self.importance, ((0, 0), (0, more)))
        self.used = np.pad(self.used, ((0, 0), (0, more)))
        self.norms = np.pad(self.norms, ((0, 0), (0, more)))
        self.vectors = np.pad(self.vectors, ((0, 0), (0, more), (0, 0)))


class Recency:
    """Powers of a decay, made by multiplying: the same bits on every machine."""

    def __init__(self) -> None:
        self._powers: dict[float, np.ndarray] = {}

    def of(self, decay: float, age: np.ndarray) -> np.ndarray:
        """Powers, elementwise: decay ** age, float32; ages are whole turns, never below 0."""
        age = np.maximum(age, 0)
        longest = int(age.max(initial=0)) + 1
        powers = self._powers.get(decay)
        if powers is None or len(powers) < longest:
            steps = np.full(2 * longest, decay)
            steps[0] = 1.0
            powers = self._powers[decay] = np.cumprod(steps).astype(np.float32)
        return powers[age]


def spread(values: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """Values of each row stretched from its lowest (0) to its highest (1) valid one.

    Where all are equal they are 0.5.

    Args:
      values: [n, m] float32. valid: [n, m] bool; the others come out as any number.
    """
    low = np.where(valid, values, np.inf).min(axis=1, keepdims=True).astype(np.float32)
    high = np.where(valid, values, -np.inf).max(axis=1, keepdims=True).astype(np.float32)
    gap = high - low
    with np.errstate(invalid="ignore"):
        stretched = (values - low) / np.where(gap > 0, gap, 1)
    return np.where(gap > 0, stretched, np.float32(0.5))


class _Scorer:
    """Recency and importance of the agents that search, made once for all their queries."""

    def __init__(
        self, streams: Streams, agents: np.ndarray, rows: int, recalls: Sequence[Recall]
    ) -> None:
        self.most = [recall.most for recall in recalls]
        self.ids = _rows_of(streams.ids, agents, rows)
        self.norms = _rows_of(streams.norms, agents, rows)
        lengths = np.asarray([recall.length for recall in recalls])[:, None]
        self.valid = (self.ids >= 0) & (self.ids < lengths)
        self.valid &= self.ids >= lengths - streams.capacity
        now = np.asarray([recall.now for recall in recalls], np.int32)[:, None]
        age = np.where(self.valid, now - _rows_of(streams.used, agents, rows), 0)
        decays = [recall.decay for recall in recalls]
        if len(set(decays)) == 1:
            recency = streams._recency.of(decays[0], age)
        else:
            pairs = zip(decays, age, strict=True)
            recency = np.stack([streams._recency.of(decay, row) for decay, row in pairs])
        weights = np.asarray([recall.weights for recall in recalls], np.float32)
        importance = _rows_of(streams.importance, agents, rows)
        self.base = weights[:, :1] * spread(recency, self.valid)
        self.base += weights[:, 1:2] * spread(importance, self.valid)
        self.relevance = weights[:, 2:]

    def best(self, dots: np.ndarray) -> list[tuple[int, list[tuple[int, float]]]]:
        """Places of the best memories of each agent with their scores; newer first among equals.

        Args:
          dots: [n, m] products of the memories' vectors with one query each.
        """
        alike = dots / np.where(self.norms > 0, self.norms, 1)
        score = self.base + self.relevance * spread(alike, self.valid)
        score = np.where(self.valid, score, -np.inf)
        rows, found = score.shape[1], []
        most = min(max(self.most), rows)
        bar = np.partition(score, rows - most, axis=1)[:, rows - most]
        for place, least in enumerate(bar.tolist()):
            spots = np.flatnonzero((score[place] >= least) & self.valid[place])
            order = np.lexsort((-self.ids[place, spots], -score[place, spots]))
            spots = spots[order][: self.most[place]]
            pairs = zip(spots.tolist(), score[place, spots].tolist(), strict=True)
            found.append((place, list(pairs)))
        return found


def _rows_of(array: np.ndarray, agents: np.ndarray, rows: int) -> np.ndarray:
    """The first rows of some agents: a view where they are neighbours, else a copy."""
    first, last = int(agents[0]), int(agents[-1])
    if last - first + 1 == len(agents) and np.array_equal(agents, np.arange(first, last + 1)):
        return array[first : last + 1, :rows]
    return array[agents, :rows]


def _products(
    vectors: np.ndarray, agents: np.ndarray, rows: int, queries: np.ndarray
) -> np.ndarray:
    """Products of the first rows of some agents with queries of their own.

    Args:
      vectors: [n, m, d] int16. agents: [k]. rows: how many of each. queries: [k, d, w] float32.

    Returns:
      [k, rows, w] float32.
    """
    width = vectors.shape[2]
    products = np.empty((len(agents), rows, queries.shape[2]), np.float32)
    several = max(1, _BLOCK // max(1, rows * width))
    long = min(rows, max(1, _BLOCK // max(1, width)))
    block = np.empty((several, long, width), np.float32)
    for first in range(0, len(agents), several):
        chosen = agents[first : first + several]
        for start in range(0, rows, long):
            end = min(start + long, rows)
            part = block[: len(chosen), : end - start]
            part[:] = _rows_of(vectors[:, start:end], chosen, end - start)
            np.matmul(
                part,
                queries[first : first + len(chosen)],
                out=products[first : first + len(chosen), start:end],
            )
    return products


def _lengths(vectors: np.ndarray) -> np.ndarray:
    squares = np.einsum("...d,...d->...", vectors, vectors, dtype=np.float64)
    return np.sqrt(squares).astype(np.float32)
