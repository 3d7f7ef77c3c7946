"""How a commons is used: for how long it pays, and how much of the time is lost to conflict."""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp

from society.contract import GroupSlice, Measure, Moment, Record
from society.measures.counting import Mean, add_mean, mean_of, zero_mean
from worlds.registry import component
from worlds.types import Array

__all__ = ["Peace", "Sustainability"]


class _Times(NamedTuple):
    """when, paid: [N] float32 of this episode: sum of the steps that paid, and their number.

    episodes: mean of the finished ones. begun: something of this episode has been seen.
    """

    when: Array
    paid: Array
    episodes: Mean
    begun: Array


@component("measure", "sustainability")
@dataclasses.dataclass(frozen=True)
class Sustainability(Measure):
    """Sustainability: the mean step at which rewards come in; late means the stock lasts.

    S = (1 / N) sum_i t_i with t_i = mean of the steps t (from 1) at which r_i(t) > 0, over
    those who earned anything in the episode. ``sustainability`` is the mean over episodes in
    which somebody did, ``sustainability_last`` that of the last episode.
    Source: Perolat et al. (2017), arXiv:1707.06600, eq. for S.
    """

    streams = True

    def begin(self, world: Any, groups: tuple[GroupSlice, ...]) -> _Times:
        """Nothing earned yet."""
        zeros = jnp.zeros(world.num_slots, jnp.float32)
        return _Times(zeros, zeros, zero_mean(), jnp.bool_(False))

    def update(self, acc: _Times, moment: Moment) -> _Times:
        """Add one step; the first step of an episode closes the one before."""
        fresh = moment.step == 0
        value, known = _mean_time(acc.when, acc.paid)
        episodes = add_mean(acc.episodes, value, fresh & acc.begun & known)
        paid = (moment.transition.reward > 0) & moment.observation.alive
        time = (moment.step + 1).astype(jnp.float32)
        return _Times(
            when=jnp.where(fresh, 0.0, acc.when) + jnp.where(paid, time, 0.0),
            paid=jnp.where(fresh, 0.0, acc.paid) + paid,
            episodes=episodes,
            begun=jnp.bool_(True),
        )

    def finish(self, acc: _Times, record: Record) -> dict[str, Any]:
        """Mean over episodes, and the last one; NaN where nobody earned anything."""
        value, known = _mean_time(jnp.asarray(acc.when), jnp.asarray(acc.paid))
        last = known & jnp.asarray(acc.begun)
        episodes = Mean(*(jnp.asarray(part) for part in acc.episodes))
        total = add_mean(episodes, value, last)
        return {
            "sustainability": float(mean_of(total)),
            "sustainability_last": float(value) if bool(last) else float("nan"),
        }


class _Calm(NamedTuple):
    """acting: mean share of the living whose turn it is, over steps in which anybody acts."""

    acting: Mean


@component("measure", "peace")
@dataclasses.dataclass(frozen=True)
class Peace(Measure):
    """Peace: the share of the living who may act; those who were zapped out may not.

    P = mean over steps of (number acting) / (number alive), over the whole run, in worlds
    where everybody acts who is not out.
    Source: Perolat et al. (2017), arXiv:1707.06600, eq. for P.
    """

    streams = True

    def begin(self, world: Any, groups: tuple[GroupSlice, ...]) -> _Calm:
        """No step yet."""
        return _Calm(zero_mean())

    def update(self, acc: _Calm, moment: Moment) -> _Calm:
        """Add one step."""
        acting = jnp.sum(moment.observation.acting, dtype=jnp.float32)
        alive = jnp.sum(moment.observation.alive, dtype=jnp.float32)
        return _Calm(add_mean(acc.acting, acting / jnp.maximum(alive, 1), alive > 0))

    def finish(self, acc: _Calm, record: Record) -> dict[str, Any]:
        """Return ``peace``, in [0, 1]."""
        return {"peace": float(mean_of(acc.acting))}


def _mean_time(when: Array, paid: Array) -> tuple[Array, Array]:
    """Mean over those who earned of their mean time, and whether anybody did."""
    earned = paid > 0
    own = jnp.where(earned, when / jnp.maximum(paid, 1), 0.0)
    number = jnp.sum(earned)
    return jnp.sum(own) / jnp.maximum(number, 1), number > 0
