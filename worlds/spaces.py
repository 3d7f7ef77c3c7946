"""Helpers over gymnasium.spaces: rows of batches, and texts of any characters."""

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

__all__ = ["AnyText", "action_masks", "batch_of", "refuse_outside", "rows_of"]


class AnyText(spaces.Text):
    """Texts of any characters; gymnasium's own ``Text`` lists every character it allows."""

    def __init__(self, max_length: int = 1 << 20) -> None:
        super().__init__(max_length, min_length=0)

    def contains(self, x: Any) -> bool:
        """Whether x is a text that is short enough."""
        return isinstance(x, str) and len(x) <= self.max_length


def rows_of(space: gymnasium.Space[Any], batch: Any, num: int) -> list[Any]:
    """Cut a batch into members of a space, one for each row.

    Args:
      space: of one row.
      batch: pytree of arrays with leading axis ``num``; where the space is a ``Dict``, a
        mapping or a named tuple (parts that the space does not name are left out).
      num: number of rows.

    Raises:
      TypeError: Values of another kind than the space's, for instance floats in a Discrete.
    """
    if isinstance(space, spaces.Dict):
        columns = [rows_of(part, part_of(batch, name), num) for name, part in space.items()]
        if not columns:
            return [{} for _ in range(num)]
        return [dict(zip(space.keys(), row, strict=True)) for row in zip(*columns, strict=True)]
    if isinstance(space, spaces.Tuple):
        columns = [rows_of(part, item, num) for part, item in zip(space.spaces, batch, strict=True)]
        return [tuple(row) for row in zip(*columns, strict=True)] or [()] * num
    if isinstance(space, spaces.Text):
        return list(batch)
    array = np.array(batch).astype(space.dtype, casting="same_kind")
    if isinstance(space, spaces.Discrete):
        return list(array)  # NumPy scalars; the members of all other spaces are arrays
    return [array[row, ...] for row in range(num)]


def part_of(batch: Any, name: str) -> Any:
    """The part of a mapping or of a named tuple that a ``Dict`` space calls ``name``."""
    if isinstance(batch, Mapping):
        return batch[name]
    return getattr(batch, name)


def batch_of(noop: Any, slots: Sequence[int], rows: Sequence[Any]) -> Any:
    """Write rows into a copy of the no-op.

    Args:
      noop: what ``World.noop`` returns: arrays [N, ...], mappings or tuples of such, or a
        list of texts.
      slots: which rows are written. rows: what is written, in the order of ``slots``.
    """
    if isinstance(noop, Mapping):
        return {
            name: batch_of(part, slots, [row[name] for row in rows]) for name, part in noop.items()
        }
    if isinstance(noop, tuple) and hasattr(noop, "_fields"):
        parts = zip(noop._fields, noop, strict=True)  # type: ignore[attr-defined]
        return type(noop)(
            *(batch_of(part, slots, [part_of(row, name) for row in rows]) for name, part in parts)
        )
    if isinstance(noop, list | tuple):
        return _listed(noop, slots, rows)
    array = np.array(noop)
    if len(slots):
        array[np.asarray(slots)] = np.asarray(rows).reshape(len(slots), *array.shape[1:])
    return array


def _listed(noop: Any, slots: Sequence[int], rows: Sequence[Any]) -> Any:
    """Texts: a list with one item a slot; otherwise a tuple of parts."""
    if all(isinstance(item, str) or item is None for item in noop):
        listed = list(noop)
        for slot, row in zip(slots, rows, strict=True):
            listed[slot] = row
        return type(noop)(listed)
    return tuple(batch_of(part, slots, [row[i] for row in rows]) for i, part in enumerate(noop))


def refuse_outside(space: gymnasium.Space[Any], names: Sequence[str], rows: Sequence[Any]) -> None:
    """Raise ValueError, naming the agent, where an action is not in a simple space.

    Bounds of ``Box`` are left to the world, which clips.
    """
    if not rows or not isinstance(space, spaces.Discrete | spaces.MultiDiscrete | spaces.Box):
        return
    parts = [np.asarray(row) for row in rows]
    try:
        array = np.stack(parts)
        fits = array.shape[1:] == (space.shape or ()) or array[0].size == np.prod(space.shape or ())
    except ValueError:
        fits, array = False, np.zeros(0)
    if not fits:
        raise ValueError(f"actions {list(rows)!r:.200} have other shapes than {space}")
    array = array.reshape(len(rows), -1)
    if isinstance(space, spaces.Box):
        bad = ~np.isfinite(array.astype(np.float64)).all(axis=1)
    else:
        low = np.ravel(space.start)
        high = low + np.ravel(space.n if isinstance(space, spaces.Discrete) else space.nvec)
        broken = [not np.issubdtype(part.dtype, np.integer) for part in parts]
        bad = ((array < low) | (array >= high)).any(axis=1) | np.array(broken)
    for index in np.flatnonzero(bad).tolist():
        raise ValueError(f"action {rows[index]!r} of {names[index]} is not in {space}")


def action_masks(space: gymnasium.Space[Any], legal: np.ndarray) -> list[Any]:
    """Masks as ``space.sample`` takes them: int8 arrays, nested where there are many actions.

    Args:
      space: the actions of one row.
      legal: [N, A] bool.
    """
    masks = legal.astype(np.int8)
    if isinstance(space, spaces.MultiDiscrete):
        return [_nested(space.nvec, mask) for mask in masks]
    return list(masks)


def _nested(nvec: np.ndarray, mask: np.ndarray) -> Any:
    if nvec.ndim == 0:
        return mask[: int(nvec)]
    return tuple(_nested(part, mask) for part in nvec)
