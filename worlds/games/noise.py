"""Execution errors: actions that are carried out as others."""

import jax
import jax.numpy as jnp

from worlds.random import below, fold, random_pair, threshold
from worlds.types import Array

__all__ = ["slips"]


def slips(key: Array, shape: tuple[int, ...], noise: Array, num_actions: int) -> Array:
    """[N, K, R] int8: how far each action slips, 0 where it is carried out as chosen.

    One evaluation yields two words, for two copies side by side.
    """
    half = (shape[2] + 1) // 2
    lanes = (*shape[:2], half)
    slot = jax.lax.broadcasted_iota(jnp.uint32, lanes, 0)
    seat = jax.lax.broadcasted_iota(jnp.uint32, lanes, 1)
    copy = jax.lax.broadcasted_iota(jnp.uint32, lanes, 2)
    place = (seat << 16) | copy
    limit = threshold(noise)
    first, second = random_pair(key, slot, place)
    if num_actions == 2:
        both = (first < limit).astype(jnp.int8) | ((second < limit).astype(jnp.int8) << 1)
        return jnp.concatenate([both & 1, both >> 1], axis=2)[:, :, : shape[2]]
    by = random_pair(fold(key, 1), slot, place)
    moved = [
        jnp.where(word < limit, 1 + below(distance, num_actions - 1), 0).astype(jnp.int8)
        for word, distance in zip((first, second), by, strict=True)
    ]
    return jnp.concatenate(moved, axis=2)[:, :, : shape[2]]
