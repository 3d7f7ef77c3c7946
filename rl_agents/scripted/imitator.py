"""A pupil without learning rules: remembers what was right, copies, and guesses the rest."""

from typing import Any, NamedTuple

import gymnasium
import jax.numpy as jnp

from worlds.policy import ArrayPolicy
from worlds.random import random_bits, uniform
from worlds.registry import component
from worlds.tree import doc_field, pytree
from worlds.types import Array, Decision, Mind, Percept, Seats

__all__ = ["Imitator"]


class Notes(NamedTuple):
    """What a pupil knows in one life.

    wrong: [n, L, S] bool, symbols that were wrong at a place. right: [n, L] int32 the right
    one, -1 unknown. place: [n] int32 of the last choice.
    """

    wrong: Array
    right: Array
    place: Array


@component("policy", "imitator")
@pytree
class Imitator(ArrayPolicy):
    """Plays what it knows to be right, else copies the first demonstrator, else guesses.

    For memory_sequence. A symbol that was wrong at a place is not chosen there again. With
    chance ``error`` it plays a random symbol instead of what it knows or copies. The ideal
    pupil of a lifetime, and a yardstick for trained ones. It remembers one life only.
    """

    error: float = doc_field(0.0, "Chance of a random symbol.", ge=0, le=1)

    def check(self, seats: Seats) -> None:
        """Refuse worlds that are no memory_sequence."""
        space = seats.observation_space
        parts = space.spaces if isinstance(space, gymnasium.spaces.Dict) else {}
        if not {"place", "shown", "own", "reward"} <= set(parts) or not hasattr(
            seats.world, "symbols"
        ):
            raise ValueError(
                "policy 'imitator' remembers symbols by their place, which this world does not "
                "show; use it in memory_sequence, or choose another policy (society list policies)"
            )

    def init(self, key: Array, seats: Seats) -> Mind:
        """Know nothing."""
        length, symbols = seats.world.length, seats.world.symbols
        return Mind(
            memory=Notes(
                wrong=jnp.zeros((seats.num, length, symbols), bool),
                right=jnp.full((seats.num, length), -1, jnp.int32),
                place=jnp.full(seats.num, -1, jnp.int32),
            )
        )

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Note how the last choice went, then choose."""
        notes = _forgotten(mind.memory, percept.first)
        view = percept.view
        notes = _noted(notes, view)
        num, length, symbols = notes.wrong.shape
        lanes = jnp.arange(num * symbols)
        here = jnp.arange(length)[None, :] == view["place"][:, None]
        known = jnp.max(jnp.where(here, notes.right, -1), axis=1)
        tried = jnp.any(notes.wrong & here[:, :, None], axis=1)
        luck = random_bits(key, lanes).reshape(num, symbols) >> 1
        guess = jnp.argmax(jnp.where(tried, 0, luck + 1), axis=1).astype(jnp.int32)
        shown = view["shown"][:, 0]
        refuted = jnp.any(tried & (jnp.arange(symbols)[None, :] == shown[:, None]), axis=1)
        copies = (shown >= 0) & ~refuted
        choice = jnp.where(known >= 0, known, jnp.where(copies, shown, guess))
        errs = uniform(key, jnp.arange(num), 1) < self.error
        choice = jnp.where(errs, jnp.argmax(luck, axis=1), choice).astype(jnp.int32)
        place = jnp.where(percept.acting, view["place"], notes.place)
        return Decision(choice, notes._replace(place=place.astype(jnp.int32)))


def _forgotten(notes: Notes, first: Array) -> Notes:
    return Notes(
        wrong=notes.wrong & ~first[:, None, None],
        right=jnp.where(first[:, None], -1, notes.right),
        place=jnp.where(first, -1, notes.place),
    )


def _noted(notes: Notes, view: Any) -> Notes:
    """Write down whether the last choice was right."""
    _, length, symbols = notes.wrong.shape
    there = jnp.arange(length)[None, :] == notes.place[:, None]
    chosen = jnp.arange(symbols)[None, :] == view["own"][:, None]
    good = (view["reward"] > 0)[:, None]
    bad = (view["reward"] < 0)[:, None]
    return notes._replace(
        right=jnp.where(there & good, view["own"][:, None], notes.right),
        wrong=notes.wrong | (there & bad)[:, :, None] & chosen[:, None, :],
    )
