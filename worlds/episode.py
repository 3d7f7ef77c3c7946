"""One episode of one world, step by step: state, clock, and who is who.

The plainest loop there is, for the PettingZoo edge and for checks; runs use ``society``.
Its random keys are those of a run: with the same seed and the same actions, an episode
goes as the first episode of a scenario goes.
"""

import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from worlds.random import fold, named
from worlds.spaces import batch_of
from worlds.tree import as_arrays
from worlds.types import Array, Observation, Transition
from worlds.world import World

__all__ = ["Episode"]


class Episode:
    """A world in play; all arrays that it shows are NumPy arrays.

    uid: [N] int64, individuals by slot, -1 before the first. live: [N] bool, who is in the game.
    acting: [N] bool, whose turn it is. terminated, truncated: [N] bool, of the last step.
    clock: steps since the beginning. over: nobody is in the game any more.
    """

    def __init__(self, world: World[Any], max_steps: int | None = None) -> None:
        self.world = as_arrays(world) if world.backend == "jax" else world
        self.max_steps = max_steps
        self._root: Array | None = None
        self._episode = 0

    def reset(self, seed: int | None = None) -> Observation:
        """Begin an episode: the first of a seed, or the next one without."""
        if seed is not None or self._root is None:
            if seed is None:
                seed = int(np.random.SeedSequence().generate_state(1)[0])
            self._root, self._episode = jax.random.PRNGKey(int(seed)), 0
        else:
            self._episode += 1
        self.state, self.observation = self._begin(np.int32(self._episode))
        alive = np.asarray(self.observation.alive)
        num = self.world.num_slots
        self.clock, self.over = 0, not alive.any()
        self.uid = np.where(alive, np.cumsum(alive) - 1, -1)
        self.next_uid = int(alive.sum())
        self.live = alive.copy()
        self.acting = np.asarray(self.observation.acting) & self.live
        self.terminated, self.truncated = np.zeros(num, bool), np.zeros(num, bool)
        return self.observation

    def step(self, action: Any) -> Transition:
        """Move the world once; rows whose turn it is not do not matter."""
        if self._root is None:
            raise RuntimeError("the episode has not begun; call reset first")
        before = np.asarray(self.observation.alive)
        place = np.array([self._episode, self.clock], np.int32)
        self.state, self.observation, transition = self._advance(place, action)
        self.clock += 1
        self._note(transition, before)
        return transition

    def gather(self, slots: Sequence[int], rows: Sequence[Any]) -> Any:
        """The world's no-op with some rows written over."""
        return batch_of(self._noop, slots, rows)

    def alive_at_start(self) -> np.ndarray:
        """[N] bool: who holds a slot when an episode begins."""
        return np.asarray(self.observation_at_start().alive)

    def observation_at_start(self) -> Observation:
        """What is shown in the first moment of some episode."""
        return self._first_moment

    def state_vector(self) -> np.ndarray:
        """All numbers of the state in one float32 vector."""
        state = self.state if self._root is not None else self._some_state()
        leaves = [leaf for leaf in jax.tree.leaves(state) if not isinstance(leaf, str)]
        parts = [np.ravel(np.asarray(leaf)).astype(np.float32) for leaf in leaves]
        return np.concatenate(parts) if parts else np.zeros(0, np.float32)

    # ---- parts ----------------------------------------------------------------------

    @functools.cached_property
    def _noop(self) -> Any:
        noop = self.world.noop()
        return jax.device_get(noop) if self.world.backend == "jax" else noop

    @functools.cached_property
    def _first_moment(self) -> Observation:
        observation = self.world.observe(self._some_state())
        return jax.device_get(observation) if self.world.backend == "jax" else observation

    def _some_state(self) -> Any:
        if self.world.backend == "jax":
            return _begin(self.world, jax.random.PRNGKey(0))[0]
        return self.world.init(jax.random.PRNGKey(0))

    def _begin(self, episode: np.int32) -> tuple[Any, Observation]:
        key = _init_key(self._root, episode)
        if self.world.backend == "jax":
            state, observation = _begin(self.world, key)
            return state, jax.device_get(observation)
        state = self.world.init(key)
        return state, self.world.observe(state)

    def _advance(self, place: np.ndarray, action: Any) -> tuple[Any, Observation, Transition]:
        if self.world.backend == "jax":
            state, seen = _advance(self.world, self._root, place, self.state, action)
            return state, *jax.device_get(seen)
        key = _step_key(self._root, place)
        state, transition = self.world.step(key, self.state, action)
        return state, self.world.observe(state), transition

    def _note(self, transition: Transition, before: np.ndarray) -> None:
        """Who is out, who is new, whose turn it is.

        before: [N] bool, who held a slot before the step.
        """
        alive = np.asarray(self.observation.alive)
        done = np.asarray(transition.terminated) | np.asarray(transition.truncated)
        self.terminated = np.asarray(transition.terminated) & self.live
        self.truncated = np.asarray(transition.truncated) & self.live
        self.over = bool((done | ~alive).all())
        if not self.over and self.clock in (self.world.horizon, self.max_steps):
            self.truncated = self.truncated | (self.live & ~self.terminated)
            self.over = True
        if self.over:
            self.live = np.zeros_like(self.live)
        else:
            self.live = self.live & alive & ~done
            if self.world.births:
                self._name(alive & (~before | done | _has_parents(transition)))
        self.acting = np.asarray(self.observation.acting) & self.live

    def _name(self, born: np.ndarray) -> None:
        """Newcomers get new uids, in slot order."""
        self.uid = np.where(born, self.next_uid + np.cumsum(born) - 1, self.uid)
        self.next_uid += int(born.sum())
        self.live = self.live | born


def _has_parents(transition: Transition) -> np.ndarray:
    if transition.parents is None:
        return np.zeros(np.shape(transition.reward), bool)
    return np.any(np.asarray(transition.parents) >= 0, axis=1)


@jax.jit
def _init_key(root: Array, episode: Array) -> Array:
    return fold(named(root, "init"), 0, episode)


@jax.jit
def _step_key(root: Array, place: Array) -> Array:
    return fold(named(root, "world"), 0, place[0], place[1])


@jax.jit
def _begin(world: World[Any], key: Array) -> tuple[Any, Observation]:
    state = world.init(key)
    return state, world.observe(state)


@jax.jit
def _advance(
    world: World[Any], root: Array, place: Array, state: Any, action: Any
) -> tuple[Any, tuple[Observation, Transition]]:
    key = fold(named(root, "world"), 0, place[0], place[1])
    action = jax.tree.map(jnp.asarray, action)
    state, transition = world.step(key, state, action)
    return state, (world.observe(state), transition)
