"""The travelling salesperson, blind: short tours are found by trying and by watching."""

import itertools
from collections.abc import Sequence
from typing import Any, ClassVar, Literal

import jax
import jax.numpy as jnp
import numpy as np

from worlds.accumulation.lessons import (
    Lifetime,
    finish_step,
    results,
    visible,
)
from worlds.accumulation.trials import Trials
from worlds.random import random_bits, random_pair, uniform
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Seat, Transition

__all__ = ["Tsp"]

_FARTHEST = np.float32(2.0**0.5)
_MOST_SOLVED = 8  # cities for which all tours are compared


@component("world", "tsp")
@pytree
class Tsp(Trials):
    """Pupils look for a short round tour through cities that they cannot see.

    An episode is a lifetime of ``trials`` tours through the same ``cities`` places, uniform in
    the unit square. Who acts when: each pupil by its own clock, until its trials are over.
    Action: Discrete(cities), where to go next. Reward: (sqrt 2 - d) / sqrt 2 for a leg of
    length d, and for the leg home on the last city; 0 for the first city; -1, and the end of
    the trial, for a city that was visited before. The episode ends when everybody has
    finished its trials. Random: the cities, who is seen when, and the teachers.

    Demonstrators are shown as in memory_sequence: what they chose at the pupil's place.
    ``teachers: oracle`` gives every lifetime ``models`` teachers who go on to each city that
    is left with chances proportional to exp(-d / T), T uniform in [0, heat], coolest first.

    View: as in memory_sequence; the cities' places are not shown. Outcome ``shortfall`` is the
    best possible return of a trial minus that of the last (up to 8 cities).

    Source: Cook et al. (2024), "Artificial generational intelligence", arXiv:2406.00392,
    section 6; rewards as in its code.
    """

    caption: ClassVar[str | None] = "worlds.accumulation.captions:TrialCaption"
    fitness: ClassVar[str] = "last_reward"
    most_reward: ClassVar[float] = 2.0

    cities: int = doc_field(6, "Cities of a tour.", ge=3, le=26)
    trials: int = doc_field(8, "Trials in a lifetime.", ge=1, le=1024)
    models: int = doc_field(3, "Demonstrators that are seen at once.", ge=1, le=64)
    teachers: Literal["none", "oracle"] = doc_field(
        "none", "Demonstrators of those whose generation has no forerunners."
    )
    heat: float = doc_field(0.5, "Greatest temperature of a teacher.", ge=0)
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
        """Cities of a trial."""
        return self.cities

    @property
    def choices(self) -> int:
        """Cities to choose from."""
        return self.cities

    def step(self, key: Array, state: Lifetime, action: Array) -> tuple[Lifetime, Transition]:
        """Travel on."""
        acting = state.alive & (state.trial < self.trials)
        action = jnp.asarray(action).astype(jnp.int32)
        again = jnp.any(state.tape == action[:, None], axis=1)
        final = state.place == self.cities - 1
        first = state.place == 0
        leg = self._worth(state.task, jnp.maximum(state.own, 0), action)
        home = self._worth(state.task, action, jnp.maximum(state.tape[:, 0], 0))
        reward = jnp.where(first, 0.0, leg) + jnp.where(final, home, 0.0)
        reward = jnp.where(again, -1.0, reward)
        reward = jnp.where(acting, reward, 0.0).astype(jnp.float32)
        life = finish_step(state, action, acting, reward, 1.0 - again, again | final)
        life = visible(key, life, self.progress(life))
        over = jnp.all(~life.alive | (life.trial >= self.trials))
        acted = jnp.maximum(jnp.sum(acting), 1)
        metrics = {
            "reward_mean": jnp.sum(reward) / acted,
            "revisits": jnp.sum(acting & again, dtype=jnp.float32) / acted,
        }
        ended = life.alive & over
        return life, Transition(reward, ended, jnp.zeros_like(ended), metrics=metrics)

    def outcome(self, state: Lifetime) -> dict[str, Array]:
        """Returns of trials, and how much the last one falls short of the best tour."""
        found = results(state, self.trials)
        if self.cities <= _MOST_SOLVED:
            found["shortfall"] = self.best_return(state.task) - found["last_reward"]
        return found

    def best_return(self, places: Array) -> Array:
        """The return of the shortest tour, by comparing all ([cities, 2] places)."""
        rest = list(itertools.permutations(range(1, self.cities)))
        tours = np.array([(0, *tour, 0) for tour in rest if tour[0] <= tour[-1]], np.int32)
        legs = self._worth(places, jnp.asarray(tours[:, :-1]), jnp.asarray(tours[:, 1:]))
        return jnp.max(jnp.sum(legs, axis=1))

    def tell_rules(self, seat: Seat) -> Sequence[str]:
        """The rules as they are paid."""
        return (
            f"Find a short round tour through {self.cities} cities. You do not know where they "
            "are, but they stay in the same places in all your trials.",
            "Name the cities one after another. Each leg gives you between 0 (as far apart as "
            "can be) and 1 point (no distance at all), and so does the way home from the last "
            "city; the first city gives nothing.",
            "A city that you have visited before costs you 1 point and ends the trial.",
            f"You have {self.trials} trials. Sometimes you see what up to {self.models} others, "
            "who travelled here before you, chose at this place of their tour.",
            "Your goal is to earn as much as possible in your last trial.",
        )

    def draw_task(self, key: Array) -> Array:
        """Places in the unit square, [cities, 2]."""
        return uniform(key, jnp.arange(2 * self.cities), 3).reshape(self.cities, 2)

    def _worth(self, places: Array, one: Array, other: Array) -> Array:
        """(sqrt 2 - distance) / sqrt 2 of legs between cities."""
        far = jnp.sqrt(jnp.sum((places[one] - places[other]) ** 2, axis=-1))
        return (_FARTHEST - far) / _FARTHEST

    def draw_teachers(self, key: Array, places: Array) -> tuple[Array, Array]:
        """[models, cities] tours of teachers, and how often they are seen."""
        if self.teachers == "none":
            blank = jnp.full((self.models, self.cities), -1, jnp.int32)
            return blank, jnp.zeros(2, jnp.float32)
        heat = jnp.sort(uniform(key, jnp.arange(self.models), 1) * self.heat)
        apart = _FARTHEST * (
            1.0
            - self._worth(
                places, jnp.arange(self.cities)[:, None], jnp.arange(self.cities)[None, :]
            )
        )
        start, _ = random_pair(key, jnp.arange(self.models), 2)
        now = (start % np.uint32(self.cities)).astype(jnp.int32)
        lanes = jnp.arange(self.models * self.cities)
        tour, left = [now], ~jax.nn.one_hot(now, self.cities, dtype=bool)
        for leg in range(1, self.cities):
            # The largest of score + Gumbel noise is a draw from the softmax of the scores.
            luck = (random_bits(key, lanes, 10 + leg) >> 8).astype(jnp.float32) + 0.5
            gumbel = -jnp.log(-jnp.log(luck * 2.0**-24)).reshape(self.models, self.cities)
            score = -apart[now] / jnp.maximum(heat, 1e-6)[:, None] + gumbel
            now = jnp.argmax(jnp.where(left, score, -jnp.inf), axis=1).astype(jnp.int32)
            left = left & ~jax.nn.one_hot(now, self.cities, dtype=bool)
            tour.append(now)
        return jnp.stack(tour, axis=1), jnp.array([1.0, 0.0], jnp.float32)
