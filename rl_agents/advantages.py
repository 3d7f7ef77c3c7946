"""Credit along a trajectory: advantages, returns, and what belongs to whom.

Time is counted in steps in which a row acts. A reward that comes while it does not act is
added to its last acting step; nothing flows from one uid to the next holder of a row.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from rl_agents.learner import Trajectory
from worlds.types import Array

__all__ = ["advantages", "returns"]


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
