"""Memory sequence: a long hidden sequence, and a trial that ends at the first mistake."""

from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import jax.numpy as jnp

from worlds.accumulation.lessons import (
    Lifetime,
    finish_step,
    results,
    visible,
)
from worlds.accumulation.trials import Trials
from worlds.random import below, random_pair, uniform
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Seat, Transition

__all__ = ["MemorySequence"]


@component("world", "memory_sequence")
@pytree
class MemorySequence(Trials):
    """Pupils learn a hidden sequence of symbols; a trial ends at the first mistake.

    An episode is a lifetime of ``trials`` trials at one sequence of ``length`` symbols. Who
    acts when: each pupil by its own clock, in every step until its trials are over. Action:
    Discrete(symbols), the symbol that is thought to be next. Reward: +1 if it is, else -1.
    A trial ends after a mistake or at the end of the sequence, and the next one begins at the
    first symbol. The episode ends when everybody has finished its trials. Random: the
    sequence, who is seen when, and the teachers.

    Demonstrators are shown as what they chose at the pupil's place, before it chooses. They
    are seen with a chance that runs in a line over the trials of a lifetime (or, with
    ``schedule: generation``, over the steps of a generation). Where they come from:
    ``teachers: oracle`` gives every lifetime ``models`` teachers who know each symbol with
    chance p = 1 - 1 / (1 + u), u uniform in [0, skill], and guess otherwise, best first,
    seen from always (first trial) to never (last); transmission ``demonstration`` replaces
    them by the previous generation, replayed from its last trial, best first.

    View: ``place`` int32 in the sequence; ``shown`` [models] int32 symbols (-1: nothing),
    ``visible`` int32, ``own`` int32 last choice (-1: none), ``ended`` int32 (the last choice
    ended a trial), ``reward`` float32.

    Source: Cook, Lu, Hughes, Leibo, Foerster (2024), "Artificial generational intelligence",
    arXiv:2406.00392, sections 5 and 6. There teachers err anew in every step, and
    demonstrators are networks that act on; here both are fixed for a lifetime.
    """

    caption: ClassVar[str | None] = "worlds.accumulation.captions:TrialCaption"
    fitness: ClassVar[str] = "last_reward"

    symbols: int = doc_field(3, "Different symbols.", ge=2, le=26)
    length: int = doc_field(24, "Symbols of the sequence.", ge=1, le=512)
    trials: int = doc_field(4, "Trials in a lifetime.", ge=1, le=1024)
    models: int = doc_field(3, "Demonstrators that are seen at once.", ge=1, le=64)
    teachers: Literal["none", "oracle"] = doc_field(
        "none", "Demonstrators of those whose generation has no forerunners."
    )
    skill: float = doc_field(3.0, "Greatest mean run of symbols that a teacher knows.", ge=0)
    schedule: Literal["trials", "generation"] = doc_field(
        "trials", "Over what the chance to see demonstrators runs from first to last."
    )
    num_slots: int = provided(4)
    num_players: int = provided(4)
    present: Any = provided(None)
    lesson: Any = provided(None)
    within: Any = provided(None)
    lifetime: int = provided(0)

    @property
    def span(self) -> int:
        """Symbols of a trial."""
        return self.length

    @property
    def choices(self) -> int:
        """Symbols to choose from."""
        return self.symbols

    def step(self, key: Array, state: Lifetime, action: Array) -> tuple[Lifetime, Transition]:
        """Judge every pupil's choice."""
        acting = state.alive & (state.trial < self.trials)
        action = jnp.asarray(action).astype(jnp.int32)
        right = action == state.task[jnp.clip(state.place, 0, self.length - 1)]
        reward = jnp.where(acting, jnp.where(right, 1.0, -1.0), 0.0).astype(jnp.float32)
        ends = ~right | (state.place == self.length - 1)
        life = finish_step(state, action, acting, reward, right.astype(jnp.float32), ends)
        life = visible(key, life, self.progress(life))
        over = jnp.all(~life.alive | (life.trial >= self.trials))
        acted = jnp.maximum(jnp.sum(acting), 1)
        metrics = {
            "right": jnp.sum(acting & right, dtype=jnp.float32) / acted,
            "symbols": jnp.sum(acting & right, dtype=jnp.float32),
            "ended": jnp.sum(acting & ends, dtype=jnp.float32),
            "trial": jnp.sum(jnp.where(life.alive, life.trial, 0), dtype=jnp.float32)
            / jnp.maximum(jnp.sum(life.alive), 1),
        }
        ended = life.alive & over
        return life, Transition(reward, ended, jnp.zeros_like(ended), metrics=metrics)

    def outcome(self, state: Lifetime) -> dict[str, Array]:
        """Returns of trials; ``last_score`` is the number of symbols known in the last one."""
        return results(state, self.trials)

    def expected_score(self, accuracy: float) -> float:
        """Symbols right in a trial by whoever is right with a given chance each time.

        The sum over k from 1 to L of p^k: p (1 - p^L) / (1 - p), or L for p = 1.
        """
        if accuracy >= 1.0:
            return float(self.length)
        return accuracy * (1.0 - accuracy**self.length) / (1.0 - accuracy)

    def tell_rules(self, seat: Seat) -> Sequence[str]:
        """The rules as they are paid."""
        return (
            f"There is a hidden sequence of {self.length} symbols; each is one of "
            f"{self.symbols}. It is the same in all your trials.",
            "Guess the symbols one after another from the beginning. Each right one gives you 1 "
            "point. A wrong one costs you 1 point and ends the trial, and the next trial begins "
            "at the first symbol again.",
            f"You have {self.trials} trials. Sometimes you see what up to {self.models} others, "
            "who tried the same sequence before you, chose at this place. They may be wrong.",
            "Your goal is to get as far as possible in your last trial.",
        )

    def draw_task(self, key: Array) -> Array:
        """The sequence."""
        words, _ = random_pair(key, jnp.arange(self.length), 3)
        return below(words, self.symbols)

    def draw_teachers(self, key: Array, task: Array) -> tuple[Array, Array]:
        """[models, length] what teachers would choose, and how often they are seen."""
        shape = (self.models, self.length)
        if self.teachers == "none":
            return jnp.full(shape, -1, jnp.int32), jnp.zeros(2, jnp.float32)
        accuracy = 1.0 - 1.0 / (1.0 + uniform(key, jnp.arange(self.models), 1) * self.skill)
        accuracy = jnp.sort(accuracy)[::-1]
        lanes = jnp.arange(self.models * self.length)
        known = uniform(key, lanes, 2).reshape(shape) < accuracy[:, None]
        guesses = below(random_pair(key, lanes, 4)[0], self.symbols).reshape(shape)
        seen = jnp.array([1.0, 0.0], jnp.float32)
        return jnp.where(known, task[None, :], guesses).astype(jnp.int32), seen
