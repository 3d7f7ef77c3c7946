"""What every command shares: options, exit codes, messages for errors, output."""

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

__all__ = [
    "BAD_INPUT",
    "FAILURE",
    "INTERRUPTED",
    "LIMIT",
    "OK",
    "AllowCode",
    "Events",
    "Guard",
    "Json",
    "Out",
    "Quiet",
    "RunDir",
    "Seed",
    "Sets",
    "Target",
    "Track",
    "load",
    "prepare_jax",
    "print_json",
    "stderr",
    "stdout",
]

OK, FAILURE, BAD_INPUT, LIMIT, INTERRUPTED = 0, 1, 2, 3, 130

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
Track = Annotated[
    list[str] | None,
    typer.Option("--track", metavar="NAME", help="Tell tensorboard, wandb or mlflow as well."),
]
Events = Annotated[
    bool, typer.Option("--json-events", help="Print one JSON object a line while it runs.")
]
AllowCode = Annotated[
    bool,
    typer.Option("--allow-code", help="Let the scenario name classes of your own files."),
]


class Guard:
    """Turns expected errors of a command into messages and an exit code."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.code = OK
        self.shown: Any = None

    def progress(self, quiet: bool, track: list[str] | None = None, events: bool = False) -> Any:
        """What shows progress until the command is over, and tells trackers."""
        from society.progress import make_progress

        self.shown = make_progress(stderr(), quiet=quiet or events)
        if track or events:
            from society.track import follow

            self.shown = follow([*(track or []), *(["json"] if events else [])], self.shown)
        return self.shown

    def told(self, summary: dict[str, Any]) -> None:
        """Tell trackers how the run ended."""
        if hasattr(self.shown, "finish"):
            self.shown.finish(summary)

    def __enter__(self) -> "Guard":
        return self

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        if self.shown is not None:
            self.shown.close()
        if error is None or not isinstance(error, Exception) or isinstance(error, BrokenPipeError):
            return False
        self.code, found = _explain(error)
        if self.as_json:
            print_json(found)
            return True
        console = stderr()
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

        stderr().print(redact(traceback.format_exc()), markup=False, highlight=False)
    message = redact(str(error)) or name
    status = "invalid" if code == BAD_INPUT else "failed"
    return code, {"status": status, "errors": [{"message": message, "type": name}]}


# Named, not imported: their modules load JAX. Each says by itself what to do.
_BAD_INPUT = {
    "ExecutorError",
    "ExportError",
    "MissingModelError",
    "NotARunError",
    "PictureError",
    "TrackError",
    "UsageError",
}
_EXPECTED = _BAD_INPUT | {
    "BackendDownError",
    "CheckpointError",
    "Divergence",
    "JournalError",
    "LimitReachedError",
    "RunLockedError",
    "ServerDiedError",
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


def load(name: str, sets: list[str] | None, seed: int | None, allow_code: bool) -> "Scenario":
    """Load and check a scenario as the command line names it."""
    from society.scenario import load_scenario

    return load_scenario(name, tuple(sets or ()), seed, allow_code)


def prepare_jax() -> None:
    """Keep compiled kernels between runs; leaves the choice of device to JAX."""
    from society.doctor import cache_folder

    folder = cache_folder()
    if folder is not None:
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder))
        os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


def stdout() -> "Console":
    """Where results go."""
    from rich.console import Console

    return Console()


def stderr() -> "Console":
    """Where progress, remarks and errors go."""
    from rich.console import Console

    return Console(stderr=True)


def print_json(value: Any) -> None:
    """Print one JSON object on stdout."""
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
