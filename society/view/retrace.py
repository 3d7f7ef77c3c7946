"""Find out who was who in a run: a process of its own that executes it again, offline.

A journal holds what was said and measured, not which strategy each of a thousand agents held
in every step. Runs are deterministic, so the same code finds that out anew: language agents
get their journalled answers, everything else is computed, and nothing is written to the run.
Of a run that goes on, its checkpoints are read instead.

``python -m society.view.retrace RUN STORE --replicate R`` fills a ``FilmStore``.
"""

import argparse
import dataclasses
import math
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from society.build import Simulation, build
from society.carry import Carry
from society.checkpoint import CheckpointError, newest_sound, restore_tree
from society.execute import Execution
from society.journal import Divergence, Journal
from society.machine import Machine, unstack
from society.plan import Plan
from society.recorder import RunFolder
from society.run import offline_desk
from society.scenario import load_resolved
from society.speakers import Speakers
from society.trained import runs_in
from society.view.film_store import FilmStore
from society.view.png import png
from society.view.snapshots import Camera, stage_of
from society.view.source import RunSource

__all__ = ["MOST_S", "Reached", "Seeking", "film", "main", "retrace"]

_SNAPSHOTS = 240
_MOST_ROWS = 400_000
_FEWEST = 40
_PAUSE_S = 2.0
# A run that took longer is executed again only when asked to.
MOST_S = 300.0


class Reached(Exception):  # noqa: N818
    """The moment that was looked for: tick, carry and speakers of one replicate."""

    def __init__(self, tick: int, carry: Carry, speakers: Speakers | None) -> None:
        super().__init__(tick)
        self.tick, self.carry, self.speakers = tick, carry, speakers


