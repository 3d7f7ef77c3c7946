"""Agents with a facing: walking, beams, and being out for a while."""

import jax.numpy as jnp
import numpy as np

from worlds.gridworlds.engine import Board, beam, part_of_step, ranked, settle, shown
from worlds.types import Array

__all__ = ["WALKS", "check_room", "come_back", "entries_of", "walk", "zapped"]

# Action 0 to 6; worlds add what else their agents can do behind these.
WALKS = (
    "stay",
    "forward",
    "backward",
    "step left",
    "step right",
    "turn left",
    "turn right",
)
_HEADING = np.array([0, 0, 2, 3, 1, 0, 0], np.int32)  # direction of a step, relative to facing


@part_of_step(static_argnames=("grid",))
def walk(
    grid: Board, cell: Array, facing: Array, action: Array, word: Array, active: Array
) -> tuple[Array, Array]:
    """Move and turn everybody at once; ``settle`` says who gets a cell.

    Args:
      cell, facing: [N] int32. action: [N] int32, those above 6 stand still.
      word: [N] uint32. active: [N] bool.

    Returns:
      Cells and facings after the step.
    """
    steps = active & (action >= 1) & (action <= 4)
    heading = (facing + jnp.asarray(_HEADING)[jnp.clip(action, 0, 6)]) % 4
    ahead = jnp.asarray(grid.ahead)[heading, jnp.maximum(cell, 0)]
    cell = settle(cell, jnp.where(steps, ahead, cell), word)
    turn = jnp.where(action == 5, 3, jnp.where(action == 6, 1, 0))
    return cell, jnp.where(active, (facing + turn) % 4, facing)


@part_of_step(static_argnames=("grid", "length", "radius"))
def zapped(
    grid: Board, cell: Array, facing: Array, fires: Array, length: int, radius: int
) -> Array:
    """[N, N] bool: whom (columns) the beam of each one who fires (rows) hits; never oneself."""
    hits = shown(beam(grid, cell, facing, length, radius), cell)
    return hits & fires[:, None] & ~np.eye(cell.shape[0], dtype=bool)


@part_of_step()
def come_back(key: Array, cell: Array, timer: Array, present: Array, entries: np.ndarray) -> Array:
    """Let those whose time is over enter at free entries, drawn at random; the rest wait.

    Args:
      cell: [N] int32, -1 for those who are out. timer: [N] int32, steps still to wait.
      present: [N] bool. entries: [K] int32 cells.
    """
    due = present & (cell < 0) & (timer <= 0)
    free = ~jnp.any(jnp.asarray(entries)[:, None] == cell[None, :], axis=1)
    place = ranked(key, free, due)
    return jnp.where(place >= 0, jnp.asarray(entries)[jnp.maximum(place, 0)], cell)


def entries_of(grid: Board, num_slots: int, kept_free: str = "") -> np.ndarray:
    """Cells where agents enter: those marked P, or all free floor where they are too few.

    Args:
      kept_free: marks on which nobody begins (apples, water).
    """
    marked = grid.marks.get("P", np.zeros(0, np.int32))
    if len(marked) >= num_slots:
        return marked
    barred = np.concatenate([np.zeros(0, np.int32), *(grid.marks.get(m, []) for m in kept_free)])
    return np.setdiff1d(grid.floor, barred).astype(np.int32)


def check_room(name: str, grid: Board, num_slots: int, kept_free: str = "") -> None:
    """Raise ValueError where the map has no room for everybody."""
    room = len(entries_of(grid, num_slots, kept_free))
    if room < num_slots:
        raise ValueError(
            f"{name} has {num_slots} slots, but its map has {room} cells to begin on; "
            "use a larger map (world.map) or fewer individuals"
        )
