"""Pictures of who is tied to whom, for reports."""

import math
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from society.html_report.parts import Page, spoken
from society.plots import Course, courses, graph

__all__ = ["Ties", "add_graphs", "ties_of"]

_MOST_PEOPLE = 300
_MOST_BY_DISTANCE = 80


class Ties(NamedTuple):
    """A graph to draw: places in the unit square, ties between them, everybody's degree.

    Of a large graph only those near its best connected member have a place.
    """

    places: list[tuple[float, float]]
    ties: list[tuple[int, int]]
    groups: list[int]
    degrees: list[int]


def add_graphs(page: Page, scenarios: Mapping[str, Any]) -> None:
    """Add a picture of the graph of every scenario, by the name under which it is shown."""
    known = {name: ties_of(one) for name, one in scenarios.items() if one is not None}
    graphs = {name: ties for name, ties in known.items() if ties is not None}
    if not graphs:
        return
    page.section("Who is tied to whom")
    figures = []
    for name, ties in graphs.items():
        title = spoken(name).capitalize() or "Social graph"
        people, mean = len(ties.degrees), sum(ties.degrees) / max(len(ties.degrees), 1)
        page.paragraph(
            f"{title}: {people:,} individuals with {mean:.1f} ties each on average and "
            f"{max(ties.degrees, default=0):,} at most; the graph of the first seed."
        )
        remark = "size: number of ties"
        if len(ties.places) < people:
            remark = f"the {len(ties.places)} nearest to the best connected"
        svg = graph(ties.places, ties.ties, ties.groups, title=title)
        figures.append((title, remark, svg))
    if any(len(set(ties.degrees)) > 1 for ties in graphs.values()):
        lines = [_at_least(name or "ties", ties.degrees) for name, ties in graphs.items()]
        svg = courses(lines, title="Ties", x_label="number of ties", height=380)
        figures.append(("Ties", "share of people with at least so many", svg))
    page.plots(figures)


def _at_least(name: str, degrees: Sequence[int]) -> Course:
    """Share of people with at least so many ties."""
    counts = Counter(degrees)
    x = sorted({0, *counts, max(counts) + 1})
    shares = [sum(counts[d] for d in counts if d >= k) / len(degrees) for k in x]
    return Course(name, [float(d) for d in x], shares)


def ties_of(scenario: Any) -> Ties | None:
    """The graph of the first replicate, laid out; None where everybody meets everybody."""
    from society.build import make_graphs, make_population

    if scenario.graph is None or scenario.graph.rule.use == "complete":
        return None
    population = make_population(scenario)
    graph = make_graphs(scenario, population)[0]
    if graph.complete or graph.senders is None:
        return None
    num = graph.num_slots
    senders, receivers = np.asarray(graph.senders), np.asarray(graph.receivers)
    real = (senders < num) & (receivers < num)
    pairs = np.unique(np.sort(np.stack([senders[real], receivers[real]], 1), axis=1), axis=0)
    degrees = np.bincount(pairs.ravel(), minlength=num).tolist()
    group_of = np.zeros(num, int)
    for index, group in enumerate(population.groups):
        group_of[group.start : group.stop] = index
    shown = _nearest(pairs, degrees) if num > _MOST_PEOPLE else list(range(num))
    place = {slot: index for index, slot in enumerate(shown)}
    ties = [(place[a], place[b]) for a, b in pairs.tolist() if a in place and b in place]
    return Ties(_laid_out(ties, len(shown)), ties, group_of[shown].tolist(), degrees)


def _nearest(pairs: np.ndarray, degrees: Sequence[int]) -> list[int]:
    """Those whom a walk outwards from the best connected meets first."""
    neighbours: dict[int, list[int]] = {}
    for first, second in pairs.tolist():
        neighbours.setdefault(first, []).append(second)
        neighbours.setdefault(second, []).append(first)
    first = int(np.argmax(degrees))
    found, waiting = {first}, deque([first])
    while waiting and len(found) < _MOST_PEOPLE:
        for other in neighbours.get(waiting.popleft(), ()):
            if other not in found and len(found) < _MOST_PEOPLE:
                found.add(other)
                waiting.append(other)
    return sorted(found)


def _laid_out(ties: Sequence[tuple[int, int]], num: int) -> list[tuple[float, float]]:
    """Places in the unit square: by distances in small graphs, by springs in others."""
    import networkx

    net = networkx.Graph()
    net.add_nodes_from(range(num))
    net.add_edges_from(ties)
    if num <= _MOST_BY_DISTANCE:
        placed = networkx.kamada_kawai_layout(net)
    else:
        start = networkx.spectral_layout(net)
        # Spectral places of equal neighbourhoods coincide, and springs cannot part them.
        rng = np.random.default_rng(1)
        start = {node: spot + rng.normal(0, 0.02, 2) for node, spot in start.items()}
        k = 1.6 / math.sqrt(num)
        placed = networkx.spring_layout(net, seed=1, iterations=80, k=k, pos=start)
    points = np.array([placed[index] for index in range(num)])
    points = (points - points.min(0)) / np.maximum(np.ptp(points, axis=0), 1e-9)
    return [(float(x), float(y)) for x, y in points]
