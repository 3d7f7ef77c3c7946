"""What a person reads at the end of a run: a table of measures, the folder, what to do next."""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from rich import box
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

__all__ = ["print_summary"]

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 24
_MOST_ROWS = 20


def print_summary(console: Console, summary: Mapping[str, Any]) -> None:
    """Print the summary of a run, a resumed run or a replay."""
    console.print()
    console.print(_headline(summary), highlight=False)
    measures = dict(summary.get("measures") or {})
    ranking = _ranking(measures)
    if ranking is not None:
        console.print(ranking)
    table = _measures(measures, len(summary.get("seeds") or [0]))
    if table.row_count:
        console.print(table)
    language = _language(summary.get("llm") or {})
    if language:
        console.print(language, highlight=False)
    console.print(_footer(summary, measures), highlight=False, soft_wrap=True)


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


def _measures(measures: Mapping[str, Any], seeds: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("measure", overflow="fold")
    table.add_column("value", justify="right")
    interval = any(isinstance(value, Mapping) and value.get("ci95") for value in measures.values())
    if interval:
        table.add_column("95 % interval", justify="right")
    detail = any(_is_vector(value) for value in measures.values())
    if detail:
        table.add_column("course", no_wrap=True)
    for name, value in measures.items():
        row = _row(value)
        cells = [_spoken(name), row[0]]
        cells += [row[1]] if interval else []
        cells += [row[2]] if detail else []
        table.add_row(*cells)
    if interval and seeds < 5 and table.row_count:
        table.caption = "below 5 seeds, intervals are too narrow"
        table.caption_style = "dim"
        table.caption_justify = "left"
    return table


def _row(value: Any) -> tuple[str, str, str]:
    """Value, interval and course of one measure, as texts."""
    if isinstance(value, Mapping) and "mean" in value:
        interval = value.get("ci95")
        between = f"{_number(interval[0])} to {_number(interval[1])}" if interval else ""
        return _number(value["mean"]), between, ""
    if _is_vector(value):
        if len(value) < 2:
            return _number(value[0]) if value else "none", "", ""
        return _number(value[-1]), "", _course(value)
    if isinstance(value, list) and value and isinstance(value[0], list):
        return f"{len(value)} x {len(value[0])} table", "", ""
    if isinstance(value, list):
        shown = ", ".join(map(str, value[:4]))
        return f"{shown}, ... ({len(value)})" if len(value) > 4 else shown, "", ""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_number(item)}" for key, item in list(value.items())[:4]), "", ""
    return _number(value), "", ""


def _course(values: Sequence[Any]) -> str:
    """First value, a little picture of the way, last value."""
    known = [float(value) for value in values if value is not None and value == value]
    if not known:
        return ""
    step = max(1, -(-len(known) // _WIDTH))
    means = [
        sum(known[i : i + step]) / len(known[i : i + step]) for i in range(0, len(known), step)
    ]
    low, high = min(means), max(means)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    bars = "".join(_BARS[round((value - low) * scale)] for value in means)
    return f"{_number(known[0])} {bars} {_number(known[-1])}"


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


def _footer(summary: Mapping[str, Any], measures: Mapping[str, Any]) -> Group:
    run_dir = str(summary.get("run_dir", ""))
    lines = [Text.assemble((" folder  ", "bold"), (run_dir, "cyan"))]
    hints = []
    if summary["status"] == "limit":
        hints.append((f"society resume {run_dir}", "go on where it stopped"))
    else:
        hints.append((f"society replay {run_dir}", "run it again offline and compare"))
    few = any(isinstance(value, Mapping) and value.get("few") for value in measures.values())
    name = summary.get("scenario")
    if few and name and summary["status"] == "ok":
        hints.append((f"society run {name} --set seeds=10", "more seeds, honest intervals"))
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
