"""Learning with opponent-learning awareness, exact, in iterated games of two actions."""

from typing import Any, Literal

import jax
import jax.numpy as jnp

from rl_agents.learner import Learner, Trajectory
from rl_agents.memory_one_odds import MemoryOneOdds, check_pairs
from worlds.policy import ArrayPolicy
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Mind, Seats

__all__ = ["Lola", "lola_gradient", "values"]


@component("learner", "lola")
@pytree
class Lola(Learner):
    """Gradient ascent that foresees the opponent's next step; rows 2i and 2i + 1 are opponents.

    Values are exact: discounted payoffs of two memory-one strategies in the game's own table.
    What happens in the rounds that are played does not matter; they only show where the pair
    has come to. ``foresight: none`` is naive learning, ``first`` lets only the first of each
    pair foresee.

    Source: Foerster et al. (2018), arXiv:1709.04326, section 4.1 (LOLA-Ex; discount 0.96).
    """

    rollout: int = doc_field(10, "steps between updates", ge=1)
    lr: float = doc_field(1.0, "step size of one's own ascent", gt=0)
    look_ahead: float = doc_field(1.0, "step size that the opponent is thought to take", ge=0)
    discount: float = doc_field(0.96, "weight of a round relative to the one before", ge=0, lt=1)
    foresight: Literal["both", "first", "none"] = doc_field("both", "who foresees")
    policy: Any = provided()

    def check(self, policy: ArrayPolicy, seats: Seats) -> None:
        """It trains memory_one_odds in fixed pairs."""
        if not isinstance(policy, MemoryOneOdds):
            raise ValueError(f"lola trains policy: memory_one_odds, not {type(policy).__name__}")
        check_pairs(seats, "lola")
        if seats.num % 2 or seats.start % 2:
            raise ValueError("lola needs whole pairs in its group; give it an even count")

    def init(self, key: Array, mind: Mind, spaces: Seats) -> Array:
        """The payoff table, [2, 2, 2]."""
        world = getattr(spaces.world, "world", spaces.world)
        return jnp.asarray(world.table(), jnp.float32)

    def update(
        self, key: Array, state: Array, mind: Mind, trajectory: Trajectory
    ) -> tuple[Array, Mind, dict[str, Array]]:
        """One step of both members of every pair, at the same time."""
        one, two = mind.params[0::2], mind.params[1::2]
        ahead = jnp.asarray(self.look_ahead, jnp.float32)
        ahead_one = ahead if self.foresight != "none" else jnp.float32(0)
        ahead_two = ahead if self.foresight == "both" else jnp.float32(0)

        def pair(one: Array, two: Array) -> tuple[Array, Array, Array]:
            def game(a: Array, b: Array) -> Array:
                return values(a, b, state, self.discount)

            up_one, up_two = lola_gradient(game, one, two, ahead_one, ahead_two)
            return up_one, up_two, game(one, two)

        up_one, up_two, value = jax.vmap(pair)(one, two)
        moved = jnp.stack([one + self.lr * up_one, two + self.lr * up_two], axis=1)
        per_round = value * (1 - self.discount)
        found = {
            "value": per_round.mean(),
            "cooperates_after_cooperation": jax.nn.sigmoid(moved[..., (1, 3)]).mean(),
            "cooperates_after_defection": jax.nn.sigmoid(moved[..., (2, 4)]).mean(),
        }
        return state, mind._replace(params=moved.reshape(mind.params.shape)), found


def values(one: Array, two: Array, table: Array, discount: Array | float) -> Array:
    """[2] discounted payoffs of two memory-one strategies (log-odds [5]) from the start.

    Args:
      table: [2, 2, 2] payoff of each player by the actions of both.
    """
    p, q = jax.nn.sigmoid(one), jax.nn.sigmoid(two)
    q = q[jnp.array([0, 1, 3, 2, 4])]  # the second sees CD as DC

    def joint(a: Array, b: Array) -> Array:
        return jnp.stack([a * b, a * (1 - b), (1 - a) * b, (1 - a) * (1 - b)], axis=-1)

    start, moves = joint(p[0], q[0]), joint(p[1:], q[1:])
    payoff = table.reshape(2, 4).T
    worth = jnp.linalg.solve(jnp.eye(4) - discount * moves, payoff)
    return start @ worth


def lola_gradient(
    game: Any, one: Array, two: Array, ahead_one: Array, ahead_two: Array
) -> tuple[Array, Array]:
    """Directions of ascent of both players.

    Each climbs its own value plus the first-order effect of the opponent's foreseen step:
    grad_1 [V1 + ahead (grad_2 V1) . (grad_2 V2)], where only the opponent's gradient depends
    on oneself.

    Args:
      game: (one, two) -> [2] values. ahead_one: step that one foresees two to take.
    """

    def climbs(own: Array, other: Array, me: int, ahead: Array) -> Array:
        def play(own: Array, other: Array) -> Array:
            return game(own, other) if me == 0 else game(other, own)

        harm = jax.grad(lambda other: play(own, other)[me])(other)

        def foreseen(own: Array) -> Array:
            step = jax.grad(lambda other: play(own, other)[1 - me])(other)
            return play(own, other)[me] + ahead * jnp.dot(harm, step)

        return jax.grad(foreseen)(own)

    return climbs(one, two, 0, ahead_one), climbs(two, one, 1, ahead_two)
