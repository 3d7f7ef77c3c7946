"""How values that minds carry pass from parents to newcomers."""

import jax
import jax.numpy as jnp

from worlds.random import below, fold, random_bits, uniform
from worlds.types import Array, Births

__all__ = ["inherited", "nudged", "redrawn"]


def inherited(values: Array, births: Births) -> Array:
    """Give every newcomer its first parent's value; newcomers without one keep their row's.

    Args:
      values: [n, ...] one value a row.
      births: child and parent rows; padding rows hold n.
    """
    parent = births.parent[:, 0]
    source = jnp.where(parent >= 0, parent, births.child)
    passed = values[jnp.clip(source, 0, values.shape[0] - 1)]
    if births.dense:
        return passed
    return values.at[births.child].set(passed, mode="drop")


def nudged(key: Array, values: Array, births: Births, sd: Array, low: float, high: float) -> Array:
    """Add normal noise to newcomers' values [n] and clip to [low, high]."""
    noise = sd * jax.random.normal(key, values.shape)
    return jnp.where(_newcomers(values, births), jnp.clip(values + noise, low, high), values)


def redrawn(key: Array, kinds: Array, births: Births, rate: Array, num_kinds: int) -> Array:
    """Replace newcomers' kinds [n] int32 by uniform draws with probability ``rate``."""
    rows = jnp.arange(kinds.shape[0])
    chosen = uniform(key, rows) < rate
    fresh = below(random_bits(fold(key, 1), rows), num_kinds)
    return jnp.where(_newcomers(kinds, births) & chosen, fresh, kinds)


def _newcomers(values: Array, births: Births) -> Array:
    """[n] bool: rows that someone else's mind was just put into."""
    fresh = births.parent[:, 0] != births.child
    return jnp.zeros(values.shape[0], bool).at[births.child].set(fresh, mode="drop")
