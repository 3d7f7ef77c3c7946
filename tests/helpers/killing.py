"""Runs in processes of their own that are killed by SIGKILL, and what must hold afterwards."""

import dataclasses
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

DRIVER = Path(__file__).with_name("interruptible.py")


@dataclasses.dataclass
class Attempt:
    """One process: its exit code, what it printed, and what it asked.

    seconds: from the moment it was ready to its end; asking_s: from its first question
      (where that was waited for).
    """

    code: int
    summary: dict
    seconds: float
    asking_s: float
    asked: list[str]
    errors: str


def society(tmp_path, *arguments, kill_at="", kill_after_s=None, once="ready", **variables):
    """Run the command line, to its end or until it is killed.

    Args:
      kill_after_s: seconds after it is ready, or (once="asking") after its first question.
    """
    log, shown = tmp_path / "asked.log", tmp_path / "errors.txt"
    log.write_bytes(b"")
    environment = {**os.environ, "SOCIETY_KILL_AT": kill_at, **variables}
    with shown.open("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, DRIVER, log, *map(str, arguments), "--json", "--quiet"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        ready = wait_for(shown, process)
        asking = wait_for(log, process) if once == "asking" else ready
        if kill_after_s is not None:
            try:
                process.wait(max(0.0, asking + kill_after_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
        ended = time.monotonic()
        errors.seek(0)
        return Attempt(
            process.returncode,
            json.loads(output) if output else {},
            ended - ready,
            ended - asking,
            log.read_text().split(),
            errors.read(),
        )


def wait_for(path, process):
    """Wait until something is in a file, or the process has ended; returns the time."""
    while process.poll() is None and not path.stat().st_size:
        time.sleep(0.005)
    return time.monotonic()


def journalled(folder):
    """Hashes of the requests whose answers are in a journal, with how each call went."""
    path = folder / "journal.sqlite"
    if not path.exists():
        return {}
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = database.execute("SELECT request_hash, * FROM calls").fetchall()
    except sqlite3.OperationalError:  # killed before its tables were made
        rows = []
    database.close()
    return {row[0]: row[1:] for row in rows}


def kill_at_each(tmp_path, scenario, points):
    """Run a scenario and kill it at a write point; resume and kill it at the next; and so on.

    Args:
      scenario: name and options, as for ``society run``.
      points: of ``society.durable.KILLPOINTS``, with ":n" for the n-th passing.

    Returns:
      The run folder after the last kill, and what its journal holds.
    """
    out, known, folder = tmp_path / "killed", {}, None
    for point in points:
        start = ("run", *scenario, "--out", out) if folder is None else ("resume", folder)
        attempt = society(tmp_path, *start, kill_at=point)
        assert attempt.code == -signal.SIGKILL, f"not killed at {point}: {attempt.errors}"
        folder = only_folder(out)
        check_asked(folder, attempt, known)
        known = journalled(folder)
    return folder, known


def finish(tmp_path, folder, expected, known):
    """Resume to the end; nothing journalled is asked again or written otherwise."""
    attempt = society(tmp_path, "resume", folder)
    assert attempt.code == 0, attempt.errors
    check_asked(folder, attempt, known)
    assert without_times(attempt.summary) == without_times(expected)
    return attempt


def replay(tmp_path, folder):
    """Replay a run with sockets blocked; nothing may be asked or written."""
    before = (folder / "journal.sqlite").read_bytes()
    attempt = society(tmp_path, "replay", folder, SOCIETY_TEST_OFFLINE="1")
    assert attempt.code == 0, attempt.errors
    assert attempt.asked == []
    assert (folder / "journal.sqlite").read_bytes() == before
    return attempt


def check_asked(folder, attempt, known):
    assert not set(attempt.asked) & set(known), "a journalled answer was asked again"
    after = journalled(folder)
    assert {name: after[name] for name in known} == known


def without_times(summary):
    return {name: value for name, value in summary.items() if name not in ("run_dir", "wall_s")}


def only_folder(out):
    (folder,) = [path for path in out.iterdir() if not path.name.startswith(".")]
    return folder
