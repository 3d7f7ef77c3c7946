"""Credit along a trajectory: advantages, returns, and what belongs to whom.

Time is counted in steps in which a row acts. A reward that comes while it does not act is
added to its last acting step; nothing flows from one uid to the next holder of a row.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rl_agents.learner import Trajectory
from worlds.types import Array

__all__ = ["Following", "advantages", "following", "returns"]


class _Later(NamedTuple):
    """What is known of the steps after this one; all [n]."""

    value: Array  # of the next acting step's percept
    advantage: Array  # of the next acting step
    reward: Array  # since, while not acting
    uid: Array


def advantages(
    trajectory: Trajectory,
    value: Array,
    last: Array,
    discount: Array | float,
    trace: Array | float,
) -> Array:
    """Generalised advantage estimates, [T, n]; 0 where a row does not act.

    Where an individual's episode terminated nothing follows; where it was truncated,
    ``cut_value`` follows. ``trace`` 1 gives returns minus values, 0 one-step errors.

    Args:
      trajectory: T steps. value: [T, n] of what was seen. last: [n] value of ``final``.
      discount: gamma. trace: lambda.

    Source: Schulman, Moritz, Levine, Jordan & Abbeel (2016), arXiv:1506.02438; the
    distinction of terminated and truncated as in Pardo et al. (2018), arXiv:1712.00378.
    """

    def back(later: _Later, now: tuple[Array, ...]) -> tuple[_Later, Array]:
        value, reward, acting, uid, terminated, truncated, cut = now
        over = terminated | truncated | (uid != later.uid)
        goes_on = jnp.where(truncated & ~terminated, cut, 0.0)
        next_value = jnp.where(over, goes_on, later.value)
        next_advantage = jnp.where(over, 0.0, later.advantage)
        reward = reward + jnp.where(over, 0.0, later.reward)
        error = reward + discount * next_value - value
        advantage = error + discount * trace * next_advantage
        here = _Later(
            jnp.where(acting, value, next_value),
            jnp.where(acting, advantage, next_advantage),
            jnp.where(acting, 0.0, reward),
            uid,
        )
        return here, jnp.where(acting, advantage, 0.0)

    zero = jnp.zeros_like(last)
    steps = (
        value,
        trajectory.reward,
        trajectory.percept.acting,
        trajectory.uid,
        trajectory.terminated,
        trajectory.truncated,
        trajectory.cut_value,
    )
    end = _Later(last, zero, zero, trajectory.final_uid)
    return jax.lax.scan(back, end, steps, reverse=True)[1]


def returns(trajectory: Trajectory, last: Array, discount: Array | float) -> Array:
    """Discounted sums of rewards from each step on, [T, n]; 0 where a row does not act.

    With a trace of 1 intermediate values cancel, so that values of 0 leave the returns; only
    where a trajectory or an episode is cut does a value (``last``, ``cut_value``) stand in.
    """
    # The value of the next acting step must be 0 too, except beyond the last one.
    return advantages(trajectory, jnp.zeros_like(trajectory.reward), last, discount, 1.0)


class Following(NamedTuple):
    """What comes after each acting step; all [T, n].

    reward: from the step until the row acts again. then: int32 index of the step in which it
    acts again, T for ``final``. over: nothing follows. cut: the worth of what was seen last
    where the episode was truncated, else 0.
    """

    reward: Array
    then: Array
    over: Array
    cut: Array


def following(trajectory: Trajectory) -> Following:
    """Each acting step's reward and successor, by the rules of ``advantages``."""
    length = trajectory.reward.shape[0]

    def back(later: Any, now: tuple[Array, ...]) -> tuple[Any, Following]:
        index, reward, acting, uid, terminated, truncated, cut = now
        over = terminated | truncated | (uid != later["uid"])
        worth = jnp.where(truncated & ~terminated, cut, 0.0)
        reward = reward + jnp.where(over, 0.0, later["reward"])
        then = later["then"]
        ended = over | later["over"]
        worth = jnp.where(over, worth, later["cut"])
        here = {
            "reward": jnp.where(acting, 0.0, reward),
            "then": jnp.where(acting, index, then),
            "over": jnp.where(acting, False, ended),
            "cut": jnp.where(acting, 0.0, worth),
            "uid": uid,
        }
        return here, Following(reward, then, ended, worth)

    rows = trajectory.final_uid
    none, zero = jnp.zeros(rows.shape, bool), jnp.zeros(rows.shape)
    end = {
        "reward": zero,
        "then": jnp.full(rows.shape, length, jnp.int32),
        "over": none,
        "cut": zero,
        "uid": rows,
    }
    steps = (
        jnp.broadcast_to(jnp.arange(length, dtype=jnp.int32)[:, None], trajectory.reward.shape),
        trajectory.reward,
        trajectory.percept.acting,
        trajectory.uid,
        trajectory.terminated,
        trajectory.truncated,
        trajectory.cut_value,
    )
    return jax.lax.scan(back, end, steps, reverse=True)[1]
