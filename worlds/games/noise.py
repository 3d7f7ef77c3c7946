"""Execution errors: actions that are carried out as others."""

import jax
import jax.numpy as jnp

from worlds.random import below, fold, random_pair, threshold
from worlds.types import Array

__all__ = ["slips"]


def slips(key: Array, shape: tuple[int, int, int], noise: Array, num_actions: int) -> Array:
    """Draw how far each action slips; 0 where it is carried out as chosen.

    Args:
      key: of this step.
      shape: [N, K, R].
      noise: scalar chance; where it is 0 nothing is drawn.
      num_actions: a slip goes to any other action, each equally likely.

    Returns:
      [N, K, R] int8 in [0, num_actions).
    """
    half = (shape[2] + 1) // 2
    lanes = (shape[0], shape[1], half)
    # The branch keeps XLA from fusing the draws into the concatenation, where they would
    # be evaluated one by one.
    both = jax.lax.cond(
        noise > 0,
        lambda: _drawn(key, lanes, noise, num_actions),
        lambda: jnp.zeros(lanes, jnp.uint8 if num_actions <= 16 else jnp.uint16),
    )
    low, high = (15, 4) if num_actions <= 16 else (255, 8)
    first, second = both & low, both >> high
    return jnp.concatenate([first, second], axis=2)[:, :, : shape[2]].astype(jnp.int8)


def _drawn(key: Array, lanes: tuple[int, int, int], noise: Array, num_actions: int) -> Array:
    """Slips of two copies side by side in one number: one evaluation yields two words."""
    slot, place = _places(lanes)
    limit = threshold(noise)
    words = random_pair(key, slot, place)
    if num_actions == 2:
        first, second = ((word < limit).astype(jnp.uint8) for word in words)
        return first | (second << 4)
    distances = random_pair(fold(key, 1), slot, place)
    first, second = (
        jnp.where(word < limit, 1 + below(distance, num_actions - 1), 0)
        for word, distance in zip(words, distances, strict=True)
    )
    if num_actions <= 16:
        return (first | (second << 4)).astype(jnp.uint8)
    return (first | (second << 8)).astype(jnp.uint16)


def _places(lanes: tuple[int, int, int]) -> tuple[Array, Array]:
    """Counters: the slot, and the seat and copy within it.

    A slot's counters do not depend on how many slots there are. Few seats and many slots
    run faster as one axis.
    """
    slot = jax.lax.broadcasted_iota(jnp.uint32, lanes, 0)
    seat = jax.lax.broadcasted_iota(jnp.uint32, lanes, 1)
    copy = jax.lax.broadcasted_iota(jnp.uint32, lanes, 2)
    return slot, (seat << 16) | copy
