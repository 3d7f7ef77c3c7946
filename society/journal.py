"""The journal: every call, message, event and metric of a run, written once.

SQLite in WAL mode with ``synchronous=FULL``; rows are buffered, and one commit stores a
whole batch. The rule that makes runs durable is *write once, verify again*: a row whose key
exists already must be equal, or the run stops and names the step and the agent. Resuming,
replaying and noticing changed code are this one rule.
"""

import contextlib
import itertools
import json
import sqlite3
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from society.durable import WriteError, killpoint
from society.journal_file import connect, is_old, prepare
from society.journal_rows import (
    TABLES,
    CallKey,
    Divergence,
    JournalError,
    LlmCounts,
    MetricsTable,
    StoredCall,
    StoredEvent,
    StoredMessage,
    StoredMetrics,
    Table,
    beginning_row,
    call_row,
    check_seal,
    event_row,
    message_row,
    metrics_row,
    name_rows,
)

__all__ = [
    "CallKey",
    "Divergence",
    "Journal",
    "JournalError",
    "LlmCounts",
    "MetricsTable",
    "StoredCall",
    "StoredEvent",
    "StoredMessage",
    "StoredMetrics",
]

Result = TypeVar("Result")
_CALL = TABLES["calls"].select(TABLES["calls"].columns[8:])
# Rows that one statement adds: a fourth less time than one by one. Fewer where SQLite takes few
# values: 999 before version 3.32.
_ROWS = 100
_MOST_BEGINNINGS = 1 << 12  # that are held in memory


