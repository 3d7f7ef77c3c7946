"""Results of runs and studies as numbers by cell, measure and seed."""

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from society.recorder import NotARunError, RunFolder
from society.study.plan import StudyFolder

__all__ = ["CellResults", "Results", "read_results"]


@dataclasses.dataclass(frozen=True)
class CellResults:
    """What one cell of a study (or one run) came to.

    point: path -> label of every factor. values: measure -> seed -> number (None where it is
    undefined). runs: their folders. summaries: what they wrote. seeds: that were wanted.
    """

    name: str
    condition: str = "base"
    point: Mapping[str, str] = dataclasses.field(default_factory=dict)
    unit: tuple[float, ...] = ()
    changes: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    values: Mapping[str, Mapping[int, float | None]] = dataclasses.field(default_factory=dict)
    runs: tuple[Path, ...] = ()
    summaries: tuple[Mapping[str, Any], ...] = ()
    seeds: tuple[int, ...] = ()

    def defined(self, measure: str) -> dict[int, float]:
        """Seed -> number, where there is one."""
        found = self.values.get(measure, {})
        return {seed: value for seed, value in found.items() if value is not None}


@dataclasses.dataclass(frozen=True)
class Results:
    """All cells, and the study they belong to, if any.

    kind: "study", "run" or "runs". study: its manifest. failed: runs that came to nothing.
    """

    kind: str
    title: str
    cells: tuple[CellResults, ...]
    study: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    failed: Mapping[str, Mapping[str, Any]] = dataclasses.field(default_factory=dict)

    @property
    def measures(self) -> list[str]:
        """Numbers that some cell has, in the order of the first that has them."""
        return list(dict.fromkeys(name for cell in self.cells for name in cell.values))


def read_results(places: Sequence[str | Path]) -> Results:
    """Read one study, or one or more runs.

    Raises:
      NotARunError: A place is neither, or a study stands beside something else.
    """
    studies = [place for place in places if (Path(place) / "study.json").is_file()]
    if studies:
        if len(places) > 1:
            raise NotARunError(
                f"{studies[0]} is a study; compare one study alone, or runs with runs "
                f"(its runs are in {Path(studies[0]) / 'runs'})"
            )
        return _read_study(StudyFolder.open(places[0]))
    cells = [_read_run(RunFolder.open(place)) for place in places]
    names = [cell.name for cell in cells]
    cells = [
        cell
        if names.count(cell.name) == 1
        else dataclasses.replace(cell, name=cell.runs[0].name, condition=cell.runs[0].name)
        for cell in cells
    ]
    title = names[0] if len(set(names)) == 1 else ", ".join(dict.fromkeys(names))
    return Results("run" if len(cells) == 1 else "runs", title, tuple(cells))


def _read_study(folder: StudyFolder) -> Results:
    manifest = folder.read_manifest()
    cells = []
    for known in manifest["cells"]:
        seeds = tuple(known["seeds"])
        done = folder.finished(known["hash"])
        runs = tuple(dict.fromkeys(done[seed] for seed in seeds if seed in done))
        summaries = tuple(_summary(path) for path in runs)
        cells.append(
            CellResults(
                name=known["name"],
                condition=known["condition"],
                point=known["point"],
                unit=tuple(known["unit"]),
                changes=known["changes"],
                values=_values(summaries, set(seeds)),
                runs=runs,
                summaries=summaries,
                seeds=seeds,
            )
        )
    return Results("study", manifest["name"], tuple(cells), manifest, folder.failures())


def _read_run(folder: RunFolder) -> CellResults:
    summary = folder.read_summary()
    manifest = folder.read_manifest()
    if summary is None:
        raise NotARunError(
            f"{folder.path} has no summary yet; finish it with society resume {folder.path}"
        )
    seeds = tuple(summary["seeds"])
    name = str(manifest.get("name", folder.path.name))
    return CellResults(
        name=name,
        condition=name,
        values=_values([summary], set(seeds)),
        runs=(folder.path,),
        summaries=(summary,),
        seeds=seeds,
    )


def _summary(path: Path) -> dict[str, Any]:
    return json.loads((path / "summary.json").read_text(encoding="utf-8"))


def _values(
    summaries: Iterable[Mapping[str, Any]], seeds: set[int]
) -> dict[str, dict[int, float | None]]:
    """Measure -> seed -> number, of the measures that are one number a run."""
    found: dict[str, dict[int, float | None]] = {}
    for summary in summaries:
        for name, value in (summary.get("measures") or {}).items():
            if not isinstance(value, Mapping) or "values" not in value:
                continue
            for seed, number in zip(summary["seeds"], value["values"], strict=True):
                if seed in seeds:
                    found.setdefault(name, {})[seed] = number
    return found
