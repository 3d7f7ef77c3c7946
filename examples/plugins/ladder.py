"""A graph rule in one file: two rails and the rungs between them."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from society.graphs.base import GraphRule, Ties
from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["Ladder"]


@component("graph", "ladder")
@dataclasses.dataclass(frozen=True)
class Ladder(GraphRule):
    """Two paths side by side, tied to each other at every ``rung``-th node."""

    rung: int = doc_field(1, "nodes from one rung to the next", ge=1)

    def check(self, num: int, columns: Mapping[str, np.ndarray]) -> None:
        if num < 4 or num % 2:
            raise ValueError(
                f"a ladder has two rails of equal length, but there are {num} agents; "
                "use an even number of at least 4"
            )

    def edges(self, num: int, rng: np.random.Generator, columns: Mapping[str, np.ndarray]) -> Ties:
        half = num // 2
        left = np.arange(half - 1)
        rungs = np.arange(0, half, self.rung)
        pairs = [(left, left + 1), (left + half, left + half + 1), (rungs, rungs + half)]
        return Ties(np.concatenate([np.stack(pair, axis=1) for pair in pairs]).astype(np.int32))
