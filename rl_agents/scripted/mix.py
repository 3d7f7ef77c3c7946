"""A population of many strategies in one batch."""

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from rl_agents.scripted.heritable import inherited, redrawn
from rl_agents.scripted.strategy import (
    Last,
    Strategy,
    actions_shape,
    lane_of,
    last_round,
    rows,
)
from worlds.policy import ArrayPolicy
from worlds.random import random_bits
from worlds.registry import component, load
from worlds.tree import doc_field, pytree
from worlds.types import Array, Births, Decision, Mind, Percept, Seats

__all__ = ["Kinds", "Strategies"]


@pytree
class Kinds:
    """Who plays what.

    types: [n] int8 index into the mix. numbers: what each strategy's ``setup`` made.
    counts: rows of each strategy, in order, where that cannot change during the run; else ().
    """

    types: Array
    numbers: Any = ()
    counts: tuple[int, ...] = ()


@component("policy", "strategies")
@pytree
class Strategies(ArrayPolicy):
    """A mix of scripted strategies, by name and weight; rows of one strategy lie together.

    Where nothing can change who plays what, each strategy runs on its own slice of rows;
    where selection copies strategies, all rules run on all rows and each row takes its own.
    Both give the same play.
    """

    mix: tuple[str, ...] | dict[str, float] = doc_field(
        ("tit_for_tat", "always_defect"), "names of strategies, or name: weight", static=True
    )

    def __post_init__(self) -> None:
        """Keep the mix as (name, weight) pairs, which can be part of a compiled program."""
        pairs = self.mix.items() if isinstance(self.mix, dict) else self.mix
        pairs = ((pair, 1.0) if isinstance(pair, str) else tuple(pair) for pair in pairs)
        object.__setattr__(self, "mix", tuple((str(name), float(w)) for name, w in pairs))

    @property
    def strategies(self) -> tuple[Strategy, ...]:
        """One of each, in the order of the mix."""
        return _strategies(self.type_names())

    @property
    def weights(self) -> tuple[float, ...]:
        """One of each, in the order of the mix."""
        return tuple(float(weight) for _, weight in self.mix)

    def type_names(self) -> tuple[str, ...]:
        """The names of the mix."""
        return tuple(name for name, _ in self.mix)

    def types(self, mind: Mind) -> Array:
        """[n] int32 index into the mix."""
        return mind.params.types.astype(jnp.int32)

    def check(self, seats: Seats) -> None:
        """Refuse empty or unknown mixes, and strategies that the world does not suit."""
        weights = self.weights
        if not weights or min(weights) < 0 or sum(weights) <= 0 or len(weights) > 127:
            raise ValueError(
                f"mix {self.mix} must name 1 to 127 strategies with weights of 0 or more"
            )
        if len(set(self.type_names())) < len(weights):
            raise ValueError("a strategy stands twice in the mix; give it a weight instead")
        for strategy in self.strategies:
            strategy.check(seats)

    def init(self, key: Array, seats: Seats) -> Mind:
        """Divide the rows by weight (largest remainders), in the order of the mix."""
        counts = shares(seats.num, self.weights)
        types = np.repeat(np.arange(len(counts), dtype=np.int8), counts)
        numbers = tuple(strategy.setup(seats) for strategy in self.strategies)
        shape = actions_shape(seats)
        memory = tuple(
            strategy.remember(((count if seats.fixed else seats.num), *shape))
            for strategy, count in zip(self.strategies, counts, strict=True)
        )
        fixed = tuple(counts) if seats.fixed else ()
        return Mind(Kinds(jnp.asarray(types), numbers, fixed), memory)

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Move in all rows."""
        if mind.params.counts:
            return _act_in_slices(self.strategies, key, mind, percept)
        return _act_and_choose(self.strategies, key, mind, percept)

    def inherit(self, key: Array, mind: Mind, births: Births) -> Mind:
        """Copy the parent's strategy."""
        return _retyped(mind, inherited(mind.params.types, births))

    def mutate(self, key: Array, mind: Mind, births: Births, rate: Array, sd: Array) -> Mind:
        """Draw newcomers' strategies anew, each of the mix equally likely."""
        types = redrawn(key, mind.params.types.astype(jnp.int32), births, rate, len(self.mix))
        return _retyped(mind, types)

    def assign(self, mind: Mind, rows: Array, kind: int) -> Mind:
        """Let the given rows play strategy ``kind`` from now on."""
        return _retyped(mind, mind.params.types.at[rows].set(kind))


def shares(num: int, weights: Sequence[float]) -> list[int]:
    """Divide ``num`` rows in proportion to weights, by largest remainders."""
    exact = np.asarray(weights, np.float64) / sum(weights) * num
    counts = np.floor(exact).astype(int)
    order = np.argsort(-(exact - counts), kind="stable")
    counts[order[: num - counts.sum()]] += 1
    return [int(count) for count in counts]


def _retyped(mind: Mind, types: Array) -> Mind:
    kinds = mind.params
    if kinds.counts:
        raise ValueError(
            "strategies were declared fixed for this run (Seats.fixed) but are to change; "
            "make the minds with fixed=False"
        )
    return mind._replace(params=Kinds(types.astype(jnp.int8), kinds.numbers))


def _act_in_slices(
    strategies: tuple[Strategy, ...], key: Array, mind: Mind, percept: Percept
) -> Decision:
    """Each strategy on its own rows."""
    last = last_round(percept)
    actions: list[Array] = []
    memories: list[Any] = []
    start = 0
    for index, strategy in enumerate(strategies):
        stop = start + mind.params.counts[index]
        own = slice(start, stop)
        shape = (stop - start, *last.own.shape[1:])
        memory, action = strategy.play(
            mind.params.numbers[index],
            mind.memory[index],
            Last(last.own[own], last.other[own]),
            rows(percept.first[own], shape),
            rows(percept.acting[own], shape),
            functools.partial(_words, key, shape, start),
        )
        actions.append(action)
        memories.append(memory)
        start = stop
    return Decision(jnp.concatenate(actions), tuple(memories))


def _act_and_choose(
    strategies: tuple[Strategy, ...], key: Array, mind: Mind, percept: Percept
) -> Decision:
    """Every strategy on all rows; each row takes the action of its own."""
    last = last_round(percept)
    shape = last.own.shape
    types = rows(mind.params.types, shape)
    first, acting = rows(percept.first, shape), rows(percept.acting, shape)
    action = jnp.zeros(shape, jnp.int8)
    memories: list[Any] = []
    for index, strategy in enumerate(strategies):
        memory, move = strategy.play(
            mind.params.numbers[index],
            mind.memory[index],
            last,
            first,
            acting,
            functools.partial(_words, key, shape, 0),
        )
        action = jnp.where(types == index, move, action)
        memories.append(memory)
    return Decision(action, tuple(memories))


def _words(key: Array, shape: tuple[int, ...], start: int) -> Array:
    return random_bits(key, *lane_of(shape, start))


@functools.cache
def _strategies(names: tuple[str, ...]) -> tuple[Strategy, ...]:
    found = []
    for name in names:
        cls = load("policy", name)
        if not issubclass(cls, Strategy):
            raise ValueError(f"policy {name!r} is no scripted strategy and cannot be in a mix")
        found.append(cls())
    return tuple(found)
