"""A study on disk: its folder, its cells, and which runs are still to be made.

``<out>/<name>/`` holds ``study.json`` (what the study consists of), ``cells/`` (one resolved
scenario each), ``runs/`` (run folders) and ``failed/`` (why a run came to nothing). A run is
known by the hash of what decides its result, so a finished one is never repeated: not after
a kill, not when a condition is added, and more seeds cost only the seeds that are new.
"""

import dataclasses
import datetime
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from society.canonical import fingerprint
from society.durable import write_atomically
from society.host import environment
from society.recorder import Lock, NotARunError
from society.scenario import Scenario
from society.sweep import Cell, cells
from worlds.redact import redact, redact_tree

__all__ = ["Job", "Planned", "StudyFolder", "jobs_of", "plan"]

FORMAT = 1
_HASH = 12
_SLUG = 60
_OF_THE_STUDY = ("sweep", "validation")
_NOT_COMPILED = ("about", "name", "folders", "seeds", "record", "limits", "backends")


@dataclasses.dataclass(frozen=True)
class Job:
    """One run to make, as plain data that any executor can carry.

    name: of its folder. cell: the cells it serves, the first of them. folder: of the run.
    scenario: file of the resolved scenario. seeds: one replicate each. structure: equal for
    runs that compile to the same program.
    """

    name: str
    cell: str
    folder: str
    scenario: str
    seeds: tuple[int, ...]
    structure: str
    allow_code: bool = False

    def plain(self) -> dict[str, Any]:
        """The job as JSON values."""
        return dataclasses.asdict(self)

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> "Job":
        """The job that ``plain`` has written."""
        return cls(**{**data, "seeds": tuple(data["seeds"])})


@dataclasses.dataclass(frozen=True)
class Planned:
    """A cell of the sweep with what identifies it.

    hash: of all that decides its results but the seeds. tree: the resolved scenario.
    """

    cell: Cell
    hash: str
    seeds: tuple[int, ...]
    structure: str
    tree: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class StudyFolder:
    """The files of one study."""

    path: Path

    @property
    def manifest_path(self) -> Path:
        """What the study consists of."""
        return self.path / "study.json"

    @property
    def runs(self) -> Path:
        """Folder of run folders."""
        return self.path / "runs"

    @classmethod
    def create(cls, out: str | Path, name: str) -> "StudyFolder":
        """Make the folder, or find the one that is there."""
        folder = cls(Path(out) / (re.sub(r"[^\w.-]+", "_", name).strip("._") or "study"))
        for part in ("runs", "cells", "failed"):
            (folder.path / part).mkdir(parents=True, exist_ok=True)
        return folder

    @classmethod
    def open(cls, path: str | Path) -> "StudyFolder":
        """Open an existing study.

        Raises:
          NotARunError: There is none, or it is of another version.
        """
        folder = cls(Path(path))
        if not folder.manifest_path.is_file():
            raise NotARunError(f"{path} is no study: it has no study.json (see society sweep)")
        found = folder.read_manifest().get("format")
        if found != FORMAT:
            raise NotARunError(f"{path} has study format {found}; this version reads {FORMAT}")
        return folder

    def lock(self) -> Lock:
        """Hold the study for this process.

        Raises:
          RunLockedError: Another process holds it.
        """
        return Lock.take(self.path / "lock")

    def read_manifest(self) -> dict[str, Any]:
        """Return ``study.json``."""
        return json.loads(self.manifest_path.read_text(encoding="utf-8"))

    def write_manifest(self, scenario: Scenario, planned: Sequence[Planned]) -> None:
        """Say what the study consists of; replaces what was said before in one step."""
        before = self.read_manifest() if self.manifest_path.is_file() else {}
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        sweep = scenario.sweep
        known = {
            "format": FORMAT,
            "name": scenario.name,
            "about": scenario.about.strip(),
            "created": before.get("created", now),
            "planned": now,
            "method": sweep.method if sweep else "grid",
            "scenario": scenario.resolved(),
            "scenario_hash": scenario.hash,
            "cells": [
                {
                    "name": one.cell.name,
                    "condition": one.cell.condition,
                    "point": dict(one.cell.point),
                    "unit": list(one.cell.unit),
                    "changes": one.cell.changes,
                    "hash": one.hash,
                    "seeds": list(one.seeds),
                }
                for one in planned
            ],
            **environment(),
        }
        text = json.dumps(redact_tree(known), indent=1, ensure_ascii=False, default=str)
        write_atomically(self.manifest_path, [f"{text}\n".encode()], "study")

    def finished(self, cell_hash: str) -> dict[int, Path]:
        """Seed -> folder of the run that finished it, for one cell."""
        found: dict[int, Path] = {}
        for path in sorted(self.runs.glob(f"*-{cell_hash[:_HASH]}-*")):
            summary = _summary(path)
            if summary and summary.get("status") == "ok":
                found |= {seed: path for seed in summary["seeds"] if seed not in found}
        return found

    def failures(self) -> dict[str, dict[str, Any]]:
        """Name of the run -> why it came to nothing."""
        return {
            path.stem: json.loads(path.read_text(encoding="utf-8"))
            for path in sorted((self.path / "failed").glob("*.json"))
        }

    def note_failure(self, name: str, outcome: Mapping[str, Any]) -> None:
        """Keep why a run came to nothing, until it succeeds."""
        path = self.path / "failed" / f"{name}.json"
        text = json.dumps(redact_tree(dict(outcome)), indent=1, ensure_ascii=False, default=str)
        write_atomically(path, [text.encode()], "failed")

    def forget_failure(self, name: str) -> None:
        """A run has succeeded."""
        (self.path / "failed" / f"{name}.json").unlink(missing_ok=True)


