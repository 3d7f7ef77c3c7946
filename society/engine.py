"""The compiled half of the loop: decide, step, absorb, and what happens between generations.

Everything here is pure. A ``Carry`` is all there is to a replicate on the device; it holds no key
but the roots of its streams, and every draw folds the clock into one. So a run may be cut, stored
or resumed anywhere between ticks.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp

from society import counterfactual, culture, learning, newborns, overheard
from society.breeding import choose, inherit, mask
from society.carry import (
    Carry,
    Chunk,
    Loop,
    Parts,
    checksum,
    flatten,
    join,
    keep,
    names_of,
    placed,
    results_of,
    width_of,
    written,
)
from society.channels import deliver, empty_outbox
from society.contract import Measure, Moment
from society.plan import Plan
from society.population import Population
from society.senses import percept_of, seats_of
from worlds.random import fold, named
from worlds.sums import count
from worlds.types import (
    Array,
    Births,
    Decision,
    Graph,
    Mind,
    Observation,
    Percept,
    Seats,
    Transition,
)

__all__ = ["Engine"]

STREAMS = ("world", "init", "selection", "transmission", "channels")


@dataclasses.dataclass(frozen=True, eq=False)
class Engine:
    """The compiled functions of one scenario; holds only what is static.

    fitness: name of the outcome that selection reads. spaces: (action, observation) of each group.
    capacity: most ticks of a chunk. may_freeze: episodes can end before their horizon.
    fixed: nothing in the run changes what a row inherited.
    """

    plan: Plan
    population: Population
    fitness: str
    spaces: tuple[tuple[gymnasium.Space, gymnasium.Space], ...]
    needs_reward: bool = False
    may_freeze: bool = False
    selects: bool = False
    fixed: bool = False
    measures: tuple[Measure, ...] = ()
    capacity: int = 512

    # ---- set-up -------------------------------------------------------------------

    def start(self, parts: Parts, world: Any, graph: Graph | None, root: Array) -> Carry:
        """The carry of a replicate before its first tick; jit-able."""
        groups = self.population.groups
        own = [f"group/{group.name}" for group in groups]
        names = (*STREAMS, *own, *learning.streams(parts, self.population))
        alive = jnp.asarray(self.population.alive())
        zero = jnp.int32(0)
        carry = Carry(
            world=culture.begin(parts, world, root),
            graph=graph,
            state=(),
            minds=(),
            actions=(),
            pending={},
            outbox=empty_outbox(parts.channels, self.population.num_slots),
            alive=alive,
            newborn=jnp.zeros_like(alive),
            uid=jnp.where(alive, jnp.cumsum(alive) - 1, -1).astype(jnp.int32),
            next_uid=jnp.int32(self.population.num_players),
            generation=zero,
            episode=zero,
            step=zero,
            within=zero,
            begun=jnp.bool_(False),
            over=jnp.bool_(False),
            renewed=jnp.bool_(False),
            totals={},
            count=zero,
            accs=(),
            keys={name: named(root, name) for name in names},
            refused=jnp.zeros(len(groups), jnp.int32),
            checksum=jnp.uint32(0),
        )
        world = placed(carry)
        state = newborns.first_state(world, fold(carry.keys["init"], 0, 0))
        totals = {} if self.plan.instant else dict(world.outcome(state))
        if self.needs_reward:
            totals["reward"] = jnp.zeros(self.population.num_slots)
        carry = carry._replace(
            state=state,
            minds=tuple(self._mind(parts, carry, root, index) for index in range(len(groups))),
            actions=world.noop() if self.population.text_groups else (),
            pending=carry.outbox if self.population.text_groups else {},
            totals=jax.tree.map(jnp.zeros_like, totals),
            accs=tuple(measure.begin(world, self.population.slices()) for measure in self.measures),
        )
        if world.births:
            carry = carry._replace(lives=newborns.begin_lives(self.population.num_slots))
        return carry._replace(learners=learning.begin_courses(self, parts, carry, root))

    def seats(self, parts: Parts, carry: Carry, index: int) -> Seats:
        """What the policy of a group is told about its place."""
        return seats_of(self, parts, carry, index)

    # ---- one tick -----------------------------------------------------------------

    def advance(self, parts: Parts, carry: Carry, ticks: Array) -> tuple[Carry, Chunk]:
        """Run ``ticks`` (traced, at most ``capacity``) ticks of one replicate.

        The loop is nested, a segment of an episode around its ticks: branching around a
        large carry copies it, so what happens once an episode must not be asked every tick.
        """

        def segment(loop: Loop) -> Loop:
            carry, births = self.begin(parts, loop.carry)
            chunk = newborns.note_founders(self, loop, carry)
            if births is not None:
                chunk = chunk._replace(births=chunk.births.at[chunk.ended].max(births))
            loop = Loop(carry, chunk, loop.index)
            if self.plan.instant:
                loop = self._tick(parts, loop)
            else:
                loop = jax.lax.while_loop(
                    lambda now: (now.index < ticks) & ~self._ends(now.carry),
                    lambda now: self._tick(parts, now),
                    loop,
                )
            carry, chunk = self._end(parts, loop.carry, loop.chunk)
            return Loop(carry, chunk, loop.index)

        loop = Loop(carry, self.empty_chunk(parts, carry), jnp.int32(0))
        loop = jax.lax.while_loop(lambda now: now.index < ticks, segment, loop)
        return loop.carry, loop.chunk

    def _tick(self, parts: Parts, loop: Loop) -> Loop:
        carry, chunk, index = loop
        clock = jnp.stack([carry.generation, carry.episode, carry.step])
        carry, metrics, frozen = self._moved(parts, carry)
        if carry.world.births:
            chunk = chunk._replace(lives=newborns.note(self, chunk.lives, carry, index))
        chunk = written(chunk, index, ticks=flatten(metrics), clock=clock, frozen=frozen)
        chunk = chunk._replace(said=overheard.note(chunk.said, carry.outbox, index))
        carry = carry._replace(step=carry.step + 1, within=carry.within + 1)
        return Loop(carry, chunk, index + 1)

    def begin(self, parts: Parts, carry: Carry) -> tuple[Carry, Array | None]:
        """Set up a generation (unless texts are born) and an episode where one is due."""
        births = None
        if self.selects and not self.population.text_groups:
            fresh = ~(carry.begun | carry.renewed) & (carry.within == 0) & (carry.generation > 0)
            carry, births = self._when(
                fresh,
                lambda c: self.renew(parts, c, fresh)[::2],
                lambda c: (c, jnp.full(self._birth_shape(parts, c), -1, jnp.int32)),
                carry,
            )
        return self._when(
            ~carry.begun, lambda c: self._begin_episode(parts, c), lambda c: c, carry
        ), births

    def renew(
        self, parts: Parts, carry: Carry, fresh: Array | bool = True
    ) -> tuple[Carry, Births, Array]:
        """Select and transmit between two generations.

        Where ``fresh`` is False (before the first generation) nobody is replaced. Masking
        the births is cheaper than branching around arrays of a million rows.
        """
        assert parts.selection is not None
        fitness = results_of(self.plan, carry)[self.fitness].astype(jnp.float32)
        if not self._one_episode:
            fitness = fitness / jnp.maximum(carry.count, 1)
        types = self.types(parts, carry.minds)
        births = choose(parts.selection, self.population, carry, fitness, types)
        births = mask(births, fresh, self.population.num_slots)
        seats = tuple(self.seats(parts, carry, i) for i in range(len(self.population.groups)))
        carry = carry._replace(renewed=jnp.bool_(True))
        after, births, rows = inherit(parts, self.population, carry, births, seats)
        return culture.teach(self, parts, carry, after, fitness, fresh), births, rows

    def observe(self, carry: Carry) -> Observation:
        """What everybody sees now; nobody acts once the episode is over."""
        observation = placed(carry).observe(carry.state)
        if self.may_freeze:
            observation = observation._replace(acting=observation.acting & ~carry.over)
        return observation

    def talk(self, parts: Parts, carry: Carry, turn: Array) -> Carry:
        """One talk turn: array groups update memory and outbox; the world stands still.

        Nobody acts in it, so a mind that keeps count of rounds does not count it.
        """
        observation = self.observe(carry)
        observation = observation._replace(acting=jnp.zeros_like(observation.acting))
        _, minds, outbox, _ = self._decide(parts, carry, observation, turn)
        return self._hush(parts, carry._replace(minds=minds, outbox=outbox))

    def decide(self, parts: Parts, carry: Carry, turn: Array) -> Any:
        """What everybody would do in this turn; changes nothing."""
        return self._decide(parts, carry, self.observe(carry), turn)[0]

    # ---- parts of a tick ------------------------------------------------------------

    def _begin_episode(self, parts: Parts, carry: Carry) -> Carry:
        if carry.world.births:
            carry = newborns.found(carry, self.population.alive())
        state = placed(carry).init(fold(carry.keys["init"], carry.generation, carry.episode))
        no = jnp.bool_(False)
        carry = carry._replace(state=state, begun=~no, over=no, renewed=no, step=jnp.int32(0))
        # What was said in the last episode, perhaps by the dead, is not heard in this one.
        outbox = {**carry.outbox, **empty_outbox(parts.channels, self.population.num_slots)}
        carry, fresh = carry._replace(outbox=outbox), carry.within == 0
        if not self._one_episode:
            zeros = jax.tree.map(jnp.zeros_like, carry.totals)
            carry = carry._replace(totals=keep(fresh, zeros, carry.totals))
        return carry._replace(count=jnp.where(fresh, 0, carry.count))

    def _move(self, parts: Parts, carry: Carry) -> tuple[Carry, Mapping[str, Array], Array]:
        if not self.population.text_groups:
            for turn in range(self.plan.talk_turns):
                carry = self.talk(parts, carry, jnp.int32(turn))
        world, before = placed(carry), carry
        observation = self.observe(carry)
        turn = jnp.int32(self.plan.talk_turns)
        action, minds, outbox, seen = self._decide(parts, carry, observation, turn)
        key = fold(carry.keys["world"], carry.generation, carry.episode, carry.step)
        state, transition = world.step(key, carry.state, action)
        frozen = jnp.bool_(False)
        if self.may_freeze:
            frozen = carry.over if self.plan.steps is None else frozen
            state, minds = keep(frozen, (carry.state, carry.minds), (state, minds))
            nothing = jax.tree.map(jnp.zeros_like, transition)
            transition = keep(frozen, nothing, transition)
            done = transition.terminated | transition.truncated
            carry = carry._replace(over=frozen | jnp.all(done | ~world.observe(state).alive))
        carry = self._accumulate(parts, carry, observation, action, transition, frozen)
        carry = self._hush(parts, carry._replace(state=state, minds=minds, outbox=outbox))
        if world.births:
            alive = world.observe(state).alive
            carry = newborns.settle(self, parts, carry, alive, transition, frozen)
        metrics = transition.metrics
        if carry.learners:
            ends = self._ends(carry._replace(step=carry.step + 1, within=carry.within + 1))
            now = learning.Now(seen, before, transition, ends, frozen)
            carry = learning.record(self, parts, carry, now)
            metrics = {**metrics, **learning.metrics_of(self, carry)}
        return self._forget_actions(world, carry), metrics, frozen

    def _decide(
        self, parts: Parts, carry: Carry, observation: Observation, turn: Array
    ) -> tuple[Any, tuple[Mind, ...], Mapping[str, Array], tuple[Any, ...]]:
        inbox = self._inbox(parts, carry, turn)
        actions: list[Any] = []
        minds: list[Mind] = []
        sent: list[Mapping[str, Array]] = []
        seen: list[tuple[Percept, Decision] | None] = []
        for index, group in enumerate(self.population.groups):
            if group.is_text:
                actions.append(jax.tree.map(lambda x, rows=group.rows: x[rows], carry.actions))
                minds.append(carry.minds[index])
                sent.append({name: box[group.rows] for name, box in carry.pending.items()})
                seen.append(None)
                continue
            percept = percept_of(self, carry, index, observation, inbox, turn)
            decision = self._act(parts, carry, index, percept, turn)
            seen.append((percept, decision))
            actions.append(decision.action)
            minds.append(carry.minds[index]._replace(memory=decision.memory))
            silence = empty_outbox(parts.channels, group.size)
            sent.append({**silence, **decision.outbox})
        outbox = {name: join([box[name] for box in sent]) for name in carry.outbox}
        return join(actions), tuple(minds), outbox, tuple(seen)

    def _hush(self, parts: Parts, carry: Carry) -> Carry:
        """What text groups said has been sent; they are silent until they say more."""
        if not carry.pending:
            return carry
        return carry._replace(pending=empty_outbox(parts.channels, self.population.num_slots))

    def _inbox(self, parts: Parts, carry: Carry, turn: Array) -> Mapping[str, Array]:
        if not parts.channels:
            return {}
        clock = (carry.generation, carry.episode, carry.step, turn)
        key = fold(carry.keys["channels"], *clock)
        return deliver(parts.channels, carry.outbox, carry.graph, carry.alive, key)

    def _act(
        self, parts: Parts, carry: Carry, index: int, percept: Percept, turn: Array
    ) -> Decision:
        name = self.population.groups[index].name
        clock = (carry.generation, carry.episode, carry.step, turn)
        key = fold(carry.keys[f"group/{name}"], *clock)
        return parts.policies[index].act(key, carry.minds[index], percept)

    def _accumulate(
        self,
        parts: Parts,
        carry: Carry,
        observation: Observation,
        action: Any,
        transition: Transition,
        frozen: Array,
    ) -> Carry:
        if any(measure.streams for measure in self.measures):
            clock = (carry.generation, carry.episode, carry.step)
            moment = Moment(observation, action, transition, self.types(parts, carry.minds), *clock)
            moment = moment._replace(replay=counterfactual.Replay(self, parts, carry))
            accs = tuple(
                measure.update(acc, moment) if measure.streams else acc
                for measure, acc in zip(self.measures, carry.accs, strict=True)
            )
            if self.may_freeze:
                accs = keep(frozen, carry.accs, accs)
            carry = carry._replace(accs=accs)
        if self.needs_reward:
            before = carry.totals["reward"]
            if self._one_episode:
                before = jnp.where(carry.step == 0, 0.0, before)
            carry = carry._replace(totals={**carry.totals, "reward": before + transition.reward})
        return carry

    def _forget_actions(self, world: Any, carry: Carry) -> Carry:
        """Text groups that do not repeat themselves fall back to the no-op."""
        actions = carry.actions
        for group in self.population.text_groups:
            if group.policy.between == "noop":
                actions = jax.tree.map(
                    lambda a, n, rows=group.rows: a.at[rows].set(n[rows]), actions, world.noop()
                )
        return carry._replace(actions=actions)

    # ---- the end of an episode and of a generation ----------------------------------

    def _ends(self, carry: Carry) -> Array:
        """The tick just made was the last of its episode or generation."""
        ends = carry.within == self.plan.ticks_per_generation
        if self.plan.horizon is not None:
            ends = ends | (carry.step == self.plan.horizon)
        if self.plan.steps is not None and self.may_freeze:
            ends = ends | carry.over
        return ends

    def _end(self, parts: Parts, carry: Carry, chunk: Chunk) -> tuple[Carry, Chunk]:
        last = carry.within == self.plan.ticks_per_generation
        ends = self._ends(carry)
        carry = self._when(ends, self._end_episode, lambda c: c, carry)
        chunk = self._when(
            last, lambda c: self._note_generation(parts, carry, c), lambda c: c, chunk
        )
        carry = carry._replace(
            step=jnp.where(ends, 0, carry.step),
            within=jnp.where(last, 0, carry.within),
            episode=jnp.where(last, 0, carry.episode + ends.astype(jnp.int32)),
            generation=carry.generation + last.astype(jnp.int32),
            begun=~ends,
        )
        return carry, chunk

    def _end_episode(self, carry: Carry) -> Carry:
        results = placed(carry).outcome(carry.state)
        if not self._one_episode:
            results = {name: carry.totals[name] + value for name, value in results.items()}
        seen = (carry.state, carry.minds)
        if self.plan.instant:
            due = carry.generation % 64 == 0
            mark = jax.lax.cond(due, checksum, lambda _: carry.checksum, seen)
        else:
            mark = checksum(seen)
        totals = carry.totals if self.plan.instant else {**carry.totals, **results}
        return carry._replace(totals=totals, count=carry.count + 1, checksum=mark)

    def _note_generation(self, parts: Parts, carry: Carry, chunk: Chunk) -> Chunk:
        row, place = flatten(self.generation_row(parts, carry)), chunk.ended
        chunk = written(chunk, place, generations=row, hashes=carry.checksum)
        return chunk._replace(ended=place + 1)

    def generation_row(self, parts: Parts, carry: Carry) -> dict[str, Array]:
        """Outcomes reduced over the living, and counts of strategies."""
        episodes = jnp.maximum(carry.count, 1)
        living = jnp.maximum(carry.alive.sum(), 1)
        full = self.population.full and not carry.world.births
        row: dict[str, Array] = {}
        for name, value in results_of(self.plan, carry).items():
            value = value.astype(jnp.float32)
            if value.shape == carry.alive.shape:
                value = value if full else jnp.where(carry.alive, value, 0.0)
                row[name] = value.sum() / living / episodes
            elif value.ndim == 0:
                row[name] = value / episodes
        if self.fitness in row:
            row["fitness"] = row[self.fitness]
        for index, group in enumerate(self.population.groups):
            names = () if group.is_text else parts.policies[index].type_names()
            types = None if group.is_text else parts.policies[index].types(carry.minds[index])
            if names and types is not None:
                held = carry.alive[group.rows]
                chosen = [types == kind for kind in range(len(names) - 1)]
                counts = [count(mask if full else mask & held) for mask in chosen]
                counts.append(held.sum(dtype=jnp.int32) - sum(counts))
                row[f"types/{group.name}"] = jnp.stack(counts).astype(jnp.float32)
        return row

    # ---- shapes -----------------------------------------------------------------------

    def metric_names(self, parts: Parts, carry: Carry) -> tuple[str, ...]:
        """Names of the columns of ``Chunk.ticks``."""
        return names_of(jax.eval_shape(lambda c: self._moved(parts, c)[1], carry))

    def generation_names(self, parts: Parts, carry: Carry) -> tuple[str, ...]:
        """Names of the columns of ``Chunk.generations``."""
        return names_of(jax.eval_shape(lambda c: self.generation_row(parts, c), carry))

    def empty_chunk(self, parts: Parts, carry: Carry) -> Chunk:
        """Room for ``capacity`` ticks and the generations that can end within them."""
        ended = self.capacity // self.plan.ticks_per_generation + 2
        births = (1, 3)
        if self.selects and not self.population.text_groups:
            births = self._birth_shape(parts, carry)
        metrics = jax.eval_shape(lambda c: self._moved(parts, c)[1], carry)
        row = jax.eval_shape(lambda c: self.generation_row(parts, c), carry)
        return Chunk(
            ticks=jnp.zeros((self.capacity, width_of(metrics)), jnp.float32),
            clock=jnp.zeros((self.capacity, 3), jnp.int32),
            frozen=jnp.zeros(self.capacity, bool),
            generations=jnp.zeros((ended, width_of(row)), jnp.float32),
            hashes=jnp.zeros(ended, jnp.uint32),
            births=jnp.full((ended, *births), -1, jnp.int32),
            said=overheard.room(parts.channels, carry.outbox, self.population),
            ended=jnp.int32(0),
            lives=newborns.empty_log(self.population.num_slots, self.capacity)
            if carry.world.births
            else (),
        )

    @functools.cached_property
    def _moved(self) -> Callable[..., Any]:
        return jax.jit(self._move)  # traced once, for the loop and for the shapes of its results

    @property
    def _one_episode(self) -> bool:
        return self.plan.episodes == 1 or self.plan.instant

    def _when(self, due: Array, then: Callable, otherwise: Callable, value: Any) -> Any:
        """Branch, but not where every tick is a generation: then it is always due."""
        if self.plan.instant and not self.population.text_groups:
            return then(value)
        return jax.lax.cond(due, then, otherwise, value)

    def _mind(self, parts: Parts, carry: Carry, root: Array, index: int) -> Mind:
        group = self.population.groups[index]
        if group.is_text:
            return Mind()
        seats = self.seats(parts, carry, index)
        return parts.policies[index].init(named(root, f"mind/{group.name}"), seats)

    def types(self, parts: Parts, minds: tuple[Mind, ...]) -> Array:
        """[N] int32 index of every slot's strategy, 0 where a policy has none."""
        columns = []
        for index, group in enumerate(self.population.groups):
            types = None if group.is_text else parts.policies[index].types(minds[index])
            columns.append(jnp.zeros(group.size, jnp.int32) if types is None else types)
        return columns[0] if len(columns) == 1 else jnp.concatenate(columns)

    def _birth_shape(self, parts: Parts, carry: Carry) -> tuple[int, ...]:
        return jax.eval_shape(lambda c: self.renew(parts, c)[2], carry).shape
