"""A genetic algorithm over the networks of members."""

from typing import Any

import jax
import jax.numpy as jnp

from rl_agents.evolution import fitness_of, needs_members
from rl_agents.learner import Learner, Trajectory
from rl_agents.network_policy import Weights
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Mind, Seats

__all__ = ["GeneticAlgorithm"]


@component("learner", "genetic_algorithm")
@pytree
class GeneticAlgorithm(Learner):
    """Truncation selection and normal mutation; the best member stays as it is.

    After ``rollout`` steps the best ``keep`` of the members are the parents of all: each child
    copies a random parent and adds noise. Choose ``rollout`` as a multiple of the episode's
    length.

    Source: Such et al. (2017), arXiv:1712.06567, without their re-evaluation of elites.
    """

    rollout: int = doc_field(100, "steps in which members are compared", ge=1)
    keep: float = doc_field(0.25, "share of members that become parents", gt=0, le=1)
    sd: float = doc_field(0.05, "standard deviation of mutation", gt=0)
    policy: Any = provided()

    def check(self, policy: ArrayPolicy, seats: Seats) -> None:
        """Every member has a network of its own."""
        needs_members(policy, "genetic_algorithm")

    def init(self, key: Array, mind: Mind, spaces: Seats) -> tuple[()]:
        """Nothing beside the members."""
        return ()

    def update(
        self, key: Array, state: Any, mind: Mind, trajectory: Trajectory
    ) -> tuple[Any, Mind, dict[str, Array]]:
        """Choose parents by reward, then let everybody but the best be born anew."""
        spec = mind.params.spec
        members = spec.members
        fitness = fitness_of(trajectory, members)
        order = jnp.argsort(-fitness)
        # ``keep`` is a traced number, so the share becomes a bound on a random rank.
        parents = jnp.maximum(jnp.round(self.keep * members), 1.0)
        key_parent, key_noise = jax.random.split(key)
        drawn = jnp.floor(jax.random.uniform(key_parent, (members,)) * parents)
        parent = order[drawn.astype(jnp.int32)].at[0].set(order[0])
        elite = jnp.arange(members) == 0
        leaves, structure = jax.tree.flatten(mind.params.net)

        def child(index: int, leaf: Array) -> Array:
            noise = jax.random.normal(jax.random.fold_in(key_noise, index), leaf.shape) * self.sd
            stays = elite.reshape(-1, *(1,) * (leaf.ndim - 1))
            return leaf[parent] + jnp.where(stays, 0.0, noise)

        net = structure.unflatten([child(index, leaf) for index, leaf in enumerate(leaves)])
        found = {"fitness": fitness.mean(), "best": fitness.max()}
        return state, mind._replace(params=Weights(net, spec=spec)), found
