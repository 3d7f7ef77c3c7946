"""What a report reads from a run's folder: courses, shares, descent, words."""

import contextlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from society.journal import Journal, JournalError
from society.plots import Course
from society.statistics import FEW_RUNS, band

__all__ = ["Excerpt", "Said", "course_of", "excerpt"]

_MOST_SAID = 8
_LONG = 1600


class Said(NamedTuple):
    """One question to a model and its answer."""

    when: str
    who: str
    purpose: str
    prompt: tuple[tuple[str, str], ...]
    answer: str
    status: str


class Excerpt(NamedTuple):
    """What one run's journal shows.

    courses: metric -> its course over steps or generations. shares: group -> (generations,
    rows of shares) of strategies. born: (generation, slot, parent's slot). said: sample of
    calls. messages: sample of (when, channel, speaker, text). purposes: purpose -> counts.
    strategies: group -> names of its strategies ("" for the names of all). runs: how many
    the courses are means of.
    """

    unit: str
    courses: Mapping[str, Course]
    shares: Mapping[str, tuple[list[float], list[list[float]]]]
    born: list[tuple[int, int, int]]
    said: list[Said]
    messages: list[tuple[str, str, str, str]]
    purposes: Mapping[str, Mapping[str, int]]
    strategies: Mapping[str, tuple[str, ...]] = {}
    runs: int = 1

    @property
    def remark(self) -> str:
        """What the bands of courses are."""
        if self.runs == 1:
            return ""
        many = self.runs >= FEW_RUNS
        return "mean and 95 % interval over runs" if many else f"mean and range of {self.runs} runs"


def excerpt(runs: Sequence[Path], summary: Mapping[str, Any]) -> Excerpt:
    """Read what a report shows of the runs of one cell."""
    found = Excerpt("step", {}, {}, [], [], [], {})
    tables: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    unit = "generation" if summary.get("generations", 1) > 1 else "step"
    for place, run in enumerate(runs):
        with contextlib.suppress(JournalError):
            with Journal.open(run / "journal.sqlite", readonly=True) as journal:
                seeds = json.loads((run / "summary.json").read_text(encoding="utf-8"))["seeds"]
                for replicate in range(len(seeds)):
                    _add_series(tables, journal, replicate, unit)
                if place == 0:
                    found = _words(journal)
    courses, shares = {}, {}
    for name, parts in tables.items():
        if name.startswith("types/"):
            shares[name.removeprefix("types/")] = _shares(parts)
        else:
            course = course_of(name, parts)
            if course is not None and not any(course.mean == c.mean for c in courses.values()):
                courses[name] = course
    names = _strategies(runs[0]) if shares else {}
    listed = (summary.get("measures") or {}).get("strategy_names")
    if isinstance(listed, list):
        names.setdefault("", tuple(map(str, listed)))
    return found._replace(
        unit=unit,
        courses=courses,
        shares=shares,
        strategies=names,
        runs=max((len(parts) for parts in tables.values()), default=1),
    )


def _strategies(run: Path) -> dict[str, tuple[str, ...]]:
    """Names of the strategies of every group, none where the scenario needs its own code."""
    from society.build import make_population
    from society.errors import ScenarioError
    from society.scenario import load_resolved

    try:
        population = make_population(load_resolved(run / "scenario.yaml"))
    except ScenarioError:
        return {}
    return {group.name: tuple(group.type_names) for group in population.slices()}


def _add_series(
    tables: dict[str, list[tuple[np.ndarray, np.ndarray]]],
    journal: Journal,
    replicate: int,
    unit: str,
) -> None:
    """Add one replicate's columns: those of generations' ends, or of single steps."""
    names, table = journal.metric_names(), journal.metrics(replicate)
    if not len(table.clock):
        return
    if unit == "generation":
        rows = np.flatnonzero(np.diff(table.clock[:, 0], append=table.clock[-1, 0] + 1) > 0)
        x, wanted = table.clock[rows, 0], "generation/"
    else:
        rows, wanted = np.arange(len(table.clock)), ""
        # Ticks are recorded every so often; within one episode their clock says when.
        x = rows if table.clock[:, 1].any() else table.clock[:, 2]
    for base, parts in _columns(names, table.values[rows], wanted).items():
        if base.startswith("types/"):
            tables.setdefault(base, []).append((x, np.stack(parts, axis=1)))
        elif len(parts) == 1:
            tables.setdefault(base, []).append((x, parts[0]))


def _columns(names: Sequence[str], values: np.ndarray, wanted: str) -> dict[str, list[np.ndarray]]:
    """Columns to show by name: those with the wanted prefix, and counts of strategies."""
    found: dict[str, list[np.ndarray]] = {}
    plain: dict[str, list[np.ndarray]] = {}
    for index, name in enumerate(names):
        ends = name.startswith("generation/")
        base = name.removeprefix("generation/").partition("[")[0]
        if base in ("index", "state_hash"):
            continue
        if ends and (wanted or base.startswith("types/")):
            found.setdefault(base, []).append(values[:, index])
        elif not ends:
            plain.setdefault(base, []).append(values[:, index])
    # Worlds whose generations are one step keep their metrics in the columns of steps.
    return plain | found


