"""Lifetimes made of trials, and what one generation's last trial teaches the next.

A lifetime is one episode: several trials at the same hidden task. A *lesson* is the task
that a line of generations shares and what its demonstrators did in their last trials; it is
a leaf of the world, replaced between generations by transmission ``demonstration``.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np

from worlds.random import uniform
from worlds.tree import pytree
from worlds.types import Array

__all__ = [
    "Lesson",
    "Lifetime",
    "begin_lifetime",
    "blank_lesson",
    "finish_step",
    "progress_of",
    "results",
    "shown_now",
    "visible",
]

UNSEEN = -1


@pytree
class Lesson:
    """What is handed on.

    task: the hidden task (pytree of arrays). models: [D, L] int32, what each demonstrator did
    at each place of its last trial, -1 where it did nothing. given: [] bool, there are
    demonstrators (False in the first generation). seen: [2] float32, the chance that they are
    seen at the beginning and at the end of a lifetime.
    """

    task: Any
    models: Array
    given: Array
    seen: Array


@pytree
class Lifetime:
    """One episode of N pupils, each by its own clock.

    task: as in the lesson. models: [D, L] int32 demonstrators of this lifetime. seen: [2]
    float32. visible: [N] bool, the demonstrators can be seen now. alive: [N] bool.
    trial, place: [N] int32, trials finished and step within the trial. own: [N] int32 last
    action, -1 none. reward: [N] float32 of the last step. ended: [N] bool, a trial has just
    ended. tape: [N, L] int32 actions of this trial so far, -1 none; kept: those of the last
    finished trial. sofar, score: [N] float32 of this trial: rewards, and things done right.
    first, last, best, total: [N] float32 returns of finished trials (their sum in total);
    right: [N] float32 score of the last one. clock: int32 steps.
    """

    task: Any
    models: Array
    seen: Array
    visible: Array
    alive: Array
    trial: Array
    place: Array
    own: Array
    reward: Array
    ended: Array
    tape: Array
    kept: Array
    sofar: Array
    score: Array
    first: Array
    last: Array
    best: Array
    total: Array
    right: Array
    clock: Array


def blank_lesson(task: Any, num_models: int, length: int) -> Lesson:
    """The lesson of a first generation: a task and nobody to learn it from."""
    return Lesson(
        task=task,
        models=jnp.full((num_models, length), UNSEEN, jnp.int32),
        given=jnp.bool_(False),
        seen=jnp.zeros(2, jnp.float32),
    )


def begin_lifetime(task: Any, models: Array, seen: Array, alive: Array) -> Lifetime:
    """A lifetime before its first step; call ``visible`` next."""
    num, length = alive.shape[0], models.shape[1]
    zeros, none = jnp.zeros(num, jnp.int32), jnp.full(num, UNSEEN, jnp.int32)
    real, flags = jnp.zeros(num, jnp.float32), jnp.zeros(num, bool)
    tape = jnp.full((num, length), UNSEEN, jnp.int32)
    return Lifetime(
        task=task,
        models=models,
        seen=seen,
        visible=flags,
        alive=alive,
        trial=zeros,
        place=zeros,
        own=none,
        reward=real,
        ended=flags,
        tape=tape,
        kept=tape,
        sofar=real,
        score=real,
        first=real,
        last=real,
        best=real,
        total=real,
        right=real,
        clock=jnp.int32(0),
    )


def visible(key: Array, life: Lifetime, progress: Array | float) -> Lifetime:
    """Draw whether each pupil sees the demonstrators in its next step.

    The chance runs in a line from ``seen[0]`` to ``seen[1]`` while ``progress`` ([N] or a
    number) goes from 0 to 1.
    """
    chance = life.seen[0] + (life.seen[1] - life.seen[0]) * progress
    drawn = uniform(key, jnp.arange(life.alive.shape[0]), 5) < chance
    return dataclasses.replace(life, visible=drawn & life.alive)


def finish_step(
    life: Lifetime, action: Array, acting: Array, reward: Array, right: Array, ends: Array
) -> Lifetime:
    """Write down a step and, where it was a trial's last, close the trial.

    Args:
      action: [N] int32. acting: [N] bool; the rows of others stay as they are.
      reward: [N] float32. right: [N] float32, added to the score. ends: [N] bool.
    """
    ends = ends & acting
    here = (jnp.arange(life.tape.shape[1])[None, :] == life.place[:, None]) & acting[:, None]
    tape = jnp.where(here, action[:, None], life.tape)
    sofar = life.sofar + jnp.where(acting, reward, 0.0)
    score = life.score + jnp.where(acting, right, 0.0)
    only = life.trial == 0
    return dataclasses.replace(
        life,
        trial=life.trial + ends,
        place=jnp.where(ends, 0, life.place + acting),
        own=jnp.where(acting, action, life.own),
        reward=jnp.where(acting, reward, 0.0),
        ended=ends,
        tape=jnp.where(ends[:, None], UNSEEN, tape),
        kept=jnp.where(ends[:, None], tape, life.kept),
        sofar=jnp.where(ends, 0.0, sofar),
        score=jnp.where(ends, 0.0, score),
        first=jnp.where(ends & only, sofar, life.first),
        last=jnp.where(ends, sofar, life.last),
        best=jnp.where(ends, jnp.where(only, sofar, jnp.maximum(life.best, sofar)), life.best),
        total=life.total + jnp.where(ends, sofar, 0.0),
        right=jnp.where(ends, score, life.right),
        clock=life.clock + 1,
    )


def shown_now(life: Lifetime) -> Array:
    """[N, D] int32: what each demonstrator did at the pupil's place; -1 where it is not seen."""
    length = life.models.shape[1]
    there = life.models[:, jnp.clip(life.place, 0, length - 1)].T
    return jnp.where(life.visible[:, None], there, UNSEEN)


def results(life: Lifetime, trials: int) -> dict[str, Array]:
    """Returns of the first, the last, the best and the average trial; score of the last one."""
    done = jnp.maximum(jnp.minimum(life.trial, trials), 1).astype(jnp.float32)
    return {
        "first_reward": life.first,
        "last_reward": life.last,
        "best_reward": life.best,
        "mean_reward": life.total / done,
        "last_score": life.right,
        "trials": life.trial.astype(jnp.float32),
    }


def progress_of(within: Any, lifetime: int) -> Any:
    """How much of a generation has passed, in [0, 1]; 0 where nobody counts."""
    if within is None or lifetime < 2:
        return np.float32(0.0)
    return jnp.minimum(within / (lifetime - 1), 1.0)
