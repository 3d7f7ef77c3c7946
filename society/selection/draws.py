"""Draws that selection rules share: somebody alive, a model to look at, a weighted choice.

All of them turn words of ``worlds.random`` (one lane per row) into rows, so that padding a
pool with dead rows changes nobody's draw.
"""

from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp

from society.contract import Pool
from worlds.random import below, random_pair
from worlds.types import Array, Graph

__all__ = [
    "alive_fitness",
    "anybody",
    "best_first",
    "edge_weights",
    "lanes",
    "look",
    "other_alive",
    "pick_edge",
    "random_neighbour",
    "seen_at",
    "settle",
    "ties",
    "weighted_rows",
]

Result = TypeVar("Result")
_TOTAL = 2.0**30


def lanes(key: Array, num: int, step: int = 0) -> tuple[Array, Array]:
    """Return two independent [num] uint32 words."""
    return random_pair(key, jnp.arange(num, dtype=jnp.uint32), step)


def ties(pool: Pool, among: str) -> Graph | None:
    """Return the graph along which models are found, or None where everybody can be met."""
    if among != "neighbours" or pool.graph is None or pool.graph.complete:
        return None
    return pool.graph


def alive_fitness(pool: Pool) -> Array:
    """Return [M] float32 fitness, minus infinity for the dead and for NaN."""
    usable = pool.alive & ~jnp.isnan(pool.fitness)
    return jnp.where(usable, pool.fitness.astype(jnp.float32), -jnp.inf)


def settle(
    pool: Pool, prepare: Callable[[], Result], nobody: Callable[[], Result] | None = None
) -> Result:
    """Return what ``prepare`` computes, finished before anything is gathered with it.

    XLA's CPU backend fuses arithmetic into the loop that gathers (and drops
    ``optimization_barrier`` before it does); with a hundred instructions between two loads
    the processor can no longer overlap them. A branch that depends on data is not fused:
    selection among a million agents took a quarter of the time.

    Args:
      prepare: () -> pytree of arrays.
      nobody: makes the result where nobody lives; None for zeros.
    """

    def nothing() -> Result:
        if nobody is not None:
            return nobody()
        shapes = jax.eval_shape(prepare)
        return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)

    return jax.lax.cond(pool.alive.any(), prepare, nothing)


def look(pool: Pool, among: str, word: Array) -> Array:
    """Return where each row looks: an entry of the table, an edge, or a row; [M] int32.

    Args:
      word: [M] uint32.
    """
    graph = ties(pool, among)
    rows = jnp.arange(word.shape[0], dtype=jnp.int32)
    if graph is None:
        return other_alive(pool.alive, rows, word)[0]
    if graph.regular and graph.table is not None:
        width = graph.table.shape[1]
        return rows * width + below(word, width)
    return _edge(graph, rows, word)


def seen_at(pool: Pool, among: str, place: Array) -> tuple[Array, Array]:
    """Return the rows seen at places that ``look`` drew, and whether there is anybody.

    Along a graph the one seen may be dead; give dead rows the fitness minus infinity.
    """
    graph = ties(pool, among)
    if graph is None:
        return place, jnp.broadcast_to(pool.alive.sum() > 1, place.shape)
    if graph.regular and graph.table is not None:
        entries = graph.table.reshape(-1)
        model = entries.at[place].get(mode="promise_in_bounds", wrap_negative_indices=False)
        return model, jnp.ones(place.shape, bool)
    exists = jnp.diff(graph.offsets) > 0
    return jnp.where(exists, graph.senders[place], 0), exists


def random_neighbour(graph: Graph, rows: Array, word: Array) -> tuple[Array, Array]:
    """Draw an in-neighbour of a few rows.

    Args:
      rows: [R] int32. word: [R] uint32.

    Returns:
      [R] int32 rows (0 where there is none) and [R] bool, whether there is one.
    """
    exists = jnp.diff(graph.offsets)[rows] > 0
    return jnp.where(exists, graph.senders[_edge(graph, rows, word)], 0), exists


def _edge(graph: Graph, rows: Array, word: Array) -> Array:
    first, last = graph.offsets[rows], graph.offsets[rows + 1]
    edge = first + below(word, jnp.maximum(last - first, 1))
    return jnp.minimum(edge, graph.senders.shape[0] - 1)


