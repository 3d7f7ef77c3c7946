"""Players without learning for public goods: one rule each, or a population of types."""

from collections.abc import Callable
from typing import Any, NamedTuple

import gymnasium
import jax.numpy as jnp

from rl_agents.scripted.heritable import inherited, redrawn
from worlds.policy import ArrayPolicy
from worlds.random import random_bits
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Births, Decision, Mind, Percept, Seats

__all__ = [
    "ConditionalCooperator",
    "Contributor",
    "FreeRider",
    "PublicGoodsTypes",
    "Punisher",
]


class Move(NamedTuple):
    """What one rule does: a share [n] in phase 0, points [n, group_size - 1] in phase 1."""

    share: Array
    points: Array


@component("policy", "contributor")
@pytree
class Contributor(ArrayPolicy):
    """Contributes a constant share of its endowment and never spends points."""

    share: float = doc_field(1.0, "Share of the endowment contributed.", ge=0, le=1)

    def check(self, seats: Seats) -> None:
        """Refuse worlds that are no public goods game."""
        _check_game(seats, "contributor")

    def init(self, key: Array, seats: Seats) -> Mind:
        """Remember how wide an action is."""
        return Mind(memory=_blank(seats))

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Contribute the share."""
        return _decide(mind, _contribute(percept.view, self.share))


@component("policy", "free_rider")
@pytree
class FreeRider(ArrayPolicy):
    """Contributes nothing and never spends points."""

    def check(self, seats: Seats) -> None:
        """Refuse worlds that are no public goods game."""
        _check_game(seats, "free_rider")

    def init(self, key: Array, seats: Seats) -> Mind:
        """Remember how wide an action is."""
        return Mind(memory=_blank(seats))

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Contribute nothing."""
        return _decide(mind, _contribute(percept.view, 0.0))


@component("policy", "conditional_cooperator")
@pytree
class ConditionalCooperator(ArrayPolicy):
    """Contributes what the others contributed on average in the last round.

    Source: Fischbacher, Gaechter and Fehr (2001), "Are people conditionally cooperative?",
    doi:10.1016/S0165-1765(01)00394-9; ``match`` below 1 is their self-serving bias.
    """

    opening: float = doc_field(1.0, "Share contributed in the first round.", ge=0, le=1)
    match: float = doc_field(1.0, "Part of the others' mean that is contributed.", ge=0, le=1)

    def check(self, seats: Seats) -> None:
        """Refuse worlds that are no public goods game."""
        _check_game(seats, "conditional_cooperator")

    def init(self, key: Array, seats: Seats) -> Mind:
        """Remember how wide an action is."""
        return Mind(memory=_blank(seats))

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Contribute part of the others' mean."""
        return _decide(mind, _match(percept.view, self.opening, self.match))


