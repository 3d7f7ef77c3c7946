"""What a graph rule is, and how its ties become the arrays of ``worlds.types.Graph``.

A rule names ties among *nodes* 0..n-1. ``build_graph`` then seats the nodes on slots
(shuffled or in order; only slots that somebody holds) and packs the ties into arrays
sorted by receiver. All of it is NumPy on the host; nothing here knows about devices.
"""

import abc
import zlib
from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import numpy as np

from worlds.types import Graph

__all__ = ["GraphRule", "Ties", "build_graph", "graph_rng", "pack", "unpack"]

MOST_TIES = 200_000_000
TABLE_WIDTH = 32
# Rows from which pieces are worth their memory: 75 ms instead of 270 at ten million.
BLOCKS_FROM = 1 << 15


class Ties(NamedTuple):
    """Who is tied to whom, as a list.

    pairs: [E, 2] int32 (sender, receiver), or each undirected tie once in either order.
    weights: [E] float32, or None where every tie counts 1.
    directed: False where a tie carries both ways.
    """

    pairs: np.ndarray
    weights: np.ndarray | None = None
    directed: bool = False


class GraphRule(abc.ABC):
    """Names the ties of a graph; frozen dataclasses under ``@component("graph", name)``.

    ``assign`` is how nodes are seated on slots where the scenario does not say; rules whose
    nodes already are agents (files, similarity) keep their order. ``implicit`` marks the
    one rule, everybody with everybody, that stores no ties.
    """

    assign: ClassVar[Literal["shuffled", "in_order"]] = "shuffled"
    implicit: ClassVar[bool] = False

    def check(self, num: int, columns: Mapping[str, np.ndarray]) -> None:
        """Raise ValueError, saying what is allowed, where the rule cannot tie ``num`` nodes."""

    @abc.abstractmethod
    def edges(self, num: int, rng: np.random.Generator, columns: Mapping[str, np.ndarray]) -> Ties:
        """Name the ties: no tie to oneself, none twice.

        Args:
          num: number of nodes.
          rng: consumed; the only source of chance.
          columns: attribute name -> [num] array, one value a node.
        """


def graph_rng(seed: int, *path: int | str) -> np.random.Generator:
    """Return the generator of a named stream: ``graph_rng(seed, "rewire", step)``."""
    words = [zlib.crc32(part.encode()) if isinstance(part, str) else int(part) for part in path]
    return np.random.default_rng([int(seed) & 0xFFFFFFFFFFFFFFFF, zlib.crc32(b"graph"), *words])


def build_graph(
    rule: GraphRule,
    num_slots: int,
    *,
    assign: Literal["shuffled", "in_order"] | None = None,
    seed: int = 0,
    rng: np.random.Generator | None = None,
    columns: Mapping[str, np.ndarray] | None = None,
    present: np.ndarray | None = None,
    capacity: int | None = None,
    width: int | None = None,
    dynamic: bool = False,
) -> Graph:
    """Build the graph of a rule among the slots that somebody holds.

    Args:
      rule: names the ties.
      num_slots: N, rows of every per-slot array.
      assign: how nodes are seated; None takes the rule's own default.
      seed: of the stream "graph"; ignored where ``rng`` is given.
      rng: a generator to consume instead.
      columns: attribute name -> [N] array, handed to the rule in the order of its nodes.
      present: [N] bool, slots that get ties; None = all.
      capacity: rows kept for ties (an undirected tie takes two); None = as many as needed,
        plus room where ``dynamic``.
      width: columns of the neighbour table, 0 = no table; None = decide by the degrees.
      dynamic: ties will be cut and added later: a complete graph is written out, and spare
        rows and columns are kept so that no shape ever changes.

    Returns:
      A Graph of NumPy arrays.

    Raises:
      ValueError: The rule cannot tie that many nodes, or the ties exceed ``capacity``.
    """
    rng = graph_rng(seed) if rng is None else rng
    columns = {} if columns is None else columns
    slots = np.arange(num_slots) if present is None else np.flatnonzero(present)
    if rule.implicit and not dynamic:
        return Graph(num_slots=num_slots, complete=True)
    if (assign or rule.assign) == "shuffled":
        slots = rng.permutation(slots)
    columns = {name: np.asarray(column)[slots] for name, column in columns.items()}
    rule.check(len(slots), columns)
    ties = rule.edges(len(slots), rng, columns)
    ties = ties._replace(pairs=slots.astype(np.int32)[ties.pairs])
    if dynamic:
        capacity, width = _room(ties, num_slots, len(slots), capacity, width)
    return pack(ties, num_slots, capacity=capacity, width=width, promise_regular=not dynamic)


