"""The command ``serve``: a model server on this machine."""

from typing import Annotated

import typer

from society.cli_base import FAILURE, OK, Guard, Json, Quiet, print_json, stderr, stdout

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command to the command line."""
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(serve)


def serve(
    context: typer.Context,
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="society-tiny, or a Hugging Face folder.")
    ],
    port: Annotated[int, typer.Option("--port", min=0, help="0 takes a free one.")] = 8000,
    host: Annotated[str, typer.Option("--host", help="Address to listen at.")] = "127.0.0.1",
    name: Annotated[str, typer.Option("--name", help="What the model is called.")] = "",
    max_model_len: Annotated[
        int | None, typer.Option("--max-model-len", min=1, help="Longest prompt and answer.")
    ] = None,
    wait_s: Annotated[
        float, typer.Option("--wait", metavar="SECONDS", help="Until it must be ready.")
    ] = 600.0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Serve a model with vLLM until interrupted; further options go to vLLM."""
    with Guard(as_json) as guard:
        from llm_agents.backends.serving import ModelServer

        console = stderr()

        def say(line: str) -> None:
            console.print(line, markup=False, highlight=False, style="dim", soft_wrap=True)

        server = ModelServer(
            model,
            name=name,
            host=host,
            port=port,
            wait_s=wait_s,
            max_model_len=max_model_len,
            extra=context.args,
            say=None if quiet else say,
        )
        with server:
            if as_json:
                print_json({"status": "ok", "url": server.url, "model": server.served_name})
            else:
                stdout().print(
                    f" [bold]serving[/bold]  {server.served_name} at [cyan]{server.url}[/cyan]\n"
                    f" [bold]use[/bold]      society run donor_game --set "
                    f"'backend={{use: openai_http, url: \"{server.url}\"}}'\n"
                    " [bold]stop[/bold]     Ctrl-C",
                    highlight=False,
                    soft_wrap=True,
                )
            code = server.forward()
        guard.code = OK if code == 0 else FAILURE
    return guard.code
