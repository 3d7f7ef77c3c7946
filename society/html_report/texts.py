"""Culture in texts for reports: courses, likeness of rounds, attractors and trees."""

import contextlib
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import networkx as nx
import numpy as np

from society.html_report.history import course_of
from society.html_report.parts import Page, spoken
from society.journal import Journal, JournalError
from society.measures.culture import chains_of, ends_of_chains
from society.measures.text_phylogeny import neighbour_joining, newick_of, text_distances
from society.measures.text_style import by_round, installed_properties, property_of
from society.measures.texts import (
    Told,
    latest,
    rounds_of,
    similarity_matrix,
    ties_of_graph,
    vectors_by_round,
)
from society.plots import Course, courses
from society.plots_texts import Points, heatmap, scatter, tree

__all__ = ["add_texts"]

_MOST_LEAVES = 40
_TOGETHER = ("similarity_to_first", "similarity_within", "similarity_successive")
_ALONE = ("cumulative_change", "words_hill_1", "distinct_2", "mtld", "length", "polarity",
          "difficulty", "reading_ease")  # fmt: skip


class _Texts(NamedTuple):
    """Texts of one replicate, those given at first, and who was tied to whom."""

    seed: int
    rounds: list[list[Told]]
    given: list[list[Told]]
    ties: nx.Graph | None
    num: int


def add_texts(page: Page, runs: Sequence[Path], summary: Mapping[str, Any], scenario: Any) -> None:
    """Add what became of texts, where the world tells any."""
    told = [one for run in runs for one in _read(run, scenario)]
    if not told:
        return
    page.section("Texts")
    page.paragraph(
        "Likeness is the mean cosine of TF-IDF vectors: of all texts of a round with those of "
        "another one. Numbers behind the figures lie in report_tables."
    )
    names = installed_properties()
    tables = [by_round(one.rounds, names) for one in told]
    _add_courses(page, told, tables)
    _add_matrices(page, told, summary["measures"])
    _add_attractors(page, told, names)
    _add_tree(page, told[0])


def _read(run: Path, scenario: Any) -> list[_Texts]:
    seeds = json.loads((run / "summary.json").read_text(encoding="utf-8"))["seeds"]
    graphs, num = _graphs(scenario, len(seeds))
    found = []
    with (
        contextlib.suppress(JournalError),
        Journal.open(run / "journal.sqlite", readonly=True) as journal,
    ):
        for index, seed in enumerate(seeds):
            events = journal.events(index, "world")
            rounds, given = rounds_of(events), rounds_of(events, "given")
            if len(rounds) > 1:
                slots = 1 + max(one.slot for told in [*rounds, *given] for one in told)
                size = max(num, slots)
                ties = ties_of_graph(graphs[index], size)
                found.append(_Texts(seed, rounds, given[:1], ties, size))
    return found


def _graphs(scenario: Any, seeds: int) -> tuple[Sequence[Any], int]:
    """The graph of every seed at the beginning, and how many slots there are."""
    from society.build import make_graphs, make_population

    if scenario is None or scenario.graph is None:
        return [None] * seeds, 0
    population = make_population(scenario)
    graphs = make_graphs(scenario, population)
    return graphs, graphs[0].num_slots


def _add_courses(page: Page, told: list[_Texts], tables: list[dict[str, list[float]]]) -> None:
    names = list(tables[0])
    rows = [
        [one.seed, number, *(None if math.isnan(table[n][number]) else table[n][number]
                             for n in names)]
        for one, table in zip(told, tables, strict=True)
        for number in range(len(one.rounds))
    ]  # fmt: skip
    page.tables["text_rounds"] = (["seed", "round", *names], rows)
    found: dict[str, Course] = {}
    for name in (*_TOGETHER, *_ALONE):
        parts = [
            (np.arange(len(table[name]), dtype=float), np.asarray(table[name], float))
            for table in tables
            if name in table
        ]
        course = course_of(spoken(name.removeprefix("similarity_")), parts) if parts else None
        if course is not None:
            found[name] = course
    figures = []
    alike = [found[name] for name in _TOGETHER if name in found]
    if alike:
        svg = courses(alike, title="Likeness of texts", x_label="round")
        figures.append(("Likeness of texts", _remark(told), svg))
    for name in _ALONE:
        if name in found:
            svg = courses([found[name]], title=spoken(name), x_label="round")
            figures.append((spoken(name).capitalize(), _remark(told), svg))
    if figures:
        page.plots(figures)


