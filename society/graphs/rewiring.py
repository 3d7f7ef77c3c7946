"""Rewiring rules: who drops whom between steps, and whom they turn to instead.

They run on the host and keep the number of ties and all shapes. A tie for which no new
partner is found stays.
"""

import abc
import dataclasses
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from society.graphs import edit
from society.graphs.base import unpack
from worlds.registry import component
from worlds.tree import doc_field
from worlds.types import Graph

__all__ = ["CutDefectors", "Homophily", "RandomRewire", "RewireRule", "Situation"]


class Situation(NamedTuple):
    """What rewiring and attachment may look at.

    alive: [N] bool. defected: [N] bool, who defected in the last step. types: [N] int
    strategy index. columns: attribute name -> [N]. Each may be None or empty if unknown.
    """

    alive: np.ndarray | None = None
    defected: np.ndarray | None = None
    types: np.ndarray | None = None
    columns: Mapping[str, np.ndarray] = {}


class RewireRule(abc.ABC):
    """Changes ties between steps; frozen dataclasses under ``@component("rewire", name)``.

    ``keeps_degrees`` tells the builder that the table of neighbours needs no spare columns.
    ``reads`` names the parts of the Situation that must be given.
    """

    keeps_degrees: ClassVar[bool] = False
    reads: ClassVar[tuple[str, ...]] = ("alive",)
    every: int

    @abc.abstractmethod
    def apply(self, graph: Graph, rng: np.random.Generator, situation: Situation) -> Graph:
        """Return the graph after rewiring, in the same shapes."""


@component("rewire", "random")
@dataclasses.dataclass(frozen=True)
class RandomRewire(RewireRule):
    """Ties change at random: all degrees are kept, or only the number of ties.

    Source: Maslov and Sneppen (2002), doi:10.1126/science.1065103.
    """

    keep: Literal["degrees", "ties"] = doc_field("degrees", "what stays as it is")
    share: float = doc_field(1.0, "share of the ties that change", ge=0, le=1)
    every: int = doc_field(1, "steps between rewirings", ge=1)

    def apply(self, graph: Graph, rng: np.random.Generator, situation: Situation) -> Graph:
        """Swap ends, ten times over if all ties are meant; or draw pairs."""
        rounds = 10 if self.share >= 1 else 1
        return edit.randomise(graph, self.keep, rng, rounds=rounds, share=self.share)


@component("rewire", "cut_defectors")
@dataclasses.dataclass(frozen=True)
class CutDefectors(RewireRule):
    """Ties with those who just defected are dropped and turned to somebody else.

    The partner of the defector keeps its end; where both defected, a random one does.

    Source: Santos, Pacheco, Lenaerts (2006), doi:10.1371/journal.pcbi.0020140, with the
    decision to drop drawn with probability ``p`` instead of by comparing payoffs.
    """

    p: float = doc_field(0.1, "probability that such a tie is dropped", ge=0, le=1)
    to: Literal["random", "neighbour_of_neighbour"] = doc_field(
        "random", "who becomes the new partner"
    )
    every: int = doc_field(1, "steps between rewirings", ge=1)
    reads: ClassVar[tuple[str, ...]] = ("alive", "defected")

    def apply(self, graph: Graph, rng: np.random.Generator, situation: Situation) -> Graph:
        """Cut with probability ``p``; friends of friends first, where asked for."""
        if situation.defected is None:
            raise ValueError(
                "cut_defectors must know who defected, but this world does not say; "
                "use a world with cooperation, or rewire: {use: random}"
            )
        ties = unpack(graph)
        guilty = np.asarray(situation.defected, bool)[ties.pairs]
        concerned = guilty[:, 0] if ties.directed else guilty.any(1)
        rows = np.flatnonzero(concerned & (rng.random(len(guilty)) < self.p))
        coin = rng.integers(0, 2, len(rows))
        keeper = np.where(guilty[rows].all(1), coin, guilty[rows, 0])
        draw = edit.anybody(graph, situation.alive)
        if self.to == "neighbour_of_neighbour":
            draw = _friends_first(graph, situation.alive, draw)
        return edit.move_ties(graph, rows, keeper.astype(np.int64), draw, rng)


