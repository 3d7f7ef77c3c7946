"""The command line: run validate list show resume replay new doctor.

Exit codes: 0 ok, 1 failure, 2 bad input, 3 stopped by a limit, 130 interrupted. With
``--json``, stdout holds exactly one JSON object, also when something is wrong. Everything
heavy is imported inside the command that needs it.
"""

import json
import math
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from society.scenario import Scenario

__all__ = ["app", "main"]

OK, FAILURE, BAD_INPUT, LIMIT, INTERRUPTED = 0, 1, 2, 3, 130
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

Target = Annotated[str, typer.Argument(metavar="SCENARIO", help="A shipped scenario or a file.")]
RunDir = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Change a value, as in world.rounds=20."),
]
Seed = Annotated[int | None, typer.Option("--seed", help="Run this one seed.", min=0)]
Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Where run folders go.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress; only the result.")]
AllowCode = Annotated[
    bool,
    typer.Option("--allow-code", help="Let the scenario name classes of your own files."),
]


def main() -> None:
    """Entry point of the command ``society``."""
    try:
        code = app(standalone_mode=False)
    except _USAGE_ERRORS as error:
        if "--json" in sys.argv:
            _print_json({"status": "invalid", "errors": [{"message": error.format_message()}]})
        else:
            error.show()
        code = BAD_INPUT
    except (KeyboardInterrupt, typer.Abort):
        if "--json" in sys.argv:
            _print_json({"status": "interrupted"})
        _stderr().print("interrupted; what was journalled is kept (society resume RUN)")
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
    allow_code: AllowCode = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Run a scenario."""
    with _guard(as_json) as guard:
        _prepare_jax()
        loaded = _load(scenario, sets, seed, allow_code)
        if not quiet:
            _remark(loaded)
        from society.run import run_scenario

        summary = run_scenario(loaded, out, guard.progress(quiet))
        guard.code = _finish(summary, quiet, as_json, scenario)
    return guard.code


@app.command()
def resume(
    run_dir: RunDir,
    sets: Sets = None,
    allow_code: AllowCode = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Go on with a run that was stopped, as if it had not been."""
    with _guard(as_json) as guard:
        from society.recorder import RunFolder

        # Importing JAX takes seconds; a folder in use is refused before that.
        RunFolder.open(run_dir).lock().release()
        _prepare_jax()
        from society.run import resume_run

        summary = resume_run(run_dir, guard.progress(quiet), tuple(sets or ()), allow_code)
        guard.code = _finish(summary, quiet, as_json)
    return guard.code


