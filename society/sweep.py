"""Sweeps: which runs a study consists of, as named sets of changes.

Every combination of ``factors`` times every one of ``conditions`` (times ``seeds``);
``nulls`` and ``robustness`` add named conditions. Nothing runs here.
"""

import dataclasses
import itertools
import json
import math
import re
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from society.claims import misplaced
from society.components import Component
from society.errors import Problem, ScenarioError, nearest
from society.frame import Sweep
from society.scenario import Scenario
from society.study.sensitivity import DESIGNS, HOW_TO_INSTALL, design, installed
from worlds.framing import Framing
from worlds.registry import entries

__all__ = [
    "NULLS",
    "ROBUSTNESS",
    "SAME_AGAIN",
    "Cell",
    "Checked",
    "cells",
    "check_sweep",
    "conditions",
]

Changes = dict[str, Any]
_SAMPLED = "random, latin, sobol, morris or saltelli"
_STANDARD_POLICIES = (
    "random",
    "always_cooperate",
    "always_defect",
    "tit_for_tat",
    "win_stay_lose_shift",
)


@dataclasses.dataclass(frozen=True)
class Cell:
    """One scenario of a sweep: its name, and the changes that make it.

    condition: which one. point: (path, label) of every factor. seeds: other ones than the
    scenario's, None for those. unit: place in the unit cube, of sampled methods.
    """

    name: str
    changes: Changes
    condition: str = "base"
    point: tuple[tuple[str, str], ...] = ()
    seeds: tuple[int, ...] | None = None
    unit: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Checked:
    """A sweep whose every part was checked.

    conditions: name -> changes. factors: path -> labels. runs: cells, without seeds.
    notes: null models that this scenario cannot have.
    """

    conditions: dict[str, Changes]
    factors: dict[str, list[str]]
    runs: int
    notes: tuple[str, ...] = ()


def check_sweep(scenario: Scenario) -> Checked:
    """Check that every condition and every value of every factor gives a valid scenario.

    Raises:
      ScenarioError: With the problems of all of them.
    """
    if scenario.sweep is None:
        problems = _claim_problems(scenario, {}, [])
        if problems:
            raise ScenarioError(problems)
        return Checked({}, {}, 1)
    problems = list(_shape_problems(scenario))
    if problems:
        raise ScenarioError(problems)
    found, notes = conditions(scenario)
    for name, changes in scenario.sweep.conditions.items():
        problems += _try(scenario, changes or {}, ("sweep", "conditions", name))
    factors = {path: _levels(path, values) for path, values in scenario.sweep.factors.items()}
    for path, levels in factors.items():
        named = isinstance(scenario.sweep.factors[path], Mapping)
        for index, (label, value) in enumerate(levels):
            at = ("sweep", "factors")
            problems += _try(scenario, {path: value}, at, label if named else str(index))
    labels = {path: [label for label, _ in levels] for path, levels in factors.items()}
    problems += _claim_problems(scenario, labels, list(found))
    if problems:
        raise ScenarioError(list(dict.fromkeys(problems)))
    runs = sum(1 for _ in itertools.islice(cells(scenario), 1_000_000))
    if SAME_AGAIN in found:  # shown as what it changes
        found[SAME_AGAIN] = {"seeds": list(_other_seeds(scenario))}
    return Checked(found, labels, runs, tuple(notes))


def _claim_problems(
    scenario: Scenario, labels: Mapping[str, Sequence[str]], named: Sequence[str]
) -> list[Problem]:
    """What is wrong with the cells that targets of the validation name."""
    if scenario.validation is None:
        return []
    wrong = misplaced(scenario.validation.targets, labels, named)
    return [p for path, message in wrong for p in scenario.error(path, message).problems]


