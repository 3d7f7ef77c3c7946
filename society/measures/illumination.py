"""Which kinds of behaviour were found, and how well each did: an archive over lives."""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from society.contract import GroupSlice, Measure, Moment, Record
from society.illumination import novelty
from worlds.registry import component
from worlds.tree import doc_field
from worlds.types import Array

__all__ = ["DESCRIPTORS", "Illumination"]

# Name -> (columns of an action, what becomes of them); every value lies in [0, 1].
DESCRIPTORS = {
    "moving": (slice(0, 2), jnp.abs),
    "pushing": (slice(2, 3), jnp.abs),
    "eating": (slice(3, 4), lambda x: x > 0),
    "breeding": (slice(4, 5), lambda x: x > 0),
    "attacking": (slice(5, 6), lambda x: jnp.maximum(x, 0)),
    "speaking": (slice(6, 7), lambda x: x > 0),
    "programming": (slice(7, 8), lambda x: x > 0),
    "digging": (slice(-5, None), jnp.abs),
}
Descriptor = Literal[
    "moving", "pushing", "eating", "breeding", "attacking", "speaking", "programming", "digging"
]


class _Lives(NamedTuple):
    """sums: [N, D] of descriptors over each life so far. age, worth: [N].

    best: [cells^D] quality of each cell's elite, -inf where nobody was. where: [cells^D, D]
    its descriptors. lives: int32, how many have been put in.
    """

    sums: Array
    age: Array
    worth: Array
    best: Array
    where: Array
    lives: Array


@component("measure", "illumination")
@dataclasses.dataclass(frozen=True)
class Illumination(Measure):
    """Illumination: a MAP-Elites archive of all lives, over descriptors that you choose.

    A life's descriptors are means of what it did in its steps, each in [0, 1]; an archive of
    ``cells`` along each keeps the best life by ``quality`` (its length in steps, its children,
    or its summed reward). Lives are put in when they end, those that go on at the end of the
    run. ``illumination_coverage``: share of cells that hold somebody; ``illumination_score``:
    summed quality of elites (QD score); ``illumination_best``; ``illumination_novelty``: mean
    distance of elites to their 15 nearest ones (in units of descriptors);
    ``illumination_lives``; ``illumination_map``: [cells, ...] quality, NaN where nobody was.
    Source: Mouret and Clune (2015), arXiv:1504.04909; Lehman and Stanley (2011),
    doi:10.1162/EVCO_a_00025 (novelty).
    """

    streams = True

    descriptors: tuple[Descriptor, ...] = doc_field(
        ("moving", "attacking"), "one to three of what bodies do"
    )
    cells: int = doc_field(8, "cells along each descriptor", ge=2, le=64)
    quality: Literal["age", "children", "reward"] = doc_field("age", "what makes a life better")

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """Bodies with acts of ``life``, and an archive of reasonable size."""
        if not (world.births and hasattr(world, "prices")):
            raise ValueError("illumination needs bodies that act and bear children, as in life")
        if not 1 <= len(self.descriptors) <= 3:
            raise ValueError(
                f"{len(self.descriptors)} descriptors; give one to three of {sorted(DESCRIPTORS)}"
            )

    def begin(self, world: Any, groups: tuple[GroupSlice, ...]) -> _Lives:
        """An empty archive."""
        num, wide = world.num_slots, len(self.descriptors)
        size = self.cells**wide
        none = jnp.zeros(num, jnp.float32)
        return _Lives(
            sums=jnp.zeros((num, wide), jnp.float32),
            age=none,
            worth=none,
            best=jnp.full(size, -jnp.inf, jnp.float32),
            where=jnp.zeros((size, wide), jnp.float32),
            lives=jnp.int32(0),
        )

    def update(self, acc: _Lives, moment: Moment) -> _Lives:
        """Add a step to every life, and put those that have ended into the archive."""
        acts, turn, held = moment.action, moment.transition, moment.observation.alive
        parts = [DESCRIPTORS[name] for name in self.descriptors]
        did = [rule(acts[:, columns]).astype(jnp.float32).mean(1) for columns, rule in parts]
        parents = jnp.asarray(turn.parents)  # a world with births always says whose they are
        bore = jnp.zeros(held.shape[0] + 1, jnp.float32)
        bore = bore.at[jnp.where(parents >= 0, parents, held.shape[0])].add(1.0)[:-1]
        worth = {"age": held.astype(jnp.float32), "children": bore, "reward": turn.reward}
        acc = acc._replace(
            sums=acc.sums + jnp.where(held[:, None], jnp.stack(did, 1), 0.0),
            age=acc.age + held,
            worth=acc.worth + jnp.where(held, worth[self.quality], 0.0),
        )
        ended = held & turn.terminated
        acc = self._put_in(acc, ended)
        gone = ended | (parents >= 0).any(1)
        return acc._replace(
            sums=jnp.where(gone[:, None], 0.0, acc.sums),
            age=jnp.where(gone, 0.0, acc.age),
            worth=jnp.where(gone, 0.0, acc.worth),
        )

    def finish(self, acc: _Lives, record: Record) -> dict[str, Any]:
        """The archive with those who still live, and what it came to."""
        acc = jax.tree.map(jnp.asarray, acc)  # runs hand over NumPy arrays
        acc = self._put_in(acc, acc.age > 0)
        best, where = np.asarray(acc.best, np.float64), np.asarray(acc.where, np.float64)
        held = np.isfinite(best)
        far = novelty(where[held], np.zeros((0, where.shape[1]))) if held.sum() > 1 else [np.nan]
        return {
            "illumination_coverage": float(held.mean()),
            "illumination_score": float(best[held].sum()),
            "illumination_best": float(best[held].max()) if held.any() else float("nan"),
            "illumination_novelty": float(np.mean(far)),
            "illumination_lives": int(acc.lives),
            "illumination_map": np.where(held, best, np.nan).reshape(
                (self.cells,) * len(self.descriptors)
            ),
        }

    def _put_in(self, acc: _Lives, ended: Array) -> _Lives:
        """Keep in each cell whoever is better than its elite; of equals the first slot."""
        num, size = ended.shape[0], acc.best.shape[0]
        mean = acc.sums / jnp.maximum(acc.age, 1.0)[:, None]
        place = jnp.clip((mean * self.cells).astype(jnp.int32), 0, self.cells - 1)
        scale = self.cells ** np.arange(len(self.descriptors))[::-1]
        cell = jnp.where(ended, (place * scale.astype(np.int32)).sum(1), size)
        best = acc.best.at[cell].max(acc.worth, mode="drop")
        wins = ended & (acc.worth == jnp.append(best, jnp.nan)[cell])
        wins = wins & (acc.worth > jnp.append(acc.best, jnp.inf)[cell])
        slot = jnp.full(size, num, jnp.int32)
        slot = slot.at[jnp.where(wins, cell, size)].min(
            jnp.arange(num, dtype=jnp.int32), mode="drop"
        )
        found = (slot < num)[:, None]
        where = jnp.where(found, mean[jnp.minimum(slot, num - 1)], acc.where)
        return acc._replace(best=best, where=where, lives=acc.lives + ended.sum(dtype=jnp.int32))
