"""Whether the runs of a study bear out what it claims.

Nothing is more than an illustration without target patterns, and nothing holds without
qualification before robustness variants were run.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from society.claims import CONDITION, Target, Validation, label_of
from society.recorder import RunFolder
from society.statistics import contrast, summarise
from society.study.read import CellResults, Results

__all__ = ["validation_of"]


class _Found(NamedTuple):
    """What the runs say of a target: of an order, the difference."""

    found: float | None
    ci95: list[float] | None
    runs: int
    verdict: str


def validation_of(results: Results) -> dict[str, Any]:
    """Judge the claim of a study, or of a run, by its results.

    Args:
      results: what ``read_results`` returned.

    Returns:
      ``claim``; ``targets`` (``name``, ``measure``, ``where``, ``wanted``, ``found``,
      ``ci95``, ``runs``, ``verdict``: met, missed or open, ``source``); ``robustness`` and
      ``nulls`` (names of those that were run); ``status``: validated, not validated, or
      qualified (all targets met, but no robustness variants); ``words``: what may be said.
    """
    asked = _asked(results)
    ran = sorted({cell.condition for cell in results.cells if cell.runs})
    targets = [_judged(name, target, results.cells) for name, target in asked.targets.items()]
    found = {
        "claim": asked.claim,
        "targets": targets,
        "robustness": [n.removeprefix("robust_") for n in ran if n.startswith("robust_")],
        "nulls": [n.removeprefix("null_") for n in ran if n.startswith("null_")],
    }
    sweep = (results.study.get("scenario") or {}).get("sweep") or {}
    # Where nobody reads words, the standard variants are other seeds alone.
    found["status"] = _status(
        asked.claim,
        targets,
        robust=bool(set(found["robustness"]) - {"again"})
        or bool(found["robustness"] and "standard" in sweep.get("robustness", ())),
    )
    return found | {"words": _words(found)}


def _asked(results: Results) -> Validation:
    """What was claimed; of a single run without targets about cells of a study."""
    manifest = results.study
    if results.kind == "run":
        manifest = RunFolder(results.cells[0].runs[0]).read_manifest()
    asked = Validation.model_validate((manifest.get("scenario") or {}).get("validation") or {})
    if results.kind == "study":
        return asked
    alone = {n: t for n, t in asked.targets.items() if not t.where and t.above is None}
    return asked.model_copy(update={"targets": alone})


def _status(claim: str, targets: Sequence[Mapping[str, Any]], *, robust: bool) -> str:
    if claim == "illustration" or not targets or any(t["verdict"] != "met" for t in targets):
        return "not validated"
    return "validated" if robust else "qualified"


def _words(found: Mapping[str, Any]) -> str:
    targets = found["targets"]
    met = sum(target["verdict"] == "met" for target in targets)
    if not targets:
        return (
            f"Claim: {found['claim']}. Not validated: nothing here was compared with observations "
            "or with theory as a target (validation.targets)."
        )
    count = f"{met} of {len(targets)} target patterns met"
    if found["status"] == "validated":
        return f"Claim: {found['claim']}. {count}, and robustness variants were run."
    if found["status"] == "qualified":
        return (
            f"Claim: {found['claim']}, with a qualification: {count}, but no robustness variants "
            "were run (sweep.robustness: standard), so how much depends on wording and details is "
            "unknown."
        )
    return f"Claim: {found['claim']}. Not validated: {count}."


def _judged(name: str, target: Target, cells: Sequence[CellResults]) -> dict[str, Any]:
    found = _ordered(target, cells) if target.above is not None else _banded(target, cells)
    return {
        "name": name,
        "measure": target.measure,
        "where": {path: label_of(value) for path, value in target.where.items()},
        "wanted": _wanted(target),
        **found._asdict(),
        "source": target.source,
    }


def _banded(target: Target, cells: Sequence[CellResults]) -> _Found:
    """A number that must lie between low and high, in each of the cells."""
    own = _cells(target, target.where, cells)
    sides = [summarise(list(cell.defined(target.measure).values())) for cell in own]
    intervals = [side["ci95"] for side in sides]
    low = float("-inf") if target.low is None else target.low
    high = float("inf") if target.high is None else target.high
    verdicts = {_inside(interval, low, high) for interval in intervals}
    verdict = "missed" if "missed" in verdicts else "met" if verdicts == {"met"} else "open"
    hull = None
    if intervals and all(intervals):
        hull = [min(ends[0] for ends in intervals), max(ends[1] for ends in intervals)]
    mean = sum(side["mean"] for side in sides) / len(sides) if sides else None
    return _Found(mean, hull, sum(side["n"] for side in sides), verdict)


def _ordered(target: Target, cells: Sequence[CellResults]) -> _Found:
    """A number that must be higher than in the cells that differ in what ``above`` says."""
    above = target.above or {}

    def rest(cell: CellResults) -> tuple[Any, ...]:
        point = tuple((path, v) for path, v in cell.point.items() if path not in above)
        return point if CONDITION in above else (cell.condition, *point)

    lower = {rest(cell): cell for cell in _cells(target, {**target.where, **above}, cells)}
    strata = [
        tuple(list(side.defined(target.measure).values()) for side in (cell, lower[rest(cell)]))
        for cell in _cells(target, target.where, cells)
        if rest(cell) in lower
    ]
    if not strata:
        return _Found(None, None, 0, "open")
    one = contrast([(first, second) for first, second in strata])
    verdict = _inside(one["ci95"], 0.0, float("inf"), strictly=True)
    return _Found(one["difference"], one["ci95"], sum(one["n"]), verdict)


def _cells(
    target: Target, place: Mapping[str, Any], cells: Sequence[CellResults]
) -> list[CellResults]:
    """The cells at a place that have the number; of the baseline where no condition is named."""
    wanted = {path: label_of(value) for path, value in place.items()}
    wanted.setdefault(CONDITION, cells[0].condition if cells else "")
    return [
        cell
        for cell in cells
        if cell.defined(target.measure)
        and all(
            (cell.condition if path == CONDITION else cell.point.get(path)) == label
            for path, label in wanted.items()
        )
    ]


def _wanted(target: Target) -> str:
    if target.above is not None:
        return "above " + ", ".join(f"{k} = {label_of(v)}" for k, v in target.above.items())
    if target.low is None:
        return f"at most {target.high:g}"
    if target.high is None:
        return f"at least {target.low:g}"
    return f"{target.low:g} to {target.high:g}"


def _inside(
    ends: Sequence[float] | None, low: float, high: float, *, strictly: bool = False
) -> str:
    """Met or missed where the whole interval says so."""
    if ends is None:
        return "open"
    if low <= ends[0] and ends[1] <= high and not (strictly and ends[0] == low):
        return "met"
    return "missed" if ends[1] < low or ends[0] > high else "open"
