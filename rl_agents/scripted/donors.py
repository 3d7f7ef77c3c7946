"""Donors without learning for the Donor Game: constant, by reputation, by image, at random."""

from typing import Any

import gymnasium
import jax.numpy as jnp

from rl_agents.scripted.heritable import inherited, nudged
from worlds.policy import ArrayPolicy
from worlds.random import uniform
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Births, Decision, Mind, Percept, Seats

__all__ = ["ConstantDonor", "ImageScorer", "RandomDonor", "ReputationDonor"]


@component("policy", "constant_donor")
@pytree
class ConstantDonor(ArrayPolicy):
    """Gives the same share of its resources every time; the share is inherited.

    The mind's params are the shares, [n] float32 in [0, 1].
    """

    fraction: float = doc_field(0.5, "Share of own resources given.", ge=0, le=1)

    def check(self, seats: Seats) -> None:
        """Refuse worlds whose action is not one share."""
        _check_share(seats, "constant_donor", self.fraction)

    def init(self, key: Array, seats: Seats) -> Mind:
        """Give every row the same share."""
        return Mind(params=jnp.full(seats.num, self.fraction, jnp.float32))

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Give the share."""
        return Decision(mind.params)

    def inherit(self, key: Array, mind: Mind, births: Births) -> Mind:
        """Copy the parent's share."""
        return mind._replace(params=inherited(mind.params, births))

    def mutate(self, key: Array, mind: Mind, births: Births, rate: Array, sd: Array) -> Mind:
        """Shift newcomers' shares by normal noise, within [0, 1]."""
        return mind._replace(params=nudged(key, mind.params, births, sd, 0.0, 1.0))


@component("policy", "random_donor")
@pytree
class RandomDonor(ArrayPolicy):
    """Gives a uniformly random share of its resources."""

    def check(self, seats: Seats) -> None:
        """Refuse worlds whose action is not one share."""
        _check_share(seats, "random_donor", 1.0)

    def init(self, key: Array, seats: Seats) -> Mind:
        """Nothing to remember."""
        return Mind()

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Draw a share for every row."""
        return Decision(uniform(key, jnp.arange(percept.acting.shape[0])))


@component("policy", "reputation_donor")
@pytree
class ReputationDonor(ArrayPolicy):
    """Gives to those whose reputation reaches a threshold; the threshold is inherited.

    Partners without a reputation are given the benefit of the doubt.
    The mind's params are the thresholds, [n] float32 in [0, 1].
    """

    fraction: float = doc_field(0.5, "Share given to partners in good standing.", ge=0, le=1)
    threshold: float = doc_field(0.5, "Least reputation of a partner in good standing.", ge=0, le=1)

    def check(self, seats: Seats) -> None:
        """Refuse worlds whose action is not one share, or that show no reputation."""
        _check_share(seats, "reputation_donor", self.fraction)
        _check_view(seats, "reputation_donor", "partner_reputation")

    def init(self, key: Array, seats: Seats) -> Mind:
        """Give every row the same threshold."""
        return Mind(params=jnp.full(seats.num, self.threshold, jnp.float32))

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Give the share to the reputable and the unknown, nothing to others."""
        reputation = percept.view["partner_reputation"]
        good = (reputation < 0.0) | (reputation >= mind.params)
        return Decision(jnp.where(good, jnp.float32(self.fraction), 0.0))

    def inherit(self, key: Array, mind: Mind, births: Births) -> Mind:
        """Copy the parent's threshold."""
        return mind._replace(params=inherited(mind.params, births))

    def mutate(self, key: Array, mind: Mind, births: Births, rate: Array, sd: Array) -> Mind:
        """Shift newcomers' thresholds by normal noise, within [0, 1]."""
        return mind._replace(params=nudged(key, mind.params, births, sd, 0.0, 1.0))


@component("policy", "image_scorer")
@pytree
class ImageScorer(ArrayPolicy):
    """Gives to those whose last gift reached a threshold, and may punish the others.

    It reads the newest entry of the partner's trace: what the partner did as a donor.
    Partners without one get the benefit of the doubt. The threshold is inherited.
    The mind's params are the thresholds, [n] float32 in [0, 1].

    Source: Nowak and Sigmund (1998), "Evolution of indirect reciprocity by image scoring",
    doi:10.1038/31225, with a continuous score that remembers one gift.
    """

    fraction: float = doc_field(0.5, "Share given to partners in good standing.", ge=0, le=1)
    threshold: float = doc_field(0.25, "Least last gift of a partner in good standing.", ge=0, le=1)
    punish: float = doc_field(
        0.0, "Share spent on punishing the others, where the world allows it.", ge=0, le=1
    )

    def check(self, seats: Seats) -> None:
        """Refuse worlds whose action is not one share, or that show no trace."""
        _check_share(seats, "image_scorer", -self.punish if float(self.punish) else self.fraction)
        _check_view(seats, "image_scorer", "trace")
        if not seats.observation_space["trace"].shape[0]:
            raise ValueError("image_scorer reads the newest entry of a trace; set world.trace: 1")

    def init(self, key: Array, seats: Seats) -> Mind:
        """Give every row the same threshold."""
        return Mind(params=jnp.full(seats.num, self.threshold, jnp.float32))

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Give the share to the generous and the unknown; punish or ignore others."""
        newest = percept.view["trace"][:, 0]
        good = (newest[:, 0] < 0.0) | (newest[:, 3] >= mind.params)
        return Decision(jnp.where(good, jnp.float32(self.fraction), -jnp.float32(self.punish)))

    def inherit(self, key: Array, mind: Mind, births: Births) -> Mind:
        """Copy the parent's threshold."""
        return mind._replace(params=inherited(mind.params, births))

    def mutate(self, key: Array, mind: Mind, births: Births, rate: Array, sd: Array) -> Mind:
        """Shift newcomers' thresholds by normal noise, within [0, 1]."""
        return mind._replace(params=nudged(key, mind.params, births, sd, 0.0, 1.0))


def _check_share(seats: Seats, name: str, share: Any) -> None:
    space = seats.action_space
    if not isinstance(space, gymnasium.spaces.Box) or space.shape != ():
        raise ValueError(
            f"policy {name!r} answers one share of its resources, but this world's action is "
            f"{space}; use it in donor_game, or choose another policy (society list policies)"
        )
    if not float(space.low) <= float(share) <= float(space.high):
        raise ValueError(
            f"policy {name!r} would answer {float(share):g}, but this world takes "
            f"{float(space.low):g} to {float(space.high):g}; in donor_game, negative shares "
            "need world.punishment: costly"
        )


def _check_view(seats: Seats, name: str, key: str) -> None:
    space = seats.observation_space
    if not isinstance(space, gymnasium.spaces.Dict) or key not in space.spaces:
        raise ValueError(
            f"policy {name!r} reads {key!r}, which this world does not show; "
            "use it in donor_game, or choose another policy (society list policies)"
        )
