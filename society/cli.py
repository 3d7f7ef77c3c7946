"""The command line: run validate list show resume replay new doctor; more in ``cli_*``.

Exit codes: 0 ok, 1 failure, 2 bad input, 3 stopped by a limit, 130 interrupted. With
``--json``, stdout holds exactly one JSON object, also when something is wrong. Everything
heavy is imported inside the command that needs it.
"""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from society import cli_serve, cli_study, cli_view
from society.cli_base import (
    BAD_INPUT,
    FAILURE,
    INTERRUPTED,
    LIMIT,
    OK,
    AllowCode,
    Events,
    Guard,
    Json,
    Out,
    Quiet,
    RunDir,
    Seed,
    Sets,
    Target,
    Track,
    load,
    prepare_jax,
    print_json,
    stderr,
    stdout,
)

if TYPE_CHECKING:
    from society.scenario import Scenario

__all__ = ["app", "main"]

_EXIT = {"ok": OK, "limit": LIMIT}
# Typer carries its own click since 0.26; this is the ClickException of whichever it uses.
_USAGE_ERRORS: Any = typer.BadParameter.__bases__[0].__bases__[0]

app = typer.Typer(
    help="A sandbox for societies of mixed minds.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

cli_serve.register(app)


def main() -> None:
    """Entry point of the command ``society``."""
    try:
        code = app(standalone_mode=False)
    except _USAGE_ERRORS as error:
        if "--json" in sys.argv:
            print_json({"status": "invalid", "errors": [{"message": error.format_message()}]})
        else:
            error.show()
        code = BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        if "--json" in sys.argv:
            print_json({"status": "interrupted"})
        stderr().print("interrupted; what was journalled is kept (society resume RUN)")
        code = INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = FAILURE
    sys.exit(code if isinstance(code, int) else OK)


@app.command()
def run(
    scenario: Target,
    sets: Sets = None,
    seed: Seed = None,
    out: Out = Path("runs"),
    track: Track = None,
    events: Events = False,
    allow_code: AllowCode = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Run a scenario."""
    with Guard(as_json) as guard:
        prepare_jax()
        loaded = load(scenario, sets, seed, allow_code)
        if not quiet:
            _remark(loaded)
        from society.run import run_scenario

        summary = run_scenario(loaded, out, guard.progress(quiet, track, events))
        guard.told(summary)
        guard.code = _finish(summary, quiet, as_json, scenario, events)
    return guard.code


@app.command()
def resume(
    run_dir: RunDir,
    sets: Sets = None,
    track: Track = None,
    events: Events = False,
    allow_code: AllowCode = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Go on with a run that was stopped, as if it had not been."""
    with Guard(as_json) as guard:
        from society.recorder import RunFolder

        # Importing JAX takes seconds; a folder in use is refused before that.
        RunFolder.open(run_dir).lock().release()
        prepare_jax()
        from society.run import resume_run

        summary = resume_run(
            run_dir, guard.progress(quiet, track, events), tuple(sets or ()), allow_code
        )
        guard.told(summary)
        guard.code = _finish(summary, quiet, as_json, events=events)
    return guard.code


@app.command()
def replay(
    run_dir: RunDir,
    allow_code: AllowCode = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Run a finished run again, offline, and compare."""
    with Guard(as_json) as guard:
        prepare_jax()
        from society.run import replay_run

        summary = replay_run(run_dir, guard.progress(quiet), allow_code)
        guard.code = _finish(summary, quiet, as_json)
    return guard.code


@app.command()
def validate(
    scenario: Target,
    sets: Sets = None,
    seed: Seed = None,
    allow_code: AllowCode = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Check a scenario, and every condition of its sweep, without running it."""
    with Guard(as_json) as guard:
        prepare_jax()
        from society.describe import check_scenario, print_checked

        found = check_scenario(load(scenario, sets, seed, allow_code))
        if as_json:
            print_json(found)
        elif not quiet:
            print_checked(stdout(), found)
    return guard.code


@app.command("list")
def list_(
    kind: Annotated[
        str | None, typer.Argument(metavar="[KIND]", help="worlds, policies, graphs, ...")
    ] = None,
    schema: Annotated[
        bool, typer.Option("--schema", help="Print the JSON Schema of scenarios, for editors.")
    ] = False,
    as_json: Json = False,
) -> int:
    """List what scenarios can name."""
    with Guard(as_json) as guard:
        from society.describe import catalogue, print_catalogue

        if schema:
            from society.schema import scenario_schema

            print_json(scenario_schema(plugins=True))
            return OK
        found = catalogue(kind)
        if as_json:
            print_json(found)
        else:
            print_catalogue(stdout(), found)
    return guard.code


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A component or a scenario.")],
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> int:
    """Show a component's parameters, or a scenario."""
    with Guard(as_json) as guard:
        from society.describe import describe, print_description

        found = describe(name, allow_code)
        if as_json:
            print_json(found)
        else:
            print_description(stdout(), found)
    return guard.code


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the scenario.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write it.")] = Path(),
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Write a commented starter scenario."""
    with Guard(as_json) as guard:
        from society.starter import write_starter

        path = write_starter(name, out)
        if as_json:
            print_json({"status": "ok", "file": str(path)})
        elif not quiet:
            stdout().print(
                f" wrote [cyan]{path}[/cyan]\n [bold]next[/bold]  society run {path}",
                highlight=False,
                soft_wrap=True,
            )
    return guard.code


@app.command()
def doctor(as_json: Json = False) -> int:
    """Check this machine: Python, JAX, disk, extras, caches."""
    with Guard(as_json) as guard:
        prepare_jax()
        from society.doctor import examine, print_examination

        found = examine()
        if as_json:
            print_json(found)
        else:
            print_examination(stdout(), found)
        guard.code = OK if found["status"] == "ok" else FAILURE
    return guard.code


def _remark(scenario: "Scenario") -> None:
    console = stderr()
    notes = list(scenario.notes)
    if scenario.sweep is not None:
        notes.append("run ignores sweep; society sweep makes its runs, society validate lists them")
    for note in notes:
        console.print(f"note: {note}", style="yellow", highlight=False)


def _finish(
    summary: dict[str, Any], quiet: bool, as_json: bool, target: str = "", events: bool = False
) -> int:
    if events:
        pass  # the last event said it
    elif as_json:
        print_json(summary)
    elif quiet:
        sys.stdout.write(f"{summary['status']} {summary['run_dir']}\n")
    else:
        from society.report import print_summary

        print_summary(stdout(), summary, target)
    return _EXIT.get(str(summary["status"]), FAILURE)


cli_study.register(app)
cli_view.register(app)


if __name__ == "__main__":
    main()
