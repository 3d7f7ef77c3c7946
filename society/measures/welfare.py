"""How well off a society is: the sum, the worst off, and the product."""

import dataclasses
from typing import Any

import numpy as np

from society.contract import Measure, Record
from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["Welfare", "welfare_of"]


@component("measure", "welfare")
@dataclasses.dataclass(frozen=True)
class Welfare(Measure):
    """Social welfare: utilitarian (sum), egalitarian (least) and Nash (geometric mean).

    Of the results R_i of the living in the last generation: ``welfare`` = sum_i R_i,
    ``welfare_least`` = min_i R_i, ``welfare_nash`` = (prod_i R_i)^(1/N), which is 0 where
    somebody has nothing and NaN where somebody's result is negative.
    Source: Moulin (2003), Fair Division and Collective Welfare, chapter 3.
    """

    of: str = doc_field("", "outcome that counts; empty: the fitness")

    def finish(self, acc: Any, record: Record) -> dict[str, Any]:
        """Named numbers, NaN for nobody."""
        alive = np.asarray(record.alive, bool)
        values = record.outcome.get(self.of) if self.of else record.fitness
        if values is None or np.shape(values) != alive.shape:
            known = [key for key, value in record.outcome.items() if np.shape(value) == alive.shape]
            raise ValueError(
                f"measure welfare: {self.of!r} is no result of individuals in this world; "
                f"possible: {', '.join(known) or 'none'}"
            )
        return welfare_of(np.asarray(values, np.float64)[alive])


def welfare_of(values: np.ndarray) -> dict[str, float]:
    """The three sums of one set of results."""
    nothing = float("nan")
    if not values.size:
        return dict.fromkeys(("welfare", "welfare_least", "welfare_nash"), nothing)
    nash = nothing
    if values.min() >= 0:
        nash = 0.0 if values.min() == 0 else float(np.exp(np.log(values).mean()))
    return {
        "welfare": float(values.sum()),
        "welfare_least": float(values.min()),
        "welfare_nash": nash,
    }
