"""Graphs from elsewhere: any networkx generator by name, and files."""

import csv
import dataclasses
import difflib
import inspect
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np

from society.graphs.base import GraphRule, Ties
from worlds.registry import component
from worlds.tree import doc_field

__all__ = ["FromFile", "FromNetworkx"]

Columns = Mapping[str, np.ndarray]
LARGEST_FILE = 1 << 30


@component("graph", "networkx")
@dataclasses.dataclass(frozen=True)
class FromNetworkx(GraphRule):
    """Any generator of networkx by name, with its own parameters.

    Parameters of the generator stand in ``params``. Its number of nodes, where it is called
    ``n`` and not given, is the number of agents; its seed is the graph's.
    """

    generator: str = doc_field(dataclasses.MISSING, "name, with or without _graph at the end")
    params: Mapping[str, Any] = doc_field(None, "parameters of the generator")

    def check(self, num: int, columns: Columns) -> None:
        """The generator must exist and take these parameters."""
        function = _generator(self.generator)
        try:
            _signature(function).bind(**self._arguments(function, num, 0))
        except TypeError as error:
            raise ValueError(
                f"networkx {self.generator!r}: {error}; it takes {_signature(function)}"
            ) from None

    def edges(self, num: int, rng: np.random.Generator, columns: Columns) -> Ties:
        """What networkx returns, its nodes numbered in its order."""
        import networkx

        function = _generator(self.generator)
        seed = int(rng.integers(2**31))
        try:
            graph = function(**self._arguments(function, num, seed))
        except (networkx.NetworkXException, ValueError, TypeError) as error:
            raise ValueError(f"networkx {self.generator!r} among {num} nodes: {error}") from None
        if graph.number_of_nodes() != num:
            raise ValueError(
                f"networkx {self.generator!r} made {graph.number_of_nodes()} nodes for {num} "
                f"agents; it takes {_signature(function)}: choose parameters that make {num}"
            )
        return _from_networkx(graph, list(graph.nodes))

    def _arguments(self, function: Callable[..., Any], num: int, seed: int) -> dict[str, Any]:
        names = _signature(function).parameters
        given = dict(self.params or {})
        if "n" in names and "n" not in given:
            given["n"] = num
        if "seed" in names and "seed" not in given:
            given["seed"] = seed
        return given


