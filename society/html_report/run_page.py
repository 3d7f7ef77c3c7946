"""The report of one run."""

from collections.abc import Mapping, Sequence
from typing import Any

from society.errors import ScenarioError
from society.html_report.history import Excerpt, excerpt
from society.html_report.parts import Page, spoken
from society.html_report.texts import add_texts
from society.html_report.ties import add_graphs
from society.html_report.words import question_of, scenario_in_words
from society.plots import courses, descent, number, shares
from society.recorder import RunFolder
from society.scenario import load_resolved
from society.study.read import Results
from society.study.show import short
from society.study.theory import theory_of
from society.study.validation import validation_of

__all__ = [
    "add_claim",
    "add_conversations",
    "add_costs",
    "add_courses",
    "add_manifest",
    "add_words",
    "run_page",
]

_MOST_COURSES = 6
_TELLING = ("population", "mean_stock", "born", "died")  # drawn first where a world has them
_MOST_TILES = 4


def run_page(results: Results) -> Page:
    """The page of a run."""
    cell = results.cells[0]
    folder, summary = RunFolder(cell.runs[0]), cell.summaries[0]
    manifest = folder.read_manifest()
    scenario = _scenario(folder)
    about = str((manifest.get("scenario") or {}).get("about", ""))
    title, rest = question_of(about, results.title)
    page = Page(title)
    seeds = len(summary["seeds"])
    facts = [
        f"{seeds} run{'s' if seeds > 1 else ''}",
        f"{summary['steps']:,} steps",
        f"{summary.get('wall_s', 0):,.1f} s",
        str(manifest.get("created", ""))[:16].replace("T", " "),
    ]
    page.head(f"Run of {results.title}", str(summary["status"]), facts)
    if rest:
        page.paragraph(rest, "about")
    theory = theory_of(cell.runs[0])
    known = excerpt(cell.runs, summary)
    page.tiles(_tiles(summary["measures"]))
    page.notes(_remarks(summary))
    add_words(page, scenario)
    add_courses(page, known, theory)
    _add_measures(page, summary["measures"], theory)
    add_texts(page, cell.runs, summary, scenario)
    add_graphs(page, {"": scenario})
    _add_descent(page, known)
    add_conversations(page, known)
    add_costs(page, [summary], known)
    add_claim(page, validation_of(results))
    page.paragraph(
        "One scenario with its own words: a study with sweep.robustness: standard shows how much "
        "depends on them."
    )
    add_manifest(page, manifest, folder.scenario_path)
    return page


def _scenario(folder: RunFolder) -> Any:
    """The run's scenario, None where it needs code of its own."""
    try:
        return load_resolved(folder.scenario_path)
    except ScenarioError:
        return None


