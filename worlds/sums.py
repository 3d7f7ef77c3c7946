"""Sums over everybody that do not write their terms to memory first."""

import jax.numpy as jnp

from worlds.types import Array

__all__ = ["count"]

_PIECE = 64


def count(mask: Array) -> Array:
    """Return how many entries of a boolean array hold: an int32 scalar, exact.

    XLA's CPU backend widens the terms of a sum over a whole array and writes them to memory
    before it adds them. Sums of short rows in int8 are fused with whatever computes the mask,
    so pieces of 64 are added first.
    """
    flat = mask.reshape(-1)
    whole = flat.size - flat.size % _PIECE
    pieces = flat[:whole].reshape(-1, _PIECE).sum(axis=1, dtype=jnp.int8)
    return pieces.sum(dtype=jnp.int32) + flat[whole:].sum(dtype=jnp.int32)
