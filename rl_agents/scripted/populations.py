"""Residents without learning: fixed opinions, and caution by the number of cases."""

from typing import Any

import gymnasium
import jax.numpy as jnp

from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Decision, Mind, Percept, Seats

__all__ = ["Cautious", "Follower", "Stubborn"]


@component("policy", "stubborn")
@pytree
class Stubborn(ArrayPolicy):
    """Holds one opinion on everything and states it in every step, whatever others say.

    Source: Friedkin and Johnsen (1990), "Social influence and opinions",
    doi:10.1080/0022250X.1990.9990069 (the fully stubborn case).
    """

    opinion: float = doc_field(0.0, "The opinion, on the world's scale.")

    def check(self, seats: Seats) -> None:
        """Refuse worlds without opinions, and opinions off the scale."""
        world = _opinions(seats, "stubborn")
        if not world.low <= float(self.opinion) <= world.high:
            raise ValueError(
                f"stubborn holds {float(self.opinion):g}, but the scale goes from {world.low:g} to "
                f"{world.high:g}; set policy.opinion within it"
            )

    def init(self, key: Array, seats: Seats) -> Mind:
        """Nothing to remember."""
        return Mind()

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """State the opinion on every topic."""
        shape = percept.view["opinion"].shape
        return Decision(jnp.broadcast_to(jnp.float32(self.opinion), shape))


@component("policy", "follower")
@pytree
class Follower(ArrayPolicy):
    """States nothing, so its opinions change as the world's ``influence`` says."""

    def check(self, seats: Seats) -> None:
        """Refuse worlds without opinions."""
        _opinions(seats, "follower")

    def init(self, key: Array, seats: Seats) -> Mind:
        """Remember what stating nothing looks like, [1] float32 (it inherits nothing)."""
        return Mind(memory=jnp.full(1, seats.world.unstated, jnp.float32))

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """State nothing."""
        shape = percept.view["opinion"].shape
        return Decision(jnp.broadcast_to(mind.memory, shape), memory=mind.memory)


@component("policy", "cautious")
@pytree
class Cautious(ArrayPolicy):
    """Stays at home while there are many cases, and when it knows that it is ill."""

    cases: float = doc_field(1000.0, "Weekly cases per 100,000 from which it stays at home.", ge=0)

    def check(self, seats: Seats) -> None:
        """Refuse worlds without an epidemic."""
        space = seats.observation_space
        known = isinstance(space, gymnasium.spaces.Dict) and "cases" in space.spaces
        if not known:
            raise ValueError(
                f"cautious goes by the number of cases, which {type(seats.world).__name__} does "
                "not show; use it in epidemic"
            )

    def init(self, key: Array, seats: Seats) -> Mind:
        """Nothing to remember."""
        return Mind()

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Compare."""
        view = percept.view
        home = (view["cases"] >= self.cases) | (view["health"] == 1)
        return Decision(home.astype(jnp.int32))


def _opinions(seats: Seats, name: str) -> Any:
    if not hasattr(seats.world, "unstated"):
        raise ValueError(
            f"{name} holds opinions, which {type(seats.world).__name__} does not ask for; "
            "use it in opinions"
        )
    return seats.world
