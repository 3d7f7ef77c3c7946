"""What a person reads of a run's surveys: one row for each question and time."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.table import Table

__all__ = ["survey_table"]

_MOST_ROWS = 24
_MOST_OPTIONS = 6


def survey_table(surveys: Mapping[str, Any]) -> Table | None:
    """The answers in ``summary["surveys"]`` as a table, or None where there are none."""
    rows = [
        (survey, question, entry)
        for survey, questions in surveys.items()
        for question, entries in questions.items()
        for entry in entries
    ]
    if not rows:
        return None
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("survey", overflow="fold")
    table.add_column("question", overflow="fold")
    for name in ("step", "asked", "mean", "right"):
        table.add_column(name, justify="right")
    table.add_column("answers", overflow="fold")
    for survey, question, entry in rows[:_MOST_ROWS]:
        table.add_row(
            survey,
            question,
            f"{entry['step']:,}",
            f"{entry['asked']:,}",
            "" if entry.get("mean") is None else f"{entry['mean']:.3g}",
            "" if entry.get("right") is None else f"{entry['right']:.0%}",
            _answers(entry),
        )
    if len(rows) > _MOST_ROWS:
        table.caption = f"and {len(rows) - _MOST_ROWS} more in summary.json"
    return table


def _answers(entry: Mapping[str, Any]) -> str:
    """Shares of the options where they are known, counts otherwise."""
    if entry.get("shares"):
        shown = [f"{_short(name)} {share:.0%}" for name, share in entry["shares"].items()]
    else:
        shown = [f"{_short(name)} {count}" for name, count in entry["counts"].items()]
    said = ", ".join(shown[:_MOST_OPTIONS]) + (", ..." if len(shown) > _MOST_OPTIONS else "")
    return f"{said}; {entry['unread']} unread" if entry["unread"] else said


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= 40 else f"{text[:39]}…"
