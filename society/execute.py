"""Carry a run from its first tick, or a checkpoint, to its last.

Scenarios of arrays alone run all replicates in one compiled call a chunk. Where language
takes part each replicate is a task of its own: the device does what is compiled, on one
thread; minds ask at the desk in between.
"""

import asyncio
import dataclasses
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import jax
import numpy as np

from society import learning
from society.archetypes import refresh
from society.between import Between
from society.build import Simulation
from society.carry import Carry, placed
from society.checkpoint import newest_sound, restore_tree, save_tree, write_checkpoint
from society.collector import calm_collector
from society.desk import Desk
from society.history import History, split
from society.hosted import events, with_actions
from society.journal import Journal
from society.machine import Machine, unstack
from society.newborns import events_of
from society.plan import Place
from society.recorder import RunFolder
from society.recording import restored_sums
from society.selection.pairs import births_among
from society.speakers import Moment, Speakers
from society.surveys import due, take

__all__ = ["Execution", "Progress", "Stopped", "Watcher"]

CHECKPOINT_EVERY_S = 20.0
CHUNK_TARGET_S = 0.5
FLUSH_EVERY_S = 0.25


class Progress(Protocol):
    """Whoever wants to know how far a run is."""

    def begin(self, total_steps: int, generations: int) -> None:
        """The run begins."""

    def advance(self, state: Mapping[str, Any]) -> None:
        """So far: ``step``, ``generation`` (from 0), ``calls``, ``tokens``, ``faults``."""

    def end(self, status: str) -> None:
        """It is over."""


class Watcher(Protocol):
    """Whoever looks at a run between two ticks, and changes nothing (``society.view.retrace``)."""

    def due(self, tick: int) -> int:
        """The next tick after this one at which it wants to look."""
        ...

    def see(self, replicate: int, tick: int, carry: Carry, speakers: Speakers | None) -> None:
        """What there is before a tick, after everything that happens between ticks."""


class Stopped(RuntimeError):  # noqa: N818
    """A limit of the run itself (wall time) was reached; resumable."""


