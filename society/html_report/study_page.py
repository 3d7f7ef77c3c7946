"""The report of a study."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from society.errors import ScenarioError
from society.html_report.history import Excerpt, excerpt
from society.html_report.parts import Page, spoken
from society.html_report.run_page import (
    add_claim,
    add_conversations,
    add_costs,
    add_manifest,
    add_words,
)
from society.html_report.ties import add_graphs
from society.html_report.words import question_of
from society.plots import PALETTE, Course, Row, bars, courses, number, rows
from society.scenario import load_resolved
from society.study.compare import compare
from society.study.read import CellResults, Results
from society.study.show import cell_headings, cell_labels, contrast_label, short
from society.sweep import SAME_AGAIN

__all__ = ["study_page"]

_MOST_MEASURES = 4
_MOST_TILES = 3
_MOST_ROWS = 60
_MOST_LINES = 6
_MOST_GRAPHS = 5


def study_page(results: Results) -> Page:
    """The page of a study."""
    found = compare(results)
    study = results.study
    title, rest = question_of(str(study.get("about", "")), results.title)
    page = Page(title)
    runs = sum(len(cell.seeds) for cell in results.cells)
    done = sum(len({s for v in cell.values.values() for s in v}) for cell in results.cells)
    status = "ok" if done >= runs and not results.failed else "incomplete"
    spent = sum(s.get("wall_s", 0) for cell in results.cells for s in cell.summaries)
    facts = [
        f"{len(results.cells)} cells",
        f"{done} of {runs} runs",
        f"{spent:,.0f} s of computing",
        f"{found['validation']['claim']}, {found['validation']['status']}",
        str(study.get("planned", ""))[:16].replace("T", " "),
    ]
    page.head(f"Study {results.title}", status, facts)
    if rest:
        page.paragraph(rest, "about")
    measures = _shown(results, found)
    page.tiles(_largest(found, measures))
    page.notes([str(text)[:1].upper() + str(text)[1:] + "." for text in found["warnings"]])
    _add_design(page, results)
    for measure in measures:
        _add_measure(page, found, results, measure)
    first = next((cell for cell in results.cells if cell.runs), None)
    known = Excerpt("step", {}, {}, [], [], [], {})
    if first is not None:
        _add_courses(page, results, measures)
        known = excerpt(first.runs[:1], first.summaries[0])
        scenario = _scenario(first.runs[0])
        add_words(page, scenario)
        add_graphs(page, _graphs(results, scenario))
        add_conversations(page, known)
    add_costs(page, [s for cell in results.cells for s in cell.summaries], known)
    _add_others(page, found, measures)
    _add_validation(page, found)
    if results.failed:
        page.section("Runs that failed")
        page.table(
            ["cell", "why"],
            [[str(f.get("cell")), str(f.get("message", ""))] for f in results.failed.values()],
            words=2,
        )
    add_manifest(page, {**study, "repro": (study.get("scenario") or {}).get("repro", "strict")})
    return page


def _largest(found: Mapping[str, Any], measures: Sequence[str]) -> list[tuple[str, str, str]]:
    """The clearest differences of the first measure, as tiles: what the study is about first."""
    contrasts = [c for c in found["contrasts"] if measures and c["measure"] == measures[0]]
    contrasts.sort(key=lambda c: (_kind(c["first"]), -abs(c["g"] or 0)))
    return [
        (
            f"{spoken(c['measure'])}: {contrast_label(c)}",
            f"{c['difference']:+.3g}",
            f"95 %: {c['ci95'][0]:+.3g} to {c['ci95'][1]:+.3g}" if c["ci95"] else "",
        )
        for c in contrasts[:_MOST_TILES]
    ]


def _shown(results: Results, found: Mapping[str, Any]) -> list[str]:
    """The measures that get figures: the first that differ, and not in step with another."""
    shown: list[str] = []
    for name in found["measures"]:
        if len(shown) < _MOST_MEASURES and not any(_in_step(results, name, o) for o in shown):
            shown.append(name)
    return shown


def _in_step(results: Results, name: str, other: str) -> bool:
    """True where one number says nothing beyond another: it is a straight line of it."""
    pairs = [
        (cell.defined(name)[seed], value)
        for cell in results.cells
        for seed, value in cell.defined(other).items()
        if seed in cell.defined(name)
    ]
    if len(pairs) < 3 or min(np.ptp(pairs, axis=0)) == 0:
        return False
    return abs(float(np.corrcoef(np.array(pairs).T)[0, 1])) > 0.9999


def _scenario(run: Path) -> Any:
    try:
        return load_resolved(run / "scenario.yaml")
    except ScenarioError:
        return None


def _graphs(results: Results, scenario: Any) -> dict[str, Any]:
    """The scenario whose graph is drawn; one a level where graphs are a factor."""
    levels: dict[str, Any] = {}
    for cell in results.cells:
        if cell.runs and "graph" in cell.point and len(levels) < _MOST_GRAPHS:
            level = cell.point["graph"]
            levels[level] = levels.get(level) or _scenario(cell.runs[0])
    return levels or {"": scenario}


def _add_design(page: Page, results: Results) -> None:
    page.section("Design")
    conditions: dict[str, Mapping[str, Any]] = {}
    factors: dict[str, list[str]] = {}
    for cell in results.cells:
        own = {k: v for k, v in cell.changes.items() if k not in cell.point}
        conditions.setdefault(cell.condition, own)
        for path, level in cell.point.items():
            if level not in factors.setdefault(path, []):
                factors[path].append(level)
    for path, levels in factors.items():
        method = results.study.get("method", "grid")
        shown = ", ".join(levels) if len(levels) <= 12 else f"{len(levels)} values ({method})"
        page.paragraph(f"Factor {path}: {shown}.")
    if len(conditions) > 1:
        table = [[name, _changes(name, changes)] for name, changes in conditions.items()]
        page.table(["condition", "what it changes"], table, words=2)
    seeds = {len(cell.seeds) for cell in results.cells}
    page.paragraph(
        f"{min(seeds)} runs a cell, with the same seeds in every cell: runs are compared seed by "
        "seed where there are at least six."
    )


def _changes(name: str, changes: Mapping[str, Any]) -> str:
    if name == SAME_AGAIN:
        return "nothing but the seeds"
    return ", ".join(f"{k} = {json.dumps(v)}" for k, v in changes.items()) or "as it is"


def _add_measure(page: Page, found: Mapping[str, Any], results: Results, measure: str) -> None:
    cells = [cell for cell in found["cells"] if cell["measures"].get(measure)]
    if not cells:
        return
    page.section(spoken(measure).capitalize())
    by_name = {cell.name: cell for cell in results.cells}
    colours = {name: i for i, name in enumerate(dict.fromkeys(map(_colour_key, cells)))}
    entries = [
        Row(
            " · ".join(cell_labels(cell, found["cells"])),
            cell["measures"][measure]["mean"],
            tuple(cell["measures"][measure]["ci95"]) if cell["measures"][measure]["ci95"] else None,
            list(by_name[cell["name"]].defined(measure).values()),
            [line["value"] for line in cell["theory"].get(measure, ())],
            colours[_colour_key(cell)] % len(PALETTE),
        )
        for cell in cells[:_MOST_ROWS]
        if cell["measures"][measure]["mean"] is not None
    ]
    remark = "mean, 95 % interval, single runs"
    remark += "; dashed: theory" if any(entry.theory for entry in entries) else ""
    page.plots(
        [(spoken(measure), remark, rows(entries, title=spoken(measure), width=860))], wide=True
    )
    figures = list(_interactions(cells, measure))
    shares = found["variance"].get(measure)
    if shares:
        svg = bars(list(shares.items()), title="Shares of variance")
        figures.append(("What moves it", "share of variance between runs", svg))
    if figures:
        page.plots(figures)
    _add_contrasts(page, [c for c in found["contrasts"] if c["measure"] == measure])
    floor = found["noise_floor"].get(measure)
    if floor:
        ends = floor["ci95"]
        between = f", 95 % {number(ends[0])} to {number(ends[1])}" if ends else ""
        page.paragraph(
            f"Noise floor: two equal conditions with other seeds differ by "
            f"{number(floor['difference'])}{between}. Differences as small as that say nothing."
        )
    for factor, values in (found["sensitivity"].get(measure) or {}).items():
        told = ", ".join(f"{key.replace('_', ' ')} {number(v)}" for key, v in values.items())
        page.paragraph(f"Depends on {factor}: {told}.")


def _colour_key(cell: Mapping[str, Any]) -> str:
    """Cells of one condition, or of one level of the last factor, share a colour.

    So do all null models, and all variants that should change nothing.
    """
    condition = _kind(cell["condition"]) or cell["condition"]
    return "/".join([condition, *list(cell["point"].values())[-1:]])


def _kind(condition: str) -> str:
    """``null`` or ``robust`` for conditions that were added by a word, otherwise nothing."""
    head = condition.partition("_")[0]
    return head if head in ("null", "robust") else ""


def _interactions(
    cells: Sequence[Mapping[str, Any]], measure: str
) -> Sequence[tuple[str, str, str]]:
    """A line for each level of the other factors, over one factor that is a number."""
    figures = []
    for path in dict.fromkeys(p for cell in cells for p in cell["point"]):
        levels = dict.fromkeys(cell["point"].get(path) for cell in cells)
        numbers = [_as_number(level) for level in levels]
        if len(levels) < 3 or None in numbers:
            continue
        lines: dict[str, list[tuple[float, Mapping[str, Any]]]] = {}
        for cell in cells:
            others = [level for other, level in cell["point"].items() if other != path]
            single = len({c["condition"] for c in cells}) == 1
            name = " ".join([*([] if single else [cell["condition"]]), *others]) or measure
            spot = (_as_number(cell["point"][path]) or 0.0, cell["measures"][measure])
            lines.setdefault(name, []).append(spot)
        if len(lines) > _MOST_LINES:
            continue
        drawn = [_line(name, sorted(spots, key=lambda s: s[0])) for name, spots in lines.items()]
        svg = courses(drawn, title=f"{measure} over {path}", x_label=short(path))
        figures.append((f"{spoken(measure)} over {short(path)}", "mean and 95 % interval", svg))
    return figures


def _line(name: str, spots: Sequence[tuple[float, Mapping[str, Any]]]) -> Course:
    known = [(x, one) for x, one in spots if one["mean"] is not None]
    means = [one["mean"] for _, one in known]
    ends = [one["ci95"] or (one["mean"], one["mean"]) for _, one in known]
    lows, highs = [low for low, _ in ends], [high for _, high in ends]
    return Course(name, [x for x, _ in known], means, lows, highs)


def _as_number(text: Any) -> float | None:
    try:
        return float(text)
    except (TypeError, ValueError):
        return None


def _add_contrasts(page: Page, contrasts: Sequence[Mapping[str, Any]]) -> None:
    if not contrasts:
        return
    table = []
    for one in contrasts:
        ends = f"{one['ci95'][0]:+.3g} to {one['ci95'][1]:+.3g}" if one["ci95"] else ""
        table.append(
            [
                contrast_label(one),
                f"{one['difference']:+.3g}",
                ends,
                f"{one['improvement']:.2f}",
                "" if one["g"] is None else f"{one['g']:+.2f}",
                f"{one['delta']:+.2f}",
                "<0.001" if one["p_holm"] < 0.001 else f"{one['p_holm']:.3f}",
            ]
        )
    headings = ["compared", "difference", "95 % interval", "P(better)", "Hedges g", "Cliff δ"]
    page.table([*headings, "p (Holm)"], table)


def _add_courses(page: Page, results: Results, measures: Sequence[str]) -> None:
    """The same metric over time, one line a cell, for the metrics that measures name."""
    finished = [cell for cell in results.cells if cell.runs]
    own = [cell for cell in finished if not _kind(cell.condition)]
    others = [cell for cell in finished if _kind(cell.condition) == "null"]
    cells = _spread(own, _MOST_LINES) if len(own) > 1 else [*own, *_spread(others, _MOST_LINES - 1)]
    known = [(cell, excerpt(cell.runs, cell.summaries[0])) for cell in cells]
    names = list(dict.fromkeys(name for _, one in known for name in one.courses))
    wanted = [n for n in names if n in measures] or names
    as_plain = [{"condition": c.condition, "point": dict(c.point)} for c in results.cells]
    figures = []
    for name in wanted[:2]:
        lines = [
            one.courses[name]._replace(name=" ".join(_label(cell, as_plain)))
            for cell, one in known
            if name in one.courses
        ]
        svg = courses(lines, title=spoken(name), x_label=known[0][1].unit, width=860, height=300)
        figures.append((spoken(name), known[0][1].remark, svg))
    if figures:
        page.section("Over time")
        for figure in figures:
            page.plots([figure], wide=True)


def _label(cell: CellResults, cells: Sequence[Mapping[str, Any]]) -> list[str]:
    return cell_labels({"condition": cell.condition, "point": dict(cell.point)}, cells)


def _spread(cells: Sequence[CellResults], most: int) -> list[CellResults]:
    if len(cells) <= most:
        return list(cells)
    return [cells[round(i * (len(cells) - 1) / (most - 1))] for i in range(most)]


def _add_others(page: Page, found: Mapping[str, Any], shown: Sequence[str]) -> None:
    """All measures of all cells as one table."""
    rest = [name for name in found["measures"] if name not in shown][:12]
    if not rest:
        return
    page.section("Other measures")
    headings = [*cell_headings(found["cells"]), *map(spoken, rest)]
    table = [
        [
            *cell_labels(cell, found["cells"]),
            *(number((cell["measures"].get(name) or {}).get("mean")) for name in rest),
        ]
        for cell in found["cells"][:_MOST_ROWS]
    ]
    page.table(headings, table, words=len(headings) - len(rest))


def _add_validation(page: Page, found: Mapping[str, Any]) -> None:
    judged = found["validation"]
    add_claim(page, judged)
    robust, nulls = judged["robustness"], judged["nulls"]
    page.paragraph(
        f"Robustness variants: {', '.join(robust)}." if robust else "No robustness variants ran."
    )
    page.paragraph(f"Null models: {', '.join(nulls)}." if nulls else "No null models ran.")
    page.paragraph(
        f"{len(found['contrasts'])} comparisons were made with {found['baseline']} and between "
        "levels; p values are of permutation tests, adjusted for all of them (Holm). Intervals "
        "are stratified bootstrap intervals with the run as the unit."
    )
