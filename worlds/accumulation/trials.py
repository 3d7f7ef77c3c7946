"""A lifetime of trials at one task: what worlds of cultural accumulation have in common."""

import abc
from typing import Any, ClassVar

import gymnasium
import jax.numpy as jnp
import numpy as np

from worlds.accumulation.lessons import (
    Lesson,
    Lifetime,
    begin_lifetime,
    blank_lesson,
    progress_of,
    shown_now,
    visible,
)
from worlds.random import fold
from worlds.types import Array, Observation
from worlds.world import World

__all__ = ["Trials"]


class Trials(World[Lifetime]):
    """Pupils try one task again and again, and see what demonstrators chose at their place.

    Subclasses have the fields named below, and say what the task is: ``span`` places, at each
    of which one of ``choices`` is chosen; ``draw_task``; ``draw_teachers``.
    """

    most_reward: ClassVar[float] = 1.0
    trials: int
    models: int
    schedule: Any
    num_players: int
    present: Any
    lesson: Any
    within: Any
    lifetime: int

    @property
    @abc.abstractmethod
    def span(self) -> int:
        """Places of a trial."""

    @property
    @abc.abstractmethod
    def choices(self) -> int:
        """Choices at each place."""

    @abc.abstractmethod
    def draw_task(self, key: Array) -> Array:
        """The task of a lifetime."""

    @abc.abstractmethod
    def draw_teachers(self, key: Array, task: Array) -> tuple[Array, Array]:
        """[models, span] what teachers would choose, and how often they are seen."""

    @property
    def horizon(self) -> int:
        """Most steps of a lifetime."""
        return self.trials * self.span

    @property
    def ends_early(self) -> bool:
        """Mistakes end trials."""
        return True

    def blank_lesson(self, key: Array) -> Lesson:
        """A task, and nobody to learn it from."""
        return blank_lesson(self.draw_task(key), self.models, self.span)

    def taught(self, lesson: Lesson, state: Lifetime, models: Array, known: Array) -> Lesson:
        """The lesson that some of a generation leave: their last trials.

        Args:
          models: [D] int32 slots. known: [D] bool, there is such a demonstrator.
        """
        tapes = jnp.where(known[:, None], state.kept[models], -1)
        return Lesson(lesson.task, tapes, jnp.bool_(True), lesson.seen)

    def init(self, key: Array) -> Lifetime:
        """Draw task and teachers, or take them from the lesson."""
        num = self.num_slots
        alive = jnp.arange(num) < self.num_players if self.present is None else self.present
        lesson = self.lesson
        task = self.draw_task(key) if lesson is None else lesson.task
        models, seen = self.draw_teachers(fold(key, 2), task)
        if lesson is not None:
            models = jnp.where(lesson.given, lesson.models, models)
            seen = jnp.where(lesson.given, lesson.seen, seen)
        life = begin_lifetime(task, models, seen, alive)
        return visible(fold(key, 1), life, self.progress(life))

    def observe(self, state: Lifetime) -> Observation:
        """Show each pupil its last choice and the demonstrators'."""
        view = {
            "place": jnp.minimum(state.place, self.span - 1),
            "shown": shown_now(state),
            "visible": state.visible.astype(jnp.int32),
            "own": state.own,
            "ended": state.ended.astype(jnp.int32),
            "reward": state.reward,
        }
        return Observation(view, state.alive, state.alive & (state.trial < self.trials))

    def observation_space(self, slot: int) -> gymnasium.Space:
        """Space of one row of the view."""
        discrete = gymnasium.spaces.Discrete
        shown = gymnasium.spaces.MultiDiscrete(
            [self.choices + 1] * self.models, start=[-1] * self.models
        )
        return gymnasium.spaces.Dict(
            {
                "place": discrete(self.span),
                "shown": shown,
                "visible": discrete(2),
                "own": discrete(self.choices + 1, start=-1),
                "ended": discrete(2),
                "reward": gymnasium.spaces.Box(-1.0, self.most_reward, (), np.float32),
            }
        )

    def action_space(self, slot: int) -> gymnasium.Space:
        """One of the choices."""
        return gymnasium.spaces.Discrete(self.choices)

    def noop(self) -> Array:
        """The first choice."""
        return jnp.zeros(self.num_slots, jnp.int32)

    def progress(self, life: Lifetime) -> Any:
        """How far a lifetime, or the generation, has come: 0 to 1."""
        if self.schedule == "generation":
            return progress_of(self.within, self.lifetime)
        return jnp.minimum(life.trial / max(self.trials - 1, 1), 1.0)
