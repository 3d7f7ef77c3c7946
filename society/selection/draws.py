"""Draws that selection rules share: somebody alive, a model to look at, a weighted choice.

All of them turn words of ``worlds.random`` (one lane per row) into rows, so that padding a
pool with dead rows changes nobody's draw.
"""

import jax
import jax.numpy as jnp

from society.contract import Pool
from worlds.random import below, random_pair, threshold
from worlds.types import Array, Graph

__all__ = [
    "alive_fitness",
    "anybody",
    "best_first",
    "degrees",
    "edge_weights",
    "happens",
    "lanes",
    "other_alive",
    "pick_edge",
    "random_model",
    "ties",
    "weighted_rows",
]

_TOTAL = 2.0**30


def lanes(key: Array, num: int, step: int = 0) -> tuple[Array, Array]:
    """Return two independent [num] uint32 words."""
    return random_pair(key, jnp.arange(num, dtype=jnp.uint32), step)


def happens(word: Array, probability: Array) -> Array:
    """True where a word falls below a probability, to 2**-32."""
    return (word < threshold(probability)) | (probability >= 1)


def ties(pool: Pool, among: str) -> Graph | None:
    """Return the graph along which models are found, or None where everybody can be met."""
    if among != "neighbours" or pool.graph is None or pool.graph.complete:
        return None
    return pool.graph


def alive_fitness(pool: Pool) -> Array:
    """Return [M] float32 fitness, minus infinity for the dead and for NaN."""
    usable = pool.alive & ~jnp.isnan(pool.fitness)
    return jnp.where(usable, pool.fitness.astype(jnp.float32), -jnp.inf)


def degrees(graph: Graph) -> Array:
    """Return [M] int32 numbers of in-neighbours."""
    if graph.regular and graph.table is not None:
        return jnp.full(graph.table.shape[0], graph.table.shape[1], jnp.int32)
    return jnp.diff(graph.offsets)


def random_model(pool: Pool, among: str, rows: Array | None, word: Array) -> tuple[Array, Array]:
    """Draw one model for each row: a neighbour, or anybody else alive.

    Args:
      rows: [R] int32 rows that look, or None for every row.
      word: [R] uint32.

    Returns:
      [R] int32 rows of models (0 where there is none) and [R] bool, whether there is one.
      Along a graph the model may be dead; give dead rows the fitness minus infinity.
    """
    graph = ties(pool, among)
    if graph is None:
        return other_alive(pool.alive, rows, word)
    if graph.regular and graph.table is not None:
        slot = below(word, graph.table.shape[1])
        index = jnp.arange(slot.shape[0], dtype=jnp.int32) if rows is None else rows
        model = graph.table.at[index, slot].get(mode="promise_in_bounds")
        return model, jnp.ones(model.shape, bool)
    first, num = graph.offsets[:-1], jnp.diff(graph.offsets)
    if rows is not None:
        first, num = first[rows], num[rows]
    edge = first + below(word, jnp.maximum(num, 1))
    edge = jnp.minimum(edge, graph.senders.shape[0] - 1)
    return jnp.where(num > 0, graph.senders[edge], 0), num > 0


def other_alive(alive: Array, rows: Array | None, word: Array) -> tuple[Array, Array]:
    """Draw somebody alive other than oneself, uniformly, for each row (None: every row)."""
    size = alive.shape[0]
    rank = jnp.cumsum(alive, dtype=jnp.int32) - 1
    living = (
        jnp.zeros(size, jnp.int32)
        .at[jnp.where(alive, rank, size)]
        .set(jnp.arange(size, dtype=jnp.int32), mode="drop")
    )
    num_others = rank[-1]
    own = rank if rows is None else rank[rows]
    drawn = below(word, jnp.maximum(num_others, 1))
    drawn = drawn + (drawn >= own)
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
