"""Make one run of a study, in this process; as a program, one after another for a pool.

``python -m society.study.worker`` reads one job a line from standard input and writes one
JSON object a line: ``{"progress": ...}`` on the way, ``{"outcome": ...}`` at the end. When
its input ends, whoever started it is gone, and it ends at once: a journal may be cut
anywhere.
"""

import json
import os
import queue
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from society.study.plan import Job

__all__ = ["make_run"]

Tell = Callable[[Mapping[str, Any]], None]
_TELL_EVERY_S = 0.5
# A resumed run that does not fit what was journalled is set aside and begun anew.
_UNUSABLE = ("Divergence", "JournalError", "CheckpointError", "NotARunError")


def make_run(data: Mapping[str, Any], tell: Tell | None = None) -> dict[str, Any]:
    """Make a run, or go on with it where it stopped; never raises for what a run does.

    Args:
      data: a ``Job`` as plain data.
      tell: is told ``step`` and ``total`` now and then.

    Returns:
      ``name``, ``status`` (of the summary, or "error"), ``wall_s``, and for an error
      ``type``, ``message`` and ``traceback``.
    """
    job = Job.of(data)
    began = time.monotonic()
    try:
        summary = _attempt(job, _Watch(tell) if tell else None)
        outcome = {"status": summary["status"]}
        if summary.get("reason"):
            outcome["message"] = summary["reason"]
    except Exception as error:  # one run that fails must not stop the others
        from worlds.redact import redact

        outcome = {
            "status": "error",
            "type": type(error).__name__,
            "message": redact(str(error)) or type(error).__name__,
            "traceback": redact(traceback.format_exc()),
        }
    spent = round(time.monotonic() - began, 3)
    return {"name": job.name, "cell": job.cell, **outcome, "wall_s": spent}


def _attempt(job: Job, progress: Any) -> dict[str, Any]:
    from society.run import resume_scenario, run_scenario
    from society.scenario import load_resolved

    sets = (f"seeds={json.dumps(list(job.seeds))}",)
    scenario = load_resolved(Path(job.scenario), sets, allow_code=job.allow_code)
    folder = Path(job.folder)
    if (folder / "manifest.json").is_file():
        try:
            return resume_scenario(scenario, folder, progress)
        except Exception as error:
            if type(error).__name__ not in _UNUSABLE:
                raise
            _set_aside(folder)
    return run_scenario(scenario, folder.parent, progress, at=folder)


def _set_aside(folder: Path) -> None:
    """Move an unusable run folder out of the way, keeping it."""
    place = folder.parent.parent / "unusable"
    place.mkdir(exist_ok=True)
    number = sum(1 for _ in place.glob(f"{folder.name}.*"))
    folder.rename(place / f"{folder.name}.{number}")


class _Watch:
    """Progress of a run, told at most twice a second."""

    def __init__(self, tell: Tell) -> None:
        self._tell = tell
        self._total = 1
        self._told = 0.0

    def begin(self, total_steps: int, generations: int) -> None:
        """The run begins."""
        self._total = total_steps

    def advance(self, state: Mapping[str, Any]) -> None:
        """Tell, unless that was done a moment ago."""
        now = time.monotonic()
        if now - self._told >= _TELL_EVERY_S:
            self._told = now
            self._tell({"step": state.get("step", 0), "total": self._total})

    def end(self, status: str) -> None:
        """The outcome says it."""


def _keep_to_cores() -> None:
    """Use the cores that the pool gave to this worker, so that workers do not compete."""
    cores = os.environ.get("SOCIETY_STUDY_CORES", "")
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core) for core in cores.split(",")})


def _serve(source: TextIO, sink: TextIO) -> None:
    """Take jobs from a stream and answer on another."""
    jobs: queue.Queue[dict[str, Any]] = queue.Queue()
    lock = threading.Lock()

    def listen() -> None:
        for line in source:
            jobs.put(json.loads(line))
        os._exit(0)

    def say(word: str, value: Mapping[str, Any]) -> None:
        with lock:
            sink.write(json.dumps({word: value}, default=str) + "\n")
            sink.flush()

    threading.Thread(target=listen, daemon=True).start()
    while True:
        say("outcome", make_run(jobs.get(), lambda state: say("progress", state)))


def main() -> None:
    """Serve a pool; what runs print goes to standard error."""
    _keep_to_cores()
    sink = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        _serve(sys.stdin, sink)
    except BrokenPipeError:
        os._exit(1)


if __name__ == "__main__":
    main()
