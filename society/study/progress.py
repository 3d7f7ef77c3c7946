"""Progress of a whole study: one line on a terminal, plain lines elsewhere; on stderr."""

import json
import sys
import time
from collections.abc import Mapping
from typing import Any, TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

__all__ = ["Events", "study_progress"]


def study_progress(console: Console, *, quiet: bool = False) -> "Live | Lines | None":
    """Return what shows progress on this console, or None."""
    if quiet:
        return None
    return Live(console) if console.is_terminal else Lines(console)


class Events:
    """One JSON object a line for programs: ``begin``, ``run`` for every run, ``end``."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def begin(self, runs: int, complete: int, workers: int) -> None:
        """``{"event": "begin", "runs": ..., "complete": ..., "workers": ...}``."""
        self._say("begin", runs=runs, complete=complete, workers=workers)

    def advance(self, name: str, share: float) -> None:
        """``{"event": "progress", "name": ..., "share": ...}``, share from 0 to 1."""
        self._say("progress", name=name, share=round(share, 4))

    def done(self, outcome: Mapping[str, Any]) -> None:
        """``{"event": "run", "name": ..., "cell": ..., "status": ..., "wall_s": ...}``."""
        told = ("name", "cell", "status", "wall_s", "message", "attempts")
        self._say("run", **{key: outcome[key] for key in told if key in outcome})

    def close(self) -> None:
        """The result follows as the last line."""

    def end(self, result: Mapping[str, Any]) -> None:
        """``{"event": "end", "status": ..., "study_dir": ..., ...}``."""
        self._say("end", **result)

    def _say(self, event: str, **values: Any) -> None:
        self._stream.write(json.dumps({"event": event, **values}, default=str) + "\n")
        self._stream.flush()


class Lines:
    """A line for every run that is over."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shares: dict[str, float] = {}
        self._runs = self._done = self._failed = 0
        self._began = time.monotonic()

    def begin(self, runs: int, complete: int, workers: int) -> None:
        """Say how much there is to do."""
        self._runs = runs
        before = f", {complete} cells complete before" if complete else ""
        self._say(f"{_many(runs, 'run')} to make with {_many(workers, 'worker')}{before}")

    def advance(self, name: str, share: float) -> None:
        """Remember how far a run is."""
        self._shares[name] = share

    def done(self, outcome: Mapping[str, Any]) -> None:
        """Say how a run ended."""
        self._done += 1
        self._failed += outcome["status"] != "ok"
        self._shares.pop(outcome["name"], None)
        why = f": {outcome['message']}" if outcome.get("message") else ""
        self._say(
            f"{self._done}/{self._runs}  {outcome['status']:5}  {outcome['cell']}  "
            f"{outcome.get('wall_s', 0):.1f} s{why}"
        )

    def close(self) -> None:
        """Say how long it took."""
        if self._runs:
            self._say(f"{_many(self._done, 'run')} in {time.monotonic() - self._began:.1f} s")

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


class Live(Lines):
    """One line that is rewritten; failures stay above it."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._bar = Progress(
            SpinnerColumn(style="cyan"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("[cyan]{task.percentage:>3.0f}%"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("planning", total=None)

    def begin(self, runs: int, complete: int, workers: int) -> None:
        """Show the line."""
        super().begin(runs, complete, workers)
        if runs:
            self._bar.update(self._task, total=runs)
            self._bar.start()

    def advance(self, name: str, share: float) -> None:
        """Move the bar by a part of a run."""
        super().advance(name, share)
        self._show()

    def done(self, outcome: Mapping[str, Any]) -> None:
        """Move the bar; a failure gets a line of its own."""
        self._done += 1
        self._shares.pop(outcome["name"], None)
        if outcome["status"] != "ok":
            self._failed += 1
            line = Text.assemble(
                (f" {outcome['status']} ", "bold red"),
                f"{outcome['cell']}: {outcome.get('message', '')}",
            )
            self._console.print(line, soft_wrap=True)
        self._show()

    def close(self) -> None:
        """Give the terminal back."""
        self._bar.stop()

    def _show(self) -> None:
        failed = f", {self._failed} failed" if self._failed else ""
        self._bar.update(
            self._task,
            completed=self._done + sum(self._shares.values()),
            description=f"{self._done}/{self._runs} runs{failed}",
        )


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