def cells(scenario: Scenario) -> Iterator[Cell]:
    """Yield every scenario of the sweep, named ``condition/path=label/...``."""
    sweep = scenario.sweep
    if sweep is None:
        yield Cell("base", {})
        return
    named, _ = conditions(scenario)
    points = list(_points(sweep.factors, sweep.method, sweep.samples))
    for name, changes in named.items():
        seeds = _other_seeds(scenario) if name == SAME_AGAIN else None
        for point, unit in points:
            parts = [name, *(f"{path}={label}" for path, label, _ in point)]
            yield Cell(
                "/".join(parts),
                changes | {path: value for path, _, value in point},
                name,
                tuple((path, label) for path, label, _ in point),
                seeds,
                unit,
            )


def conditions(scenario: Scenario) -> tuple[dict[str, Changes], list[str]]:
    """Return the named conditions with those that nulls and robustness add, and notes."""
    sweep = scenario.sweep
    if sweep is None:
        return {}, []
    found: dict[str, Changes] = {name: dict(c or {}) for name, c in sweep.conditions.items()}
    found = found or {"base": {}}
    notes = []
    for block, known in (("nulls", NULLS), ("robustness", ROBUSTNESS)):
        asked = getattr(sweep, block)
        standard = asked == ("standard",)
        for name in known if standard else asked:
            extra = known[name](scenario)
            if not extra and not standard:
                notes.append(f"{block}: {name} changes nothing in this scenario")
            for suffix, changes in extra.items():
                label = f"{'null' if block == 'nulls' else 'robust'}_{name}{suffix}"
                found.setdefault(label, changes)
    return found, notes


def _shape_problems(scenario: Scenario) -> Iterator[Problem]:
    """What is wrong with the sweep itself."""
    sweep = scenario.sweep
    assert sweep is not None

    def problem(path: str, message: str) -> Problem:
        return scenario.error(f"sweep.{path}", message).problems[0]

    for name, changes in sweep.conditions.items():
        if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
            message = "a name has small letters, digits and _, and begins with a letter"
            yield problem(f"conditions.{name}", message)
        if changes is not None and not isinstance(changes, Mapping):
            yield problem(f"conditions.{name}", "expected a map from path to value, or {}")
    for path, values in sweep.factors.items():
        message = _factor_problem(values, sweep.method)
        if message:
            yield dataclasses.replace(problem("factors", message), path=f"sweep.factors.{path}")
    yield from _choice_problems(sweep, problem)


def _choice_problems(sweep: Sweep, problem: Callable[[str, str], Problem]) -> Iterator[Problem]:
    """What is wrong with the method and the names of variants."""
    if sweep.method != "grid" and sweep.samples is None:
        yield problem("method", f"{sweep.method} needs samples: (how many points)")
    if sweep.method == "grid" and sweep.samples is not None:
        yield problem("samples", f"needs method: {_SAMPLED}")
    if sweep.method in DESIGNS:
        if not sweep.factors:
            yield problem("method", f"{sweep.method} needs factors")
        elif not installed():
            yield problem("method", f"{sweep.method} needs SALib: {HOW_TO_INSTALL}")
    for block, known in (("nulls", NULLS), ("robustness", ROBUSTNESS)):
        for index, name in enumerate(getattr(sweep, block)):
            if name not in known and name != "standard":
                yield problem(f"{block}.{index}", f"unknown name {name!r}{nearest(name, known)}")


def _factor_problem(values: Any, method: str) -> str:
    if isinstance(values, list):
        return "" if values else "the list is empty"
    if not isinstance(values, Mapping) or not values:
        return "expected a list, a map from label to value, or {low, high}"
    if not _is_range(values):
        return ""
    if method == "grid":
        return f"a range needs method: {_SAMPLED}, and samples"
    low, high = values["low"], values["high"]
    if not all(isinstance(v, int | float) and not isinstance(v, bool) for v in (low, high)):
        return "low and high must be numbers"
    if not low < high:
        return f"low ({low:g}) must be below high ({high:g})"
    if values.get("log") not in (None, True, False):
        return "log is true or false"
    return "low must be positive where log is true" if values.get("log") and low <= 0 else ""


def _try(scenario: Scenario, changes: Any, at: tuple[str, ...], label: str = "") -> list[Problem]:
    try:
        scenario.with_changes(changes, at, label)
    except ScenarioError as error:
        return list(error.problems)
    return []


