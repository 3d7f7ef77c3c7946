"""What a person reads after a sweep and of a comparison."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = [
    "cell_headings",
    "cell_labels",
    "contrast_label",
    "print_comparison",
    "print_study",
    "short",
]

_MOST = 40


def print_study(console: Console, result: Mapping[str, Any]) -> None:
    """Print what came of a sweep, and what to do next."""
    good = result["status"] == "ok"
    line = Text.assemble(
        (f" {result['status']} ", f"bold white on {'green' if good else 'red'}"),
        " ",
        (str(result["scenario"]), "bold"),
        f" · {result['cells']:,} cells · {result['runs']:,} runs made, "
        f"{result['reused']:,} cells complete before · {result['wall_s']:.1f} s",
    )
    console.print()
    console.print(line, highlight=False, soft_wrap=True)
    for failure in result["failed"]:
        why = Text.assemble((f" {failure['status']:>6} ", "red"), failure["cell"], "  ")
        why.append(str(failure.get("message", "")), "dim")
        console.print(why, soft_wrap=True)
    study = result["study_dir"]
    if not good:
        console.print(
            f" the same command makes what is missing; details in {study}/failed",
            highlight=False,
            soft_wrap=True,
        )
    if result.get("report"):
        console.print(
            Text.assemble((" report  ", "bold"), (result["report"], "cyan")), soft_wrap=True
        )
    console.print(
        Text.assemble((" next    ", "bold"), f"society compare {study}"),
        highlight=False,
        soft_wrap=True,
    )


def print_comparison(console: Console, found: Mapping[str, Any]) -> None:
    """Print what ``compare.compare`` found: a table a measure, contrasts, what moves it."""
    for measure in found["measures"]:
        console.print()
        console.print(Text(measure.replace("_", " "), "bold"))
        console.print(_cells(found, measure))
        contrasts = [c for c in found["contrasts"] if c["measure"] == measure]
        if contrasts:
            console.print(_contrasts(contrasts))
        _print_moves(console, found, measure)
    _print_validation(console, found["validation"])
    for warning in found["warnings"]:
        console.print(Text.assemble((" note  ", "yellow"), warning), soft_wrap=True)


def _print_validation(console: Console, found: Mapping[str, Any]) -> None:
    """Print how every target pattern was met; nothing where there is none."""
    if not found["targets"]:
        return
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0))
    for name in ("target", "measure", "wanted", "found", "95 % interval", "verdict"):
        table.add_column(name, justify="right" if name in ("found", "95 % interval") else "left")
    for one in found["targets"]:
        ends = f"{_number(one['ci95'][0])} to {_number(one['ci95'][1])}" if one["ci95"] else ""
        style = {"met": "green", "missed": "red"}.get(one["verdict"], "yellow")
        row = (one["name"], one["measure"], one["wanted"], _number(one["found"]), ends)
        table.add_row(*map(Text, row), Text(one["verdict"], style))
    console.print(table)
    console.print(Text.assemble((" claim     ", "dim"), found["words"]), soft_wrap=True)


def _print_moves(console: Console, found: Mapping[str, Any], measure: str) -> None:
    shares = found["variance"].get(measure)
    if shares:
        text = " · ".join(f"{name} {share:.0%}" for name, share in shares.items())
        console.print(Text.assemble((" variance  ", "dim"), text), soft_wrap=True)
    floor = found["noise_floor"].get(measure)
    if floor:
        text = f"{floor['difference']:+.4g} between two equal conditions"
        if floor["ci95"]:
            text += f" (95 %: {floor['ci95'][0]:+.4g} to {floor['ci95'][1]:+.4g})"
        console.print(Text.assemble((" noise     ", "dim"), text), soft_wrap=True)
    for factor, values in (found["sensitivity"].get(measure) or {}).items():
        text = ", ".join(f"{key} {value:.3g}" for key, value in values.items())
        console.print(Text.assemble((" depends   ", "dim"), f"on {factor}: {text}"))


def _cells(found: Mapping[str, Any], measure: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0))
    rows = [cell for cell in found["cells"] if cell["measures"].get(measure)]
    for name in cell_headings(found["cells"]):
        table.add_column(name, overflow="fold", min_width=min(len(name), 12))
    for name in ("runs", "mean", "95 % interval", "IQM"):
        table.add_column(name, justify="right", no_wrap=True)
    theory = any(cell["theory"].get(measure) for cell in rows)
    if theory:
        table.add_column("theory", justify="right", overflow="fold")
    for cell in rows[:_MOST]:
        one = cell["measures"][measure]
        ends = f"{_number(one['ci95'][0])} to {_number(one['ci95'][1])}" if one["ci95"] else ""
        row = [*cell_labels(cell, found["cells"]), str(one["n"]), _number(one["mean"]), ends]
        row.append(_number(one["iqm"]))
        if theory:
            lines = cell["theory"].get(measure, [])
            row.append(", ".join(f"{_number(t['value'])} {t['label']}" for t in lines))
        table.add_row(*(Text(text) for text in row))
    if len(rows) > _MOST:
        table.add_row(f"and {len(rows) - _MOST} more")
    return table


def cell_headings(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Columns that tell cells apart: the condition where it varies, and the factors."""
    conditions = {cell["condition"] for cell in cells}
    paths = dict.fromkeys(path for cell in cells for path in cell["point"])
    first = ["condition"] if len(conditions) > 1 or not paths else []
    return [*first, *(short(path) for path in paths)]


def cell_labels(cell: Mapping[str, Any], cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """What stands in these columns for one cell."""
    first = cell_headings(cells)[:1] == ["condition"]
    return [*([cell["condition"]] if first else []), *map(str, cell["point"].values())]


def short(path: str) -> str:
    """The last part of a path that says something by itself."""
    head, _, tail = path.rpartition(".")
    return f"{head.rpartition('.')[2]}.{tail}" if tail in ("use", "count", "policy") else tail


def _contrasts(contrasts: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold", padding=(0, 1, 0, 0))
    table.add_column("compared", overflow="fold", min_width=16)
    for name in ("difference", "95 % interval", "P(better)", "g", "p (Holm)"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in contrasts[:_MOST]:
        ends = f"{one['ci95'][0]:+.3g} to {one['ci95'][1]:+.3g}" if one["ci95"] else ""
        table.add_row(
            Text(contrast_label(one)),
            f"{one['difference']:+.4g}",
            ends,
            f"{one['improvement']:.2f}",
            "" if one["g"] is None else f"{one['g']:+.2f}",
            Text(_chance(one["p_holm"]), "bold" if one["p_holm"] < 0.05 else ""),
        )
    return table


def contrast_label(one: Mapping[str, Any]) -> str:
    """Say which two sides a contrast compares: ``graph scale_free - lattice``."""
    if one["kind"] == "condition":
        return f"{one['first']} - {one['second']}"
    first, second = (one[side].partition("=")[2] for side in ("first", "second"))
    return f"{short(one['kind'])} {first} - {second}"


def _chance(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _number(value: Any) -> str:
    if value is None:
        return "undefined"
    return f"{value:,.2f}" if abs(value) >= 1000 else f"{value:.4g}"
