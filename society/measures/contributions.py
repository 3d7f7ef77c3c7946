"""What is given to a common good, generation by generation."""

import dataclasses
from typing import Any

import numpy as np

from society.contract import GroupSlice, Measure, Record
from worlds.registry import component

__all__ = ["Contributions"]


@component("measure", "contributions")
@dataclasses.dataclass(frozen=True)
class Contributions(Measure):
    """Contributions to a public good, what is spent on points, and what is earned.

    ``contribution`` is the mean share of endowments put in, ``points`` the mean spent on
    fines and rewards, ``earnings`` the mean payoff, all per member and round of the last
    generation; ``NAME_mean`` the same over all generations, ``NAME_by_generation`` the list.
    ``efficiency`` is (earnings - endowment) / (what each earns more when all put in
    everything); where nothing can be gained it is NaN.
    Source: Ledyard (1995), Public Goods: A Survey of Experimental Research.
    """

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """Demand public goods."""
        if getattr(world, "component_name", "") != "public_goods":
            name = getattr(world, "component_name", type(world).__name__)
            raise ValueError(f"measure contributions needs world public_goods, not {name!r}")

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Named values and one list over generations each."""
        found: dict[str, Any] = {}
        for name in ("contribution", "points", "earnings"):
            rows = np.asarray(record.generations.get(name, []), np.float64)
            found[name] = float(rows[-1]) if rows.size else float("nan")
            found[f"{name}_mean"] = float(rows.mean()) if rows.size else float("nan")
            found[f"{name}_by_generation"] = rows.tolist()
        endowment = float(record.world.endowment)
        gain = endowment * (float(record.world.multiplier) - 1.0)
        surplus = found["earnings"] - endowment
        found["efficiency"] = surplus / gain if gain > 0 else float("nan")
        return found
