"""Changes to a built graph: cut, add, move or shuffle ties, with no array changing its shape.

Every function takes a Graph and returns one with the same capacity and table width, as
NumPy arrays. Ties that find no room are refused, and the functions that can refuse say how many.
"""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np

from society.graphs.base import Ties, pack, unpack
from society.graphs.sampling import PairSet, code_pairs, decode_pairs
from society.graphs.swaps import swap_ends
from worlds.types import Graph

__all__ = [
    "Draw",
    "Edited",
    "add_pairs",
    "add_ties",
    "align",
    "anybody",
    "cut_ties",
    "degrees",
    "keep_ties",
    "move_ties",
    "randomise",
    "remove_slots",
    "tie_anew",
]

REDRAWS = 50
Draw = Callable[[np.random.Generator, np.ndarray], np.ndarray]


class Edited(NamedTuple):
    """A changed graph, and how many ties found no room in it."""

    graph: Graph
    refused: int


def degrees(graph: Graph, num_slots: int | None = None) -> np.ndarray:
    """[N] int64 number of in-neighbours of each slot."""
    num_slots = graph.num_slots if num_slots is None else num_slots
    if graph.complete:
        return np.full(num_slots, num_slots - 1)
    return np.diff(np.asarray(graph.offsets)).astype(np.int64)


def keep_ties(graph: Graph, kept: np.ndarray) -> Graph:
    """Return the graph with some of its ties: ``kept`` is a mask over ``unpack(graph)``."""
    ties = _written_out(graph)
    weights = None if ties.weights is None else ties.weights[kept]
    return _repack(Ties(ties.pairs[kept], weights, ties.directed), graph)


def cut_ties(
    graph: Graph, slots: Sequence[int] | np.ndarray, share: float, rng: np.random.Generator
) -> Graph:
    """Remove a random share of all ties that touch any of the slots."""
    if not 0 <= share <= 1:
        raise ValueError(f"share: {share} of ties to cut; use a number from 0 to 1")
    touched = _touching(_written_out(graph), slots, graph.num_slots)
    rows = np.flatnonzero(touched)
    kept = np.ones(len(touched), bool)
    kept[rng.permutation(rows)[: round(share * len(rows))]] = False
    return keep_ties(graph, kept)


def remove_slots(graph: Graph, slots: Sequence[int] | np.ndarray) -> Graph:
    """Remove every tie of slots whose individual has died."""
    return keep_ties(graph, ~_touching(_written_out(graph), slots, graph.num_slots))


def add_pairs(graph: Graph, pairs: np.ndarray, weights: np.ndarray | None = None) -> Edited:
    """Add ties in order of priority; ties that exist, or run to oneself, are left out.

    Args:
      graph: with room for them.
      pairs: [A, 2] (sender, receiver), or undirected ties in either order.
      weights: [A] float32; None = 1.
    """
    ties = _written_out(graph)
    pairs = np.asarray(pairs, np.int32).reshape(-1, 2)
    codes = code_pairs(pairs, graph.num_slots, ties.directed)
    known = PairSet(code_pairs(ties.pairs, graph.num_slots, ties.directed), graph.num_slots)
    new = np.zeros(len(pairs), bool)
    new[np.unique(codes, return_index=True)[1]] = True
    new &= ~known.has(codes) & (pairs[:, 0] != pairs[:, 1])
    fits = _fits(graph, ties, pairs[new])
    rows = np.flatnonzero(new)[fits]
    both = np.concatenate([ties.pairs, pairs[rows]])
    all_weights = None
    if ties.weights is not None:
        more = np.ones(len(rows), np.float32) if weights is None else weights[rows]
        all_weights = np.concatenate([ties.weights, more])
    grown = _repack(Ties(both, all_weights, ties.directed), graph)
    return Edited(grown, int((~fits).sum()))


def add_ties(
    graph: Graph,
    slots: Sequence[int] | np.ndarray,
    count: int,
    rng: np.random.Generator,
    alive: np.ndarray | None = None,
) -> Graph:
    """Give each of the slots ``count`` new ties to random others, as far as there is room.

    In a directed graph the new ties run towards the slots.
    """
    return tie_anew(graph, np.repeat(np.asarray(slots), count), anybody(graph, alive), rng).graph


