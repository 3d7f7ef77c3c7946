"""Scenarios: one YAML file says everything that decides a result.

``load_scenario`` reads a file and what it extends, puts the changes over it, checks every
key, and answers with a frozen ``Scenario``, or with all that is wrong and where.
"""

import contextlib
import dataclasses
import functools
import importlib.resources
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr, ValidationError
from pydantic_core import PydanticCustomError

from society import checks
from society.canonical import fingerprint, plain
from society.components import Component, Context
from society.errors import Problem, ScenarioError, nearest
from society.files import digest, inside
from society.frame import Frame, GraphSpec
from society.layers import Layers, compose, put_all
from society.overrides import OverrideError, parse_assignment, split_path
from society.yaml_safe import read
from worlds.registry import entries

__all__ = [
    "Component",
    "Scenario",
    "ScenarioError",
    "load_resolved",
    "load_scenario",
    "shipped",
]

_RESOLVED_BYTES = 1 << 24
_OPERATIONAL = ("record", "limits")
_REMARKS = ("about", "sweep", "validation")


class Scenario(Frame):
    """A checked scenario.

    name: the file's name without suffix. folder: where its relative files are.
    counts: individuals of each group. seed_list: one replicate each.
    """

    _name: str = PrivateAttr("scenario")
    _layers: Layers = PrivateAttr()
    _context: Context = PrivateAttr()
    _notes: list[str] = PrivateAttr(default_factory=list)
    _origin: "_Origin" = PrivateAttr()

    @property
    def name(self) -> str:
        """What runs of this scenario are called."""
        return self._name

    @property
    def folder(self) -> Path:
        """Where relative files are looked for first."""
        return self._context.folders[0]

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks for whoever runs it."""
        return tuple(self._notes)

    @property
    def seed_list(self) -> tuple[int, ...]:
        """The root seed of every replicate."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds

    @property
    def counts(self) -> dict[str, int]:
        """Individuals alive at the start, by group."""
        return checks.group_sizes(self)

    @property
    def attribute_seed(self) -> int:
        """Seed of attributes and of draws from tables: the same for all replicates."""
        return 0

    @property
    def hash(self) -> str:
        """SHA-256 (hex) of all that decides a result."""
        return fingerprint(self.resolved(operational=False))

    def backend_component(self, name: str = "") -> Component:
        """The backend that a name means, looked up in ``backends``, then among registered ones.

        Args:
          name: empty for the scenario's own backend.

        Raises:
          KeyError: There is no such name, or no backend at all.
        """
        if name in self.backends:
            return self.backends[name]
        own = self.backend
        if own is not None and name in ("", own.name, own.use):
            return self.backends.get(own.name, own)
        if name not in entries("backend"):
            raise KeyError(name or "backend")
        return Component("backend", name, context=self._context)

    def files(self) -> dict[str, str]:
        """Path -> SHA-256 of the files that are read when it runs."""
        names = [group.table.path for group in self.groups.values() if group.table]
        for component in self._components():
            names.extend(component.files())
        return {
            name: digest(inside(self._context.folders, name)) for name in sorted(set(names)) if name
        }

    def resolved(self, *, operational: bool = True) -> dict[str, Any]:
        """Everything with its default, as plain data that ``load_resolved`` reads.

        Args:
          operational: False leaves out what cannot change a result, and keeps the order of
            groups in a list: what is hashed.
        """
        found = {
            name: _plain(getattr(self, name), operational)
            for name in type(self).model_fields
            if getattr(self, name) is not None
        }
        found["seeds"] = list(self.seed_list)
        if operational:
            folders = [str(folder.resolve()) for folder in self._context.folders]
            return {"name": self.name, "folders": folders, **found}
        for name in (*_OPERATIONAL, *_REMARKS):
            found.pop(name, None)
        found["groups"] = [[name, group] for name, group in found["groups"].items()]
        return _whole(found | {"files": self.files()})

    def with_changes(
        self, changes: Mapping[str, Any], told_at: tuple[str, ...] = ("sweep",), label: str = ""
    ) -> "Scenario":
        """Return the scenario of one condition: changes over the file, under ``--set``.

        Args:
          changes: path -> value, in the order in which they are put.
          told_at: where in the file they stand, so that problems can be shown there.
          label: of the value among those of a factor.

        Raises:
          ScenarioError: They do not fit.
        """
        tree, layers = self._origin.tree, self._origin.layers
        problems: list[Problem] = []
        for text, value in changes.items():
            try:
                path = split_path(text)
            except OverrideError as error:
                problems.append(layers.problem((*told_at, text), str(error)))
                continue
            stands_at = (*told_at, text, *([label] if label else []))
            layers = layers.under(path, stands_at, stands_at if label else told_at)
            tree, found = put_all(tree, {path: value}, layers)
            problems.extend(found)
        if problems:
            raise ScenarioError(problems)
        return _load(tree, layers, self._name, self._origin.sets, self._context.allow_code)

    def error(self, path: str, message: str) -> ScenarioError:
        """An error about a dotted path, located in the file that holds it."""
        return ScenarioError(self._layers.problem(tuple(path.split(".")), message))

    @contextlib.contextmanager
    def locating(self, path: str) -> Iterator[None]:
        """Turn a ValueError of the block into a ScenarioError about a dotted path."""
        try:
            yield
        except ScenarioError:
            raise
        except PydanticCustomError as error:
            raise self.error(path, error.message()) from error
        except ValueError as error:
            raise self.error(path, str(error)) from error

    def _components(self) -> Iterator[Component]:
        yield self.world
        for group in self.groups.values():
            yield group.policy
            if group.learner:
                yield group.learner
        yield from (spec.component for spec in self.interventions.values())
        yield from self.channels.values()
        yield from self.backends.values()
        yield from self.measures
        single = [self.selection, self.transmission, self.backend, self.graph]
        for component in single:
            if isinstance(component, GraphSpec):
                component = component.component
            if component is not None and not component.name:
                yield component


