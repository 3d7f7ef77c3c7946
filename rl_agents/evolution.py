"""Evolution strategies: members are perturbations of one network, which follows the better."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rl_agents.adam import Adam, adam_begin, adam_step
from rl_agents.learner import Learner, Trajectory
from rl_agents.network_policy import NetworkPolicy, Weights
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Mind, Seats

__all__ = ["EvolutionState", "EvolutionStrategy", "fitness_of", "needs_members"]


class EvolutionState(NamedTuple):
    """centre: the network that is perturbed. updates: int32."""

    centre: Any
    opt: Adam
    updates: Array


def needs_members(policy: ArrayPolicy, learner: str) -> None:
    """Raise ValueError unless every member has a network of its own."""
    if not isinstance(policy, NetworkPolicy) or policy.parameters != "separate":
        raise ValueError(
            f"learner {learner} compares members; use a network with parameters: separate"
        )


def fitness_of(trajectory: Trajectory, members: int) -> Array:
    """[members] rewards of a trajectory, summed over time, averaged over worlds."""
    total = trajectory.reward.sum(axis=0)
    return total.reshape(-1, members).mean(axis=0)


@component("learner", "evolution_strategy")
@pytree
class EvolutionStrategy(Learner):
    """Evolution strategies over the networks of members, mirrored in pairs, ranked by reward.

    The group's members (their number is the size of the population) act with networks around
    a centre; after ``rollout`` steps the centre moves and members are drawn anew. Choose
    ``rollout`` as a multiple of the episode's length.

    Source: Salimans et al. (2017), arXiv:1703.03864. The members of the first trajectory are
    independent networks; the centre begins as the best of them.
    """

    rollout: int = doc_field(100, "steps in which members are compared", ge=1)
    lr: float = doc_field(0.02, "step size of Adam", gt=0)
    sd: float = doc_field(0.1, "standard deviation of perturbations", gt=0)
    decay: float = doc_field(0.0, "weight decay", ge=0)
    policy: Any = provided()

    def check(self, policy: ArrayPolicy, seats: Seats) -> None:
        """Every member has a network of its own, and there is an even number of them."""
        needs_members(policy, "evolution_strategy")
        worlds = getattr(seats.world, "num_envs", 1)
        if (seats.num // worlds) % 2:
            raise ValueError(
                f"perturbations come in mirrored pairs, but the group has {seats.num // worlds} "
                "members; give it an even count"
            )

    def init(self, key: Array, mind: Mind, spaces: Seats) -> EvolutionState:
        """Begin at the first member."""
        centre = jax.tree.map(lambda leaf: leaf[0], mind.params.net)
        return EvolutionState(centre, adam_begin(centre), jnp.int32(0))

    def update(
        self, key: Array, state: EvolutionState, mind: Mind, trajectory: Trajectory
    ) -> tuple[EvolutionState, Mind, dict[str, Array]]:
        """Move the centre towards the better perturbations, then draw new ones."""
        spec = mind.params.spec
        fitness = fitness_of(trajectory, spec.members)
        rank = jnp.argsort(jnp.argsort(fitness)).astype(jnp.float32)
        credit = rank / (spec.members - 1) - 0.5

        def ascent(member: Array, centre: Array) -> Array:
            away = (member - centre[None]) / self.sd
            return -jnp.tensordot(credit, away, 1) / (spec.members * self.sd) + self.decay * centre

        grads = jax.tree.map(ascent, mind.params.net, state.centre)
        moved, opt = adam_step(state.centre, state.opt, grads, self.lr)
        best = jax.tree.map(lambda leaf: leaf[jnp.argmax(fitness)], mind.params.net)
        begins = state.updates == 0
        centre = jax.tree.map(lambda a, b: jnp.where(begins, a, b), best, moved)
        opt = jax.tree.map(lambda a, b: jnp.where(begins, a, b), state.opt, opt)
        net = mirrored(key, centre, spec.members, self.sd)
        found = {"fitness": fitness.mean(), "best": fitness.max()}
        mind = mind._replace(params=Weights(net, spec=spec))
        return EvolutionState(centre, opt, state.updates + 1), mind, found


def mirrored(key: Array, centre: Any, members: int, sd: Array | float) -> Any:
    """Networks [members, ...] around a centre; the second half mirrors the first."""
    leaves, structure = jax.tree.flatten(centre)

    def around(index: int, leaf: Array) -> Array:
        noise = jax.random.normal(jax.random.fold_in(key, index), (members // 2, *leaf.shape))
        return leaf[None] + sd * jnp.concatenate([noise, -noise])

    return structure.unflatten([around(index, leaf) for index, leaf in enumerate(leaves)])
