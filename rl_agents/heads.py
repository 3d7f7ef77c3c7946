"""Action heads: from what a network puts out to actions, log-probabilities and entropies.

A ``Head`` is static; the functions below are elementwise over any leading axes, so a row's
decision does not depend on the other rows.
"""

import math
from typing import Any, NamedTuple

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces

from worlds.random import random_bits
from worlds.types import Array

__all__ = [
    "Head",
    "chosen",
    "entropy",
    "greedy",
    "head_of",
    "log_prob",
    "log_probs",
    "mask",
    "sample",
    "unit",
]

_ILLEGAL = -1e9
_LOG_2PI = float(np.log(2 * np.pi))


class Head(NamedTuple):
    """What a row decides.

    kind: "discrete" (a choice among ``size``, at each place of ``shape``) or "box" (a normal
    number at each place). start: added to a choice. low, high: numbers are cut to these bounds,
    and their density is that of the normal where they were cut.
    """

    kind: str
    shape: tuple[int, ...]
    size: int = 1
    start: int = 0
    low: float = -math.inf
    high: float = math.inf

    @property
    def width(self) -> int:
        """Numbers that a network must put out for it."""
        places = int(np.prod(self.shape, dtype=int))
        return places * (self.size if self.kind == "discrete" else 1)


def head_of(space: gymnasium.Space[Any]) -> Head:
    """The head for an action space.

    Raises:
      ValueError: The space is neither Discrete, MultiDiscrete with equal parts, nor Box.
    """
    if isinstance(space, spaces.Discrete):
        return Head("discrete", (), int(space.n), int(space.start))
    if isinstance(space, spaces.MultiDiscrete) and len(set(np.ravel(space.nvec).tolist())) == 1:
        return Head("discrete", tuple(space.shape), int(np.ravel(space.nvec)[0]))
    if isinstance(space, spaces.Box) and np.issubdtype(space.dtype, np.floating):
        # Bounds that differ from place to place are met by the widest that all places share.
        low, high = float(np.max(space.low)), float(np.min(space.high))
        return Head("box", tuple(space.shape), low=low, high=high)
    raise ValueError(
        f"a network cannot act in {space}; it chooses in Discrete spaces, in MultiDiscrete ones "
        "with equal parts, and gives numbers in Box"
    )


def mask(head: Head, out: Array, legal: Array | None) -> Array:
    """Outputs [..., *shape, size] of a discrete head, illegal choices far below the others."""
    out = out.reshape(*out.shape[:-1], *head.shape, head.size)
    if legal is None:
        return out
    legal = legal.reshape(*legal.shape[:-1], *(1 for _ in head.shape), head.size)
    return jnp.where(legal, out, _ILLEGAL)


def log_probs(head: Head, out: Array, legal: Array | None) -> Array:
    """Log-probabilities [..., *shape, size] of the choices of a discrete head."""
    return jax.nn.log_softmax(mask(head, out, legal))


def sample(
    key: Array, head: Head, out: Array, log_std: Array | None, legal: Array | None
) -> tuple[Array, Array]:
    """Draw actions [n, *shape] and their log-probabilities [n].

    A choice takes one random word: the first at which the cumulated probability passes it.
    """
    if head.kind == "box":
        noise = jax.scipy.special.ndtri(unit(key, (out.shape[0], head.width)))
        assert log_std is not None
        action = (out + jnp.exp(log_std) * noise).reshape(out.shape[0], *head.shape)
        action = jnp.clip(action, head.low, head.high)
        return action, log_prob(head, out, log_std, legal, action)
    logs = log_probs(head, out, legal)
    total = jnp.cumsum(jnp.exp(logs), axis=-1)
    # Strictly inside (0, 1), so that choices of probability zero are never the one.
    point = unit(key, logs.shape[:-1])[..., None] * total[..., -1:]
    choice = (total < point).sum(axis=-1, dtype=jnp.int32)
    picked = _at(logs, choice)
    return choice + head.start, picked.reshape(picked.shape[0], -1).sum(axis=-1)


def greedy(head: Head, out: Array, legal: Array | None) -> Array:
    """The likeliest actions [n, *shape]."""
    if head.kind == "box":
        return jnp.clip(out.reshape(out.shape[0], *head.shape), head.low, head.high)
    return jnp.argmax(mask(head, out, legal), axis=-1).astype(jnp.int32) + head.start


def chosen(head: Head, out: Array, action: Array) -> Array:
    """Outputs [..., *shape] of a discrete head at the choices made."""
    return _at(mask(head, out, None), action.astype(jnp.int32) - head.start)


def log_prob(
    head: Head, out: Array, log_std: Array | None, legal: Array | None, action: Array
) -> Array:
    """Log-probabilities [...] of actions [..., *shape], summed over places."""
    lead = out.shape[:-1]
    if head.kind == "box":
        assert log_std is not None
        z = (action.reshape(*lead, -1) - out) / jnp.exp(log_std)
        return (-0.5 * z * z - log_std - 0.5 * _LOG_2PI).sum(axis=-1)
    logs = log_probs(head, out, legal)
    picked = _at(logs, action.astype(jnp.int32) - head.start)
    return picked.reshape(*lead, -1).sum(axis=-1)


def entropy(head: Head, out: Array, log_std: Array | None, legal: Array | None) -> Array:
    """Entropies [...] in nats, summed over places."""
    lead = out.shape[:-1]
    if head.kind == "box":
        assert log_std is not None
        each = log_std + 0.5 * (1 + _LOG_2PI)
        return jnp.broadcast_to(each, out.shape).sum(axis=-1)
    logs = log_probs(head, out, legal)
    # An illegal choice has probability 0 and a finite log-probability: no 0 * inf.
    return -(jnp.exp(logs) * logs).reshape(*lead, -1).sum(axis=-1)


def unit(key: Array, shape: tuple[int, ...]) -> Array:
    """Uniform numbers strictly between 0 and 1, one word each."""
    lanes = jnp.arange(int(np.prod(shape, dtype=int)), dtype=jnp.uint32)
    words = random_bits(key, lanes) >> 8
    return ((words.astype(jnp.float32) + 0.5) * jnp.float32(2.0**-24)).reshape(shape)


def _at(logs: Array, choice: Array) -> Array:
    """Values at the choices; a sum over a one-hot product is faster than a gather here."""
    hot = choice[..., None] == jnp.arange(logs.shape[-1])
    return jnp.where(hot, logs, 0.0).sum(axis=-1)
