"""Does what is heard change what is done? Measured by intervening on minds, not by correlation."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from worlds.policy import ArrayPolicy
from worlds.types import Array, Mind, Percept

__all__ = ["Influence", "heard_words", "influence"]


class Influence(NamedTuple):
    """Mean absolute change of actions, over rows who have heard something; float32.

    silence: had they heard nothing. shuffled: had they heard somebody else's words.
    noise: the same for words of the same size drawn at random, as a yardstick.
    """

    silence: Array
    shuffled: Array
    noise: Array


def influence(
    policy: ArrayPolicy,
    mind: Mind,
    percept: Percept,
    key: Array,
    words: Callable[[Any], Array],
    replace: Callable[[Any, Array], Any],
) -> Influence:
    """What the same minds, in the same situation, would do had they heard otherwise.

    Args:
      words: view -> [n, W] what was heard. replace: (view, words) -> view with other words.
      key: for the shuffle and the noise; the minds get the same key in all cases.

    Source: after Lowe et al. (2019), "On the pitfalls of measuring emergent communication",
    arXiv:1903.05168: positive listening is shown by changing the message alone.
    """
    heard = words(percept.view)
    hears = percept.alive & (jnp.abs(heard).sum(-1) > 0)
    order = jnp.argsort(jax.random.uniform(key, hears.shape) + ~hears)
    others = heard[jnp.roll(order, 1)][jnp.argsort(order)]
    size = jnp.abs(heard).mean() * 1.2533  # of normal deviates with the same mean size
    cases = (jnp.zeros_like(heard), others, jax.random.normal(key, heard.shape) * size)

    def act(view: Any) -> Array:
        action = policy.act(key, mind, percept._replace(view=view)).action
        return jnp.reshape(action, (action.shape[0], -1)).astype(jnp.float32)

    plain = act(percept.view)
    changes = [jnp.abs(act(replace(percept.view, case)) - plain).mean(-1) for case in cases]
    number = jnp.maximum(hears.sum(), 1)
    return Influence(*[jnp.where(hears, change, 0.0).sum() / number for change in changes])


def heard_words(width: int) -> tuple[Callable[[Any], Array], Callable[[Any, Array], Any]]:
    """``words`` and ``replace`` for the views of ``life``, whose ``own`` ends with the inbox."""

    def words(view: Any) -> Array:
        return view["own"][:, -width:]

    def replace(view: Any, changed: Array) -> Any:
        own = jnp.concatenate([view["own"][:, :-width], changed], axis=1)
        return {**view, "own": own}

    return words, replace
