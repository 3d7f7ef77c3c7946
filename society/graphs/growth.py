"""Small worlds and scale-free graphs: Watts-Strogatz, Barabasi-Albert."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from society.graphs.base import GraphRule, Ties
from society.graphs.lattices import ring
from society.graphs.sampling import PairSet, code_pairs
from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["BarabasiAlbert", "WattsStrogatz"]

Columns = Mapping[str, np.ndarray]
EXACT_NODES = 512


@component("graph", "watts_strogatz")
@dataclasses.dataclass(frozen=True)
class WattsStrogatz(GraphRule):
    """A ring of neighbours, each tie moved to a random partner with probability p.

    Source: Watts and Strogatz (1998), doi:10.1038/30918.
    """

    k: int = doc_field(4, "neighbours on the ring, an even number", ge=2)
    p: float = doc_field(0.1, "probability that a tie is moved", ge=0, le=1)

    def check(self, num: int, columns: Columns) -> None:
        """``k`` even and below the number of nodes, ``p`` a probability."""
        if self.k % 2 or self.k >= max(num, 1) or self.k < 2:
            raise ValueError(
                f"watts_strogatz with k: {self.k} among {num} nodes; k must be even and below {num}"
            )
        if not 0 <= self.p <= 1:
            raise ValueError(f"watts_strogatz with p: {self.p}; use a probability in [0, 1]")

    def edges(self, num: int, rng: np.random.Generator, columns: Columns) -> Ties:
        """Keep one end of each moved tie; the other becomes anybody it is not tied to."""
        pairs = ring(num, self.k // 2)
        moved = rng.random(len(pairs)) < self.p
        if not moved.any() or self.k >= num - 1:
            return Ties(pairs)
        ties = PairSet(code_pairs(pairs[~moved], num), num)
        anchors = pairs[moved, 0].astype(np.int64)
        partners = ties.place(rng, anchors, lambda rng, here: rng.integers(0, num, len(here)))
        for row in np.flatnonzero(partners < 0):
            free = ties.free_for(int(anchors[row]))
            # Somebody tied to all others keeps the tie's number by one at random elsewhere.
            while not len(free):
                anchors[row] = rng.integers(num)
                free = ties.free_for(int(anchors[row]))
            partners[row] = rng.choice(free)
            ties.add(code_pairs(np.array([[anchors[row], partners[row]]]), num))
        pairs = pairs.copy()
        pairs[moved] = np.stack([anchors, partners], 1)
        return Ties(pairs)


@component("graph", "barabasi_albert")
@dataclasses.dataclass(frozen=True)
class BarabasiAlbert(GraphRule):
    """Each node that arrives is tied to m others, chosen in proportion to their degrees.

    Starts, as networkx does, from a star of m + 1 nodes. An arriving tie copies a random
    end of an earlier tie; chains of copies are followed for all nodes at once.

    Source: Barabasi and Albert (1999), doi:10.1126/science.286.5439.509; the copying is
    Batagelj and Brandes (2005), section IV, doi:10.1103/PhysRevE.71.036113, with
    repeated partners drawn anew.
    """

    m: int = doc_field(2, "ties that each arriving node brings", ge=1)

    def check(self, num: int, columns: Columns) -> None:
        """``m`` between 1 and the number of nodes less one."""
        if not 1 <= self.m < max(num, 1):
            raise ValueError(
                f"barabasi_albert with m: {self.m} among {num} nodes; use 1 to {max(num - 1, 1)}"
            )

    def edges(self, num: int, rng: np.random.Generator, columns: Columns) -> Ties:
        """The first nodes one by one, the others all at once."""
        m = self.m
        early = min(num, max(EXACT_NODES, 2 * m + 2))
        ends = np.zeros(2 * m * (num - m), np.int64)
        ends[0 : 2 * m : 2] = 0
        ends[1 : 2 * m : 2] = np.arange(1, m + 1)
        for node in range(m + 1, early):
            filled = 2 * m * (node - m)
            chosen: list[int] = []
            while len(chosen) < m:
                partner = int(ends[rng.integers(filled)])
                if partner not in chosen:
                    chosen.append(partner)
            ends[filled : filled + 2 * m : 2] = node
            ends[filled + 1 : filled + 2 * m : 2] = chosen
        if num > early:
            _grow(rng, ends, early, num, m)
        return Ties(ends.reshape(-1, 2).astype(np.int32))


def _grow(rng: np.random.Generator, ends: np.ndarray, early: int, num: int, m: int) -> None:
    """Let nodes ``early`` to ``num`` arrive, in place.

    ``ends`` alternates the arriving node (even places) and its partner (odd places). A
    partner is a copy of an earlier place; copies of copies are followed by doubling.
    """
    nodes = np.repeat(np.arange(early, num, dtype=np.int64), m)
    filled = 2 * m * (early - m)
    ends[filled::2] = nodes
    before = 2 * m * (nodes - m)
    source = rng.integers(0, before)
    while True:
        partners = _follow(source, ends, filled)
        again = _repeats(partners.reshape(-1, m))
        if not len(again):
            break
        source[again] = rng.integers(0, before[again])
    ends[filled + 1 :: 2] = partners


def _follow(source: np.ndarray, ends: np.ndarray, filled: int) -> np.ndarray:
    """The nodes at the ends of chains of copies."""
    source = source.copy()
    # Odd places from ``filled`` on are partners still to be known: (place - filled) // 2.
    waiting = np.flatnonzero((source >= filled) & (source & 1 == 1))
    while len(waiting):
        source[waiting] = source[(source[waiting] - filled) >> 1]
        here = source[waiting]
        waiting = waiting[(here >= filled) & (here & 1 == 1)]
    return ends[source]


def _repeats(partners: np.ndarray) -> np.ndarray:
    """Flat places of partners that an arriving node already has further left."""
    again = np.zeros(partners.shape, bool)
    for column in range(1, partners.shape[1]):
        again[:, column] = (partners[:, :column] == partners[:, column : column + 1]).any(1)
    return np.flatnonzero(again)
