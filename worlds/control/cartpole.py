"""Cart and pole: the standard first test of a learner, with the published dynamics."""

from typing import Any, ClassVar, NamedTuple

import gymnasium
import jax.numpy as jnp
import numpy as np

from worlds.random import uniform
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, Transition
from worlds.world import World

__all__ = ["CartPole", "CartState"]

_GRAVITY = 9.8
_CART_KG = 1.0
_POLE_KG = 0.1
_HALF_POLE_M = 0.5
_FORCE_N = 10.0
_TAU_S = 0.02
_MOST_ANGLE = 12 * 2 * np.pi / 360
_MOST_PLACE_M = 2.4


class CartState(NamedTuple):
    """One episode of every slot's own cart.

    motion: [N, 4] float32 position (m), velocity (m/s), angle (rad), angular velocity (rad/s).
    down: [N] bool, the pole fell or the cart left. clock: int32 steps.
    """

    motion: Array
    down: Array
    clock: Array


@component("world", "cartpole")
@pytree
class CartPole(World[CartState]):
    """Everybody balances a pole on a cart of its own by pushing it left or right.

    Who acts when: everybody whose pole stands, in every step. Action: Discrete(2), push left
    or right with 10 N for 0.02 s. Reward: 1 for every step, that of the fall included. An
    individual terminates when its pole leans over 12 degrees or its cart leaves 2.4 m; all
    who still stand are truncated after ``max_steps``. Random: the first position, velocity,
    angle and angular velocity, each uniform in [-0.05, 0.05].

    Source: Barto, Sutton & Anderson (1983), doi:10.1109/TSMC.1983.6313077, with the constants
    and the Euler steps of Gymnasium's CartPole-v1, which it equals step by step to 1e-5.
    """

    fitness: ClassVar[str] = "reward"

    max_steps: int = doc_field(500, "steps of an episode", ge=1)
    num_slots: int = provided(1)
    present: Any = provided(None)

    @property
    def horizon(self) -> int:
        """Steps of an episode."""
        return self.max_steps

    @property
    def ends_early(self) -> bool:
        """Poles fall."""
        return True

    def init(self, key: Array) -> CartState:
        """Almost upright, almost at rest."""
        lanes = jnp.arange(self.num_slots * 4)
        motion = (uniform(key, lanes) - 0.5) * 0.1
        return CartState(motion.reshape(-1, 4), ~self._held(), jnp.int32(0))

    def observe(self, state: CartState) -> Observation:
        """Show each its own cart and pole."""
        alive = ~state.down
        return Observation(state.motion, alive, alive & (state.clock < self.max_steps))

    def step(self, key: Array, state: CartState, action: Any) -> tuple[CartState, Transition]:
        """Push every cart once."""
        motion = jnp.where(state.down[:, None], state.motion, pushed(state.motion, action))
        falls = (jnp.abs(motion[:, 0]) > _MOST_PLACE_M) | (jnp.abs(motion[:, 2]) > _MOST_ANGLE)
        falls = falls & ~state.down
        clock = state.clock + 1
        stands = ~state.down & ~falls
        new = CartState(motion, state.down | falls, clock)
        return new, Transition(
            reward=(~state.down).astype(jnp.float32),
            terminated=falls,
            truncated=stands & (clock >= self.max_steps),
            metrics={"standing": stands.sum(dtype=jnp.float32) / self.num_slots},
        )

    def outcome(self, state: CartState) -> dict[str, Array]:
        """Nothing beside the rewards."""
        return {}

    def observation_space(self, slot: int) -> gymnasium.Space:
        """Position, velocity, angle, angular velocity."""
        high = np.array([2 * _MOST_PLACE_M, np.inf, 2 * _MOST_ANGLE, np.inf], np.float32)
        return gymnasium.spaces.Box(-high, high)

    def action_space(self, slot: int) -> gymnasium.Space:
        """Left or right."""
        return gymnasium.spaces.Discrete(2)

    def noop(self) -> Array:
        """Push left; a cart cannot be left alone."""
        return jnp.zeros(self.num_slots, jnp.int32)

    def _held(self) -> Array:
        if self.present is None:
            return jnp.ones(self.num_slots, bool)
        return jnp.asarray(self.present)


def pushed(motion: Array, action: Array) -> Array:
    """Motion [N, 4] after one push [N] (0 left, 1 right) and one Euler step."""
    place, speed, angle, turn = jnp.moveaxis(motion, -1, 0)
    force = jnp.where(action == 1, _FORCE_N, -_FORCE_N)
    cos, sin = jnp.cos(angle), jnp.sin(angle)
    total_kg, moment = _CART_KG + _POLE_KG, _POLE_KG * _HALF_POLE_M
    pull = (force + moment * jnp.square(turn) * sin) / total_kg
    bend = (_GRAVITY * sin - cos * pull) / (
        _HALF_POLE_M * (4.0 / 3.0 - _POLE_KG * jnp.square(cos) / total_kg)
    )
    gain = pull - moment * bend * cos / total_kg
    return jnp.stack(
        [
            place + _TAU_S * speed,
            speed + _TAU_S * gain,
            angle + _TAU_S * turn,
            turn + _TAU_S * bend,
        ],
        axis=-1,
    )
