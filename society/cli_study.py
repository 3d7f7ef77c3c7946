"""Commands about studies and results: sweep compare report export."""

from pathlib import Path
from typing import Annotated, Any

import typer

from society.cli_base import (
    FAILURE,
    OK,
    AllowCode,
    Events,
    Guard,
    Json,
    Quiet,
    Seed,
    Sets,
    Target,
    load,
    prepare_jax,
    print_json,
    stderr,
    stdout,
)

__all__ = ["register"]

Places = Annotated[
    list[Path], typer.Argument(metavar="RUN_OR_STUDY...", help="Folders of runs or of a study.")
]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="Handed to ray.init or to submitit."),
]


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.command()(sweep)
    app.command()(compare)
    app.command()(report)
    app.command()(export)


def sweep(
    scenario: Target,
    executor: Annotated[
        str, typer.Option("--executor", help="local, ray or submitit (SLURM).")
    ] = "local",
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Runs at a time; 0 for all cores.")
    ] = 0,
    retries: Annotated[
        int, typer.Option("--retries", min=0, help="For runs whose process died.")
    ] = 2,
    options: Options = None,
    sets: Sets = None,
    seed: Seed = None,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where study folders go.")
    ] = Path("studies"),
    allow_code: AllowCode = False,
    report: Annotated[
        bool, typer.Option("--report/--no-report", help="Write a report when all runs are made.")
    ] = True,
    quiet: Quiet = False,
    as_json: Json = False,
    events: Events = False,
) -> int:
    """Run what a scenario's sweep still lacks."""
    with Guard(as_json or events) as guard:
        prepare_jax()
        from society.study import progress
        from society.study.runner import run_study
        from society.sweep import check_sweep

        loaded = load(scenario, sets, seed, allow_code)
        checked = check_sweep(loaded)
        if not quiet:
            for note in [*loaded.notes, *checked.notes]:
                stderr().print(f"note: {note}", style="yellow", highlight=False)
        told = progress.Events() if events else None
        guard.shown = told or progress.study_progress(stderr(), quiet=quiet)
        result = run_study(
            loaded,
            out,
            executor=executor,
            workers=workers,
            retries=retries,
            options=_options(options or []),
            allow_code=allow_code,
            progress=guard.shown,
        )
        guard.code = OK if result["status"] == "ok" else FAILURE
        if report and result["runs"] + result["reused"] > len(result["failed"]):
            from society.html_report.write import write_report

            result["report"] = write_report(result["study_dir"])["html"]
        if told is not None:
            told.end(result)
        else:
            _print_sweep(result, quiet, as_json)
    return guard.code


def compare(
    places: Places,
    measures: Annotated[
        list[str] | None,
        typer.Option("--measure", metavar="NAME", help="Only this measure; may be repeated."),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option("--baseline", metavar="NAME", help="Compare with this condition.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Compare conditions of a study, or runs."""
    with Guard(as_json) as guard:
        from society.study.compare import compare as compared
        from society.study.read import read_results
        from society.study.show import print_comparison

        found = compared(read_results(places), tuple(measures or ()), baseline)
        if as_json:
            print_json(found)
        else:
            print_comparison(stdout(), found)
    return guard.code


Place = Annotated[Path, typer.Argument(metavar="RUN|STUDY", help="Folder of a run or a study.")]
Elsewhere = Annotated[
    Path | None, typer.Option("--out", metavar="DIR", help="Another folder than its own.")
]


def report(
    place: Place,
    out: Elsewhere = None,
    png: Annotated[bool, typer.Option("--png", help="Figures as PNG too (extra viz).")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Write a page with figures about a run or a study."""
    with Guard(as_json) as guard:
        from society.html_report.write import write_report

        found = write_report(place, out, png)
        if as_json:
            print_json({"status": "ok", **found})
        elif not quiet:
            for path in (found["html"], found["markdown"]):
                stdout().print(f" wrote [cyan]{path}[/cyan]", highlight=False, soft_wrap=True)
            stdout().print(f" and {len(found['figures'])} figures beside it", highlight=False)
    return guard.code


def export(
    place: Place,
    to: Annotated[
        str,
        typer.Option("--to", help="parquet, csv, odd, ro-crate, graphml or newick."),
    ],
    out: Elsewhere = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Write results as tables, ODD, RO-Crate, GraphML or Newick."""
    with Guard(as_json) as guard:
        from society.export import export as exported

        files = [str(path) for path in exported(place, to, out)]
        if as_json:
            print_json({"status": "ok", "files": files})
        elif not quiet:
            for path in files:
                stdout().print(f" wrote [cyan]{path}[/cyan]", highlight=False, soft_wrap=True)
    return guard.code


def _print_sweep(result: dict[str, Any], quiet: bool, as_json: bool) -> None:
    if as_json:
        print_json(result)
    elif quiet:
        typer.echo(f"{result['status']} {result['study_dir']}")
    else:
        from society.study.show import print_study

        print_study(stdout(), result)


def _options(texts: list[str]) -> dict[str, Any]:
    """``KEY=VALUE`` texts as a map; values are YAML."""
    from society.overrides import OverrideError, parse_assignment
    from society.study.executors import ExecutorError

    found = {}
    for text in texts:
        try:
            path, value, _ = parse_assignment(text)
        except OverrideError as error:
            raise ExecutorError(f"--option: {error}") from error
        found[".".join(path)] = value
    return found
