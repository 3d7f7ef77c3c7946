"""``tabular``: values of actions in a table, one row for each thing that can be seen."""

from typing import Any, Literal

import jax.numpy as jnp
import numpy as np

from rl_agents import heads
from rl_agents.features import Column, columns_of
from rl_agents.heads import Head, head_of
from rl_agents.per_slot import by_member, inherit_rows, mutate_rows
from worlds.policy import ArrayPolicy
from worlds.random import fold
from worlds.registry import component
from worlds.spaces import part_of
from worlds.tree import doc_field, pytree
from worlds.types import Array, Births, Decision, Mind, Percept, Seats

__all__ = ["Table", "Tabular", "states_of"]

_MOST_STATES = 1 << 20


@pytree
class Table:
    """values: [members, states, actions] (or without members); the rest says what they mean."""

    values: Array
    columns: Any = doc_field((), "parts of the view that make the state", static=True)
    head: Any = doc_field(None, "of the action", static=True)
    members: int = 0


@component("policy", "tabular")
@pytree
class Tabular(ArrayPolicy):
    """A table of values for every state and action; mostly the best action is taken.

    The state is the combination of the integers that ``sees`` names; all integers of the view
    when it names none.
    """

    sees: tuple[str, ...] = doc_field((), "parts of the view that make the state")
    epsilon: float = doc_field(0.1, "chance of a random action", ge=0, le=1)
    initial: float = doc_field(0.0, "value of everything before it is known")
    parameters: Literal["shared", "separate"] = doc_field(
        "separate", "one table for the group, or one for each individual"
    )

    def check(self, seats: Seats) -> None:
        """Refuse views that are not a few small integers."""
        columns, head = self._columns(seats), head_of(seats.action_space)
        if head.kind != "discrete" or head.shape:
            raise ValueError(f"a table chooses among single actions, not in {seats.action_space}")
        states = int(np.prod([float(_values(column)) for column in columns]))
        if not columns or states > _MOST_STATES:
            raise ValueError(
                f"a table of {states:,} states; name a few small integers of the view with sees, "
                "or use policy: {use: mlp, decide: epsilon_greedy} with learner: deep_q_learning"
            )

    def init(self, key: Array, seats: Seats) -> Mind:
        """Every value as ``initial``."""
        columns, head = self._columns(seats), head_of(seats.action_space)
        states = int(np.prod([_values(column) for column in columns], dtype=int))
        worlds = getattr(seats.world, "num_envs", 1)
        members = seats.num // worlds if self.parameters == "separate" else 0
        shape = (members, states, head.size) if members else (states, head.size)
        values = jnp.zeros(shape, jnp.float32) + self.initial
        return Mind(Table(values, columns=columns, head=head, members=members))

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """The best action, the first of equals; or any, with chance epsilon."""
        table: Table = mind.params
        state = states_of(percept.view, table.columns, percept.alive.shape)
        rows = by_member(lambda q, s: (q[s],), table.values, table.members, (state,))[0]
        head: Head = table.head
        best = heads.greedy(head, rows, percept.legal)
        zeros = jnp.zeros_like(rows)
        other, _ = heads.sample(fold(key, 0), head, zeros, None, percept.legal)
        stray = heads.unit(fold(key, 1), best.shape) < self.epsilon
        return Decision(jnp.where(stray, other, best))

    def inherit(self, key: Array, mind: Mind, births: Births) -> Mind:
        """Newcomers copy their first parent's table."""
        return self._changed(mind, lambda values: inherit_rows(values, births))

    def mutate(self, key: Array, mind: Mind, births: Births, rate: Array, sd: Array) -> Mind:
        """Add normal noise to newcomers' values."""
        return self._changed(mind, lambda values: mutate_rows(key, values, births, sd))

    def _changed(self, mind: Mind, change: Any) -> Mind:
        table: Table = mind.params
        if not table.members:
            return mind
        values = change(table.values)
        new = Table(values, columns=table.columns, head=table.head, members=table.members)
        return mind._replace(params=new)

    def _columns(self, seats: Seats) -> tuple[Column, ...]:
        columns = columns_of(seats.observation_space, self.sees)
        whole = tuple(column for column in columns if _values(column) > 1)
        if self.sees and len(whole) < len(columns):
            odd = next(column for column in columns if _values(column) <= 1)
            raise ValueError(f"sees: {'.'.join(map(str, odd.path))} is no small integer")
        return whole


def _values(column: Column) -> int:
    """How many values a part has; 1 where it is no small integer."""
    if column.kind == "names":
        return column.values ** int(np.prod(column.shape, dtype=int))
    return 1


def states_of(view: Any, columns: tuple[Column, ...], lead: tuple[int, ...]) -> Array:
    """Index of what is seen: int32 [*lead]."""
    state = jnp.zeros(lead, jnp.int32)
    for column in columns:
        leaf = view
        for step in column.path:
            leaf = part_of(leaf, step) if isinstance(step, str) else leaf[step]
        flat = leaf.reshape(*lead, -1).astype(jnp.int32) - column.low
        for place in range(flat.shape[-1]):
            state = state * column.values + flat[..., place]
    return state
