"""Follow a run from outside: experiment trackers by name, and events as JSON lines.

A tracker is a class with ``begin``, ``log`` and ``end``; ``--track`` names it. What they are
told comes from the run's journal, so a tracker that is slow or away never changes a result.
"""

import importlib
import json
import math
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TextIO

from society.errors import nearest

__all__ = ["TRACKERS", "Followed", "TrackError", "Tracker", "follow"]

_EVERY_S = 2.0
_MOST_ROWS = 5000


class TrackError(RuntimeError):
    """A tracker cannot be used here; the message says what to do."""


class Tracker(Protocol):
    """Whoever keeps numbers of runs."""

    def begin(self, name: str, folder: Path, config: Mapping[str, Any]) -> None:
        """A run begins; ``config`` is its resolved scenario."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Numbers of one recorded step of one replicate, ``metric/seed``."""

    def end(self, summary: Mapping[str, Any]) -> None:
        """The run is over."""


class TensorBoard:
    """Event files for TensorBoard in the run's own folder, by tensorboardX."""

    def __init__(self) -> None:
        try:
            import tensorboardX
        except ImportError:
            raise _missing("tensorboard", "track") from None
        self._make = tensorboardX.SummaryWriter
        self._writer: Any = None

    def begin(self, name: str, folder: Path, config: Mapping[str, Any]) -> None:
        """Open the event file."""
        self._writer = self._make(logdir=str(folder / "tensorboard"))
        self._writer.add_text("scenario", f"```\n{json.dumps(config, indent=1, default=str)}\n```")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write scalars."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def end(self, summary: Mapping[str, Any]) -> None:
        """Write the means and close."""
        for name, value in means_of(summary).items():
            self._writer.add_scalar(f"summary/{name}", value, 0)
        self._writer.close()


