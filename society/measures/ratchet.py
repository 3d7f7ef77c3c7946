"""Whether what one generation reaches is where the next one starts: the ratchet."""

import dataclasses
from typing import Any

import numpy as np

from society.contract import Measure, Record
from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["Ratchet"]


@component("measure", "ratchet")
@dataclasses.dataclass(frozen=True)
class Ratchet(Measure):
    """Ratchet: how a result climbs over generations, and how much turnover loses.

    With y_g the mean result of generation g = 0 .. G - 1: ``ratchet_gain`` = y_{G-1} - y_0;
    ``ratchet_slope`` the least-squares slope of y over g; ``ratchet_best`` the largest y;
    ``ratchet_loss`` the mean over g of max(0, y_{g-1} - y_g), what turnover loses;
    ``ratchet_advances`` the share of generations after the first that beat all before them;
    ``ratchet_by_generation`` the list of y. Compare ``ratchet_best`` with a condition of one
    generation and as many steps to see whether culture goes beyond one lifetime.
    Source: Tennie, Call, Tomasello (2009), doi:10.1098/rstb.2009.0052; the comparison with one
    lifetime as in Cook et al. (2024), arXiv:2406.00392.
    """

    of: str = doc_field("", "outcome that should climb; empty: the fitness")

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Named numbers, NaN where there is one generation."""
        name = self.of or "fitness"
        if name not in record.generations and not self.of:
            name = record.world.fitness
        if self.of and name not in record.generations:
            known = sorted(key for key in record.generations if "/" not in key)
            raise ValueError(
                f"measure ratchet: {name!r} is no result of generations here; "
                f"possible: {', '.join(known) or 'none'}"
            )
        values = np.asarray(record.generations.get(name, np.zeros(0)), np.float64)
        return {f"ratchet_{key}": value for key, value in ratchet_of(values).items()}


def ratchet_of(values: np.ndarray) -> dict[str, Any]:
    """The statistics of one series over generations."""
    num = len(values)
    found: dict[str, Any] = {
        "best": float(values.max()) if num else float("nan"),
        "by_generation": [float(value) for value in values],
    }
    if num < 2:
        nothing = dict.fromkeys(("gain", "slope", "loss", "advances"), float("nan"))
        return {**found, **nothing}
    steps = np.diff(values)
    ahead = values[1:] > np.maximum.accumulate(values)[:-1]
    return {
        **found,
        "gain": float(values[-1] - values[0]),
        "slope": float(np.polyfit(np.arange(num), values, 1)[0]),
        "loss": float(np.maximum(-steps, 0).mean()),
        "advances": float(ahead.mean()),
    }