@component("rewire", "homophily")
@dataclasses.dataclass(frozen=True)
class Homophily(RewireRule):
    """Ties between the unlike are dropped and turned to somebody alike.

    Source: Holme and Newman (2006), doi:10.1103/PhysRevE.74.056108 (the rewiring half).
    """

    by: str = doc_field("types", "an attribute, or types for strategies")
    within: float = doc_field(0.0, "how far numbers may differ and still be alike", ge=0)
    p: float = doc_field(0.1, "probability that an unlike tie is dropped", ge=0, le=1)
    every: int = doc_field(1, "steps between rewirings", ge=1)
    reads: ClassVar[tuple[str, ...]] = ("alive", "types")

    def apply(self, graph: Graph, rng: np.random.Generator, situation: Situation) -> Graph:
        """Cut with probability ``p``; a random end looks among its like."""
        values = self._values(situation)
        ties = unpack(graph)
        ends = values[ties.pairs]
        unlike = np.abs(ends[:, 0] - ends[:, 1]) > self.within
        rows = np.flatnonzero(unlike & (rng.random(len(ends)) < self.p))
        keeper = rng.integers(0, 2, len(rows))
        draw = _alike(values, self.within, situation.alive)
        return edit.move_ties(graph, rows, keeper, draw, rng)

    def _values(self, situation: Situation) -> np.ndarray:
        """[N] numbers to compare; categories become their index."""
        if self.by in situation.columns:
            column = np.asarray(situation.columns[self.by])
        elif self.by == "types" and situation.types is not None:
            column = np.asarray(situation.types)
        else:
            names = ", ".join(situation.columns) or "none"
            raise ValueError(f"homophily by {self.by!r}: attributes are {names}; or use by: types")
        if column.dtype.kind in "if":
            return column.astype(np.float64)
        if self.within:
            raise ValueError(
                f"{self.by!r} holds no numbers, so within: {self.within} means nothing"
            )
        return np.unique(column.astype(str), return_inverse=True)[1].astype(np.float64)


def _alike(values: np.ndarray, within: float, alive: np.ndarray | None) -> edit.Draw:
    """A draw of somebody whose value differs by no more than ``within``."""
    order = np.argsort(values, kind="stable")
    order = order if alive is None else order[np.asarray(alive)[order]]
    ordered = values[order]

    def draw(rng: np.random.Generator, anchors: np.ndarray) -> np.ndarray:
        low = np.searchsorted(ordered, values[anchors] - within, side="left")
        count = np.searchsorted(ordered, values[anchors] + within, side="right") - low
        place = low + rng.integers(0, np.maximum(count, 1))
        return np.where(count > 0, order[np.minimum(place, len(order) - 1)], -1)

    return draw


def _friends_first(graph: Graph, alive: np.ndarray | None, otherwise: edit.Draw) -> edit.Draw:
    """A draw of a neighbour's neighbour; of anybody after ten tries, and where there is none."""
    offsets, senders = np.asarray(graph.offsets), np.asarray(graph.senders)
    tries = [0]

    def hop(rng: np.random.Generator, here: np.ndarray) -> np.ndarray:
        count = offsets[here + 1] - offsets[here]
        place = offsets[here] + rng.integers(0, np.maximum(count, 1))
        there = senders[np.minimum(place, len(senders) - 1)]
        return np.where(count > 0, there, here)

    def draw(rng: np.random.Generator, anchors: np.ndarray) -> np.ndarray:
        tries[0] += 1
        if tries[0] > 10:
            return otherwise(rng, anchors)
        found = hop(rng, hop(rng, anchors))
        return found if alive is None else np.where(np.asarray(alive)[found], found, -1)

    return draw