@dataclasses.dataclass(eq=False)
class Execution:
    """One attempt at a run.

    deadline: time.monotonic() at which it stops with status "limit", or None.
    checkpoints: False in a replay, which writes nothing.
    watcher: looks at every replicate now and then, or None.
    only: with language, the one replicate to execute; None for all.
    """

    simulation: Simulation
    folder: RunFolder
    journal: Journal
    desk: Desk | None = None
    progress: Progress | None = None
    deadline: float | None = None
    checkpoints: bool = True
    watcher: Watcher | None = None
    only: int | None = None

    def __post_init__(self) -> None:
        """Compile nothing yet."""
        self.machine = Machine(self.simulation)
        record = self.simulation.scenario.record
        self.history = History(self.machine, self.journal, record.every, record.fields)
        self.between = Between(
            self.simulation, self.machine, self.journal, self.folder.path, self.checkpoints
        )
        self.total = self.simulation.plan.total
        self.done: dict[int, int] = {}
        self.speakers: dict[int, Speakers] = {}
        self._saved = self._flushed = time.monotonic()

    def run(self, *, resume: bool) -> list[Carry]:
        """Execute to the end; returns the final carry of every replicate."""
        self.history.open()
        if self.progress is not None:
            self.progress.begin(self.total, self.simulation.plan.generations)
        if self.simulation.has_language:
            with calm_collector():
                return asyncio.run(self._run_language(resume))
        return self._run_arrays(resume)

    # ---- arrays alone -----------------------------------------------------------------

    def _run_arrays(self, resume: bool) -> list[Carry]:
        replicates = len(self.simulation.seeds)
        carries = self.machine.start(range(replicates))
        tick = 0
        if resume:
            tick, carries, _ = self._restore("replicates", carries)
        size = 16
        while tick < self.total:
            self.between.film_all(tick, carries)
            carries = self.between.intervene_all(tick, carries)
            self._show_all(tick, carries)
            ticks = min(size, self._next_need(tick) - tick, self.simulation.engine.capacity)
            began = time.monotonic()
            carries, chunks = self.machine.advance(carries, ticks)
            for replicate, chunk in enumerate(split(chunks, replicates)):
                self._record(replicate, chunk, ticks)
            self._flush_now_and_then()
            tick += ticks
            carries = self.machine.learn(carries, learning.due(self.simulation.parts, tick))
            self.done[0] = tick
            spent = max(time.monotonic() - began, 1e-6)
            size = min(int(np.clip(ticks * CHUNK_TARGET_S / spent, 1, 4 * size)), self.total)
            self._report(tick, int(carries.generation[0]))
            late = self._late()
            self._save("replicates", tick, carries, None, force=late)
            self._stop_if(late and tick < self.total)
        self.between.film_all(self.total, carries)
        carries = self.between.intervene_all(self.total, carries)
        self._show_all(self.total, carries)
        host = jax.device_get(carries)
        return [unstack(host, index) for index in range(replicates)]

    def _show_all(self, tick: int, carries: Carry) -> None:
        if self.watcher is not None:
            host = jax.device_get(carries)
            for index in range(len(self.simulation.seeds)):
                self.watcher.see(index, tick, unstack(host, index), None)

    def _next_need(self, tick: int) -> int:
        need = self.between.next_need(tick)
        return need if self.watcher is None else min(need, max(self.watcher.due(tick), tick + 1))

    def _flush_now_and_then(self) -> None:
        """Short chunks (learners' boundaries) must not each wait for the disk."""
        if time.monotonic() - self._flushed > FLUSH_EVERY_S:
            self.journal.flush()
            self._flushed = time.monotonic()

    # ---- with language ----------------------------------------------------------------

    async def _run_language(self, resume: bool) -> list[Carry]:
        assert self.desk is not None
        self._device = ThreadPoolExecutor(1, thread_name_prefix="device")
        try:
            replicates = range(len(self.simulation.seeds)) if self.only is None else [self.only]
            return list(
                await self.desk.gather([self._replicate(index, resume) for index in replicates])
            )
        finally:
            await self.desk.aclose()
            self._device.shutdown()

    async def _on_device(self, function: Callable, *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._device, function, *arguments)

    async def _replicate(self, index: int, resume: bool) -> Carry:
        assert self.desk is not None
        speakers = Speakers(self.simulation, index, self.desk, self.journal)
        self.speakers[index] = speakers
        carry = unstack(await self._on_device(self.machine.start, [index]), 0)
        tick = 0
        if resume:
            tick, carry, state = self._restore(f"replicate-{index}", carry)
            if state:
                speakers.restore(state)
        while tick < self.total:
            self.between.film(index, tick, carry)
            carry = self.between.rewire(index, tick, carry)
            carry = await self._generation_begins(index, tick, carry, speakers)
            await self._survey(index, tick, carry, speakers)
            carry = self.between.intervene(index, tick, carry, speakers)
            if self.watcher is not None:
                self.watcher.see(index, tick, carry, speakers)
            carry, ticks = await self._some_ticks(index, tick, carry, speakers)
            tick += ticks
            self._report_replicate(index, tick, carry)
            late = self._late()
            ended = tick % self.simulation.plan.ticks_per_generation == 0
            self._save(f"replicate-{index}", tick, carry, speakers, force=ended or late)
            self._stop_if(late and tick < self.total)
        self.between.film(index, tick, carry)
        carry = self.between.rewire(index, tick, carry)
        await self._survey(index, tick, carry, speakers)
        carry = self.between.intervene(index, tick, carry, speakers)
        if self.watcher is not None:
            self.watcher.see(index, tick, carry, speakers)
        return carry

    async def _generation_begins(
        self, index: int, tick: int, carry: Carry, speakers: Speakers
    ) -> Carry:
        if tick % self.simulation.plan.ticks_per_generation:
            return carry
        if tick == 0:
            await speakers.found(self._moment(carry))
        elif self.simulation.engine.selects:
            before = np.asarray(carry.uid)
            carry, births, rows = await self._on_device(self.machine.renew, carry)
            carry = self.between.attach(index, tick, carry, births)
            num = self.simulation.population.num_slots
            real = np.asarray(births_among(births, num))
            child, parent = np.asarray(births.child), np.asarray(births.parent)
            text = self._text_slots()
            pairs = [
                (int(child[i]), tuple(int(p) for p in parent[i] if p >= 0))
                for i in np.flatnonzero(real)
                if int(child[i]) in text
            ]
            generation = self.simulation.plan.generation(tick)
            self.between.note_births(index, generation, np.asarray(rows))
            await speakers.succeed(generation, self._moment(carry), sorted(pairs), before)
        self.journal.flush()
        return carry

    async def _some_ticks(
        self, index: int, tick: int, carry: Carry, speakers: Speakers
    ) -> tuple[Carry, int]:
        carry = await self._on_device(self.machine.begin, carry)
        carry = await self._refresh(index, tick, carry, speakers)
        step = int(carry.step)
        place = Place(int(carry.generation), int(carry.episode), step)
        if speakers.host is not None:
            carry = await self._move_host(index, carry, place, speakers)
            ticks, moment = 1, None
        elif any(step % group.every == 0 for group in self.simulation.population.text_groups):
            await speakers.live(self._moment(carry), place)
            carry, chosen = await self._host_turns(carry, place, speakers)
            carry = with_actions(carry, chosen)
            ticks, moment = 1, None
        else:
            ticks = self._quiet_ticks(tick, step)
            moment = self._moment(carry)
            speakers.hear(jax.device_get(carry.outbox), moment, place)
        carry, chunk = await self._on_device(self.machine.some, carry, ticks)
        chunk = jax.device_get(chunk)
        speakers.lives.gather(chunk.lives, self._text_slots())
        self._record(index, chunk, ticks)
        if moment is not None:
            for later in range(1, ticks):  # what was said last is still in the outbox
                words = {name: rows[later - 1] for name, rows in chunk.said.items()}
                speakers.hear(words, moment, dataclasses.replace(place, step=step + later))
        self.journal.flush()
        learners = learning.due(self.simulation.parts, tick + ticks)
        if learners:
            carry = await self._on_device(self.machine.learn_one, carry, learners)
        return carry, ticks

    def _quiet_ticks(self, tick: int, step: int) -> int:
        """Ticks until some text agent is asked, or the host is needed otherwise."""
        plan, engine = self.simulation.plan, self.simulation.engine
        if engine.may_freeze and plan.steps is not None:
            return 1
        waits = [
            group.every - step % group.every for group in self.simulation.population.text_groups
        ]
        if plan.horizon is not None:
            waits.append(plan.horizon - step)
        waits.append(plan.next_generation(tick) - tick)
        waits.append(self._next_need(tick) - tick)
        return min([*waits, engine.capacity])

    async def _host_turns(
        self, carry: Carry, place: Place, speakers: Speakers
    ) -> tuple[Carry, dict[int, Any]]:
        """Turns of talk, then the act: returns what text agents chose, by slot.

        The world itself has not moved yet.
        """
        moment = self._moment(carry)
        last = self.simulation.plan.talk_turns
        chosen: dict[int, Any] = {}
        for turn in range(last + 1):
            here = dataclasses.replace(place, turn=turn)
            outbox = jax.device_get(carry.outbox)
            speakers.hear(outbox, moment, here)
            observation = await self._on_device(self.machine.observe, carry)
            moment.observation = speakers.shown(jax.device_get(observation))
            due = speakers.due(moment, place.step)
            chosen = await speakers.act(due, moment, here, talking=turn < last)
            carry = carry._replace(pending=speakers.said(carry.pending))
            if turn < last:
                carry = await self._on_device(self.machine.talk, carry, turn)
        return carry, chosen

    async def _move_host(self, index: int, carry: Carry, place: Place, speakers: Speakers) -> Carry:
        """Let everybody decide, and the host's world find out what comes of it."""
        host, desk = speakers.host, self.desk
        assert host is not None and desk is not None
        turn, ask = self.simulation.plan.talk_turns, None
        if self.simulation.world.asks:
            ask = desk.asker((index, *place.clock), -1, self.simulation.default_backend)
        carry, happened = await host.move(
            carry,
            place,
            turns=lambda carry: self._host_turns(carry, place, speakers),
            decide=lambda carry: self.machine.decide(carry, turn),
            on_device=self._on_device,
            ask=ask,
        )
        self.journal.add_events(events(happened, index, place, np.asarray(carry.uid)))
        return carry

    async def _refresh(self, index: int, tick: int, carry: Carry, speakers: Speakers) -> Carry:
        """Ask anew for the tables of archetypes that are due."""
        desk = self.desk
        assert desk is not None
        done = await refresh(
            self.simulation,
            carry,
            tick=tick,
            replicate=index,
            observe=lambda: self._on_device(self.machine.observe, carry),
            asker=lambda place, backend: desk.asker((index, *place.clock), -1, backend),
            gather=desk.minds,
        )
        if done is None:
            return carry
        speakers.turns += done.asked
        self.journal.add_events(done.events)
        return done.carry

    async def _survey(self, index: int, tick: int, carry: Carry, speakers: Speakers) -> None:
        """Ask what is due before a tick; neither minds nor the world notice."""
        surveys = due(self.simulation.surveys, tick)
        if not surveys:
            return
        assert self.desk is not None
        moment = self._moment(carry)
        observation = await self._on_device(self.machine.observe, carry)
        moment.observation = speakers.shown(jax.device_get(observation))
        before = speakers.state
        rows = await take(
            surveys,
            interviewer=speakers,
            gather=self.desk.minds,
            moment=moment,
            carry=carry,
            population=self.simulation.population,
            seed=self.simulation.seeds[index],
            replicate=index,
            tick=tick,
            place=Place(int(carry.generation), int(carry.episode), int(carry.step)),
            seen=bool(carry.begun) or tick in (0, self.total),
        )
        speakers.restore(before)
        self.journal.add_events(rows)
        self.journal.flush()

    def _moment(self, carry: Carry) -> Moment:
        host = jax.device_get(carry._replace(state=(), minds=(), accs=(), totals={}, outbox={}))
        return Moment(placed(host), host.uid, host.alive, host.graph)

    def _text_slots(self) -> set[int]:
        groups = self.simulation.population.text_groups
        return {slot for group in groups for slot in range(group.start, group.stop)}

    # ---- recording --------------------------------------------------------------------

    def _record(self, replicate: int, chunk: Any, ticks: int) -> None:
        self.history.write(replicate, chunk, ticks)
        if self.simulation.world.births:
            self.journal.add_events(events_of(replicate, chunk.lives, np.asarray(chunk.clock)))
        if self.between.keeps_lineage and not self.simulation.has_language:
            first = int(chunk.clock[0, 0])
            for offset, births in enumerate(chunk.births):
                self.between.note_births(replicate, first + offset, births)

    def lineage(self, replicate: int) -> list[tuple[int, int, int, int, int]]:
        """(uid, parent uid, generation, step, slot) of everybody born in a replicate."""
        return [
            (uid, parent, event.generation, event.step, slot)
            for event in self.journal.events(replicate, "births")
            for uid, parent, slot in event.data
        ]

    def _report(self, tick: int, generation: int) -> None:
        if self.progress is None:
            return
        counts = self.journal.counts()
        self.progress.advance(
            {
                "step": tick,
                "generation": generation,
                "calls": counts.calls,
                "tokens": counts.prompt_tokens + counts.completion_tokens,
                "faults": counts.faults,
            }
        )

    def _report_replicate(self, index: int, tick: int, carry: Carry) -> None:
        self.done[index] = tick
        self._report(min(self.done.values()), int(carry.generation))

    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def _stop_if(self, late: bool) -> None:
        if late:
            raise Stopped("limits.wall_s is used up; resume with a higher one")

    # ---- checkpoints ------------------------------------------------------------------

    def _save(
        self, name: str, tick: int, carry: Carry, speakers: Speakers | None, force: bool = False
    ) -> None:
        due = time.monotonic() - self._saved > CHECKPOINT_EVERY_S
        if not self.checkpoints or not (force or due) or tick >= self.total:
            return
        self.journal.sync()
        state = {} if speakers is None else speakers.state
        sums = {str(index): total for index, total in self.history.sums.items()}
        tree = {"tick": tick, "carry": save_tree(carry), "text": state, "sums": sums}
        write_checkpoint(self.folder.checkpoints, name, tree)
        self._saved = time.monotonic()

    def _restore(self, name: str, template: Any) -> tuple[int, Any, Mapping[str, Any]]:
        found = newest_sound(self.folder.checkpoints, name)
        if found.tree is None:
            return 0, template, {}
        carry = restore_tree(template, found.tree["carry"])
        sums = restored_sums(found.tree["sums"])
        index = name.rpartition("-")[2]
        self.history.sums.update({int(index): sums[int(index)]} if index.isdecimal() else sums)
        return found.tree["tick"], carry, found.tree["text"]
