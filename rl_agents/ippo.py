"""Independent proximal policy optimisation: each learns as if it were alone."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rl_agents.adam import Adam, adam_begin
from rl_agents.advantages import advantages
from rl_agents.learner import Learner, Trajectory
from rl_agents.network_policy import NetworkPolicy, Weights
from rl_agents.ppo import Batch, Settings, Shape, batch_of, policy_loss, train_members, values_of
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Mind, Percept, Seats

__all__ = ["Ippo", "IppoState", "needs_network"]


class IppoState(NamedTuple):
    """The optimiser of each network, and updates made so far (int32)."""

    opt: Adam
    updates: Array


def needs_network(policy: ArrayPolicy, learner: str, decide: str = "sample") -> None:
    """Raise ValueError unless the policy is a network that decides in the given way."""
    if not isinstance(policy, NetworkPolicy):
        raise ValueError(
            f"learner {learner} trains networks, not {type(policy).__name__}; "
            "choose policy: mlp, gru, lstm or cnn"
        )
    if policy.decide != decide:
        raise ValueError(
            f"learner {learner} needs decide: {decide} in the policy, not {policy.decide}"
        )


@component("learner", "ippo")
@pytree
class Ippo(Learner):
    """Proximal policy optimisation on one's own experience (feed-forward or recurrent).

    With ``parameters: shared`` in the policy the group pools its experience in one network;
    with ``separate`` each member has its own network, optimiser and experience.

    Source: de Witt et al. (2020), "Is independent learning all you need in the StarCraft
    multi-agent challenge?", arXiv:2011.09533; Schulman et al. (2017), arXiv:1707.06347.
    """

    rollout: int = doc_field(128, "steps between updates", ge=1)
    lr: float = doc_field(2.5e-4, "step size of Adam", gt=0)
    discount: float = doc_field(0.99, "weight of the next step's value", ge=0, le=1)
    trace: float = doc_field(0.95, "lambda of generalised advantage estimation", ge=0, le=1)
    clip: float = doc_field(0.2, "how far the probability ratio may go", gt=0)
    entropy: float = doc_field(0.01, "weight of the entropy bonus", ge=0)
    value: float = doc_field(0.5, "weight of the value loss", ge=0)
    max_norm: float = doc_field(0.5, "longest gradient", gt=0)
    epochs: int = doc_field(4, "passes over a trajectory", ge=1)
    minibatches: int = doc_field(4, "pieces of a pass", ge=1)
    anneal: int = doc_field(0, "updates until lr has fallen to 0 in a line; 0: it stays", ge=0)
    policy: Any = provided()

    def check(self, policy: ArrayPolicy, seats: Seats) -> None:
        """It trains networks that sample."""
        needs_network(policy, "ippo")

    def settings(self) -> Settings:
        """The numbers of this learner, as arrays."""
        numbers = (self.lr, self.clip, self.entropy, self.value, self.max_norm)
        return Settings(*(jnp.asarray(number, jnp.float32) for number in numbers))

    def init(self, key: Array, mind: Mind, spaces: Seats) -> IppoState:
        """No step made."""
        params = mind.params
        begin = jax.vmap(adam_begin) if params.spec.members else adam_begin
        return IppoState(begin(params.net), jnp.int32(0))

    def update(
        self, key: Array, state: IppoState, mind: Mind, trajectory: Trajectory
    ) -> tuple[IppoState, Mind, dict[str, Array]]:
        """Advantages, then some epochs of clipped policy and value steps."""
        return self.update_with(self.settings(), key, state, mind, trajectory)

    def update_with(
        self, settings: Settings, key: Array, state: IppoState, mind: Mind, trajectory: Trajectory
    ) -> tuple[IppoState, Mind, dict[str, Array]]:
        """``update`` with settings that may differ between members, [members] each."""
        spec = mind.params.spec
        batch = self.batch(mind, trajectory)
        if self.anneal:
            left = 1.0 - state.updates.astype(jnp.float32) / self.anneal
            settings = settings._replace(lr=settings.lr * jnp.maximum(left, 0.0))
        trained = train_members(
            key,
            policy_loss(self.policy, spec),
            mind.params.net,
            state.opt,
            trajectory.memory,
            batch,
            settings,
            Shape(self.epochs, self.minibatches),
            whole_rows=self.policy.blank() is not None,
            members=spec.members,
        )
        mind = mind._replace(params=Weights(trained.net, spec=spec))
        return IppoState(trained.opt, state.updates + 1), mind, trained.metrics

    def batch(self, mind: Mind, trajectory: Trajectory) -> Batch:
        """The trajectory as the network reads it, with advantages."""
        value = values_of(self.policy, mind, trajectory)
        last = self.policy.value(mind, trajectory.final)
        credit = advantages(trajectory, value, last, self.discount, self.trace)
        return batch_of(self.policy, mind.params.spec, trajectory, value, credit)

    def worth(self, state: IppoState, mind: Mind, percept: Percept) -> Array:
        """The network's own value."""
        return self.policy.value(mind, percept)
