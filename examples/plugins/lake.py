"""A world in one file: fishers share a lake that recovers, unless they empty it."""

from typing import Any, ClassVar, NamedTuple

import gymnasium
import jax.numpy as jnp
import numpy as np

from worlds.captions import Caption
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Observation, ParseError, Seat, Transition
from worlds.world import World

__all__ = ["Lake", "LakeCaption", "LakeState"]


class LakeState(NamedTuple):
    """One episode.

    stock: float32, fish in the lake. catch: [N] float32, of the last step.
    total: [N] float32, of the whole episode. clock: int32, steps so far.
    """

    stock: Array
    catch: Array
    total: Array
    clock: Array


@component("world", "lake")
@pytree
class Lake(World[LakeState]):
    """Fishers share a lake: what is left grows, up to the size of the lake.

    Who acts when: everybody, in every step. Action: how many fish one tries to catch, from 0
    to ``boats``. If all together want more than there is, the fish are shared in proportion.
    Then the stock s grows by ``growth * s * (1 - s / size)``. Reward: fish caught. The episode
    terminates after ``rounds`` steps, or when less than one fish is left. Nothing is random.

    Source: logistic growth under harvesting, Schaefer (1954), "Some aspects of the dynamics of
    populations important to the management of the commercial marine fisheries".
    """

    caption: ClassVar[str | None] = f"{__name__}:LakeCaption"
    fitness: ClassVar[str] = "total"

    size: float = doc_field(60.0, "Most fish that the lake can hold; it begins full.", gt=0)
    growth: float = doc_field(0.8, "Growth in a step of a nearly empty lake.", ge=0, le=3)
    boats: int = doc_field(4, "Most fish that one can catch in a step.", ge=1)
    rounds: int = doc_field(12, "Steps of an episode, if the fish last.", ge=1)
    num_slots: int = provided(4)
    num_players: int = provided(4)
    present: Any = provided(None)

    @property
    def horizon(self) -> int:
        return self.rounds

    @property
    def ends_early(self) -> bool:
        return True

    def init(self, key: Array) -> LakeState:
        nothing = jnp.zeros(self.num_slots, jnp.float32)
        return LakeState(jnp.float32(self.size), nothing, nothing, jnp.int32(0))

    def observe(self, state: LakeState) -> Observation:
        everybody = (self.num_slots,)
        alive = jnp.arange(self.num_slots) < self.num_players
        alive = alive if self.present is None else jnp.asarray(self.present)
        view = {
            "stock": jnp.broadcast_to(state.stock, everybody),
            "catch": state.catch,
            "total": state.total,
            "round": jnp.broadcast_to(state.clock, everybody),
        }
        return Observation(view, alive, acting=alive & ~self._over(state))

    def step(self, key: Array, state: LakeState, action: Array) -> tuple[LakeState, Transition]:
        seen = self.observe(state)
        wanted = jnp.clip(jnp.asarray(action, jnp.float32), 0.0, self.boats)
        wanted = jnp.where(seen.acting, wanted, 0.0)
        share = jnp.minimum(1.0, state.stock / jnp.maximum(wanted.sum(), 1.0))
        catch = wanted * share
        left = jnp.maximum(state.stock - catch.sum(), 0.0)
        grown = left + self.growth * left * (1.0 - left / self.size)
        after = LakeState(
            stock=jnp.minimum(grown, self.size),
            catch=catch,
            total=state.total + catch,
            clock=state.clock + 1,
        )
        ends = seen.alive & self._over(after)
        metrics = {"stock": after.stock, "catch": catch.sum()}
        return after, Transition(catch, ends, jnp.zeros_like(ends), metrics=metrics)

    def outcome(self, state: LakeState) -> dict[str, Array]:
        return {"total": state.total, "stock": state.stock}

    def observation_space(self, slot: int) -> gymnasium.Space:
        box = gymnasium.spaces.Box(0.0, np.inf, (), np.float32)
        rounds = gymnasium.spaces.Discrete(self.rounds + 1)
        return gymnasium.spaces.Dict({"stock": box, "catch": box, "total": box, "round": rounds})

    def action_space(self, slot: int) -> gymnasium.Space:
        return gymnasium.spaces.Discrete(self.boats + 1)

    def noop(self) -> Array:
        return jnp.zeros(self.num_slots, jnp.int32)

    def _over(self, state: LakeState) -> Array:
        return (state.clock >= self.rounds) | (state.stock < 1.0)


class LakeCaption(Caption):
    """The lake in words, for agents that read."""

    world: Lake

    def rules(self, seat: Seat) -> str:
        world = self.world
        return (
            f"You and {world.num_players - 1} others fish in a lake that holds at most "
            f"{float(world.size):g} fish. In each of at most {world.rounds} rounds each of you "
            f"catches up to {world.boats} fish; what is left grows by up to "
            f"{100 * float(world.growth):g}%, less the fuller the lake is. When fewer than one "
            "fish is left, fishing is over for everybody."
        )

    def words(self, row: Any, seat: Seat) -> str:
        return (
            f"Round {int(row['round']) + 1} of {self.world.rounds}. There are "
            f"{float(row['stock']):.1f} fish in the lake. You caught {float(row['catch']):.1f} "
            f"last time and {float(row['total']):.1f} in all."
        )

    def question(self, row: Any, seat: Seat) -> str:
        return "How many fish do you try to catch?"

    def options(self, row: Any, seat: Seat) -> tuple[str, ...]:
        return tuple(str(number) for number in range(self.world.boats + 1))

    def answer_hint(self, row: Any, seat: Seat) -> str:
        return f"Write a whole number from 0 to {self.world.boats}."

    def action(self, text: str, row: Any, seat: Seat) -> np.int32:
        answer = text.rpartition("Answer:")[2].strip(" .\n")
        if answer not in self.options(row, seat):
            raise ParseError(f"{answer[:40]!r} is no answer; {self.answer_hint(row, seat)}")
        return np.int32(answer)
