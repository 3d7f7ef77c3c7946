"""Rows of the journal, the tables that hold them, and what can be wrong with them."""

import functools
import hashlib
import struct
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from society.canonical import canonical, storable

__all__ = [
    "TABLES",
    "CallKey",
    "Divergence",
    "JournalError",
    "LlmCounts",
    "MetricsTable",
    "StoredCall",
    "StoredEvent",
    "StoredMessage",
    "StoredMetrics",
    "Table",
    "beginning_row",
    "call_row",
    "check_seal",
    "event_row",
    "message_row",
    "metrics_row",
    "name_rows",
    "seal",
]


class CallKey(NamedTuple):
    """Which call of a run this is; uid -1 speaks for nobody (an archetype, a judge)."""

    replicate: int
    generation: int
    episode: int
    step: int
    turn: int
    uid: int
    purpose: str
    ordinal: int = 0


class StoredCall(NamedTuple):
    """One question to a model and its answer, as a mind saw it.

    request_hash: of the canonical request (``canonical.fingerprint``), which is ``beginning``,
    the same in many calls and stored once, followed by ``request``; one JSON text together.
    response: a JSON text. status: "ok" or "error". faults: failed attempts before the answer.
    The fields after ``faults`` tell how it went, not what was said; they are never compared.
    """

    key: CallKey
    request_hash: str
    request: str
    response: str
    status: str = "ok"
    backend: str = ""
    model: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0
    faults: int = 0
    latency_s: float = 0.0
    attempts: int = 1
    cached: bool = False
    at: float = 0.0
    beginning: str = ""


class StoredMessage(NamedTuple):
    """A text that was sent: by the speaker's uid, to the recipients' uids, in its order."""

    replicate: int
    generation: int
    episode: int
    step: int
    turn: int
    channel: str
    speaker: int
    ordinal: int
    recipients: Sequence[int]
    text: str


class StoredEvent(NamedTuple):
    """Something that happened to an agent (uid) or, with uid -1, to the run.

    kind: "birth", "death", "fallback", "parse_failure", "intervention", "survey", ...
    data: any JSON value.
    """

    replicate: int
    generation: int
    episode: int
    step: int
    turn: int
    kind: str
    uid: int
    ordinal: int
    data: Any


class StoredMetrics(NamedTuple):
    """The metrics of one step: float32 little-endian, in the order of ``metric_names``."""

    replicate: int
    generation: int
    episode: int
    step: int
    values: bytes
    state_hash: bytes | None = None


class MetricsTable(NamedTuple):
    """Metrics of one replicate in clock order.

    clock: [T, 3] int32 (generation, episode, step). values: [T, M] float32.
    """

    clock: Any
    values: Any


class LlmCounts(NamedTuple):
    """Sums over the journal; cost in US dollars, exact to 1e-9."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    faults: int = 0
    fallbacks: int = 0
    cost_usd: float = 0.0


class JournalError(ValueError):
    """A file is not a journal, is damaged, or is of another version."""


class Divergence(RuntimeError):  # noqa: N818
    """A step did something else than the journal says it did.

    Attributes: table, place (key column -> value), column, stored, computed; stored is None
    and column is "" where a replay asks for a row that does not exist.
    """

    def __init__(
        self, table: str, place: dict[str, Any], column: str, stored: Any, computed: Any
    ) -> None:
        self.table, self.place, self.column = table, place, column
        self.stored, self.computed = stored, computed
        super().__init__(_divergence_message(self))


class Table(NamedTuple):
    """A table: its key, the columns that must be equal, and those that only inform."""

    name: str
    key: tuple[str, ...]
    compared: tuple[str, ...]
    operational: tuple[str, ...] = ()

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, in order; ``seal`` is a checksum over key and content."""
        return self.key + self.compared + self.operational + ("seal",)

    @property
    def fixed(self) -> int:
        """Number of leading columns that never change: key and compared ones."""
        return len(self.key) + len(self.compared)

    def create(self, create: str = "CREATE") -> str:
        """The statement that makes the table."""
        columns = ", ".join(f"{name} {_TYPES.get(name, 'INTEGER')}" for name in self.columns)
        tail = " WITHOUT ROWID" if self.name == "metrics" else ""
        return f"{create} TABLE {self.name} ({columns}, PRIMARY KEY ({', '.join(self.key)})){tail}"

    def insert(self, rows: int = 1) -> str:
        """The statement that adds rows unless their keys exist."""
        return _insertion(self, rows)

    def select(self, columns: Sequence[str]) -> str:
        """The statement that finds columns by key."""
        where = " AND ".join(f"{name} = ?" for name in self.key)
        return f"SELECT {', '.join(columns)} FROM {self.name} WHERE {where}"

    def select_all(self) -> str:
        """The statement that gives every row as it is checked."""
        return f"SELECT {', '.join(self.columns)} FROM {self.name}"


