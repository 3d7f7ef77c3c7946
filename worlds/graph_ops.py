"""What worlds, channels and selection compute along a graph, on the device.

Four layouts of the same ties are used, the fastest that a graph has: nothing at all
(complete), a table of neighbours per slot, pieces of a few neighbours each (blocks, for
large graphs with hubs), rows sorted by receiver. Small integers are gathered as they are
and added up in int32: gathering is what costs, and an int8 costs a third of a float32.
"""

from typing import Any

import jax
import jax.numpy as jnp

from worlds.random import randint
from worlds.types import Array, Graph

__all__ = [
    "degree",
    "gather_neighbours",
    "mean_neighbours",
    "neighbour_table",
    "random_neighbour",
    "sum_neighbours",
    "table_weights",
]


WIDEST_SUM = 128
TOGETHER = 8


def degree(graph: Graph, alive: Array | None = None) -> Array:
    """Count the in-neighbours of every slot.

    Args:
      graph: ties among N slots.
      alive: [N] bool, whom to count; None = everybody.

    Returns:
      [N] int32.
    """
    if alive is not None:
        return sum_neighbours(graph, alive, weighted=False)
    if graph.complete:
        return jnp.full(graph.num_slots, graph.num_slots - 1, jnp.int32)
    if graph.regular:
        return jnp.full(graph.num_slots, graph.table.shape[1], jnp.int32)
    return jnp.diff(graph.offsets)


def neighbour_table(graph: Graph) -> Array:
    """Return [N, K] int32 in-neighbours; padding holds N.

    Raises:
      ValueError: Degrees vary so much that the graph has no table.
    """
    if graph.complete:
        slots = jnp.arange(graph.num_slots, dtype=jnp.int32)
        others = jnp.arange(graph.num_slots - 1, dtype=jnp.int32)
        return others + (others >= slots[:, None])
    if graph.table is None:
        raise ValueError(
            "this graph keeps no table of neighbours because degrees vary too much; use "
            "sum_neighbours or random_neighbour, or build the graph with width: the largest degree"
        )
    return graph.table


def gather_neighbours(graph: Graph, x: Array, fill: float | int | bool = 0) -> Array:
    """Return what each in-neighbour holds, side by side.

    Args:
      graph: complete, or with a table of K columns.
      x: [N, ...].
      fill: what padding reads.

    Returns:
      [N, K, ...] of the dtype of ``x``.
    """
    table = neighbour_table(graph)
    if not (graph.regular or graph.complete):
        x = jnp.concatenate([x, jnp.full((1, *x.shape[1:]), fill, x.dtype)])
    return x.at[table].get(mode="promise_in_bounds", wrap_negative_indices=False)


def table_weights(graph: Graph) -> Array | None:
    """Return [N, K] float32 weights in the layout of the table, 0 where it is padded."""
    if graph.weights is None:
        return None
    width = graph.table.shape[1]
    column = jnp.arange(width, dtype=jnp.int32)
    place = graph.offsets[:-1, None] + column
    place = jnp.minimum(place, graph.weights.shape[0] - 1)
    inside = column < degree(graph)[:, None]
    return jnp.where(
        inside,
        graph.weights.at[place].get(mode="promise_in_bounds", wrap_negative_indices=False),
        0.0,
    )


def sum_neighbours(graph: Graph, x: Array, *, weighted: bool = True) -> Array:
    """Add up what the in-neighbours of each slot hold.

    Args:
      graph: ties among N slots.
      x: [N, ...]; bool and small integers are the cheapest.
      weighted: multiply by the weights of ties, where the graph has any.

    Returns:
      [N, ...], int32 for bool and integers, the dtype of ``x`` for floats, float32 with
      weights; 0 for a slot without in-neighbours.
    """
    x = jnp.asarray(x)
    exact = jnp.issubdtype(x.dtype, jnp.integer) or x.dtype == bool
    total = jnp.int32 if exact else x.dtype
    if graph.complete:
        return x.sum(0, dtype=total) - x.astype(total)
    x = x.astype(jnp.int8) if x.dtype == bool else x
    if weighted and graph.weights is not None:
        return _weighted_sum(graph, x)
    if graph.blocks is not None:
        return _sum_blocks(graph, x, total)
    if graph.table is not None:
        if not graph.regular:
            x = jnp.concatenate([x, jnp.zeros((1, *x.shape[1:]), x.dtype)])
        return _sum_table(graph.table, x, total)
    return _sum_rows(graph, _said(graph, x).astype(total))


def mean_neighbours(
    graph: Graph, x: Array, alive: Array | None = None, *, weighted: bool = True
) -> Array:
    """Average what the in-neighbours of each slot hold.

    Args:
      graph: ties among N slots.
      x: [N, ...].
      alive: [N] bool, who counts; None = everybody.
      weighted: weigh by the ties' weights, where the graph has any.

    Returns:
      [N, ...] float32; 0 for a slot that nobody counts for.
    """
    x = jnp.asarray(x, jnp.float32)
    ones = jnp.ones(graph.num_slots, bool) if alive is None else alive
    if alive is not None:
        x = jnp.where(_expand(alive, x), x, 0.0)
    total = sum_neighbours(graph, x, weighted=weighted)
    uniform = alive is None and not (weighted and graph.weights is not None)
    count = degree(graph) if uniform else sum_neighbours(graph, ones, weighted=weighted)
    count = _expand(count.astype(jnp.float32), total)
    return jnp.where(count > 0, total / jnp.where(count > 0, count, 1.0), 0.0)


