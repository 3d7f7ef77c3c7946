"""How choices answer what happened last: memory-one chances, reciprocity, temper."""

import dataclasses
from typing import Any, Literal, NamedTuple

import jax.numpy as jnp
import numpy as np

from society.contract import GroupSlice, Measure, Moment, Record
from society.measures.counting import (
    Kinds,
    add_count,
    count_of,
    kinds_of,
    labels_of,
    sum_by_kind,
    valid_seats,
    zero_counts,
)
from worlds.registry import component
from worlds.tree import doc_field
from worlds.types import Array

__all__ = ["Reciprocity"]

_STATES = ("cc", "cd", "dc", "dd")


class _Tally(NamedTuple):
    """answers: [K, 4, 2, 2] counters (choices, cooperative ones) after CC, CD, DC, DD.

    matches: [K, 2, 2] counters (matches begun, matches in which one's own side broke the
    peace). broken: int8 in the shape of actions: 1 once either side has defected in this match.
    """

    kinds: Kinds
    answers: Array
    matches: Array
    broken: Array


@component("measure", "reciprocity")
@dataclasses.dataclass(frozen=True)
class Reciprocity(Measure):
    """Memory-one chances to cooperate, reciprocity, niceness, retaliation and forgiveness.

    States are own and other's last action as carried out; answers are choices, before
    execution errors. ``p_cc, p_cd, p_dc, p_dd`` = P(C | own, other); ``reciprocity`` =
    P(C | other C) - P(C | other D); ``retaliation`` = P(D | own C, other D);
    ``forgiveness`` = P(C | other D); ``contrition`` = P(C | own D, other C); ``niceness`` =
    share of matches in which one was not the first to defect (both at once: neither was
    nice). All over the whole run, and with ``by: type`` for each strategy as
    ``NAME.STRATEGY``. NaN where a state never occurred.
    Source: Nowak & Sigmund (1993), doi:10.1038/364056a0 (memory-one); Axelrod (1984), ch. 2
    (nice, retaliatory, forgiving).
    """

    by: Literal["none", "type"] = doc_field("none", "also for each strategy")
    streams = True

    def check(self, world: Any, groups: tuple[GroupSlice, ...]) -> None:
        """Demand a two-action dilemma in which partners are answered one by one."""
        name = getattr(world, "component_name", type(world).__name__)
        if not getattr(world, "cooperates", False) or getattr(world, "sizes", ()) != (2, 2):
            raise ValueError(
                f"reciprocity needs a two-player game of cooperation and defection, not {name!r} "
                "as it is set; choose a dilemma"
            )
        if world.shares_action:
            raise ValueError(
                f"reciprocity needs answers to single partners, but in {name!r} one action meets "
                "all of them; set world.actions: each"
            )

    def begin(self, world: Any, groups: tuple[GroupSlice, ...]) -> _Tally:
        """Empty tallies."""
        kinds = kinds_of(groups)
        num = kinds.blank.shape[0]
        fixed = world.pairs != "random" or world.rematch == "episode"
        shape = (world.num_slots, *world.seat_shape) if fixed else (0,)
        return _Tally(
            kinds, zero_counts(num, 4, 2), zero_counts(num, 2), jnp.zeros(shape, jnp.int8)
        )

    def update(self, acc: _Tally, moment: Moment) -> _Tally:
        """Add one step."""
        valid, view = valid_seats(moment), moment.observation.view
        own, other = view.own_last, view.other_last
        seats = tuple(range(1, valid.ndim))
        cooperates = moment.action == 0
        state = jnp.where((own >= 0) & (other >= 0) & valid, own * 2 + other, -1)
        answers = [
            jnp.stack(
                [
                    (state == index).sum(seats, dtype=jnp.int32),
                    ((state == index) & cooperates).sum(seats, dtype=jnp.int32),
                ],
                axis=-1,
            )
            for index in range(4)
        ]
        by_kind = sum_by_kind(acc.kinds, moment.types, jnp.stack(answers, axis=1))
        acc = acc._replace(answers=add_count(acc.answers, by_kind))
        return (
            acc if acc.broken.ndim == 1 and not acc.broken.shape[0] else _peace(acc, moment, valid)
        )

    def finish(self, acc: _Tally, record: Record) -> dict[str, Any]:
        """Named chances, overall and by strategy."""
        answers, matches = count_of(acc.answers), count_of(acc.matches)
        found = _chances(answers.sum(0), matches.sum(0))
        if self.by == "type":
            for label, answer, match in zip(
                labels_of(record.groups), answers, matches, strict=True
            ):
                found |= {f"{key}.{label}": v for key, v in _chances(answer, match).items()}
        return found


def _peace(acc: _Tally, moment: Moment, valid: Array) -> _Tally:
    """Count matches, and those in which somebody defects before the other has."""
    view = moment.observation.view
    begins = moment.step == 0
    quarrel = ((view.own_last == 1) | (view.other_last == 1)).astype(jnp.int8)
    broken = jnp.where(begins, 0, acc.broken | quarrel).astype(jnp.int8)
    breaks = valid & (broken == 0) & (moment.action == 1)
    seats = tuple(range(1, valid.ndim))
    pair = [(valid & begins).sum(seats, dtype=jnp.int32), breaks.sum(seats, dtype=jnp.int32)]
    by_kind = sum_by_kind(acc.kinds, moment.types, jnp.stack(pair, axis=1))
    return acc._replace(
        matches=add_count(acc.matches, by_kind), broken=broken | breaks.astype(jnp.int8)
    )


def _chances(answers: np.ndarray, matches: np.ndarray) -> dict[str, float]:
    """Return the named values of one strategy, from [4, 2] answers and [2] matches."""
    after, kept = answers[:, 0], answers[:, 1]

    def chance(*states: int) -> float:
        total = after[list(states)].sum()
        return float(kept[list(states)].sum() / total) if total else float("nan")

    found = {f"p_{state}": chance(index) for index, state in enumerate(_STATES)}
    return found | {
        "reciprocity": chance(0, 2) - chance(1, 3),
        "retaliation": 1.0 - chance(1),
        "forgiveness": chance(1, 3),
        "contrition": chance(2),
        "niceness": float(1.0 - matches[1] / matches[0]) if matches[0] else float("nan"),
    }
