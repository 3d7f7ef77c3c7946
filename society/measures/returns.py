"""What individuals earn."""

import dataclasses
from typing import Any, Literal

import numpy as np

from society.contract import Measure, Record
from society.measures.counting import labels_of, slot_labels
from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["Returns"]


@component("measure", "returns")
@dataclasses.dataclass(frozen=True)
class Returns(Measure):
    """Returns: summed rewards of the living in an episode of the last generation.

    ``returns`` is the mean over individuals, ``returns_total`` the sum (utilitarian
    welfare); with ``by: group`` or ``by: type`` also the mean of each as ``returns.NAME``.
    Source: Perolat et al. (2017), arXiv:1707.06600.
    """

    by: Literal["none", "group", "type"] = doc_field("none", "also for each group or strategy")
    needs_reward = True

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Named means, NaN for nobody."""
        alive = np.asarray(record.alive, bool)
        reward = np.asarray(record.outcome["reward"], np.float64)
        found = {"returns": _mean(reward[alive]), "returns_total": float(reward[alive].sum())}
        if self.by == "group":
            for group in record.groups:
                rows = slice(group.start, group.stop)
                found[f"returns.{group.name}"] = _mean(reward[rows][alive[rows]])
        if self.by == "type":
            names = np.array(slot_labels(record.groups, record.types))
            for label in labels_of(record.groups):
                found[f"returns.{label}"] = _mean(reward[alive & (names == label)])
        return found


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")
