"""Progress of a run: a live line on a terminal, plain lines elsewhere; always on stderr."""

import time
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

__all__ = ["Lines", "Live", "make_progress"]

_LINE_EVERY_S = 5.0


def make_progress(console: Console, *, quiet: bool = False) -> "Live | Lines | None":
    """Return what shows progress on this console, or None."""
    if quiet:
        return None
    return Live(console) if console.is_terminal else Lines(console)


class Live:
    """One line that is rewritten: steps, generation, language calls, tokens, faults, ETA."""

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            SpinnerColumn(style="cyan"),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("[cyan]{task.percentage:>3.0f}%"),
            TextColumn("{task.fields[where]}"),
            TimeRemainingColumn(compact=True, elapsed_when_finished=True),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("compiling", total=None, where="")
        self._total, self._generations = 0, 1

    def begin(self, total_steps: int, generations: int) -> None:
        """Show the line."""
        self._total, self._generations = total_steps, generations
        self._bar.update(self._task, total=total_steps)
        self._bar.start()

    def advance(self, state: Mapping[str, Any]) -> None:
        """Rewrite the line."""
        where = _where(state, self._total, self._generations)
        self._bar.update(
            self._task, description="running", completed=state.get("step", 0), where=where
        )

    def end(self, status: str) -> None:
        """Take the line away."""
        self.close()

    def close(self) -> None:
        """Give the terminal back, whatever happened."""
        self._bar.stop()


class Lines:
    """A line every few seconds."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._total, self._generations = 0, 1
        self._first: tuple[float, float] | None = None
        self._began = self._shown = time.monotonic()

    def begin(self, total_steps: int, generations: int) -> None:
        """Say how much there is to do."""
        self._total, self._generations = total_steps, generations
        self._began = self._shown = time.monotonic()
        plural = "s" if generations != 1 else ""
        self._say(f"running {total_steps:,} steps in {generations:,} generation{plural}")

    def advance(self, state: Mapping[str, Any]) -> None:
        """Say where it is, unless that was said a moment ago."""
        now = time.monotonic()
        done = state.get("step", 0) / max(self._total, 1)
        if self._first is None:
            self._first = (now, done)  # what came before is mostly compilation
        if now - self._shown < _LINE_EVERY_S:
            return
        self._shown = now
        since, before = self._first
        rest = (now - since) * (1 - done) / (done - before) if done > before else None
        left = "" if rest is None else f", {_duration(rest)} left"
        self._say(f"{done:4.0%}  {_where(state, self._total, self._generations)}{left}")

    def end(self, status: str) -> None:
        """Say that it is over."""
        self._say(f"{status} after {_duration(time.monotonic() - self._began)}")

    def close(self) -> None:
        """Nothing is held."""

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)


def _where(state: Mapping[str, Any], total: int, generations: int) -> str:
    parts = [f"step {state.get('step', 0):,}/{total:,}"]
    if 1 < generations < total:
        parts.append(f"generation {min(state.get('generation', 0) + 1, generations)}/{generations}")
    if state.get("calls"):
        parts.append(f"{state['calls']:,} calls, {state.get('tokens', 0):,} tokens")
    if state.get("faults"):
        parts.append(f"{state['faults']:,} faults")
    return " · ".join(parts)


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes / 60:.1f} h"
