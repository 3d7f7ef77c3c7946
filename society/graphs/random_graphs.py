"""Graphs by chance: Erdos-Renyi, random regular, stochastic blocks."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from society.graphs.base import GraphRule, Ties
from society.graphs.lattices import pairs_in_blocks, ring
from society.graphs.sampling import PairSet, bernoulli, code_pairs
from society.graphs.swaps import swap_ends
from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["ErdosRenyi", "RandomRegular", "StochasticBlock"]

Columns = Mapping[str, np.ndarray]
DENSE = 64


@component("graph", "erdos_renyi")
@dataclasses.dataclass(frozen=True)
class ErdosRenyi(GraphRule):
    """Each pair is tied with the same probability.

    Source: Gilbert (1959), doi:10.1214/aoms/1177706098.
    """

    p: float | None = doc_field(None, "probability of each tie", ge=0, le=1)
    mean_degree: float | None = doc_field(None, "expected neighbours, instead of p", ge=0)
    directed: bool = doc_field(False, "each direction is drawn for itself")

    def check(self, num: int, columns: Columns) -> None:
        """Exactly one of ``p`` and ``mean_degree``, and within reach."""
        if (self.p is None) == (self.mean_degree is None):
            raise ValueError("erdos_renyi needs exactly one of p and mean_degree")
        if not 0 <= self.probability(num) <= 1:
            given = f"p: {self.p}" if self.p is not None else f"mean_degree: {self.mean_degree}"
            raise ValueError(
                f"erdos_renyi with {given} among {num} nodes; p must lie in [0, 1] and "
                f"mean_degree in [0, {max(num - 1, 0)}]"
            )

    def probability(self, num: int) -> float:
        """Chance of each tie among ``num`` nodes."""
        if self.p is not None:
            return self.p
        assert self.mean_degree is not None
        return self.mean_degree / max(num - 1, 1)

    def edges(self, num: int, rng: np.random.Generator, columns: Columns) -> Ties:
        """Heads among all pairs, found by the gaps between them."""
        chance = self.probability(num)
        if self.directed:
            code = bernoulli(rng, num * (num - 1), chance)
            sender, other = np.divmod(code, max(num - 1, 1))
            pairs = np.stack([sender, other + (other >= sender)], 1)
            return Ties(pairs.astype(np.int32), directed=True)
        index = bernoulli(rng, num * (num - 1) // 2, chance)
        return Ties(pairs_in_blocks(index, np.array([num])))


@component("graph", "random_regular")
@dataclasses.dataclass(frozen=True)
class RandomRegular(GraphRule):
    """Everybody has exactly ``degree`` neighbours, otherwise at random.

    Half-ties are paired at random; the few ties to oneself or doubled are then swapped
    with random others, which leaves all degrees as they are. With more than 64 neighbours
    such ties are many; then a ring is mixed by double edge swaps instead. Degrees above
    half of the nodes are the complement of a sparser graph.

    Source: Bollobas (1980), doi:10.1016/S0195-6698(80)80030-8; repair by switchings as in
    McKay and Wormald (1990), doi:10.1016/0196-6774(90)90029-E, without their rejections.
    """

    degree: int = doc_field(dataclasses.MISSING, "neighbours of everybody", ge=0)

    def check(self, num: int, columns: Columns) -> None:
        """Degree below the number of nodes, and their product even."""
        if not 0 <= self.degree < max(num, 1) or self.degree * num % 2:
            raise ValueError(
                f"random_regular with degree: {self.degree} among {num} nodes; degree must be "
                f"below {num} and degree x nodes even"
            )

    def edges(self, num: int, rng: np.random.Generator, columns: Columns) -> Ties:
        """A random pairing of half-ties, repaired."""
        if self.degree > (num - 1) / 2:
            sparse = _regular(rng, num, num - 1 - self.degree)
            every = np.stack(np.triu_indices(num, 1), 1)
            absent = ~PairSet(code_pairs(sparse, num), num).has(code_pairs(every, num))
            return Ties(every[absent].astype(np.int32))
        return Ties(_regular(rng, num, self.degree))


@component("graph", "stochastic_block")
@dataclasses.dataclass(frozen=True)
class StochasticBlock(GraphRule):
    """Ties are likelier within blocks than between them.

    Blocks are sizes in order, a number of equal blocks, or the values of an attribute.

    Source: Holland, Laskey, Leinhardt (1983), doi:10.1016/0378-8733(83)90021-7.
    """

    blocks: int = doc_field(0, "number of equal blocks (sizes differ by at most one)", ge=0)
    sizes: tuple[int, ...] = doc_field((), "nodes of each block, instead of blocks")
    attribute: str = doc_field("", "an attribute whose values are the blocks")
    p_in: float = doc_field(dataclasses.MISSING, "probability of a tie within", ge=0, le=1)
    p_out: float = doc_field(dataclasses.MISSING, "probability of a tie between", ge=0, le=1)

    def check(self, num: int, columns: Columns) -> None:
        """One of blocks, sizes and attribute; sizes must add up."""
        if bool(self.blocks) + bool(self.sizes) + bool(self.attribute) != 1:
            raise ValueError("stochastic_block needs exactly one of blocks, sizes and attribute")
        if self.sizes and sum(self.sizes) != num:
            raise ValueError(
                f"sizes {list(self.sizes)} add up to {sum(self.sizes)}, not to {num} nodes"
            )
        if self.blocks > max(num, 1):
            raise ValueError(f"blocks: {self.blocks} among {num} nodes; use at most {num}")
        if self.attribute and self.attribute not in columns:
            raise ValueError(
                f"no attribute {self.attribute!r}; attributes are {', '.join(columns) or 'none'}"
            )
        for name in ("p_in", "p_out"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name}: {getattr(self, name)}; use a probability in [0, 1]")

    def edges(self, num: int, rng: np.random.Generator, columns: Columns) -> Ties:
        """Pairs within blocks by ``p_in``; of all pairs by ``p_out``, those between blocks."""
        order, sizes = self._layout(num, columns)
        within = bernoulli(rng, int((sizes * (sizes - 1) // 2).sum()), self.p_in)
        inside = pairs_in_blocks(within, sizes)
        every = bernoulli(rng, num * (num - 1) // 2, self.p_out)
        across = pairs_in_blocks(every, np.array([num]))
        block = np.repeat(np.arange(len(sizes)), sizes)
        across = across[block[across[:, 0]] != block[across[:, 1]]]
        return Ties(order[np.concatenate([inside, across])].astype(np.int32))

    def _layout(self, num: int, columns: Columns) -> tuple[np.ndarray, np.ndarray]:
        """Nodes in order of their blocks, and the sizes of the blocks."""
        if self.attribute:
            _, code = np.unique(np.asarray(columns[self.attribute]), return_inverse=True)
            return np.argsort(code, kind="stable"), np.bincount(code).astype(np.int64)
        if self.sizes:
            return np.arange(num), np.asarray(self.sizes, np.int64)
        sizes = np.full(self.blocks, num // self.blocks, np.int64)
        sizes[: num % self.blocks] += 1
        return np.arange(num), sizes


def _regular(rng: np.random.Generator, num: int, degree: int) -> np.ndarray:
    """[num * degree / 2, 2] int32 ties in which every node has the same degree."""
    if not degree:
        return np.zeros((0, 2), np.int32)
    if degree > DENSE:
        return swap_ends(rng, _circulant(num, degree), num, rounds=40)
    for _ in range(100):
        halves = np.repeat(np.arange(num, dtype=np.int32), degree)
        rng.shuffle(halves)
        pairs = halves.reshape(-1, 2)
        if _repair(rng, pairs, num):
            return pairs
    raise ValueError(f"no graph of degree {degree} among {num} nodes was found; try another seed")


def _circulant(num: int, degree: int) -> np.ndarray:
    """A ring in which everybody is tied to the nearest ``degree`` (with the opposite if odd)."""
    pairs = ring(num, degree // 2)
    if degree % 2:
        half = np.arange(num // 2, dtype=np.int32)
        pairs = np.concatenate([pairs, np.stack([half, half + num // 2], 1)])
    return pairs


def _repair(rng: np.random.Generator, pairs: np.ndarray, num: int) -> bool:
    """Swap loops and repetitions away, in place; False where that does not succeed."""
    codes = code_pairs(pairs, num)
    known = PairSet(codes, num)
    bad = _bad_rows(pairs, codes, known.codes)
    open_rows = set(bad)
    counts: dict[int, int] = {}
    for _ in range(200 * len(bad) + 200):
        while bad and bad[-1] not in open_rows:
            bad.pop()
        if not bad:
            return True
        row, other = bad[-1], int(rng.integers(len(pairs)))
        new = _swapped(pairs[row], pairs[other], num)
        if row == other or new is None or any(_count(counts, known, code) for code, _ in new):
            continue
        for place, (code, pair) in zip((row, other), new, strict=True):
            old = int(codes[place])
            counts[old] = _count(counts, known, old) - 1
            pairs[place], codes[place], counts[code] = pair, code, 1
        open_rows -= {row, other}
    return not open_rows


def _bad_rows(pairs: np.ndarray, codes: np.ndarray, ordered: np.ndarray) -> list[int]:
    """Ties to oneself, and all but the first of equal ties."""
    repeated = ordered[1:][ordered[1:] == ordered[:-1]]
    rows = np.flatnonzero(np.isin(codes, repeated)) if len(repeated) else np.zeros(0, np.int64)
    again = np.ones(len(rows), bool)
    again[np.unique(codes[rows], return_index=True)[1]] = False
    loops = np.flatnonzero(pairs[:, 0] == pairs[:, 1])
    return np.union1d(rows[again], loops).tolist()


def _swapped(
    pair: np.ndarray, other: np.ndarray, num: int
) -> list[tuple[int, tuple[int, int]]] | None:
    """The two ties, with their codes, after two have swapped ends; None where they would loop."""
    (first, second), (third, fourth) = pair.tolist(), other.tolist()
    if first == third or second == fourth:
        return None
    new = [(min(first, third), max(first, third)), (min(second, fourth), max(second, fourth))]
    if new[0] == new[1]:
        return None
    return [(low * num + high, (low, high)) for low, high in new]


def _count(counts: dict[int, int], known: PairSet, code: int) -> int:
    """How often a tie occurs now, given how often it did at first."""
    if code not in counts:
        low = np.searchsorted(known.codes, code, side="left")
        counts[code] = int(np.searchsorted(known.codes, code, side="right") - low)
    return counts[code]
