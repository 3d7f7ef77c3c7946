"""What a group's minds are told: of their place when they are made, and of each moment."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from society.carry import Carry, Parts, placed
from worlds.types import Array, Observation, Percept, Seats

__all__ = ["first_rows", "percept_of", "seats_of"]


def seats_of(engine: Any, parts: Parts, carry: Carry, index: int) -> Seats:
    """What the policy of a group is told about its place."""
    group = engine.population.groups[index]
    return Seats(
        num=group.size,
        start=group.start,
        world=placed(carry),
        action_space=engine.spaces[index][0],
        observation_space=engine.spaces[index][1],
        attributes={
            name: column for name, column in group.columns.items() if column.dtype.kind in "bif"
        },
        channels={name: channel.size for name, channel in parts.channels.items()},
        words=tuple(name for name, one in parts.channels.items() if hasattr(one, "vocabulary")),
        fixed=engine.fixed,
    )


def percept_of(
    engine: Any,
    carry: Carry,
    index: int,
    observation: Observation,
    inbox: Mapping[str, Array],
    turn: Array,
) -> Percept:
    """A group's rows of what there is to see and hear in one turn."""
    rows = engine.population.groups[index].rows
    return Percept(
        view=jax.tree.map(lambda x: x[rows], observation.view),
        alive=observation.alive[rows],
        acting=observation.acting[rows],
        first=first_rows(carry, rows) & (turn == 0),
        legal=None if observation.legal is None else observation.legal[rows],
        inbox={name: box[rows] for name, box in inbox.items()},
    )


def first_rows(carry: Carry, rows: slice) -> Array:
    """Where an episode or a life has just begun, whatever the turn: bool, for a group's rows."""
    first = jnp.broadcast_to(carry.step == 0, carry.alive.shape)
    if carry.world.births:
        first = first | carry.newborn
    if getattr(carry.world, "restart", False):
        first = first | carry.world.fresh(carry.state)
    return first[rows]
