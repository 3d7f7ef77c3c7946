"""How much of what a game offers is realised, against its optimum and its equilibrium."""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from society.contract import GroupSlice, Measure, Moment, Record
from society.measures.counting import Mean, add_mean, mean_of, zero_mean
from worlds.games.equilibria import interior_mixed, pure_equilibria
from worlds.registry import component
from worlds.tree import doc_field
from worlds.types import Array

__all__ = ["Efficiency", "benchmarks_of"]


class _Tally(NamedTuple):
    payoff: Mean
    steps_a_round: Array


@component("measure", "efficiency")
@dataclasses.dataclass(frozen=True)
class Efficiency(Measure):
    """Efficiency: payoff above the equilibrium's as a share of what the optimum adds.

    ``efficiency`` = (W - W_Nash) / (W_opt - W_Nash) with W the mean payoff of one player in
    one interaction over the whole run, W_opt the largest mean payoff of a cell of the
    one-shot game, and W_Nash that of its pure equilibria (the worst or the best of them; in
    2x2 games without one, of the mixed equilibrium). Also ``payoff`` (W), ``payoff_optimum``
    and ``payoff_nash``. NaN where optimum and equilibrium coincide, or none is known.
    Source: Perolat et al. (2017), arXiv:1707.06600 (utilitarian efficiency), normalised.
    """

    nash: Literal["worst", "best"] = doc_field("worst", "which of several pure equilibria")
    streams = True

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """Demand a normal-form game."""
        if not (hasattr(world, "table") and hasattr(world, "num_roles")):
            name = getattr(world, "component_name", type(world).__name__)
            raise ValueError(f"efficiency needs a matrix_game, not world {name!r}")

    def begin(self, world: Any, groups: tuple[GroupSlice, ...]) -> _Tally:
        """Nothing was paid yet."""
        alternating = getattr(world, "order", "") == "alternating"
        return _Tally(zero_mean(), jnp.int32(world.num_roles if alternating else 1))

    def update(self, acc: _Tally, moment: Moment) -> _Tally:
        """Add the mean payoff of one step where it is paid."""
        paid = (moment.step + 1) % acc.steps_a_round == 0
        return acc._replace(payoff=add_mean(acc.payoff, moment.transition.metrics["payoff"], paid))

    def finish(self, acc: _Tally, record: Record) -> dict[str, Any]:
        """Mean payoff and its place between equilibrium and optimum."""
        optimum, nash = benchmarks_of(np.asarray(record.world.table(), np.float64), self.nash)
        payoff = float(mean_of(acc.payoff)) / _interactions(record)
        span = optimum - nash
        return {
            "efficiency": (payoff - nash) / span if span > 0 else float("nan"),
            "payoff": payoff,
            "payoff_optimum": optimum,
            "payoff_nash": nash,
        }


def benchmarks_of(table: np.ndarray, which: Literal["worst", "best"]) -> tuple[float, float]:
    """Return a player's mean payoff in the best cell and in equilibrium of a game.

    Args:
      table: [players, A1, ..., An].
    """
    welfare = table.mean(axis=0)
    cells = pure_equilibria(table)
    if cells:
        values = [float(welfare[cell]) for cell in cells]
        return float(welfare.max()), min(values) if which == "worst" else max(values)
    mixed = interior_mixed(table) if table.shape == (2, 2, 2) else None
    if mixed is None:
        return float(welfare.max()), float("nan")
    first, second = mixed
    chance = np.outer([first, 1 - first], [second, 1 - second])
    return float(welfare.max()), float((chance * welfare).sum())


def _interactions(record: Record) -> float:
    """Mean number of interactions that one reported payoff sums over."""
    world = record.world
    if not getattr(world, "shares_action", False) or world.neighbour_payoff == "mean":
        return 1.0
    graph, alive = record.graph, np.asarray(record.alive, bool)
    living = int(alive.sum())
    if world.pairs != "neighbours" or graph is None or graph.complete:
        return float(max(living - 1, 1))
    senders, receivers = np.asarray(graph.senders), np.asarray(graph.receivers)
    real = (senders < len(alive)) & (receivers < len(alive))
    both = alive[senders[real]] & alive[receivers[real]]
    return max(float(both.sum()) / max(living, 1), 1e-12)
