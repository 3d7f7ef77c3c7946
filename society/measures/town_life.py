"""What became of a town: who heard of it, who came, who knows whom, and what it cost in calls."""

import dataclasses
from collections.abc import Iterable
from typing import Any

import numpy as np

from society.contract import GroupSlice, Measure, Record
from worlds.registry import component

__all__ = ["TownLife", "relationships"]


@component("measure", "town_life")
@dataclasses.dataclass(frozen=True)
class TownLife(Measure):
    """How news and acquaintance spread through a town, and how many calls that took.

    ``informed`` and ``attended`` = shares of residents who know of the topic and who came to the
    venue; ``acquaintance`` = pairs that have met / all pairs; ``calls_per_agent_hour`` = questions
    to a resident in an hour of the town's clock; ``conversations`` that ended,
    ``lines_per_conversation``, ``tie_density`` (pairs that talked / all pairs) and
    ``tie_clustering`` (mean local clustering of the graph of who talked with whom). Table:
    ``lines_between`` [N, N], lines said in the conversations of every pair.
    Source: Park et al. (2023), arXiv:2304.03442, section 7 (diffusion, density of the network).
    """

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """Demand a town."""
        name = getattr(world, "component_name", type(world).__name__)
        if not hasattr(world, "chat_lines"):
            raise ValueError(f"town_life looks at the world town, not at {name!r}")

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Named values of one replicate."""
        import networkx as nx

        num = len(record.alive)
        pairs = relationships(record.events)
        net = nx.empty_graph(num)
        net.add_edges_from(pairs)
        between = np.zeros((num, num), int)
        for (one, other), (_, lines) in pairs.items():
            between[one, other] = between[other, one] = lines
        talks = sum(number for number, _ in pairs.values())
        known = record.outcome
        return {
            "informed": float(np.mean(known["informed"])),
            "attended": float(np.mean(known["attended"])),
            "acquaintance": float(known["acquaintance"]),
            "calls_per_agent_hour": float(known["calls_per_agent_hour"]),
            "conversations": float(talks),
            "lines_per_conversation": between.sum() / 2 / talks if talks else float("nan"),
            "tie_density": float(nx.density(net)) if num > 1 else 0.0,
            "tie_clustering": float(nx.average_clustering(net)) if num else 0.0,
            "lines_between": between.tolist(),
        }


def relationships(events: Iterable[Any]) -> dict[tuple[int, int], tuple[int, int]]:
    """Pair of slots (lower first) -> conversations that ended, and lines said in them."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    for event in events:
        if event.kind == "world" and event.data["kind"] == "conversation":
            one, other = sorted((int(event.data["slot"]), int(event.data["data"]["with"])))
            talks, lines = found.get((one, other), (0, 0))
            found[one, other] = (talks + 1, lines + int(event.data["data"]["lines"]))
    return dict(sorted(found.items()))
