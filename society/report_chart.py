"""A course over generations as a picture of characters, for the end of a run."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

__all__ = ["chart", "generation_chart"]

HEIGHT = 8
WIDTH = 60
ENDING = "_by_generation"
LEAST = 3  # generations below which a picture shows nothing
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # of a braille sign, top down


def generation_chart(measures: Mapping[str, Any]) -> Text | None:
    """The first measure that was followed over generations, drawn; None where there is none."""
    for name, values in measures.items():
        if name.endswith(ENDING) and isinstance(values, list) and len(values) >= LEAST:
            numbers = [_number(value) for value in values]
            if sum(value is not None for value in numbers) >= LEAST:
                title = f"{name.removesuffix(ENDING).replace('_', ' ')} by generation"
                return chart(numbers, title)
    return None


def chart(values: Sequence[float | None], title: str) -> Text:
    """Draw values from left to right as a line of braille dots between labelled axes.

    Args:
      values: one for each place; None leaves a gap.
      title: written above.

    Returns:
      HEIGHT + 3 lines of at most WIDTH + 12 signs.
    """
    known = [value for value in values if value is not None]
    low, high = _limits(min(known), max(known))
    width = min(WIDTH, max(24, 4 * len(values)))
    dots = [[0] * width for _ in range(HEIGHT)]
    for column, row in _line(values, low, high, 2 * width, 4 * HEIGHT):
        dots[row // 4][column // 2] |= _DOTS[row % 4][column % 2]
    labels = {0: f"{high:g}", HEIGHT - 1: f"{low:g}"}
    margin = max(map(len, labels.values())) + 1
    text = Text(f" {' ' * margin}{title}\n", "bold")
    for index, row in enumerate(dots):
        text.append(f" {labels.get(index, ''):>{margin}}", "dim")
        text.append("┤" if index in labels else "│", "dim")
        text.append("".join(chr(0x2800 + sign) if sign else " " for sign in row) + "\n", "cyan")
    ends = f"0{len(values) - 1!s:>{width - 1}}"
    text.append(f" {' ' * margin}└{'─' * width}\n {' ' * margin} {ends}", "dim")
    return text


def _line(
    values: Sequence[float | None], low: float, high: float, columns: int, rows: int
) -> list[tuple[int, int]]:
    """Dots of the line through the known values: (column, row from the top)."""
    points = [
        (
            round(place * (columns - 1) / (len(values) - 1)),
            round((high - value) / (high - low) * (rows - 1)),
        )
        for place, value in enumerate(values)
        if value is not None
    ]
    dots = list(points[:1])
    for (left, above), (right, below) in itertools.pairwise(points):
        steps = max(right - left, abs(below - above), 1)
        dots += [
            (
                round(left + (right - left) * step / steps),
                round(above + (below - above) * step / steps),
            )
            for step in range(1, steps + 1)
        ]
    return dots


def _limits(low: float, high: float) -> tuple[float, float]:
    """Round numbers that hold the values; shares and the like are shown from 0 to 1."""
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    span = (high - low) or abs(high) or 1.0
    unit = 10.0 ** math.floor(math.log10(span))
    return math.floor(low / unit) * unit, math.ceil(high / unit + 1e-9) * unit


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