def tie_anew(graph: Graph, anchors: np.ndarray, draw: Draw, rng: np.random.Generator) -> Edited:
    """Tie each anchor to one drawn for it; once for every time it occurs."""
    ties = _written_out(graph)
    # Directed ties are held as (receiver, sender) here, so that anchors receive.
    pairs = ties.pairs[:, ::-1] if ties.directed else ties.pairs
    codes = code_pairs(pairs, graph.num_slots, ties.directed)
    known = PairSet(codes, graph.num_slots, ties.directed)
    anchors = np.asarray(anchors, np.int64)
    partners = known.place(rng, anchors, draw)
    found = partners >= 0
    edited = add_pairs(graph, np.stack([partners[found], anchors[found]], 1))
    return Edited(edited.graph, edited.refused + int((~found).sum()))


def move_ties(
    graph: Graph,
    rows: np.ndarray,
    keeper: np.ndarray,
    draw: Draw,
    rng: np.random.Generator,
) -> Graph:
    """Take one end off some ties and tie the other end to somebody else.

    A tie for which nobody is found, or whose new partner has no room, stays as it was.

    Args:
      graph: to change.
      rows: [R] which of ``unpack(graph)``.
      keeper: [R] column, 0 or 1, of the end that stays; directed ties keep the receiver, 1.
      draw: (rng, anchors) -> candidates, negative = none.
      rng: consumed.
    """
    ties = _written_out(graph)
    keeper = np.ones_like(keeper) if ties.directed else keeper
    anchors = ties.pairs[rows, keeper].astype(np.int64)
    flipped = ties.pairs[:, ::-1] if ties.directed else ties.pairs
    codes = code_pairs(flipped, graph.num_slots, ties.directed)
    known = PairSet(codes, graph.num_slots, ties.directed)
    partners = known.place(rng, anchors, draw)
    moved = np.flatnonzero(partners >= 0)
    moved = moved[_has_room(graph, ties, partners[moved])]
    pairs = ties.pairs.copy()
    pairs[rows[moved], 1 - keeper[moved]] = partners[moved]
    return _repack(Ties(pairs, ties.weights, ties.directed), graph)


def randomise(
    graph: Graph,
    keep: Literal["degrees", "ties"],
    rng: np.random.Generator,
    *,
    rounds: int = 10,
    share: float = 1.0,
) -> Graph:
    """Rewire at random and keep every degree, or only the number of ties.

    Args:
      graph: to change.
      keep: "degrees" swaps ends of ties in pairs; "ties" draws new pairs.
      rng: consumed.
      rounds: of swapping.
      share: of the ties that take part (in each round).
    """
    ties = _written_out(graph)
    if keep == "degrees":
        pairs = swap_ends(
            rng, ties.pairs, graph.num_slots, directed=ties.directed, rounds=rounds, share=share
        )
        return _repack(ties._replace(pairs=pairs), graph)
    rows = np.flatnonzero(rng.random(len(ties.pairs)) < share)
    return _repack(ties._replace(pairs=_drawn(graph, ties, rows, rng)), graph, "drop_table")


def anybody(graph: Graph, alive: np.ndarray | None = None) -> Draw:
    """A draw of any slot, or of any slot that somebody holds."""
    pool = np.arange(graph.num_slots) if alive is None else np.flatnonzero(alive)

    def draw(rng: np.random.Generator, anchors: np.ndarray) -> np.ndarray:
        if not len(pool):
            return np.full(len(anchors), -1)
        return pool[rng.integers(0, len(pool), len(anchors))]

    return draw


def align(graphs: Sequence[Graph]) -> list[Graph]:
    """Give graphs of several replicates the same shapes, so that one compiled step serves all."""
    if all(graph.complete for graph in graphs):
        return list(graphs)
    capacity = max(len(graph.senders) for graph in graphs)
    tables = [graph.table for graph in graphs]
    width = 0
    if all(table is not None for table in tables):
        width = max(table.shape[1] for table in tables)
    regular = all(graph.regular and graph.table.shape[1] == width for graph in graphs)
    return [
        pack(
            unpack(graph),
            graph.num_slots,
            capacity=capacity,
            width=width,
            promise_regular=regular,
        )
        for graph in graphs
    ]


