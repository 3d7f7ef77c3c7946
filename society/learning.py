"""The loop's half of learning: gather a group's own steps, update at boundaries of T.

A ``Course`` is what a group's learner keeps in the carry of a replicate. Its steps are
written inside the compiled loop, one row a tick; ``learn`` is a compiled function of its
own, called when the host has counted T ticks. Scenarios without learners keep nothing here
and compile what they compiled before.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rl_agents.learner import Learner, Trajectory
from society.carry import Carry, Parts, placed
from society.senses import first_rows, percept_of
from worlds.random import fold, named
from worlds.types import Array, Decision, Mind, Observation, Percept, Transition

__all__ = [
    "Course",
    "begin_courses",
    "due",
    "learn",
    "metrics_of",
    "reads_boundaries",
    "record",
    "rollouts",
    "streams",
]


class Steps(NamedTuple):
    """Rows of a trajectory in the making; leaves [T, n, ...], see ``Trajectory``."""

    percept: Percept
    uid: Array
    action: Any
    extras: Mapping[str, Array]
    reward: Array
    terminated: Array
    truncated: Array
    cut_value: Array


class Course(NamedTuple):
    """What learning keeps of one group of one replicate.

    state: the learner's. steps: of the trajectory in the making. memory: of the minds before its
    first step. at: int32 steps written. updates: int32 updates made.
    so_far: [n] float32 return of the episode under way. finished: [2] float32, sum and number of
    returns of episodes that ended since the last update.
    metrics: name -> float32, of the last update; NaN before the first.
    """

    state: Any
    steps: Steps
    memory: Any
    at: Array
    updates: Array
    so_far: Array
    finished: Array
    metrics: Mapping[str, Array]


def streams(parts: Parts, population: Any) -> tuple[str, ...]:
    """Names of the streams of randomness that learners draw from."""
    return tuple(
        f"learner/{group.name}"
        for group, length in zip(population.groups, rollouts(parts), strict=False)
        if length
    )


# ---- set-up -------------------------------------------------------------------------------


def begin_courses(engine: Any, parts: Parts, carry: Carry, root: Array) -> tuple[Any, ...]:
    """A Course for every group that learns, None for the others; () where nobody does."""
    if not any(learner is not None for learner in parts.learners):
        return ()
    return tuple(
        None if learner is None else _begin(engine, parts, carry, root, index)
        for index, learner in enumerate(parts.learners)
    )


def _begin(engine: Any, parts: Parts, carry: Carry, root: Array, index: int) -> Course:
    group = engine.population.groups[index]
    learner: Learner = parts.learners[index]
    mind = carry.minds[index]
    key = named(root, f"learner/{group.name}")
    state = learner.init(key, mind, engine.seats(parts, carry, index))
    row = jax.eval_shape(lambda c: _row_shape(engine, parts, c, index), carry)
    steps = jax.tree.map(lambda leaf: jnp.zeros((learner.rollout, *leaf.shape), leaf.dtype), row)
    course = Course(
        state=state,
        steps=steps,
        memory=mind.memory,
        at=jnp.int32(0),
        updates=jnp.int32(0),
        so_far=jnp.zeros(group.size),
        finished=jnp.zeros(2),
        metrics={},
    )
    trial = carry._replace(learners=_put((None,) * len(parts.learners), index, course))
    names = jax.eval_shape(lambda c: _update(engine, parts, c, index)[2], trial)
    unknown = {name: jnp.float32(jnp.nan) for name in (*names, "reward", "episode_return")}
    return course._replace(metrics=unknown)


def _row_shape(engine: Any, parts: Parts, carry: Carry, index: int) -> Steps:
    """One step's row, for its shapes only."""
    observation = engine.observe(carry)
    turn = jnp.int32(engine.plan.talk_turns)
    inbox = engine._inbox(parts, carry, turn)
    percept = percept_of(engine, carry, index, observation, inbox, turn)
    decision = engine._act(parts, carry, index, percept, turn)
    size = engine.population.groups[index].size
    real, flag = jnp.zeros(size), jnp.zeros(size, bool)
    uid = jnp.zeros(size, jnp.int32)
    return Steps(percept, uid, decision.action, decision.extras, real, flag, flag, real)


# ---- inside the loop ------------------------------------------------------------------------


class Now(NamedTuple):
    """One tick, as the groups that learn went through it.

    seen: per group, (percept, decision), or None for those that do not learn. before: the carry
    when they decided. transition: of everybody. ends: the tick was the last of its episode.
    frozen: it only waited.
    """

    seen: tuple[tuple[Percept, Decision] | None, ...]
    before: Carry
    transition: Transition
    ends: Array
    frozen: Array


def record(engine: Any, parts: Parts, carry: Carry, now: Now) -> Carry:
    """Write one row into every course; ``carry`` is what the tick has made."""
    courses = carry.learners
    for index, seen in enumerate(now.seen):
        if seen is not None and courses[index] is not None:
            course = _write(engine, parts, carry, now, index, *seen)
            courses = _put(courses, index, course)
    return carry._replace(learners=courses)


