"""Compare cells of a study, or runs: intervals, contrasts, what moves a number, what to doubt.

The unit is the run. Conditions are compared with the baseline stratum by stratum (each
combination of factors with itself); levels of a factor with its first level, the rest held
equal. Where both sides have the same seeds, runs are compared seed by seed: seeds share
their random numbers across conditions.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from society.errors import nearest
from society.recorder import NotARunError
from society.statistics import (
    FEW_RUNS,
    contrast,
    detectable_effect,
    holm,
    summarise,
    variance_shares,
)
from society.study.read import CellResults, Results
from society.study.sensitivity import DESIGNS, indices, installed
from society.study.theory import theory_of
from society.study.validation import validation_of
from society.sweep import SAME_AGAIN

__all__ = ["compare"]

# A sign-flip test of fewer pairs cannot come below 5 %: 2 / 2**5 = 0.0625.
_FEWEST_PAIRS = 6
_PROMPT = ("framing", "robust_", ".persona", ".prompts", ".reasoning", ".strategy", ".plan")
_MODEL = ("backend", ".sampling")


def compare(
    results: Results, measures: Sequence[str] = (), baseline: str | None = None
) -> dict[str, Any]:
    """Compare the cells of a study, or runs.

    Args:
      results: what ``read_results`` returned.
      measures: which numbers; empty for those that differ anywhere.
      baseline: condition (or run) with which others are compared; the first when None.

    Returns:
      Plain data: ``cells`` (with ``measures`` and ``theory``), ``contrasts`` (with ``p_holm``
      over all of them), ``variance``, ``noise_floor``, ``sensitivity``, ``power``, ``validation``
      and ``warnings``.

    Raises:
      NotARunError: A name is unknown, or there is nothing to compare.
    """
    wanted = _wanted(results, measures)
    conditions = list(dict.fromkeys(cell.condition for cell in results.cells))
    base = baseline or conditions[0]
    if base not in conditions:
        raise NotARunError(f"no condition is called {base!r}{nearest(base, conditions)}")
    contrasts = [one for name in wanted for one in _contrasts(results, name, base)]
    adjusted = holm({str(index): one["p"] for index, one in enumerate(contrasts)})
    for index, one in enumerate(contrasts):
        one["p_holm"] = adjusted[str(index)]
    return {
        "status": "ok",
        "title": results.title,
        "kind": results.kind,
        "measures": wanted,
        "baseline": base,
        "cells": [_cell(cell, wanted) for cell in results.cells],
        "contrasts": contrasts,
        "variance": {name: _variance(results, name) for name in wanted},
        "noise_floor": _noise_floor(results, wanted, base),
        "sensitivity": {name: _sensitivity(results, name, base) for name in wanted},
        "power": _power(contrasts),
        "validation": validation_of(results),
        "warnings": list(_warnings(results, contrasts)),
    }


def _wanted(results: Results, measures: Sequence[str]) -> list[str]:
    known = results.measures
    for name in measures:
        if name not in known:
            raise NotARunError(f"no measure is called {name!r}{nearest(name, known, most=30)}")
    if measures:
        return list(measures)
    varied = []
    for name in known:
        values = [v for cell in results.cells for v in cell.defined(name).values()]
        if values and (len(results.cells) == 1 or np.ptp(values) > 0):
            varied.append(name)
    if not known:
        raise NotARunError("no run is finished yet; there is nothing to compare")
    return varied or known


def _cell(cell: CellResults, measures: Sequence[str]) -> dict[str, Any]:
    found = {}
    for name in measures:
        if name in cell.values:
            values = list(cell.values[name].values())
            found[name] = summarise([float("nan") if v is None else v for v in values])
    return {
        "name": cell.name,
        "condition": cell.condition,
        "point": dict(cell.point),
        "seeds": len(cell.seeds),
        "runs": [str(path) for path in cell.runs],
        "measures": found,
        "theory": theory_of(cell.runs[0]) if cell.runs else {},
    }


def _contrasts(results: Results, measure: str, base: str) -> Iterator[dict[str, Any]]:
    """Conditions against the baseline, then levels of factors against their first level."""
    conditions = list(dict.fromkeys(cell.condition for cell in results.cells))
    for condition in conditions:
        if condition not in (base, SAME_AGAIN):
            pairs = list(_matched(results.cells, "condition", condition, base))
            yield from _one(measure, "condition", condition, base, pairs)
    if results.study.get("method", "grid") != "grid":
        return
    for path, levels in _levels(results, base).items():
        cells = [cell for cell in results.cells if cell.condition == base]
        for level in levels[1:]:
            pairs = list(_matched(cells, path, level, levels[0]))
            names = (f"{path}={level}", f"{path}={levels[0]}")
            yield from _one(measure, path, *names, pairs)


def _levels(results: Results, base: str) -> dict[str, list[str]]:
    """Levels of every factor, in the order of the study."""
    found: dict[str, list[str]] = {}
    for cell in results.cells:
        if cell.condition == base:
            for path, level in cell.point.items():
                if level not in found.setdefault(path, []):
                    found[path].append(level)
    return {path: levels for path, levels in found.items() if len(levels) > 1}


def _matched(
    cells: Sequence[CellResults], what: str, first: str, second: str
) -> Iterator[tuple[CellResults, CellResults]]:
    """Pairs of cells that differ in nothing but one condition or level."""

    def rest(cell: CellResults) -> tuple:
        point = tuple(item for item in cell.point.items() if item[0] != what)
        return point if what == "condition" else (cell.condition, point)

    def side(cell: CellResults) -> str | None:
        return cell.condition if what == "condition" else cell.point.get(what)

    others = {rest(cell): cell for cell in cells if side(cell) == second}
    for cell in cells:
        if side(cell) == first and rest(cell) in others:
            yield cell, others[rest(cell)]


def _one(
    measure: str,
    kind: str,
    first: str,
    second: str,
    pairs: Sequence[tuple[CellResults, CellResults]],
) -> Iterator[dict[str, Any]]:
    """The contrast of matched cells, nothing where a side has no number."""
    sides = [(left.defined(measure), right.defined(measure)) for left, right in pairs]
    sides = [(left, right) for left, right in sides if left and right]
    if not sides:
        return
    shared = [sorted(set(left) & set(right)) for left, right in sides]
    paired = all(
        len(seeds) == len(left) == len(right)
        for seeds, (left, right) in zip(shared, sides, strict=True)
    ) and (sum(map(len, shared)) >= _FEWEST_PAIRS)
    strata = [
        ([left[s] for s in seeds], [right[s] for s in seeds])
        if paired
        else (list(left.values()), list(right.values()))
        for seeds, (left, right) in zip(shared, sides, strict=True)
    ]
    yield {
        "measure": measure,
        "kind": kind,
        "first": first,
        "second": second,
        "strata": len(strata),
        **contrast(strata, paired=paired),
    }


def _variance(results: Results, measure: str) -> dict[str, float]:
    """Shares of variance of seed, prompt, model and every other factor."""
    cells = [cell for cell in results.cells if not cell.condition.startswith("null_")]
    cells = [cell for cell in cells if cell.condition != SAME_AGAIN and cell.defined(measure)]
    if len(cells) < 2:
        return {}
    levels: dict[str, list[Any]] = {}
    values: list[float] = []
    for cell in cells:
        for _ in cell.defined(measure):
            for name, level in {"condition": cell.condition, **cell.point}.items():
                levels.setdefault(name, []).append(level)
        values += cell.defined(measure).values()
    if any(len(column) != len(values) for column in levels.values()):
        return {}
    varied = {name: column for name, column in levels.items() if len(set(column)) > 1}
    shares = variance_shares(varied, values) if varied else {}
    return {_source(name, varied): share for name, share in shares.items()}


def _source(name: str, varied: Mapping[str, Sequence[str]]) -> str:
    """Say of a factor that it is the prompt or the model, where it is."""
    told = f"{name} " + " ".join(map(str, set(varied.get(name, ()))) if name == "condition" else "")
    if any(mark in f".{told}" for mark in _PROMPT):
        return f"{name} (prompt)"
    return f"{name} (model)" if any(mark in f".{name}" for mark in _MODEL) else name


def _noise_floor(results: Results, measures: Sequence[str], base: str) -> dict[str, Any]:
    """How far two equal conditions came apart (``robustness: again``)."""
    pairs = list(_matched(results.cells, "condition", SAME_AGAIN, base))
    found = {}
    for name in measures:
        sides = [(list(a.defined(name).values()), list(b.defined(name).values())) for a, b in pairs]
        sides = [(a, b) for a, b in sides if a and b]
        if sides:
            one = contrast(sides)
            found[name] = {"difference": one["difference"], "ci95": one["ci95"]}
    return found


def _sensitivity(results: Results, measure: str, base: str) -> dict[str, Any]:
    """Indices of a Morris or Saltelli design, where the study is one and is complete."""
    method = results.study.get("method", "grid")
    if method not in DESIGNS or not installed():
        return {}
    cells = [cell for cell in results.cells if cell.condition == base]
    means = [list(cell.defined(measure).values()) for cell in cells]
    if not all(means):
        return {}
    values = [float(np.mean(numbers)) for numbers in means]
    if np.ptp(values) == 0:
        return {}
    return indices(method, list(cells[0].point), [cell.unit for cell in cells], values)


def _power(contrasts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The smallest difference that contrasts of this size find, in standard deviations."""
    if not contrasts:
        return {}
    runs, paired = min(contrasts[0]["n"]), contrasts[0]["paired"]
    effect = detectable_effect(runs, paired=paired, comparisons=len(contrasts))
    return {"runs": runs, "paired": paired, "comparisons": len(contrasts), "effect": effect}


def _warnings(results: Results, contrasts: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """What a reader must know before believing the tables."""
    few = [cell for cell in results.cells if len(cell.summaries) and len(cell.seeds) < FEW_RUNS]
    if few:
        yield (
            f"{len(few)} of {len(results.cells)} cells have fewer than {FEW_RUNS} runs: their "
            "intervals are too narrow; set seeds: 10"
        )
    missing = [cell.name for cell in results.cells if not cell.runs]
    if missing:
        shown = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        yield f"{len(missing)} cells have no finished run ({shown}); run society sweep again"
    failing = sum(summary.get("status") == "failed" for summary in _summaries(results))
    if failing:
        yield f"{failing} runs had more unreadable answers than limits.max_fallback_rate allows"
    power = _power(contrasts)
    if power and power["effect"] is not None:
        yield (
            f"{power['runs']} {'pairs' if power['paired'] else 'runs a side'} find differences of "
            f"{power['effect']:.2g} standard deviations or more with 80 % power (Holm's first of "
            f"{power['comparisons']} comparisons)"
        )


def _summaries(results: Results) -> Iterator[Mapping[str, Any]]:
    return itertools.chain.from_iterable(cell.summaries for cell in results.cells)
