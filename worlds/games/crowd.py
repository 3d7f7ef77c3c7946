"""One action that meets many partners: counts of what they did, and what that pays."""

import jax.numpy as jnp

from worlds.games.payoffs import Meeting
from worlds.graph_ops import degree, gather_neighbours, sum_neighbours
from worlds.types import Array, Graph

__all__ = ["count_partners", "meet_crowd"]


def count_partners(
    actions: Array, num_actions: int, graph: Graph | None, present: Array | None
) -> list[Array]:
    """For each action, count how many partners took it.

    Args:
      actions: [N] int8, -1 before the first round.
      num_actions: A.
      graph: ties to partners; None = everybody else.
      present: [N] bool, whom to count; None = everybody, which costs less.

    Returns:
      A arrays [N] of integers.
    """
    if present is None and num_actions == 2:
        ones = _total(graph, jnp.maximum(actions, 0))
        partners = actions.shape[0] - 1 if graph is None else degree(graph)
        return [partners - ones, ones.astype(jnp.int32)]
    here = True if present is None else present
    return [
        _total(graph, ((actions == kind) & here).astype(jnp.int8)) for kind in range(num_actions)
    ]


def meet_crowd(table: Array, own: Array, counts: list[Array], *, mean: bool) -> Meeting:
    """Pay one action against the counted actions of all partners.

    Args:
      table: [2, A, A] float32 of a symmetric game.
      own: [N, 1, 1] int8. counts: of ``count_partners``.
      mean: divide by the number of partners.
    """
    gains = [count.astype(jnp.float32) for count in counts]
    payoff = jnp.zeros(own.shape[0], jnp.float32)
    for mine, row in enumerate(table[0]):
        earned = sum((row[theirs] * gain for theirs, gain in enumerate(gains)), jnp.float32(0))
        payoff = jnp.where(own[:, 0, 0] == mine, earned, payoff)
    if mean:
        partners = sum(gains, jnp.float32(0))
        payoff = jnp.where(partners > 0, payoff / jnp.maximum(partners, 1), 0.0)
    kind = (own == 0).astype(jnp.int32)
    acts = kind[:, :, 0] if own.shape[2] == 1 else kind.sum(axis=2)
    return Meeting(payoff[:, None], acts)


def _total(graph: Graph | None, values: Array) -> Array:
    if graph is None or graph.complete:
        return values.sum(axis=0, dtype=jnp.int32) - values
    if graph.table is not None and graph.table.shape[1] < 128:  # sums of 0 and 1 fit a byte
        return gather_neighbours(graph, values).sum(axis=1, dtype=jnp.int8)
    return sum_neighbours(graph, values, weighted=False)
