"""How much is given away, generation by generation."""

import dataclasses
from typing import Any

import numpy as np

from society.contract import GroupSlice, Measure, Record
from worlds.registry import component

__all__ = ["Generosity"]


@component("measure", "generosity")
@dataclasses.dataclass(frozen=True)
class Generosity(Measure):
    """Generosity: the share of resources that donors give, generation by generation.

    ``generosity_by_generation`` is the mean over individuals of the mean share donated when
    it was their turn; ``resources_by_generation`` the mean of final resources;
    ``generosity`` and ``resources`` their last values, ``generosity_initial`` the first, and
    ``generosity_trend`` the least-squares slope per generation.
    Source: Vallinder & Hughes (2024), arXiv:2412.10270.
    """

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """Demand the Donor Game."""
        if getattr(world, "component_name", "") != "donor_game":
            name = getattr(world, "component_name", type(world).__name__)
            raise ValueError(f"measure generosity needs world donor_game, not {name!r}")

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Named values and one list over generations each."""
        given = np.asarray(record.generations.get("donated_fraction", []), np.float64)
        resources = np.asarray(record.generations.get("resources", []), np.float64)
        index = np.asarray(record.generations.get("index", np.arange(len(given))), np.float64)
        if not len(given):
            return {"generosity": float("nan"), "resources": float("nan")}
        slope = float(np.polyfit(index, given, 1)[0]) if len(given) > 1 else float("nan")
        return {
            "generosity": float(given[-1]),
            "generosity_initial": float(given[0]),
            "generosity_trend": slope,
            "resources": float(resources[-1]),
            "generosity_by_generation": given.tolist(),
            "resources_by_generation": resources.tolist(),
        }
