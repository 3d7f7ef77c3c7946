"""Rules of imitation: individuals keep their place and uid, and change their mind.

``update: everyone`` moves all at once (synchronous); ``update: one`` moves a single
individual drawn at random, as in the processes whose fixation probabilities are known.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from society.contract import Pool, Selection
from society.selection.draws import (
    alive_fitness,
    anybody,
    lanes,
    look,
    pick_edge,
    seen_at,
    settle,
    ties,
    weighted_rows,
)
from society.selection.pairs import dense_births
from worlds.graph_ops import degree
from worlds.random import below, threshold
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Births, Graph

__all__ = ["BestNeighbour", "Conformist", "Fermi", "Replicator"]

Among = Literal["group", "neighbours", "population"]
Update = Literal["everyone", "one"]
_FEW = 64  # neighbours that six bits can choose among
_SMALLEST = 1e-30


@component("selection", "fermi")
@pytree
class Fermi(Selection):
    """Each looks at one other, and copies it with chance 1 / (1 + exp(-beta (pi_j - pi_i))).

    The model j is a random neighbour on the graph, or anybody else where all are tied.
    Source: Szabo & Toke (1998), doi:10.1103/PhysRevE.58.69; Traulsen, Nowak & Pacheco
    (2006), doi:10.1103/PhysRevE.74.011909.
    """

    beta: float = doc_field(1.0, "intensity of selection, per unit of fitness; 0 is drift", ge=0)
    update: Update = doc_field("everyone", "all at once, or one drawn at random")
    fitness: str = doc_field("", "outcome or metric that is compared; empty: the world's own")
    among: Among = "neighbours"
    imitates = True
    reads = ("fitness", "graph")

    def select(self, key: Array, pool: Pool) -> Births:
        """Return dense births, or one pair."""
        glance = _glance(key, pool, self.among)

        def chance() -> Array:
            return jax.nn.sigmoid(self.beta * (_usable(glance.rival) - _usable(glance.fitness)))

        return _imitate(key, pool, _adopt(pool, glance, chance), self.update)


@component("selection", "replicator")
@pytree
class Replicator(Selection):
    """Each looks at one other, and copies it in proportion to how much better it did.

    The chance is max(0, pi_j - pi_i) / (max(k_i, k_j) D). Where fitness sums over ties, k is
    their number (n - 1 where all are tied); where it is a mean, or the sum over one partner
    at a time, k = 1. D is the largest difference of payoffs that one tie can make: ``scale``,
    or, where that is 0, largest minus smallest payoff of the game (T - S in a dilemma) times
    rounds; in other worlds max(0, max pi/k) - min(0, min pi/k) over the living, the smallest
    that cannot exceed a chance of 1. Chances above 1 count as 1. For many and well mixed,
    shares follow the replicator equation in units of D generations.
    Source: Santos & Pacheco (2005), doi:10.1103/PhysRevLett.95.098104; Helbing (1992);
    Schlag (1998), doi:10.1006/jeth.1997.2347.
    """

    scale: float = doc_field(0.0, "D, the largest payoff difference; 0: from the game", ge=0)
    payoffs: Literal["auto", "accumulated", "averaged"] = doc_field(
        "auto", "whether fitness sums over ties or is a mean; auto: as the game says, else sums"
    )
    update: Update = doc_field("everyone", "all at once, or one drawn at random")
    fitness: str = doc_field("", "outcome or metric that is compared; empty: the world's own")
    among: Among = "neighbours"
    imitates = True
    reads = ("fitness", "graph")

    def fitted(self, world: Any) -> "Replicator":
        """Take D, and whether payoffs are sums, from a world that has a payoff table."""
        if not hasattr(world, "table"):
            return self
        scale, payoffs = self.scale, self.payoffs
        if float(scale) == 0.0:
            table = jnp.asarray(world.table(), jnp.float32)
            scale = (table.max() - table.min()) * getattr(world, "rounds", 1)
        if payoffs == "auto":
            one = getattr(world, "tabled", False)
            shared = getattr(world, "shares_action", False)
            mean = shared and getattr(world, "neighbour_payoff", "sum") == "mean"
            payoffs = "averaged" if one or mean else "accumulated"
        return dataclasses.replace(self, scale=scale, payoffs=payoffs)

    def select(self, key: Array, pool: Pool) -> Births:
        """Return dense births, or one pair."""
        glance = _glance(key, pool, self.among)
        num_ties = self._ties(pool)
        span = jnp.where(self.scale > 0, self.scale, _span(_usable(glance.fitness), num_ties))
        most = num_ties
        if num_ties.ndim:
            most = jnp.maximum(num_ties, settle(pool, lambda: _gather(num_ties, glance.model)))

        def chance() -> Array:
            gain = _usable(glance.rival) - _usable(glance.fitness)
            return jnp.where(gain > 0, gain / jnp.maximum(most * span, _SMALLEST), 0.0)

        return _imitate(key, pool, _adopt(pool, glance, chance), self.update)

    def _ties(self, pool: Pool) -> Array:
        """Return k, over how many ties fitness sums: [M] float32, or [] where all have the same."""
        graph = ties(pool, self.among)
        if self.payoffs == "averaged":
            return jnp.float32(1)
        if graph is None:
            return jnp.maximum(pool.alive.sum() - 1, 1).astype(jnp.float32)
        if graph.regular and graph.table is not None:
            return jnp.float32(graph.table.shape[1])
        return jnp.maximum(degree(graph), 1).astype(jnp.float32)


@component("selection", "best_neighbour")
@pytree
class BestNeighbour(Selection):
    """Each copies the fittest of its neighbours if that one did better than itself.

    Who did as well as the best keeps its own mind; among equally good neighbours one is
    drawn. Where all are tied, everybody copies one of the best.
    Source: Nowak & May (1992), doi:10.1038/359826a0.
    """

    update: Update = doc_field("everyone", "all at once, or one drawn at random")
    fitness: str = doc_field("", "outcome or metric that is compared; empty: the world's own")
    among: Among = "neighbours"
    imitates = True
    reads = ("fitness", "graph")

    def select(self, key: Array, pool: Pool) -> Births:
        """Return dense births, or one pair."""
        word = lanes(key, pool.alive.shape[0])[0]
        fitness = alive_fitness(pool)
        graph = ties(pool, self.among)
        if graph is None:
            rival = jnp.where(fitness == fitness.max(), (word >> 1).astype(jnp.int32), -1)
            model = jnp.broadcast_to(jnp.argmax(rival).astype(jnp.int32), fitness.shape)
        elif graph.table is not None:
            model = _best_in_table(graph.table, fitness, word)
        else:
            score = fitness.at[graph.senders].get(mode="fill", fill_value=-jnp.inf)
            model, _ = pick_edge(graph, score, lanes(key, score.shape[0], 2)[0])
        adopts = pool.alive & (_gather(fitness, model) > fitness)
        return _imitate(key, pool, jnp.where(adopts, model, _own(pool)), self.update)


@component("selection", "conformist")
@pytree
class Conformist(Selection):
    """Each copies a neighbour, the more likely the commoner that one's strategy is.

    A strategy with share x among the neighbours is copied with a chance proportional to
    x ** strength: 1 is unbiased copying, above 1 conformity, below 1 its opposite, and a
    large value follows the majority. Where all are tied, shares are those of everybody,
    oneself included. Fitness plays no part.
    Source: Boyd & Richerson (1985), Culture and the Evolutionary Process, ch. 7, in the
    power form of Nakahashi (2007), doi:10.1016/j.tpb.2006.11.003.
    """

    strength: float = doc_field(3.0, "1 is unbiased, above 1 follows the majority", ge=0)
    update: Update = doc_field("everyone", "all at once, or one drawn at random")
    fitness: str = doc_field("", "not used by this rule")
    among: Among = "neighbours"
    imitates = True
    reads = ("types", "graph")

    def select(self, key: Array, pool: Pool) -> Births:
        """Return dense births, or one pair."""
        word = lanes(key, pool.alive.shape[0])[0]
        graph = ties(pool, self.among)
        if graph is None:
            same = _same_kind(pool.types, jnp.zeros_like(pool.types), pool.alive)
            weight = self._weigh(same, pool.alive.sum(), pool.alive)
            model, exists = weighted_rows(weight, pool.alive, word), pool.alive
        elif graph.table is not None:
            model, exists = self._in_table(pool, graph.table, word)
        else:
            model, exists = self._on_edges(key, pool, graph)
        adopts = exists & pool.alive
        return _imitate(key, pool, jnp.where(adopts, model, _own(pool)), self.update)

    def _weigh(self, same: Array, num: Array, real: Array) -> Array:
        """Return weights such that a strategy of share x weighs x ** strength in all."""
        share = same / jnp.maximum(num, 1)
        return jnp.where(real, jnp.maximum(share, 1e-9) ** (self.strength - 1.0), 0.0)

    def _in_table(self, pool: Pool, table: Array, word: Array) -> tuple[Array, Array]:
        real = pool.alive.at[table].get(mode="fill", fill_value=False)
        types = pool.types.at[table].get(mode="fill", fill_value=-1)
        same = jnp.zeros(table.shape, jnp.float32)
        for column in range(table.shape[1]):
            same += real[:, column, None] & (types == types[:, column, None])
        weight = self._weigh(same, real.sum(1, keepdims=True), real)
        ends = jnp.cumsum(weight, axis=1)
        target = ends[:, -1] * ((word >> 8).astype(jnp.float32) * 2.0**-24)
        slot = jnp.argmax((ends > target[:, None]) & real, axis=1)
        model = jnp.take_along_axis(table, slot[:, None], axis=1)[:, 0]
        exists = real.any(1)
        return jnp.where(exists, model, 0), exists

    def _on_edges(self, key: Array, pool: Pool, graph: Graph) -> tuple[Array, Array]:
        """Draw an edge of each receiver by a race: the least -log(u) / weight wins."""
        real = pool.alive.at[graph.senders].get(mode="fill", fill_value=False)
        types = pool.types.at[graph.senders].get(mode="fill", fill_value=-1)
        same = _same_kind(types, graph.receivers, real)
        num = degree(graph).at[graph.receivers].get(mode="fill", fill_value=1)
        weight = self._weigh(same, num, real)
        word, tie_word = lanes(key, real.shape[0], 2)
        uniform = ((word >> 8).astype(jnp.float32) + 0.5) * 2.0**-24
        score = jnp.where(real, jnp.log(uniform) / jnp.maximum(weight, 1e-30), -jnp.inf)
        return pick_edge(graph, score, tie_word)


def _own(pool: Pool) -> Array:
    return jnp.arange(pool.alive.shape[0], dtype=jnp.int32)


class _Glance(NamedTuple):
    """Whom everybody looks at, and the word that decides whether it is copied.

    model: [M] int32. exists: [M] bool. rival, fitness: [M] float32, the model's and one's own,
    not ``_usable`` yet. word: [M] uint32; its low bits may have chosen the model.
    """

    model: Array
    exists: Array
    rival: Array
    fitness: Array
    word: Array


def _glance(key: Array, pool: Pool, among: str) -> _Glance:
    """Draw a model for everybody; every stage is finished before the next one gathers.

    Where few neighbours stand in a table, one word serves both decisions: its low bits choose
    the neighbour, the others (26 at least) decide. Two words would be two evaluations of the
    generator, because XLA evaluates it once for each array that leaves a loop.
    """
    graph, size = ties(pool, among), pool.alive.shape[0]
    fitness = pool.fitness.astype(jnp.float32) if pool.full else alive_fitness(pool)
    if graph is not None and graph.regular and graph.table.shape[1] <= _FEW:
        width = graph.table.shape[1]
        low = jnp.uint32((1 << max(width - 1, 1).bit_length()) - 1)

        def draw() -> Array:
            first, second = lanes(key, size)
            return (second & ~low) | below(first, width).astype(jnp.uint32)

        word = settle(pool, draw)

        def place() -> Array:
            return _own(pool) * width + (word & low).astype(jnp.int32)

    else:

        def draw_both() -> tuple[Array, Array]:
            first, second = lanes(key, size)
            return look(pool, among, first), second

        drawn, word = settle(pool, draw_both)

        def place() -> Array:
            return drawn

    exists = seen_at(pool, among, place())[1]
    model = settle(pool, lambda: seen_at(pool, among, place())[0])
    rival = settle(pool, lambda: _gather(fitness, model))
    return _Glance(model, exists, rival, fitness, word)


def _usable(fitness: Array) -> Array:
    """Return minus infinity where fitness is not a number."""
    return jnp.where(jnp.isnan(fitness), -jnp.inf, fitness)


def _adopt(pool: Pool, glance: _Glance, chance: Callable[[], Array]) -> Array:
    """Return whose mind each has from now on: the model's with the given chance, or its own."""

    def decide() -> Array:
        likely = chance()
        sure, never = likely >= 1, ~(likely > 0)  # and never where it is not a number
        adopts = ((glance.word < threshold(likely)) | sure) & ~never
        adopts = adopts & glance.exists
        adopts = adopts if pool.full else adopts & pool.alive
        return jnp.where(adopts, glance.model, _own(pool))

    return settle(pool, decide, lambda: _own(pool))


