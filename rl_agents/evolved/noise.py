"""Normal deviates out of fused threefry words, for mutations inside compiled loops."""

import jax.numpy as jnp
import numpy as np

from worlds.random import random_pair
from worlds.types import Array

__all__ = ["normal"]


def normal(key: Array, shape: tuple[int, ...]) -> Array:
    """float32 normal deviates of the given shape.

    Source: Box and Muller (1958), doi:10.1214/aoms/1177706645; with 24 random bits the
    largest possible deviate is 5.8.
    """
    size = int(np.prod(shape))
    half = (size + 1) // 2
    first, second = random_pair(key, jnp.arange(half))
    # (0, 1], so that the logarithm is finite.
    distance = ((first >> 8).astype(jnp.float32) + 1.0) * jnp.float32(2.0**-24)
    turn = (second >> 8).astype(jnp.float32) * jnp.float32(2.0 * np.pi * 2.0**-24)
    radius = jnp.sqrt(-2.0 * jnp.log(distance))
    pairs = jnp.concatenate([radius * jnp.cos(turn), radius * jnp.sin(turn)])
    return pairs[:size].reshape(shape)
