"""How newborns come by their ties, within the capacity that the graph was built with."""

import abc
import dataclasses

import numpy as np

from society.graphs import edit
from society.graphs.edit import Edited
from society.graphs.rewiring import Situation
from worlds.registry import component
from worlds.tree import doc_field
from worlds.types import Graph

__all__ = [
    "AttachNone",
    "AttachPreferential",
    "AttachRandom",
    "AttachRule",
    "AttachToParents",
    "attach_newborns",
]


class AttachRule(abc.ABC):
    """Ties newborns to others; frozen dataclasses under ``@component("attach", name)``."""

    @abc.abstractmethod
    def apply(
        self,
        graph: Graph,
        rng: np.random.Generator,
        newborns: np.ndarray,
        parents: np.ndarray,
        situation: Situation,
    ) -> Edited:
        """Add ties; those that find no room are refused and counted.

        Args:
          graph: in which the newborns' slots have no ties.
          rng: consumed.
          newborns: [B] slots.
          parents: [B, P] slots, -1 = none.
          situation: ``alive`` includes the newborns.
        """


def attach_newborns(
    graph: Graph,
    rule: AttachRule,
    rng: np.random.Generator,
    newborns: np.ndarray,
    parents: np.ndarray,
    situation: Situation,
) -> Edited:
    """Cut whatever ties the slots' former holders left, then let the rule tie the newborns."""
    if graph.complete or not len(newborns):
        return Edited(graph, 0)
    newborns = np.asarray(newborns, np.int64)
    parents = np.asarray(parents, np.int64).reshape(len(newborns), -1)
    return rule.apply(edit.remove_slots(graph, newborns), rng, newborns, parents, situation)


@component("attach", "none")
@dataclasses.dataclass(frozen=True)
class AttachNone(AttachRule):
    """Newborns begin without ties."""

    def apply(
        self,
        graph: Graph,
        rng: np.random.Generator,
        newborns: np.ndarray,
        parents: np.ndarray,
        situation: Situation,
    ) -> Edited:
        """Nothing is added."""
        return Edited(graph, 0)


@component("attach", "random")
@dataclasses.dataclass(frozen=True)
class AttachRandom(AttachRule):
    """Newborns are tied to k others, each equally likely."""

    k: int = doc_field(2, "ties of each newborn", ge=0)

    def apply(
        self,
        graph: Graph,
        rng: np.random.Generator,
        newborns: np.ndarray,
        parents: np.ndarray,
        situation: Situation,
    ) -> Edited:
        """Draw among the living."""
        draw = edit.anybody(graph, situation.alive)
        return edit.tie_anew(graph, np.repeat(newborns, self.k), draw, rng)


@component("attach", "preferential")
@dataclasses.dataclass(frozen=True)
class AttachPreferential(AttachRule):
    """Newborns are tied to k others in proportion to their ties, plus one for everybody.

    Source: Barabasi and Albert (1999), doi:10.1126/science.286.5439.509; the one added lets
    those without ties be found, as in Dorogovtsev et al. (2000), doi:10.1103/PhysRevLett.85.4633.
    """

    k: int = doc_field(2, "ties of each newborn", ge=0)

    def apply(
        self,
        graph: Graph,
        rng: np.random.Generator,
        newborns: np.ndarray,
        parents: np.ndarray,
        situation: Situation,
    ) -> Edited:
        """Draw by degree among the living."""
        alive = situation.alive
        weight = edit.degrees(graph) + 1
        weight = weight if alive is None else np.where(alive, weight, 0)
        ends = np.cumsum(weight)

        def draw(rng: np.random.Generator, anchors: np.ndarray) -> np.ndarray:
            if not ends[-1]:
                return np.full(len(anchors), -1)
            return np.searchsorted(ends, rng.integers(0, ends[-1], len(anchors)), side="right")

        return edit.tie_anew(graph, np.repeat(newborns, self.k), draw, rng)


@component("attach", "parents_neighbours")
@dataclasses.dataclass(frozen=True)
class AttachToParents(AttachRule):
    """Newborns are tied to their parents and inherit the parents' ties."""

    share: float = doc_field(1.0, "probability that each tie of a parent is inherited", ge=0, le=1)

    def apply(
        self,
        graph: Graph,
        rng: np.random.Generator,
        newborns: np.ndarray,
        parents: np.ndarray,
        situation: Situation,
    ) -> Edited:
        """First the parents, then their neighbours."""
        known = parents >= 0
        child = np.repeat(newborns, parents.shape[1])[known.ravel()]
        parent = parents[known]
        offsets = np.asarray(graph.offsets)
        count = (offsets[parent + 1] - offsets[parent]).astype(np.int64)
        first = np.repeat(offsets[parent] - (np.cumsum(count) - count), count)
        friend = np.asarray(graph.senders)[first + np.arange(int(count.sum()))]
        heir = np.repeat(child, count)
        inherited = rng.random(len(heir)) < self.share
        pairs = np.concatenate(
            [
                np.stack([parent, child], 1),
                np.stack([friend[inherited], heir[inherited]], 1),
            ]
        )
        alive = situation.alive
        if alive is not None:
            pairs = pairs[np.asarray(alive)[pairs[:, 0]]]
        return edit.add_pairs(graph, pairs)