class WandB:
    """Weights & Biases; its own environment variables say where and as whom."""

    def __init__(self) -> None:
        try:
            self._api: Any = importlib.import_module("wandb")
        except ImportError:
            raise _missing("wandb", "wandb") from None

    def begin(self, name: str, folder: Path, config: Mapping[str, Any]) -> None:
        """Begin a run of the project ``societylab`` (or WANDB_PROJECT)."""
        import os

        project = os.environ.get("WANDB_PROJECT", "societylab")
        self._api.init(project=project, name=folder.name, dir=str(folder), config=dict(config))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers; steps of several replicates come one after another."""
        self._api.log({"step": step, **values})

    def end(self, summary: Mapping[str, Any]) -> None:
        """Keep the means and finish."""
        for name, value in means_of(summary).items():
            self._api.run.summary[name] = value
        self._api.finish(exit_code=0 if summary.get("status") == "ok" else 1)


class MLflow:
    """MLflow; MLFLOW_TRACKING_URI says where."""

    def __init__(self) -> None:
        try:
            self._api: Any = importlib.import_module("mlflow")
        except ImportError:
            raise _missing("mlflow", "mlflow") from None

    def begin(self, name: str, folder: Path, config: Mapping[str, Any]) -> None:
        """Begin a run of the experiment with the scenario's name."""
        self._api.set_experiment(name)
        self._api.start_run(run_name=folder.name)
        self._api.log_dict(json.loads(json.dumps(config, default=str)), "scenario.json")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers."""
        self._api.log_metrics({_plain(name): value for name, value in values.items()}, step=step)

    def end(self, summary: Mapping[str, Any]) -> None:
        """Keep the means and end."""
        self._api.log_metrics({_plain(f"summary/{n}"): v for n, v in means_of(summary).items()})
        self._api.end_run("FINISHED" if summary.get("status") == "ok" else "FAILED")


class JsonLines:
    """One JSON object a line on a stream, for programs of your own."""

    def __init__(self, stream: TextIO | None = None) -> None:
        self._stream = stream or sys.stdout

    def begin(self, name: str, folder: Path, config: Mapping[str, Any]) -> None:
        """``{"event": "begin", "scenario": ..., "run_dir": ...}``."""
        self._say("begin", scenario=name, run_dir=str(folder))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """``{"event": "metrics", "step": ..., "values": {...}}``."""
        self._say("metrics", step=step, values=dict(values))

    def end(self, summary: Mapping[str, Any]) -> None:
        """``{"event": "end", "status": ..., "measures": {name: mean}, ...}``."""
        told = {key: summary.get(key) for key in ("status", "digest", "run_dir", "reason")}
        self._say("end", **told, measures=means_of(summary))

    def _say(self, event: str, **values: Any) -> None:
        self._stream.write(json.dumps({"event": event, **values}, allow_nan=False) + "\n")
        self._stream.flush()


TRACKERS: dict[str, Callable[[], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": MLflow,
    "json": JsonLines,
}


class Followed:
    """A progress that shows nothing: reads new rows of the journal and tells trackers.

    Passes everything on to another progress, which may be None.
    """

    def __init__(self, trackers: list[Tracker], shown: Any = None) -> None:
        self._trackers, self._shown = trackers, shown
        self._folder: Path | None = None
        self._seen: dict[int, int] = {}
        self._seeds: list[int] = []
        self._next = 0.0

    def opened(self, folder: Path) -> None:
        """The run's folder exists."""
        self._folder = folder
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        self._seeds = [int(seed) for seed in manifest.get("seeds", [0])]
        for tracker in self._trackers:
            tracker.begin(str(manifest.get("name")), folder, manifest.get("scenario") or {})

    def begin(self, total_steps: int, generations: int) -> None:
        """The run begins."""
        if self._shown is not None:
            self._shown.begin(total_steps, generations)

    def advance(self, state: Mapping[str, Any]) -> None:
        """Tell what is new, every two seconds at most."""
        if self._shown is not None:
            self._shown.advance(state)
        began = time.monotonic()
        if began >= self._next:
            self._tell()
            spent = time.monotonic() - began  # at most a twentieth of the time goes here
            self._next = began + max(_EVERY_S, 20 * spent)

    def end(self, status: str) -> None:
        """Tell the rest."""
        self._tell()
        if self._shown is not None:
            self._shown.end(status)

    def close(self) -> None:
        """Give the terminal back."""
        if self._shown is not None:
            self._shown.close()

    def finish(self, summary: Mapping[str, Any]) -> None:
        """Tell the end."""
        for tracker in self._trackers:
            tracker.end(summary)

    def _tell(self) -> None:
        from society.journal import Journal

        if self._folder is None:
            return
        with Journal.open(self._folder / "journal.sqlite", readonly=True) as journal:
            names = journal.metric_names()
            for replicate, seed in enumerate(self._seeds):
                table = journal.metrics(replicate)
                begin = self._seen.get(replicate, 0)
                rows = table.values[begin:]
                every = max(1, len(rows) // _MOST_ROWS)
                for offset in range(0, len(rows), every):
                    values = {
                        f"{name}/seed{seed}": float(value)
                        for name, value in zip(names, rows[offset], strict=True)
                        if math.isfinite(value)
                    }
                    for tracker in self._trackers:
                        tracker.log(begin + offset, values)
                self._seen[replicate] = len(table.values)


def follow(names: list[str], shown: Any = None) -> Followed:
    """Return a progress that tells these trackers.

    Raises:
      TrackError: A name is unknown, or its package is missing.
    """
    for name in names:
        if name not in TRACKERS:
            raise TrackError(f"no tracker is called {name!r}{nearest(name, TRACKERS)}")
    return Followed([TRACKERS[name]() for name in names], shown)


def means_of(summary: Mapping[str, Any]) -> dict[str, float]:
    """Mean over replicates of every measure that is a number."""
    measures = summary.get("measures") or {}
    return {
        name: float(value["mean"])
        for name, value in measures.items()
        if isinstance(value, Mapping) and value.get("mean") is not None
    }


def _missing(name: str, extra: str) -> TrackError:
    return TrackError(f"tracker {name} needs a package: pip install 'societylab[{extra}]'")


def _plain(name: str) -> str:
    """A name of the letters that MLflow allows."""
    return "".join(c if c.isalnum() or c in "_-./ " else "_" for c in name)
