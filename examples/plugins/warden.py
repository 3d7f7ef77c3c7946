"""A policy in one file: fishers who leave as much as grows back best."""

import jax.numpy as jnp

from rl_agents.scripted.heritable import inherited, nudged
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Births, Decision, Mind, Percept, Seats

__all__ = ["Warden"]


@component("policy", "warden")
@pytree
class Warden(ArrayPolicy):
    """Catches an equal share of what the stock exceeds a limit by; the limit is inherited.

    The mind's params are the limits, [n] float32, in shares of the lake's size.
    """

    limit: float = doc_field(0.5, "Share of the lake's size that is left in it.", ge=0, le=1)

    def check(self, seats: Seats) -> None:
        shown = getattr(seats.observation_space, "spaces", {})
        if "stock" not in shown or not hasattr(seats.world, "size"):
            raise ValueError(
                f"warden goes by the stock of a lake, which this world does not show (it shows "
                f"{sorted(shown)}); use it in lake, or choose another policy"
            )

    def init(self, key: Array, seats: Seats) -> Mind:
        limits = jnp.full(seats.num, self.limit, jnp.float32)
        scale = {"size": seats.world.size, "players": jnp.float32(seats.world.num_players)}
        return Mind({"limit": limits, **scale, "most": jnp.int32(seats.action_space.n - 1)})

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        own = mind.params
        surplus = jnp.maximum(percept.view["stock"] - own["limit"] * own["size"], 0.0)
        fish = jnp.floor(surplus / own["players"]).astype(jnp.int32)
        return Decision(jnp.minimum(fish, own["most"]), mind.memory)

    def inherit(self, key: Array, mind: Mind, births: Births) -> Mind:
        return mind._replace(
            params={**mind.params, "limit": inherited(mind.params["limit"], births)}
        )

    def mutate(self, key: Array, mind: Mind, births: Births, rate: Array, sd: Array) -> Mind:
        limit = nudged(key, mind.params["limit"], births, sd, 0.0, 1.0)
        return mind._replace(params={**mind.params, "limit": limit})
