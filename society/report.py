"""What a person reads at the end of a run: a table of measures, the folder, what to do next."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from society.report_chart import generation_chart
from society.survey_table import survey_table

__all__ = ["print_summary"]

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 24
_MOST_ROWS = 20


def print_summary(console: Console, summary: Mapping[str, Any], target: str = "") -> None:
    """Print the summary of a run, a resumed run or a replay.

    Args:
      console: where to.
      summary: what ``run_scenario`` returned.
      target: how the user named the scenario, for the suggestion to run it again.
    """
    console.print()
    console.print(_headline(summary), highlight=False, soft_wrap=True)
    measures = _unfolded(dict(summary.get("measures") or {}))
    ranking = _ranking(measures)
    if ranking is not None:
        console.print(ranking)
    table = _measures(measures, len(summary.get("seeds") or [0]))
    if table.row_count:
        console.print(table)
    courses = _courses(measures)
    if courses.row_count:
        console.print(courses)
        console.print()
    picture = generation_chart(measures)
    if picture is not None:
        console.print(picture, highlight=False, soft_wrap=True)
        console.print()
    surveys = survey_table(summary.get("surveys") or {})
    if surveys is not None:
        console.print(surveys)
    language = _language(summary.get("llm") or {})
    if language:
        console.print(language, highlight=False, soft_wrap=True)
    console.print(_footer(summary, measures, target), highlight=False, soft_wrap=True)


def _headline(summary: Mapping[str, Any]) -> Text:
    colour = {"ok": "green", "limit": "yellow"}.get(str(summary["status"]), "red")
    line = Text.assemble((f" {summary['status']} ", f"bold white on {colour}"), " ")
    line.append(str(summary.get("scenario", "run")), "bold")
    seeds = len(summary.get("seeds") or [0])
    line.append(f" · {seeds} seed{'s' if seeds != 1 else ''} · {summary.get('steps', 0):,} steps")
    if summary.get("generations", 1) > 1:
        line.append(f" in {summary['generations']:,} generations")
    if summary.get("wall_s") is not None:
        line.append(f" · {summary['wall_s']:.1f} s")
    if summary.get("reason"):
        line.append(f"\n {summary['reason']}", colour)
    return line


def _ranking(measures: dict[str, Any]) -> Table | None:
    """A table with one row a name, where the measures hold names and columns for them."""
    names = measures.get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    columns = {
        key: value
        for key, value in measures.items()
        if _is_vector(value) and len(value) == len(names) and len(names) > 1
    }
    if not columns:
        return None
    for key in ("names", *columns):
        measures.pop(key)
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("")
    table.add_column("name")
    for key in columns:
        table.add_column(_spoken(key), justify="right")
    first = next(iter(columns.values()))
    order = sorted(range(len(names)), key=lambda row: -first[row])
    for rank, row in enumerate(order[:_MOST_ROWS], start=1):
        table.add_row(str(rank), names[row], *(_number(value[row]) for value in columns.values()))
    if len(order) > _MOST_ROWS:
        table.add_row("", f"and {len(order) - _MOST_ROWS} more")
    return table


def _unfolded(measures: dict[str, Any]) -> dict[str, Any]:
    """Write ``x_shares`` [T, K] beside ``x_names`` [K] as one course for each name.

    Lists of the generations that belong to the rows are left out.
    """
    for key in [key for key in measures if key.endswith("_shares")]:
        stem = key.removesuffix("shares")
        names, rows = measures.get(f"{stem}names"), measures[key]
        if not isinstance(names, list) or not isinstance(rows, list) or not rows:
            continue
        if not all(_is_vector(row) and len(row) == len(names) for row in rows):
            continue
        for gone in (key, f"{stem}names", f"{stem}generations"):
            measures.pop(gone, None)
        for index, name in enumerate(names):
            measures[f"share of {name}"] = [row[index] for row in rows]
    return measures


def _measures(measures: Mapping[str, Any], seeds: int) -> Table:
    """Numbers, names and tables: everything that is no course."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("measure", overflow="fold")
    table.add_column("value", justify="right", overflow="fold")
    interval = any(isinstance(value, Mapping) and value.get("ci95") for value in measures.values())
    if interval:
        table.add_column("95 % interval", justify="right", no_wrap=True)
    for name, value in measures.items():
        if not _is_vector(value) or len(value) < 2:
            cells = _row(value)
            table.add_row(_spoken(name), *(cells if interval else cells[:1]))
    if interval and seeds < 5 and table.row_count:
        table.caption = "below 5 seeds, intervals are too narrow"
        table.caption_style = "dim"
        table.caption_justify = "left"
    return table


