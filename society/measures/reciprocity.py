"""How choices answer what happened last: memory-one chances, reciprocity, temper."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
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
_MOST_PENDING = 15  # what four bits can count


class _Tally(NamedTuple):
    """Counters by strategy, and what has not been added to them yet, seat by seat.

    Adding up all seats costs more than a step of a game, so each seat keeps eight counters of
    four bits for up to 15 steps; what the match did to the peace is counted when it is over.

    answers: [K, 4, 2] counters (choices, cooperative ones) after CC, CD, DC, DD.
    matches: [K, 2] counters (matches begun, matches in which one's own side broke the peace).
    packed: uint32 in the shape of actions, byte s: choices (low bits) and cooperative ones
    after state s. peace: int8, bit 0: somebody has defected in this match; bit 1: one's own
    side did first; bit 2: the seat is played. types: [N] int32 of the last step. pending:
    steps in ``packed``.
    """

    kinds: Kinds
    answers: Array
    matches: Array
    packed: Array
    peace: Array
    types: Array
    pending: Array


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
        shape = (world.num_slots, *world.seat_shape)
        lasting = world.pairs != "random" or world.rematch == "episode"
        return _Tally(
            kinds,
            zero_counts(num, 4, 2),
            zero_counts(num, 2),
            jnp.zeros(shape, jnp.uint32),
            jnp.zeros(shape if lasting else (0,), jnp.int8),
            jnp.zeros(world.num_slots, jnp.int32),
            jnp.int32(0),
        )

    def update(self, acc: _Tally, moment: Moment) -> _Tally:
        """Add one step."""
        valid, view = valid_seats(moment), moment.observation.view
        own, other = view.own_last, view.other_last
        acc = _once(_emptied, (acc.pending == _MOST_PENDING) | (moment.step == 0), acc)
        seen = valid & (own >= 0) & (other >= 0)
        byte = jnp.where(moment.action == 0, jnp.uint32(17), jnp.uint32(1))
        place = (jnp.maximum(own * 2 + other, 0) * 8).astype(jnp.uint32)
        acc = acc._replace(
            packed=acc.packed + jnp.where(seen, byte << place, jnp.uint32(0)),
            pending=acc.pending + 1,
        )
        if acc.peace.ndim == valid.ndim and acc.peace.shape == valid.shape:
            acc = _peace(acc, moment, valid)
        return acc._replace(types=jnp.broadcast_to(moment.types, acc.types.shape))

    def finish(self, acc: _Tally, record: Record) -> dict[str, Any]:
        """Named chances, overall and by strategy."""
        answers = count_of(acc.answers) + np.asarray(_unpacked(acc), np.float64)
        matches = count_of(acc.matches) + np.asarray(_matches(acc), np.float64)
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
    acc = _once(_over, begins, acc)
    quarrel = (view.own_last == 1) | (view.other_last == 1)
    broken = ((acc.peace & 1) == 1) | (quarrel & ~begins)
    breaks = valid & ~broken & (moment.action == 1)
    peace = (acc.peace & 6) | broken.astype(jnp.int8) | jnp.where(begins & valid, 4, 0)
    return acc._replace(peace=jnp.where(breaks, peace | 3, peace).astype(jnp.int8))


def _over(acc: _Tally) -> _Tally:
    """The match that was played last is counted, and the next begins in peace."""
    return acc._replace(
        matches=add_count(acc.matches, _matches(acc)), peace=jnp.zeros_like(acc.peace)
    )


def _once(change: Callable[[_Tally], _Tally], due: Array, acc: _Tally) -> _Tally:
    """``change`` where it is due.

    A loop of no or one turn changes its arrays in place. ``lax.cond`` would copy them in every
    step, due or not, because they are written again after it.
    """
    return jax.lax.fori_loop(0, due.astype(jnp.int32), lambda _, now: change(now), acc)


def _emptied(acc: _Tally) -> _Tally:
    """What the seats have counted is added up, and they begin anew."""
    return acc._replace(
        answers=add_count(acc.answers, _unpacked(acc)),
        packed=jnp.zeros_like(acc.packed),
        pending=jnp.zeros_like(acc.pending),
    )


def _unpacked(acc: _Tally) -> Array:
    """[K, 4, 2] int32: what the seats have counted since it was last added up."""
    packed = acc.packed
    if packed.ndim > 1 and packed.shape[-1] * _MOST_PENDING < 1 << 16:
        # Two counters at a time, 16 bits apart, which is where the sums fit too.
        pairs = [((packed >> (4 * place)) & 0x000F000F).sum(-1) for place in range(4)]
        counters = [pair & 0xFFFF for pair in pairs] + [pair >> 16 for pair in pairs]
    else:
        counters = [(packed >> (4 * place)) & 15 for place in range(8)]
    sums = [part.sum(tuple(range(1, part.ndim)), dtype=jnp.int32) for part in counters]
    return sum_by_kind(acc.kinds, acc.types, jnp.stack(sums, axis=1).reshape(-1, 4, 2))


def _matches(acc: _Tally) -> Array:
    """[K, 2] int32: seats in the match that was played last, and those that broke its peace."""
    if acc.peace.shape[0] != acc.types.shape[0]:
        return jnp.zeros((acc.kinds.blank.shape[0], 2), jnp.int32)
    seats = tuple(range(1, acc.peace.ndim))
    bits = [((acc.peace >> bit) & 1).sum(seats, dtype=jnp.int32) for bit in (2, 1)]
    return sum_by_kind(acc.kinds, acc.types, jnp.stack(bits, axis=1))


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
