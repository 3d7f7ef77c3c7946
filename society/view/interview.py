"""Ask one agent something aside, as it was at a moment of a run: a process of its own.

The run is executed again, offline, up to that moment; then the agent, with the persona, memory
and view it has there, is asked by its own model. What comes of it is journalled in
``interviews.sqlite`` beside the run. The run's own files are only read.

``python -m society.view.interview RUN`` reads {replicate, uid, clock, question} from stdin and
prints {answer, note}.
"""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import jax
import numpy as np

from society.backends import make_backends
from society.build import Simulation, build
from society.carry import placed
from society.desk import Desk
from society.journal import Divergence, Journal
from society.journal_rows import StoredEvent
from society.machine import Machine
from society.plan import Place
from society.recorder import RunFolder
from society.scenario import load_resolved
from society.speakers import Moment, Speakers
from society.surveys import ask_aside
from society.trained import runs_in
from society.view.retrace import Reached, Seeking, retrace
from society.view.workers import INTERVIEWS
from worlds.redact import redact

__all__ = ["interview", "main"]


def interview(
    folder: RunFolder,
    simulation: Simulation,
    *,
    replicate: int,
    uid: int,
    clock: tuple[int, int, int],
    question: str,
) -> str | None:
    """Ask an agent at a moment; returns its answer, or None where it could not be read.

    Raises:
      ValueError: Nobody who can answer has that uid at that moment.
    """
    there = _at(folder, simulation, replicate, clock)
    speakers = there.speakers
    if speakers is None:
        raise ValueError("nobody in this run reads and writes, so nobody can be asked")
    held = np.flatnonzero((np.asarray(there.carry.uid) == uid) & np.asarray(there.carry.alive))
    with Journal.open(folder.path / INTERVIEWS) as journal:
        journal.set_metric_names(())
        number = len(journal.events(replicate, "interview"))
        desk = Desk(make_backends(simulation, journal), journal, seeds=simulation.seeds)
        live = Speakers(simulation, replicate, desk, journal)
        live.restore(speakers.state)
        answer = asyncio.run(_ask(simulation, there, live, desk, held, question, number))
        generation, episode, step = clock
        data = {"number": number, "question": question, "answer": answer}
        journal.add_events(
            [StoredEvent(replicate, generation, episode, step, 0, "interview", uid, number, data)]
        )
    return answer


def _at(
    folder: RunFolder, simulation: Simulation, replicate: int, clock: tuple[int, int, int]
) -> Reached:
    try:
        retrace(folder, simulation, replicate, Seeking(clock, simulation.plan.total))
    except Reached as reached:
        return reached
    except Divergence as error:
        if error.column or error.stored is not None:
            raise
    raise ValueError("the journal does not reach that moment yet; choose an earlier one")


async def _ask(
    simulation: Simulation,
    there: Reached,
    speakers: Speakers,
    desk: Desk,
    held: np.ndarray,
    question: str,
    number: int,
) -> str | None:
    try:
        carry = there.carry
        host = jax.device_get(carry._replace(state=(), minds=(), accs=(), totals={}, outbox={}))
        moment = Moment(placed(host), host.uid, host.alive, host.graph)
        moment.observation = speakers.shown(jax.device_get(Machine(simulation).observe(carry)))
        seen = bool(carry.begun) or there.tick in (0, simulation.plan.total)
        person = None
        if len(held):
            person = speakers.respondent(int(held[0]), moment, seen=seen)
        if person is None:
            raise ValueError("nobody who can be asked has that number at this moment")
        place = Place(int(carry.generation), int(carry.episode), int(carry.step))
        ask = speakers.ask_for(int(held[0]), moment, place)
        (answer,) = await desk.gather(
            [ask_aside(person, ask, question, place, name=f"interview/{number}")]
        )
        return answer
    finally:
        await desk.aclose()


def main(arguments: list[str] | None = None) -> None:
    """Command line; see the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--allow-code", action="store_true")
    options = parser.parse_args(arguments)
    given: dict[str, Any] = json.load(sys.stdin)
    answer, note = None, "The answer could not be read."
    try:
        folder = RunFolder.open(options.run)
        scenario = load_resolved(folder.scenario_path, (), allow_code=options.allow_code)
        with runs_in(folder.path.parent):
            simulation = build(scenario)
        answer = interview(
            folder,
            simulation,
            replicate=int(given["replicate"]),
            uid=int(given["uid"]),
            clock=tuple(given["clock"]),
            question=str(given["question"]),
        )
    except Exception as error:  # whatever went wrong is what the page says
        note = f"{type(error).__name__}: {error}"
    sys.stdout.write(json.dumps({"answer": answer, "note": redact(note)}))


if __name__ == "__main__":
    main()
