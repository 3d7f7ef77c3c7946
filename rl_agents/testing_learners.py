"""The conformance kit for learners, ours and those of others.

``check_learner(Ippo(rollout=4), Mlp(width=8), make("matrix_game", rounds=3, pairs="fixed"))``
lets the policy play, hands the trajectory to the learner, and raises AssertionError where it
breaks the contract of ``rl_agents.learner``.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rl_agents.learner import Learner, Trajectory
from worlds.policy import ArrayPolicy
from worlds.random import fold, named
from worlds.testing_trees import alike, bits, same_form
from worlds.tree import as_arrays
from worlds.types import Mind, Percept, Seats
from worlds.world import World

__all__ = ["check_learner", "trajectory_of"]

_EXACT_EAGERLY = 5e-3  # relative; a step of Adam divides small numbers by small numbers


def trajectory_of(
    policy: ArrayPolicy, mind: Mind, world: World[Any], steps: int, seed: int = 0
) -> tuple[Trajectory, Mind]:
    """Play some steps with one policy in all slots; episodes begin anew when they are over.

    This is the loop at its plainest, for tests; runs use ``society.learning``.
    """
    root, num = jax.random.PRNGKey(seed), world.num_slots
    begin = jax.jit(lambda key: world.init(key))
    observe = jax.jit(world.observe)
    move = jax.jit(world.step)
    act = jax.jit(policy.act)
    state, fresh, memory, rows = begin(fold(root, 0)), True, mind.memory, []
    uid = jnp.arange(num, dtype=jnp.int32)
    for index in range(steps):
        seen = observe(state)
        first = jnp.full(num, fresh)
        percept = Percept(seen.view, seen.alive, seen.acting, first, seen.legal)
        decision = act(fold(named(root, "act"), index), mind, percept)
        mind = mind._replace(memory=decision.memory)
        state, moved = move(fold(named(root, "world"), index), state, decision.action)
        done = moved.terminated | moved.truncated | ~observe(state).alive
        fresh = bool(done.all())
        did = (decision.action, decision.extras)
        led_to = (moved.reward, moved.terminated, moved.truncated, jnp.zeros(num))
        rows.append((percept, uid, *did, *led_to))
        if fresh:
            state = begin(fold(root, index + 1))
    seen = observe(state)
    final = Percept(seen.view, seen.alive, seen.acting, jnp.full(num, fresh), seen.legal)
    steps_made = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rows)
    return Trajectory(*steps_made, memory=memory, final=final, final_uid=uid), mind


def check_learner(
    learner: Learner, policy: ArrayPolicy, world: World[Any], *, seed: int = 0, eager: bool = True
) -> dict[str, np.ndarray]:
    """Check that a learner keeps the contract, in a world that the policy can play.

    It is a pytree; ``update`` keeps the form of its state and of the params, leaves finite
    numbers, is pure, compiles to what it is without, draws only from its key, and does not
    look at what rows did whose turn it was not.

    Args:
      learner: to check; ``policy`` is filled in. eager: also compare with uncompiled code.

    Returns:
      What it recorded.

    Raises:
      AssertionError: Says which promise is broken, and how.
    """
    name = type(learner).__name__
    policy, world = as_arrays(policy), as_arrays(world)
    given: Any = learner
    learner = as_arrays(dataclasses.replace(given, policy=policy))
    inner: Any = getattr(given, "learner", None)
    if inner is not None:
        inner = dataclasses.replace(inner, policy=policy)
        learner = as_arrays(dataclasses.replace(given, policy=policy, learner=inner))
    spaces = Seats(world.num_slots, 0, world, world.action_space(0), world.observation_space(0))
    policy.check(spaces)
    learner.check(policy, spaces)
    key = jax.random.PRNGKey(seed)
    mind = as_arrays(policy.init(named(key, "mind"), spaces))
    state = as_arrays(learner.init(named(key, "learner"), mind, spaces))
    trajectory, after = trajectory_of(policy, mind, world, learner.rollout, seed)
    update = jax.jit(lambda learner, *rest: learner.update(*rest))
    key = named(key, "update")
    one = update(learner, key, state, after, trajectory)
    same_form(state, one[0], f"{name}.update: the state")
    same_form(after.params, one[1].params, f"{name}.update: the params")
    for leaf in jax.tree.leaves((one[0], one[1].params)):
        assert not np.isnan(np.asarray(leaf, np.float64)).any(), f"{name}.update leaves NaN"
    assert all(np.ndim(value) == 0 for value in one[2].values()), f"{name} records no scalars"
    bits(update(learner, key, state, after, trajectory), one, f"{name}.update is not pure")
    scrambled = _scrambled(trajectory)
    other = update(learner, key, state, after, scrambled)
    bits(other[1].params, one[1].params, f"{name}: what rows did that do not act changes params")
    if eager:
        with jax.disable_jit():
            plain = learner.update(key, state, after, trajectory)
        where = f"{name}.update differs with and without jit"
        alike(plain[1].params, one[1].params, where, rtol=_EXACT_EAGERLY)
    return {label: np.asarray(value) for label, value in one[2].items()}


def _scrambled(trajectory: Trajectory) -> Trajectory:
    """Other actions and notes where a row did not act."""
    acting = trajectory.percept.acting

    def other(leaf: Any) -> Any:
        idle = ~acting.reshape(*acting.shape, *(1,) * (leaf.ndim - 2))
        changed = jnp.zeros_like(leaf) if leaf.dtype != bool else ~leaf
        return jnp.where(idle, changed, leaf)

    action = jax.tree.map(other, trajectory.action)
    extras = jax.tree.map(other, dict(trajectory.extras))
    return trajectory._replace(action=action, extras=extras)