@component("policy", "punisher")
@pytree
class Punisher(ArrayPolicy):
    """Contributes everything and pays to fine each fellow member who contributed less.

    Source: Fehr and Gaechter (2002), "Altruistic punishment in humans", doi:10.1038/415137a.
    """

    points: float = doc_field(3.0, "Points spent on each who contributed less.", ge=0)
    tolerance: float = doc_field(
        0.0, "How much less (share of the endowment) goes unpunished.", ge=0, le=1
    )

    def check(self, seats: Seats) -> None:
        """Refuse worlds without punishment."""
        _check_game(seats, "punisher")
        _check_punishment(seats, "punisher")

    def init(self, key: Array, seats: Seats) -> Mind:
        """Remember how wide an action is."""
        return Mind(memory=_blank(seats))

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Contribute, then punish."""
        return _decide(mind, _punish(percept.view, self.points, self.tolerance))


@component("policy", "public_goods_types")
@pytree
class PublicGoodsTypes(ArrayPolicy):
    """A population of types: cooperator, defector, punisher, loner, conditional; inherited.

    Rows get the types of ``mix`` in equal numbers, in random order. The mind's params are
    the indices into ``mix``, [n] int32; a mutation draws a new one.

    Source: Hauert, Traulsen, Brandt, Nowak and Sigmund (2007), "Via freedom to coercion",
    doi:10.1126/science.1141588 (cooperators, defectors, punishers, loners).
    """

    mix: tuple[str, ...] = doc_field(
        ("cooperator", "defector", "punisher"), "Types of the population."
    )
    points: float = doc_field(3.0, "Points a punisher spends on each who contributed less.", ge=0)

    def check(self, seats: Seats) -> None:
        """Refuse unknown types, and types that the world gives nothing to do."""
        unknown = [name for name in self.mix if name not in _RULES]
        if unknown or not self.mix:
            raise ValueError(
                f"public_goods_types has mix {list(self.mix)}; types are {', '.join(_RULES)}"
            )
        _check_game(seats, "public_goods_types")
        if "punisher" in self.mix:
            _check_punishment(seats, "type 'punisher'")
        if "loner" in self.mix and float(seats.action_space.low[0]) >= 0.0:
            raise ValueError("type 'loner' abstains; set world.participation: voluntary")

    def init(self, key: Array, seats: Seats) -> Mind:
        """Deal out the types."""
        rank = jnp.argsort(random_bits(key, jnp.arange(seats.num)))
        kinds = (
            jnp.zeros(seats.num, jnp.int32)
            .at[rank]
            .set(jnp.arange(seats.num, dtype=jnp.int32) % len(self.mix))
        )
        return Mind(params=kinds, memory=_blank(seats))

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Play every row by its type."""
        moves = [_RULES[name](percept.view, self) for name in self.mix]
        rows = jnp.arange(mind.params.shape[0])
        share = jnp.stack([move.share for move in moves])[mind.params, rows]
        points = jnp.stack([move.points for move in moves])[mind.params, rows]
        return _decide(mind, Move(share, points))

    def inherit(self, key: Array, mind: Mind, births: Births) -> Mind:
        """Copy the parent's type."""
        return mind._replace(params=inherited(mind.params, births))

    def mutate(self, key: Array, mind: Mind, births: Births, rate: Array, sd: Array) -> Mind:
        """Draw newcomers' types anew with probability ``rate``."""
        return mind._replace(params=redrawn(key, mind.params, births, rate, len(self.mix)))

    def types(self, mind: Mind) -> Array:
        """Index of each row's type in ``mix``."""
        return mind.params

    def type_names(self) -> tuple[str, ...]:
        """The mix."""
        return self.mix


def _contribute(view: Any, share: Any) -> Move:
    others = view["others"]
    return Move(jnp.full(others.shape[0], share, jnp.float32), jnp.zeros_like(others))


def _match(view: Any, opening: Any, match: Any) -> Move:
    others = view["others"]
    joined = others >= 0.0
    mean = jnp.where(joined, others, 0.0).sum(-1) / jnp.maximum(joined.sum(-1), 1)
    share = jnp.where(joined.any(-1), match * mean, opening)
    return Move(share.astype(jnp.float32), jnp.zeros_like(others))


def _punish(view: Any, points: Any, tolerance: Any) -> Move:
    others = view["others"]
    guilty = (others >= 0.0) & (others < view["share"][:, None] - tolerance)
    spent = jnp.where(guilty, -jnp.float32(points), 0.0)
    return Move(jnp.ones(others.shape[0], jnp.float32), spent)


_RULES: dict[str, Callable[[Any, PublicGoodsTypes], Move]] = {
    "cooperator": lambda view, policy: _contribute(view, 1.0),
    "defector": lambda view, policy: _contribute(view, 0.0),
    "punisher": lambda view, policy: _punish(view, policy.points, 0.0),
    "loner": lambda view, policy: _contribute(view, -1.0),
    "conditional": lambda view, policy: _match(view, 1.0, 1.0),
}


def _decide(mind: Mind, move: Move) -> Decision:
    width = mind.memory.shape[1]
    action = jnp.concatenate([move.share[:, None], move.points], axis=1)[:, :width]
    return Decision(action, mind.memory)


def _blank(seats: Seats) -> Array:
    return jnp.zeros((seats.num, *seats.action_space.shape), jnp.float32)


def _check_game(seats: Seats, name: str) -> None:
    space = seats.observation_space
    if not isinstance(space, gymnasium.spaces.Dict) or "others" not in space.spaces:
        raise ValueError(
            f"policy {name!r} plays public_goods, but this world shows {space}; "
            "choose another policy (society list policies)"
        )


def _check_punishment(seats: Seats, name: str) -> None:
    low = seats.action_space.low
    if low.shape[0] < 2 or float(low[1]) >= 0.0:
        raise ValueError(f"{name} pays for fines; set world.punishment: costly")
