"""Moran processes: one birth and one death at a time, well mixed or along a graph."""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp

from society.contract import Pool, Selection
from society.selection.draws import (
    alive_fitness,
    anybody,
    edge_weights,
    random_neighbour,
    ties,
    weighted_rows,
)
from society.selection.pairs import newborns
from worlds.random import random_pair
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Births, Graph

__all__ = ["MoranBirthDeath", "MoranDeathBirth"]

Event = Callable[[Array, Array], tuple[Array, Array, Array]]
Mapping = Literal["linear", "exponential"]


@component("selection", "moran_birth_death")
@pytree
class MoranBirthDeath(Selection):
    """One is born in proportion to fitness; its offspring replaces one at random.

    Well mixed, anybody may be replaced, the parent included; on a graph, a neighbour of the
    parent. Effective fitness is 1 - w + w pi (linear, negative values count as 0) or
    exp(w pi), with intensity w. Several events in one generation happen one after another,
    and offspring carry the fitness that their parent had at its start.
    Source: Moran (1958), doi:10.1017/S0305004100033193; on graphs: Lieberman, Hauert & Nowak
    (2005), doi:10.1038/nature03204. Ties count alike, whatever their weights.
    """

    intensity: float = doc_field(1.0, "w: 0 is drift", ge=0)
    mapping: Mapping = doc_field("linear", "how payoff becomes fitness")
    events: int = doc_field(1, "births (and deaths) in one generation", ge=1)
    fitness: str = doc_field("", "outcome or metric that is copied for; empty: the world's own")
    among: Literal["group", "neighbours", "population"] = "neighbours"
    reads = ("fitness", "graph")

    def select(self, key: Array, pool: Pool) -> Births:
        """Return one pair, or dense births where a generation has several events."""
        graph = ties(pool, self.among)

        def event(weight: Array, words: Array) -> tuple[Array, Array, Array]:
            parent = weighted_rows(weight, pool.alive, words[:1])
            if graph is None:
                victim, exists = anybody(pool.alive, words[1:2]), jnp.ones(1, bool)
            else:
                victim, exists = _receiver(pool, graph, parent, words[1:2])
            exists = exists & pool.alive[victim] & pool.alive[parent]
            return victim[0], parent[0], exists[0]

        return _run(key, pool, _effective(pool, self.intensity, self.mapping), event, self.events)


@component("selection", "moran_death_birth")
@pytree
class MoranDeathBirth(Selection):
    """One dies at random; the others, or its neighbours, compete for the place.

    The chance to take the place is proportional to effective fitness, 1 - w + w pi (linear,
    negative values count as 0) or exp(w pi). Several events in one generation happen one
    after another, and offspring carry the fitness that their parent had at its start.
    Source: Ohtsuki, Hauert, Lieberman & Nowak (2006), doi:10.1038/nature04605. Ties count
    alike, whatever their weights.
    """

    intensity: float = doc_field(1.0, "w: 0 is drift", ge=0)
    mapping: Mapping = doc_field("linear", "how payoff becomes fitness")
    events: int = doc_field(1, "deaths (and births) in one generation", ge=1)
    fitness: str = doc_field("", "outcome or metric that is copied for; empty: the world's own")
    among: Literal["group", "neighbours", "population"] = "neighbours"
    reads = ("fitness", "graph")

    def select(self, key: Array, pool: Pool) -> Births:
        """Return one pair, or dense births where a generation has several events."""
        graph = ties(pool, self.among)
        rows = jnp.arange(pool.alive.shape[0], dtype=jnp.int32)

        def event(weight: Array, words: Array) -> tuple[Array, Array, Array]:
            victim = anybody(pool.alive, words[:1])[0]
            if graph is None:
                rivals, shares, usable = rows, weight, pool.alive
                usable = usable & (rows != victim)
                shares = jnp.where(rows == victim, 0.0, shares)
            else:
                rivals, shares, usable = _rivals(graph, victim, weight, pool.alive)
            parent = rivals[weighted_rows(shares, usable, words[1:2])[0]]
            return victim, parent, usable.any() & pool.alive[victim]

        return _run(key, pool, _effective(pool, self.intensity, self.mapping), event, self.events)


def _effective(pool: Pool, intensity: Array | float, mapping: Mapping) -> Array:
    """Return [M] float32 effective fitness, 0 for the dead."""
    payoff = alive_fitness(pool)
    usable = jnp.isfinite(payoff)
    if mapping == "linear":
        effective = jnp.maximum(1.0 - intensity + intensity * payoff, 0.0)
    else:
        best = jnp.max(jnp.where(usable, payoff, -jnp.inf))
        effective = jnp.exp(intensity * (payoff - best))
    return jnp.where(usable, effective, 0.0)


def _run(key: Array, pool: Pool, effective: Array, event: Event, num_events: int) -> Births:
    """Return the pairs of one or several events; ``source`` is whose mind sits in a row."""
    size = pool.alive.shape[0]

    def words(number: Array | int) -> Array:
        return jnp.stack(random_pair(key, jnp.asarray(number, jnp.uint32), 0))

    if num_events == 1:
        victim, parent, exists = event(effective, words(0))
        child = jnp.where(exists, victim, size).astype(jnp.int32)
        return Births(child[None], jnp.where(exists, parent, -1)[None, None], False)

    def one(number: Array, state: tuple[Array, Array]) -> tuple[Array, Array]:
        source, born = state
        victim, parent, exists = event(effective[source], words(number))
        row = jnp.where(exists, victim, size)
        return source.at[row].set(source[parent], mode="drop"), born.at[row].set(True, mode="drop")

    rows = jnp.arange(size, dtype=jnp.int32)
    start = (rows, jnp.zeros(size, bool))
    source, born = jax.lax.fori_loop(0, num_events, one, start)
    return newborns(source, born)


def _receiver(pool: Pool, graph: Graph, parent: Array, word: Array) -> tuple[Array, Array]:
    """Draw one of those whom the parent's ties reach."""
    if not graph.directed:
        return random_neighbour(graph, parent, word)
    hits = graph.senders == parent[0]
    edge = anybody(hits, word)
    receiver = jnp.minimum(graph.receivers[edge], pool.alive.shape[0] - 1)
    return receiver, jnp.broadcast_to(hits.any(), receiver.shape)


def _rivals(graph: Graph, victim: Array, weight: Array, alive: Array) -> tuple[Array, Array, Array]:
    """Return rows that may take the victim's place, their weights, and which of them live."""
    size = weight.shape[0]
    if graph.table is not None:
        row = graph.table[victim]
        rivals = jnp.minimum(row, size - 1)
        usable = (row < size) & alive[rivals]
        return rivals, jnp.where(usable, weight[rivals], 0.0), usable
    rivals, shares = edge_weights(graph, victim, weight)
    usable = (graph.receivers == victim) & (graph.senders < size) & alive[rivals]
    return rivals, jnp.where(usable, shares, 0.0), usable
