"""Rules that replace individuals: none, truncation, tournament, roulette, rank.

The population keeps its size: every newcomer takes the slot of one who is gone.
"""

from typing import Literal

import jax.numpy as jnp

from society.contract import Pool, Selection
from society.selection.draws import (
    alive_fitness,
    best_first,
    lanes,
    weighted_rows,
)
from society.selection.pairs import newborns
from worlds.random import below
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Births

__all__ = ["NoSelection", "Rank", "Roulette", "Tournament", "Truncation"]


@component("selection", "none")
@pytree
class NoSelection(Selection):
    """Nobody copies anybody."""

    fitness: str = doc_field("", "outcome or metric that is copied for; empty: the world's own")
    among: Literal["group", "neighbours", "population"] = "group"
    reads = ()

    def select(self, key: Array, pool: Pool) -> Births:
        """Return no pairs."""
        return Births(jnp.zeros(0, jnp.int32), jnp.zeros((0, 1), jnp.int32), False)


@component("selection", "truncation")
@pytree
class Truncation(Selection):
    """The best share survives; offspring of survivors replace the others.

    The number of survivors is ``keep`` times the living, rounded to the nearest, at least 1.
    Equal fitness is decided at random.
    Source: Muehlenbein & Schlierkamp-Voosen (1993), doi:10.1162/evco.1993.1.1.25; with
    ``keep: 0.5`` the Donor Game of Vallinder & Hughes (2024), arXiv:2412.10270.
    """

    keep: float = doc_field(0.5, "share of the living that survives", gt=0, le=1)
    parents: Literal["uniform", "cyclic"] = doc_field(
        "uniform", "parents drawn at random among survivors, or the best first, in turn"
    )
    fitness: str = doc_field("", "outcome or metric that is copied for; empty: the world's own")
    among: Literal["group", "population"] = "group"
    reads = ("fitness",)

    def select(self, key: Array, pool: Pool) -> Births:
        """Return pairs for the rows that lose, in order of rows; at most M, then padding."""
        size = pool.alive.shape[0]
        tie_word, parent_word = lanes(key, size)
        order = best_first(pool, tie_word)
        num_alive = pool.alive.sum(dtype=jnp.int32)
        num_kept = jnp.floor(self.keep * num_alive + 0.5).astype(jnp.int32)
        num_kept = jnp.clip(num_kept, 1, jnp.maximum(num_alive, 1))
        place = jnp.zeros(size, jnp.int32).at[order].set(jnp.arange(size, dtype=jnp.int32))
        loses = pool.alive & (place >= num_kept)
        if self.parents == "cyclic":
            nth_loser = jnp.cumsum(loses, dtype=jnp.int32) - 1
            pick = nth_loser % num_kept
        else:
            pick = below(parent_word, num_kept)
        child = jnp.nonzero(loses, size=size, fill_value=size)[0].astype(jnp.int32)
        real = child < size
        parent = jnp.where(real, order[pick[jnp.minimum(child, size - 1)]], -1)
        return Births(child, parent[:, None], False)


@component("selection", "tournament")
@pytree
class Tournament(Selection):
    """Each newcomer's parent is the fittest of a few drawn at random.

    Everybody is replaced, except the ``elites`` fittest. Contestants are drawn with
    replacement; the first drawn wins ties.
    Source: Goldberg & Deb (1991), doi:10.1016/B978-0-08-050684-5.50008-2.
    """

    size: int = doc_field(2, "contestants for each place", ge=1)
    elites: int = doc_field(0, "how many of the fittest survive as they are", ge=0)
    fitness: str = doc_field("", "outcome or metric that is copied for; empty: the world's own")
    among: Literal["group", "population"] = "group"
    reads = ("fitness",)

    def select(self, key: Array, pool: Pool) -> Births:
        """Return a newcomer for every row that is replaced, padding elsewhere."""
        size = pool.alive.shape[0]
        fitness = alive_fitness(pool)
        living = jnp.nonzero(pool.alive, size=size, fill_value=0)[0].astype(jnp.int32)
        num_alive = jnp.maximum(pool.alive.sum(dtype=jnp.int32), 1)
        winner = living[below(lanes(key, size, 1)[0], num_alive)]
        for contestant in range(1, self.size):
            rival = living[below(lanes(key, size, contestant + 1)[0], num_alive)]
            winner = jnp.where(fitness[rival] > fitness[winner], rival, winner)
        return _replace(key, pool, winner, self.elites)


@component("selection", "roulette")
@pytree
class Roulette(Selection):
    """Parents are drawn with chances proportional to fitness.

    Where somebody's fitness is negative, all are shifted so that the smallest is 0; where
    all are equal to 0, everybody has the same chance. Everybody is replaced (Wright-Fisher),
    except the ``elites`` fittest.
    Source: Holland (1975), Adaptation in Natural and Artificial Systems; Wright (1931).
    """

    elites: int = doc_field(0, "how many of the fittest survive as they are", ge=0)
    fitness: str = doc_field("", "outcome or metric that is copied for; empty: the world's own")
    among: Literal["group", "population"] = "group"
    reads = ("fitness",)

    def select(self, key: Array, pool: Pool) -> Births:
        """Return a newcomer for every row that is replaced, padding elsewhere."""
        fitness = alive_fitness(pool)
        usable = jnp.isfinite(fitness)
        lowest = jnp.min(jnp.where(usable, fitness, 0.0))
        weight = jnp.where(usable, fitness - jnp.minimum(lowest, 0.0), 0.0)
        word = lanes(key, weight.shape[0], 1)[0]
        return _replace(key, pool, weighted_rows(weight, pool.alive, word), self.elites)


@component("selection", "rank")
@pytree
class Rank(Selection):
    """Parents are drawn with chances that fall linearly with rank.

    Among n living, the one of rank i = 0 (worst) .. n - 1 has the chance
    (2 - s) / n + 2 i (s - 1) / (n (n - 1)) with pressure s. Ties are ranked at random.
    Everybody is replaced, except the ``elites`` fittest.
    Source: Baker (1985), Adaptive selection methods for genetic algorithms, ICGA 1.
    """

    pressure: float = doc_field(2.0, "expected offspring of the best, 1 (drift) to 2", ge=1, le=2)
    elites: int = doc_field(0, "how many of the fittest survive as they are", ge=0)
    fitness: str = doc_field("", "outcome or metric that is copied for; empty: the world's own")
    among: Literal["group", "population"] = "group"
    reads = ("fitness",)

    def select(self, key: Array, pool: Pool) -> Births:
        """Return a newcomer for every row that is replaced, padding elsewhere."""
        size = pool.alive.shape[0]
        order = best_first(pool, lanes(key, size, 2)[0])
        place = jnp.zeros(size, jnp.int32).at[order].set(jnp.arange(size, dtype=jnp.int32))
        num_alive = pool.alive.sum(dtype=jnp.int32)
        from_worst = (num_alive - 1 - place).astype(jnp.float32)
        slope = 2.0 * (self.pressure - 1.0) / jnp.maximum(num_alive - 1, 1)
        weight = jnp.where(pool.alive, (2.0 - self.pressure) + slope * from_worst, 0.0)
        word = lanes(key, size, 1)[0]
        return _replace(key, pool, weighted_rows(weight, pool.alive, word), self.elites)


def _replace(key: Array, pool: Pool, parent: Array, elites: int) -> Births:
    """Return births into all rows of the living but the elites'."""
    born = pool.alive
    if elites:
        order = best_first(pool, lanes(key, born.shape[0])[0])
        born = born.at[order[:elites]].set(False)
    return newborns(parent, born)