def _remark(told: list[_Texts]) -> str:
    few = 1 < len(told) < 5
    if few:
        return f"mean and range of {len(told)} runs"
    return "mean and 95 % interval over runs" if len(told) > 1 else ""


def _add_matrices(page: Page, told: list[_Texts], measures: Mapping[str, Any]) -> None:
    made = [np.array(similarity_matrix(vectors_by_round(one.rounds))) for one in told]
    same = [one for one in made if one.shape == made[0].shape]
    figures = []
    shown = {"TF-IDF": np.mean(same, axis=0)}
    meant = measures.get("embedding_similarity_matrix")
    if isinstance(meant, list) and np.ndim(meant) == 2:
        shown["embedding"] = np.array(meant, float)
    listed = np.unique(np.linspace(0, len(told[0].rounds) - 1, len(made[0])).round().astype(int))
    for name, matrix in shown.items():
        labels = [str(number) for number in listed[: len(matrix)]]
        title = f"Likeness of rounds ({name})"
        svg = heatmap(matrix.tolist(), title=title, labels=labels, x_label="round")
        remark = f"mean over {len(same)} runs" if len(same) > 1 else "one run"
        figures.append((title, remark, svg))
        key = "text_similarity_matrix" if name == "TF-IDF" else "text_embedding_matrix"
        rows = [
            [int(listed[i]), int(listed[j]), None if math.isnan(value) else float(value)]
            for i, row in enumerate(matrix)
            for j, value in enumerate(row)
        ]
        page.tables[key] = (["round", "other_round", "similarity"], rows)
    page.plots(figures)


def _add_attractors(page: Page, told: list[_Texts], names: Sequence[str]) -> None:
    """Last against first value of every chain, one figure a property."""
    figures, rows = [], []
    for name in names:
        points, firsts, lasts = [], [], []
        for number, one in enumerate(told):
            parts = chains_of(one.ties, one.num)
            first, last = ends_of_chains([*one.given, *one.rounds], parts, property_of(name))
            if len(first) < 3:
                continue
            points.append(Points(first.tolist(), last.tolist(), number))
            firsts.append(first)
            lasts.append(last)
            rows += [[name, one.seed, chain, float(a), float(b)]
                     for chain, (a, b) in enumerate(zip(first, last, strict=True))]  # fmt: skip
        if not points or np.ptp(np.concatenate(firsts)) == 0:
            continue
        slope, base = np.polyfit(np.concatenate(firsts), np.concatenate(lasts), 1)
        lines = [("unchanged", 0.0, 1.0), ("fit", float(base), float(slope))]
        title = f"{spoken(name).capitalize()}: last against first"
        svg = scatter(points, title=title, x_label=f"{spoken(name)} at first", lines=lines)
        remark = "one point a chain; fit over all runs"
        if abs(slope) < 1:
            where = base / (1 - slope)
            remark = f"strength {1 - slope:.2f}, position {where:.3g}, over all runs"
        figures.append((title, remark, svg))
    if figures:
        page.part("Where retelling leads")
        page.plots(figures)
        page.tables["text_attractors"] = (["property", "seed", "chain", "first", "last"], rows)


def _add_tree(page: Page, one: _Texts) -> None:
    """A tree of the last texts of the first run, by the words they share."""
    told = latest(one.rounds)
    if len(told) < 4:
        return
    chosen = np.unique(np.linspace(0, len(told) - 1, _MOST_LEAVES).round().astype(int))
    told = [told[index] for index in chosen]
    branches = neighbour_joining(text_distances([text.text for text in told], "words"))
    names = [f"slot_{text.slot}" for text in told]
    parts = np.zeros(one.num, int)
    if one.ties is not None:
        for index, some in enumerate(nx.community.greedy_modularity_communities(one.ties)):
            parts[list(some)] = index
    groups = [int(parts[text.slot]) for text in told]
    page.part("Which texts seem to share a past")
    page.plots(
        [
            (
                "Tree of the last texts",
                "first run; neighbour joining on words; colours: communities of the graph",
                tree(branches, names, groups, title="Tree of the last texts"),
            )
        ],
        wide=True,
    )
    page.tables["text_tree"] = (["seed", "newick"], [[one.seed, newick_of(branches, names)]])