@component("graph", "file")
@dataclasses.dataclass(frozen=True)
class FromFile(GraphRule):
    """Ties from a GraphML file, or from a list of ties with one ``a, b[, weight]`` a line.

    Nodes are agents' numbers from 0 on, or values of an attribute that names agents. A list
    may have a header (``source,target,weight``), be separated by commas, semicolons, tabs or
    spaces, and hold comments after #.
    """

    assign: ClassVar[Literal["shuffled", "in_order"]] = "in_order"

    path: str = doc_field(dataclasses.MISSING, "file in the scenario's folder", path=True)
    match: str = doc_field("", "attribute that holds the names in the file; '' = find it")
    directed: bool = doc_field(False, "a list's ties run from the first to the second")
    weight: str = doc_field("weight", "column or edge attribute with the weights, if any")

    def check(self, num: int, columns: Columns) -> None:
        """The file must exist and be of a readable size."""
        path = Path(self.path)
        if not path.is_file():
            raise ValueError(f"there is no file {self.path!r} for the graph")
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"{self.path!r} is larger than {LARGEST_FILE} bytes")
        if self.match and self.match not in columns:
            raise ValueError(
                f"match: {self.match!r}, but attributes are {', '.join(columns) or 'none'}"
            )

    def edges(self, num: int, rng: np.random.Generator, columns: Columns) -> Ties:
        """Read the file and give its names numbers."""
        path = Path(self.path)
        if path.suffix.lower() in (".graphml", ".xml"):
            names, weights, directed = self._graphml(path)
        else:
            names, weights = self._list(path)
            directed = self.directed
        nodes = self._numbers(names, num, columns)
        return _cleaned(nodes, weights, directed, num, self.path)

    def _graphml(self, path: Path) -> tuple[np.ndarray, np.ndarray | None, bool]:
        import networkx

        head = path.read_bytes()
        if b"<!DOCTYPE" in head or b"<!ENTITY" in head:
            raise ValueError(f"{self.path!r} declares entities; remove the DOCTYPE from the file")
        try:
            graph = networkx.parse_graphml(head.decode("utf-8"), node_type=str)
        except Exception as error:  # networkx raises many kinds for a file that is no GraphML
            raise ValueError(f"{self.path!r} is no GraphML: {error}") from None
        rows = list(graph.edges(data=self.weight))
        weights = None
        if any(weight is not None for _, _, weight in rows):
            weights = np.array([1.0 if w is None else float(w) for _, _, w in rows], np.float32)
        names = np.array([(a, b) for a, b, _ in rows], dtype=object).reshape(-1, 2)
        return names, weights, graph.is_directed()

    def _list(self, path: Path) -> tuple[np.ndarray, np.ndarray | None]:
        """[E, 2] names and [E] weights of a list of ties."""
        rows = _read_rows(path, self.path)
        weight_column = 2 if rows and len(rows[0][1]) > 2 else None
        if rows and _is_header(rows):
            header = [cell.lower() for cell in rows[0][1]]
            weight_column = header.index(self.weight) if self.weight in header else None
            rows = rows[1:]
        names = np.array([cells[:2] for _, cells in rows], dtype=object).reshape(-1, 2)
        if weight_column is None:
            return names, None
        weights = np.ones(len(rows), np.float32)
        for place, (line, cells) in enumerate(rows):
            cell = cells[weight_column] if weight_column < len(cells) else ""
            try:
                weights[place] = float(cell)
            except ValueError:
                raise ValueError(f"{self.path}:{line}: weight {cell!r} is no number") from None
        return names, weights

    def _numbers(self, names: np.ndarray, num: int, columns: Columns) -> np.ndarray:
        """[E, 2] node numbers for names."""
        flat = [str(name) for name in names.ravel()]
        found = [self.match] if self.match else _candidates(flat, columns)
        if found:
            column = [str(value) for value in np.asarray(columns[found[0]]).tolist()]
            places = {value: place for place, value in enumerate(column)}
            if len(places) < len(column):
                raise ValueError(f"attribute {found[0]!r} names some agents alike; use another")
            unknown = sorted(set(flat) - set(places))
            if unknown:
                raise ValueError(
                    f"{self.path!r} names {unknown[0]!r} and {len(unknown) - 1} others that no "
                    f"agent is called in attribute {found[0]!r}"
                )
            return np.array([places[name] for name in flat], np.int64).reshape(-1, 2)
        if all(re.fullmatch(r"n?\d{1,9}", name) for name in flat):
            numbers = np.array([int(name.lstrip("n")) for name in flat], np.int64)
            if len(numbers) and numbers.max() >= num:
                raise ValueError(
                    f"{self.path!r} names node {numbers.max()}, but agents are 0 to {num - 1}"
                )
            return numbers.reshape(-1, 2)
        first = next(name for name in flat if not re.fullmatch(r"n?\d{1,9}", name))
        raise ValueError(
            f"{self.path!r} names {first!r}; give the agents an attribute with these names (and "
            "match: its name), or number them from 0"
        )