def _is_range(values: Any) -> bool:
    return isinstance(values, Mapping) and {"low", "high"} <= set(values) <= {"low", "high", "log"}


def _levels(path: str, values: Any) -> list[tuple[str, Any]]:
    """The values of a factor with their labels; a range has its two ends."""
    if _is_range(values):
        whole = all(isinstance(values[end], int) for end in ("low", "high"))
        return [
            (f"{values[end]:g}", values[end] if whole else float(values[end]))
            for end in ("low", "high")
        ]
    if isinstance(values, Mapping):
        return list(values.items())
    return [(_label(value), value) for value in values]


def _label(value: Any) -> str:
    if isinstance(value, Mapping) and isinstance(value.get("use"), str):
        rest = {key: item for key, item in value.items() if key != "use"}
        return value["use"] + (json.dumps(rest, sort_keys=True) if rest else "")
    return value if isinstance(value, str) else json.dumps(value)


Point = tuple[list[tuple[str, str, Any]], tuple[float, ...]]


def _points(factors: Mapping[str, Any], method: str, samples: int | None) -> Iterator[Point]:
    """Points in the space of factors: lists of (path, label, value), and where that is."""
    if method == "grid" or not factors:
        levels = [[(path, *level) for level in _levels(path, v)] for path, v in factors.items()]
        for combination in itertools.product(*levels):
            yield list(combination), ()
        return
    for row in _unit_points(method, len(factors), samples or 1):
        unit = tuple(float(x) for x in row)
        yield (
            [(path, *_at(v, x)) for (path, v), x in zip(factors.items(), unit, strict=True)],
            unit,
        )


def _unit_points(method: str, dimensions: int, samples: int) -> Any:
    """[samples, dimensions] points in the unit cube, always the same ones."""
    if method in DESIGNS:
        return design(method, dimensions, samples)
    import numpy as np
    from scipy.stats import qmc

    if method == "random":
        return np.random.default_rng(0).random((samples, dimensions))
    if method == "latin":
        return qmc.LatinHypercube(dimensions, rng=np.random.default_rng(0)).random(samples)
    sobol = qmc.Sobol(dimensions, rng=np.random.default_rng(0))
    return sobol.random_base2(max(0, math.ceil(math.log2(samples))))[:samples]


def _at(values: Any, unit: float) -> tuple[str, Any]:
    """The value of a factor at a place between 0 and 1."""
    if not _is_range(values):
        levels = _levels("", values)
        return levels[min(int(unit * len(levels)), len(levels) - 1)]
    low, high = values["low"], values["high"]
    if values.get("log"):
        value = math.exp(math.log(low) + unit * (math.log(high) - math.log(low)))
    else:
        value = low + unit * (high - low)
    if isinstance(low, int) and isinstance(high, int):
        value = (
            min(high, low + int(unit * (high - low + 1))) if not values.get("log") else round(value)
        )
        return str(value), value
    return f"{value:.6g}", value


# ---- null models: name -> what it changes, by suffix of the condition's name; {} if nothing ----

Extra = Callable[[Scenario], dict[str, Changes]]


def _policy(name: str) -> Extra:
    """Scripted minds in place of those that use language or learn."""

    def extra(scenario: Scenario) -> dict[str, Changes]:
        if name not in entries("policy"):
            return {}
        minds = [
            g for g, group in scenario.groups.items() if group.learner or _is_text(group.policy)
        ]
        changes: Changes = {f"groups.{group}.policy": name for group in minds}
        changes |= {
            f"groups.{mind}.learner": None for mind in minds if scenario.groups[mind].learner
        }
        return {"": changes} if changes and _builds(scenario, changes) else {}

    return extra


def _channels(mode: str) -> Extra:
    def extra(scenario: Scenario) -> dict[str, Changes]:
        changes: Changes = {f"channels.{name}.mode": mode for name in scenario.channels}
        return {"": changes} if changes else {}

    return extra