def _courses(measures: Mapping[str, Any]) -> Table:
    """How numbers change over rounds or generations, one line each."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 2))
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(style="cyan", no_wrap=True)
    table.add_column(no_wrap=True)
    for name, value in measures.items():
        if _is_vector(value) and len(value) > 1:
            known = [float(item) for item in value if item is not None and item == item]
            if known:
                ends = (_number(known[0]), _number(known[-1]))
                table.add_row(_spoken(name), ends[0], _picture(known), ends[1])
    return table


def _row(value: Any) -> tuple[str, str]:
    """Value and interval of one measure, as texts."""
    if isinstance(value, Mapping) and "mean" in value:
        interval = value.get("ci95")
        between = f"{_number(interval[0])} to {_number(interval[1])}" if interval else ""
        return _number(value["mean"]), between
    if isinstance(value, list) and value and isinstance(value[0], list):
        return f"{len(value)} x {len(value[0])} table", ""
    if isinstance(value, list):
        shown = ", ".join(_number(item) for item in value[:2])
        return f"{shown} and {len(value) - 2} more" if len(value) > 2 else shown or "none", ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_number(item)}" for key, item in list(value.items())[:4]), ""
    return _number(value), ""


def _picture(known: Sequence[float]) -> str:
    """A bar for each stretch of a course, between its lowest and its highest."""
    step = max(1, -(-len(known) // _WIDTH))
    parts = [known[start : start + step] for start in range(0, len(known), step)]
    means = [sum(part) / len(part) for part in parts]
    low, high = min(means), max(means)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((value - low) * scale)] for value in means)


def _language(llm: Mapping[str, Any]) -> Text | None:
    if not llm.get("calls"):
        return None
    line = Text(" ")
    line.append("language", "bold")
    line.append(
        f"  {llm['calls']:,} calls · {llm.get('prompt_tokens', 0):,} prompt and "
        f"{llm.get('completion_tokens', 0):,} completion tokens"
    )
    for name in ("faults", "fallbacks"):
        line.append(f" · {llm.get(name, 0):,} {name}", "yellow" if llm.get(name) else "")
    if llm.get("cost_usd"):
        line.append(f" · {llm['cost_usd']:.2f} USD")
    return line


def _footer(summary: Mapping[str, Any], measures: Mapping[str, Any], target: str) -> Group:
    run_dir = str(summary.get("run_dir", ""))
    lines = [Text.assemble((" folder  ", "bold"), (run_dir, "cyan"))]
    hints = []
    if summary["status"] == "limit":
        hints.append((f"society resume {run_dir}", "go on where it stopped"))
    else:
        hints.append((f"society replay {run_dir}", "run it again offline and compare"))
    few = any(isinstance(value, Mapping) and value.get("few") for value in measures.values())
    if few and target and summary["status"] == "ok":
        hints.append((f"society run {target} --set seeds=10", "more seeds, honest intervals"))
    width = max(len(command) for command, _ in hints)
    for index, (command, why) in enumerate(hints):
        lead = " next    " if index == 0 else "         "
        lines.append(Text.assemble((lead, "bold"), f"{command:<{width}}", (f"   {why}", "dim")))
    return Group(*lines)


def _is_vector(value: Any) -> TypeGuard[list[Any]]:
    return (
        isinstance(value, list)
        and bool(value)
        and all(item is None or isinstance(item, int | float) for item in value)
        and not all(isinstance(item, bool) for item in value)
    )


def _number(value: Any) -> str:
    if value is None:
        return "undefined"
    if isinstance(value, bool | str):
        return str(value)
    if isinstance(value, list | Mapping):
        return "..."
    if value != value:
        return "undefined"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) >= 10):
        return f"{int(value):,}"
    return f"{value:,.2f}" if abs(value) >= 1000 else f"{value:.4g}"


def _spoken(name: str) -> str:
    return name.replace("_", " ")
