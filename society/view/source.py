"""What the viewer reads of a run's folder: read-only, also while the run goes on.

Every answer is plain JSON. The journal is opened read-only, one short query at a time, so a
running run neither waits nor changes. Moments are clocks (generation, episode, step).
"""

import json
import math
import os
import socket
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from society.journal import Journal, JournalError
from society.recorder import RunFolder
from society.statistics import band

__all__ = ["MOST_ROWS", "RunSource"]

MOST_ROWS = 2000
MOST_MOMENTS = 20_000
MOST_POINTS = 3000


class RunSource:
    """One run's folder, as the viewer shows it."""

    def __init__(self, folder: RunFolder) -> None:
        """Read the manifest; the journal may not exist yet."""
        self.folder = folder
        self.manifest = folder.read_manifest()
        self.scenario: Mapping[str, Any] = self.manifest.get("scenario") or {}
        self.seeds: list[int] = list(self.manifest.get("seeds") or [0])
        self._lock = threading.Lock()
        self._journal: Journal | None = None
        self._counted: tuple[Any, dict[str, Any]] | None = None

    def close(self) -> None:
        """Let go of the journal."""
        with self._lock:
            if self._journal is not None:
                self._journal.close()
                self._journal = None

    # ---- the run as a whole -----------------------------------------------------------

    def overview(self) -> dict[str, Any]:
        """What does not change: question, groups, plan, versions, scenario text."""
        scenario = self.scenario
        return {
            "name": self.manifest.get("name", ""),
            "folder": self.folder.path.name,
            "about": scenario.get("about", ""),
            "created": self.manifest.get("created", ""),
            "world": scenario.get("world", {}),
            "graph": scenario.get("graph"),
            "groups": _groups(scenario),
            "generations": scenario.get("generations", 1),
            "seeds": self.seeds,
            "channels": sorted(scenario.get("channels") or {}),
            "backend": (scenario.get("backend") or {}).get("use"),
            "commit": self.manifest.get("commit"),
            "versions": self.manifest.get("versions") or {},
            "scenario": self.folder.scenario_path.read_text(encoding="utf-8"),
        }

    def state(self) -> dict[str, Any]:
        """What changes while a run goes on: status, sums, how many rows there are."""
        summary = self._summary()
        status = "running" if self.running else (summary or {}).get("status", "stopped")
        return {
            "status": status,
            "reason": (summary or {}).get("reason", ""),
            **self._sums(),
            "measures": None if self.running or summary is None else _measures(summary),
            "steps": (summary or {}).get("steps"),
            "wall_s": (summary or {}).get("wall_s"),
        }

    def _sums(self) -> dict[str, Any]:
        """Rows of each table and what calls cost; counted anew only when something was added."""
        version = self.rows("PRAGMA data_version")
        if self._counted is not None and self._counted[0] == version:
            return self._counted[1]
        counts = dict.fromkeys(("calls", "messages", "events", "metrics"), 0)
        for name in counts:
            rows = self.rows(f"SELECT count(*) FROM {name}")
            counts[name] = rows[0][0] if rows else 0
        spent = self.rows(
            "SELECT total(prompt_tokens), total(completion_tokens), total(cost_usd), "
            "total(faults) FROM calls"
        )
        spent = spent[0] if spent else (0, 0, 0.0, 0)
        found = {
            "rows": counts,
            "tokens": int(spent[0] + spent[1]),
            "cost_usd": spent[2],
            "faults": int(spent[3]),
        }
        self._counted = (version, found)
        return found

    @property
    def running(self) -> bool:
        """True while the process that holds the run's lock is at work.

        The lock itself is not tried: holding it for an instant could refuse a ``resume``.
        """
        lock = self.folder.path / "lock"
        try:
            held = lock.stat().st_mtime_ns
            holder = json.loads(lock.read_text(encoding="utf-8"))
            pid, host = int(holder["pid"]), str(holder["host"])
        except (OSError, ValueError, KeyError, TypeError):
            return False
        summary = self.folder.summary_path
        if summary.is_file() and summary.stat().st_mtime_ns > held:
            return False
        return host != socket.gethostname() or _lives(pid)

    # ---- moments and series -----------------------------------------------------------

    def moments(self, replicate: int, after: Sequence[int] | None = None) -> dict[str, Any]:
        """Clocks at which anything is known, in order; at most ``MOST_MOMENTS``, thinned evenly."""
        tables = ("metrics", "calls", "messages", "events")
        later = "" if after is None else " AND (generation, episode, step) > (?, ?, ?)"
        values = (replicate, *(after or ()))
        query = " UNION ".join(
            f"SELECT generation, episode, step FROM {name} WHERE replicate = ?{later}"
            for name in tables
        )
        rows = self.rows(f"{query} ORDER BY 1, 2, 3", values * len(tables))
        stride = max(math.ceil(len(rows) / MOST_MOMENTS), 1)
        kept = rows[::stride] if stride > 1 else rows
        if stride > 1 and kept[-1] != rows[-1]:
            kept.append(rows[-1])
        return {"clock": kept}

    def last_clock(self, replicate: int) -> tuple[int, int, int] | None:
        """The clock of the last row of metrics."""
        rows = self.rows(
            "SELECT generation, episode, step FROM metrics WHERE replicate = ? "
            "ORDER BY generation DESC, episode DESC, step DESC LIMIT 1",
            (replicate,),
        )
        return rows[0] if rows else None

    def series(self, replicate: int | None) -> dict[str, Any]:
        """Every metric over the clock.

        Args:
          replicate: whose; None for the mean over all with their 95 % interval, or their range
            where there are fewer than five.

        Returns:
          ``clock`` [T][3] and ``series``: name -> ``mean`` [T] and, over replicates, ``low`` and
          ``high`` [T]; null where a value is missing. ``ends``: names known at the ends of
          generations only.
        """
        chosen = range(len(self.seeds)) if replicate is None else [replicate]
        with self._lock:
            journal = self._opened()
            if journal is None:
                return {"clock": [], "series": {}, "ends": []}
            names = journal.metric_names()
            tables = [table for r in chosen if len((table := journal.metrics(r)).clock)]
        if not tables:
            return {"clock": [], "series": {}, "ends": []}
        length = min(len(table.clock) for table in tables)
        rows = _thinned(tables[0].clock[:length])
        stacked = np.stack([table.values[rows] for table in tables]).astype(np.float64)
        found = {
            name: _band(stacked[:, :, column])
            for column, name in enumerate(names)
            if np.isfinite(stacked[:, :, column]).any()
        }
        ends = [name for name in found if name.startswith("generation/")]
        return {"clock": tables[0].clock[rows].tolist(), "series": found, "ends": ends}

    # ---- inside -----------------------------------------------------------------------

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[tuple]:
        """Rows of the journal; none before there is one.

        Raises:
          JournalError: It is damaged or of another version.
        """
        with self._lock:
            journal = self._opened()
            return [] if journal is None else journal._read(query, tuple(values))

    def _opened(self) -> Journal | None:
        if self._journal is None and self.folder.journal_path.is_file():
            try:
                self._journal = Journal.open(self.folder.journal_path, readonly=True)
            except JournalError:
                if not self.running:  # otherwise it is being made
                    raise
        return self._journal

    def _summary(self) -> dict[str, Any] | None:
        try:
            return self.folder.read_summary()
        except (OSError, json.JSONDecodeError):
            return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