class Journal:
    """An open journal. Rows become visible and durable at ``flush``, all or none.

    Read-only, nothing is ever written: added rows must exist already, which is a replay.
    One journal may be used from several threads; one process at a time may write.
    """

    def __init__(self, path: Path, database: sqlite3.Connection, readonly: bool, old: bool) -> None:
        """Use ``Journal.open``."""
        self.path = path
        self.readonly = readonly
        self._database = database
        self._old = old
        self._lock = threading.RLock()
        self._pending: dict[str, list[tuple]] = {name: [] for name in TABLES}
        self._sums: list[int] | None = None
        # Numbers of beginnings that are stored, or will be by the next flush, and their texts.
        self._numbers: dict[str, int] = {"": 0}
        self._texts: dict[int, str] = {0: ""}
        # replicate -> (generation, keys of its calls): a question not yet asked costs no query.
        self._asked: dict[int, tuple[int, set[tuple]]] = {}

    @classmethod
    def open(cls, path: str | Path, readonly: bool = False) -> "Journal":
        """Open a journal, making it where there is none.

        Raises:
          JournalError: The file is something else, damaged, or of another version.
          WriteError: A new journal cannot be stored.
        """
        path = Path(path)
        if readonly and not path.is_file():
            raise JournalError(f"there is no journal at {path}; nothing can be replayed from it")
        try:
            database = connect(path, readonly)
            try:
                old = prepare(database, path, readonly)
            except BaseException:
                database.close()
                raise
        except sqlite3.OperationalError as error:
            kind = JournalError if readonly else WriteError
            raise kind(f"could not open the journal {path}: {error}") from error
        except sqlite3.DatabaseError as error:
            raise JournalError(f"{path} is not a readable journal: {error}") from error
        return cls(path, database, readonly, old)

    # ---- calls that were answered ---------------------------------------------------

    def call(self, key: CallKey) -> StoredCall | None:
        """Return what was asked and answered under this key, or None.

        Raises:
          JournalError: The row is damaged.
        """
        return self.calls([key])[0]

    def calls(self, keys: Sequence[CallKey]) -> list[StoredCall | None]:
        """Return what ``call`` would for each of these keys; most of them are new in a run."""
        found: list[StoredCall | None] = []
        with self._reading():
            for key in keys:
                held = self._asked.get(key[0])
                asked = held[1] if held and held[0] == key[1] else self._asked_in(*key[:2])
                found.append(self._found(key) if key in asked else None)
        return found

    def _found(self, key: CallKey) -> StoredCall:
        """Read a call that is known to be stored."""
        row = self._database.execute(_CALL, key).fetchone()
        if row is None:
            raise JournalError(f"{self.path} is damaged: its index names a call it does not hold")
        check_seal(TABLES["calls"], (*key, *row), self.path)
        return StoredCall._make((key, *row[:12], bool(row[12]), row[13], self._beginning(row[14])))

    # ---- adding rows ----------------------------------------------------------------

    def add_calls(self, rows: Iterable[StoredCall]) -> None:
        """Buffer calls until the next ``flush``."""
        calls = list(rows)
        with self._lock:
            numbers = self._numbers
            if len(numbers) > _MOST_BEGINNINGS:  # those that come again are found to be stored
                numbers.clear()
                numbers[""] = 0
            for text in {call.beginning for call in calls} - numbers.keys():
                made = beginning_row(text)
                self._pending["beginnings"].append(made)
                numbers[text] = made[0]
            self._pending["calls"] += [call_row(call, numbers[call.beginning]) for call in calls]

    def add_messages(self, rows: Iterable[StoredMessage]) -> None:
        """Buffer messages until the next ``flush``."""
        self._add("messages", map(message_row, rows))

    def add_events(self, rows: Iterable[StoredEvent]) -> None:
        """Buffer events until the next ``flush``."""
        self._add("events", map(event_row, rows))

    def add_metrics(self, rows: Iterable[StoredMetrics]) -> None:
        """Buffer metrics until the next ``flush``."""
        self._add("metrics", map(metrics_row, rows))

    def add_metrics_block(
        self,
        replicate: int,
        clock: Any,
        values: Any,
        hashes: Sequence[bytes | None] | None = None,
    ) -> None:
        """Buffer the metrics of many steps at once.

        Args:
          replicate: whose they are.
          clock: [T, 3] integer array of (generation, episode, step).
          values: [T, M] float32 array in the order of ``set_metric_names``.
          hashes: one hash of the state (or None) per row.
        """
        data = values.astype("<f4").tobytes()
        width = 4 * values.shape[1]
        states = hashes if hashes is not None else [None] * len(values)
        self._add(
            "metrics",
            [
                metrics_row((replicate, a, b, c, data[index * width : (index + 1) * width], state))
                for index, ((a, b, c), state) in enumerate(zip(clock.tolist(), states, strict=True))
            ],
        )

    def set_metric_names(self, names: Sequence[str]) -> None:
        """Say what the columns of the metrics are called; the same names once and for all.

        Raises:
          Divergence: The journal has other names.
        """
        with self._lock:
            stored = self.metric_names()
            if stored == tuple(names):
                return
            if stored or self.readonly:
                raise Divergence("metric_names", {}, "name", list(stored), list(names))
            rows = name_rows(names)
            self._store(lambda: self._insert(TABLES["metric_names"], rows))

    def flush(self) -> None:
        """Store everything buffered in one commit; only then may answers be used.

        Raises:
          Divergence: A row exists already and differs; nothing of the batch is stored.
          WriteError: The disk is full or broken; nothing is stored, the batch stays buffered.
        """
        with self._lock:
            if not any(self._pending.values()):
                return
            if self.readonly:
                for name, rows in self._pending.items():
                    self._verify(TABLES[name], rows)
                added: dict[str, list[tuple] | None] = {}
            else:
                added = self._store(
                    lambda: {
                        name: self._insert(TABLES[name], rows)
                        for name, rows in self._pending.items()
                        if rows
                    }
                )
            self._count(added)
            for rows in self._pending.values():
                rows.clear()

    def sync(self) -> None:
        """Flush; everything added so far survives a power cut (each commit reaches the disk)."""
        self.flush()

    # ---- reading --------------------------------------------------------------------

    def counts(self) -> LlmCounts:
        """Sum calls, tokens, faults, fallbacks and cost over the journal."""
        with self._lock:
            if self._sums is None:
                self._sums = self._sum_up()
            return LlmCounts._make((*self._sums[:5], self._sums[5] / 1e9))

    def metric_names(self) -> tuple[str, ...]:
        """Names of the columns of the metrics.

        Raises:
          JournalError: One of them is damaged.
        """
        table = TABLES["metric_names"]
        with self._reading():
            rows = self._database.execute(f"{table.select_all()} ORDER BY position").fetchall()
        for row in rows:
            check_seal(table, row, self.path)
        return tuple(name for _, name, _ in rows)

    def metrics(self, replicate: int, before: tuple[int, int, int] | None = None) -> MetricsTable:
        """Return the metrics of a replicate; ``before`` leaves out that clock and later ones.

        Raises:
          JournalError: A row is damaged.
        """
        import numpy as np

        rows = self._read(
            "SELECT * FROM metrics WHERE replicate = ? ORDER BY generation, episode, step",
            (replicate,),
        )
        if before is not None:
            rows = [row for row in rows if row[1:4] < before]
        for row in rows:
            check_seal(TABLES["metrics"], row, self.path)
        values = np.frombuffer(b"".join(row[4] for row in rows), "<f4").astype(np.float32)
        clock = np.array([row[1:4] for row in rows], np.int32).reshape(-1, 3)
        return MetricsTable(clock, values.reshape(len(rows), -1 if rows else 0))

    def messages(self, replicate: int) -> list[StoredMessage]:
        """Return the messages of a replicate in the order in which they were sent."""
        rows = self._read(
            "SELECT * FROM messages WHERE replicate = ? ORDER BY generation, episode, step, "
            "turn, channel, speaker, ordinal",
            (replicate,),
        )
        return [StoredMessage._make((*row[:8], tuple(json.loads(row[8])), row[9])) for row in rows]

    def events(self, replicate: int, kind: str | None = None) -> list[StoredEvent]:
        """Return the events of a replicate in clock order, all or those of one kind."""
        rows = self._read(
            "SELECT * FROM events WHERE replicate = ? AND (? IS NULL OR kind = ?) "
            "ORDER BY generation, episode, step, turn, kind, uid, ordinal",
            (replicate, kind, kind),
        )
        return [StoredEvent._make((*row[:8], json.loads(row[8]))) for row in rows]

    def check(self) -> None:
        """Read everything and raise where a byte is not as it was written.

        Raises:
          JournalError: With the first damaged row, or what SQLite found.
        """
        with self._reading():
            found = self._database.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if found != "ok":
                raise JournalError(f"{self.path} is damaged: {found}")
            for table in TABLES.values():
                for row in self._database.execute(table.select_all()):
                    check_seal(table, row, self.path)
            lacking = "SELECT 1 FROM questions WHERE request IS NULL LIMIT 1"
            if self._database.execute(lacking).fetchone() is not None:
                raise JournalError(f"{self.path} is damaged: a request lacks its beginning")

    def close(self) -> None:
        """Flush and close; closing twice is fine."""
        with self._lock:
            try:
                self.flush()
            finally:
                self._database.close()
                for rows in self._pending.values():
                    rows.clear()

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for rows in self._pending.values():
                rows.clear()
        self.close()

    # ---- inside ---------------------------------------------------------------------

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Hold the journal while it is read; what SQLite says against it is a JournalError."""
        with self._lock:
            try:
                self._old = self._old and is_old(self._database)
                yield
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                raise JournalError(f"{self.path} is damaged: {error}") from error

    def _beginning(self, number: int) -> str:
        """What the requests with this number begin with."""
        text = self._texts.get(number)
        if text is None:
            table = TABLES["beginnings"]
            query = table.select(table.columns[1:])
            row = self._database.execute(query, (number,)).fetchone()
            if row is None:
                raise JournalError(f"{self.path} is damaged: a request lacks its beginning")
            check_seal(table, (number, *row), self.path)
            if len(self._texts) > _MOST_BEGINNINGS:
                self._texts = {0: ""}
            text = self._texts[number] = row[0]
        return text

    def _asked_in(self, replicate: int, generation: int) -> set[tuple]:
        """Keys of the stored calls of a generation; one generation a replicate is kept."""
        columns = ", ".join(TABLES["calls"].key)
        query = f"SELECT {columns} FROM calls WHERE replicate = ? AND generation = ?"
        asked = set(self._database.execute(query, (replicate, generation)))
        self._asked[replicate] = generation, asked
        return asked

    def _add(self, table: str, rows: Iterable[tuple]) -> None:
        made = list(rows)
        with self._lock:
            self._pending[table].extend(made)

    def _read(self, query: str, values: tuple = ()) -> list[tuple]:
        with self._lock:
            self.flush()
            with self._reading():
                return self._database.execute(query, values).fetchall()

    def _store(self, write: Callable[[], Result]) -> Result:
        """Run a function inside one transaction."""
        try:
            self._database.execute("BEGIN IMMEDIATE")
            result = write()
            killpoint("journal.before_commit")
            self._database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            self._roll_back()
            raise WriteError(
                f"could not write to the journal {self.path}: {error}; nothing of this batch was "
                "stored or used. Free space or repair the disk, then use `society resume`"
            ) from error
        except sqlite3.DatabaseError as error:
            self._roll_back()
            raise JournalError(f"{self.path} is damaged: {error}") from error
        except BaseException:
            self._roll_back()
            raise
        killpoint("journal.after_commit")
        return result

    def _roll_back(self) -> None:
        try:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # the transaction is void whether or not SQLite can say so; the cause is raised

    def _insert(self, table: Table, rows: list[tuple]) -> list[tuple] | None:
        """Insert rows and verify those that exist; return the new ones, None if mixed."""
        before = self._database.total_changes
        most = self._database.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        each = min(_ROWS, most // len(table.columns))
        whole = len(rows) - len(rows) % each
        for start in range(0, whole, each):
            values = itertools.chain.from_iterable(rows[start : start + each])
            self._database.execute(table.insert(each), tuple(values))
        self._database.executemany(table.insert(), rows[whole:])
        new = self._database.total_changes - before
        if new == len(rows):
            return rows
        self._verify(table, rows)
        return [] if new == 0 else None

    def _verify(self, table: Table, rows: list[tuple]) -> None:
        """Raise Divergence at the first row that is not stored exactly so."""
        names = table.columns[: table.fixed]
        start = len(table.key)
        query = table.select(table.columns[start:])
        for row in rows:
            stored = self._database.execute(query, row[:start]).fetchone()
            if stored is not None and stored[: len(table.compared)] == row[start : table.fixed]:
                continue
            place = dict(zip(table.key, row, strict=False))
            if stored is None:
                raise Divergence(table.name, place, "", None, None)
            check_seal(table, (*row[:start], *stored), self.path)
            for name, old, new in zip(names[start:], stored, row[start:], strict=False):
                if old != new:
                    raise Divergence(table.name, place, *self._detail(name, old, new))

    def _detail(self, column: str, stored: Any, computed: Any) -> tuple[str, Any, Any]:
        """Say which metric differs rather than that a blob does."""
        if column != "values_f32" or len(stored) != len(computed):
            return column, stored, computed
        width = len(stored) // 4
        index = next(i for i in range(width) if stored[4 * i :][:4] != computed[4 * i :][:4])
        names = dict(enumerate(self.metric_names()))
        old, new = (struct.unpack_from("<f", blob, 4 * index)[0] for blob in (stored, computed))
        return names.get(index, f"value {index}"), old, new

    def _count(self, added: dict[str, list[tuple] | None]) -> None:
        """Keep the index and the sums up to date with rows that are now stored."""
        place, held, asked = None, None, set[tuple]()
        for row in self._pending["calls"]:
            if row[0] != place:
                place = row[0]
                held, asked = self._asked.get(place, (None, set()))
            if row[1] == held:
                asked.add(row[:8])
        if self._sums is None or not added:
            return
        calls, events = added.get("calls", []), added.get("events", [])
        if calls is None or events is None:
            self._sums = None
            return
        for row in calls:
            for index, value in enumerate((1, row[14], row[15], row[17])):
                self._sums[index] += value
            self._sums[5] += round(row[16] * 1e9)
        self._sums[4] += sum(row[5] == "fallback" for row in events)

    def _sum_up(self) -> list[int]:
        sums = self._database.execute(
            "SELECT count(*), total(prompt_tokens), total(completion_tokens), total(faults) "
            "FROM calls"
        ).fetchone()
        fallbacks = self._database.execute(
            "SELECT count(*) FROM events WHERE kind = 'fallback'"
        ).fetchone()
        costs = self._database.execute("SELECT cost_usd FROM calls WHERE cost_usd != 0")
        return [*map(int, sums), *fallbacks, sum(round(cost * 1e9) for (cost,) in costs)]
