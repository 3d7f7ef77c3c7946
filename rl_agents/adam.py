"""Adam, with a step size that is an array: it may differ between members and change in a run.

Source: Kingma & Ba (2015), arXiv:1412.6980. Gradients are clipped by their global norm
before (Pascanu, Mikolov & Bengio 2013, arXiv:1211.5063).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from worlds.types import Array

__all__ = ["Adam", "adam_begin", "adam_step", "global_norm"]


class Adam(NamedTuple):
    """Moments of the gradients, in the form of the parameters, and the number of steps."""

    first: Any
    second: Any
    count: Array


def adam_begin(params: Any) -> Adam:
    """No step made."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    return Adam(zeros, zeros, jnp.int32(0))


def adam_step(
    params: Any,
    state: Adam,
    grads: Any,
    lr: Array | float,
    max_norm: Array | float | None = None,
    b1: float = 0.9,
    b2: float = 0.999,
    eps: float = 1e-5,
) -> tuple[Any, Adam]:
    """The parameters after one step down the gradients.

    Args:
      lr: step size. max_norm: gradients longer than this are shortened to it.
    """
    if max_norm is not None:
        scale = jnp.minimum(1.0, max_norm / jnp.maximum(global_norm(grads), 1e-9))
        grads = jax.tree.map(lambda g: g * scale, grads)
    count = state.count + 1
    first = jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.first, grads)
    second = jax.tree.map(lambda v, g: b2 * v + (1 - b2) * g * g, state.second, grads)
    steps = count.astype(jnp.float32)
    fix1, fix2 = 1 - b1**steps, 1 - b2**steps

    def move(p: Array, m: Array, v: Array) -> Array:
        return p - lr * (m / fix1) / (jnp.sqrt(v / fix2) + eps)

    return jax.tree.map(move, params, first, second), Adam(first, second, count)


def global_norm(tree: Any) -> Array:
    """Euclidean length of all numbers of a pytree."""
    return jnp.sqrt(sum(jnp.sum(leaf * leaf) for leaf in jax.tree.leaves(tree)))