@dataclasses.dataclass(frozen=True)
class _Origin:
    """A scenario before the command line changed it."""

    tree: dict[str, Any]
    layers: Layers
    sets: tuple[str, ...]


@functools.cache
def shipped() -> dict[str, Path]:
    """Return the scenarios that come with the package: name -> file."""
    root = importlib.resources.files("scenarios")
    found = [Path(str(item)) for item in root.iterdir() if item.name.endswith(".yaml")]
    return {path.stem: path for path in sorted(found)}


def load_scenario(
    name_or_path: str | Path,
    sets: Sequence[str] = (),
    seed: int | None = None,
    allow_code: bool = False,
) -> Scenario:
    """Load and check a scenario.

    Args:
      name_or_path: a shipped scenario's name, or a file.
      sets: changes ``path=value``, put over the file in order.
      seed: run this seed alone.
      allow_code: components may be ``module:Class``; the file's folder is importable.

    Raises:
      ScenarioError: With every problem that was found.
    """
    path = find(name_or_path)
    tree, layers = compose(path, shipped())
    return _load(tree, layers, path.stem, _changes(sets, seed), allow_code)


def load_resolved(path: str | Path, sets: Sequence[str] = (), allow_code: bool = False) -> Scenario:
    """Load what ``Scenario.resolved`` has written.

    Raises:
      ScenarioError: As ``load_scenario``.
    """
    path = Path(path)
    source = read(path, most=_RESOLVED_BYTES)
    tree = dict(source.data) if isinstance(source.data, Mapping) else {}
    name, folders = str(tree.pop("name", path.stem)), tree.pop("folders", None)
    own = folders if isinstance(folders, list) else []
    layers = Layers.of(source, tuple(dict.fromkeys((*map(Path, map(str, own)), path.parent))))
    return _load(tree, layers, name, _changes(sets, None), allow_code)


