"""The command ``view``."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from society.cli_base import AllowCode, Guard, Json, print_json, stderr

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command()(view)


def view(
    run: Annotated[
        str, typer.Argument(metavar="[RUN]", help="A run's folder or name; the newest if left out.")
    ] = "",
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="0 for any free one.")
    ] = 8400,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Open the page in the browser.")
    ] = True,
    out: Annotated[
        Path, typer.Option("--out", metavar="DIR", help="Where run folders are.")
    ] = Path("runs"),
    allow_code: AllowCode = False,
    as_json: Json = False,
) -> int:
    """Show a run in the browser, live or afterwards."""
    with Guard(as_json) as guard:
        from society.view.app import App, find_run
        from society.view.server import serve

        folder = find_run(run, out)
        with App(folder, port, allow_code) as shown:
            url = shown.viewer.url
            if as_json:
                print_json({"status": "ok", "url": url, "run_dir": str(folder.path)})
            else:
                sys.stdout.write(f"{url}\n")
                sys.stdout.flush()
                stderr().print(
                    f" {folder.path.name}: on this machine only; Ctrl-C ends it", highlight=False
                )
            if open_page:
                import webbrowser

                webbrowser.open(url)
            serve(shown.viewer)
    return guard.code
