"""Fictitious play: answer best to everything the opponent has done so far."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from rl_agents.learner import Learner, Trajectory
from rl_agents.mixed import Mixed, payoffs_of, what_was_met
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Mind, Seats

__all__ = ["FictitiousPlay", "FictitiousState"]


class FictitiousState(NamedTuple):
    """payoff: [n, A, A] own action first. seen: [n, A] how often the other took each action."""

    payoff: Array
    seen: Array


@component("learner", "fictitious_play")
@pytree
class FictitiousPlay(Learner):
    """Best answers to the opponent's past frequencies; fixed pairs of ``matrix_game``.

    Among equally good answers the first is taken. Frequencies come to a Nash equilibrium in
    zero-sum games (Robinson 1951, doi:10.2307/1969530).

    Source: Brown (1951), "Iterative solution of games by fictitious play".
    """

    rollout: int = doc_field(1, "rounds between updates", ge=1)
    policy: Any = provided()

    def check(self, policy: ArrayPolicy, seats: Seats) -> None:
        """It changes mixed strategies of fixed pairs."""
        if not isinstance(policy, Mixed):
            raise ValueError(f"fictitious_play needs policy: mixed, not {type(policy).__name__}")
        payoffs_of(seats, "fictitious_play")

    def init(self, key: Array, mind: Mind, spaces: Seats) -> FictitiousState:
        """Nothing seen."""
        return FictitiousState(payoffs_of(spaces, "fictitious_play"), jnp.zeros_like(mind.params))

    def update(
        self, key: Array, state: FictitiousState, mind: Mind, trajectory: Trajectory
    ) -> tuple[FictitiousState, Mind, dict[str, Array]]:
        """Count what was seen, then answer best to it."""
        met = what_was_met(trajectory)
        actions = jnp.arange(state.seen.shape[1])
        hot = (met.other[..., None] == actions) & met.known[..., None]
        seen = state.seen + hot.sum(axis=0)
        worth = jnp.einsum("nab,nb->na", state.payoff, seen)
        best = jnp.argmax(worth, axis=1)
        plan = (best[:, None] == actions).astype(jnp.float32)
        plan = jnp.where(seen.sum(axis=1, keepdims=True) > 0, plan, mind.params)
        share = worth.max(axis=1) / jnp.maximum(seen.sum(axis=1), 1)
        return (
            FictitiousState(state.payoff, seen),
            mind._replace(params=plan),
            {"best_answer": share.mean()},
        )
