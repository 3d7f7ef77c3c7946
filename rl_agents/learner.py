"""Learner: what trains a group, and the trajectories that it learns from.

The loop gathers ``rollout`` steps of a group's own rows, then calls ``update`` once, as a
compiled function of its own. How long the loop's chunks are makes no difference.
"""

import abc
from collections.abc import Mapping
from typing import Any, NamedTuple

from worlds.policy import ArrayPolicy
from worlds.types import Array, Mind, Percept, Seats

__all__ = ["Learner", "LearnerState", "Trajectory"]

LearnerState = Any


class Trajectory(NamedTuple):
    """T steps of a group's n rows.

    percept: leaves [T, n, ...]; ``first`` marks the first step of an episode or a life.
    uid: [T, n] int32 who held the row. action: leaves [T, n, ...], what was done.
    extras: what ``act`` noted, leaves [T, n, ...] (log-probabilities, values, words said).
    reward: [T, n] float32. terminated, truncated: [T, n] bool; truncated also where the run
      itself cut an episode.
    cut_value: [T, n] float32, worth of what was seen last where an episode was truncated, else 0.
    memory: the minds' memory before the first step. final: the percept after the last step,
      and final_uid [n] int32 who sees it; it means nothing where an episode has just ended.

    Rows that did not act hold actions that nobody carried out. A reward that comes while a row
    does not act belongs to its uid's last acting row.
    """

    percept: Percept
    uid: Array
    action: Any
    extras: Mapping[str, Array]
    reward: Array
    terminated: Array
    truncated: Array
    cut_value: Array
    memory: Any
    final: Percept
    final_uid: Array


class Learner(abc.ABC):
    """What changes a group's minds; decorated with ``worlds.tree.pytree``.

    A learner has the fields ``policy`` (``provided()``: the group's policy) and ``rollout``
    (steps between updates). Its state is a pytree of arrays that the checkpoint keeps.
    """

    policy: Any
    rollout: int

    def check(self, policy: ArrayPolicy, seats: Seats) -> None:
        """Raise ValueError, saying what fits, where it cannot train that policy there."""

    @abc.abstractmethod
    def init(self, key: Array, mind: Mind, spaces: Seats) -> LearnerState:
        """Make the state before any step; ``spaces`` is what the minds were made from."""

    @abc.abstractmethod
    def update(
        self, key: Array, state: LearnerState, mind: Mind, trajectory: Trajectory
    ) -> tuple[LearnerState, Mind, dict[str, Array]]:
        """Learn from T steps: pure, inside jit.

        Returns:
          The state, the mind with new ``params`` (``memory`` is left to the loop), and numbers
          to be recorded (float32 scalars).
        """

    def worth(self, state: LearnerState, mind: Mind, percept: Percept) -> Array | None:
        """[n] float32 value of what is seen where an episode is cut; None: nothing needs it."""
        return None
