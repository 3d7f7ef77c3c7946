"""Independent deep Q-learning: a network, a memory of steps, and a slower copy to aim at."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rl_agents import heads
from rl_agents.adam import Adam, adam_begin, adam_step
from rl_agents.advantages import following
from rl_agents.ippo import needs_network
from rl_agents.learner import Learner, Trajectory
from rl_agents.network_policy import NetworkPolicy, Spec, Weights
from rl_agents.per_slot import split_members
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Mind, Percept, Seats

__all__ = ["DeepQLearning", "DeepQState", "Experience"]


class Experience(NamedTuple):
    """Steps of one network; leaves [K, ...].

    x, then: features before and after. legal: of ``then``, or None. action: what was done.
    reward: until the row acted again. over: nothing followed, and cut: what that was worth.
    known: the row did act.
    """

    x: Array
    then: Array
    legal: Array | None
    action: Array
    reward: Array
    over: Array
    cut: Array
    known: Array


class DeepQState(NamedTuple):
    """target: the slower network. memory: the last K steps of each network; updates: int32."""

    target: Any
    opt: Adam
    memory: Experience
    updates: Array


@component("learner", "deep_q_learning")
@pytree
class DeepQLearning(Learner):
    """Q-learning with a network (``mlp`` or ``cnn`` with ``decide: epsilon_greedy``).

    Targets follow double Q-learning: the network chooses, the slower copy judges.

    Source: Mnih et al. (2015), doi:10.1038/nature14236; van Hasselt, Guez & Silver (2016),
    arXiv:1509.06461; independent learners as in Tampuu et al. (2017), arXiv:1511.08779. The
    copy follows at every update by ``follow`` (Lillicrap et al. 2016) instead of in jumps.
    """

    rollout: int = doc_field(16, "steps between updates", ge=1)
    lr: float = doc_field(5e-4, "step size of Adam", gt=0)
    discount: float = doc_field(0.99, "weight of the next state's value", ge=0, le=1)
    memory: int = doc_field(16384, "steps that are remembered, by network", ge=1)
    batch: int = doc_field(128, "steps in a minibatch", ge=1)
    repeats: int = doc_field(4, "minibatches in an update", ge=1)
    follow: float = doc_field(0.02, "how far the copy goes towards the network", gt=0, le=1)
    max_norm: float = doc_field(10.0, "longest gradient", gt=0)
    policy: Any = provided()

    def check(self, policy: ArrayPolicy, seats: Seats) -> None:
        """It trains networks without memory that choose the best."""
        needs_network(policy, "deep_q_learning", decide="epsilon_greedy")
        if isinstance(policy, NetworkPolicy) and policy.blank() is not None:
            raise ValueError("deep_q_learning has no recurrent form; use policy: mlp or cnn")

    def init(self, key: Array, mind: Mind, spaces: Seats) -> DeepQState:
        """An empty memory."""
        spec: Spec = mind.params.spec
        size, flags = self.memory, jnp.zeros(self.memory, bool)
        x, real = jnp.zeros((size, spec.width)), jnp.zeros(size)
        action = jnp.zeros((size, *spec.head.shape), jnp.int32)
        legal = jnp.ones((size, spec.head.size), bool)
        empty = Experience(x, x, legal, action, real, flags, real, flags)
        opt = adam_begin
        if spec.members:
            empty = jax.tree.map(
                lambda leaf: jnp.broadcast_to(leaf, (spec.members, *leaf.shape)), empty
            )
            opt = jax.vmap(adam_begin)
        return DeepQState(mind.params.net, opt(mind.params.net), empty, jnp.int32(0))

    def update(
        self, key: Array, state: DeepQState, mind: Mind, trajectory: Trajectory
    ) -> tuple[DeepQState, Mind, dict[str, Array]]:
        """Remember the trajectory, then learn from minibatches of the memory."""
        spec: Spec = mind.params.spec
        new = self._experience(spec, trajectory)

        def learn(key: Array, net: Any, state: Any, new: Experience) -> Any:
            return self._learn(spec, key, net, state, new)

        if spec.members:
            parts = split_members(new, spec.members, 1)
            each = state._replace(updates=jnp.broadcast_to(state.updates, (spec.members,)))
            keys = jax.random.split(key, spec.members)
            learn = jax.vmap(learn, in_axes=(0, 0, 0, 2))
            net, found, loss = learn(keys, mind.params.net, each, parts)
            found = found._replace(updates=found.updates[0])
        else:
            net, found, loss = learn(key, mind.params.net, state, new)
        return found, mind._replace(params=Weights(net, spec=spec)), {"loss": loss.mean()}

    def worth(self, state: DeepQState, mind: Mind, percept: Percept) -> Array:
        """The best action's value."""
        spec: Spec = mind.params.spec
        x = self.policy.inputs(spec, percept, percept.alive.shape)
        if not spec.members:
            return _best(spec, self._values(spec, mind.params.net, x), percept.legal)
        parts = split_members(x, spec.members, 0)
        out = jax.vmap(lambda net, x: self._values(spec, net, x), (0, 1), 1)
        values = out(mind.params.net, parts)
        return _best(spec, values.reshape(x.shape[0], -1), percept.legal)

    # ---- parts --------------------------------------------------------------------------

    def _experience(self, spec: Spec, trajectory: Trajectory) -> Experience:
        lead = trajectory.reward.shape
        x = self.policy.inputs(spec, trajectory.percept, lead)
        last = self.policy.inputs(spec, trajectory.final, lead[1:])
        after = following(trajectory)
        every = jnp.concatenate([x, last[None]])
        then = jnp.take_along_axis(every, after.then[..., None], axis=0)
        legal = jnp.ones((*lead, spec.head.size), bool)
        if trajectory.percept.legal is not None and trajectory.final.legal is not None:
            shown = jnp.concatenate([trajectory.percept.legal, trajectory.final.legal[None]])
            legal = jnp.take_along_axis(shown, after.then[..., None], axis=0)
        return Experience(
            x=x,
            then=then,
            legal=legal,
            action=trajectory.action.astype(jnp.int32),
            reward=after.reward,
            over=after.over,
            cut=after.cut,
            known=trajectory.percept.acting,
        )

    def _learn(
        self, spec: Spec, key: Array, net: Any, state: DeepQState, new: Experience
    ) -> tuple[Any, DeepQState, Array]:
        """One network: new [T, n, ...]."""
        flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), new)
        count = min(flat.reward.shape[0], self.memory)
        flat = jax.tree.map(lambda leaf: leaf[-count:], flat)
        place = (state.updates * count + jnp.arange(count)) % self.memory
        memory = jax.tree.map(lambda old, row: old.at[place].set(row), state.memory, flat)
        filled = jnp.minimum((state.updates + 1) * count, self.memory)

        def step(carry: Any, key: Array) -> Any:
            net, target, opt = carry
            index = jax.random.randint(key, (self.batch,), 0, filled)
            part = jax.tree.map(lambda leaf: leaf[index], memory)
            loss, grads = jax.value_and_grad(self._loss, argnums=1)(spec, net, target, part)
            net, opt = adam_step(net, opt, grads, self.lr, self.max_norm)
            target = jax.tree.map(lambda t, n: t + self.follow * (n - t), target, net)
            return (net, target, opt), loss

        carry = (net, state.target, state.opt)
        (net, target, opt), losses = jax.lax.scan(step, carry, jax.random.split(key, self.repeats))
        return net, DeepQState(target, opt, memory, state.updates + 1), losses.mean()

    def _loss(self, spec: Spec, net: Any, target: Any, part: Experience) -> Array:
        choice = heads.greedy(spec.head, self._values(spec, net, part.then), part.legal)
        judged = heads.chosen(spec.head, self._values(spec, target, part.then), choice)
        aim = part.reward + self.discount * jnp.where(part.over, part.cut, judged)
        value = heads.chosen(spec.head, self._values(spec, net, part.x), part.action)
        error = value - jax.lax.stop_gradient(aim)
        huber = jnp.where(jnp.abs(error) < 1, 0.5 * error**2, jnp.abs(error) - 0.5)
        return jnp.where(part.known, huber, 0.0).sum() / jnp.maximum(part.known.sum(), 1)

    def _values(self, spec: Spec, net: Any, x: Array) -> Array:
        flags = jnp.zeros(x.shape[:-1], bool)
        return self.policy.unroll(spec, net, (), x, flags, flags).out


def _best(spec: Spec, values: Array, legal: Array | None) -> Array:
    return heads.mask(spec.head, values, legal).max(axis=-1).reshape(values.shape[0], -1).sum(-1)
