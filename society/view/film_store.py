"""What a retrace found out, in a file of its own that the server reads while it grows.

A *snapshot* is what was there before one tick: who held which slot, with which strategy, tied
to whom, where, and a picture where the world draws one. SQLite, like the journal; the file is
the viewer's and goes with it.
"""

import json
import sqlite3
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["FilmStore"]

_TABLES = (
    "CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, data TEXT)",
    "CREATE TABLE IF NOT EXISTS snapshots (seq INTEGER PRIMARY KEY, tick INTEGER, data TEXT)",
    "CREATE TABLE IF NOT EXISTS pictures (seq INTEGER PRIMARY KEY, png BLOB)",
    "CREATE TABLE IF NOT EXISTS minds (seq INTEGER, slot INTEGER, data TEXT, "
    "PRIMARY KEY (seq, slot))",
    "CREATE TABLE IF NOT EXISTS edges (version INTEGER PRIMARY KEY, data TEXT)",
)
_BATCH = 48


class FilmStore:
    """One process writes, another reads; every write is one commit."""

    def __init__(self, path: Path) -> None:
        """Open the file, making it where there is none."""
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("PRAGMA synchronous=OFF")
        for table in _TABLES:
            self._database.execute(table)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()

    # ---- writing ------------------------------------------------------------------------

    def tell(self, name: str, data: Any) -> None:
        """Keep a fact under a name, replacing what was there."""
        self._write("INSERT OR REPLACE INTO facts VALUES (?, ?)", (name, _json(data)))

    def add_edges(self, edges: list[list[int]]) -> int:
        """Keep ties; returns the number under which they are found."""
        return self._write("INSERT INTO edges (data) VALUES (?)", (_json(edges),))

    def add(
        self, tick: int, data: Mapping[str, Any], png: bytes | None, minds: Mapping[int, Any]
    ) -> None:
        """Keep a snapshot with its picture and the minds of language agents by slot."""
        with self._lock:
            self._database.execute("BEGIN")
            seq = self._database.execute(
                "INSERT INTO snapshots (tick, data) VALUES (?, ?)", (tick, _json(data))
            ).lastrowid
            if png is not None:
                self._database.execute("INSERT INTO pictures VALUES (?, ?)", (seq, png))
            rows = [(seq, slot, _json(mind)) for slot, mind in minds.items()]
            self._database.executemany("INSERT INTO minds VALUES (?, ?, ?)", rows)
            self._database.execute("COMMIT")

    # ---- reading ------------------------------------------------------------------------

    def fact(self, name: str) -> Any:
        """What was last told under a name, or None."""
        rows = self._read("SELECT data FROM facts WHERE name = ?", (name,))
        return json.loads(rows[0][0]) if rows else None

    def count(self) -> int:
        """How many snapshots there are."""
        return self._read("SELECT count(*) FROM snapshots", ())[0][0]

    def snapshots(self, after: int) -> dict[str, Any]:
        """Snapshots behind a number, in the order in which they were made."""
        rows = self._read(
            "SELECT seq, tick, data, EXISTS (SELECT 1 FROM pictures WHERE seq = snapshots.seq) "
            f"FROM snapshots WHERE seq > ? ORDER BY seq LIMIT {_BATCH}",
            (after,),
        )
        made = [
            {"seq": seq, "tick": tick, **json.loads(data), "picture": bool(drawn)}
            for seq, tick, data, drawn in rows
        ]
        return {"rows": made, "more": len(rows) == _BATCH}

    def picture(self, seq: int) -> bytes | None:
        """The PNG of a snapshot."""
        rows = self._read("SELECT png FROM pictures WHERE seq = ?", (seq,))
        return rows[0][0] if rows else None

    def mind(self, seq: int, slot: int) -> Any:
        """What a language agent had in mind, at that snapshot or the last one that kept it."""
        rows = self._read(
            "SELECT data FROM minds WHERE slot = ? AND seq <= ? ORDER BY seq DESC LIMIT 1",
            (slot, seq),
        )
        return json.loads(rows[0][0]) if rows else None

    def edges(self, version: int) -> list[list[int]] | None:
        """Ties by their number."""
        rows = self._read("SELECT data FROM edges WHERE version = ?", (version,))
        return json.loads(rows[0][0]) if rows else None

    # ---- inside -------------------------------------------------------------------------

    def _write(self, query: str, values: tuple) -> int:
        with self._lock:
            return self._database.execute(query, values).lastrowid or 0

    def _read(self, query: str, values: tuple) -> list[tuple]:
        with self._lock:
            return self._database.execute(query, values).fetchall()


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
