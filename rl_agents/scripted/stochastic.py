"""Strategies that draw: memory-one by four chances, and its famous members."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rl_agents.scripted.heritable import inherited, nudged
from rl_agents.scripted.strategy import (
    Last,
    Strategy,
    check_seats,
    number_of_actions,
    rows,
)
from worlds.random import below
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Births, Mind, Seats

__all__ = ["GenerousTitForTat", "MemoryOne", "NaiveProber", "Random", "ZDExtort", "ZDGenerous"]


def memory_one_chance(numbers: Any, last: Last) -> Array:
    """Chance to cooperate after what happened; ``numbers`` are (cc, cd, dc, dd, initial)."""
    cc, cd, dc, dd, initial = (rows(jnp.asarray(n), last.own.shape) for n in numbers)
    after_c = jnp.where(last.other == 0, cc, cd)
    after_d = jnp.where(last.other == 0, dc, dd)
    chance = jnp.where(last.own == 0, after_c, after_d)
    return jnp.where(last.own < 0, initial, chance)


@component("policy", "memory_one")
@pytree
class MemoryOne(Strategy):
    """Cooperates with a chance that depends on the last round; the chances are inherited.

    A mind's params are five [n] float32 arrays, one chance for each row, so that
    populations of memory-one strategies can evolve by copying and mutation.

    Source: Nowak & Sigmund (1993), doi:10.1038/364056a0.
    """

    draws = True
    cc: float = doc_field(1.0, "chance to cooperate after both cooperated", ge=0, le=1)
    cd: float = doc_field(0.0, "after cooperating with a defector", ge=0, le=1)
    dc: float = doc_field(1.0, "after defecting against a cooperator", ge=0, le=1)
    dd: float = doc_field(0.0, "after both defected", ge=0, le=1)
    initial: float = doc_field(1.0, "in the first round", ge=0, le=1)

    def setup(self, seats: Seats) -> Any:
        """The five chances."""
        return (self.cc, self.cd, self.dc, self.dd, self.initial)

    def chance(self, numbers: Any, memory: Array, last: Last) -> Array:
        """By the last round."""
        return memory_one_chance(numbers, last)

    def init(self, key: Array, seats: Seats) -> Mind:
        """Give every row the same chances."""
        numbers = self.setup(seats)
        return Mind(tuple(jnp.full(seats.num, n, jnp.float32) for n in numbers))

    def inherit(self, key: Array, mind: Mind, births: Births) -> Mind:
        """Copy the parent's chances."""
        return mind._replace(params=tuple(inherited(n, births) for n in mind.params))

    def mutate(self, key: Array, mind: Mind, births: Births, rate: Array, sd: Array) -> Mind:
        """Shift newcomers' chances by normal noise, within [0, 1]."""
        keys = jax.random.split(key, len(mind.params))
        params = tuple(
            nudged(k, n, births, sd, 0.0, 1.0) for k, n in zip(keys, mind.params, strict=True)
        )
        return mind._replace(params=params)


@component("policy", "generous_tit_for_tat")
@pytree
class GenerousTitForTat(Strategy):
    """Tit for tat that forgives a defection with some chance.

    Without a ``generosity`` it is the greatest that defectors cannot exploit:
    min(1 - (T - R) / (R - S), (R - P) / (T - P)).

    Source: Nowak & Sigmund (1992), doi:10.1038/355250a0.
    """

    draws = True
    generosity: float | None = doc_field(
        None, "chance to forgive (empty: from payoffs)", ge=0, le=1
    )

    def setup(self, seats: Seats) -> Any:
        """The five chances."""
        give = self.generosity
        if give is None:
            reward, sucker, temptation, punishment = levels(seats, "generous_tit_for_tat")
            give = jnp.minimum(
                1 - (temptation - reward) / (reward - sucker),
                (reward - punishment) / (temptation - punishment),
            )
            give = jnp.clip(give, 0.0, 1.0)
        return (1.0, give, 1.0, give, 1.0)

    def chance(self, numbers: Any, memory: Array, last: Last) -> Array:
        """Certain after C, generous after D."""
        return memory_one_chance(numbers, last)


@component("policy", "naive_prober")
@pytree
class NaiveProber(Strategy):
    """Tit for tat that now and then defects to see what happens.

    Source: Li, Hingston, Kendall (2011), doi:10.1109/TCIAIG.2011.2166268; Akata et al.
    (2025), arXiv:2305.16867, use 0.1 and 0.2.
    """

    draws = True
    p: float = doc_field(0.1, "chance to defect instead of cooperating", ge=0, le=1)

    def setup(self, seats: Seats) -> Any:
        """The five chances."""
        stay = 1.0 - self.p
        return (stay, 0.0, stay, 0.0, 1.0)

    def chance(self, numbers: Any, memory: Array, last: Last) -> Array:
        """Tit for tat with probes."""
        return memory_one_chance(numbers, last)