def plan(scenario: Scenario) -> list[Planned]:
    """Resolve every cell of a scenario's sweep.

    Raises:
      ScenarioError: A condition does not fit.
    """
    found = []
    for cell in cells(scenario):
        changed = scenario.with_changes(cell.changes)
        seeds = cell.seeds if cell.seeds is not None else changed.seed_list
        decides = {k: v for k, v in changed.resolved(operational=False).items() if k != "seeds"}
        tree = {k: v for k, v in changed.resolved().items() if k not in _OF_THE_STUDY}
        compiled = {k: v for k, v in tree.items() if k not in _NOT_COMPILED}
        shape = fingerprint({"seeds": len(seeds), "rest": _without_numbers(compiled)})
        found.append(Planned(cell, fingerprint(decides), tuple(seeds), shape, tree))
    return found


def jobs_of(
    folder: StudyFolder, planned: Iterable[Planned], allow_code: bool = False
) -> tuple[list[Job], int]:
    """Return the runs that are still to be made, and how many cells need none.

    Cells that are equal share their runs. Runs of equal structure are spread, so that those
    who begin together do not compile the same program at the same time.
    """
    found: dict[str, Job] = {}
    complete = 0
    for one in planned:
        done = folder.finished(one.hash)
        seeds = tuple(seed for seed in one.seeds if seed not in done)
        complete += not seeds
        if not seeds:
            continue
        path = folder.path / "cells" / f"{one.hash[:_HASH]}.yaml"
        text = yaml.safe_dump(dict(one.tree), sort_keys=False, allow_unicode=True, width=100)
        path.write_text(redact(text, forms=False), encoding="utf-8")
        name = f"{_slug(one.cell)}-{one.hash[:_HASH]}-{_spoken(seeds)}"
        name = _known_name(folder, name)
        job = Job(
            name,
            one.cell.name,
            str((folder.runs / name).resolve()),
            str(path.resolve()),
            seeds,
            one.structure,
            allow_code,
        )
        found.setdefault(f"{one.hash}-{_spoken(seeds)}", job)
    return _spread(list(found.values())), complete


def _spread(jobs: list[Job]) -> list[Job]:
    """One of every structure first, then the rest in their order."""
    seen: set[str] = set()
    first, rest = [], []
    for job in jobs:
        (rest if job.structure in seen else first).append(job)
        seen.add(job.structure)
    return first + rest


def _known_name(folder: StudyFolder, name: str) -> str:
    """The name under which this run was begun, whatever its cell was called then."""
    ending = "-".join(name.rsplit("-", 2)[1:])
    begun = [path.name for path in sorted(folder.runs.glob(f"*-{ending}"))]
    return begun[0] if begun else name


def _slug(cell: Cell) -> str:
    """A short readable name of a cell for a folder."""
    parts = [cell.condition, *(f"{path.rpartition('.')[2]}_{label}" for path, label in cell.point)]
    return re.sub(r"[^\w.]+", "_", ".".join(parts)).strip("._")[:_SLUG] or "cell"


def _spoken(seeds: Sequence[int]) -> str:
    """Seeds as part of a name: ``s0to9``, or a hash where there are gaps."""
    if list(seeds) == list(range(seeds[0], seeds[0] + len(seeds))):
        return f"s{seeds[0]}to{seeds[-1]}" if len(seeds) > 1 else f"s{seeds[0]}"
    return f"s{fingerprint(list(seeds))[:8]}"


def _without_numbers(value: Any) -> Any:
    """A tree whose fractions are all one: they are arguments of the compiled program."""
    if isinstance(value, float):
        return 0.5
    if isinstance(value, Mapping):
        return {key: _without_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_numbers(item) for item in value]
    return value


def _summary(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads((path / "summary.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
