"""What all gridworlds share: maps, simultaneous moves, views, beams and regrowth.

Everything is branch-free array code on flat cell indices (row * width + column); -1 is off
the map, for slots that hold nobody and for agents that are out for a while. Facings are
0 north, 1 east, 2 south, 3 west; offsets are (ahead, right) as the agent sees them.
"""

import dataclasses
import functools
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from worlds.random import below, random_bits, random_pair
from worlds.types import Array

__all__ = [
    "FACINGS",
    "OUTSIDE",
    "Board",
    "Window",
    "around",
    "beam",
    "board",
    "count_near",
    "draws",
    "free_cell",
    "look",
    "open_board",
    "part_of_step",
    "ranked",
    "scatter_players",
    "settle",
    "shown",
    "split_channels",
    "window",
]

FACINGS = ("north", "east", "south", "west")
OUTSIDE = 1  # the code (bit 0, a wall) of what lies beyond the map
# Compiled where they are called from plain Python, and part of their caller where that is
# compiled: hundreds of small operations one by one would take seconds.
part_of_step: Any = functools.partial(functools.partial, jax.jit, inline=True)

_ROW = np.array([-1, 0, 1, 0], np.int32)
_COLUMN = np.array([0, 1, 0, -1], np.int32)


@dataclasses.dataclass(frozen=True, eq=False)
class Board:
    """A map, as constants of the compiled program; hashed by identity, and made only once.

    height, width: cells. wall: [C] bool. marks: character -> cells [K] int32 that hold it.
    ahead: [4, C] int32, the cell one step away in each direction; the cell itself where a
    wall or the edge is in the way. torus: edges are joined.
    """

    height: int
    width: int
    wall: np.ndarray
    marks: dict[str, np.ndarray]
    ahead: np.ndarray
    torus: bool

    @property
    def cells(self) -> int:
        """Number of cells."""
        return self.height * self.width

    def mask(self, mark: str) -> np.ndarray:
        """[C] bool: cells that hold a character of the map."""
        found = np.zeros(self.cells, bool)
        found[self.marks.get(mark, np.zeros(0, np.int32))] = True
        return found

    @property
    def floor(self) -> np.ndarray:
        """Cells without a wall, in order, [K] int32."""
        return np.flatnonzero(~self.wall).astype(np.int32)


class Window(NamedTuple):
    """A rectangle that an agent sees: cells ahead, behind, and to either side."""

    ahead: int
    behind: int
    side: int

    @property
    def shape(self) -> tuple[int, int]:
        """Rows (farthest ahead first) and columns (leftmost first)."""
        return self.ahead + self.behind + 1, 2 * self.side + 1

    @property
    def offsets(self) -> np.ndarray:
        """[rows * columns, 2] int32 (ahead, right) in reading order."""
        ahead, right = np.meshgrid(
            np.arange(self.ahead, -self.behind - 1, -1),
            np.arange(-self.side, self.side + 1),
            indexing="ij",
        )
        return np.stack([ahead.ravel(), right.ravel()], axis=1).astype(np.int32)

    @property
    def own(self) -> tuple[int, int]:
        """Row and column of the viewer."""
        return self.ahead, self.side


@functools.cache
def board(layout: str, torus: bool = False) -> Board:
    """Read a map drawn in characters: ``#`` is a wall, a space the floor, others are marks.

    Raises:
      ValueError: The map is empty, or its lines differ in length.
    """
    lines = layout.strip("\n").split("\n")
    width = len(lines[0])
    if not width or any(len(line) != width for line in lines):
        lengths = sorted({len(line) for line in lines})
        raise ValueError(f"a map needs lines of one length, but these have {lengths}")
    cells = np.array([list(line) for line in lines])
    marks = {
        str(mark): np.flatnonzero(cells.ravel() == mark).astype(np.int32)
        for mark in np.unique(cells)
        if mark not in "# "
    }
    return _board((cells == "#"), marks, torus)


@functools.cache
def open_board(height: int, width: int, torus: bool = False) -> Board:
    """An empty map."""
    return _board(np.zeros((height, width), bool), {}, torus)


@part_of_step(static_argnames=("num", "step"))
def draws(key: Array, num: int, step: int = 0) -> tuple[Array, Array]:
    """Two independent random words [num] uint32 for each of so many lanes."""
    return random_pair(key, jnp.arange(num), step)


