"""``mixed``: a probability for each action, the same at all times until somebody changes it."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from rl_agents import heads
from rl_agents.heads import Head
from rl_agents.learner import Trajectory
from rl_agents.memory_one_odds import check_pairs
from rl_agents.per_slot import inherit_rows
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Births, Decision, Mind, Percept, Seats

__all__ = ["Met", "Mixed", "payoffs_of", "what_was_met"]


@component("policy", "mixed")
@pytree
class Mixed(ArrayPolicy):
    """Draws its action from the same probabilities every time.

    Learned by ``regret_matching`` and ``fictitious_play``.
    """

    probabilities: tuple[float, ...] = doc_field((), "of each action; equal when empty")

    def check(self, seats: Seats) -> None:
        """As many probabilities as actions."""
        head = heads.head_of(seats.action_space)
        if head.kind != "discrete" or head.shape:
            raise ValueError(f"mixed chooses among single actions, not in {seats.action_space}")
        given = len(self.probabilities)
        if given not in (0, head.size):
            raise ValueError(f"{given} probabilities for {head.size} actions; give {head.size}")

    def init(self, key: Array, seats: Seats) -> Mind:
        """[rows, actions] probabilities."""
        size = heads.head_of(seats.action_space).size
        even = jnp.full(size, 1.0 / size)
        one = jnp.stack([jnp.asarray(p, jnp.float32) for p in self.probabilities or tuple(even)])
        return Mind(jnp.broadcast_to(one, (seats.num, size)) + 0.0)

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """One draw for each row."""
        logs = jnp.log(jnp.maximum(mind.params, 1e-30))
        head = Head("discrete", (), mind.params.shape[1])
        action, log_prob = heads.sample(key, head, logs, None, percept.legal)
        return Decision(action, extras={"log_prob": log_prob})

    def inherit(self, key: Array, mind: Mind, births: Births) -> Mind:
        """Newcomers copy their first parent's probabilities."""
        return mind._replace(params=inherit_rows(mind.params, births))


class Met(NamedTuple):
    """own, other: [T, n] int32 actions; known: [T, n] bool, the round was played and seen."""

    own: Array
    other: Array
    known: Array


def what_was_met(trajectory: Trajectory) -> Met:
    """What a row did and what was done to it, read from the view one step later."""
    later = jnp.concatenate(
        [trajectory.percept.view.other_last[1:], trajectory.final.view.other_last[None]]
    ).astype(jnp.int32)
    over = trajectory.terminated | trajectory.truncated
    known = trajectory.percept.acting & ~over & (later >= 0)
    return Met(trajectory.action.astype(jnp.int32), jnp.maximum(later, 0), known)


def payoffs_of(seats: Seats, what: str) -> Array:
    """[rows, own action, other's action] payoffs of fixed pairs.

    Raises:
      ValueError: Not a game of fixed pairs.
    """
    check_pairs(seats, what)
    world: Any = getattr(seats.world, "world", seats.world)
    table = jnp.asarray(world.table(), jnp.float32)
    oriented = jnp.stack([table[0], table[1].T])
    role = (jnp.arange(seats.num) + seats.start) % 2
    return oriented[role]