def _thinned(clock: np.ndarray) -> np.ndarray:
    """Rows to show: all, or evenly spread ones and those that end generations."""
    total = len(clock)
    if total <= MOST_POINTS:
        return np.arange(total)
    even = np.linspace(0, total - 1, MOST_POINTS).astype(int)
    ends = np.flatnonzero(np.diff(clock[:, 0], append=clock[-1, 0] + 1) > 0)
    return np.union1d(even, ends if len(ends) <= MOST_POINTS else even)


def _band(values: np.ndarray) -> dict[str, Any]:
    """Mean of [R, T] over replicates, with an interval where there are several."""
    mean, low, high = band(values)
    found = {"mean": _plain(mean)}
    if len(values) < 2:
        return found
    return {**found, "low": _plain(low), "high": _plain(high)}


def _plain(values: np.ndarray) -> list[float | None]:
    return [float(f"{v:.6g}") if math.isfinite(v) else None for v in values.tolist()]


def _groups(scenario: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, group in (scenario.get("groups") or {}).items():
        policy = group.get("policy") or {}
        table = group.get("table")
        count = group.get("count", len(table) if isinstance(table, list) else 1)
        found.append({"name": name, "count": count, "policy": policy.get("use", "")})
    return found


def _measures(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = []
    for name, value in (summary.get("measures") or {}).items():
        if isinstance(value, Mapping) and "mean" in value:
            found.append({"name": name, "mean": value["mean"], "ci95": value.get("ci95")})
    return found
