"""Novelty archive and MAP-Elites: which kinds of behaviour have been found, and by whom.

An archive divides a box of behaviour descriptors into cells and keeps in each the best
individual that was seen there. It is host-side and small: individuals are any pytrees with a
leading axis, such as the rows of an evolved group's genomes.

Source: Mouret and Clune (2015), "Illuminating search spaces by mapping elites",
arXiv:1504.04909; Lehman and Stanley (2011), doi:10.1162/EVCO_a_00025 (novelty).
"""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

__all__ = ["Archive", "novelty"]


@dataclasses.dataclass
class Archive:
    """Elites by cell.

    low, high: [D] bounds of the descriptors; what lies outside goes to the outermost cells.
    cells: [D] number of cells along each.
    """

    low: Sequence[float]
    high: Sequence[float]
    cells: Sequence[int]
    elites: dict[tuple[int, ...], Any] = dataclasses.field(default_factory=dict)
    quality: dict[tuple[int, ...], float] = dataclasses.field(default_factory=dict)
    descriptor: dict[tuple[int, ...], np.ndarray] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        """Bounds and cells must go together."""
        if not len(self.low) == len(self.high) == len(self.cells):
            raise ValueError(
                f"{len(self.low)} lower bounds, {len(self.high)} upper ones and "
                f"{len(self.cells)} numbers of cells; give one of each for every descriptor"
            )

    def cell_of(self, descriptor: np.ndarray) -> tuple[int, ...]:
        """The cell that holds a descriptor [D]."""
        low, high = np.asarray(self.low, float), np.asarray(self.high, float)
        cells = np.asarray(self.cells)
        place = np.floor((np.asarray(descriptor, float) - low) / (high - low) * cells)
        return tuple(np.clip(place, 0, cells - 1).astype(int).tolist())

    def add(self, individuals: Any, descriptors: np.ndarray, quality: np.ndarray) -> int:
        """Keep whoever is better than its cell's elite; returns how many were kept.

        Args:
          individuals: pytree with leading axis B. descriptors: [B, D]. quality: [B].
        """
        kept = 0
        for row, worth in enumerate(np.asarray(quality, float).tolist()):
            cell = self.cell_of(descriptors[row])
            if not np.isfinite(worth) or worth <= self.quality.get(cell, -np.inf):
                continue
            self.elites[cell] = jax.tree.map(lambda leaf, r=row: np.array(leaf[r]), individuals)
            self.quality[cell], self.descriptor[cell] = worth, np.array(descriptors[row])
            kept += 1
        return kept

    def sample(self, rng: np.random.Generator, number: int) -> Any:
        """Elites of cells drawn at random, as one pytree with leading axis ``number``."""
        if not self.elites:
            raise ValueError("the archive is empty; add individuals before sampling")
        found = [self.elites[cell] for cell in sorted(self.elites)]
        chosen = [found[int(index)] for index in rng.integers(len(found), size=number)]
        return jax.tree.map(lambda *leaves: np.stack(leaves), *chosen)

    @property
    def coverage(self) -> float:
        """Share of cells that hold somebody."""
        return len(self.elites) / float(np.prod(self.cells))

    @property
    def score(self) -> float:
        """Summed quality of all elites (the QD score), counted from 0."""
        return float(sum(self.quality.values()))


def novelty(descriptors: np.ndarray, archive: np.ndarray, k: int = 15) -> np.ndarray:
    """[B] mean distance of each descriptor to its k nearest ones in the archive and among all.

    Args:
      descriptors: [B, D]. archive: [A, D] of earlier individuals.
    """
    known = np.concatenate([np.asarray(archive, float).reshape(-1, descriptors.shape[1]),
                            np.asarray(descriptors, float)])  # fmt: skip
    distance = np.sqrt(((descriptors[:, None] - known[None]) ** 2).sum(-1))
    own = len(known) - len(descriptors) + np.arange(len(descriptors))
    distance[np.arange(len(descriptors)), own] = np.inf
    nearest = np.sort(distance, axis=1)[:, : min(k, len(known) - 1)]
    return nearest.mean(axis=1) if nearest.shape[1] else np.zeros(len(descriptors))