def random_neighbour(
    graph: Graph, key: Array, lane: Array, step: Array | int = 0, alive: Array | None = None
) -> Array:
    """Draw one in-neighbour of every slot, each equally likely.

    Args:
      graph: ties among N slots.
      key: [2] uint32.
      lane, step: the counter of ``worlds.random``; ``lane`` is [N].
      alive: [N] bool, who may be drawn; None = everybody.

    Returns:
      [N] int32 slots; the own slot where there is nobody to draw.
    """
    own = jnp.arange(graph.num_slots, dtype=jnp.int32)
    if alive is not None:
        return _random_living(graph, key, lane, step, alive)
    draw = randint(key, lane, step, jnp.maximum(degree(graph), 1))
    if graph.complete:
        found = draw + (draw >= own)
        return jnp.where(graph.num_slots > 1, found, own).astype(jnp.int32)
    if graph.regular:
        return graph.table.at[own, draw].get(mode="promise_in_bounds", wrap_negative_indices=False)
    place = jnp.minimum(graph.offsets[:-1] + draw, graph.senders.shape[0] - 1)
    found = graph.senders.at[place].get(mode="promise_in_bounds", wrap_negative_indices=False)
    return jnp.where(degree(graph) > 0, found, own)


def _random_living(graph: Graph, key: Array, lane: Array, step: Array | int, alive: Array) -> Array:
    """As ``random_neighbour``, by rank among the living."""
    own = jnp.arange(graph.num_slots, dtype=jnp.int32)
    count = degree(graph, alive)
    draw = randint(key, lane, step, jnp.maximum(count, 1))
    if graph.complete:
        rank = jnp.cumsum(alive, dtype=jnp.int32)
        skip = alive & (draw >= rank - 1)
        found = jnp.searchsorted(rank, draw + skip, side="right").astype(jnp.int32)
    else:
        said = _said(graph, alive)
        living = jnp.cumsum(said & (graph.senders < graph.num_slots), dtype=jnp.int32)
        before = jnp.concatenate([jnp.zeros(1, jnp.int32), living])[graph.offsets[:-1]]
        place = jnp.searchsorted(living, before + draw, side="right")
        found = graph.senders[jnp.minimum(place, graph.senders.shape[0] - 1)]
    return jnp.where(count > 0, jnp.minimum(found, graph.num_slots - 1), own)


def _weighted_sum(graph: Graph, x: Array) -> Array:
    x = x.astype(jnp.float32)
    weights = table_weights(graph) if graph.table is not None else None
    if weights is not None:
        said = gather_neighbours(graph, x)
        weighed = said * weights.reshape(weights.shape + (1,) * (x.ndim - 1))
        return weighed.sum(1)
    said = _said(graph, x)
    return _sum_rows(graph, said * _expand(graph.weights, said))


def _sum_blocks(graph: Graph, x: Array, total: Any) -> Array:
    """Add up pieces of W neighbours, then the pieces of each slot."""
    padded = jnp.concatenate([x, jnp.zeros((1, *x.shape[1:]), x.dtype)])
    pieces = _sum_table(graph.blocks, padded, total)
    return jax.ops.segment_sum(pieces, graph.owners, graph.num_slots, indices_are_sorted=True)


def _sum_table(table: Array, x: Array, total: Any) -> Array:
    """Sum x at each row's places; [N, K] places within x, [M, ...] values -> [N, ...].

    Floats are gathered eight columns at a time and added column by column: XLA's reduction
    on the CPU adds floats strictly in order, which keeps the gather from being vectorised
    and takes three times as long.
    """
    width = table.shape[1]
    if not jnp.issubdtype(x.dtype, jnp.floating) or not 0 < width <= WIDEST_SUM:
        return (
            x.at[table]
            .get(mode="promise_in_bounds", wrap_negative_indices=False)
            .sum(1, dtype=total)
        )
    sums = []
    for start in range(0, width, TOGETHER):
        some = x.at[table[:, start : start + TOGETHER]].get(
            mode="promise_in_bounds", wrap_negative_indices=False
        )
        sums.append(_add([some[:, k] for k in range(some.shape[1])]))
    return _add(sums).astype(total)


def _add(parts: list[Array]) -> Array:
    """Sum by pairs, in a fixed order."""
    while len(parts) > 1:
        odd = parts[-1:] if len(parts) % 2 else []
        parts = [a + b for a, b in zip(parts[::2], parts[1::2], strict=False)] + odd
    return parts[0]


def _said(graph: Graph, x: Array) -> Array:
    """What the sender of each row of ties holds; padding rows read the last slot."""
    senders = jnp.minimum(graph.senders, graph.num_slots - 1)
    return x.at[senders].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _sum_rows(graph: Graph, rows: Array) -> Array:
    """Add up rows by receiver; padding rows, whose receiver is N, fall out."""
    return jax.ops.segment_sum(rows, graph.receivers, graph.num_slots, indices_are_sorted=True)


def _expand(values: Array, like: Array) -> Array:
    return values.reshape(values.shape + (1,) * (like.ndim - values.ndim))
