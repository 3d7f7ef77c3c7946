"""One large society over several devices: minds are split by slots, the rest is everywhere.

Weights of one's own are nearly all bytes of a large planet, and every slot's network reads only
its own. So minds are sharded along the slot axis; state, log and books, which are small,
are replicated, and the compiler inserts what has to travel. Nothing in the loop changes.
"""

from collections.abc import Sequence
from typing import Any

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from society.carry import Carry

__all__ = ["mesh_of", "shard_minds"]


def mesh_of(devices: Sequence[Any] | None = None) -> Mesh:
    """A mesh of one axis, ``slots``, over the given devices (all of them by default)."""
    devices = jax.devices() if devices is None else list(devices)
    shape, axes = (len(devices),), ("slots",)
    return jax.make_mesh(shape, axes, axis_types=(AxisType.Auto,), devices=devices)


def shard_minds(carry: Carry, mesh: Mesh, sizes: Sequence[int]) -> Carry:
    """Place a carry on a mesh: leaves with a row for each slot of a group are split.

    Args:
      sizes: slots of each group; a group is split where the devices divide its size.
    """
    everywhere = NamedSharding(mesh, PartitionSpec())
    split = NamedSharding(mesh, PartitionSpec("slots"))

    def place(leaf: Any, size: int) -> Any:
        rows = leaf.ndim and leaf.shape[0] == size and size % mesh.size == 0
        return jax.device_put(leaf, split if rows else everywhere)

    minds = tuple(
        jax.tree.map(lambda leaf, size=size: place(leaf, size), mind)
        for mind, size in zip(carry.minds, sizes, strict=True)
    )
    rest = jax.device_put(carry._replace(minds=()), everywhere)
    return rest._replace(minds=minds)
