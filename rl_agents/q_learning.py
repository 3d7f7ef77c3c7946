"""Independent Q-learning over tables: every step moves one value towards what it led to."""

from typing import Any

import jax
import jax.numpy as jnp

from rl_agents.advantages import Following, following
from rl_agents.learner import Learner, Trajectory
from rl_agents.per_slot import by_member
from rl_agents.tabular import Table, Tabular, states_of
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Mind, Percept, Seats

__all__ = ["QLearning"]


@component("learner", "q_learning")
@pytree
class QLearning(Learner):
    """Q-learning with a table (``policy: tabular``); others are part of the surroundings.

    The steps of a trajectory are learned from in order, those of a row's last unfinished
    decision in the next trajectory's place not at all. With a shared table all rows' steps of
    one moment are added up.

    Source: Watkins & Dayan (1992), doi:10.1007/BF00992698; independent learners as in Tan
    (1993), doi:10.1016/B978-1-55860-307-3.50049-6.
    """

    rollout: int = doc_field(1, "steps between updates", ge=1)
    lr: float = doc_field(0.1, "how far a value moves", gt=0, le=1)
    discount: float = doc_field(0.99, "weight of the next state's value", ge=0, le=1)
    policy: Any = provided()

    def check(self, policy: ArrayPolicy, seats: Seats) -> None:
        """It trains tables."""
        if not isinstance(policy, Tabular):
            raise ValueError(
                f"learner q_learning fills tables, not {type(policy).__name__}; "
                "use policy: tabular, or learner: deep_q_learning"
            )

    def init(self, key: Array, mind: Mind, spaces: Seats) -> tuple[()]:
        """Nothing beside the table."""
        return ()

    def update(
        self, key: Array, state: Any, mind: Mind, trajectory: Trajectory
    ) -> tuple[Any, Mind, dict[str, Array]]:
        """One temporal-difference step for every acting step, in order of time."""
        table: Table = mind.params
        lead = trajectory.reward.shape
        seen = states_of(trajectory.percept.view, table.columns, lead)
        last = states_of(trajectory.final.view, table.columns, lead[1:])
        after = following(trajectory)
        every = jnp.concatenate([seen, last[None]])
        then = jnp.take_along_axis(every, after.then, axis=0)
        action = trajectory.action.astype(jnp.int32) - table.head.start
        acting = trajectory.percept.acting

        def learn(values: Array, *steps: Any) -> tuple[Array, Array]:
            return jax.lax.scan(self._step, values, steps)

        if table.members:
            values, errors = _each(learn, table, (seen, action, then, after, acting))
        else:
            values, errors = learn(table.values, seen, action, then, after, acting)
        error = errors.sum() / jnp.maximum(acting.sum(), 1)
        new = Table(values, columns=table.columns, head=table.head, members=table.members)
        return state, mind._replace(params=new), {"td_error": error}

    def _step(self, values: Array, now: Any) -> tuple[Array, Array]:
        """All rows of one moment: values [states, actions]."""
        state, action, then, after, acting = now
        follow: Following = after
        best = jnp.where(follow.over, follow.cut, values[then].max(axis=-1))
        error = follow.reward + self.discount * best - values[state, action]
        error = jnp.where(acting, error, 0.0)
        return values.at[state, action].add(self.lr * error), jnp.abs(error).sum()

    def worth(self, state: Any, mind: Mind, percept: Percept) -> Array:
        """The best action's value."""
        table: Table = mind.params
        seen = states_of(percept.view, table.columns, percept.alive.shape)
        return by_member(lambda q, s: (q[s].max(axis=-1),), table.values, table.members, (seen,))[0]


def _each(learn: Any, table: Table, steps: Any) -> tuple[Array, Array]:
    """``learn`` for each member on its own rows [T, E]."""

    def split(leaf: Array) -> Array:
        return leaf.reshape(leaf.shape[0], -1, table.members)

    parts = jax.tree.map(split, steps)
    return jax.vmap(learn, in_axes=(0, *(2 for _ in parts)))(table.values, *parts)
