"""Population based training: members' networks and hyperparameters evolve while they learn."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rl_agents.evolution import fitness_of, needs_members
from rl_agents.ippo import Ippo, IppoState
from rl_agents.learner import Learner, Trajectory
from rl_agents.network_policy import Weights
from rl_agents.ppo import Settings
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Mind, Percept, Seats

__all__ = ["PbtState", "PopulationBasedTraining"]


class PbtState(NamedTuple):
    """inner: the learner's, leaves [members, ...]. settings: of each member, [members].

    fitness: [members] rewards since members were last compared. copied: int32 networks that
    were replaced so far.
    """

    inner: IppoState
    settings: Settings
    fitness: Array
    copied: Array


@component("learner", "pbt")
@pytree
class PopulationBasedTraining(Learner):
    """Independent PPO in which the worst members take over the best's network and settings.

    Every ``every`` updates the worst ``share`` copy a random one of the best ``share``:
    network, optimiser, and settings (exploit), which are then multiplied by 0.8 or 1.25
    (explore). Members begin with settings spread around those of ``learner``. With ``share:
    0`` nobody copies: the control with fixed settings.

    Source: Jaderberg et al. (2017), arXiv:1711.09846. Step size and entropy bonus evolve.
    """

    learner: Any = doc_field("ippo", "what each member learns by (ippo)", component="learner")
    every: int = doc_field(5, "updates between two comparisons", ge=1)
    share: float = doc_field(0.25, "share of members that copy, and of those copied", ge=0, le=0.5)
    spread: float = doc_field(
        10.0, "settings begin log-uniform between theirs / spread and theirs * spread", ge=1
    )
    policy: Any = provided()

    @property
    def rollout(self) -> int:  # type: ignore[override]
        """The inner learner's."""
        return self.learner.rollout

    def check(self, policy: ArrayPolicy, seats: Seats) -> None:
        """Every member has a network of its own, trained by ippo."""
        if not isinstance(self.learner, Ippo):
            raise ValueError(f"pbt varies ippo, not {type(self.learner).__name__}")
        needs_members(policy, "pbt")
        self.learner.check(policy, seats)

    def init(self, key: Array, mind: Mind, spaces: Seats) -> PbtState:
        """Spread the settings."""
        members = mind.params.spec.members
        base = self.learner.settings()
        key_lr, key_entropy = jax.random.split(key)
        spread = jnp.log(jnp.asarray(self.spread, jnp.float32))

        def around(key: Array, value: Array) -> Array:
            return value * jnp.exp(jax.random.uniform(key, (members,), minval=-1) * spread)

        settings = Settings(*(jnp.broadcast_to(value, (members,)) for value in base))
        settings = settings._replace(
            lr=around(key_lr, base.lr), entropy=around(key_entropy, base.entropy)
        )
        inner = self.learner.init(key, mind, spaces)
        return PbtState(inner, settings, jnp.zeros(members), jnp.int32(0))

    def update(
        self, key: Array, state: PbtState, mind: Mind, trajectory: Trajectory
    ) -> tuple[PbtState, Mind, dict[str, Array]]:
        """Let every member learn; now and then let the worst copy the best."""
        spec = mind.params.spec
        key_learn, key_copy = jax.random.split(key)
        inner, mind, found = self.learner.update_with(
            state.settings, key_learn, state.inner, mind, trajectory
        )
        fitness = state.fitness + fitness_of(trajectory, spec.members)
        compares = inner.updates % self.every == 0
        source, explores = self._copies(key_copy, fitness, compares)
        moved = source != jnp.arange(spec.members)

        def copy(tree: Any) -> Any:
            return jax.tree.map(lambda leaf: leaf[source], tree)

        new = PbtState(
            inner=inner._replace(opt=copy(inner.opt)),
            settings=self._explored(explores, copy(state.settings), moved),
            fitness=jnp.where(compares, 0.0, fitness),
            copied=state.copied + moved.sum(dtype=jnp.int32),
        )
        mind = mind._replace(params=Weights(copy(mind.params.net), spec=spec))
        found["lr"] = jnp.exp(jnp.log(new.settings.lr).mean())
        found["copied"] = new.copied
        return new, mind, found

    def worth(self, state: PbtState, mind: Mind, percept: Percept) -> Array:
        """The network's own value."""
        return self.policy.value(mind, percept)

    def _copies(self, key: Array, fitness: Array, compares: Array) -> tuple[Array, Array]:
        """[members] whose network each has from now on, and [2, members] factors."""
        members = fitness.shape[0]
        key_whom, key_factor = jax.random.split(key)
        rank = jnp.argsort(jnp.argsort(fitness))  # 0 is the worst
        number = jnp.floor(self.share * members)
        order = jnp.argsort(-fitness)
        drawn = jnp.floor(jax.random.uniform(key_whom, (members,)) * jnp.maximum(number, 1.0))
        best = order[drawn.astype(jnp.int32)]
        worst = (rank < number) & compares
        factor = jnp.where(jax.random.bernoulli(key_factor, 0.5, (2, members)), 0.8, 1.25)
        return jnp.where(worst, best, jnp.arange(members)), factor

    def _explored(self, factor: Array, settings: Settings, moved: Array) -> Settings:
        return settings._replace(
            lr=jnp.where(moved, settings.lr * factor[0], settings.lr),
            entropy=jnp.where(moved, settings.entropy * factor[1], settings.entropy),
        )