@part_of_step()
def settle(cell: Array, target: Array, word: Array) -> Array:
    """Carry out simultaneous moves so that no two agents share a cell.

    The rule: of several who want the same cell, one drawn at random may go; two who want
    each other's cells both stay; whoever wants the cell of somebody who stays, stays. So a
    row of agents can walk in step, and no slot is favoured.

    Args:
      cell: [N] int32, distinct where on the map. target: [N] int32, neighbour or own cell.
      word: [N] uint32 random words; the largest wins.

    Returns:
      [N] int32 cells, distinct where on the map.
    """
    num = cell.shape[0]
    if num == 1:
        return target
    slots = jnp.arange(num, dtype=jnp.uint32)
    # The slot in the low bits breaks ties between equal words.
    low = np.uint32(2 ** math.ceil(math.log2(num)) - 1)
    rank = (word & ~low) | slots
    moving = target != cell
    both = moving[:, None] & ~np.eye(num, dtype=bool)
    beaten = both & moving[None, :] & (target[:, None] == target[None, :])
    beaten = beaten & (rank[:, None] < rank[None, :])
    into = both & (target[:, None] == cell[None, :])
    stays = ~moving | jnp.any(beaten | (into & into.T), axis=1)
    # Who walks behind whom is a chain; its end decides. Doubling follows it in log2(N) rounds.
    for _ in range(math.ceil(math.log2(num))):
        stays = stays | jnp.any(into & stays[None, :], axis=1)
        if num > 2:
            into = jnp.any(into[:, :, None] & into[None, :, :], axis=1)
    return jnp.where(stays, cell, target)


@part_of_step(static_argnames=("num_cells",))
def free_cell(taken: Array, word: Array, num_cells: int) -> Array:
    """Draw a cell uniformly among those that are not taken.

    Args:
      taken: [K] int32 cells; -1 and repetitions count for nothing.
      word: [] uint32. num_cells: of the map, more than are taken.
    """
    num = taken.shape[0]
    earlier = np.tri(num, k=-1, dtype=bool)
    again = jnp.any(earlier & (taken[:, None] == taken[None, :]), axis=1)
    taken = jnp.where(again | (taken < 0), num_cells + 1, taken)
    count = jnp.sum(taken < num_cells)
    place = below(word, num_cells - count)
    # The least cell with ``place`` free cells before it, found from below.
    cell = place
    for _ in range(num):
        cell = place + jnp.sum(taken <= cell, dtype=jnp.int32)
    return cell


@part_of_step()
def scatter_players(
    key: Array, present: Array, cells: np.ndarray | Array, taken: Array | None = None
) -> Array:
    """Draw distinct cells for everybody who is present; -1 for the others.

    Args:
      key: [2] uint32. present: [N] bool. cells: [K] int32 to choose from, K >= N.
      taken: [K] bool, cells of the list that are not to be used, or None.
    """
    num = present.shape[0]
    words = random_bits(key, jnp.arange(len(cells)), 7) >> 1
    if taken is not None:
        words = jnp.where(taken, jnp.uint32(0xFFFFFFFF), words)
    order = jnp.argsort(words)
    rank = jnp.clip(jnp.cumsum(present) - 1, 0, len(cells) - 1)
    drawn = jnp.asarray(cells)[order[rank]]
    return jnp.where(present, drawn, -1)[:num].astype(jnp.int32)


@part_of_step()
def ranked(key: Array, free: Array, wanted: Array) -> Array:
    """Draw a different free place for each who wants one; -1 where places run out.

    Args:
      free: [K] bool. wanted: [N] bool.

    Returns:
      [N] int32 index into the places.
    """
    num = free.shape[0]
    words = random_bits(key, jnp.arange(num), 11) >> 1
    order = jnp.argsort(jnp.where(free, words, jnp.uint32(0xFFFFFFFF)))
    rank = jnp.cumsum(wanted) - 1
    fits = wanted & (rank < jnp.sum(free))
    return jnp.where(fits, order[jnp.clip(rank, 0, num - 1)], -1).astype(jnp.int32)


