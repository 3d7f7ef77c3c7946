"""What a person reads after a sweep and of a comparison."""

from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["print_comparison", "print_study"]

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
    for warning in found["warnings"]:
        console.print(Text.assemble((" note  ", "yellow"), warning), soft_wrap=True)


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
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("cell", overflow="fold")
    for name in ("runs", "mean", "95 % interval", "IQM"):
        table.add_column(name, justify="right", no_wrap=True)
    theory = any(cell["theory"].get(measure) for cell in found["cells"])
    if theory:
        table.add_column("theory", justify="right", overflow="fold")
    for cell in found["cells"][:_MOST]:
        one = cell["measures"].get(measure)
        if one is None:
            continue
        ends = f"{_number(one['ci95'][0])} to {_number(one['ci95'][1])}" if one["ci95"] else ""
        row = [cell["name"], str(one["n"]), _number(one["mean"]), ends, _number(one["iqm"])]
        if theory:
            lines = cell["theory"].get(measure, [])
            row.append(", ".join(f"{_number(t['value'])} ({t['label']})" for t in lines))
        table.add_row(*(Text(text) for text in row))
    if len(found["cells"]) > _MOST:
        table.add_row(f"and {len(found['cells']) - _MOST} more")
    return table


def _contrasts(contrasts: list[dict[str, Any]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, header_style="bold")
    table.add_column("compared", overflow="fold")
    for name in ("difference", "95 % interval", "P(better)", "g", "delta", "p (Holm)"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in contrasts[:_MOST]:
        ends = f"{one['ci95'][0]:+.3g} to {one['ci95'][1]:+.3g}" if one["ci95"] else ""
        table.add_row(
            Text(f"{one['first']} - {one['second']}"),
            f"{one['difference']:+.4g}",
            ends,
            f"{one['improvement']:.2f}",
            "" if one["g"] is None else f"{one['g']:+.2f}",
            f"{one['delta']:+.2f}",
            Text(_chance(one["p_holm"]), "bold" if one["p_holm"] < 0.05 else ""),
        )
    return table


def _chance(p: float) -> str:
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _number(value: Any) -> str:
    if value is None:
        return "undefined"
    return f"{value:,.2f}" if abs(value) >= 1000 else f"{value:.4g}"
