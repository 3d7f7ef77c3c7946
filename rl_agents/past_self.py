"""``past_self``: opponents that are what another group was at earlier moments of its learning."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from rl_agents.heads import unit
from worlds.policy import ArrayPolicy
from worlds.random import fold
from worlds.registry import component
from worlds.tree import doc_field, provided, pytree
from worlds.types import Array, Decision, Mind, Percept, Seats

__all__ = ["PastSelf", "Pool"]


class Pool(NamedTuple):
    """past: parameters of earlier moments, leaves [size, ...].

    held: int32 how many there are, in places 0 to held - 1. latest: int32 place of the newest.
    """

    past: Any
    held: Array
    latest: Array


@component("policy", "past_self")
@pytree
class PastSelf(ArrayPolicy):
    """Plays as another group did at earlier moments of this run: self-play against a pool.

    Every ``every`` updates of the group ``of`` its parameters enter the pool, where they
    replace the oldest of ``size``. Each row draws one of them when an episode begins, the
    newest with chance ``newest``. It does not learn.

    Source: Bansal et al. (2018), arXiv:1710.03748 (opponent sampling); Lanctot et al. (2017),
    arXiv:1711.00832 (pools of past policies).
    """

    of: str = doc_field("", "the group that learns")
    size: int = doc_field(4, "moments that are kept", ge=1, le=64)
    every: int = doc_field(10, "updates between moments", ge=1)
    newest: float = doc_field(0.5, "chance to play the newest moment", ge=0, le=1)
    inner: Any = provided()

    def check(self, seats: Seats) -> None:
        """The group that learns must be able to play these seats."""
        if self.inner is None:
            raise ValueError(
                f"of: {self.of!r} is no group with a learner; name the group whose past is played"
            )
        if getattr(self.inner, "parameters", "shared") != "shared":
            raise ValueError(f"group {self.of!r} needs parameters: shared, for its past to be kept")
        self.inner.check(seats)

    def init(self, key: Array, seats: Seats) -> Mind:
        """A pool of one: what a new mind of that group is."""
        one = self.inner.init(key, seats)
        past = jax.tree.map(
            lambda leaf: jnp.broadcast_to(leaf, (self.size, *leaf.shape)) + 0, one.params
        )
        memory = (one.memory, jnp.zeros(seats.num, jnp.int32))
        return Mind(Pool(past, jnp.int32(1), jnp.int32(0)), memory)

    def act(self, key: Array, mind: Mind, percept: Percept) -> Decision:
        """Every moment of the pool decides for every row; each row takes its own one's word."""
        memory, which = mind.memory
        pool: Pool = mind.params
        drawn = self._draw(fold(key, 1), pool, which.shape[0])
        which = jnp.where(percept.first, drawn, which)

        def play(params: Any) -> Decision:
            return self.inner.act(fold(key, 0), Mind(params, memory), percept)

        every = jax.vmap(play)(pool.past)

        def own(leaf: Array) -> Array:
            index = which.reshape(1, -1, *(1,) * (leaf.ndim - 2))
            return jnp.take_along_axis(leaf, index, axis=0)[0]

        chosen = jax.tree.map(own, every)
        return chosen._replace(memory=(chosen.memory, which))

    def remember(self, mind: Mind, source: Mind, updates: Array) -> Mind:
        """The mind after an update of the group that it follows.

        Args:
          source: that group's mind. updates: int32, how many it has made.
        """
        pool: Pool = mind.params
        enters = updates % self.every == 0
        place = (updates // self.every) % self.size

        def put(past: Array, now: Array) -> Array:
            return jnp.where(enters, past.at[place].set(now), past)

        past = jax.tree.map(put, pool.past, source.params)
        held = jnp.minimum(pool.held + enters.astype(jnp.int32), self.size)
        latest = jnp.where(enters, place, pool.latest)
        return mind._replace(params=Pool(past, held, latest))

    def _draw(self, key: Array, pool: Pool, rows: int) -> Array:
        """[rows] moments: the newest, or any of those held."""
        one, two = unit(fold(key, 0), (rows,)), unit(fold(key, 1), (rows,))
        any_ = jnp.floor(two * pool.held).astype(jnp.int32)
        return jnp.where(one < self.newest, pool.latest, any_)
