"""Which strategies there are: shares, fixation, diversity, and how far from neutral drift."""

import dataclasses
from typing import Any, NamedTuple

import numpy as np

from society.contract import Measure, Record
from society.measures.counting import labels_of
from worlds.registry import component
from worlds.tree import doc_field

__all__ = [
    "Diversity",
    "Fixation",
    "Neutrality",
    "StrategyCounts",
    "StrategyShares",
    "hill_number",
    "strategy_counts",
]


class StrategyCounts(NamedTuple):
    """How many held each strategy, by recorded generation.

    labels: K names. group: [K] int, the group of each. generation: [G] int.
    counts: [G, K] float64 individuals.
    """

    labels: tuple[str, ...]
    group: np.ndarray
    generation: np.ndarray
    counts: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """[G, K] shares among the living of the strategy's group; 0 where nobody lived."""
        same = (self.group[:, None] == self.group[None, :]).astype(np.float64)
        return self.counts / np.maximum(self.counts @ same, 1)


def strategy_counts(record: Record) -> StrategyCounts:
    """Return the strategies of all groups, generation by generation.

    A group whose minds have no strategies (language agents, learners) has one: its own.
    """
    columns, owner = [], []
    found = {name: v for name, v in record.generations.items() if name.startswith("types/")}
    length = max((len(values) for values in found.values()), default=1)
    for number, group in enumerate(record.groups):
        counts = found.get(f"types/{group.name}")
        if counts is None:
            living = float(np.asarray(record.alive)[group.start : group.stop].sum())
            counts = np.full((length, 1), living)
        counts = np.asarray(counts, np.float64)
        columns.append(counts if counts.ndim == 2 else counts[:, None])
        owner += [number] * columns[-1].shape[1]
    counts = np.concatenate(columns, axis=1) if columns else np.zeros((0, 0))
    index = record.generations.get("index", np.arange(len(counts)))
    return StrategyCounts(
        labels_of(record.groups), np.array(owner, int), np.asarray(index, np.int64), counts
    )


@component("measure", "strategy_shares")
@dataclasses.dataclass(frozen=True)
class StrategyShares(Measure):
    """Shares of all strategies within their group, in the last generation and on the way.

    ``share.NAME`` in the last generation; ``strategy_names``; ``strategy_shares``, a row for
    each of at most ``points`` generations, evenly spread, whose numbers are in
    ``strategy_generations``.
    """

    points: int = doc_field(101, "most generations that are listed", ge=2)

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Named shares and the list."""
        found = strategy_counts(record)
        if not len(found.counts):
            return {}
        num = len(found.counts)
        rows = np.unique(np.linspace(0, num - 1, min(num, self.points)).round().astype(int))
        last = dict(zip(found.labels, found.shares[-1], strict=True))
        return {f"share.{label}": float(share) for label, share in last.items()} | {
            "strategy_names": list(found.labels),
            "strategy_generations": found.generation[rows].tolist(),
            "strategy_shares": found.shares[rows].tolist(),
        }


@component("measure", "fixation")
@dataclasses.dataclass(frozen=True)
class Fixation(Measure):
    """Fixation: whether, when and by which strategy a population was taken over.

    ``fixation.NAME`` is 1 for a strategy that its whole group holds in the last generation,
    else 0; ``fixated`` is 1 where that is so in every group, and ``fixation_generation`` the
    first recorded one since which it has been (NaN if it is not). Averaged over replicates
    these are fixation probabilities.
    Source: Moran (1958), doi:10.1017/S0305004100033193.
    """

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Named indicators."""
        found = strategy_counts(record)
        held = found.shares >= 1.0
        num_groups = len(np.unique(found.group))
        complete = held.sum(1) == num_groups
        fixated = bool(len(held)) and bool(complete[-1])
        values: dict[str, Any] = {"fixated": float(fixated), "fixation_generation": float("nan")}
        for place, label in enumerate(found.labels):
            values[f"fixation.{label}"] = float(len(held) > 0 and held[-1, place])
        if fixated:
            same = complete & (held == held[-1]).all(1)
            since = 0 if same.all() else len(same) - int(np.argmin(same[::-1]))
            values["fixation_generation"] = float(found.generation[since])
        return values


