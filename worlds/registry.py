"""One door for every kind of component: built in, installed, or named by a dotted path.

A built-in component is a class under ``@component(kind, name)`` anywhere in this
project's packages; nothing else lists it, so adding one touches one file. The packages'
sources are searched for that line as text, so listing components imports none of them.
Installed packages add names through the entry-point group ``society.<kind>``.
"""

import dataclasses
import difflib
import functools
import importlib
import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

__all__ = ["KINDS", "Entry", "UnknownComponentError", "component", "entries", "load", "make"]

KINDS = (
    "world",
    "policy",
    "learner",
    "backend",
    "graph",
    "rewire",
    "attach",
    "channel",
    "selection",
    "transmission",
    "intervention",
    "measure",
    "distribution",
    "memory",
    "embedding",
)
PACKAGES = ("worlds", "rl_agents", "llm_agents", "society")

_MARK = re.compile(
    r'^@component\(\s*"(?P<kind>\w+)",\s*"(?P<name>\w+)"\s*\)\n'
    r"(?:@[^\n]*\n)*class (?P<cls>\w+)[^\n]*?(?:\n[^\n]*?)*?:\n\s+\"\"\"(?P<summary>[^\n]*)",
    re.MULTILINE,
)
Class = TypeVar("Class", bound=type)


@dataclasses.dataclass(frozen=True)
class Entry:
    """A component that can be named: its kind, name, target "module:Class" and first line."""

    kind: str
    name: str
    target: str
    summary: str
    builtin: bool = True


class UnknownComponentError(LookupError):
    """No component has that name; the message names the nearest ones."""


def component(kind: str, name: str) -> Callable[[Class], Class]:
    """Declare a class as the component ``name`` of a kind (literal strings only)."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; kinds are {', '.join(KINDS)}")

    def declare(cls: Class) -> Class:
        cls.component_kind = kind  # type: ignore[attr-defined]
        cls.component_name = name  # type: ignore[attr-defined]
        return cls

    return declare


def entries(kind: str) -> dict[str, Entry]:
    """Return all named components of a kind, built-in ones first, sorted by name."""
    found = {entry.name: entry for entry in _builtin() if entry.kind == kind}
    for point in _points(importlib.metadata.entry_points, f"society.{kind}", tuple(sys.path)):
        found.setdefault(
            point.name,
            Entry(kind, point.name, point.value, f"from {point.value.split(':')[0]}", False),
        )
    return dict(sorted(found.items(), key=lambda item: (not item[1].builtin, item[0])))


def load(kind: str, name: str, *, allow_code: bool = False) -> type:
    """Import the class that a name or a dotted path ``module:Class`` stands for.

    Raises:
      UnknownComponentError: No such name.
      PermissionError: A dotted path without ``allow_code``.
    """
    if ":" in name:
        if not allow_code:
            raise PermissionError(
                f"{kind} {name!r} runs code from a file; pass --allow-code if you trust it"
            )
        return _import(name)
    known = entries(kind)
    if name not in known:
        raise UnknownComponentError(_unknown(kind, name, list(known)))
    return _import(known[name].target)


def make(name: str, **params: Any) -> Any:
    """Make a world by name: ``make("donor_game", rounds=12)``.

    Raises:
      UnknownComponentError: No such world.
      TypeError, ValueError: A parameter that the world does not have or cannot take.
    """
    from worlds.tree import as_arrays

    world = load("world", name, allow_code=True)(**params)
    world.check_params()
    return as_arrays(world)


def _import(target: str) -> type:
    module, _, attribute = target.partition(":")
    found = getattr(importlib.import_module(module), attribute, None)
    if found is None:
        raise UnknownComponentError(f"module {module!r} has no {attribute!r}")
    return found


def _unknown(kind: str, name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"no {kind} is called {name!r}{hint} (society list {kind} shows {len(known)})"


@functools.cache
def _points(find: Callable[..., Any], group: str, path: tuple[str, ...]) -> tuple[Any, ...]:
    """Entry points of a group; reading the metadata of all packages anew takes 40 ms."""
    return tuple(find(group=group))


@functools.cache
def _builtin() -> tuple[Entry, ...]:
    found: list[Entry] = []
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        for root in (spec.submodule_search_locations or []) if spec else []:
            for path in sorted(Path(root).rglob("*.py")):
                found.extend(_scan(path, Path(root), package))
    return tuple(found)


def _scan(path: Path, root: Path, package: str) -> list[Entry]:
    source = path.read_text(encoding="utf-8")
    if "@component(" not in source:
        return []
    parts = path.relative_to(root).with_suffix("").parts
    module = ".".join((package, *(part for part in parts if part != "__init__")))
    return [
        Entry(
            match["kind"],
            match["name"],
            f"{module}:{match['cls']}",
            match["summary"].rstrip('"').strip(),
        )
        for match in _MARK.finditer(source)
    ]
