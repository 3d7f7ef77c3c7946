"""``memory_one_odds``: chances to cooperate after each kind of round, to be learned."""

from typing import Any

import jax
import jax.numpy as jnp

from rl_agents.heads import unit
from rl_agents.per_slot import inherit_rows, mutate_rows
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Births, Decision, Mind, Percept, Seats

__all__ = ["MemoryOneOdds", "check_pairs"]


def check_pairs(seats: Seats, what: str) -> None:
    """Raise ValueError unless rows 2i and 2i + 1 play a game of two actions with each other."""
    world = getattr(seats.world, "world", seats.world)
    fits = getattr(world, "pairs", "") == "fixed" and getattr(world, "num_roles", 0) == 2
    if not fits or getattr(world, "seat_shape", None) != ():
        raise ValueError(
            f"{what} needs pairs who meet again: world: {{use: matrix_game, pairs: fixed}} "
            "with a game for two and repetitions: 1"
        )


@component("policy", "memory_one_odds")
@pytree
class MemoryOneOdds(ArrayPolicy):
    """Cooperates with a chance that depends on the last round; learned by ``lola``.

    Five numbers a row, log-odds of the first action: at the start, and after CC, CD, DC, DD
    (one's own action first). Source: Nowak & Sigmund (1990), doi:10.1007/BF00049570.
    """

    spread: float = doc_field(1.0, "standard deviation of the first log-odds", ge=0)

    def check(self, seats: Seats) -> None:
        """Games of two actions between fixed pairs."""
        check_pairs(seats, "memory_one_odds")
        world = getattr(seats.world, "world", seats.world)
        if world.num_actions != 2:
            raise ValueError(f"memory_one_odds has two actions, the game {world.num_actions}")

    def init(self, key: Array, seats: Seats) -> Mind:
        """Normal log-odds [rows, 5]."""
        return Mind(jax.random.normal(key, (seats.num, 5)) * self.spread)

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Draw from the odds of the state that is seen."""
        own, other = percept.view.own_last, percept.view.other_last
        state = jnp.where(own < 0, 0, 1 + 2 * own.astype(jnp.int32) + other.astype(jnp.int32))
        hot = state[:, None] == jnp.arange(5)
        odds = jnp.where(hot, mind.params, 0.0).sum(axis=1)
        cooperates = unit(key, state.shape) < jax.nn.sigmoid(odds)
        return Decision((~cooperates).astype(jnp.int32))

    def inherit(self, key: Array, mind: Mind, births: Births) -> Mind:
        """Newcomers copy their first parent's odds."""
        return mind._replace(params=inherit_rows(mind.params, births))

    def mutate(self, key: Array, mind: Mind, births: Births, rate: Array, sd: Array) -> Mind:
        """Add normal noise to newcomers' odds."""
        params: Any = mutate_rows(key, mind.params, births, sd)
        return mind._replace(params=params)