@functools.cache
def _insertion(table: Table, rows: int) -> str:
    """One text for each number of rows: SQLite's module finds its statement by it."""
    one = f"({', '.join('?' * len(table.columns))})"
    into = f"{table.name} ({', '.join(table.columns)})"
    return f"INSERT INTO {into} VALUES {', '.join([one] * rows)} ON CONFLICT DO NOTHING"


_pack_clock = struct.Struct("<4q").pack
_CLOCK = ("replicate", "generation", "episode", "step")
TABLES = {
    table.name: table
    for table in (
        Table(
            "calls",
            (*_CLOCK, "turn", "uid", "purpose", "ordinal"),
            (*StoredCall._fields[1:11],),
            (*StoredCall._fields[11:],),
        ),
        Table(
            "messages", (*_CLOCK, "turn", "channel", "speaker", "ordinal"), ("recipients", "text")
        ),
        Table("events", (*_CLOCK, "turn", "kind", "uid", "ordinal"), ("data",)),
        Table("metrics", _CLOCK, ("values_f32", "state_hash")),
        Table("metric_names", ("position",), ("name",)),
        Table("beginnings", ("beginning",), ("text",)),
    )
}
_TYPES = {
    **dict.fromkeys(("cost_usd", "latency_s", "at"), "REAL"),
    **dict.fromkeys(("values_f32", "state_hash"), "BLOB"),
    **dict.fromkeys(("purpose", "channel", "kind", "recipients", "text", "data", "name"), "TEXT"),
    **dict.fromkeys(("request_hash", "request", "response", "status", "backend", "model"), "TEXT"),
}
_BETWEEN = "\x1f"
_COUNTS = ("prompt_tokens", "completion_tokens", "faults", "attempts")


def name_rows(names: Iterable[str]) -> list[tuple]:
    """Columns of table metric_names: the name of each column of the metrics."""
    return [(*fixed, seal(fixed)) for fixed in enumerate(map(storable, names))]


def beginning_row(text: str) -> tuple:
    """Columns of table beginnings: a text and its number, which is drawn from its content."""
    text = storable(text)
    digest = hashlib.sha256(text.encode()).digest()
    fixed = int.from_bytes(digest[:8], "big") >> 1, text
    return (*fixed, seal(fixed))


def call_row(call: StoredCall, beginning: int = 0) -> tuple:
    """Columns of table calls; of all the one with the most columns, so spelt out.

    The number of its beginning is sealed where it is not 0, as in all rows of schema 1.
    """
    (
        key, hashed, request, response, status, backend, model, read, written, cost, faults,
        latency, attempts, cached, at, _,
    ) = call  # fmt: skip
    replicate, generation, episode, step, turn, uid, purpose, ordinal = key
    if not (
        int is type(replicate) is type(generation) is type(episode) is type(step) is type(turn)
        is type(uid) is type(ordinal) is type(read) is type(written) is type(faults)
        is type(attempts) and type(cost) is type(latency) is type(at) is float
    ):  # fmt: skip
        return call_row(_plain_call(call), beginning)
    if not (purpose.isascii() and request.isascii() and response.isascii()):
        purpose, request, response = storable(purpose), storable(request), storable(response)
    if not (backend.isascii() and model.isascii()):
        backend, model = storable(backend), storable(model)
    sealed = (
        f"{replicate}\x1f{generation}\x1f{episode}\x1f{step}\x1f{turn}\x1f{uid}\x1f{purpose}\x1f"
        f"{ordinal}\x1f{hashed}\x1f{request}\x1f{response}\x1f{status}\x1f{backend}\x1f{model}\x1f"
        f"{read}\x1f{written}\x1f{cost}\x1f{faults}{f'{_BETWEEN}{beginning}' if beginning else ''}"
    )
    return (
        replicate, generation, episode, step, turn, uid, purpose, ordinal,
        hashed, request, response, status, backend, model, read, written, cost, faults,
        latency, attempts, 1 if cached else 0, at, beginning,
        zlib.crc32(sealed.encode()),
    )  # fmt: skip


