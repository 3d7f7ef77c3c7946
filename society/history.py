"""From chunks to journal rows, and from the journal back to what measures read.

A row is one recorded tick: the world's metrics, then the columns of a generation's end,
which are NaN in all other rows. The last row of a generation is always kept where
generations have more than one tick; elsewhere ``record.every`` thins them out.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from society.carry import Carry, Chunk, results_of
from society.contract import Record
from society.hosted import Hosted
from society.journal import Journal
from society.machine import Machine, unstack
from society.phylogeny import pedigree_of
from society.recording import NotRecordedError, Series, kept_columns, metric_of, summed

__all__ = ["History"]


@dataclasses.dataclass(frozen=True)
class History:
    """Writes and reads the metrics of a run."""

    machine: Machine
    journal: Journal
    every: int = 1
    fields: tuple[str, ...] = ()
    sums: dict[int, np.ndarray] = dataclasses.field(default_factory=dict)
    left_out: dict[str, str] = dataclasses.field(default_factory=dict)

    def open(self) -> None:
        """Name the columns, once and for all: a run that goes on keeps those it has."""
        stored = self.journal.metric_names()
        known = stored and not set(stored) - set(self._all_columns)
        chosen = stored if known else kept_columns(self._all_columns, self.fields)
        self.journal.set_metric_names(chosen)

    def write(self, replicate: int, chunk: Chunk, ticks: int) -> None:
        """Buffer the rows that one replicate's chunk of ``ticks`` ticks left (NumPy arrays)."""
        plan = self.machine.simulation.plan
        clock = np.asarray(chunk.clock[:ticks])
        width = chunk.ticks.shape[1]
        columns = width + chunk.generations.shape[1]
        values = np.full((ticks, columns), np.nan, np.float32)
        values[:, :width] = chunk.ticks[:ticks]
        values[chunk.frozen[:ticks], :width] = np.nan  # a tick that only waited measured nothing
        ends = self._last_ticks(clock, int(chunk.ended))
        values[ends, width:] = chunk.generations[: len(ends)]
        self.sums[replicate] = summed(self.sums.get(replicate), clock, values)
        hashes: list[bytes | None] = [None] * ticks
        for row, word in zip(ends, chunk.hashes[: len(ends)], strict=True):
            hashes[row] = int(word).to_bytes(8, "little")
        if plan.instant:
            due = clock[:, 0] % self.every == 0
            due |= clock[:, 0] == plan.generations - 1
        else:
            due = clock[:, 2] % self.every == 0
            due[ends] = True
            due &= ~chunk.frozen[:ticks] | np.isin(np.arange(ticks), ends)
        kept = np.flatnonzero(due)
        self.journal.add_metrics_block(
            replicate, clock[kept], values[kept][:, self._kept], [hashes[row] for row in kept]
        )

    def read(self, replicate: int, carry: Carry, lineage: Sequence[Any] = ()) -> Record:
        """What is known of a replicate after its last tick."""
        simulation = self.machine.simulation
        table = self.journal.metrics(replicate)
        columns = self.journal.metric_names()
        width = sum(not name.startswith("generation/") for name in columns)
        ends = np.flatnonzero(np.diff(table.clock[:, 0], append=table.clock[-1:, 0] + 1) > 0)
        generations = {"index": table.clock[ends, 0]}
        generations |= _gather(columns[width:], table.values[ends, width:])
        host = jax.device_get(carry)
        count = max(int(host.count), 1)
        results = jax.device_get(results_of(simulation.plan, host))
        outcome = {name: value if count == 1 else value / count for name, value in results.items()}
        engine = simulation.engine
        texts = isinstance(simulation.world, Hosted)
        return Record(
            world=simulation.world,
            groups=simulation.population.slices(),
            series=Series(
                _gather(columns[:width], table.values[:, :width]),
                map(metric_of, self.machine.metric_names),
            ),
            clock=table.clock,
            generations=Series(generations, map(metric_of, self._generation_columns)),
            outcome=outcome,
            fitness=np.asarray(outcome.get(engine.fitness, np.zeros(len(host.alive)))),
            alive=host.alive,
            types=np.asarray(engine.types(simulation.parts, carry.minds)),
            graph=host.graph,
            lineage=lineage,
            pedigree=pedigree_of(self.journal.events(replicate, "lives"))
            if simulation.world.births
            else None,
            events=tuple(self.journal.events(replicate, "world")) if texts else (),
        )

    def finish(self, replicate: int, carry: Carry, lineage: Sequence[Any]) -> dict[str, dict]:
        """All measures of one replicate: measure name -> its named values.

        Those that read what ``record.fields`` leaves out are named in ``left_out``.
        """
        record = self.read(replicate, carry, lineage)
        accs = jax.device_get(carry.accs)
        measures = self.machine.simulation.measures.items()
        found = {}
        for (name, measure), acc in zip(measures, accs, strict=True):
            try:
                found[name] = measure.finish(acc, record)
            except NotRecordedError as error:
                self.left_out[name] = str(error)
        return found

    @functools.cached_property
    def _all_columns(self) -> tuple[str, ...]:
        return (*self.machine.metric_names, *self._generation_columns)

    @functools.cached_property
    def _kept(self) -> np.ndarray:
        """Which of all columns the journal has."""
        place = {name: index for index, name in enumerate(self._all_columns)}
        return np.asarray([place[name] for name in self.journal.metric_names()], int)

    @property
    def _generation_columns(self) -> tuple[str, ...]:
        return tuple(f"generation/{name}" for name in self.machine.generation_names)

    def _last_ticks(self, clock: np.ndarray, ended: int) -> np.ndarray:
        """Rows of a chunk that ended a generation."""
        plan = self.machine.simulation.plan
        if plan.instant:
            return np.arange(ended)
        changes = np.flatnonzero(np.diff(clock[:, 0]) > 0)
        if ended > len(changes):
            changes = np.append(changes, len(clock) - 1)
        return changes


def split(chunks: Chunk, replicates: int) -> list[Chunk]:
    """One NumPy chunk for each replicate."""
    host = jax.device_get(chunks)
    return [unstack(host, index) for index in range(replicates)]


def _gather(names: Sequence[str], values: np.ndarray) -> dict[str, np.ndarray]:
    """Columns by name; ``name[0]``, ``name[1]``, ... become one array ``name``."""
    columns: dict[str, list[np.ndarray]] = {}
    for index, name in enumerate(names):
        base = name.removeprefix("generation/").partition("[")[0]
        columns.setdefault(base, []).append(values[:, index])
    return {
        base: parts[0]
        if f"{base}[0]" not in {n.removeprefix("generation/") for n in names}
        else np.stack(parts, axis=1)
        for base, parts in columns.items()
    }
