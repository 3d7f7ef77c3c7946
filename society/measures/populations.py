"""How an epidemic went, and how opinions spread out."""

import dataclasses
from typing import Any

import numpy as np

from society.contract import GroupSlice, Measure, Record
from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["EpidemicCourse", "OpinionSpread"]


@component("measure", "epidemic_course")
@dataclasses.dataclass(frozen=True)
class EpidemicCourse(Measure):
    """How many fell ill, when most were, and how much people stayed at home.

    ``attack_rate``: share ever infected, the first ones included. ``peak``: largest share
    infectious at the end of a day; ``peak_day``: that day, from 1. ``home``: mean share that stayed
    at home. ``infectious_by_day`` and ``home_by_day``: the courses. Of the last generation.
    """

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """Demand an epidemic."""
        _demand(world, "epidemic_course", "epidemic")

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Named values and two lists over days."""
        last = record.clock[:, 0] == record.clock[-1, 0]
        infectious = np.asarray(record.series["infectious"], np.float64)[last]
        home = np.asarray(record.series["home"], np.float64)[last]
        days = np.asarray(record.clock)[last, 2] + 1
        ill = np.asarray(record.outcome["infected"], np.float64)[record.alive]
        return {
            "attack_rate": float(ill.mean()) if ill.size else float("nan"),
            "peak": float(infectious.max()),
            "peak_day": int(days[infectious.argmax()]),
            "home": float(home.mean()),
            "infectious_by_day": infectious.tolist(),
            "home_by_day": home.tolist(),
        }


@component("measure", "opinion_spread")
@dataclasses.dataclass(frozen=True)
class OpinionSpread(Measure):
    """How far opinions lie apart at the end, and in how many camps.

    For each topic: ``opinion_mean_TOPIC``, ``opinion_sd_TOPIC`` and ``clusters_TOPIC``: the number
    of groups of opinions that are separated by gaps wider than ``gap``; and ``by_step`` lists of
    mean and sd over the run. Source of counting by gaps: Hegselmann and Krause (2002), JASSS
    5(3) 2.
    """

    gap: float = doc_field(0.05, "Widest gap within a camp, as a share of the scale.", ge=0)

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """Demand opinions."""
        _demand(world, "opinion_spread", "opinions")

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Named values, and lists over steps."""
        world, found = record.world, {}
        length = world.high - world.low
        for index, topic in enumerate(world.topics):
            held = np.sort(np.asarray(record.outcome[f"opinion_{topic}"], np.float64)[record.alive])
            found[f"opinion_mean_{topic}"] = float(held.mean()) if held.size else float("nan")
            found[f"opinion_sd_{topic}"] = float(held.std()) if held.size else float("nan")
            gaps = np.diff(held) > float(self.gap) * length
            found[f"clusters_{topic}"] = int(gaps.sum()) + bool(held.size)
            for name in ("opinion_mean", "opinion_sd"):
                course = np.asarray(record.series[name], np.float64)
                course = course if course.ndim == 1 else course[:, index]
                found[f"{name}_{topic}_by_step"] = course.tolist()
        return found


def _demand(world: Any, measure: str, name: str) -> None:
    found = getattr(world, "component_name", type(world).__name__)
    if found != name:
        raise ValueError(f"measure {measure} needs world {name}, not {found!r}")
