"""Maps as parameters of worlds, which must be hashable to be part of a program."""

from collections.abc import Mapping
from typing import Any

__all__ = ["frozen", "thawed"]


def frozen(value: Any) -> Any:
    """Maps and lists as nested tuples; what is frozen already stays as it is."""
    if isinstance(value, Mapping):
        return ("map", *((str(name), frozen(part)) for name, part in value.items()))
    if isinstance(value, list | tuple) and not (value and value[0] == "map"):
        return ("list", *map(frozen, value)) if not (value and value[0] == "list") else value
    return value


def thawed(value: Any) -> Any:
    """What ``frozen`` was given."""
    if isinstance(value, tuple) and value and value[0] == "map":
        return {name: thawed(part) for name, part in value[1:]}
    if isinstance(value, tuple) and value and value[0] == "list":
        return [thawed(part) for part in value[1:]]
    return value
