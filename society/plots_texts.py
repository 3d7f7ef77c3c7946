"""Figures of culture in texts: matrices of likeness, first against last, trees."""

from collections.abc import Sequence
from typing import NamedTuple

from society.measures.text_phylogeny import Branch
from society.plots import PALETTE, Frame, cut, number, svg

__all__ = ["Points", "heatmap", "scatter", "tree"]


def heatmap(
    table: Sequence[Sequence[float]],
    *,
    title: str,
    labels: Sequence[str],
    x_label: str = "",
    width: int = 460,
    height: int = 420,
) -> str:
    """Draw a square table of numbers as shades, from its least to its largest; NaN stays empty."""
    known = [value for row in table for value in row if value == value]
    low, high = min(known, default=0.0), max(known, default=1.0)
    reach = (high - low) or 1.0
    left, top, right, bottom = 46, 26, width - 74, height - 40
    step_x, step_y = (right - left) / len(table[0]), (bottom - top) / len(table)
    parts = []
    for i, row in enumerate(table):
        for j, value in enumerate(row):
            if value != value:
                continue
            shade = 0.06 + 0.94 * (value - low) / reach
            x, y = left + j * step_x, top + i * step_y
            size = f'width="{step_x + 0.3:.1f}" height="{step_y + 0.3:.1f}"'
            told = f"{cut(labels[i], 20)}, {cut(labels[j], 20)}: {number(value)}"
            parts.append(
                f'<rect class="f0" opacity="{shade:.3f}" x="{x:.1f}" y="{y:.1f}" {size}>'
                f"<title>{told}</title></rect>"
            )
    shown = range(0, len(labels), max(1, -(-len(labels) // 10)))
    for index in shown:
        x, y = left + (index + 0.5) * step_x, top + (index + 0.5) * step_y + 4
        name = cut(labels[index], 6)
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{name}</text>')
        parts.append(f'<text x="{left - 6}" y="{y:.1f}" text-anchor="end">{name}</text>')
    middle = (left + right) / 2
    parts.append(f'<text x="{middle:.0f}" y="{height - 6}" text-anchor="middle">{x_label}</text>')
    for place, value in ((top, high), (bottom - 14, low)):
        shade = 0.06 if value == low else 1.0
        parts.append(
            f'<rect class="f0" opacity="{shade}" x="{right + 12}" y="{place}" width="14" '
            f'height="14"/><text x="{right + 31}" y="{place + 11}">{number(value)}</text>'
        )
    return svg(width, height, title, parts)


class Points(NamedTuple):
    """Points of a scatter: x, y, and the colour's number."""

    x: Sequence[float]
    y: Sequence[float]
    colour: int = 0


def scatter(
    points: Sequence[Points],
    *,
    title: str,
    x_label: str,
    lines: Sequence[tuple[str, float, float]] = (),
    width: int = 460,
    height: int = 300,
) -> str:
    """Draw points, and lines ``name, intercept, slope`` across them."""
    xs = [float(value) for one in points for value in one.x] or [0.0, 1.0]
    ys = [float(value) for one in points for value in one.y] or [0.0, 1.0]
    frame = Frame(width, height, (52, 92, 24, 40), xs, ys)
    parts = [*frame.axes(x_label)]
    ends = min(xs), max(xs)
    for name, intercept, slope in lines:
        there = [(x, intercept + slope * x) for x in ends]
        low, high = frame.ys
        if not all(low <= y <= high for _, y in there):
            there = _within(intercept, slope, ends, (low, high))
        if not there:
            continue
        path = "L".join(f"{frame.x(x):.1f} {frame.y(y):.1f}" for x, y in there)
        parts.append(f'<path class="theory" fill="none" d="M{path}"/>')
        x, y = there[-1]
        parts.append(
            f'<text x="{frame.x(x) + 6:.1f}" y="{frame.y(y) + 4:.1f}">{cut(name, 14)}</text>'
        )
    for one in points:
        parts += [
            f'<circle class="f{one.colour % len(PALETTE)}" opacity="0.6" r="4" '
            f'cx="{frame.x(float(x)):.1f}" cy="{frame.y(float(y)):.1f}"/>'
            for x, y in zip(one.x, one.y, strict=True)
        ]
    return svg(width, height, title, parts)


def _within(
    intercept: float, slope: float, xs: tuple[float, float], ys: tuple[float, float]
) -> list[tuple[float, float]]:
    """The part of a line that lies in a box."""
    if slope == 0:
        return []
    at = sorted((y - intercept) / slope for y in ys)
    low, high = max(xs[0], at[0]), min(xs[1], at[1])
    return [(x, intercept + slope * x) for x in (low, high)] if low < high else []


def tree(
    branches: Sequence[Branch],
    names: Sequence[str],
    groups: Sequence[int],
    *,
    title: str,
    width: int = 720,
) -> str:
    """Draw a tree from left to right, leaves in colours of their groups, ways to scale."""
    below: dict[int, list[Branch]] = {}
    for branch in branches:
        below.setdefault(branch.parent, []).append(branch)
    root = branches[-1].parent
    depth, order = {root: 0.0}, [root]
    for node in order:  # grows: parents before their children
        for branch in below.get(node, ()):
            depth[branch.child] = depth[node] + branch.length
            order.append(branch.child)
    leaves: list[int] = []
    stack = [root]
    while stack:
        node = stack.pop()
        if node in below:
            stack.extend(branch.child for branch in reversed(below[node]))
        else:
            leaves.append(node)
    row = {leaf: float(place) for place, leaf in enumerate(leaves)}
    for node in reversed(order):
        if node in below:
            rows = [row[branch.child] for branch in below[node]]
            row[node] = sum(rows) / len(rows)
    reach = max(depth.values()) or 1.0
    height = 24 + 15 * len(leaves)
    spot = {n: (14 + depth[n] / reach * (width - 130), 16 + 15 * row[n]) for n in order}
    path = []
    for branch in branches:
        (x0, y0), (x1, y1) = spot[branch.parent], spot[branch.child]
        path.append(f"M{x0:.1f} {y0:.1f}V{y1:.1f}H{x1:.1f}")
    parts = [f'<path class="tie" fill="none" stroke-width="1.4" d="{"".join(path)}"/>']
    for leaf in leaves:
        x, y = spot[leaf]
        colour = groups[leaf] % len(PALETTE)
        parts.append(f'<circle class="f{colour}" r="3.5" cx="{x:.1f}" cy="{y:.1f}"/>')
        parts.append(f'<text x="{x + 8:.1f}" y="{y + 4:.1f}">{cut(names[leaf], 14)}</text>')
    return svg(width, height, title, parts)