def _write(
    engine: Any, parts: Parts, carry: Carry, now: Now, index: int, percept: Percept, did: Decision
) -> Course:
    group = engine.population.groups[index]
    rows, course = group.rows, carry.learners[index]
    alive = now.before.alive[rows] & percept.alive
    terminated = now.transition.terminated[rows] & ~now.frozen
    cut = now.transition.truncated[rows] | (now.ends & alive)
    truncated = cut & ~terminated & ~now.frozen
    reward = now.transition.reward[rows]
    percept = percept._replace(first=first_rows(now.before, rows))
    row = Steps(
        percept=percept,
        uid=now.before.uid[rows],
        action=did.action,
        extras=did.extras,
        reward=reward,
        terminated=terminated,
        truncated=truncated,
        cut_value=_cut_value(engine, parts, carry, index, percept, truncated),
    )
    steps = jax.tree.map(lambda all_, one: all_.at[course.at].set(one), course.steps, row)
    over = terminated | truncated
    so_far = course.so_far + jnp.where(now.frozen, 0.0, reward)
    ended = jnp.stack([jnp.where(over, so_far, 0.0).sum(), over.sum().astype(jnp.float32)])
    return course._replace(
        steps=steps,
        at=course.at + 1,
        so_far=jnp.where(over, 0.0, so_far),
        finished=course.finished + ended,
    )


def _cut_value(
    engine: Any, parts: Parts, carry: Carry, index: int, percept: Percept, truncated: Array
) -> Array:
    """What the last sight of a truncated episode is worth, [n]; seldom computed."""
    group = engine.population.groups[index]
    learner, course = parts.learners[index], carry.learners[index]
    nothing = jnp.zeros(group.size)

    def worth() -> Array:
        world = placed(carry)
        last = getattr(world, "observe_last", world.observe)(carry.state)
        view = jax.tree.map(lambda x: x[group.rows], last.view)
        legal = None if last.legal is None else last.legal[group.rows]
        seen = percept._replace(view=view, legal=legal, first=jnp.zeros_like(percept.first))
        value = learner.worth(course.state, carry.minds[index], seen)
        return jnp.where(truncated, value, 0.0)

    shape = jax.eval_shape(lambda: learner.worth(course.state, carry.minds[index], percept))
    if shape is None:
        return nothing
    return jax.lax.cond(truncated.any(), worth, lambda: nothing)


def metrics_of(engine: Any, carry: Carry) -> dict[str, Array]:
    """Numbers of the last updates: "learner/<group>/<name>" -> float32."""
    return {
        f"learner/{group.name}/{name}": value
        for group, course in zip(engine.population.groups, carry.learners, strict=False)
        if course is not None
        for name, value in course.metrics.items()
    }


# ---- at boundaries of T ---------------------------------------------------------------------


def rollouts(parts: Parts) -> tuple[int, ...]:
    """T of each group, 0 for those that do not learn."""
    return tuple(0 if learner is None else int(learner.rollout) for learner in parts.learners)


def reads_boundaries(parts: Parts, tick: int) -> list[int]:
    """The next ticks, after this one, at which some group learns."""
    return [(tick // length + 1) * length for length in set(rollouts(parts)) if length]


def due(parts: Parts, tick: int) -> tuple[int, ...]:
    """Groups that learn when so many ticks have been made."""
    if not tick:
        return ()
    return tuple(
        index for index, length in enumerate(rollouts(parts)) if length and not tick % length
    )


def learn(engine: Any, parts: Parts, carry: Carry, groups: tuple[int, ...]) -> Carry:
    """Let groups learn from their trajectories, which begin anew; pure, compiled by itself."""
    before = carry
    for index in groups:
        state, mind, found = _update(engine, parts, before, index)
        course = before.learners[index]
        total, number = course.finished
        known = jnp.where(
            number > 0, total / jnp.maximum(number, 1), course.metrics["episode_return"]
        )
        acting = course.steps.percept.acting
        reward = course.steps.reward.sum() / jnp.maximum(acting.sum(), 1)
        course = course._replace(
            state=state,
            memory=mind.memory,
            at=jnp.int32(0),
            updates=course.updates + 1,
            finished=jnp.zeros(2),
            metrics={**found, "reward": reward, "episode_return": known},
        )
        minds = list(carry.minds)
        minds[index] = mind
        for other, policy in enumerate(parts.policies):
            if getattr(policy, "of", None) == engine.population.groups[index].name:
                minds[other] = policy.remember(minds[other], mind, course.updates)
        carry = carry._replace(minds=tuple(minds), learners=_put(carry.learners, index, course))
    return carry


def _update(
    engine: Any, parts: Parts, carry: Carry, index: int
) -> tuple[Any, Mind, dict[str, Array]]:
    group = engine.population.groups[index]
    course, mind = carry.learners[index], carry.minds[index]
    steps = course.steps
    trajectory = Trajectory(
        *steps,
        memory=course.memory,
        final=_final(engine, parts, carry, index),
        final_uid=carry.uid[group.rows],
    )
    key = fold(carry.keys[f"learner/{group.name}"], course.updates)
    state, new, found = parts.learners[index].update(key, course.state, mind, trajectory)
    found = {name: jnp.asarray(value, jnp.float32) for name, value in found.items()}
    return state, new._replace(memory=mind.memory), found


def _final(engine: Any, parts: Parts, carry: Carry, index: int) -> Percept:
    """What a group sees after the last step of its trajectory."""
    observation: Observation = engine.observe(carry)
    turn = jnp.int32(engine.plan.talk_turns)
    inbox = engine._inbox(parts, carry, turn)
    percept = percept_of(engine, carry, index, observation, inbox, turn)
    return percept._replace(first=first_rows(carry, engine.population.groups[index].rows))


def _put(courses: tuple[Any, ...], index: int, course: Any) -> tuple[Any, ...]:
    return (*courses[:index], course, *courses[index + 1 :])
