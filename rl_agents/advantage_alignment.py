"""Advantage alignment: opponent shaping at the price of independent PPO."""

from typing import Any

import jax
import jax.numpy as jnp

from rl_agents.adam import adam_begin
from rl_agents.advantages import advantages
from rl_agents.ippo import IppoState, needs_network
from rl_agents.learner import Learner, Trajectory
from rl_agents.network_policy import Weights
from rl_agents.ppo import Settings, Shape, batch_of, policy_loss, train_members, values_of
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Mind, Percept, Seats

__all__ = ["AdvantageAlignment", "aligned"]


@component("learner", "advantage_alignment")
@pytree
class AdvantageAlignment(Learner):
    """PPO that also raises what is good for others after they have been good to one.

    The opponents are the other rows of the group in the same world; their advantages are
    estimated from their own rewards and values, as in the published self-play.

    Source: Duque, Aghajohari, Cooijmans, Ciuca, Zhang, Gidel & Courville (2025), arXiv:2406.14662,
    proximal form. With more than one opponent their advantages are summed.
    """

    rollout: int = doc_field(128, "steps between updates", ge=1)
    lr: float = doc_field(1e-3, "step size of Adam", gt=0)
    discount: float = doc_field(0.96, "weight of the next step's value", ge=0, le=1)
    trace: float = doc_field(0.95, "lambda of generalised advantage estimation", ge=0, le=1)
    align: float = doc_field(1.0, "weight of the alignment term (beta)", ge=0)
    clip: float = doc_field(0.2, "how far the probability ratio may go", gt=0)
    entropy: float = doc_field(0.02, "weight of the entropy bonus", ge=0)
    value: float = doc_field(0.5, "weight of the value loss", ge=0)
    max_norm: float = doc_field(0.5, "longest gradient", gt=0)
    epochs: int = doc_field(4, "passes over a trajectory", ge=1)
    minibatches: int = doc_field(1, "pieces of a pass", ge=1)
    policy: Any = provided()
    num_envs: int = provided(1)

    def check(self, policy: ArrayPolicy, seats: Seats) -> None:
        """It trains networks that sample, and there is an opponent in the group."""
        needs_network(policy, "advantage_alignment")
        if seats.num // self.num_envs < 2:
            raise ValueError("advantage_alignment shapes others of its group; give it a count of 2")

    def init(self, key: Array, mind: Mind, spaces: Seats) -> IppoState:
        """As independent PPO."""
        begin = jax.vmap(adam_begin) if mind.params.spec.members else adam_begin
        return IppoState(begin(mind.params.net), jnp.int32(0))

    def update(
        self, key: Array, state: IppoState, mind: Mind, trajectory: Trajectory
    ) -> tuple[IppoState, Mind, dict[str, Array]]:
        """PPO with aligned advantages; values learn as without them."""
        spec = mind.params.spec
        value = values_of(self.policy, mind, trajectory)
        last = self.policy.value(mind, trajectory.final)
        credit = advantages(trajectory, value, last, self.discount, self.trace)
        batch = batch_of(self.policy, spec, trajectory, value, credit)
        first = trajectory.percept.first
        shaped = aligned(credit, first, self.num_envs, self.align, self.discount)
        numbers = (self.lr, self.clip, self.entropy, self.value, self.max_norm)
        trained = train_members(
            key,
            policy_loss(self.policy, spec),
            mind.params.net,
            state.opt,
            trajectory.memory,
            batch._replace(advantage=shaped),
            Settings(*(jnp.asarray(number, jnp.float32) for number in numbers)),
            Shape(self.epochs, self.minibatches),
            whole_rows=self.policy.blank() is not None,
            members=spec.members,
        )
        mind = mind._replace(params=Weights(trained.net, spec=spec))
        return IppoState(trained.opt, state.updates + 1), mind, trained.metrics

    def worth(self, state: IppoState, mind: Mind, percept: Percept) -> Array:
        """The network's own value."""
        return self.policy.value(mind, percept)


def aligned(
    advantage: Array, first: Array, num_envs: int, beta: Array | float, gamma: Array | float
) -> Array:
    """Advantages [T, n] with the alignment term.

    A*_t = A_t + beta gamma (sum over k < t of gamma^(t - k) A_k) B_t, B the others' advantages
    summed; the sum begins anew with each episode.

    Args:
      advantage: [T, n] each row's own. first: [T, n] bool.
    """
    length, rows = advantage.shape
    worlds = advantage.reshape(length, num_envs, rows // num_envs)
    others = (worlds.sum(axis=2, keepdims=True) - worlds).reshape(length, rows)

    def add(past: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        own, begins = now
        past = jnp.where(begins, 0.0, past)
        return gamma * (past + own), past

    past = jax.lax.scan(add, jnp.zeros(rows), (advantage, first))[1]
    return advantage + beta * gamma * past * others
