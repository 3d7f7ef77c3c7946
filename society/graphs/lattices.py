"""Graphs without chance: complete, empty, star, path, cycle, grid, connected caves."""

import dataclasses
import math
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np

from society.graphs.base import MOST_TIES, GraphRule, Ties
from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["Complete", "ConnectedCaveman", "Cycle", "Empty", "Grid2D", "Path", "Star"]

Columns = Mapping[str, np.ndarray]


@component("graph", "complete")
@dataclasses.dataclass(frozen=True)
class Complete(GraphRule):
    """Everybody is tied to everybody; kept implicit."""

    implicit: ClassVar[bool] = True

    def edges(self, num: int, rng: np.random.Generator, columns: Columns) -> Ties:
        """All pairs, for graphs that will be edited."""
        if num * (num - 1) // 2 > MOST_TIES:
            raise ValueError(
                f"a complete graph of {num} nodes cannot be written out tie by tie; "
                "drop the rewiring or choose a sparser graph (random_regular, degree: 10)"
            )
        return Ties(np.stack(np.triu_indices(num, 1), 1).astype(np.int32))


@component("graph", "empty")
@dataclasses.dataclass(frozen=True)
class Empty(GraphRule):
    """Nobody is tied to anybody."""

    def edges(self, num: int, rng: np.random.Generator, columns: Columns) -> Ties:
        """No ties."""
        return Ties(np.zeros((0, 2), np.int32))


@component("graph", "star")
@dataclasses.dataclass(frozen=True)
class Star(GraphRule):
    """One hub is tied to everybody else."""

    def edges(self, num: int, rng: np.random.Generator, columns: Columns) -> Ties:
        """Node 0 with each other node."""
        others = np.arange(1, num, dtype=np.int32)
        return Ties(np.stack([np.zeros_like(others), others], 1))


@component("graph", "path")
@dataclasses.dataclass(frozen=True)
class Path(GraphRule):
    """A chain: each node is tied to the next; or several chains side by side."""

    directed: bool = doc_field(False, "messages run only from each node to the next")
    chains: int = doc_field(1, "chains that are not tied to each other, as equal as can be", ge=1)

    def edges(self, num: int, rng: np.random.Generator, columns: Columns) -> Ties:
        """Node i with i + 1, but not from one chain to the next."""
        chain = np.arange(num) * self.chains // max(num, 1)
        first = np.flatnonzero(chain[1:] == chain[:-1]).astype(np.int32)
        return Ties(np.stack([first, first + 1], 1), directed=self.directed)


