"""Processes that the viewer starts: one that retraces the run, one that interviews.

They import JAX and execute scenarios; the server does neither, so the page answers at once.
"""

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from society.processes import end
from society.view.film_store import FilmStore
from society.view.server import Answer, BadRequest

__all__ = ["Films", "Interviews"]

INTERVIEWS = "interviews.sqlite"
_MOST_QUESTION = 2000
_MOST_WAITING = 8


class Films:
    """A retrace of each replicate that was looked at; one process at a time."""

    def __init__(self, run: Path, allow_code: bool = False) -> None:
        self._run, self._allow_code = run, allow_code
        self._folder = tempfile.TemporaryDirectory(prefix="society-view-")
        self._stores: dict[int, FilmStore] = {}
        self._process: subprocess.Popen | None = None
        self._working = -1
        self._lock = threading.Lock()

    def close(self) -> None:
        """End the process and remove what it has found."""
        with self._lock:
            self._stop()
            for store in self._stores.values():
                store.close()
            self._folder.cleanup()

    def of(self, replicate: int) -> FilmStore:
        """What is known of a replicate; starts to find it out on the first call."""
        with self._lock:
            if replicate not in self._stores:
                self._begin(replicate, ())
            return self._stores[replicate]

    def again(self, replicate: int) -> dict[str, Any]:
        """Retrace a replicate however long it takes."""
        with self._lock:
            self._begin(replicate, ("--always",))
        return {"status": "starting"}

    def status(self, replicate: int | None = None) -> dict[str, Any] | None:
        """How far the retrace is; None before one was asked for."""
        with self._lock:
            replicate = self._working if replicate is None else replicate
            store, process = self._stores.get(replicate), self._process
        if store is None:
            return None
        progress = store.fact("progress") or {"tick": 0, "total": 0}
        found = store.fact("status") or {"status": "starting", "note": ""}
        ended = process is None or process.poll() is not None or self._working != replicate
        if ended and found["status"] in ("starting", "running"):
            found = {"status": "failed", "note": "The process that retraces the run has ended."}
        return {**found, **progress, "rows": store.count()}

    def picture(self, replicate: int, seq: int) -> Answer:
        """The picture of a snapshot.

        Raises:
          BadRequest: There is none.
        """
        found = self.of(replicate).picture(seq)
        if found is None:
            raise BadRequest(f"there is no picture {seq}", 404)
        return Answer(found, "image/png")

    def _begin(self, replicate: int, options: Sequence[str]) -> None:
        self._stop()
        path = Path(self._folder.name) / f"replicate-{replicate}-{len(options)}.sqlite"
        old = self._stores.pop(replicate, None)
        if old is not None:
            old.close()
            path.unlink(missing_ok=True)
        self._stores[replicate] = FilmStore(path)
        code = ("--allow-code",) if self._allow_code else ()
        self._working = replicate
        self._process = _start(
            "society.view.retrace", str(self._run), str(path), "--replicate", str(replicate),
            *options, *code,
        )  # fmt: skip

    def _stop(self) -> None:
        end(self._process)


class Interviews:
    """Questions to agents, asked one after the other by a process each.

    Answers are journalled in ``interviews.sqlite`` beside the run's journal, which is only read.
    """

    def __init__(self, run: Path, allow_code: bool = False) -> None:
        self._run, self._allow_code = run, allow_code
        self._asked: list[dict[str, Any]] = []
        self._lock, self._turn = threading.Lock(), threading.Lock()
        self._process: subprocess.Popen | None = None
        self._closed = False

    def close(self) -> None:
        """End what is being asked."""
        self._closed = True
        end(self._process)

    def ask(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Put a question in line; returns at once.

        Args:
          given: replicate, uid, clock (generation, episode, step), question.

        Raises:
          BadRequest: Something in it does not make sense.
        """
        question, clock = given.get("question"), given.get("clock")
        if not isinstance(question, str) or not 0 < len(question.strip()) <= _MOST_QUESTION:
            raise BadRequest(f"question must be a text of 1 to {_MOST_QUESTION} characters")
        if not isinstance(clock, list) or len(clock) != 3 or not all(map(_counts, clock)):
            raise BadRequest("clock must be [generation, episode, step]")
        for name in ("uid", "replicate"):
            if not _counts(given.get(name)):
                raise BadRequest(f"{name} must be a whole number of 0 or more")
        with self._lock:
            if sum(one["status"] == "asking" for one in self._asked) >= _MOST_WAITING:
                raise BadRequest("too many questions are waiting; ask again later", 429)
            entry = {
                "id": len(self._asked), "replicate": given["replicate"], "uid": given["uid"],
                "clock": clock, "question": question.strip(), "answer": None,
                "status": "asking", "note": "",
            }  # fmt: skip
            self._asked.append(entry)
        threading.Thread(target=self._answer, args=(entry,), daemon=True).start()
        return {"id": entry["id"]}

    def asked(self, replicate: int) -> dict[str, Any]:
        """Questions of this replicate, earlier ones from the file first."""
        with self._lock:
            own = [dict(one) for one in self._asked if one["replicate"] == replicate]
        waiting = [one for one in own if one["status"] != "answered"]
        return {"interviews": [*_kept(self._run / INTERVIEWS, replicate), *waiting]}

    def _answer(self, entry: dict[str, Any]) -> None:
        with self._turn:
            if self._closed:
                return
            code = ("--allow-code",) if self._allow_code else ()
            self._process = _start("society.view.interview", str(self._run), *code, talk=True)
            told, _ = self._process.communicate(json.dumps(entry).encode())
        try:
            found = json.loads(told)
            answer, note = found["answer"], found["note"]
        except (ValueError, KeyError, TypeError):
            answer, note = None, "The process that asks has ended; nothing was kept."
        with self._lock:
            entry["answer"], entry["note"] = answer, note
            entry["status"] = "failed" if answer is None else "answered"


def _kept(path: Path, replicate: int) -> list[dict[str, Any]]:
    """Interviews that were answered, from the file beside the run."""
    from society.journal import Journal, JournalError

    if not path.is_file():
        return []
    try:
        with Journal.open(path, readonly=True) as journal:
            events = journal.events(replicate, "interview")
    except JournalError:
        return []
    return [
        {
            "id": -1 - event.data["number"], "replicate": replicate, "uid": event.uid,
            "clock": [event.generation, event.episode, event.step], "status": "answered",
            "question": event.data["question"], "answer": event.data["answer"], "note": "",
        }
        for event in sorted(events, key=lambda event: event.data["number"])
    ]  # fmt: skip


def _start(module: str, *arguments: str, talk: bool = False) -> subprocess.Popen:
    pipe = subprocess.PIPE if talk else subprocess.DEVNULL
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=pipe,
        stdout=pipe,
        stderr=None if talk else subprocess.DEVNULL,
    )


def _counts(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53
