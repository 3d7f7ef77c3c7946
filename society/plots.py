"""Figures as SVG texts: courses with intervals, shares, intervals by row, graphs, descent.

Drawn here rather than by a plotting package, so that a report needs no extra, loads nothing
heavy, follows the reader's light or dark theme through CSS classes, and stays sharp in
print. Colours are Okabe & Ito (2008), which people with any colour vision tell apart.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

__all__ = [
    "PALETTE",
    "STYLE",
    "Course",
    "Row",
    "bars",
    "courses",
    "descent",
    "graph",
    "number",
    "rows",
    "shares",
    "whole",
]

_LONGEST = 24  # characters of a label beside a figure; longer ones are cut
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7f7f7f", "#8c6d1f")
_DARK = ("#4fa8e0", "#f08a45", "#2fc79d", "#e39fc5", "#f2b93b", "#8fd0f5", "#a8a8a8", "#c9a94f")
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

_LIGHT_STYLE = (
    f".plot{{font:12px {_FONT}}}.plot text{{fill:#4a4f57}}.plot .axis{{stroke:#c9cdd3}}"
    ".plot .grid{stroke:#eceef1}.plot .strong{fill:#16191d;font-weight:600}"
    ".plot .theory{stroke:#16191d;stroke-dasharray:5 4}.plot .tie{stroke:#9aa1ab}"
    ".plot .halo{stroke:#fff}"
    + "".join(
        f".plot .f{i}{{fill:{c}}}.plot .s{i}{{stroke:{c}}}.plot text.f{i}{{fill:{c}}}"
        for i, c in enumerate(PALETTE)
    )
)
_DARK_STYLE = (
    "@media (prefers-color-scheme:dark){.plot text{fill:#b6bcc6}.plot .axis{stroke:#4a505a}"
    ".plot .grid{stroke:#2a2e35}.plot .strong{fill:#f2f4f7}.plot .theory{stroke:#f2f4f7}"
    ".plot .tie{stroke:#5b626d}.plot .halo{stroke:#17191d}"
    + "".join(
        f".plot .f{i}{{fill:{c}}}.plot .s{i}{{stroke:{c}}}.plot text.f{i}{{fill:{c}}}"
        for i, c in enumerate(_DARK)
    )
    + "}"
)
STYLE = _LIGHT_STYLE + _DARK_STYLE


class Course(NamedTuple):
    """A line over time: name, x, its mean, and the ends of its interval (or None)."""

    name: str
    x: Sequence[float]
    mean: Sequence[float]
    low: Sequence[float] | None = None
    high: Sequence[float] | None = None


class Row(NamedTuple):
    """A value with its interval in a row: labels, value, ends or None, single runs, theory."""

    label: str
    value: float
    ends: tuple[float, float] | None = None
    points: Sequence[float] = ()
    theory: Sequence[float] = ()
    colour: int = 0


def whole(svg: str, dark: bool = True) -> str:
    """Return a figure as a file of its own: with its styles and an XML head."""
    head, rest = svg.split(">", 1)
    style = STYLE if dark else _LIGHT_STYLE
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}><style>{style}</style>{rest}\n'


def courses(
    lines: Sequence[Course],
    *,
    title: str,
    x_label: str = "",
    width: int = 460,
    height: int = 240,
    theory: Sequence[tuple[str, float]] = (),
) -> str:
    """Draw lines over time with the bands of their intervals, each labelled at its end."""
    lines = [line for line in lines if len(line.x)]
    values = [v for line in lines for part in line[2:] if part is not None for v in part]
    values += [value for _, value in theory]
    labelled = len(lines) > 1
    room = _room([line.name for line in lines]) if labelled else 16
    steps = [x for line in lines for x in line.x]
    frame = Frame(width, height, (52, room, 30, 40), steps, values)
    parts = [*frame.axes(x_label)]
    for index, line in enumerate(lines):
        colour = index % len(PALETTE)
        if line.low is not None and line.high is not None:
            there = frame.points(line.x, line.high)
            back = frame.points(line.x[::-1], line.low[::-1])
            faint = 0.18 if len(lines) < 4 else 0.1
            parts.append(f'<path class="f{colour}" opacity="{faint}" d="M{there}L{back}Z"/>')
        parts.append(
            f'<path class="s{colour}" fill="none" stroke-width="2" stroke-linejoin="round" '
            f'd="M{frame.points(line.x, line.mean)}"/>'
        )
    if labelled:
        ends = _apart([(frame.y(line.mean[-1]), i) for i, line in enumerate(lines)], 14)
        for place, index in ends:
            name = cut(lines[index].name, _LONGEST)
            x = width - room + 6
            parts.append(
                f'<text x="{x}" y="{place + 4:.1f}" class="f{index % len(PALETTE)}">{name}</text>'
            )
    for label, value in theory:
        y = frame.y(value)
        parts.append(f'<path class="theory" d="M{frame.left} {y:.1f}H{frame.right}"/>')
        parts.append(f'<text x="{frame.left + 6}" y="{y - 5:.1f}">{escape(label)}</text>')
    return svg(width, height, title, parts)


def shares(
    names: Sequence[str],
    x: Sequence[float],
    table: Sequence[Sequence[float]],
    *,
    title: str,
    x_label: str = "",
    width: int = 460,
    height: int = 240,
) -> str:
    """Draw how shares change, stacked; ``table`` holds a row of shares for every x."""
    room = _room(names, 5)
    frame = Frame(width, height, (52, room, 30, 40), x, [0.0, 1.0], tight=True)
    parts = [*frame.axes(x_label)]
    below = [0.0] * len(x)
    middles = []
    for index in range(len(names)):
        above = [b + row[index] for b, row in zip(below, table, strict=True)]
        there, back = frame.points(x, above), frame.points(x[::-1], below[::-1])
        colour = index % len(PALETTE)
        parts.append(
            f'<path class="f{colour} halo" opacity="0.88" stroke-width="0.6" d="M{there}L{back}Z"/>'
        )
        if above and above[-1] - below[-1] > 0.004:
            middles.append((frame.y((above[-1] + below[-1]) / 2), index))
        below = above
    for place, index in _apart(middles, 14):
        label = f"{cut(names[index], _LONGEST)} {table[-1][index]:.0%}"
        x_end = width - room + 6
        parts.append(
            f'<text x="{x_end}" y="{place + 4:.1f}" class="f{index % len(PALETTE)}">{label}</text>'
        )
    return svg(width, height, title, parts)


def rows(entries: Sequence[Row], *, title: str, width: int = 720, x_label: str = "") -> str:
    """Draw one value with its interval a row, single runs as small dots, theory as a tick."""
    height = 46 + 26 * len(entries)
    values = [v for row in entries for v in (row.value, *(row.ends or ()), *row.points)]
    values += [v for row in entries for v in row.theory]
    margin = min(300, 24 + 7 * max((len(row.label) for row in entries), default=0))
    frame = Frame(width, height, (margin, 70, 8, 34), values, [0, 1], flat=True)
    parts = [*frame.axes(x_label)]
    for index, row in enumerate(entries):
        y = 8 + 26 * index + 13
        parts.append(
            f'<text x="{margin - 12}" y="{y + 4}" text-anchor="end">{cut(row.label, 40)}</text>'
        )
        for value in row.points:
            x = frame.x(value)
            parts.append(
                f'<circle class="f{row.colour}" opacity="0.3" r="2.5" cx="{x:.1f}" cy="{y}"/>'
            )
        if row.ends:
            low, high = frame.x(row.ends[0]), frame.x(row.ends[1])
            parts.append(
                f'<path class="s{row.colour}" stroke-width="2.5" stroke-linecap="round" '
                f'd="M{low:.1f} {y}H{high:.1f}"/>'
            )
        ticks = [f"M{frame.x(value):.1f} {y - 9}v18" for value in row.theory]
        parts.append(f'<path class="theory" stroke-width="1.5" d="{"".join(ticks)}"/>')
        parts.append(
            f'<circle class="f{row.colour} halo" stroke-width="1.5" r="5" '
            f'cx="{frame.x(row.value):.1f}" cy="{y}"/>'
        )
        parts.append(
            f'<text class="strong" x="{width - 62}" y="{y + 4}">{number(row.value)}</text>'
        )
    return svg(width, height, title, parts)


def bars(entries: Sequence[tuple[str, float]], *, title: str, width: int = 460) -> str:
    """Draw shares between 0 and 1 as bars with their names above."""
    height = 12 + 40 * len(entries)
    room = width - 70
    parts = []
    for index, (name, share) in enumerate(entries):
        y = 18 + 40 * index
        length = max(0.0, min(1.0, share)) * room
        parts.append(f'<text x="2" y="{y}">{cut(name, 44)}</text>')
        parts.append(
            f'<rect class="f6" opacity="0.15" rx="3" x="2" y="{y + 6}" width="{room}" '
            f'height="9"/><rect class="f{index % len(PALETTE)}" rx="3" x="2" y="{y + 6}" '
            f'width="{length:.1f}" height="9"/>'
            f'<text class="strong" x="{room + 14}" y="{y + 15}">{share:.0%}</text>'
        )
    return svg(width, height, title, parts)


def graph(
    places: Sequence[tuple[float, float]],
    ties: Sequence[tuple[int, int]],
    groups: Sequence[int],
    *,
    title: str,
    width: int = 460,
    height: int = 380,
) -> str:
    """Draw who is tied to whom; ``places`` are in the unit square, size grows with ties."""
    degree = [0] * len(places)
    for first, second in ties:
        degree[first] += 1
        degree[second] += 1
    most = max(degree, default=0) or 1
    spots = [(14 + x * (width - 28), 14 + y * (height - 28)) for x, y in places]
    weight = 1.0 if len(ties) < 600 else 0.5
    path = "".join(
        f"M{spots[a][0]:.1f} {spots[a][1]:.1f}L{spots[b][0]:.1f} {spots[b][1]:.1f}" for a, b in ties
    )
    parts = [f'<path class="tie" opacity="0.8" stroke-width="{weight}" d="{path}"/>']
    base = max(1.6, min(6.0, 60 / math.sqrt(max(len(places), 1))))
    for index, (x, y) in enumerate(spots):
        size = base * (0.6 + 0.9 * math.sqrt(degree[index] / most))
        parts.append(
            f'<circle class="f{groups[index] % len(PALETTE)} halo" stroke-width="0.7" '
            f'r="{size:.1f}" cx="{x:.1f}" cy="{y:.1f}"/>'
        )
    return svg(width, height, title, parts)


def descent(
    born: Sequence[tuple[int, int, int]],
    *,
    title: str,
    width: int = 720,
    height: int = 260,
) -> str:
    """Draw who descends from whom.

    Args:
      born: (generation, slot, slot of the parent in the generation before or -1) of everybody.
    """
    last = max((generation for generation, _, _ in born), default=0)
    slots = max((slot for _, slot, _ in born), default=0) + 1
    frame = Frame(width, height, (52, 16, 14, 38), [0, max(last, 1)], [0, slots], tight=True)
    parent = {(g, s): p for g, s, p in born}
    kept = _ancestors(parent, last)
    pale, strong = [], []
    for (generation, slot), above in parent.items():
        if above < 0 or generation == 0:
            continue
        x0, x1 = frame.x(generation - 1), frame.x(generation)
        y0, y1 = frame.y(above + 0.5), frame.y(slot + 0.5)
        middle = (x0 + x1) / 2
        curve = f"M{x0:.1f} {y0:.1f}C{middle:.1f} {y0:.1f} {middle:.1f} {y1:.1f} {x1:.1f} {y1:.1f}"
        (strong if (generation, slot) in kept else pale).append(curve)
    parts = [*frame.axes("generation", values=False)]
    parts.append(f'<path class="tie" fill="none" opacity="0.35" d="{"".join(pale)}"/>')
    parts.append(f'<path class="s0" fill="none" stroke-width="1.6" d="{"".join(strong)}"/>')
    return svg(width, height, title, parts)


def _ancestors(parent: Mapping[tuple[int, int], int], last: int) -> set[tuple[int, int]]:
    """Everybody from whom somebody in the last generation descends."""
    kept = {place for place in parent if place[0] == last}
    for generation in range(last, 0, -1):
        kept |= {
            (generation - 1, parent[place])
            for place in list(kept)
            if place[0] == generation and parent[place] >= 0
        }
    return kept


class Frame:
    """Axes: from values to places on the canvas."""

    def __init__(
        self,
        width: int,
        height: int,
        margins: tuple[int, int, int, int],
        xs: Sequence[float],
        ys: Sequence[float],
        *,
        tight: bool = False,
        flat: bool = False,
    ) -> None:
        self.left, right, self.top, bottom = margins
        self.right, self.bottom = width - right, height - bottom
        self.flat = flat
        self.least = 1.0 if not flat and all(float(x).is_integer() for x in xs) else 0.0
        self.xs = _span(xs, 0.06 if flat else 0.0)
        self.ys = _span(_with_zero(ys), 0.0 if tight or flat else 0.06)

    def x(self, value: float) -> float:
        """Place of an x value."""
        low, high = self.xs
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Place of a y value."""
        low, high = self.ys
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)

    def points(self, xs: Sequence[float], ys: Sequence[float]) -> str:
        """A path through points, thinned to what a screen shows."""
        step = max(1, len(xs) // 400)
        pairs = list(zip(xs, ys, strict=True))
        kept = pairs[::step] + ([pairs[-1]] if (len(pairs) - 1) % step else [])
        return "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in kept)

    def axes(self, x_label: str, values: bool = True) -> Sequence[str]:
        """Grid, ticks and the name of the x axis."""
        parts = []
        for tick in [] if self.flat or not values else _ticks(*self.ys):
            y = self.y(tick)
            parts.append(f'<path class="grid" d="M{self.left} {y:.1f}H{self.right}"/>')
            parts.append(
                f'<text x="{self.left - 8}" y="{y + 4:.1f}" text-anchor="end">{number(tick)}</text>'
            )
        for tick in _ticks(*self.xs, self.least):
            x = self.x(tick)
            if self.flat:
                parts.append(f'<path class="grid" d="M{x:.1f} {self.top}V{self.bottom}"/>')
            parts.append(
                f'<text x="{x:.1f}" y="{self.bottom + 17}" text-anchor="middle">'
                f"{number(tick)}</text>"
            )
        parts.append(f'<path class="axis" d="M{self.left} {self.bottom}H{self.right}"/>')
        if x_label:
            middle = (self.left + self.right) / 2
            parts.append(
                f'<text x="{middle:.0f}" y="{self.bottom + 33}" text-anchor="middle">'
                f"{escape(x_label)}</text>"
            )
        return parts


def number(value: Any) -> str:
    """A number as people write it."""
    if value is None or value != value:
        return "–"
    if abs(value) >= 1e5 or 0 < abs(value) < 1e-3:
        return f"{value:.1e}"
    if abs(value) >= 1000 or float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _span(values: Sequence[float], margin: float) -> tuple[float, float]:
    known = [v for v in values if v is not None and math.isfinite(v)] or [0.0, 1.0]
    low, high = min(known), max(known)
    if high - low < 1e-12 * max(1.0, abs(high)):
        low, high = low - 0.5, high + 0.5
    if 0 <= low < 0.25 * high:
        low = 0.0
    room = (high - low) * margin
    return low - (room if low else 0.0), high + room


def _with_zero(values: Sequence[float]) -> Sequence[float]:
    """What never changes is drawn above (or below) zero; nothing at all below one."""
    known = {v for v in values if v is not None and math.isfinite(v)}
    return (0.0, known.pop() or 1.0) if len(known) == 1 else values


def _ticks(low: float, high: float, least: float = 0.0) -> list[float]:
    """About five round numbers from low to high, ``least`` apart."""
    rough = (high - low) / 4
    scale = 10 ** math.floor(math.log10(rough))
    step = next(m * scale for m in (1, 2, 2.5, 5, 10) if m * scale >= rough * 0.9)
    step = max(step, least)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _apart(places: Sequence[tuple[float, int]], least: float) -> list[tuple[float, int]]:
    """Move labels so that they do not overlap."""
    ordered = sorted(places)
    found: list[tuple[float, int]] = []
    for place, index in ordered:
        found.append((max(place, found[-1][0] + least) if found else place, index))
    over = found[-1][0] - max(p for p, _ in ordered) if found else 0
    return [(place - over / 2, index) for place, index in found]


def _room(names: Sequence[str], more: int = 0) -> int:
    """Pixels beside a figure for labels of these names and ``more`` characters."""
    longest = max((min(len(name), _LONGEST) for name in names), default=0)
    return max(70, round(12 + 6.4 * (longest + more)))


def cut(text: str, most: int) -> str:
    text = text.replace("_", " ")
    return escape(text if len(text) <= most else text[: most - 1] + "…")


def svg(width: int, height: int, title: str, parts: Sequence[str]) -> str:
    label = escape(title, {'"': "&quot;"})
    return (
        f'<svg class="plot" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img" aria-label="{label}">'
        f"<title>{escape(title)}</title>{''.join(parts)}</svg>"
    )
