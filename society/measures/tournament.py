"""Round robins: everybody's score against everybody."""

import dataclasses
from typing import Any

import numpy as np

from society.contract import GroupSlice, Measure, Record
from society.measures.counting import slot_labels
from worlds.registry import component

__all__ = ["Tournament"]


@component("measure", "tournament")
@dataclasses.dataclass(frozen=True)
class Tournament(Measure):
    """Tournament: names, total scores and cooperation counts, row against column; ranking.

    Rows and columns are individuals in slot order, named by strategy (with a number where
    several play the same). ``total_scores`` and ``cooperation_counts`` are sums over rounds
    and repetitions of an episode of the last generation. ``scores`` is each one's mean
    payoff per round over its opponents, its own clone left out; ``wins`` the number of
    opponents it outscored; ``ranking`` the names by ``scores``, ``winner`` the first.
    Source: Axelrod (1980), doi:10.1177/002200278002400101.
    """

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """Demand a round robin."""
        if getattr(world, "pairs", "") != "all" or getattr(world, "shares_action", True):
            raise ValueError(
                "measure tournament needs everybody's score against everybody; "
                "use world matrix_game with pairs: all and actions: each"
            )

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Tables and the ranking."""
        alive = np.flatnonzero(np.asarray(record.alive, bool))
        names = _numbered([slot_labels(record.groups, record.types)[slot] for slot in alive])
        totals = np.asarray(record.outcome["total_scores"])[np.ix_(alive, alive)]
        others = ~np.eye(len(alive), dtype=bool)
        rounds = record.world.rounds * record.world.repetitions
        per_round = np.where(others, totals, 0.0).sum(1) / max(len(alive) - 1, 1) / rounds
        order = np.argsort(-per_round, kind="stable")
        found: dict[str, Any] = {
            "names": names,
            "total_scores": _whole(totals),
            "scores": [float(score) for score in per_round],
            "wins": [int(won) for won in ((totals > totals.T) & others).sum(1)],
            "ranking": [names[place] for place in order],
            "winner": names[order[0]] if names else "",
        }
        if "cooperation_counts" in record.outcome:
            counts = np.asarray(record.outcome["cooperation_counts"])[np.ix_(alive, alive)]
            found["cooperation_counts"] = _whole(counts)
        return found


def _numbered(names: list[str]) -> list[str]:
    """Return names made unique: the second tit_for_tat is tit_for_tat_2."""
    seen: dict[str, int] = {}
    unique = []
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        unique.append(name if seen[name] == 1 else f"{name}_{seen[name]}")
    return unique


def _whole(values: np.ndarray) -> list[list[float]] | list[list[int]]:
    """Return a table as integers where all of it is whole."""
    values = np.asarray(values, np.float64)
    if (values == np.round(values)).all():
        return values.astype(np.int64).tolist()
    return values.tolist()