@component("measure", "diversity")
@dataclasses.dataclass(frozen=True)
class Diversity(Measure):
    """Diversity of strategies: effective numbers (Hill), last and averaged.

    qD = (sum p^q) ** (1 / (1 - q)); ``diversity_richness`` (q = 0), ``diversity_shannon``
    (q = 1: exp of entropy) and ``diversity_simpson`` (q = 2) in the last generation, and
    ``diversity_mean``, the mean of q = 1 over recorded generations.
    Source: Hill (1973), doi:10.2307/1934352.
    """

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Return the four numbers."""
        counts = strategy_counts(record).counts
        if not len(counts):
            return {}
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        last = shares[-1]
        return {
            "diversity_richness": hill_number(last, 0),
            "diversity_shannon": hill_number(last, 1),
            "diversity_simpson": hill_number(last, 2),
            "diversity_mean": float(np.mean([hill_number(row, 1) for row in shares])),
        }


@component("measure", "neutrality")
@dataclasses.dataclass(frozen=True)
class Neutrality(Measure):
    """How far strategies' fates depart from neutral drift.

    Over all recorded generations in a row and strategies with share 0 < p < 1:
    ``neutrality_variance`` = mean of (p' - p)^2 N / (p (1 - p)), 1 in a neutral
    Wright-Fisher population; ``neutrality_conformity`` = least-squares D in
    p' - p = D p (1 - p) (2 p - 1), above 0 where the common gain; ``neutrality_turnover`` =
    mean number of strategies that enter the ``top`` most common in a generation. NaN where
    generations were not recorded one after another.
    Source: Kimura (1955); Boyd & Richerson (1985), ch. 7; Bentley, Hahn & Shennan (2004),
    doi:10.1098/rspb.2004.2746.
    """

    top: int = doc_field(5, "length of the list whose turnover is counted", ge=1)

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Return the three numbers."""
        found = strategy_counts(record)
        shares, counts = found.shares, found.counts
        follow = np.flatnonzero(np.diff(found.generation) == 1)
        before, after = shares[follow], shares[follow + 1]
        same = (found.group[:, None] == found.group[None, :]).astype(np.float64)
        people = (counts @ same)[follow + 1]
        open_ = (before > 0) & (before < 1)
        p, change, num = before[open_], (after - before)[open_], people[open_]
        values = {
            "neutrality_variance": float("nan"),
            "neutrality_conformity": float("nan"),
            "neutrality_turnover": float("nan"),
        }
        if p.size:
            spread = p * (1 - p)
            values["neutrality_variance"] = float(np.mean(change**2 * num / spread))
            pull = spread * (2 * p - 1)
            if (pull**2).sum() > 0:
                values["neutrality_conformity"] = float((pull * change).sum() / (pull**2).sum())
        if len(follow):
            values["neutrality_turnover"] = float(
                np.mean(
                    [
                        len(_top(b, self.top) - _top(a, self.top))
                        for a, b in zip(before, after, strict=True)
                    ]
                )
            )
        return values


def hill_number(shares: np.ndarray, order: float) -> float:
    """Return the effective number of kinds of order q; 0 for nobody."""
    present = np.asarray(shares, np.float64)
    present = present[present > 0]
    if not present.size:
        return 0.0
    if order == 1:
        return float(np.exp(-(present * np.log(present)).sum()))
    return float((present**order).sum() ** (1 / (1 - order)))


def _top(shares: np.ndarray, length: int) -> set[int]:
    """Return the most common strategies that are present, the first ones among equals."""
    order = np.argsort(-shares, kind="stable")[:length]
    return {int(kind) for kind in order if shares[kind] > 0}