def _drawn(graph: Graph, ties: Ties, rows: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The pairs, with random new ones in some rows; drawn anew where the table has no room.

    A regular table has room for nobody; its graph will go without.
    """
    num, pairs = graph.num_slots, ties.pairs.copy()
    kept = code_pairs(np.delete(pairs, rows, axis=0), num, ties.directed)
    known = PairSet(kept, num, ties.directed)
    for _ in range(REDRAWS):
        anchors = rng.integers(0, num, len(rows))
        partners = known.place(rng, anchors, lambda rng, here: rng.integers(0, num, len(here)))
        lost = np.flatnonzero(partners < 0)
        if len(lost):
            every = code_pairs(np.argwhere(~np.eye(num, dtype=bool)), num, ties.directed)
            codes = rng.choice(np.unique(every[~known.has(every)]), len(lost), replace=False)
            known.add(codes)
            anchors[lost], partners[lost] = decode_pairs(codes, num).T
        pairs[rows] = np.stack([anchors, partners], 1)
        if graph.table is None or graph.regular:
            break
        ends = pairs[:, 1:] if ties.directed else pairs
        full = np.bincount(ends.ravel(), minlength=num) > graph.table.shape[1]
        rows = rows[full[ends[rows]].any(1)]
        if not len(rows):
            break
        known.remove(code_pairs(pairs[rows], num, ties.directed))
    return pairs


def _written_out(graph: Graph) -> Ties:
    if graph.complete:
        raise ValueError(
            "a complete graph is kept implicit, so none of its ties can change; "
            "choose another graph, or build it with dynamic: true"
        )
    return unpack(graph)


def _repack(ties: Ties, like: Graph, crowded: Literal["fail", "drop_table"] = "fail") -> Graph:
    width = 0 if like.table is None else like.table.shape[1]
    if width and crowded == "drop_table":
        ends = ties.pairs[:, 1] if ties.directed else ties.pairs.ravel()
        width = 0 if np.bincount(ends, minlength=1).max() > width else width
    return pack(
        ties,
        like.num_slots,
        capacity=len(like.senders),
        width=width,
        promise_regular=like.regular,
    )


def _touching(ties: Ties, slots: Sequence[int] | np.ndarray, num_slots: int) -> np.ndarray:
    """Which ties have an end among the slots."""
    named = np.zeros(num_slots, bool)
    named[np.asarray(slots, np.int64)] = True
    return named[ties.pairs[:, 0]] | named[ties.pairs[:, 1]]


def _fits(graph: Graph, ties: Ties, pairs: np.ndarray) -> np.ndarray:
    """Which of the new ties have a free row, and a free column at each receiving end."""
    cost = 1 if ties.directed else 2
    fits = np.ones(len(pairs), bool)
    if graph.table is not None and len(pairs):
        ends = pairs[:, 1:] if ties.directed else pairs
        full = _rank(ends.ravel()) + degrees(graph)[ends.ravel()] >= graph.table.shape[1]
        fits &= ~full.reshape(ends.shape).any(1)
    rows = np.flatnonzero(fits)
    fits[rows[(len(graph.senders) - cost * len(ties.pairs)) // cost :]] = False
    return fits


def _has_room(graph: Graph, ties: Ties, partners: np.ndarray) -> np.ndarray:
    """Which moved ties find a column free at their new partner (nobody's leaving counts)."""
    if graph.table is None or ties.directed:
        return np.ones(len(partners), bool)
    return _rank(partners) + degrees(graph)[partners] < graph.table.shape[1]


def _rank(values: np.ndarray) -> np.ndarray:
    """How many equal values come before each."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1))
    rank = np.arange(len(values)) - np.repeat(starts, np.diff(np.append(starts, len(values))))
    result = np.empty(len(values), np.int64)
    result[order] = rank
    return result