def course_of(name: str, parts: list[tuple[np.ndarray, np.ndarray]]) -> Course | None:
    """Mean over runs, with the 95 % interval of Student's t; the range where runs are few."""
    length = min(len(x) for x, _ in parts)
    x = parts[0][0][:length]
    values = np.stack([v[:length] for _, v in parts]).astype(np.float64)
    kept = np.isfinite(values).any(0)
    if kept.sum() < 2:
        return None
    x, values = x[kept], values[:, kept]
    mean, low, high = band(values)
    if len(parts) < 2:
        return Course(name, x.tolist(), mean.tolist())
    return Course(name, x.tolist(), mean.tolist(), low.tolist(), high.tolist())


def _shares(parts: list[tuple[np.ndarray, np.ndarray]]) -> tuple[list[float], list[list[float]]]:
    """Shares of strategies, averaged over runs, where they were counted."""
    length = min(len(x) for x, _ in parts)
    counts = np.stack([v[:length] for _, v in parts]).astype(np.float64)
    counted = np.isfinite(counts).all((0, 2))
    counts = counts[:, counted]
    table = counts / np.maximum(counts.sum(2, keepdims=True), 1)
    return parts[0][0][:length][counted].tolist(), table.mean(0).tolist()


def _words(journal: Journal) -> Excerpt:
    """Descent and language of the first replicate."""
    born: list[tuple[int, int, int]] = []
    names: dict[int, str] = {}
    slot_of: dict[int, int] = {}
    for event in journal.events(0):
        if event.kind == "births":
            for _, parent, slot in event.data:
                if event.generation <= 60 and slot < 120:
                    born.append((event.generation, slot, slot_of.get(parent, -1)))
            slot_of.update({uid: slot for uid, _, slot in event.data})
        elif event.kind == "birth" and isinstance(event.data, Mapping):
            names[event.uid] = str(event.data.get("name", ""))
            slot_of.setdefault(event.uid, event.data.get("slot", event.uid))
    said, purposes = _calls(journal, names)
    messages = [
        (_when(m), m.channel, names.get(m.speaker, f"agent {m.speaker}"), _short(m.text, 400))
        for m in _spread(journal.messages(0), 12)
    ]
    return Excerpt("step", {}, {}, _complete(born), said, messages, purposes)


def _complete(born: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    """Add those who stayed where they were, so that lines do not end between births."""
    if not born:
        return []
    last = max(generation for generation, _, _ in born)
    slots = {slot for _, slot, _ in born} | {parent for _, _, parent in born if parent >= 0}
    known = {(generation, slot): parent for generation, slot, parent in born}
    return [
        (generation, slot, known.get((generation, slot), slot if generation else -1))
        for generation in range(last + 1)
        for slot in sorted(slots)
    ]


def _calls(
    journal: Journal, names: Mapping[int, str]
) -> tuple[list[Said], dict[str, dict[str, int]]]:
    query = (
        "SELECT generation, episode, step, turn, uid, purpose, request, response, status, "
        "prompt_tokens, completion_tokens, faults FROM questions WHERE replicate = 0 "
        "ORDER BY generation, episode, step, turn, uid"
    )
    calls = journal._read(query)
    purposes: dict[str, dict[str, int]] = {}
    for call in calls:
        counts = purposes.setdefault(
            call[5], dict.fromkeys(("calls", "prompt tokens", "answer tokens", "faults"), 0)
        )
        for key, value in zip(counts, (1, *call[9:12]), strict=True):
            counts[key] += value
    by_purpose = [
        one
        for purpose in sorted(purposes, key=lambda name: name != "birth")
        for one in _spread(
            [call for call in calls if call[5] == purpose], max(2, _MOST_SAID // len(purposes))
        )
    ]
    return [_said(call, names) for call in by_purpose], purposes


def _said(call: tuple, names: Mapping[int, str]) -> Said:
    prompt: list[tuple[str, str]] = []
    with contextlib.suppress(ValueError, TypeError, IndexError):
        prompt = [(str(role), _short(str(text))) for role, text in json.loads(call[6])[1]]
    answer = call[7]
    with contextlib.suppress(ValueError, AttributeError):
        answer = json.loads(call[7]).get("text") or call[7]
    when = f"generation {call[0]}, episode {call[1]}, step {call[2]}"
    who = names.get(call[4]) or f"agent {call[4]}"
    return Said(when, who, call[5], tuple(prompt), _short(str(answer)), call[8])


def _when(row: Any) -> str:
    return f"generation {row.generation}, step {row.step}, turn {row.turn}"


def _spread(entries: Sequence[Any], most: int) -> list[Any]:
    """At most so many, evenly spread."""
    if len(entries) <= most:
        return list(entries)
    return [entries[round(i * (len(entries) - 1) / (most - 1))] for i in range(most)]


def _short(text: str, most: int = _LONG) -> str:
    return text if len(text) <= most else f"{text[:most]} […]"