@app.command()
def replay(
    run_dir: RunDir,
    allow_code: AllowCode = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Run a finished run again, offline, and compare."""
    with _guard(as_json) as guard:
        _prepare_jax()
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
    with _guard(as_json) as guard:
        _prepare_jax()
        from society.describe import check_scenario, print_checked

        found = check_scenario(_load(scenario, sets, seed, allow_code))
        if as_json:
            _print_json(found)
        elif not quiet:
            print_checked(_stdout(), found)
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
    with _guard(as_json) as guard:
        from society.describe import catalogue, print_catalogue

        if schema:
            from society.schema import scenario_schema

            _print_json(scenario_schema(plugins=True))
            return OK
        found = catalogue(kind)
        if as_json:
            _print_json(found)
        else:
            print_catalogue(_stdout(), found)
    return guard.code


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A component or a scenario.")],
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> int:
    """Show a component's parameters, or a scenario."""
    with _guard(as_json) as guard:
        from society.describe import describe, print_description

        found = describe(name, allow_code)
        if as_json:
            _print_json(found)
        else:
            print_description(_stdout(), found)
    return guard.code


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the scenario.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where to write it.")] = Path(),
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Write a commented starter scenario."""
    with _guard(as_json) as guard:
        from society.starter import write_starter

        path = write_starter(name, out)
        if as_json:
            _print_json({"status": "ok", "file": str(path)})
        elif not quiet:
            _stdout().print(
                f" wrote [cyan]{path}[/cyan]\n [bold]next[/bold]  society run {path}",
                highlight=False,
                soft_wrap=True,
            )
    return guard.code


@app.command()
def doctor(as_json: Json = False) -> int:
    """Check this machine: Python, JAX, disk, extras, caches."""
    with _guard(as_json) as guard:
        _prepare_jax()
        from society.doctor import examine, print_examination

        found = examine()
        if as_json:
            _print_json(found)
        else:
            print_examination(_stdout(), found)
        guard.code = OK if found["status"] == "ok" else FAILURE
    return guard.code


class _guard:  # noqa: N801
    """Turns expected errors of a command into messages and an exit code."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.code = OK
        self.shown: Any = None

    def progress(self, quiet: bool) -> Any:
        """What shows progress until the command is over."""
        from society.progress import make_progress

        self.shown = make_progress(_stderr(), quiet=quiet)
        return self.shown

    def __enter__(self) -> "_guard":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if self.shown is not None:
            self.shown.close()
        if error is None or not isinstance(error, Exception) or isinstance(error, BrokenPipeError):
            return False
        self.code, found = _explain(error)
        if self.as_json:
            _print_json(found)
            return True
        console = _stderr()
        for problem in found["errors"]:
            _print_problem(console, problem)
        return True


def _explain(error: Exception) -> tuple[int, dict[str, Any]]:
    """Exit code and JSON of an error; what nobody expected keeps its traceback."""
    import dataclasses

    from society.errors import ScenarioError
    from worlds.redact import redact, redact_tree

    if isinstance(error, ScenarioError):
        problems = [dataclasses.asdict(problem) for problem in error.problems]
        return BAD_INPUT, {"status": "invalid", "errors": redact_tree(problems)}
    name = type(error).__name__
    code = BAD_INPUT if name in _BAD_INPUT else FAILURE
    if name not in _EXPECTED:
        import traceback

        _stderr().print(redact(traceback.format_exc()), markup=False, highlight=False)
    message = redact(str(error)) or name
    status = "invalid" if code == BAD_INPUT else "failed"
    return code, {"status": status, "errors": [{"message": message, "type": name}]}


# Named, not imported: their modules load JAX. Each says by itself what to do.
_BAD_INPUT = {"NotARunError", "UsageError"}
_EXPECTED = _BAD_INPUT | {
    "BackendDownError",
    "CheckpointError",
    "Divergence",
    "JournalError",
    "LimitReachedError",
    "RunLockedError",
    "WriteError",
}


def _print_problem(console: "Console", problem: dict[str, Any]) -> None:
    from rich.text import Text

    line = Text()
    if "file" in problem:
        line.append(f"{problem['file']}:{problem['line']}:{problem['column']}: ", "bold")
    line.append("error: ", "bold red")
    if problem.get("path"):
        line.append(f"{problem['path']}: ", "cyan")
    line.append(problem["message"])
    console.print(line, soft_wrap=True, highlight=False)


def _load(name: str, sets: list[str] | None, seed: int | None, allow_code: bool) -> "Scenario":
    from society.scenario import load_scenario

    return load_scenario(name, tuple(sets or ()), seed, allow_code)


def _remark(scenario: "Scenario") -> None:
    console = _stderr()
    notes = list(scenario.notes)
    if scenario.sweep is not None:
        notes.append("run ignores sweep; society validate lists its conditions")
    for note in notes:
        console.print(f"note: {note}", style="yellow", highlight=False)


def _finish(summary: dict[str, Any], quiet: bool, as_json: bool, target: str = "") -> int:
    if as_json:
        _print_json(summary)
    elif quiet:
        sys.stdout.write(f"{summary['status']} {summary['run_dir']}\n")
    else:
        from society.report import print_summary

        print_summary(_stdout(), summary, target)
    return _EXIT.get(str(summary["status"]), FAILURE)


def _prepare_jax() -> None:
    """Keep compiled kernels between runs; leaves the choice of device to JAX."""
    from society.doctor import cache_folder

    folder = cache_folder()
    if folder is not None:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


def _stdout() -> "Console":
    from rich.console import Console

    return Console()


def _stderr() -> "Console":
    from rich.console import Console

    return Console(stderr=True)


def _print_json(value: Any) -> None:
    text = json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _finite(value: Any) -> Any:
    """Write numbers that JSON does not have as null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


if __name__ == "__main__":
    main()