@component("graph", "cycle")
@dataclasses.dataclass(frozen=True)
class Cycle(GraphRule):
    """A ring: each node is tied to the k nearest, half of them on each side."""

    k: int = doc_field(2, "neighbours of each node, an even number", ge=2)
    directed: bool = doc_field(False, "messages run only forward around the ring")

    def check(self, num: int, columns: Columns) -> None:
        """``k`` must be even, and smaller than the number of nodes."""
        if self.k % 2 or (self.k > 2 and self.k >= num):
            raise ValueError(
                f"cycle with k: {self.k} among {num} nodes; k must be even and below {num}"
            )

    def edges(self, num: int, rng: np.random.Generator, columns: Columns) -> Ties:
        """Node i with i + 1 ... i + k/2, modulo the number of nodes."""
        return Ties(ring(num, self.k // 2, self.directed), directed=self.directed)


@component("graph", "grid_2d")
@dataclasses.dataclass(frozen=True)
class Grid2D(GraphRule):
    """A rectangular lattice with four (von Neumann) or eight (Moore) neighbours.

    Without ``rows`` and ``cols`` it is as square as the number of nodes allows.
    """

    rows: int = doc_field(0, "height; 0 = as square as possible", ge=0)
    cols: int = doc_field(0, "width; 0 = as square as possible", ge=0)
    periodic: bool = doc_field(False, "opposite borders touch (a torus)")
    neighbourhood: Literal["von_neumann", "moore"] = doc_field(
        "von_neumann", "four neighbours, or eight with the diagonals"
    )

    def check(self, num: int, columns: Columns) -> None:
        """Rows times columns must be the number of nodes."""
        self.shape(num)

    def shape(self, num: int) -> tuple[int, int]:
        """Rows and columns for ``num`` nodes."""
        rows, cols = self.rows, self.cols
        if not rows and not cols:
            rows = max((d for d in range(1, math.isqrt(num) + 1) if num % d == 0), default=1)
            if rows == 1 and num > 3:
                side = math.isqrt(num)
                raise ValueError(
                    f"{num} nodes cannot fill a rectangle; use {side * side} or "
                    f"{side * (side + 1)} agents, or ask for a line with rows: 1"
                )
        rows = rows or num // max(cols, 1)
        cols = cols or num // rows
        if rows * cols != num:
            raise ValueError(
                f"a grid of {rows} x {cols} has {rows * cols} places for {num} nodes; "
                "rows x cols must equal the number of agents"
            )
        return rows, cols

    def edges(self, num: int, rng: np.random.Generator, columns: Columns) -> Ties:
        """Each node with the neighbours after it in reading order."""
        rows, cols = self.shape(num)
        steps = [(0, 1), (1, 0)]
        if self.neighbourhood == "moore":
            steps += [(1, 1), (1, -1)]
        row, col = np.divmod(np.arange(num), cols)
        found = []
        for down, right in steps:
            there_row, there_col = row + down, col + right
            if self.periodic:
                there_row, there_col = there_row % rows, there_col % cols
            inside = (there_row < rows) & (there_col < cols) & (there_col >= 0)
            there = there_row * cols + there_col
            found.append(np.stack([np.arange(num), there], 1)[inside])
        return Ties(simple(np.concatenate(found), num))


@component("graph", "connected_caveman")
@dataclasses.dataclass(frozen=True)
class ConnectedCaveman(GraphRule):
    """Cliques on a ring, each giving up one inner tie for one to the clique before it.

    Where the nodes cannot be shared out evenly, clique sizes differ by one.

    Source: Watts (1999), "Networks, dynamics, and the small-world phenomenon",
    doi:10.1086/210318.
    """

    cliques: int = doc_field(dataclasses.MISSING, "number of cliques", ge=1)

    def check(self, num: int, columns: Columns) -> None:
        """Every clique needs three nodes, or the ring of cliques would fall apart."""
        if self.cliques < 1 or (self.cliques > 1 and num < 3 * self.cliques):
            raise ValueError(
                f"cliques: {self.cliques} among {num} nodes; use 1 to {max(num // 3, 1)}"
            )

    def edges(self, num: int, rng: np.random.Generator, columns: Columns) -> Ties:
        """All pairs within a clique but (first, second), which becomes (first, one before)."""
        sizes = np.full(self.cliques, num // self.cliques)
        sizes[: num % self.cliques] += 1
        pairs = within_blocks(sizes)
        if self.cliques == 1:
            return Ties(pairs)
        starts = np.cumsum(sizes) - sizes
        first = np.isin(pairs[:, 1], starts) & (pairs[:, 0] == pairs[:, 1] + 1)
        links = np.stack([starts, (starts - 1) % num], 1)
        return Ties(np.concatenate([pairs[~first], links]).astype(np.int32))


def ring(num: int, reach: int, directed: bool = False) -> np.ndarray:
    """[num * reach, 2] ties of each node with the next ``reach`` around a ring."""
    nodes = np.arange(num, dtype=np.int64)
    pairs = np.concatenate(
        [np.stack([nodes, (nodes + step) % max(num, 1)], 1) for step in range(1, reach + 1)]
    )
    if directed:
        return pairs[pairs[:, 0] != pairs[:, 1]].astype(np.int32)
    return simple(pairs, num) if num <= 2 * reach else pairs.astype(np.int32)


def simple(pairs: np.ndarray, num: int) -> np.ndarray:
    """Undirected ties without repetitions and ties to oneself, sorted."""
    low, high = np.minimum(pairs[:, 0], pairs[:, 1]), np.maximum(pairs[:, 0], pairs[:, 1])
    codes = np.sort((low * np.int64(num) + high)[low < high])
    codes = codes[np.diff(codes, prepend=-1) > 0]
    return np.stack(np.divmod(codes, max(num, 1)), 1).astype(np.int32)


def within_blocks(sizes: np.ndarray) -> np.ndarray:
    """[E, 2] all pairs of nodes in the same block; blocks hold consecutive nodes."""
    total = int((sizes * (sizes - 1) // 2).sum())
    if total > MOST_TIES:
        raise ValueError(
            f"blocks of up to {int(sizes.max())} nodes have {total} ties, more than {MOST_TIES}; "
            "use more and smaller blocks"
        )
    return pairs_in_blocks(np.arange(total, dtype=np.int64), sizes)


def pairs_in_blocks(index: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The pairs that numbers stand for, when all pairs within blocks are counted in a row.

    Args:
      index: [E] int64, each below the sum of s (s - 1) / 2 over the sizes s.
      sizes: [B] nodes of each block; blocks hold consecutive nodes.

    Returns:
      [E, 2] int32, the larger node first.
    """
    sizes = np.asarray(sizes, np.int64)
    ends = np.cumsum(sizes * (sizes - 1) // 2)
    block = np.searchsorted(ends, index, side="right") if len(sizes) > 1 else 0
    local = index - (ends - sizes * (sizes - 1) // 2)[block]
    # local = high (high - 1) / 2 + low; the root may be off by one in float64.
    high = ((1 + np.sqrt(8.0 * local + 1)) / 2).astype(np.int64)
    high -= high * (high - 1) // 2 > local
    high += high * (high + 1) // 2 <= local
    low = local - high * (high - 1) // 2
    start = (np.cumsum(sizes) - sizes)[block]
    return np.stack([high + start, low + start], 1).astype(np.int32)
