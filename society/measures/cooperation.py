"""How often individuals cooperate: overall, at first, by round, by strategy."""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from society.contract import GroupSlice, Measure, Moment, Record
from society.measures.counting import (
    Kinds,
    Mean,
    add_count,
    add_mean,
    count_of,
    kinds_of,
    labels_of,
    mean_of,
    sum_by_kind,
    valid_seats,
    zero_counts,
    zero_mean,
)
from worlds.registry import component
from worlds.tree import doc_field
from worlds.types import Array

__all__ = ["Cooperation"]

_MOST_ROUNDS = 512


class _Tally(NamedTuple):
    """rounds: mean of each round [R]. chosen: [K, 2] counters of (choices, cooperative ones)."""

    rounds: Mean
    steps_a_round: Array
    kinds: Kinds
    chosen: Array


@component("measure", "cooperation")
@dataclasses.dataclass(frozen=True)
class Cooperation(Measure):
    """Cooperation: the share of cooperative acts, overall, at first and by round.

    ``cooperation`` is the mean over rounds of #C / #acts, acts as carried out (execution
    errors included), over the whole run; ``cooperation_final`` that of the last recorded
    generation; in repeated games ``cooperation_initial`` that of first rounds, and
    ``cooperation_by_round`` a list over rounds of an episode (up to 512). With ``by: type``
    also ``cooperation.NAME`` for every strategy: the share of its choices, before errors.
    Source: Axelrod (1984), The Evolution of Cooperation.
    """

    by: Literal["none", "type"] = doc_field("none", "also by strategy (costs a pass over agents)")
    streams = True

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """Demand a game with a cooperative action."""
        if not getattr(world, "cooperates", False):
            name = getattr(world, "component_name", type(world).__name__)
            raise ValueError(
                f"world {name!r} names no cooperative action here; use a dilemma, or set "
                "world.cooperative: true where action 0 of a custom game is the cooperative one"
            )

    def begin(self, world: Any, groups: tuple[GroupSlice, ...]) -> _Tally:
        """Empty tallies."""
        rounds = min(getattr(world, "rounds", 1), _MOST_ROUNDS)
        alternating = getattr(world, "order", "") == "alternating"
        kinds = kinds_of(groups)
        return _Tally(
            rounds=zero_mean(rounds),
            steps_a_round=jnp.int32(world.num_roles if alternating else 1),
            kinds=kinds,
            chosen=zero_counts(kinds.blank.shape[0] if self.by == "type" else 0, 2),
        )

    def update(self, acc: _Tally, moment: Moment) -> _Tally:
        """Add one step; a round counts when it is paid."""
        paid = (moment.step + 1) % acc.steps_a_round == 0
        place = moment.step // acc.steps_a_round
        here = (jnp.arange(acc.rounds.total.shape[0]) == place) & paid
        # Rounds beyond those that are listed count in the last place.
        here = here.at[-1].set(paid & (place >= acc.rounds.total.shape[0] - 1))
        rounds = add_mean(acc.rounds, moment.transition.metrics["cooperation"], here)
        chosen = acc.chosen
        if self.by == "type":
            valid = valid_seats(moment)
            seats = tuple(range(1, valid.ndim))
            done = (moment.action == 0) & valid
            pair = jnp.stack([x.sum(seats, dtype=jnp.int32) for x in (valid, done)], axis=1)
            chosen = add_count(chosen, sum_by_kind(acc.kinds, moment.types, pair))
        return acc._replace(rounds=rounds, chosen=chosen)

    def finish(self, acc: _Tally, record: Record) -> dict[str, Any]:
        """Named shares, NaN where nothing was played."""
        by_round = mean_of(acc.rounds)
        count = np.asarray(acc.rounds.count, np.float64)
        played = count.sum()
        overall = np.nansum(by_round * count) / played if played else np.nan
        found: dict[str, Any] = {
            "cooperation": float(overall),
            "cooperation_final": _of_last_generation(record, int(acc.steps_a_round)),
        }
        if len(by_round) > 1:
            found["cooperation_initial"] = float(by_round[0])
        if len(by_round) > 1 and getattr(record.world, "rounds", 1) <= _MOST_ROUNDS:
            found["cooperation_by_round"] = [float(value) for value in by_round]
        if self.by == "type":
            chosen = count_of(acc.chosen)
            for label, (acts, done) in zip(labels_of(record.groups), chosen, strict=True):
                found[f"cooperation.{label}"] = float(done / acts) if acts else float("nan")
        return found


def _of_last_generation(record: Record, steps_a_round: int) -> float:
    """Mean over the recorded rounds of the last recorded generation."""
    series = record.series.get("cooperation", np.zeros(0))
    if not len(series):
        return float("nan")
    clock = record.clock
    wanted = (clock[:, 0] == clock[-1, 0]) & ((clock[:, 2] + 1) % steps_a_round == 0)
    rows = series[wanted]
    return float(np.nanmean(rows)) if np.isfinite(rows).any() else float("nan")