def _tiles(measures: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    found = []
    for name, value in measures.items():
        if isinstance(value, Mapping) and "mean" in value and value["mean"] is not None:
            ends = value.get("ci95")
            below = f"95 %: {number(ends[0])} to {number(ends[1])}" if ends else "one run"
            found.append((spoken(name), number(value["mean"]), below))
    found.sort(key=lambda tile: tile[1] == "0")  # what never happens says least
    return found[:_MOST_TILES]


def _remarks(summary: Mapping[str, Any]) -> list[str]:
    found = []
    if summary.get("reason"):
        found.append(str(summary["reason"]))
    if 1 < len(summary["seeds"]) < 5:
        found.append("Below five runs, intervals are too narrow; run again with seeds: 10.")
    if len(summary["seeds"]) == 1:
        found.append("One run shows what can happen, not what usually happens; use more seeds.")
    rate = (summary.get("llm") or {}).get("fallback_rate") or 0
    if rate:
        found.append(f"{rate:.1%} of answers could not be read and were replaced by a fallback.")
    return found


def add_words(page: Page, scenario: Any) -> None:
    """The scenario in words."""
    if scenario is not None:
        page.section("The society")
        for sentence in scenario_in_words(scenario):
            page.paragraph(sentence)


def add_courses(
    page: Page, known: Excerpt, theory: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    """Courses over time: strategies first, then what tells most, then by name."""
    figures = []
    for group, (x, table) in known.shares.items():
        if len(x) > 1 and table and len(table[0]) > 1:
            names = _strategies(known, group, len(table[0]))
            svg = shares(names, x, table, title=f"Strategies of {group}", x_label="generation")
            remark = "mean over runs" if known.runs > 1 else ""
            figures.append((f"Strategies of {group}", remark, svg))
    names = [name for name in _TELLING if name in known.courses]
    names += [name for name in known.courses if name not in _TELLING]
    names.sort(key=lambda name: len(set(known.courses[name].mean)) < 2)  # constants say least
    for name in names[:_MOST_COURSES]:
        course = known.courses[name]
        lines = [(str(t["label"]), float(t["value"])) for t in theory.get(name, ())]
        svg = courses([course], title=spoken(name), x_label=known.unit, theory=lines)
        figures.append((spoken(name), known.remark, svg))
    if figures:
        page.section("Over time")
        page.plots(figures)


def _strategies(known: Excerpt, group: str, width: int) -> list[str]:
    names = known.strategies.get(group) or known.strategies.get("") or ()
    return list(names) if len(names) == width else [f"strategy {i + 1}" for i in range(width)]


def _add_measures(
    page: Page, measures: Mapping[str, Any], theory: Mapping[str, Sequence[Mapping[str, Any]]]
) -> None:
    rows = []
    for name, value in measures.items():
        if not isinstance(value, Mapping) or "mean" not in value:
            continue
        ends = value.get("ci95")
        between = f"{number(ends[0])} to {number(ends[1])}" if ends else ""
        lines = ", ".join(f"{number(t['value'])} ({t['label']})" for t in theory.get(name, ()))
        row = [spoken(name), number(value["mean"]), between, number(value["iqm"]), str(value["n"])]
        rows.append([*row, lines])
    if rows:
        page.section("Measures")
        headings = ["measure", "mean", "95 % interval", "IQM", "runs", "theory"]
        width = 6 if any(row[5] for row in rows) else 5
        page.table(headings[:width], [row[:width] for row in rows])


def _add_descent(page: Page, known: Excerpt) -> None:
    if len(known.born) > 1 and max(g for g, _, _ in known.born) > 0:
        page.section("Descent")
        page.paragraph("Coloured: those from whom somebody of the last generation descends.")
        svg = descent(known.born, title="Descent")
        page.plots([("Who descends from whom", "first run, one row a slot", svg)], wide=True)


def add_conversations(page: Page, known: Excerpt) -> None:
    """A sample of what was asked, answered and said."""
    if not (known.said or known.messages):
        return
    page.section("Conversations")
    if known.messages:
        page.part("Messages between agents")
        for when, channel, speaker, text in known.messages:
            page.talk(f"{channel}, {when}", speaker, text)
    if known.said:
        page.part("Questions and answers")
        page.paragraph("A sample of the first run, evenly spread over its time.")
        for one in known.said:
            page.said(f"{one.who} · {one.purpose} · {one.when}", one.prompt, one.answer)


def add_costs(page: Page, summaries: Sequence[Mapping[str, Any]], known: Excerpt) -> None:
    """Faults, fallbacks and what language cost."""
    models = [summary.get("llm") or {} for summary in summaries]
    if not any(model.get("calls") for model in models):
        return
    page.section("Language: faults and costs")
    names = ("calls", "prompt_tokens", "completion_tokens", "faults", "fallbacks", "cost_usd")
    totals = {name: sum(model.get(name) or 0 for model in models) for name in names}
    cost = totals.pop("cost_usd")
    rows = [[spoken(name), f"{value:,}"] for name, value in totals.items()]
    rows.append(["cost in US dollars", f"{cost:,.4f}" if cost else "0"])
    backends = sorted({str(name) for model in models for name in model.get("backends") or ()})
    rows.append(["backends", ", ".join(backends)])
    page.table(["over all runs", ""], rows)
    if known.purposes:
        keys = list(next(iter(known.purposes.values())))
        page.table(
            ["purpose (first run)", *keys],
            [[p, *(f"{counts[k]:,}" for k in keys)] for p, counts in known.purposes.items()],
        )


def add_claim(page: Page, found: Mapping[str, Any]) -> None:
    """What is claimed, whether it holds, and every target pattern."""
    page.section("Validation")
    page.claim(found["status"], found["words"])
    if not found["targets"]:
        return
    rows = [
        [
            spoken(one["name"]),
            spoken(one["measure"]),
            ", ".join(f"{short(path)} {label}" for path, label in one["where"].items()) or "all",
            one["wanted"],
            one["verdict"],
            number(one["found"]),
            f"{number(one['ci95'][0])} to {number(one['ci95'][1])}" if one["ci95"] else "",
            str(one["runs"]),
        ]
        for one in found["targets"]
    ]
    headings = ["target", "measure", "where", "wanted", "verdict", "found", "95 % interval", "runs"]
    page.table(headings, rows, words=5)
    sources = {one["source"]: None for one in found["targets"] if one["source"]}
    if sources:
        page.paragraph(f"Sources: {'; '.join(sources)}.")


def add_manifest(page: Page, manifest: Mapping[str, Any], scenario_path: Any = None) -> None:
    """Versions, machine and hashes, and the whole scenario."""
    page.section("Made by")
    host, versions = manifest.get("host") or {}, manifest.get("versions") or {}
    commit = manifest.get("commit") or {}
    changed = " (changed)" if commit.get("changed") else ""
    rows = [
        ["scenario", str(manifest.get("scenario_hash", ""))[:24]],
        ["versions", ", ".join(f"{k} {versions[k]}" for k in _VERSIONS if k in versions)],
        ["machine", f"{host.get('processor', '')}, {host.get('cpus_usable', '?')} cores"],
        ["commit", f"{str(commit.get('id', ''))[:12]}{changed}"],
        ["reproducible", str(manifest.get("repro", "strict"))],
    ]
    for name, model in (manifest.get("models") or {}).items():
        rows.append([f"model {name}", ", ".join(f"{k} {v}" for k, v in model.items())[:160]])
    page.table(["", ""], [row for row in rows if row[1].strip(", ")], words=2)
    if scenario_path is not None:
        page.fold("The scenario with every default", scenario_path.read_text(encoding="utf-8"))


_VERSIONS = ("societylab", "python", "jax", "jaxlib", "numpy")
