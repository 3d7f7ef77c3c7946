"""A strategy in one file: it strikes back late, and forgives at once."""

import jax.numpy as jnp
import numpy as np

from rl_agents.scripted.strategy import Last, Strategy
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array

__all__ = ["Hesitant"]


@component("policy", "hesitant")
@pytree
class Hesitant(Strategy):
    """Defects only after ``patience`` defections in a row, until the other cooperates.

    With patience 1 it is tit for tat, with 2 tit for two tats (Axelrod 1984).
    """

    blank = np.int8(0)
    patience: int = doc_field(3, "defections in a row that it bears", ge=1, le=100)

    def update(self, memory: Array, last: Last) -> Array:
        """Length of the other's run of defections, at most ``patience``."""
        return jnp.where(last.other == 1, jnp.minimum(memory + 1, self.patience), 0)

    def move(self, memory: Array, last: Last) -> Array:
        """D when the run is long enough."""
        return memory >= self.patience