def find(name_or_path: str | Path) -> Path:
    """Return the file of a scenario.

    Raises:
      ScenarioError: There is none.
    """
    known = shipped()
    text = str(name_or_path)
    if text in known and not Path(text).is_file():
        return known[text]
    if re.fullmatch(r"\w+", text) and not Path(text).exists():
        message = f"no scenario is called {text!r}{nearest(text, known)} (society list scenarios)"
        raise ScenarioError(Problem(text, 1, 1, "", message))
    return Path(text)


def _changes(sets: Sequence[str], seed: int | None) -> list[str]:
    return [*sets, *([] if seed is None else [f"seeds=[{seed}]"])]


def _load(
    tree: dict[str, Any], layers: Layers, name: str, sets: Sequence[str], allow_code: bool
) -> Scenario:
    problems: list[Problem] = []
    origin = _Origin(tree, layers, tuple(sets))
    for text in sets:
        try:
            path, value, column = parse_assignment(text)
        except OverrideError as error:
            problems.append(Problem(f"--set {text}", 1, 1, "", str(error)))
        except ScenarioError as error:
            problems.extend(error.problems)
        else:
            layers = layers.over_command_line(path, text, column)
            tree, found = put_all(tree, {path: value}, layers)
            problems.extend(found)
    tree, found = checks.insert_texts(tree, layers)
    problems.extend(found)
    scenario = _validate(tree, layers, name, allow_code, problems)
    scenario._origin = origin
    return scenario


def _validate(
    tree: dict[str, Any],
    layers: Layers,
    name: str,
    allow_code: bool,
    problems: list[Problem],
) -> Scenario:
    backends = tree.get("backends")
    context = Context(
        layers.folders, allow_code, tuple(backends) if isinstance(backends, Mapping) else ()
    )
    problems = [*problems, *(layers.problem(*found) for found in checks.raw_problems(tree))]
    scenario: Scenario | None = None
    try:
        scenario = Scenario.model_validate(tree, context=context)
    except ValidationError as error:
        problems.extend(
            layers.problem(tuple(map(str, item["loc"])), item["msg"]) for item in error.errors()
        )
    if scenario is not None:
        problems.extend(layers.problem(*found) for found in checks.model_problems(scenario))
        scenario, notes, found = _with_backend(scenario, context)
        problems.extend(layers.problem(*one) for one in found)
    if problems or scenario is None:
        raise ScenarioError(sorted(dict.fromkeys(problems), key=layers.order))
    scenario._name, scenario._layers, scenario._context = name, layers, context
    scenario._notes = notes
    return scenario


def _with_backend(
    scenario: Scenario, context: Context
) -> tuple[Scenario, list[str], list[tuple[tuple[str, ...], str]]]:
    """Fill in the default backend where a language policy needs one."""
    needy = checks.groups_without_backend(scenario)
    if not needy or scenario.backend is not None:
        return scenario, [], []
    known = entries("backend")
    default = next((name for name in ("local", "mock") if name in known), None)
    if default is None:
        return scenario, [], [(("backend",), "is required, because some policies use language")]
    note = []
    if default == "mock":
        note = ["no backend is named: the scripted mock answers, no language model"]
    backend = Component("backend", default, context=context)
    return scenario.model_copy(update={"backend": backend}), note, []


def _plain(value: Any, operational: bool) -> Any:
    if isinstance(value, Component):
        return value.name or value.resolved(operational=operational)
    if hasattr(value, "model_fields_set"):
        found = {
            name: _plain(getattr(value, name), operational)
            for name in type(value).model_fields
            if getattr(value, name) is not None
        }
        return found.pop("component", {}) | found
    if hasattr(value, "sha256"):
        return value.path or value.rows()
    if isinstance(value, Mapping):
        return {name: _plain(item, operational) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, operational) for item in value]
    return plain(value)


def _whole(value: Any) -> Any:
    """Write 2.0 as 2, so that a hash does not depend on how a number was written."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {name: _whole(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_whole(item) for item in value]
    return value
