"""Draws that many graph rules share: Bernoulli pairs, and ties that must not exist yet."""

from collections.abc import Callable

import numpy as np

from society.graphs.base import MOST_TIES

__all__ = ["PairSet", "bernoulli", "code_pairs", "decode_pairs"]


def bernoulli(rng: np.random.Generator, total: int, probability: float) -> np.ndarray:
    """Which of ``total`` coins come up, each with the same probability.

    Draws the gaps between heads, so the work grows with the heads, not with the coins.

    Returns:
      [heads] int64, increasing.

    Source: Batagelj and Brandes (2005), section II, doi:10.1103/PhysRevE.71.036113.
    """
    if total <= 0 or probability <= 0:
        return np.zeros(0, np.int64)
    if total * probability > MOST_TIES:
        raise ValueError(
            f"about {total * probability:.3g} ties are expected, more than {MOST_TIES}; "
            "choose a lower probability or mean_degree"
        )
    if probability >= 1:
        return np.arange(total, dtype=np.int64)
    found, last = [], -1
    while last < total:
        expected = (total - last) * probability
        gaps = rng.geometric(probability, int(expected + 4 * np.sqrt(expected) + 16))
        # A gap can be as large as int64 allows when the probability is tiny.
        places = last + np.cumsum(np.minimum(gaps, total + 1))
        found.append(places)
        last = int(places[-1])
    places = found[0] if len(found) == 1 else np.concatenate(found)
    return places[: np.searchsorted(places, total)]


def code_pairs(pairs: np.ndarray, num: int, directed: bool = False) -> np.ndarray:
    """[E] int64, one number a tie; undirected ties get the same one in either order."""
    first, second = np.asarray(pairs, np.int64).T
    if directed:
        return first * num + second
    return np.minimum(first, second) * num + np.maximum(first, second)


def decode_pairs(codes: np.ndarray, num: int) -> np.ndarray:
    """[E, 2] int32 pairs that ``code_pairs`` made numbers of."""
    return np.stack(np.divmod(codes, max(num, 1)), 1).astype(np.int32)


class PairSet:
    """A set of ties that can be asked about millions of pairs at once.

    The bulk is a sorted array; the few changes since it was sorted are a set of additions
    and one of removals. A value for the span of one function, never state of a run.
    """

    def __init__(self, codes: np.ndarray, num: int, directed: bool = False) -> None:
        """Hold the ties with these codes (see ``code_pairs``), sorted or not."""
        self.codes = np.sort(codes)
        self.num = num
        self.directed = directed
        self.added: set[int] = set()
        self.removed: set[int] = set()

    def has(self, codes: np.ndarray) -> np.ndarray:
        """Which of the codes are in the set."""
        codes = np.asarray(codes, np.int64)
        if not len(self.codes):
            inside = np.zeros(codes.shape, bool)
        else:
            place = np.searchsorted(self.codes, codes)
            inside = self.codes[np.minimum(place, len(self.codes) - 1)] == codes
        if self.removed:
            inside &= ~np.isin(codes, np.fromiter(self.removed, np.int64))
        if self.added:
            inside |= np.isin(codes, np.fromiter(self.added, np.int64))
        return inside

    def add(self, codes: np.ndarray) -> None:
        """Put codes in that are not there yet."""
        new = set(np.asarray(codes).tolist())
        self.added |= new - self.removed
        self.removed -= new

    def remove(self, codes: np.ndarray) -> None:
        """Take codes out that are there."""
        old = set(np.asarray(codes).tolist())
        self.removed |= old - self.added
        self.added -= old

    def place(
        self,
        rng: np.random.Generator,
        anchors: np.ndarray,
        draw: Callable[[np.random.Generator, np.ndarray], np.ndarray],
        tries: int = 60,
    ) -> np.ndarray:
        """Tie each anchor to somebody it is not tied to yet, and add those ties.

        Args:
          rng: consumed.
          anchors: [A] nodes.
          draw: (rng, anchors) -> candidates, one for each; negative = there is none.
          tries: rounds of drawing before the last ones get any node that is free.

        Returns:
          [A] int64 partners, -1 where an anchor is tied to everybody already.
        """
        partners = np.full(len(anchors), -1, np.int64)
        open_rows = np.arange(len(anchors))
        for _ in range(tries):
            if not len(open_rows):
                return partners
            here = anchors[open_rows]
            there = draw(rng, here)
            codes = code_pairs(np.stack([here, there], 1), self.num, self.directed)
            good = (there >= 0) & (there != here) & ~self.has(codes)
            first = np.zeros(len(codes), bool)
            first[np.unique(np.where(good, codes, -1), return_index=True)[1]] = True
            good &= first
            partners[open_rows[good]] = there[good]
            self._keep(codes[good])
            open_rows = open_rows[~good]
        return partners

    def free_for(self, anchor: int) -> np.ndarray:
        """All nodes that an anchor is not tied to."""
        others = np.delete(np.arange(self.num), anchor)
        pairs = np.stack([np.full_like(others, anchor), others], 1)
        return others[~self.has(code_pairs(pairs, self.num, self.directed))]

    def _keep(self, codes: np.ndarray) -> None:
        if len(codes) > 4096:
            self.codes = np.sort(np.concatenate([self.all(), codes]))
            self.added, self.removed = set(), set()
        else:
            self.add(codes)

    def all(self) -> np.ndarray:
        """Every code in the set, sorted."""
        codes = self.codes
        if self.removed:
            codes = codes[~np.isin(codes, np.fromiter(self.removed, np.int64))]
        if self.added:
            codes = np.sort(np.concatenate([codes, np.fromiter(self.added, np.int64)]))
        return codes