@part_of_step(static_argnames=("grid",))
def window(grid: Board, cell: Array, facing: Array, offsets: np.ndarray) -> Array:
    """The cells at given offsets from each agent.

    Args:
      cell: [N] int32. facing: [N] int32. offsets: [M, 2] (ahead, right).

    Returns:
      [N, M] int32 cells; -1 beyond the edge of the map, and for agents that are off it.
    """
    right = (facing + 1) % 4
    ahead, side = offsets[:, 0], offsets[:, 1]
    row = (cell // grid.width)[:, None] + _along(_ROW, facing, right, ahead, side)
    column = (cell % grid.width)[:, None] + _along(_COLUMN, facing, right, ahead, side)
    if grid.torus:
        row, column = row % grid.height, column % grid.width
    inside = (row >= 0) & (row < grid.height) & (column >= 0) & (column < grid.width)
    return jnp.where(inside & (cell >= 0)[:, None], row * grid.width + column, -1)


@part_of_step(static_argnames=("grid", "view", "other"))
def look(grid: Board, codes: Array, cell: Array, facing: Array, view: Window, other: int) -> Array:
    """What every agent sees, as bits.

    Args:
      codes: [C] int32, bits of what each cell holds (bit 0: a wall).
      cell, facing: [N] int32. view: the rectangle. other: bit number of another agent.

    Returns:
      [N, rows, columns] int32; beyond the edge lies a wall, and whoever is off the map sees 0.
    """
    cells = window(grid, cell, facing, view.offsets)
    # Cells are distinct, so in the viewer's own cell the bit stands for the viewer itself.
    someone = codes.at[jnp.where(cell >= 0, cell, grid.cells)].add(1 << other, mode="drop")
    seen = jnp.where(cells >= 0, someone[jnp.maximum(cells, 0)], OUTSIDE)
    own = view.own[0] * view.shape[1] + view.own[1]
    seen = seen - np.where(np.arange(view.shape[0] * view.shape[1]) == own, 1 << other, 0)
    seen = jnp.where((cell >= 0)[:, None], seen, 0)
    return seen.reshape(cell.shape[0], *view.shape)


def around(
    grid: Board, cell: Array, things: Mapping[int, tuple[Array, bool]], num_channels: int
) -> Array:
    """Pictures of a whole small board, each with its viewer in the centre and north up.

    Args:
      cell: [N] int32. things: channel -> (cells [K] int32, whether they are the viewers
        themselves, in the same order, so that nobody sees itself).
      num_channels: channel 0 is what lies beyond the edge, or a wall.

    Returns:
      [N, 2 height - 1, 2 width - 1, channels] uint8; zeros for whoever is off the map.
    """
    num, view = cell.shape[0], Window(grid.height - 1, grid.height - 1, grid.width - 1)
    seen = window(grid, cell, jnp.zeros(num, jnp.int32), view.offsets)
    wall = (seen < 0) | jnp.asarray(grid.wall)[jnp.maximum(seen, 0)]
    layers = [wall] + [jnp.zeros_like(wall)] * (num_channels - 1)
    for channel, (cells, themselves) in things.items():
        cells = jnp.where(cells >= 0, cells, -2)
        match = seen[:, :, None] == cells[None, None, :]
        if themselves:
            match = match & ~np.eye(num, dtype=bool)[:, None, :]
        layers[channel] = jnp.any(match, axis=2)
    grids = jnp.stack(layers, axis=-1) & (cell >= 0)[:, None, None]
    return grids.reshape(num, *view.shape, num_channels).astype(jnp.uint8)


@part_of_step(static_argnames=("num_channels",))
def split_channels(seen: Array, num_channels: int) -> Array:
    """Bits as one-hot channels: [...] int32 -> [..., channels] uint8."""
    bits = np.arange(num_channels, dtype=np.int32)
    return ((seen[..., None] >> bits) & 1).astype(jnp.uint8)


@part_of_step(static_argnames=("grid", "length", "radius"))
def beam(grid: Board, cell: Array, facing: Array, length: int, radius: int) -> Array:
    """Cells that a beam reaches: straight lanes ahead, each until the first wall.

    Returns:
      [N, length * (2 * radius + 1)] int32 cells; -1 where it does not reach.
    """
    steps, lanes = np.arange(1, length + 1), np.arange(-radius, radius + 1)
    ahead, side = np.meshgrid(steps, lanes, indexing="ij")
    cells = window(grid, cell, facing, np.stack([ahead.ravel(), side.ravel()], axis=1))
    cells = cells.reshape(cell.shape[0], length, lanes.size)
    clear = (cells >= 0) & ~jnp.asarray(grid.wall)[jnp.maximum(cells, 0)]
    for step in range(1, length):
        clear = clear.at[:, step].set(clear[:, step] & clear[:, step - 1])
    return jnp.where(clear, cells, -1).reshape(cell.shape[0], -1)


@part_of_step()
def shown(cells: Array, cell: Array) -> Array:
    """[N, N] bool: which agents (columns) stand on cells that each one (rows) reaches."""
    here = jnp.where(cell >= 0, cell, -2)
    return jnp.any(cells[:, :, None] == here[None, None, :], axis=1)


@part_of_step(static_argnames=("grid", "radius"))
def count_near(grid: Board, held: Array, radius: int) -> Array:
    """How many cells within a Euclidean radius hold something, the cell itself left out.

    Args:
      held: [C] bool.

    Returns:
      [C] int8.
    """
    pad = ((radius, radius), (radius, radius))
    field = held.reshape(grid.height, grid.width).astype(jnp.int8)
    field = jnp.pad(field, pad, mode="wrap" if grid.torus else "constant")
    total = jnp.zeros((grid.height, grid.width), jnp.int8)
    for down in range(-radius, radius + 1):
        for right in range(-radius, radius + 1):
            if 0 < down * down + right * right <= radius * radius:
                top, left = radius + down, radius + right
                total = total + field[top : top + grid.height, left : left + grid.width]
    return total.reshape(-1)


def _along(
    axis: np.ndarray, facing: Array, right: Array, ahead: np.ndarray, side: np.ndarray
) -> Array:
    table = jnp.asarray(axis)
    return table[facing][:, None] * ahead[None, :] + table[right][:, None] * side[None, :]


def _board(wall: np.ndarray, marks: dict[str, np.ndarray], torus: bool) -> Board:
    height, width = wall.shape
    rows, columns = np.divmod(np.arange(height * width), width)
    ahead = []
    for down, right in zip(_ROW, _COLUMN, strict=True):
        row, column = rows + down, columns + right
        if torus:
            row, column = row % height, column % width
        inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
        row, column = np.clip(row, 0, height - 1), np.clip(column, 0, width - 1)
        target = row * width + column
        blocked = ~inside | wall.ravel()[target]
        ahead.append(np.where(blocked, rows * width + columns, target))
    return Board(height, width, wall.ravel(), marks, np.stack(ahead).astype(np.int32), torus)