def _generator(name: str) -> Callable[..., Any]:
    """A function of networkx.generators, and nothing else."""
    import networkx

    for candidate in (name, f"{name}_graph"):
        function = getattr(networkx, candidate, None)
        if _generates(function):
            return function  # type: ignore[return-value]
    known = [each for each in dir(networkx) if _generates(getattr(networkx, each))]
    near = difflib.get_close_matches(name, [each.removesuffix("_graph") for each in known], n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    raise ValueError(f"networkx has no generator {name!r}{hint}")


def _generates(function: Any) -> bool:
    """True for functions that networkx defines among its generators."""
    module = getattr(getattr(function, "orig_func", function), "__module__", "") or ""
    return callable(function) and module.startswith("networkx.generators")


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    signature = inspect.signature(getattr(function, "orig_func", function))
    kept = [
        parameter
        for parameter in signature.parameters.values()
        if parameter.name not in ("create_using", "backend", "backend_kwargs")
    ]
    return signature.replace(parameters=kept)


def _from_networkx(graph: Any, nodes: list[Any]) -> Ties:
    place = {node: index for index, node in enumerate(nodes)}
    rows = list(graph.edges(data="weight"))
    pairs = np.array([(place[a], place[b]) for a, b, _ in rows], np.int64).reshape(-1, 2)
    weights = None
    if any(weight is not None for _, _, weight in rows):
        weights = np.array([1.0 if w is None else w for _, _, w in rows], np.float32)
    return _cleaned(pairs, weights, graph.is_directed(), len(nodes), "the generator")


def _cleaned(
    pairs: np.ndarray, weights: np.ndarray | None, directed: bool, num: int, source: str
) -> Ties:
    """Without ties to oneself; repeated ties once, if they agree on the weight."""
    pairs = np.asarray(pairs, np.int64)
    if not directed:
        pairs = np.sort(pairs, axis=1)
    kept = pairs[:, 0] != pairs[:, 1]
    pairs, weights = pairs[kept], None if weights is None else weights[kept]
    codes, first, group = np.unique(
        pairs[:, 0] * num + pairs[:, 1], return_index=True, return_inverse=True
    )
    if weights is not None:
        differing = np.flatnonzero(weights != weights[first][group])
        if len(differing):
            one, two = pairs[differing[0]]
            raise ValueError(f"{source} gives the tie {one}-{two} twice with different weights")
        weights = weights[first]
    pairs = np.stack(np.divmod(codes, max(num, 1)), 1).astype(np.int32)
    return Ties(pairs, weights, directed)


def _read_rows(path: Path, shown: str) -> list[tuple[int, list[str]]]:
    """(line number, cells) of every line that holds a tie."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{shown!r} is no UTF-8 text") from None
    lines = [line.split("#", 1)[0] for line in text.splitlines()]
    first = next((line for line in lines if line.strip()), "")
    mark = next((mark for mark in ",;\t" if mark in first), None)
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        cells = next(csv.reader([line], delimiter=mark)) if mark else line.split()
        cells = [cell.strip() for cell in cells]
        if len(cells) < 2 or not cells[0] or not cells[1]:
            raise ValueError(f"{shown}:{number}: expected two nodes, as in 'a, b', not {line!r}")
        rows.append((number, cells))
    return rows


def _is_header(rows: list[tuple[int, list[str]]]) -> bool:
    """Names of columns: known ones, or words where all else is numbers."""
    head = {cell.lower() for cell in rows[0][1][:2]}
    known = {"source", "target", "from", "to", "a", "b", "i", "j", "sender", "receiver", "u", "v"}
    rest = [cell for _, cells in rows[1:200] for cell in cells[:2]]
    numbers = bool(rest) and all(cell.lstrip("n").isdigit() for cell in rest)
    words = not any(cell.lstrip("n").isdigit() for cell in head)
    return head <= known or (numbers and words)


def _candidates(flat: list[str], columns: Columns) -> list[str]:
    """Attributes that name agents apart and hold all names of the file, ``name`` first.

    Names that are all numbers mean agents' numbers, unless there is an attribute ``id``.
    """
    wanted = set(flat)
    possible = ["id"] if all(name.isdigit() for name in wanted) else sorted(columns)
    found = []
    for name in sorted(possible, key=lambda name: name != "name"):
        column = np.asarray(columns.get(name, ()))
        if column.ndim == 1 and column.dtype.kind in "OUSiu":
            values = [str(value) for value in column.tolist()]
            if wanted <= set(values) and len(set(values)) == len(values):
                found.append(name)
    return found
