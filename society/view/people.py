"""What agents said, were asked and answered, and who they are: from the journal."""

import contextlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from society.view.server import BadRequest
from society.view.source import MOST_ROWS, RunSource

__all__ = ["People"]

_SHORT = 280
# The + keeps SQLite from finding all rows of a replicate by its index and sorting them.
_TABLES = {
    "messages": "SELECT rowid, generation, episode, step, turn, speaker, channel, recipients, text "
    "FROM messages WHERE +replicate = ? AND rowid > ?",
    "calls": "SELECT rowid, generation, episode, step, turn, uid, purpose, status, response, "
    "request FROM questions WHERE +replicate = ? AND rowid > ?",
    "events": "SELECT rowid, generation, episode, step, turn, uid, kind, data FROM events "
    "WHERE +replicate = ? AND rowid > ?",
}
_SEARCHED = {"messages": "text", "calls": "response", "events": "data"}


class People:
    """The journal's rows about agents, as the page asks for them."""

    def __init__(self, source: RunSource) -> None:
        self._source = source

    def log(self, kind: str, replicate: int, after: int = 0, search: str = "") -> dict[str, Any]:
        """Rows of one kind in the order in which they were written, at most ``MOST_ROWS``.

        Args:
          kind: messages, calls or events. after: number of the last row that is known.
          search: a text that they must contain, whatever its case.

        Raises:
          BadRequest: There is no such kind.
        """
        if kind not in _TABLES:
            raise BadRequest(f"kind {kind!r} is none of: {', '.join(_TABLES)}")
        query = _TABLES[kind]
        values: list[int | str] = [replicate, after]
        if search:
            query += f" AND {_SEARCHED[kind]} LIKE ? ESCAPE '\\'"
            values.append(f"%{_escaped(search)}%")
        rows = self._source.rows(f"{query} ORDER BY rowid LIMIT {MOST_ROWS}", values)
        make = {"messages": _message, "calls": _call, "events": _event}[kind]
        return {
            "rows": [made for row in rows if (made := make(row)) is not None],
            "last": rows[-1][0] if rows else after,
            "more": len(rows) == MOST_ROWS,
        }

    def call(self, row: int) -> dict[str, Any]:
        """One question to a model in full: prompt, answer, tokens, time.

        Raises:
          BadRequest: There is no such row.
        """
        found = self._source.rows(
            "SELECT generation, episode, step, turn, uid, purpose, request, response, status, "
            "backend, model, prompt_tokens, completion_tokens, faults, latency_s, cached "
            "FROM questions WHERE rowid = ?",
            (row,),
        )
        if not found:
            raise BadRequest(f"there is no call {row}", 404)
        call = found[0]
        names = ("status", "backend", "model", "prompt_tokens", "completion_tokens", "faults")
        return {
            "clock": call[:4],
            "uid": call[4],
            "purpose": call[5],
            "prompt": _prompt(call[6]),
            "options": _options(call[6]),
            "answer": _answer_of(call[7], call[6]),
            **dict(zip(names, call[8:14], strict=True)),
            "latency_s": call[14],
            "cached": bool(call[15]),
        }

    def born(self, replicate: int) -> dict[str, Any]:
        """Everybody whose birth is in the journal: uid, slot, parents, clock, name, text.

        Births and deaths inside steps ("lives") are given as the rows of their events.
        """
        rows = self._source.rows(
            "SELECT kind, generation, episode, step, uid, data FROM events WHERE replicate = ? "
            "AND kind IN ('birth', 'births', 'lives') ORDER BY generation, episode, step, rowid",
            (replicate,),
        )
        people: dict[int, dict[str, Any]] = {}
        for kind, *clock, uid, text in rows:
            data = json.loads(text)
            if kind == "birth":
                _meet(people, uid, data.get("slot", uid), data.get("parents", ()), clock)
                people[uid] |= {"name": data.get("name", ""), "text": data.get("text", "")}
            elif kind == "births":
                for child, parent, slot in data:
                    _meet(people, child, slot, [parent], clock)
            else:
                _lives(people, data, clock)
        return {"people": sorted(people.values(), key=lambda one: one["uid"])[:MOST_PEOPLE]}


MOST_PEOPLE = 20_000


def _meet(
    people: dict[int, dict[str, Any]], uid: int, slot: int, parents: Iterable[int], clock: list
) -> None:
    known = people.setdefault(uid, {"uid": uid, "slot": slot, "born": clock, "parents": []})
    given = [parent for parent in parents if parent >= 0]
    known["parents"] = known["parents"] or given


def _lives(people: dict[int, dict[str, Any]], data: Mapping[str, Any], clock: list) -> None:
    for row in data.get("born", ()):
        _meet(people, row[0], row[3], row[1:3], clock)
    for row in data.get("died", ()):
        uid = row[0] if isinstance(row, list) else row
        if uid in people:
            people[uid]["died"] = clock


def _message(row: tuple) -> dict[str, Any]:
    return {
        "row": row[0], "clock": row[1:5], "uid": row[5], "channel": row[6],
        "to": json.loads(row[7]), "text": row[8],
    }  # fmt: skip


def _call(row: tuple) -> dict[str, Any]:
    return {
        "row": row[0], "clock": row[1:5], "uid": row[5], "purpose": row[6], "status": row[7],
        "text": _short(_answer_of(row[8], row[9])),
    }  # fmt: skip


def _event(row: tuple) -> dict[str, Any] | None:
    kind, data = row[6], json.loads(row[7])
    if kind in ("births", "lives"):
        return None
    if kind == "world" and isinstance(data, Mapping):
        kind, data = str(data.get("kind")), data.get("data")
    return {
        "row": row[0], "clock": row[1:5], "uid": row[5], "kind": kind, "text": _short(_said(data))
    }  # fmt: skip


def _said(data: Any) -> str:
    """What an event holds, as one line for people."""
    if isinstance(data, Mapping):
        if "question" in data and "answer" in data:
            return f"{data['question']}: {data['answer']}"
        if "text" in data:
            return str(data["text"])
        return " · ".join(
            f"{name} {value if isinstance(value, str | int | float) else json.dumps(value)}"
            for name, value in data.items()
            if value not in ("", [], None)
        )
    return data if isinstance(data, str) else json.dumps(data)


def _prompt(request: str) -> list[list[str]]:
    """(role, text) of the messages of a stored request."""
    with contextlib.suppress(ValueError, TypeError, IndexError):
        return [[str(role), str(text)] for role, text in json.loads(request)[1]]
    return []


def _options(request: str) -> list[str] | None:
    with contextlib.suppress(ValueError, TypeError, IndexError):
        found = json.loads(request)[3]
        return [str(option) for option in found] if found else None
    return None


def _answer_of(response: str, request: str) -> str:
    """The text of a stored response, or the option that it chose."""
    with contextlib.suppress(ValueError, AttributeError, TypeError):
        found = json.loads(response)
        if found.get("text"):
            return str(found["text"])
        options, choice = _options(request), found.get("choice")
        if options and isinstance(choice, int) and 0 <= choice < len(options):
            return options[choice]
        if found.get("error"):
            return str(found["error"])
    return response


def _short(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[: _SHORT - 1]}…"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