def pack(
    ties: Ties,
    num_slots: int,
    *,
    capacity: int | None = None,
    width: int | None = None,
    promise_regular: bool = True,
) -> Graph:
    """Sort ties by receiver, then sender, into the arrays of a Graph.

    Args:
      ties: among slots; no tie to oneself, none twice.
      num_slots: N.
      capacity: rows of ``senders``; spare ones hold N.
      width: columns of the table; None = the largest in-degree, unless degrees vary so much
        that a table would be mostly padding; 0 = no table.
      promise_regular: set ``regular`` where every slot has as many neighbours as the table
        has columns.
    """
    senders, receivers, weights = _rows(ties, num_slots)
    counts = np.bincount(receivers, minlength=num_slots)
    offsets = np.zeros(num_slots + 1, np.int32)
    np.cumsum(counts, out=offsets[1:])
    num_rows = len(senders)
    most = int(counts.max()) if num_slots else 0
    capacity = max(num_rows if capacity is None else capacity, 1)
    if num_rows > capacity:
        raise ValueError(
            f"{num_rows} rows of ties (two for each undirected tie) do not fit the capacity "
            f"{capacity}; give the graph capacity: {num_rows} or more, or fewer ties"
        )
    if width is None:
        mean = num_rows / max(num_slots, 1)
        width = most if most <= max(TABLE_WIDTH, 2 * mean) else 0
    if width and most > width:
        raise ValueError(
            f"somebody has {most} neighbours and the table {width} columns; "
            f"give width: {most} or more, or 0 for no table"
        )
    sparse = not width or num_slots * width > 1.5 * capacity
    blocks, owners = None, None
    if capacity >= BLOCKS_FROM and sparse:
        blocks, owners = _blocks(senders, offsets, capacity)
    regular = promise_regular and width > 0 and num_rows == num_slots * width
    return Graph(
        senders=_pad(senders, capacity, num_slots),
        receivers=_pad(receivers, capacity, num_slots),
        offsets=offsets,
        weights=None if weights is None else _pad(weights, capacity, 0),
        table=_table(senders, receivers, offsets, width) if width else None,
        blocks=blocks,
        owners=owners,
        num_slots=num_slots,
        directed=ties.directed,
        regular=regular,
    )


def unpack(graph: Graph) -> Ties:
    """Return the ties of a graph as a list; an undirected one once, smaller slot first."""
    if graph.complete:
        first, second = np.triu_indices(graph.num_slots, 1)
        return Ties(np.stack([first, second], 1).astype(np.int32))
    num_rows = int(graph.offsets[-1])
    senders = np.asarray(graph.senders)[:num_rows]
    receivers = np.asarray(graph.receivers)[:num_rows]
    weights = None if graph.weights is None else np.asarray(graph.weights)[:num_rows]
    if not graph.directed:
        once = senders < receivers
        senders, receivers = senders[once], receivers[once]
        weights = None if weights is None else weights[once]
    return Ties(np.stack([senders, receivers], 1), weights, graph.directed)


def _rows(ties: Ties, num_slots: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Both directions of undirected ties, sorted by receiver and sender."""
    pairs = np.asarray(ties.pairs, np.int64).reshape(-1, 2)
    if len(pairs) > MOST_TIES:
        raise ValueError(f"{len(pairs)} ties are more than {MOST_TIES}; make the graph sparser")
    bits = max(int(num_slots).bit_length(), 1)
    codes = (pairs[:, 1] << bits) | pairs[:, 0]
    if not ties.directed:
        codes = np.concatenate([codes, (pairs[:, 0] << bits) | pairs[:, 1]])
    weights = ties.weights
    if weights is None:
        codes.sort()
    else:
        weights = np.asarray(weights, np.float32)
        weights = weights if ties.directed else np.concatenate([weights, weights])
        order = np.argsort(codes, kind="stable")
        codes, weights = codes[order], weights[order]
    senders = (codes & ((1 << bits) - 1)).astype(np.int32)
    return senders, (codes >> bits).astype(np.int32), weights


def _table(
    senders: np.ndarray, receivers: np.ndarray, offsets: np.ndarray, width: int
) -> np.ndarray:
    num_slots = len(offsets) - 1
    if len(senders) == num_slots * width:
        return senders.reshape(num_slots, width).copy()
    table = np.full((num_slots, width), num_slots, np.int32)
    table[receivers, np.arange(len(senders)) - offsets[receivers]] = senders
    return table


def _blocks(
    senders: np.ndarray, offsets: np.ndarray, capacity: int
) -> tuple[np.ndarray, np.ndarray]:
    """The rows in pieces of four or eight, as many as any ties within the capacity could need.

    A slot with d neighbours fills ceil(d / W) pieces, at most (d + W - 1) / W.
    """
    num_slots = len(offsets) - 1
    width = 4 if capacity < 8 * num_slots else 8
    most = -(-(capacity + num_slots * (width - 1)) // width)
    degree = np.diff(offsets)
    pieces = -(-degree // width)
    owner = np.repeat(np.arange(num_slots, dtype=np.int32), pieces)
    number = np.arange(len(owner)) - np.repeat(np.cumsum(pieces) - pieces, pieces)
    place = (offsets[:-1][owner] + number * width)[:, None] + np.arange(width)
    inside = place < offsets[1:][owner][:, None]
    blocks = np.full((most, width), num_slots, np.int32)
    filled = senders[np.minimum(place, len(senders) - 1)] if len(senders) else place
    blocks[: len(owner)] = np.where(inside, filled, num_slots)
    return blocks, _pad(owner, most, num_slots)


def _pad(values: np.ndarray, length: int, fill: float) -> np.ndarray:
    if len(values) == length:
        return values
    padded = np.full(length, fill, values.dtype)
    padded[: len(values)] = values
    return padded


def _room(
    ties: Ties, num_slots: int, num_nodes: int, capacity: int | None, width: int | None
) -> tuple[int, int]:
    """Rows and columns for a graph whose ties will change, where they are not given."""
    ends = ties.pairs[:, 1] if ties.directed else ties.pairs.ravel()
    most = int(np.bincount(ends, minlength=1).max())
    mean = len(ends) / max(num_nodes, 1)
    if capacity is None:
        grown = -(-len(ends) * num_slots // max(num_nodes, 1)) + 2 * num_slots
        capacity = min(grown, num_slots * (num_slots - 1))
    if width is None:
        even = most <= max(TABLE_WIDTH, 2 * mean)
        width = min(2 * most + 14, num_slots - 1) if even else 0
    return capacity, width
