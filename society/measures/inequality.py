"""How evenly results are spread over individuals."""

import dataclasses
from typing import Any

import numpy as np

from society.contract import Measure, Record
from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["Equality", "Gini", "gini"]


@component("measure", "equality")
@dataclasses.dataclass(frozen=True)
class Equality(Measure):
    """Equality: 1 when all get the same, 1/N when one gets everything.

    1 - sum_ij |R_i - R_j| / (2 N sum_i R_i) over the living of the last generation; where
    somebody's result is negative, all are shifted so that the smallest is 0.
    Source: Perolat et al. (2017), arXiv:1707.06600.
    """

    of: str = doc_field("", "outcome that is compared; empty: the fitness")

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Return ``equality``."""
        return {"equality": 1.0 - gini(_results(record, self.of, "equality"))}


@component("measure", "gini")
@dataclasses.dataclass(frozen=True)
class Gini(Measure):
    """Gini coefficient: 0 when all get the same, (N - 1) / N when one gets everything.

    sum_ij |R_i - R_j| / (2 N sum_i R_i) over the living of the last generation; where
    somebody's result is negative, all are shifted so that the smallest is 0.
    Source: Gini (1912), Variabilita e mutabilita.
    """

    of: str = doc_field("", "outcome that is compared; empty: the fitness")

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Return ``gini``."""
        return {"gini": gini(_results(record, self.of, "gini"))}


def gini(values: np.ndarray) -> float:
    """Return the Gini coefficient; 0 where nobody has anything, NaN for nobody."""
    ordered = np.sort(np.asarray(values, np.float64).ravel())
    if not ordered.size:
        return float("nan")
    ordered = ordered - min(ordered[0], 0.0)
    total, num = ordered.sum(), ordered.size
    if total == 0:
        return 0.0
    # Sorted, sum_ij |R_i - R_j| = 2 sum_i (2 i - N + 1) R_i with i from 0.
    weight = 2 * np.arange(num) - num + 1
    return float((weight * ordered).sum() / (num * total))


def _results(record: Record, name: str, measure: str) -> np.ndarray:
    """Return one result for each of the living."""
    alive = np.asarray(record.alive, bool)
    if not name:
        return np.asarray(record.fitness)[alive]
    values = record.outcome.get(name)
    if values is None or np.shape(values)[:1] != alive.shape:
        known = [key for key, value in record.outcome.items() if np.shape(value) == alive.shape]
        raise ValueError(
            f"measure {measure}: {name!r} is no result of individuals in this world; "
            f"possible: {', '.join(known) or 'none'}"
        )
    return np.asarray(values)[alive]
