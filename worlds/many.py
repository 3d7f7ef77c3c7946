"""Many worlds side by side, as one world whose slots are all of theirs.

Group g of the single world, with n slots, becomes a group of E * n slots: world 0's, then
world 1's, and so on, so that groups stay contiguous and row e * n + i is slot i of world e.
"""

import dataclasses
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp

from worlds.random import fold
from worlds.tree import provided, pytree
from worlds.types import Array, Observation, Transition
from worlds.world import World

__all__ = ["ManyState", "ManyWorlds", "split_rows"]


@pytree
class ManyState:
    """One moment of E worlds.

    inner: states of the worlds, leaves [E, ...]. last: what they were at the end of the step
    before those that ended began anew, or (). clock: [E] int32 steps of each episode.
    fresh: [E] bool, the episode has just begun. finished: name -> [E, ...] sums of outcomes of
    episodes that ended; count: [E] how many.
    """

    inner: Any
    last: Any
    clock: Array
    fresh: Array
    finished: Any
    count: Array


@pytree
class ManyWorlds(World[ManyState]):
    """E copies of a world that know nothing of each other.

    Who acts when, rewards and endings are those of the single world; each copy draws its own
    randomness. Metrics are means over copies. With ``restart`` a copy whose episode is over
    begins a new one at once, whatever the others do (``observe_last`` still shows the end);
    without it all wait for the slowest. Outcomes are means over a copy's finished episodes,
    or those of the episode under way where none has finished.
    """

    world: Any = provided(None)
    num_envs: int = provided(2)
    restart: bool = provided(False)
    group_sizes: tuple[int, ...] = provided(())  # of the single world
    num_slots: int = provided(2)
    graph: Any = provided(None)
    present: Any = provided(None)

    @property
    def horizon(self) -> int | None:
        """That of the single world; none where episodes restart by themselves."""
        return None if self.restart else self.world.horizon

    @property
    def ends_early(self) -> bool:
        """Where nothing restarts, as in the single world."""
        return False if self.restart else self.world.ends_early

    @property
    def births(self) -> int:  # type: ignore[override]
        """As in the single world."""
        return self.world.births

    @property
    def fitness(self) -> str:  # type: ignore[override]
        """As in the single world."""
        return self.world.fitness

    @property
    def measures(self) -> tuple[str, ...]:  # type: ignore[override]
        """As in the single world."""
        return self.world.measures

    # ---- rows --------------------------------------------------------------------------

    def split(self, rows: Any) -> Any:
        """[E * N, ...] as [E, N, ...], world by world."""
        return jax.tree.map(self._split, rows)

    def merge(self, rows: Any) -> Any:
        """The inverse of ``split``."""
        return jax.tree.map(self._merge, rows)

    def _split(self, leaf: Array) -> Array:
        return split_rows(leaf, self.group_sizes, self.num_envs)

    def _merge(self, leaf: Array) -> Array:
        parts, start = [], 0
        for size in self.group_sizes:
            part = leaf[:, start : start + size]
            parts.append(part.reshape(-1, *leaf.shape[2:]))
            start += size
        return parts[0] if len(parts) == 1 else jnp.concatenate(parts)

    def slot_within(self, slot: int) -> int:
        """The single world's slot that a slot is a copy of."""
        start = 0
        for size in self.group_sizes:
            if slot < size * self.num_envs:
                return start + slot % size
            slot -= size * self.num_envs
            start += size
        raise IndexError(f"slot {slot} is beyond the last of {self.num_slots}")

    def single(self, present: Any = None) -> Any:
        """The single world with its ties and who is present filled in."""
        fields = {field.name for field in dataclasses.fields(self.world)}
        values = {"graph": self.graph, "present": present}
        given = {k: v for k, v in values.items() if k in fields and v is not None}
        return dataclasses.replace(self.world, **given)

    # ---- the world -------------------------------------------------------------------------

    def init(self, key: Array) -> ManyState:
        """Begin an episode in every copy."""
        return self._begin(key, jnp.int32(0))

    def _begin(self, key: Array, step: Array) -> ManyState:
        inner = self._init_all(fold(key, step))
        num = self.num_envs
        zero = jnp.zeros(num, jnp.int32)
        if not self.restart:
            return ManyState(inner, (), zero, jnp.ones(num, bool), (), zero)
        outcome = self._outcomes(inner)
        nothing = jax.tree.map(jnp.zeros_like, outcome)
        return ManyState(inner, inner, zero, jnp.ones(num, bool), nothing, zero)

    def observe(self, state: ManyState) -> Observation:
        """What everybody sees in its own copy."""
        return self._observe_all(state.inner)

    def observe_last(self, state: ManyState) -> Observation:
        """What everybody saw at the end of the last step, before any copy began anew."""
        return self._observe_all(state.last if self.restart else state.inner)

    def fresh(self, state: ManyState) -> Array:
        """[E * N] bool: whose episode has just begun."""
        num = sum(self.group_sizes)
        return self._merge(jnp.broadcast_to(state.fresh[:, None], (self.num_envs, num)))

    def step(self, key: Array, state: ManyState, action: Any) -> tuple[ManyState, Transition]:
        """Move every copy once."""
        present = self._present()

        def one(copy: Array, inner: Any, action: Any, present: Any) -> Any:
            return self.single(present).step(fold(key, copy), inner, action)

        copies = jnp.arange(self.num_envs)
        given = (copies, state.inner, self.split(action), present)
        moved, transition = jax.vmap(one)(*given)
        metrics = {name: value.mean(axis=0) for name, value in transition.metrics.items()}
        clock = state.clock + 1
        new = dataclasses.replace(
            state, inner=moved, clock=clock, fresh=jnp.zeros_like(state.fresh)
        )
        if self.restart:
            new, transition = self._restarted(key, new, transition)
        flat = transition._replace(metrics={})
        return new, self.merge(flat)._replace(metrics=metrics)

    def outcome(self, state: ManyState) -> dict[str, Array]:
        """Outcomes of each copy; those of other shapes than [N] are averaged over copies."""
        outcome = self._outcomes(state.inner)
        if self.restart:

            def mean(total: Array, now: Array) -> Array:
                shape = (-1, *(1,) * (now.ndim - 1))
                count = state.count.reshape(shape)
                return jnp.where(count > 0, total / jnp.maximum(count, 1), now)

            outcome = {name: mean(state.finished[name], now) for name, now in outcome.items()}
        num = sum(self.group_sizes)
        return {
            name: self._merge(value) if value.shape[1:] == (num,) else value.mean(axis=0)
            for name, value in outcome.items()
        }

    def observation_space(self, slot: int) -> gymnasium.Space:
        """That of the single world."""
        return self.world.observation_space(self.slot_within(slot))

    def action_space(self, slot: int) -> gymnasium.Space:
        """That of the single world."""
        return self.world.action_space(self.slot_within(slot))

    def noop(self) -> Any:
        """That of the single world, in every copy."""

        def copy(leaf: Any) -> Array:
            leaf = jnp.asarray(leaf)
            return self._merge(jnp.broadcast_to(leaf, (self.num_envs, *leaf.shape)))

        return jax.tree.map(copy, self.single().noop())

    def check_params(self) -> None:
        """Refuse worlds on the host, and those in which individuals are born."""
        if self.world.backend != "jax" or self.world.births:
            raise ValueError(
                f"num_envs: {self.num_envs} runs worlds side by side on the device; "
                f"{type(self.world).__name__} "
                + ("gives birth" if self.world.births else "runs on the host")
                + ", so use num_envs: 1"
            )
        self.world.check_params()

    # ---- parts ---------------------------------------------------------------------------

    def _present(self) -> Any:
        return None if self.present is None else self._split(jnp.asarray(self.present))

    def _init_all(self, key: Array) -> Any:
        present = self._present()
        copies = jnp.arange(self.num_envs)
        return jax.vmap(lambda copy, who: self.single(who).init(fold(key, copy)))(copies, present)

    def _observe_all(self, inner: Any) -> Observation:
        seen = jax.vmap(lambda state, who: self.single(who).observe(state))(inner, self._present())
        return self.merge(seen)

    def _outcomes(self, inner: Any) -> dict[str, Array]:
        return jax.vmap(lambda state: self.single().outcome(state))(inner)

    def _restarted(
        self, key: Array, state: ManyState, transition: Transition
    ) -> tuple[ManyState, Transition]:
        """Begin anew in the copies that are over."""
        alive = jax.vmap(lambda s, who: self.single(who).observe(s).alive)(
            state.inner, self._present()
        )
        done = transition.terminated | transition.truncated | ~alive
        over = done.all(axis=1)
        if self.world.horizon is not None:
            late = (state.clock >= self.world.horizon)[:, None]
            cut = late & alive & ~transition.terminated
            transition = transition._replace(truncated=transition.truncated | cut)
            over = over | late[:, 0]
        begun = self._init_all(fold(key, self.num_envs))
        ended = self._outcomes(state.inner)
        inner = _where(over, begun, state.inner)
        finished = jax.tree.map(
            lambda total, now: total + jnp.where(_wide(over, now), now, 0), state.finished, ended
        )
        return ManyState(
            inner=inner,
            last=state.inner,
            clock=jnp.where(over, 0, state.clock),
            fresh=over,
            finished=finished,
            count=state.count + over.astype(jnp.int32),
        ), transition


def split_rows(leaf: Array, group_sizes: tuple[int, ...], num_envs: int) -> Array:
    """[E * N, ...] group by group as [E, N, ...] world by world.

    Args:
      group_sizes: slots of each group of one world.
    """
    parts, start = [], 0
    for size in group_sizes:
        stop = start + size * num_envs
        parts.append(leaf[start:stop].reshape(num_envs, size, *leaf.shape[1:]))
        start = stop
    return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=1)


def _wide(flags: Array, like: Array) -> Array:
    return flags.reshape(-1, *(1,) * (like.ndim - 1))


def _where(flags: Array, one: Any, other: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(_wide(flags, a), a, b), one, other)
