"""A body that does nothing: for worlds that are to be watched, and as a baseline."""

import jax
import jax.numpy as jnp

from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import pytree
from worlds.types import Array, Decision, Mind, Percept, Seats

__all__ = ["IdleBody"]


@component("policy", "idle_body")
@pytree
class IdleBody(ArrayPolicy):
    """Does the world's no-op in every step."""

    def init(self, key: Array, seats: Seats) -> Mind:
        """Remember what doing nothing is."""
        rows = slice(seats.start, seats.start + seats.num)
        return Mind(jax.tree.map(lambda leaf: jnp.asarray(leaf)[rows], seats.world.noop()))

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Do nothing."""
        return Decision(mind.params, mind.memory)
