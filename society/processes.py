"""Ending the processes that a command has started."""

import subprocess
from typing import Any

__all__ = ["end"]


def end(process: "subprocess.Popen[Any] | None", *, patience: float = 5.0) -> None:
    """Ask a process to stop, kill it after ``patience`` seconds, and wait until it is gone."""
    if process is None or process.poll() is not None:
        return
    process.terminate()
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