def _plain_call(call: StoredCall) -> StoredCall:
    """The call with Python's own numbers, where some came from an array."""
    *place, purpose, ordinal = call.key
    return call._replace(
        key=CallKey._make((*map(int, place), purpose, int(ordinal))),
        **{name: int(getattr(call, name)) for name in _COUNTS},
        **{name: float(getattr(call, name)) for name in ("cost_usd", "latency_s", "at")},
    )


def message_row(row: StoredMessage) -> tuple:
    """Columns of table messages."""
    fixed = (
        *map(int, row[:5]),
        storable(row.channel),
        int(row.speaker),
        int(row.ordinal),
        canonical(row.recipients),
        storable(row.text),
    )
    return (*fixed, seal(fixed))


def event_row(row: StoredEvent) -> tuple:
    """Columns of table events."""
    fixed = (
        *map(int, row[:5]),
        storable(row.kind),
        int(row.uid),
        int(row.ordinal),
        canonical(row.data),
    )
    return (*fixed, seal(fixed))


def metrics_row(row: StoredMetrics | tuple) -> tuple:
    """Columns of table metrics; row by row the fastest of the four, for there are most."""
    replicate, generation, episode, step, values, state = row
    head = _pack_clock(replicate, generation, episode, step) + (state or b"")
    return (
        replicate, generation, episode, step, values, state, zlib.crc32(values, zlib.crc32(head))
    )  # fmt: skip


def seal(fixed: tuple) -> int:
    """Checksum of key and content: SQLite does not notice a flipped bit in a text."""
    return zlib.crc32((_sealed(len(fixed)) % fixed).encode())


@functools.cache
def _sealed(columns: int) -> str:
    return _BETWEEN.join(["%s"] * columns)


def check_seal(table: Table, row: tuple, path: Any) -> None:
    """Raise JournalError where a whole stored row, all its columns, is not as it was written."""
    try:
        fixed = row[: table.fixed]
        if table.name == "calls" and row[-2]:
            fixed = (*fixed, row[-2])  # the number of its beginning
        intact = metrics_row(fixed)[-1] if table.name == "metrics" else seal(fixed)
    except (TypeError, ValueError, struct.error):  # a column changed its type
        intact = None
    if row[-1] != intact:
        place = dict(zip(table.key, row, strict=False))
        raise JournalError(f"{path} is damaged: a row of {table.name} has changed, at {place}")


def _divergence_message(error: Divergence) -> str:
    place = ", ".join(
        f"{'agent' if name in ('uid', 'speaker') else name} {value!r}"
        for name, value in error.place.items()
    )
    where = f"{error.table} at {place}" if place else error.table
    if not error.column:
        return (
            f"{where}: this row is computed now, but the run's journal does not have it. "
            "A replay may do only what the run did; the code or the scenario has changed"
        )
    return (
        f"{where}: {error.column} was {_short(error.stored)} and is {_short(error.computed)} now. "
        "The code, the scenario or a version has changed since the run wrote it; go back to what "
        "manifest.json names, or begin a new run"
    )


def _short(value: Any, limit: int = 120) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit // 2]}…{text[-limit // 2 :]}"
