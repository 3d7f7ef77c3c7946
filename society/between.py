"""What happens on the host between two ticks, in this order.

A picture is drawn of what was; ties are rewired after what was seen; a generation that begins
is selected, and its newcomers get ties; surveys are taken (``society.surveys``); then
interventions happen to those who are there.
"""

import dataclasses
import functools
import zlib
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from society import learning
from society.archetypes import next_refresh
from society.build import Simulation, situation_of
from society.carry import Carry
from society.interventions import Scene, Scheduled, choose_slots
from society.journal import Journal
from society.journal_rows import StoredEvent
from society.machine import Machine, stack, unstack
from society.newborns import births_of
from society.newcomers import tie_newcomers
from society.recording import frame_ticks, keeps_lineage, next_frame, write_frame
from society.speakers import Speakers

__all__ = ["Between"]


@dataclasses.dataclass(frozen=True, eq=False)
class Between:
    """The host's work between ticks, and when there is any.

    folder: of the run. films: False in a replay, which writes nothing.
    """

    simulation: Simulation
    machine: Machine
    journal: Journal
    folder: Path
    films: bool = True

    @property
    def total(self) -> int:
        """Ticks of the whole run."""
        return self.simulation.plan.total

    @functools.cached_property
    def keeps_lineage(self) -> bool:
        """True where births between generations are journalled."""
        record = self.simulation.scenario.record
        return keeps_lineage(record.fields, record.every)

    def next_need(self, tick: int) -> int:
        """The next tick at which the host has something to do."""
        happenings = (*self.simulation.interventions, *self.simulation.surveys)
        needs = [t for event in happenings for t in event.ticks if t > tick]
        needs += learning.reads_boundaries(self.simulation.parts, tick)
        needs += next_refresh(self.simulation.population, self.simulation.plan, tick)
        needs += next_frame(self.simulation.scenario.record.frames_every, tick)
        if self.simulation.attach is not None:
            births = self.simulation.world.births
            needs.append(tick + 1 if births else self.simulation.plan.next_generation(tick))
        rewire = self.simulation.rewiring
        if rewire is not None:
            needs.append((tick // rewire.every + 1) * rewire.every)
        return min([*needs, self.total])

    def intervene_all(self, tick: int, carries: Carry) -> Carry:
        """Do in every replicate what happens before a tick."""
        if not self._happens(tick):
            return carries
        replicates = len(self.simulation.seeds)
        host = jax.device_get(carries)
        changed = []
        for index in range(replicates):
            carry = self.rewire(index, tick, unstack(host, index))
            carry = self._renew_early(index, tick, carry)
            changed.append(self.intervene(index, tick, carry, None))
        return stack(changed)

    def _renew_early(self, index: int, tick: int, carry: Carry) -> Carry:
        """Select before an intervention that meets the generation which begins."""
        selects = self.begins(tick) and self.simulation.engine.selects
        if not (selects and (self._events(tick) or self.simulation.attach)):
            return carry
        carry, births, rows = self.machine.renew(carry)
        carry = self.attach(index, tick, carry, births)
        if self.keeps_lineage:
            self.note_births(index, self.simulation.plan.generation(tick), np.asarray(rows))
        return carry

    def begins(self, tick: int) -> bool:
        """A generation other than the first begins with this tick."""
        return 0 < tick < self.total and not tick % self.simulation.plan.ticks_per_generation

    def attach(self, index: int, tick: int, carry: Carry, births: Any) -> Carry:
        """Give newcomers the ties that the scenario's rule gives them."""
        rule = self.simulation.attach
        if rule is None:
            return carry
        carry, rows = tie_newcomers(
            rule,
            carry,
            births,
            situation_of(self.simulation, carry),
            seed=self.simulation.seeds[index],
            tick=tick,
            replicate=index,
            generation=self.simulation.plan.generation(tick),
        )
        self.journal.add_events(rows)
        return carry

    def _happens(self, tick: int) -> bool:
        born = self.begins(tick) or self.simulation.world.births
        newcomers = self.simulation.attach is not None and bool(born)
        return self._rewires(tick) or bool(self._events(tick)) or newcomers

    def _rewires(self, tick: int) -> bool:
        rewire = self.simulation.rewiring
        return rewire is not None and tick > 0 and tick % rewire.every == 0

    def _events(self, tick: int) -> list[Scheduled]:
        return [event for event in self.simulation.interventions if tick in event.ticks]

    def intervene(self, index: int, tick: int, carry: Carry, speakers: Speakers | None) -> Carry:
        """Do what the scenario's interventions do to one replicate."""
        events = self._events(tick)
        if not events:
            return carry
        carry = jax.tree.map(jnp.asarray, carry)
        population = self.simulation.population
        seed = self.simulation.seeds[index]
        place = (int(carry.generation), int(carry.episode), int(carry.step), 0)
        rows = []
        for event in events:
            rng = np.random.default_rng([seed, zlib.crc32(event.name.encode()), tick])
            slots = choose_slots(event.who, population, carry, rng)
            scene = Scene(carry, population, slots, rng, speakers.mail if speakers else None)
            carry = event.what.apply(scene)
            data = {"name": event.name, "tick": tick, "slots": slots.tolist()}
            rows.append(StoredEvent(index, *place, "intervention", -1, len(rows), data))
        self.journal.add_events(rows)
        return carry._replace(graph=jax.tree.map(jnp.asarray, carry.graph))

    def rewire(self, index: int, tick: int, carry: Carry) -> Carry:
        """Tie those born in the latest step, then let ties change by the graph's own rule."""
        carry = self._tie_born(index, tick, carry)
        if not self._rewires(tick):
            return carry
        rewire = self.simulation.rewiring
        assert rewire is not None
        carry = jax.tree.map(jnp.asarray, carry)
        rng = np.random.default_rng([self.simulation.seeds[index], 0x726577, tick])
        graph = jax.tree.map(np.asarray, carry.graph)
        situation = situation_of(self.simulation, carry)
        graph = rewire.apply(graph, rng, situation)
        return carry._replace(graph=jax.tree.map(jnp.asarray, graph))

    def _tie_born(self, index: int, tick: int, carry: Carry) -> Carry:
        """Give those who were born inside the latest step their ties."""
        if self.simulation.attach is None or not self.simulation.world.births or not tick:
            return carry
        births = births_of(carry.lives, np.asarray(carry.uid))
        place = {"episode": int(carry.episode), "step": int(carry.step)}
        carry, rows = tie_newcomers(
            self.simulation.attach,
            carry,
            births,
            situation_of(self.simulation, carry),
            seed=self.simulation.seeds[index],
            tick=tick,
            replicate=index,
            generation=int(carry.generation),
        )
        self.journal.add_events([row._replace(**place) for row in rows])
        return carry

    def film_all(self, tick: int, carries: Carry) -> None:
        """Draw every replicate."""
        if frame_ticks(self.simulation.scenario.record.frames_every, tick, self.total):
            host = jax.device_get(carries)
            for index in range(len(self.simulation.seeds)):
                self.film(index, tick, unstack(host, index))

    def film(self, index: int, tick: int, carry: Carry) -> None:
        """Draw the state before a tick; a replay draws nothing."""
        every = self.simulation.scenario.record.frames_every
        if self.films and frame_ticks(every, tick, self.total):
            write_frame(self.folder, index, tick, carry)

    def note_births(self, replicate: int, generation: int, rows: np.ndarray) -> None:
        """Journal who was born to a generation: rows (uid, parent's uid, slot)."""
        born = [row for row in rows.tolist() if row[0] >= 0]
        if born:
            event = StoredEvent(replicate, generation, 0, 0, 0, "births", -1, 0, born)
            self.journal.add_events([event])
