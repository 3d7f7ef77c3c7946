"""What bodies see: their ground, their neighbours, the machines, themselves."""

from typing import TYPE_CHECKING

import jax.numpy as jnp
import numpy as np

from worlds.life.space import Near, Neighbours, patch
from worlds.life.state import LifeState
from worlds.life.terrain import FIELDS
from worlds.types import Array

if TYPE_CHECKING:
    from worlds.life.life import Life

__all__ = ["NUM_OTHER", "NUM_OWN", "view_of"]

NUM_OTHER = 6  # way south and east, nearness, energy, age, same group
NUM_OWN = 5  # energy, age, season as sine and cosine, number of others seen


def view_of(world: "Life", state: LifeState, seen: Neighbours) -> dict[str, Array]:
    """Every slot's view, as arrays with leading axis N.

    ground: energy, then the fields in the order of FIELDS, for each cell of the patch row by
    row. others: nearest first, zeros where nobody is: signed way south and east in units of
    sight, nearness in (0, 1], log energy, age in units of 256 steps, 1 for the same group,
    identity, voice. machines: way, nearness, memory, program. own: log energy, age, season
    (sine, cosine), others seen, latest acts, identity, voice, words last heard.
    """
    cell = patch(state.position, world.size, world.patch)
    plane = np.arange(len(FIELDS) + 1, dtype=np.int32) * world.size**2
    planes = jnp.concatenate([state.energy, state.fields.reshape(-1)])
    scale = np.ones(len(FIELDS) + 1, np.float32)
    scale[[0, -1]] = 1 / 8.0
    ground = planes[cell[..., None] + plane] * scale
    alive = state.alive
    view = {
        "ground": jnp.where(alive[:, None], ground.reshape(alive.shape[0], -1), 0.0),
        "others": _others(world, state, seen.near),
        "own": _own(world, state, seen.near),
    }
    if seen.machines is not None:
        machines = state.machines
        what = jnp.concatenate([machines.memory, machines.program], axis=1)
        view["machines"] = _met(seen.machines, what, world.sight, alive)
    return view


def _others(world: "Life", state: LifeState, near: Near) -> Array:
    features = jnp.concatenate(
        [
            jnp.log1p(state.stock)[:, None] / 4,
            state.age[:, None].astype(jnp.float32) / 256,
            state.identity,
            state.voice,
        ],
        axis=1,
    )
    group = jnp.asarray(np.append(world.group(), -1).astype(np.int32))
    same = (group[near.index] == group[:-1, None]).astype(jnp.float32)
    same = jnp.where(state.alive[:, None], same, 0.0)
    met = _met(near, features, world.sight, state.alive)
    return jnp.concatenate([met[..., :5], same[..., None], met[..., 5:]], axis=-1)


def _met(near: Near, features: Array, sight: int, alive: Array) -> Array:
    """[N, K, 3 + F] way, nearness and features of those met; zeros where nobody is."""
    num = features.shape[0]
    there = (near.index < num) & alive[:, None]
    nearness = jnp.where(there, 1.0 / (1.0 + jnp.where(there, near.distance, 0.0)), 0.0)
    rows = jnp.where(there[..., None], features[jnp.minimum(near.index, num - 1)], 0.0)
    way = jnp.where(there[..., None], near.offset / sight, 0.0)
    return jnp.concatenate([way, nearness[..., None], rows], axis=-1)


def _own(world: "Life", state: LifeState, near: Near) -> Array:
    num = state.alive.shape[0]
    turn = 2 * np.pi * state.tick.astype(jnp.float32) / world.climate.year
    met = (near.index < num).sum(1) / near.index.shape[1]
    columns = [
        jnp.log1p(state.stock) / 4,
        state.age.astype(jnp.float32) / 256,
        jnp.broadcast_to(jnp.sin(turn), (num,)),
        jnp.broadcast_to(jnp.cos(turn), (num,)),
        met,
    ]
    own = jnp.stack(columns, axis=1)
    own = jnp.concatenate([own, state.last, state.identity, state.voice, state.inbox], axis=1)
    return jnp.where(state.alive[:, None], own, 0.0).astype(jnp.float32)
