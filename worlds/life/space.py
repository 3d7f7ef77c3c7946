"""A torus of square cells: signed offsets, and neighbours found through bins.

Positions are float32 in [0, size); the first coordinate grows southward (rows), the second
eastward (columns). Offsets are signed and wrap, so "left" and "right" differ everywhere.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from worlds.types import Array

__all__ = [
    "Bins",
    "Near",
    "Neighbours",
    "bins_of",
    "cell_of",
    "nearest",
    "offsets",
    "patch",
    "wrap",
]


class Near(NamedTuple):
    """The nearest others, by distance.

    index: [Q, K] int32 rows of those who were searched; their number where nobody is left.
    offset: [Q, K, 2] float32 signed way to them, 0 where nobody is.
    distance: [Q, K] float32 in cells, infinite where nobody is.
    unseen: int32, how many found no room in their bin, so that nobody saw them.
    """

    index: Array
    offset: Array
    distance: Array
    unseen: Array


class Neighbours(NamedTuple):
    """Who is near whom on a planet.

    near: each slot's nearest others. machines: its nearest machines, peers: each machine's
    nearest machines; None where there are none.
    """

    near: Near
    machines: Near | None
    peers: Near | None


def wrap(position: Array, size: int) -> Array:
    """Positions in [0, size); a tiny negative one, which rounds to size, becomes 0."""
    inside = jnp.mod(position, size)
    return jnp.where(inside >= size, 0.0, inside)


def offsets(start: Array, end: Array, size: int) -> Array:
    """Signed shortest way from start to end on a torus, each part in [-size/2, size/2]."""
    way = end - start
    return way - size * jnp.round(way / size)


class Bins(NamedTuple):
    """Square bins on a torus.

    table: [side^2, crowd] int32 who is where, padded with their number. unseen: int32, who
    found no room. side: bins along each side. size, sight: in cells.
    """

    table: Array
    unseen: Array
    side: int
    size: int
    sight: int


def cell_of(position: Array, size: int) -> Array:
    """[..., 2] positions -> [...] int32 index of the cell, row by row."""
    cell = jnp.clip(jnp.floor(position).astype(jnp.int32), 0, size - 1)
    return cell[..., 0] * size + cell[..., 1]


def patch(position: Array, size: int, radius: int) -> Array:
    """[N, (2 radius + 1)^2] int32 cells around positions, row by row, wrapped."""
    reach = np.arange(-radius, radius + 1)
    cell = jnp.floor(position).astype(jnp.int32)
    rows = jnp.mod(cell[:, :1] + reach, size)
    columns = jnp.mod(cell[:, 1:] + reach, size)
    return (rows[:, :, None] * size + columns[:, None, :]).reshape(position.shape[0], -1)


def nearest(seekers: Array, others: Array, bins: Bins, *, count: int, same: bool) -> Near:
    """The ``count`` nearest others within sight of each seeker.

    Bins are at least as wide as sight, so that all who can be seen lie in nine of them: the
    work grows with the number of seekers, not with its square.

    Args:
      seekers: [Q, 2] positions. others: [M, 2] positions, sorted into ``bins``.
      same: seekers and others are the same rows, and nobody is its own neighbour.
    """
    num, side, size, sight = others.shape[0], bins.side, bins.size, bins.sight
    around = np.arange(-1, 2) if side >= 3 else np.arange(side)
    home = _bin_of(seekers, size, side)
    rows = jnp.mod(home[:, :1] + around, side)
    columns = jnp.mod(home[:, 1:] + around, side)
    block = (rows[:, :, None] * side + columns[:, None, :]).reshape(seekers.shape[0], -1)
    found = bins.table[block].reshape(seekers.shape[0], -1)
    way = offsets(seekers[:, None], others[jnp.minimum(found, num - 1)], size)
    squared = (way**2).sum(-1)
    seen = (found < num) & (squared <= sight**2)
    if same:
        seen = seen & (found != np.arange(seekers.shape[0], dtype=np.int32)[:, None])
    squared = jnp.where(seen, squared, jnp.inf)
    best, place = jax.lax.top_k(-squared, min(count, found.shape[1]))
    there = jnp.isfinite(best)
    index = jnp.where(there, jnp.take_along_axis(found, place, 1), num)
    way = jnp.take_along_axis(way, place[..., None], 1)
    return Near(
        index=index,
        offset=jnp.where(there[..., None], way, 0.0),
        # In one long loop: rows of a few neighbours would each be written out.
        distance=jnp.sqrt(jnp.maximum(-best.reshape(-1), 0.0)).reshape(best.shape),
        unseen=bins.unseen,
    )


def bins_of(others: Array, held: Array, size: int, sight: int, crowd: int) -> Bins:
    """Sort those who are there (``held``) into bins of at most ``crowd``, in slot order."""
    num, side = others.shape[0], max(size // sight, 1)
    place = _bin_of(others, size, side)
    home = jnp.where(held, place[:, 0] * side + place[:, 1], side * side)
    order = jnp.argsort(home, stable=True).astype(jnp.int32)
    sorted_home = home[order]
    rank = np.arange(num, dtype=np.int32)
    starts = jnp.full(side * side, num, jnp.int32).at[sorted_home].min(rank, mode="drop")
    place = starts[:, None] + np.arange(crowd, dtype=np.int32)
    here = jnp.append(sorted_home, -1).at[place].get(mode="clip")
    inside = here == np.arange(side * side, dtype=np.int32)[:, None]
    table = jnp.where(inside, order.at[place].get(mode="clip"), num)
    unseen = held.sum(dtype=jnp.int32) - inside.sum(dtype=jnp.int32)
    return Bins(table, unseen, side, size, sight)


def _bin_of(position: Array, size: int, side: int) -> Array:
    cell = jnp.floor(position).astype(jnp.int32)
    return jnp.clip(cell * side // size, 0, side - 1)
