"""What the device halves of measures share: exact counters, compensated means, who plays what."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from society.contract import GroupSlice, Moment
from worlds.types import Array

__all__ = [
    "Kinds",
    "Mean",
    "add_count",
    "add_mean",
    "count_of",
    "kinds_of",
    "labels_of",
    "mean_of",
    "slot_labels",
    "sum_by_kind",
    "valid_seats",
    "zero_counts",
    "zero_mean",
]


class Kinds(NamedTuple):
    """Which strategy each slot plays, over all groups.

    offset: [N] or [] int32, added to ``Moment.types``. blank: [K] int8, only its length counts.
    """

    offset: Array
    blank: Array


class Mean(NamedTuple):
    """A running mean of float32 numbers with compensated (Neumaier) summation."""

    total: Array
    lost: Array
    count: Array


def labels_of(groups: tuple[GroupSlice, ...]) -> tuple[str, ...]:
    """Return the names of all strategies: alone, or with their group where there are several.

    A group of one strategy is called by its own name where there are several groups.
    """
    labels: list[str] = []
    for group in groups:
        if len(groups) == 1:
            labels += group.type_names or (group.name,)
        elif len(group.type_names) <= 1:
            labels.append(group.name)
        else:
            labels += [f"{group.name}.{name}" for name in group.type_names]
    return tuple(labels)


def kinds_of(groups: tuple[GroupSlice, ...]) -> Kinds:
    """Return what ``sum_by_kind`` needs to tell strategies of all groups apart."""
    widths = [max(len(group.type_names), 1) for group in groups]
    starts = np.concatenate([[0], np.cumsum(widths)]).astype(np.int32)
    blank = jnp.zeros(int(starts[-1]), jnp.int8)
    if len(groups) == 1:
        return Kinds(jnp.int32(0), blank)
    num = max((group.stop for group in groups), default=0)
    offset = np.zeros(num, np.int32)
    for group, start in zip(groups, starts, strict=False):
        offset[group.start : group.stop] = start
    return Kinds(jnp.asarray(offset), blank)


def slot_labels(groups: tuple[GroupSlice, ...], types: np.ndarray) -> list[str]:
    """Return the strategy's name of every slot, as in ``labels_of``."""
    labels, kinds = labels_of(groups), kinds_of(groups)
    index = np.asarray(types) + np.asarray(kinds.offset)
    return [labels[min(int(kind), len(labels) - 1)] for kind in index]


def sum_by_kind(kinds: Kinds, types: Array, values: Array) -> Array:
    """Add up values by strategy.

    Args:
      types: [N] int32 as in ``Moment``. values: [N, ...] int32 or bool.

    Returns:
      [K, ...] int32.
    """
    values = values.astype(jnp.int32)
    num_kinds = kinds.blank.shape[0]
    if num_kinds == 1:
        return values.sum(0, keepdims=True)
    kind = types + kinds.offset
    if num_kinds <= 8:
        spread = (values.shape[0],) + (1,) * (values.ndim - 1)
        picked = [
            jnp.where((kind == index).reshape(spread), values, 0).sum(0)
            for index in range(num_kinds)
        ]
        return jnp.stack(picked)
    return jax.ops.segment_sum(values, kind, num_kinds)


def valid_seats(moment: Moment) -> Array:
    """Return bool in the shape of the action: choices that are really played.

    Left out are slots that do not act, seats without a living partner, and the extra seat
    by which a clone plays in round robins with self-play.
    """
    seen, shape = moment.observation, jnp.shape(moment.action)
    num = seen.acting.shape[0]
    acts = jnp.broadcast_to(seen.acting.reshape((num,) + (1,) * (len(shape) - 1)), shape)
    partner = getattr(seen.view, "partner", ())
    if isinstance(partner, tuple) or (partner.ndim == 2 and len(shape) == 1):
        return acts
    met = (partner < num) & seen.alive.at[partner].get(mode="fill", fill_value=False)
    if partner.ndim == 2 and partner.shape[1] == num + 1:
        met = met.at[:, -1].set(False)
    return acts & met.reshape(met.shape + (1,) * (len(shape) - met.ndim))


def zero_counts(*shape: int) -> Array:
    """Return counters of a shape, exact up to 2**64."""
    return jnp.zeros((*shape, 2), jnp.uint32)


def add_count(counts: Array, amount: Array) -> Array:
    """Add non-negative int32 amounts to counters, with carry."""
    low = counts[..., 0] + amount.astype(jnp.uint32)
    high = counts[..., 1] + (low < counts[..., 0])
    return jnp.stack([low, high], axis=-1)


def count_of(counts: Array) -> np.ndarray:
    """Return counters as float64 on the host."""
    words = np.asarray(counts).astype(np.float64)
    return words[..., 0] + words[..., 1] * 2.0**32


def zero_mean(*shape: int) -> Mean:
    """Return empty running means."""
    zero = jnp.zeros(shape, jnp.float32)
    return Mean(zero, zero, jnp.zeros(shape, jnp.int32))


def add_mean(mean: Mean, value: Array, counts: Array | bool = True) -> Mean:
    """Add values where they count."""
    value = jnp.where(counts, jnp.asarray(value, jnp.float32), 0.0)
    total = mean.total + value
    big = jnp.where(jnp.abs(mean.total) >= jnp.abs(value), mean.total, value)
    small = jnp.where(jnp.abs(mean.total) >= jnp.abs(value), value, mean.total)
    added = jnp.broadcast_to(jnp.asarray(counts), mean.count.shape).astype(jnp.int32)
    return Mean(total, mean.lost + ((big - total) + small), mean.count + added)


def mean_of(mean: Mean) -> np.ndarray:
    """Return running means as float64 on the host, NaN where nothing was added."""
    total = np.asarray(mean.total, np.float64) + np.asarray(mean.lost, np.float64)
    count = np.asarray(mean.count, np.float64)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
