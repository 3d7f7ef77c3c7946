"""Multi-agent PPO: actors that see their own rows, a critic that sees the group's."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rl_agents.adam import Adam, adam_begin
from rl_agents.advantages import advantages
from rl_agents.ippo import needs_network
from rl_agents.learner import Learner, Trajectory
from rl_agents.network_policy import Weights
from rl_agents.networks import dense, make_dense, make_tower, tower
from rl_agents.ppo import (
    Batch,
    Settings,
    Shape,
    actor_loss,
    batch_of,
    critic_loss,
    train,
    train_members,
)
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Mind, Percept, Seats

__all__ = ["Mappo", "MappoState"]


class MappoState(NamedTuple):
    """Optimiser of the actors; the critic and its optimiser."""

    opt: Adam
    critic: Any
    critic_opt: Adam


@component("learner", "mappo")
@pytree
class Mappo(Learner):
    """PPO whose critic sees what the whole group sees in its world; used in training only.

    The critic is a feed-forward network over the features of all rows of a world and the
    index of the row that is judged (agents may be paid differently).

    Source: Yu et al. (2022), "The surprising effectiveness of PPO in cooperative multi-agent
    games", arXiv:2103.01955. We use no value normalisation and no recurrent critic.
    """

    rollout: int = doc_field(128, "steps between updates", ge=1)
    lr: float = doc_field(5e-4, "step size of Adam, of actors and critic", gt=0)
    discount: float = doc_field(0.99, "weight of the next step's value", ge=0, le=1)
    trace: float = doc_field(0.95, "lambda of generalised advantage estimation", ge=0, le=1)
    clip: float = doc_field(0.2, "how far the probability ratio may go", gt=0)
    entropy: float = doc_field(0.01, "weight of the entropy bonus", ge=0)
    max_norm: float = doc_field(10.0, "longest gradient", gt=0)
    epochs: int = doc_field(5, "passes over a trajectory", ge=1)
    minibatches: int = doc_field(1, "pieces of a pass", ge=1)
    width: int = doc_field(64, "units of the critic's two hidden layers", ge=1)
    policy: Any = provided()
    num_envs: int = provided(1)

    def check(self, policy: ArrayPolicy, seats: Seats) -> None:
        """It trains networks that sample."""
        needs_network(policy, "mappo")

    def init(self, key: Array, mind: Mind, spaces: Seats) -> MappoState:
        """Draw a critic."""
        params = mind.params
        begin = jax.vmap(adam_begin) if params.spec.members else adam_begin
        own = spaces.num // self.num_envs
        hidden, out = jax.random.split(key)
        width = own * (params.spec.width + 1)
        critic = {
            "hidden": make_tower(hidden, width, (self.width, self.width)),
            "value": make_dense(out, self.width, 1),
        }
        return MappoState(begin(params.net), critic, adam_begin(critic))

    def update(
        self, key: Array, state: MappoState, mind: Mind, trajectory: Trajectory
    ) -> tuple[MappoState, Mind, dict[str, Array]]:
        """Advantages by the critic; then both learn from the same minibatches' worth of steps."""
        policy, spec = self.policy, mind.params.spec
        joint = self._joint(mind, trajectory.percept)
        value = judge(state.critic, joint)
        last = self.worth(state, mind, trajectory.final)
        credit = advantages(trajectory, value, last, self.discount, self.trace)
        batch = batch_of(policy, spec, trajectory, value, credit)
        settings, shape = self._settings(), Shape(self.epochs, self.minibatches)
        key_actor, key_critic = jax.random.split(key)

        def act(net: Any, memory: Any, part: Batch, settings: Settings) -> Any:
            outputs = policy.unroll(spec, net, memory, part.x, part.first, part.acting)
            return actor_loss(spec, outputs, part, settings)

        def value_loss(net: Any, memory: Any, part: Batch, settings: Settings) -> Any:
            loss = critic_loss(judge(net, part.x), part, settings)
            return loss, {"value_loss": loss}

        actor = train_members(
            key_actor,
            act,
            mind.params.net,
            state.opt,
            trajectory.memory,
            batch,
            settings,
            shape,
            whole_rows=policy.blank() is not None,
            members=spec.members,
        )
        plain = Batch(joint, *batch[1:])._replace(legal=None, said={}, action=())
        critic = train(
            key_critic,
            value_loss,
            state.critic,
            state.critic_opt,
            (),
            plain,
            settings,
            shape,
            False,
        )
        mind = mind._replace(params=Weights(actor.net, spec=spec))
        new = MappoState(actor.opt, critic.net, critic.opt)
        return new, mind, {**actor.metrics, **critic.metrics}

    def worth(self, state: MappoState, mind: Mind, percept: Percept) -> Array:
        """The critic's value for each row."""
        return judge(state.critic, self._joint(mind, percept))

    def _settings(self) -> Settings:
        numbers = (self.lr, self.clip, self.entropy, 1.0, self.max_norm)
        return Settings(*(jnp.asarray(number, jnp.float32) for number in numbers))

    def _joint(self, mind: Mind, percept: Percept) -> Array:
        """[..., n, own * (features + 1)]: what a row's world shows to all, and which row it is."""
        lead = percept.alive.shape
        x = self.policy.inputs(mind.params.spec, percept, lead)
        own = lead[-1] // self.num_envs
        together = x.reshape(*lead[:-1], self.num_envs, 1, own * x.shape[-1])
        together = jnp.broadcast_to(together, (*lead[:-1], self.num_envs, own, together.shape[-1]))
        which = jnp.broadcast_to(jnp.eye(own), (*together.shape[:-1], own))
        return jnp.concatenate([together, which], axis=-1).reshape(*lead, -1)


def judge(critic: Any, joint: Array) -> Array:
    """Values [...] of joint features [..., F]."""
    return dense(critic["value"], tower(critic["hidden"], joint))[..., 0]