def _gather(values: Array, rows: Array) -> Array:
    return values.at[rows].get(mode="promise_in_bounds", wrap_negative_indices=False)


def _best_in_table(table: Array, fitness: Array, word: Array) -> Array:
    """Return the fittest neighbour; equal ones from a random column onward."""
    score = fitness.at[table].get(mode="fill", fill_value=-jnp.inf)
    width = table.shape[1]
    turn = below(word, width)[:, None]
    order = (jnp.arange(width, dtype=jnp.int32) - turn) % width
    tied = score == score.max(1, keepdims=True)
    slot = jnp.argmin(jnp.where(tied, order, width), axis=1)
    model = jnp.take_along_axis(table, slot[:, None], axis=1)[:, 0]
    return jnp.minimum(model, fitness.shape[0] - 1)


def _same_kind(types: Array, place: Array, real: Array) -> Array:
    """Return [E] float32: how many real entries share an entry's place and type."""
    order = jnp.lexsort((types, place, ~real))
    kinds = jnp.stack([types[order], place[order], real[order].astype(jnp.int32)])
    differs = (kinds[:, 1:] != kinds[:, :-1]).any(0)
    run = jnp.cumsum(jnp.concatenate([jnp.zeros(1, bool), differs]), dtype=jnp.int32)
    count = jnp.zeros(types.shape[0], jnp.float32).at[run].add(real[order])
    return jnp.zeros(types.shape[0], jnp.float32).at[order].set(count[run])


def _span(fitness: Array, num_ties: Array) -> Array:
    """Return the largest payoff per tie minus the smallest, both with 0 among them."""
    mean = jnp.where(fitness > -jnp.inf, fitness / num_ties, 0.0)
    return jnp.maximum(mean.max(), 0.0) - jnp.minimum(mean.min(), 0.0)


def _imitate(key: Array, pool: Pool, parent: Array, update: Update) -> Births:
    """Return everybody's move, or that of one drawn at random."""
    if update == "everyone":
        return dense_births(parent)
    size = parent.shape[0]
    focal = anybody(pool.alive, lanes(key, 1, 1)[0])
    moves = parent[focal] != focal
    child = jnp.where(moves, focal, size).astype(jnp.int32)
    return Births(child, jnp.where(moves, parent[focal], -1)[:, None], False)
