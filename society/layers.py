"""Where every value of a scenario comes from: a file, what it extends, or a change to it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from society.errors import Problem, ScenarioError, nearest
from society.files import inside
from society.overrides import OverrideError, put, split_path
from society.yaml_safe import Mark, Source, read

__all__ = ["Layer", "Layers", "compose", "put_all"]

_DEEPEST = 8


@dataclasses.dataclass(frozen=True)
class Layer:
    """Values at and below the path ``at`` stand in ``source`` at and below ``prefix``.

    column: added to columns of the first line.
    told_at: the path that messages name, if it is another.
    """

    at: tuple[str, ...]
    source: Source
    prefix: tuple[str, ...] = ()
    column: int = 0
    told_at: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Layers:
    """All layers of a scenario, later ones over earlier ones, and the folders of its files."""

    layers: tuple[Layer, ...]
    folders: tuple[Path, ...]

    @classmethod
    def of(cls, source: Source, folders: tuple[Path, ...]) -> "Layers":
        """One file."""
        return cls((Layer((), source),), folders)

    def over(self, at: tuple[str, ...], source: Source, prefix: tuple[str, ...]) -> "Layers":
        """Add a layer."""
        return dataclasses.replace(self, layers=(*self.layers, Layer(at, source, prefix)))

    def over_command_line(self, at: tuple[str, ...], text: str, column: int) -> "Layers":
        """Add an argument ``path=value``, whose value begins at a column."""
        source = Source(f"--set {text}", text[column - 1 :], None)
        layer = Layer(at, source, (), column - 1)
        return dataclasses.replace(self, layers=(*self.layers, layer))

    def under(
        self, at: tuple[str, ...], stands_at: tuple[str, ...], told_at: tuple[str, ...]
    ) -> "Layers":
        """Add a layer whose values stand at another path of the scenario (in its sweep).

        Problems below ``at`` are then told at ``told_at``.
        """
        layer, wanted = self._nearest(stands_at)[:2]
        mine = dataclasses.replace(layer, at=at, prefix=wanted, told_at=told_at)
        return dataclasses.replace(self, layers=(*self.layers, mine))

    def problem(self, path: tuple[str, ...], message: str) -> Problem:
        """Describe what is wrong with a path, at the place that comes nearest to it."""
        layer, _, depth, mark = self._nearest(path)
        on_key = depth < len(path) or message.startswith(("unknown key", "a name has"))
        line, column = mark.key if on_key else mark.value
        if line == 1:
            column += layer.column
        where = ".".join(path)
        if layer.told_at:
            message = f"{where}: {message}"
            where = ".".join(layer.told_at)
        return Problem(layer.source.name, line, column, where, message)

    def _nearest(self, path: tuple[str, ...]) -> tuple[Layer, tuple[str, ...], int, Mark]:
        """The layer that holds most of a path, the path there, how much of it, and where."""
        best: tuple[Layer, tuple[str, ...], int, Mark] | None = None
        for layer in reversed(self.layers):
            if path[: len(layer.at)] != layer.at:
                continue
            wanted = layer.prefix + path[len(layer.at) :]
            found, mark = layer.source.find(wanted)
            depth = len(layer.at) + found - len(layer.prefix)
            if best is None or depth > best[2]:
                best = (layer, wanted, depth, mark)
        assert best is not None  # every scenario begins with a layer for all of it
        return best

    def order(self, problem: Problem) -> tuple[int, int, int]:
        """Sort key: files in the order of layers, then lines."""
        names = [layer.source.name for layer in self.layers]
        index = names.index(problem.file) if problem.file in names else len(names)
        return index, problem.line, problem.column


def compose(path: Path, shipped: Mapping[str, Path]) -> tuple[dict[str, Any], Layers]:
    """Read a file over what it extends, with its ``set`` put over both.

    Raises:
      ScenarioError: A file cannot be read, a chain of ``extends`` is circular, or ``set``
        cannot be applied.
    """
    return _compose(path, str(path), shipped, ())


def put_all(
    tree: dict[str, Any], changes: Mapping[tuple[str, ...], Any], layers: Layers
) -> tuple[dict[str, Any], list[Problem]]:
    """Put changes over a tree; returns it with the problems of those that cannot be made."""
    problems = []
    for path, value in changes.items():
        try:
            tree = put(tree, path, value)
        except OverrideError as error:
            problems.append(layers.problem(path, str(error)))
    return tree, problems


def _compose(
    path: Path, name: str, shipped: Mapping[str, Path], above: tuple[Path, ...]
) -> tuple[dict[str, Any], Layers]:
    source = read(path, name)
    if not isinstance(source.data, Mapping):
        raise ScenarioError(Problem(name, 1, 1, "", "a scenario is a map with world: and groups:"))
    own = dict(source.data)
    layers = Layers.of(source, (path.parent,))
    base, changes = own.pop("extends", None), own.pop("set", None)
    if base is None:
        if changes is not None:
            message = "set changes the scenario that extends names, but there is no extends"
            raise ScenarioError(layers.problem(("set",), message))
        return own, layers
    base_path = _base(base, path, shipped, layers, (*above, path.resolve()))
    tree, below = _compose(base_path, str(base_path), shipped, (*above, path.resolve()))
    folders = (path.parent, *(f for f in below.folders if f != path.parent))
    layers = Layers(below.layers, folders)
    for key in ("extends", "set", *own):
        layers = layers.over((key,), source, (key,))
    tree = tree | own
    return _set(tree, changes, layers, source)


def _base(
    base: Any, path: Path, shipped: Mapping[str, Path], layers: Layers, above: tuple[Path, ...]
) -> Path:
    at = ("extends",)
    if not isinstance(base, str):
        raise ScenarioError(layers.problem(at, f"expected a scenario's name or file, not {base!r}"))
    found = shipped.get(base)
    if found is None:
        try:
            found = inside((path.parent,), base)
        except ValueError as error:
            hint = nearest(base, shipped) if "." not in base else ""
            raise ScenarioError(layers.problem(at, f"{error}{hint}")) from None
    if found.resolve() in above:
        raise ScenarioError(
            layers.problem(at, f"{base!r} extends itself, directly or through others")
        )
    if len(above) >= _DEEPEST:
        raise ScenarioError(layers.problem(at, f"more than {_DEEPEST} files extend each other"))
    return found


def _set(
    tree: dict[str, Any], changes: Any, layers: Layers, source: Source
) -> tuple[dict[str, Any], Layers]:
    if changes is None:
        return tree, layers
    if not isinstance(changes, Mapping):
        raise ScenarioError(layers.problem(("set",), "expected a map from path to value"))
    problems: list[Problem] = []
    for text, value in changes.items():
        try:
            path = split_path(text)
        except OverrideError as error:
            problems.append(layers.problem(("set", text), str(error)))
            continue
        layers = layers.over(path, source, ("set", text))
        tree, found = put_all(tree, {path: value}, layers)
        problems.extend(found)
    if problems:
        raise ScenarioError(problems)
    return tree, layers