def other_alive(alive: Array, rows: Array, word: Array) -> tuple[Array, Array]:
    """Draw somebody alive other than oneself, uniformly, for each row.

    Returns:
      [R] int32 rows (0 where there is nobody) and [R] bool, whether there is somebody.
    """
    size = alive.shape[0]
    rank = jnp.cumsum(alive, dtype=jnp.int32) - 1
    slots = jnp.arange(size, dtype=jnp.int32)
    living = jnp.zeros(size, jnp.int32).at[jnp.where(alive, rank, size)].set(slots, mode="drop")
    num_others = rank[-1]
    drawn = below(word, jnp.maximum(num_others, 1))
    drawn = drawn + (drawn >= rank[rows])
    exists = jnp.broadcast_to(num_others > 0, drawn.shape)
    return jnp.where(exists, living[jnp.minimum(drawn, size - 1)], 0), exists


def anybody(alive: Array, word: Array) -> Array:
    """Draw rows of the living, uniformly: one for each word."""
    rank = jnp.cumsum(alive, dtype=jnp.int32)
    target = below(word, jnp.maximum(rank[-1], 1))
    row = jnp.searchsorted(rank, target, side="right")
    return jnp.minimum(row, alive.shape[0] - 1).astype(jnp.int32)


def weighted_rows(weight: Array, fallback: Array, word: Array) -> Array:
    """Draw rows with probability proportional to weight.

    Weights are rounded to integers with sum near 2**30, so that cumulative sums are exact.

    Args:
      weight: [M] float32 >= 0. fallback: [M] bool, drawn from uniformly if all weights are 0.
      word: [R] uint32, one draw each.
    """
    peak = jnp.maximum(jnp.max(weight), jnp.finfo(jnp.float32).tiny)
    share = weight / peak
    total = share.sum()
    whole = jnp.floor(share * (_TOTAL / jnp.maximum(total, 1.0))).astype(jnp.int32)
    whole = jnp.where(jnp.max(weight) > 0, whole, fallback.astype(jnp.int32))
    ends = jnp.cumsum(whole, dtype=jnp.int32)
    target = below(word, jnp.maximum(ends[-1], 1))
    row = jnp.searchsorted(ends, target, side="right")
    return jnp.minimum(row, weight.shape[0] - 1).astype(jnp.int32)


def edge_weights(graph: Graph, receiver: Array, weight: Array) -> tuple[Array, Array]:
    """Return the senders of all edges, and their weights where they reach one receiver.

    Args:
      receiver: int32 scalar row. weight: [M] float32 of senders.

    Returns:
      [E] int32 senders (0 for padding) and [E] float32, zero for other edges.
    """
    size = weight.shape[0]
    senders = jnp.minimum(graph.senders, size - 1)
    hits = (graph.receivers == receiver) & (graph.senders < size)
    return senders, jnp.where(hits, weight[senders], 0.0)


def best_first(pool: Pool, word: Array) -> Array:
    """Return [M] int32 rows, the fittest alive first, ties in random order, the dead last."""
    order = jnp.lexsort((word, -alive_fitness(pool), ~pool.alive))
    return order.astype(jnp.int32)


def pick_edge(graph: Graph, score: Array, word: Array) -> tuple[Array, Array]:
    """Return the sender of each receiver's best edge, ties by the larger word.

    Args:
      score: [E] float32; minus infinity is never picked. word: [E] uint32.

    Returns:
      [M] int32 senders (0 where there is none) and [M] bool, whether there is one.
    """
    size, num_edges = graph.offsets.shape[0] - 1, score.shape[0]

    def best(values: Array) -> Array:
        return jax.ops.segment_max(values, graph.receivers, size, indices_are_sorted=True)

    tied = (score == best(score)[graph.receivers]) & (score > -jnp.inf)
    rank = jnp.where(tied, (word >> 1).astype(jnp.int32), -1)
    tied = tied & (rank == best(rank)[graph.receivers])
    edge = best(jnp.where(tied, jnp.arange(num_edges, dtype=jnp.int32), -1))
    return jnp.where(edge >= 0, graph.senders[jnp.maximum(edge, 0)], 0), edge >= 0
