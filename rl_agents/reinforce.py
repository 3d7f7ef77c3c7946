"""REINFORCE: one step along the gradient of log-probabilities, weighted by returns."""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from rl_agents.adam import Adam, adam_begin
from rl_agents.advantages import advantages, returns
from rl_agents.ippo import needs_network
from rl_agents.learner import Learner, Trajectory
from rl_agents.network_policy import Weights
from rl_agents.ppo import (
    Batch,
    Settings,
    Shape,
    batch_of,
    policy_terms,
    train_members,
    values_of,
    weights_of,
)
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Mind, Percept, Seats

__all__ = ["Reinforce", "ReinforceState"]


class ReinforceState(NamedTuple):
    """The optimiser of each network."""

    opt: Adam


@component("learner", "reinforce")
@pytree
class Reinforce(Learner):
    """Monte Carlo policy gradient with a baseline.

    Choose ``rollout`` as a multiple of the episode's length: what lies beyond a trajectory
    counts as the value head says (``baseline: value``), or as nothing.

    Source: Williams (1992), doi:10.1007/BF00992696.
    """

    rollout: int = doc_field(128, "steps between updates", ge=1)
    lr: float = doc_field(1e-3, "step size of Adam", gt=0)
    discount: float = doc_field(0.99, "weight of the next step's reward", ge=0, le=1)
    baseline: Literal["none", "mean", "value"] = doc_field(
        "mean", "what returns are compared with: nothing, their mean, or the value head"
    )
    entropy: float = doc_field(0.0, "weight of the entropy bonus", ge=0)
    max_norm: float = doc_field(10.0, "longest gradient", gt=0)
    policy: Any = provided()

    def check(self, policy: ArrayPolicy, seats: Seats) -> None:
        """It trains networks that sample."""
        needs_network(policy, "reinforce")

    def init(self, key: Array, mind: Mind, spaces: Seats) -> ReinforceState:
        """No step made."""
        begin = jax.vmap(adam_begin) if mind.params.spec.members else adam_begin
        return ReinforceState(begin(mind.params.net))

    def update(
        self, key: Array, state: ReinforceState, mind: Mind, trajectory: Trajectory
    ) -> tuple[ReinforceState, Mind, dict[str, Array]]:
        """One step of Adam over the whole trajectory."""
        spec = mind.params.spec
        value = values_of(self.policy, mind, trajectory)
        if self.baseline == "value":
            last = self.policy.value(mind, trajectory.final)
            credit = advantages(trajectory, value, last, self.discount, 1.0)
        else:
            credit = returns(trajectory, jnp.zeros_like(trajectory.reward[0]), self.discount)
            value = jnp.zeros_like(value)
        numbers = (self.lr, 1.0, self.entropy, 0.5, self.max_norm)
        trained = train_members(
            key,
            self._loss(spec),
            mind.params.net,
            state.opt,
            trajectory.memory,
            batch_of(self.policy, spec, trajectory, value, credit),
            Settings(*(jnp.asarray(number, jnp.float32) for number in numbers)),
            Shape(1, 1),
            whole_rows=self.policy.blank() is not None,
            members=spec.members,
        )
        params = Weights(trained.net, spec=spec)
        return ReinforceState(trained.opt), mind._replace(params=params), trained.metrics

    def worth(self, state: ReinforceState, mind: Mind, percept: Percept) -> Array | None:
        """The value head, where it is the baseline."""
        return self.policy.value(mind, percept) if self.baseline == "value" else None

    def _loss(self, spec: Any) -> Any:
        def loss(net: Any, memory: Any, batch: Batch, settings: Settings) -> Any:
            outputs = self.policy.unroll(spec, net, memory, batch.x, batch.first, batch.acting)
            logs, spread = policy_terms(spec, outputs, batch)
            share = weights_of(batch.acting)
            credit = batch.advantage
            if self.baseline == "mean":
                credit = credit - (credit * share).sum()
            gain, entropy = (logs * credit * share).sum(), (spread * share).sum()
            total = -gain - settings.entropy * entropy
            if self.baseline == "value":
                error = jnp.square(outputs.value - batch.target)
                total = total + settings.value * (error * share).sum()
            return total, {"policy_loss": -gain, "entropy": entropy}

        return loss