@dataclasses.dataclass(eq=False)
class _Filming:
    """A watcher that takes a snapshot every so many ticks, until the journal ends."""

    camera: Camera
    store: FilmStore
    every: int
    total: int
    until: tuple[int, int, int] | None

    def due(self, tick: int) -> int:
        """The next multiple of ``every``."""
        return min((tick // self.every + 1) * self.every, self.total)

    def see(self, replicate: int, tick: int, carry: Carry, speakers: Speakers | None) -> None:
        """Take a snapshot where one is due."""
        clock = (int(carry.generation), int(carry.episode), int(carry.step))
        if self.until is not None and clock > self.until:
            raise Reached(tick, carry, speakers)
        if tick % self.every == 0 or tick == self.total:
            self.camera.take(tick, carry, speakers)
            self.store.tell("progress", {"tick": tick, "total": self.total})


@dataclasses.dataclass(frozen=True, eq=False)
class Seeking:
    """A watcher that stops at a moment of one replicate."""

    clock: tuple[int, int, int]
    total: int

    def due(self, tick: int) -> int:
        """Every tick: which one shows the moment depends on the state."""
        return tick + 1

    def see(self, replicate: int, tick: int, carry: Carry, speakers: Speakers | None) -> None:
        """Stop where the moment is reached."""
        now = (int(carry.generation), int(carry.episode), int(carry.step))
        if now >= self.clock or tick == self.total:
            raise Reached(tick, carry, speakers)


def retrace(folder: RunFolder, simulation: Simulation, replicate: int, watcher: Any) -> None:
    """Execute one replicate of a run again, offline, and let a watcher look.

    Raises:
      Divergence: It came out otherwise, or the journal ends (``column`` is "" then).
      Reached: The watcher has seen enough.
    """
    if simulation.has_language:
        with Journal.open(folder.journal_path, readonly=True) as journal:
            desk = offline_desk(simulation, journal)
            Execution(
                simulation, folder, journal, desk=desk, checkpoints=False, watcher=watcher,
                only=replicate,
            ).run(resume=False)  # fmt: skip
        return
    seed = (simulation.seeds[replicate],)
    with runs_in(folder.path.parent):
        alone = build(simulation.scenario.model_copy(update={"seeds": seed}))
    with (
        tempfile.TemporaryDirectory(prefix="society-view-") as scratch,
        Journal.open(Path(scratch) / "journal.sqlite") as journal,
    ):
        try:
            Execution(alone, folder, journal, checkpoints=False, watcher=watcher).run(resume=False)
        finally:
            journal.flush()
            with Journal.open(folder.journal_path, readonly=True) as stored:
                _compare(stored, replicate, journal)


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("store", type=Path)
    parser.add_argument("--replicate", type=int, default=0)
    parser.add_argument("--always", action="store_true", help="also where it takes long")
    parser.add_argument("--allow-code", action="store_true")
    given = parser.parse_args(arguments)
    os.nice(10)
    store = FilmStore(given.store)
    try:
        film(RunFolder.open(given.run), store, given.replicate, given.always, given.allow_code)
    except Exception as error:  # whatever went wrong is what the page says
        store.tell("status", {"status": "failed", "note": f"{type(error).__name__}: {error}"})
        raise


def film(
    folder: RunFolder,
    store: FilmStore,
    replicate: int = 0,
    always: bool = False,
    allow_code: bool = False,
) -> None:
    """Fill a store with snapshots of a replicate; of a run that goes on, until it has ended.

    Args:
      always: retrace also a run that took longer than ``MOST_S``.
      allow_code: let its scenario name classes of its own.
    """
    source = RunSource(folder)
    scenario = load_resolved(folder.scenario_path, (), allow_code=allow_code)
    with runs_in(folder.path.parent):
        simulation = build(scenario)
    store.tell("stage", stage_of(simulation, replicate))
    if source.running:
        _follow(folder, source, simulation, replicate, store)
    summary = folder.read_summary() or {}
    if not always and float(summary.get("wall_s") or 0) > MOST_S:
        _show_frames(folder, simulation, replicate, store)
        note = f"The run took {summary['wall_s'] / 60:.0f} minutes; retracing it may take as long."
        store.tell("status", {"status": "waiting", "note": note})
        return
    store.tell("status", {"status": "running", "note": ""})
    total = simulation.plan.total
    num = max(simulation.population.num_slots, 1)
    most = min(max(_MOST_ROWS // num, _FEWEST), _SNAPSHOTS)
    filming = _Filming(
        Camera(simulation, store), store, max(math.ceil(total / most), 1), total,
        None if summary.get("status") in ("ok", "failed") else source.last_clock(replicate),
    )  # fmt: skip
    note = ""
    try:
        retrace(folder, simulation, replicate, filming)
    except Reached:
        note = "The run stopped here."
    except Divergence as error:
        ended = not error.column and error.stored is None
        note = "The journal ends here." if ended else f"Retraced otherwise than it was: {error}"
    store.tell("status", {"status": "done", "note": note})


def _follow(
    folder: RunFolder, source: RunSource, simulation: Simulation, replicate: int, store: FilmStore
) -> None:
    """Take a snapshot of every new checkpoint while the run goes on."""
    store.tell("status", {"status": "running", "note": "following the run by its checkpoints"})
    camera, seen = Camera(simulation, store), None
    machine = Machine(simulation)
    while source.running:
        try:
            found = newest_sound(
                folder.checkpoints,
                f"replicate-{replicate}" if simulation.has_language else "replicates",
            )
            if found.tree is not None and found.path != seen:
                seen = found.path
                tick, carry, speakers = _restored(machine, found.tree, replicate, folder)
                camera.take(tick, carry, speakers)
                store.tell("progress", {"tick": tick, "total": simulation.plan.total})
        except (CheckpointError, OSError):
            pass  # it is being replaced; the next one will do
        time.sleep(_PAUSE_S)


def _restored(
    machine: Machine, tree: Any, replicate: int, folder: RunFolder
) -> tuple[int, Carry, Speakers | None]:
    simulation = machine.simulation
    if not simulation.has_language:
        template = machine.template(len(simulation.seeds))
        return tree["tick"], unstack(restore_tree(template, tree["carry"]), replicate), None
    template = unstack(machine.start([replicate]), 0)
    carry = restore_tree(template, tree["carry"])
    with Journal.open(folder.journal_path, readonly=True) as journal:
        speakers = Speakers(simulation, replicate, offline_desk(simulation, journal), journal)
    speakers.restore(tree["text"])
    return tree["tick"], carry, speakers


def _show_frames(
    folder: RunFolder, simulation: Simulation, replicate: int, store: FilmStore
) -> None:
    """Pictures that the run itself has kept (``record.frames_every``)."""
    for file in sorted((folder.path / "frames" / f"replicate-{replicate}").glob("*.npy")):
        tick = int(file.stem)
        data = {"clock": list(_clock_of(simulation.plan, tick)), "edges": 0}
        blank = dict.fromkeys(("alive", "uid", "types", "at", "doing", "things", "places"))
        store.add(tick, {**blank, **data}, png(np.load(file, allow_pickle=False)), {})


def _clock_of(plan: Plan, tick: int) -> tuple[int, int, int]:
    generation, within = divmod(tick, plan.ticks_per_generation)
    episode, step = (0, within) if plan.horizon is None else divmod(within, plan.horizon)
    return generation, episode, step


def _compare(stored: Journal, replicate: int, again: Journal) -> None:
    """Raise Divergence at the first step whose metrics came out otherwise."""
    was, now = stored.metrics(replicate), again.metrics(0)
    length = min(len(was.clock), len(now.clock))
    same = (was.clock[:length] == now.clock[:length]).all(1)
    same &= (was.values[:length].view(np.uint32) == now.values[:length].view(np.uint32)).all(1)
    if not same.all():
        row = int(np.argmin(same))
        generation, episode, step = was.clock[row].tolist()
        place: dict[str, Any] = {"generation": generation, "episode": episode, "step": step}
        raise Divergence(
            "metrics", place, "values", was.values[row].tolist(), now.values[row].tolist()
        )


if __name__ == "__main__":
    main()
