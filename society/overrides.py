"""One grammar for every change to a scenario: put this value at this dotted path.

``--set path=value``, ``set:``, sweep conditions and factors all come through ``put``.
Maps merge; naming another ``use`` drops the old component's parameters; ``null`` removes
an entry, which restores its default. The trees are plain data, and never changed in place.
"""

import re
from collections.abc import Mapping
from typing import Any

from society.yaml_safe import parse

__all__ = ["EXTRAS", "OverrideError", "parse_assignment", "put", "split_path"]

# Keys that stand beside a component without being its parameters, by the path of the
# component ("*" is any name). They stay when another ``use`` is named.
EXTRAS: dict[tuple[str, ...], tuple[str, ...]] = {
    ("graph",): ("assign", "seed", "rewire"),
    ("channels", "*"): ("to", "mode", "when", "rounds", "inbox", "graph"),
    ("interventions", "*"): ("at", "who"),
    ("selection",): ("fitness", "among"),
}
_PART = re.compile(r"[^\s.=:]+\Z")
_NAME = re.compile(r"[a-z][a-z0-9_]*\Z|[\w.]+:\w+\Z")


class OverrideError(ValueError):
    """A change cannot be made; ``path`` says where."""

    def __init__(self, path: tuple[str, ...], message: str) -> None:
        self.path = path
        super().__init__(message)


def parse_assignment(text: str) -> tuple[tuple[str, ...], Any, int]:
    """Split ``path=value``; returns the path, the value read as YAML, and the value's column.

    >>> parse_assignment("world.noise=1e-3")
    (('world', 'noise'), 0.001, 13)

    Raises:
      OverrideError: No ``=``, or the path is malformed.
      ScenarioError: The value is no acceptable YAML.
    """
    path, equals, value = text.partition("=")
    if not equals:
        raise OverrideError((), f"{text!r} has no '='; write path=value, as in world.rounds=20")
    return split_path(path.strip()), parse(value, f"--set {text}"), len(path) + 2


def split_path(path: str) -> tuple[str, ...]:
    """Split a dotted path.

    Raises:
      OverrideError: A part is empty or holds spaces, '=' or ':'.
    """
    parts = tuple(path.split("."))
    if not all(_PART.match(part) for part in parts):
        raise OverrideError((), f"{path!r} is no path; write names joined by dots: world.rounds")
    return parts


def put(tree: Mapping[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return the tree with a value at a path.

    Raises:
      OverrideError: Something on the way is a list, a number or a text.
    """
    return _put(tree, path, value, ())


def _put(node: Any, path: tuple[str, ...], value: Any, here: tuple[str, ...]) -> dict[str, Any]:
    entries = _entries(node, here)
    head, rest = path[0], path[1:]
    if rest:
        old = entries.get(head)
        if value is None and old is None:
            return entries
        entries[head] = _put(old, rest, value, (*here, head))
        return entries
    if head == "use" and value != entries.get("use") and isinstance(value, str | None):
        entries = {name: entries[name] for name in _extras(here) if name in entries}
        return entries if value is None else {"use": value, **entries}
    if value is None:
        entries.pop(head, None)
    else:
        entries[head] = _merge(entries.get(head), value, (*here, head))
    return entries


def _merge(old: Any, new: Any, here: tuple[str, ...]) -> Any:
    """What stands at a path after ``new`` was put over ``old``."""
    if isinstance(new, str) and isinstance(old, Mapping) and "use" in old:
        new = {"use": new}
    if not isinstance(new, Mapping) or set(new) == {"file"}:  # a text that stands in a file
        return new
    if isinstance(old, str) and _NAME.match(old):
        old = {"use": old}
    base: dict[str, Any] = dict(old) if isinstance(old, Mapping) else {}
    if "use" in new:  # first, so that what drops the old parameters keeps the new ones
        base = _put(base, ("use",), new["use"], here)
    for name, value in new.items():
        if name != "use":
            base = _put(base, (name,), value, here)
    return base


def _entries(node: Any, here: tuple[str, ...]) -> dict[str, Any]:
    if node is None:
        return {}
    if isinstance(node, Mapping):
        return dict(node)
    if isinstance(node, str) and _NAME.match(node):
        return {"use": node}
    kind = "a list" if isinstance(node, list) else f"the value {str(node)[:30]!r}"
    raise OverrideError(here, f"{'.'.join(here)} is {kind}, which has no entries; replace it whole")


def _extras(here: tuple[str, ...]) -> tuple[str, ...]:
    for pattern, names in EXTRAS.items():
        if len(pattern) == len(here) and all(
            part in ("*", given) for part, given in zip(pattern, here, strict=True)
        ):
            return names
    return ()
