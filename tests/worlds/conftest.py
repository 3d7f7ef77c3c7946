"""Small worlds for tests of the contract: one of each kind that the games do not show."""

import dataclasses
import types
from typing import Any, ClassVar

import gymnasium
import jax.numpy as jnp
import numpy as np
import pytest

from worlds.captions import Caption
from worlds.random import random_bits, uniform
from worlds.spaces import AnyText
from worlds.tree import doc_field, provided, pytree
from worlds.types import Observation, ParseError, Transition
from worlds.world import World


@pytree
class Pond(World[Any]):
    """Four slots catch fish for six steps; whoever takes too much is out.

    State: stock float32, energy [N] float32, clock int32, alive [N] bool.
    Action: Discrete(3), fish taken; 2 is legal only with energy. Odd slots rest in odd steps.
    """

    caption: ClassVar[str | None] = None
    fitness: ClassVar[str] = "energy"

    growth: float = doc_field(1.25, "Growth of the stock in a step.", gt=0)
    rounds: int = doc_field(6, "Steps of an episode.", ge=1)
    num_slots: int = provided(4)
    num_players: int = provided(3)

    @property
    def horizon(self):
        return self.rounds

    def init(self, key):
        alive = jnp.arange(self.num_slots) < self.num_players
        energy = jnp.where(alive, 1.0, 0.0).astype(jnp.float32)
        return {"stock": jnp.float32(10), "energy": energy, "clock": jnp.int32(0), "alive": alive}

    def observe(self, state):
        slots = jnp.arange(self.num_slots)
        turn = (slots % 2 == 0) | (state["clock"] % 2 == 0)
        acting = state["alive"] & turn & (state["clock"] < self.rounds)
        legal = jnp.ones((self.num_slots, 3), bool).at[:, 2].set(state["energy"] > 0)
        view = {"energy": state["energy"], "clock": jnp.broadcast_to(state["clock"], slots.shape)}
        return Observation(view, state["alive"], acting, legal=legal)

    def step(self, key, state, action):
        acting = self.observe(state).acting
        taken = jnp.where(acting, jnp.asarray(action), 0).astype(jnp.float32)
        luck = uniform(key, jnp.arange(self.num_slots))
        gain = jnp.where(acting, taken * (0.5 + 0.5 * luck), 0.0).astype(jnp.float32)
        clock = state["clock"] + 1
        new = {
            "stock": (state["stock"] - gain.sum()) * self.growth,
            "energy": state["energy"] + gain,
            "clock": clock,
            "alive": state["alive"],
        }
        ends = state["alive"] & (clock >= self.rounds)
        return new, Transition(gain, ends, jnp.zeros_like(ends), metrics={"stock": new["stock"]})

    def outcome(self, state):
        return {"energy": state["energy"]}

    def observation_space(self, slot):
        return gymnasium.spaces.Dict(
            {
                "energy": gymnasium.spaces.Box(0, np.inf, (), np.float32),
                "clock": gymnasium.spaces.Discrete(self.rounds + 1),
            }
        )

    def action_space(self, slot):
        return gymnasium.spaces.Discrete(3)

    def noop(self):
        return jnp.zeros(self.num_slots, jnp.int32)


class PondCaption(Caption):
    """Words for the pond."""

    def rules(self, seat):
        return f"The pond grows by {float(self.world.growth):g} a step."

    def words(self, row, seat):
        return f"You are {self.names(seat.slot)} and have {float(row['energy']):g}."

    def question(self, row, seat):
        return "How many fish do you take?"

    def options(self, row, seat):
        return ("none", "one", "two") if float(row["energy"]) > 0 else ("none", "one")

    def action(self, text, row, seat):
        answer = text.rpartition("Answer:")[2].strip()
        if answer not in self.options(row, seat):
            raise ParseError(f"{answer!r} is not one of {self.options(row, seat)}")
        return np.int32(("none", "one", "two").index(answer))


@pytree
class Colony(World[Any]):
    """Cells divide into free slots and die of age: births, deaths and reused slots.

    Action: Discrete(2), 1 to divide. A cell older than its limit dies. No horizon.
    """

    births: ClassVar[int] = 1

    lifetime: int = doc_field(3, "Steps that a cell lives.", ge=1)
    num_slots: int = provided(5)
    num_players: int = provided(2)

    def init(self, key):
        alive = jnp.arange(self.num_slots) < self.num_players
        return {"age": jnp.zeros(self.num_slots, jnp.int32), "alive": alive}

    def observe(self, state):
        return Observation({"age": state["age"]}, state["alive"], state["alive"])

    def step(self, key, state, action):
        alive, slots = state["alive"], jnp.arange(self.num_slots)
        age = state["age"] + 1
        dies = alive & (age >= self.lifetime)
        free = ~alive | dies
        divides = alive & ~dies & (jnp.asarray(action) == 1)
        child_rank, free_rank = jnp.cumsum(divides) - 1, jnp.cumsum(free) - 1
        matches = (free_rank[:, None] == child_rank[None, :]) & free[:, None] & divides[None, :]
        born = matches.any(axis=1)
        parents = jnp.where(born, jnp.argmax(matches, axis=1), -1).astype(jnp.int32)
        new = {"age": jnp.where(born | free, 0, age), "alive": (alive & ~dies) | born}
        reward = jnp.where(alive & ~dies, 1.0, 0.0).astype(jnp.float32)
        del slots
        return new, Transition(reward, dies, jnp.zeros_like(dies), parents=parents[:, None])

    def observation_space(self, slot):
        return gymnasium.spaces.Dict({"age": gymnasium.spaces.Discrete(self.lifetime + 1)})

    def action_space(self, slot):
        return gymnasium.spaces.Discrete(2)

    def noop(self):
        return jnp.zeros(self.num_slots, jnp.int32)


@pytree
class Story(World[Any]):
    """Two tellers add words to a story in turn; Python values, texts and options."""

    backend: ClassVar[Any] = "host"

    rounds: int = doc_field(4, "Words in a story.", ge=1)
    num_slots: int = provided(2)

    @property
    def horizon(self):
        return self.rounds

    def init(self, key):
        first = ("Once", "Long ago")[int(random_bits(key, jnp.uint32(0))) % 2]
        return {"words": [first], "scores": np.zeros(2, np.float32)}

    def observe(self, state):
        step = len(state["words"]) - 1
        acting = np.array([step % 2 == 0, step % 2 == 1]) & (step < self.rounds)
        text = " ".join(state["words"])
        options = tuple(("a", "fox", "ran") if turn else None for turn in acting)
        return Observation((), np.ones(2, bool), acting, None, (text, text), options)

    def step(self, key, state, action):
        turn = (len(state["words"]) - 1) % 2
        words = [*state["words"], str(action[turn])]
        reward = np.zeros(2, np.float32)
        reward[turn] = len(str(action[turn]))
        ends = np.full(2, len(words) - 1 >= self.rounds)
        new = {"words": words, "scores": state["scores"] + reward}
        return new, Transition(reward, ends, np.zeros(2, bool))

    def observation_space(self, slot):
        return gymnasium.spaces.Dict({})

    def action_space(self, slot):
        return AnyText(20)

    def noop(self):
        return ["", ""]


@pytest.fixture(scope="session")
def toys():
    """The small worlds, and how to make variants of them."""
    return types.SimpleNamespace(
        Pond=Pond, PondCaption=PondCaption, Colony=Colony, Story=Story, replace=dataclasses.replace
    )
