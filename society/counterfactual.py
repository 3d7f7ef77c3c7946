"""What minds would do in the same moment had something been said otherwise.

Measures that stream get a ``Replay`` with every moment. Nothing is computed unless one asks,
inside the compiled loop, and nothing that is asked changes the run.

Source: Lowe et al. (2019), "On the pitfalls of measuring emergent communication",
arXiv:1903.05168: that minds listen is shown by changing the message and nothing else.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from society.carry import Carry, Parts
from society.senses import percept_of
from worlds.random import fold
from worlds.types import Array, Observation, Percept

__all__ = ["Replay", "chances"]


@dataclasses.dataclass(frozen=True)
class Replay:
    """A moment that can be lived again; ``carry`` is the replicate before it decided."""

    engine: Any
    parts: Parts
    carry: Carry

    @property
    def groups(self) -> tuple[int, ...]:
        """Indices of the groups whose minds can be asked: all but language agents."""
        groups = self.engine.population.groups
        return tuple(index for index, group in enumerate(groups) if not group.is_text)

    def rows(self, index: int) -> slice:
        """The slots of a group."""
        return self.engine.population.groups[index].rows

    @property
    def turn(self) -> Array:
        """The turn in which acts are chosen, after all turns of talk."""
        return jnp.int32(self.engine.plan.talk_turns)

    def inbox(self, channel: str, said: Array) -> Mapping[str, Array]:
        """What everybody hears had everybody said this on a channel ([N] words)."""
        outbox = {**self.carry.outbox, channel: said}
        return self.engine._inbox(self.parts, self.carry._replace(outbox=outbox), self.turn)

    def spoken(self, channel: str, observation: Observation) -> Array:
        """[N] int32 words that belong to this moment's acts, -1 for silence.

        Said with the act, or last in the turns of talk before it. Language agents' words are
        those that they say now.
        """
        if self.engine.plan.talk_turns:
            return self.carry.outbox[channel]
        heard = self.inbox(channel, self.carry.outbox[channel])
        silence = jnp.full(self.engine.population.num_slots, -1, jnp.int32)
        words = self.carry.pending.get(channel, silence)
        for index in self.groups:
            percept = self.percept(index, observation, heard)
            decision = self.engine._act(self.parts, self.carry, index, percept, self.turn)
            if channel in decision.outbox:
                said = decision.outbox[channel].astype(jnp.int32)
                words = words.at[self.rows(index)].set(said)
        return words

    def percept(self, index: int, observation: Observation, inbox: Mapping[str, Array]) -> Percept:
        """What a group sees, having heard this."""
        return percept_of(self.engine, self.carry, index, observation, inbox, self.turn)

    def chances(
        self,
        index: int,
        observation: Observation,
        inbox: Mapping[str, Array],
        sizes: Mapping[str, int],
        draws: int,
    ) -> dict[str, Array]:
        """What a group's minds would do and say: see ``chances``; the same luck every time."""
        carry, group = self.carry, self.engine.population.groups[index]
        clock = (carry.generation, carry.episode, carry.step, self.turn)
        key = fold(carry.keys[f"group/{group.name}"], *clock)
        percept = self.percept(index, observation, inbox)
        return chances(self.parts.policies[index], key, carry.minds[index], percept, sizes, draws)


def chances(
    policy: Any, key: Array, mind: Any, percept: Percept, sizes: Mapping[str, int], draws: int
) -> dict[str, Array]:
    """With what chance each row does and says each thing.

    A policy that has ``chances(mind, percept)`` says so exactly; others decide ``draws`` times
    with different keys.

    Args:
      sizes: "" -> number of actions; channel -> number of words and 1 for silence, which
        comes first.

    Returns:
      Name -> [n, size] float32. Channels on which the policy says nothing are missing.
    """
    if hasattr(policy, "chances"):
        found = policy.chances(mind, percept)
        return {name: found[name] for name in sizes if name in found}

    def once(key: Array) -> dict[str, Array]:
        decision = policy.act(key, mind, percept)
        did = {name: box + 1 for name, box in decision.outbox.items()}
        did[""] = decision.action
        return {
            name: jax.nn.one_hot(did[name].astype(jnp.int32), size)
            for name, size in sizes.items()
            if name in did
        }

    keys = jax.vmap(lambda draw: fold(key, 0, draw))(jnp.arange(draws))
    return jax.tree.map(lambda leaf: leaf.mean(axis=0), jax.vmap(once)(keys))