def _rewired(scenario: Scenario) -> dict[str, Changes]:
    if scenario.graph is None or scenario.graph.rule.use == "complete":
        return {}
    return {"": {"interventions.null_rewired": {"use": "rewire", "keep": "degrees", "at": "start"}}}


def _no_selection(scenario: Scenario) -> dict[str, Changes]:
    """Drift: everybody is copied as often, whatever its fitness."""
    selection = scenario.selection
    if selection is None or selection.use == "none":
        return {}
    if getattr(selection.load(), "imitates", False):
        return {"": {"selection": {"use": "fermi", "beta": 0}}}
    return {"": {"selection": {"use": "tournament", "size": 1}}}


def _is_text(policy: Component) -> bool:
    return getattr(policy.load(), "kind", "array") == "text"


def _builds(scenario: Scenario, changes: Changes) -> bool:
    """True where the changed scenario can be composed: not every policy plays every world."""
    from society.build import build

    try:
        build(scenario.with_changes(changes))
    except ScenarioError:
        return False
    return True


NULLS: dict[str, Extra] = {
    **{name: _policy(name) for name in _STANDARD_POLICIES},
    "silent_channels": _channels("silent"),
    "shuffled_messages": _channels("shuffled"),
    "rewired": _rewired,
    "no_selection": _no_selection,
}


def _framing(field: str, values: Sequence[Any]) -> Extra:
    """Other ways to tell the same world, where somebody reads it."""

    def extra(scenario: Scenario) -> dict[str, Changes]:
        if not any(_is_text(group.policy) for group in scenario.groups.values()):
            return {}
        own = getattr(scenario.framing, field)
        return {
            f"_{str(value).lower()}": {f"framing.{field}": value}
            for value in values
            if value != own
        }

    return extra


_HINTS = typing.get_type_hints(Framing)
SAME_AGAIN = "robust_again"


def _again(scenario: Scenario) -> dict[str, Changes]:
    """Everything the same but the seeds: how far two equal conditions come apart by chance."""
    return {"": {}}


def _other_seeds(scenario: Scenario) -> tuple[int, ...]:
    """As many seeds as the scenario has, none of which it has."""
    first = max(scenario.seed_list) + 1
    return tuple(range(first, first + len(scenario.seed_list)))


def _payoff_scale(scenario: Scenario) -> dict[str, Changes]:
    """Ten times the stakes, where somebody reads them: nothing strategic changes."""
    if not any(_is_text(group.policy) for group in scenario.groups.values()):
        return {}
    from society.build import build

    changes = {f"world.{n}": _times(v, 10) for n, v in _stakes(build(scenario).world).items()}
    return {"_10": changes} if changes and _builds(scenario, changes) else {}


def _stakes(world: Any) -> dict[str, Any]:
    """Parameters which, multiplied by one number, multiply every payoff by it."""
    name = getattr(world, "component_name", "")
    if name == "donor_game":
        return {"endowment": world.endowment}
    if name != "matrix_game":
        return {}
    for custom in ("payoffs", "bimatrix"):
        if getattr(world, custom) is not None:
            return {custom: getattr(world, custom)}
    own = world.table()
    if own.shape != (2, 2, 2) or world.game == "ordinal":
        return {}
    names = ("reward", "sucker", "temptation", "punishment")
    return dict(zip(names, own[0].ravel().tolist(), strict=True))


def _times(value: Any, factor: float) -> Any:
    """Numbers, or nested lists of them, times a factor."""
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list | tuple):
        return [_times(item, factor) for item in value]
    return float(f"{value * factor:.6g}")


ROBUSTNESS: dict[str, Extra] = {
    "again": _again,
    "payoff_scale": _payoff_scale,
    "story": _framing("story", typing.get_args(_HINTS["story"])),
    "labels": _framing("labels", ("JF", "QX", "RH")),
    "option_order": _framing("option_order", typing.get_args(_HINTS["option_order"])),
    "whitespace": _framing("whitespace", typing.get_args(_HINTS["whitespace"])),
    "persona_format": _framing("persona_format", typing.get_args(_HINTS["persona_format"])),
    "paraphrase": _framing("paraphrase", (1, 2)),
}
