"""Regret matching: play each action in proportion to how much it was missed."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from rl_agents.learner import Learner, Trajectory
from rl_agents.mixed import Mixed, payoffs_of, what_was_met
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Mind, Seats

__all__ = ["RegretMatching", "RegretState"]


class RegretState(NamedTuple):
    """payoff: [n, A, A] own action first. regret: [n, A] sums. average: [n, A] of strategies."""

    payoff: Array
    regret: Array
    average: Array
    updates: Array


@component("learner", "regret_matching")
@pytree
class RegretMatching(Learner):
    """Regret matching between fixed pairs of ``matrix_game``, with ``policy: mixed``.

    What would have been paid is read from the game's table. Average strategies come to a
    coarse correlated equilibrium, in zero-sum games to a Nash equilibrium.

    Source: Hart & Mas-Colell (2000), doi:10.1111/1468-0262.00153 (unconditional form).
    """

    rollout: int = doc_field(1, "rounds between updates", ge=1)
    policy: Any = provided()

    def check(self, policy: ArrayPolicy, seats: Seats) -> None:
        """It changes mixed strategies of fixed pairs."""
        if not isinstance(policy, Mixed):
            raise ValueError(f"regret_matching needs policy: mixed, not {type(policy).__name__}")
        payoffs_of(seats, "regret_matching")

    def init(self, key: Array, mind: Mind, spaces: Seats) -> RegretState:
        """No regrets."""
        zeros = jnp.zeros_like(mind.params)
        payoff = payoffs_of(spaces, "regret_matching")
        return RegretState(payoff, zeros, zeros, jnp.int32(0))

    def update(
        self, key: Array, state: RegretState, mind: Mind, trajectory: Trajectory
    ) -> tuple[RegretState, Mind, dict[str, Array]]:
        """Add what other actions would have brought, then play by what is regretted."""
        met = what_was_met(trajectory)
        rows = jnp.arange(met.own.shape[1])[None]
        brought = state.payoff[rows, :, met.other]  # [T, n, A]
        got = jnp.take_along_axis(brought, met.own[..., None], axis=-1)
        regret = state.regret + jnp.where(met.known[..., None], brought - got, 0.0).sum(axis=0)
        missed = jnp.maximum(regret, 0.0)
        total = missed.sum(axis=1, keepdims=True)
        size = missed.shape[1]
        plan = jnp.where(total > 0, missed / jnp.where(total > 0, total, 1.0), 1.0 / size)
        count = state.updates + 1
        average = state.average + (mind.params - state.average) / count.astype(jnp.float32)
        found = {"regret": (missed.max(axis=1) / (count * self.rollout)).mean()}
        return RegretState(state.payoff, regret, average, count), mind._replace(params=plan), found
