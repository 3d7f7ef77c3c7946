"""What all gridworlds answer alike."""

from typing import Any

import gymnasium
import jax.numpy as jnp

from worlds.types import Array
from worlds.world import State, World

__all__ = ["GridWorld"]


class GridWorld(World[State]):
    """A world of moves on a board: ``moves`` names the actions, ``max_steps`` ends an episode."""

    moves: Any
    max_steps: int

    @property
    def horizon(self) -> int:
        """Steps of an episode."""
        return self.max_steps

    def action_space(self, slot: int) -> gymnasium.Space:
        """One move."""
        return gymnasium.spaces.Discrete(len(self.moves))

    def noop(self) -> Array:
        """Stay."""
        return jnp.zeros(self.num_slots, jnp.int32)