@component("policy", "zd_extort")
@pytree
class ZDExtort(Strategy):
    """Forces its surplus over the punishment to be ``factor`` times the other's.

    Source: Press & Dyson (2012), doi:10.1073/pnas.1206569109.
    """

    draws = True
    factor: float = doc_field(2.0, "extortion factor", ge=1)
    share: float = doc_field(0.5, "of the largest possible phi", gt=0, le=1)

    def setup(self, seats: Seats) -> Any:
        """The five chances, from the world's payoffs."""
        payoffs = levels(seats, "zd_extort")
        return zero_determinant(payoffs, payoffs[3], 1.0 / self.factor, self.share, 0.0)

    def chance(self, numbers: Any, memory: Array, last: Last) -> Array:
        """By the last round."""
        return memory_one_chance(numbers, last)


@component("policy", "zd_generous")
@pytree
class ZDGenerous(Strategy):
    """Takes on the larger part of any loss against mutual cooperation.

    Source: Stewart & Plotkin (2013), doi:10.1073/pnas.1306246110.
    """

    draws = True
    factor: float = doc_field(2.0, "own loss relative to the other's", ge=1)
    share: float = doc_field(1.0, "of the largest possible phi", gt=0, le=1)

    def setup(self, seats: Seats) -> Any:
        """The five chances, from the world's payoffs."""
        payoffs = levels(seats, "zd_generous")
        return zero_determinant(payoffs, payoffs[0], 1.0 / self.factor, self.share, 1.0)

    def chance(self, numbers: Any, memory: Array, last: Last) -> Array:
        """By the last round."""
        return memory_one_chance(numbers, last)


@component("policy", "random")
@pytree
class Random(Strategy):
    """Chooses at random: cooperates with chance ``p``, or picks any of more than two actions."""

    draws = True
    sees = "nothing"
    p: float = doc_field(0.5, "chance of action 0 where there are two", ge=0, le=1)

    def check(self, seats: Seats) -> None:
        """Refuse worlds whose actions are not choices."""
        if number_of_actions(seats) is None:
            check_seats("random", self, seats)

    def setup(self, seats: Seats) -> Any:
        """The chance, and how many choices there are."""
        return (self.p, np.int32(number_of_actions(seats) or 2))

    def chance(self, numbers: Any, memory: Array, last: Last) -> Array:
        """Always the same."""
        return jnp.asarray(numbers[0])

    def play(
        self, numbers: Any, memory: Any, last: Last, first: Array, acting: Array, words: Any
    ) -> tuple[Any, Array]:
        """A choice for every player."""
        memory, action = super().play(numbers, memory, last, first, acting, words)
        anything = below(words(), numbers[1]).astype(jnp.int8)
        return memory, jnp.where(numbers[1] == 2, action, anything)


def zero_determinant(
    payoffs: tuple[Array, Array, Array, Array],
    baseline: Array,
    slope: Array | float,
    share: Array | float,
    initial: float,
) -> tuple[Array, Array, Array, Array, float]:
    """Return the chances that force slope (own - baseline) = other - baseline.

    ``share`` scales phi, from 0 to the largest that keeps all four within [0, 1].

    Source: Hilbe, Nowak, Sigmund (2013), doi:10.1073/pnas.1214834110, eq. 14.
    """
    reward, sucker, temptation, punishment = payoffs
    fall_cc = (1 - slope) * (reward - baseline)
    fall_cd = slope * (baseline - sucker) + temptation - baseline
    rise_dc = baseline - sucker + slope * (temptation - baseline)
    rise_dd = (1 - slope) * (baseline - punishment)
    steepest = jnp.maximum(jnp.maximum(fall_cc, fall_cd), jnp.maximum(rise_dc, rise_dd))
    phi = share / steepest
    chances = (1 - phi * fall_cc, 1 - phi * fall_cd, phi * rise_dc, phi * rise_dd)
    cc, cd, dc, dd = (jnp.clip(chance, 0.0, 1.0) for chance in chances)
    return cc, cd, dc, dd, initial


def levels(seats: Seats, name: str) -> tuple[Array, Array, Array, Array]:
    """Reward, sucker, temptation and punishment of the world's two-action game."""
    if not hasattr(seats.world, "table"):
        raise ValueError(f"{name} needs a world with a payoff table; choose world matrix_game")
    own = seats.world.table()[0]
    return own[0, 0], own[0, 1], own[1, 0], own[1, 1]
