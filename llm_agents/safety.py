"""How texts of others enter a prompt: neutralised, marked line by line, in the user's part."""

from collections.abc import Mapping
from typing import Any

from worlds.text_safety import datamark, neutralise

__all__ = ["marked", "one_line", "plain_values"]


def marked(text: str, *seed: object) -> str:
    """Another agent's text (advice), with a mark of its own before every line."""
    return datamark(text, "/".join(map(str, seed)))


def one_line(text: str, longest_chars: int = 600) -> str:
    """A text on one line, neutralised and cut."""
    line = " ".join(neutralise(str(text)).split())
    return line if len(line) <= longest_chars else line[: longest_chars - 1] + "…"


def plain_values(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes for a persona template: texts neutralised, they may come from any table."""
    return {
        name: one_line(value, 2000) if isinstance(value, str) else value
        for name, value in attributes.items()
    }
