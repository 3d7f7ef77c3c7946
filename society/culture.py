"""What a generation leaves in the world for the next: lessons, and learners that begin anew.

Only for transmissions that teach; all others pass through these functions untouched, as
nothing here is traced for them.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from society.carry import Carry, Parts, keep
from worlds.random import fold, named
from worlds.types import Array

__all__ = ["begin", "lifetime_known", "teach"]


def begin(parts: Parts, world: Any, root: Array) -> Any:
    """The world of a first generation: with its task and a blank lesson where there are any.

    Raises:
      ValueError: The world has no lessons.
    """
    if not getattr(parts.transmission, "teaches", False):
        return world
    if not hasattr(world, "blank_lesson"):
        name = getattr(type(world), "component_name", type(world).__name__)
        raise ValueError(
            f"transmission demonstration needs a world in which pupils see what others did, not "
            f"{name!r}; use memory_sequence, tsp or goal_sequence, or another transmission"
        )
    return dataclasses.replace(world, lesson=world.blank_lesson(named(root, "lesson")))


def teach(
    engine: Any, parts: Parts, before: Carry, after: Carry, fitness: Array, fresh: Array | bool
) -> Carry:
    """Hand on what the best of the generation that ends did; let naive learners begin anew.

    Args:
      before: the carry as the generation ended. after: with newcomers in place.
      fitness: [N] float32 of those who were there. fresh: False: nothing ends.
    """
    transmission: Any = parts.transmission
    if not getattr(transmission, "teaches", False):
        return after
    world = before.world
    most = world.lesson.models.shape[0]
    ranked = jnp.argsort(jnp.where(before.alive, -fitness, jnp.inf))
    known = jnp.arange(ranked.shape[0]) < jnp.sum(before.alive)
    lack = max(most - ranked.shape[0], 0)
    models = jnp.pad(ranked, (0, lack))[:most]
    lesson = world.taught(
        dataclasses.replace(world.lesson, seen=transmission.seen),
        before.state,
        models.astype(jnp.int32),
        jnp.pad(known, (0, lack))[:most],
    )
    lesson = keep(jnp.asarray(fresh), lesson, world.lesson)
    after = after._replace(world=dataclasses.replace(after.world, lesson=lesson))
    return _learners_anew(engine, parts, after, fresh)


def lifetime_known(world: Any, ticks: int) -> Any:
    """The world with the length of a generation filled in, where it asks for it."""
    if any(field.name == "lifetime" for field in dataclasses.fields(world)):
        return dataclasses.replace(world, lifetime=ticks)
    return world


def _learners_anew(engine: Any, parts: Parts, carry: Carry, fresh: Array | bool) -> Carry:
    """Learners of minds that were made anew forget what they knew of the old ones."""
    transmission: Any = parts.transmission
    if transmission.minds != "naive" or not carry.learners:
        return carry
    courses = list(carry.learners)
    for index, (learner, course) in enumerate(zip(parts.learners, courses, strict=True)):
        if course is None:
            continue
        name = engine.population.groups[index].name
        key = fold(carry.keys[f"learner/{name}"], carry.generation, 0xFFFFFFFE)
        state = learner.init(key, carry.minds[index], engine.seats(parts, carry, index))
        state = jax.tree.map(jnp.asarray, state)
        courses[index] = course._replace(state=keep(jnp.asarray(fresh), state, course.state))
    return carry._replace(learners=tuple(courses))
