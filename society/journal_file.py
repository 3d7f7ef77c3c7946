"""The journal's file: how SQLite opens it, what is in it, and files of earlier versions.

Requests of a group begin alike, with who one is and how the world works, which is most of
their text. Such a beginning is stored once, in table ``beginnings``; ``calls`` holds its number
and what follows, and the view ``questions`` puts both together again.
"""

import os
import sqlite3
from pathlib import Path
from urllib.parse import quote

from society.journal_rows import TABLES, JournalError, name_rows

__all__ = ["connect", "is_old", "prepare"]

SCHEMA = 2
_APPLICATION = 0x534F4349  # "SOCI", in the header of the file
# A call takes about 700 bytes: eleven fit on a page, where five fit on SQLite's usual 4 kB.
# A journal that exists keeps the size it was made with.
_PAGE_BYTES = 1 << 13
_WAL_BYTES = 1 << 24
_NEW_TABLES = ("beginnings", "metric_names")  # of version 2
_SHOWN = ", ".join(
    "CASE calls.beginning WHEN 0 THEN request ELSE text || request END AS request"
    if name == "request"
    else f"calls.{name}"
    for name in ("rowid", *TABLES["calls"].columns)
)
_QUESTIONS = (
    f"VIEW questions AS SELECT {_SHOWN} FROM calls "
    "LEFT JOIN beginnings ON beginnings.beginning = calls.beginning"
)


def prepare(database: sqlite3.Connection, path: Path, readonly: bool) -> bool:
    """Make tables where there are none, and bring those of version 1 up to date.

    Read-only, nothing in the file is touched, and what version 1 lacks is in memory. Calls that
    it holds keep their requests whole; they cannot be added again in two parts.

    Returns:
      True where a file of version 1 is read.

    Raises:
      JournalError: The file is something else, or of another version.
    """
    if not readonly and _is_empty(database):
        _create(database)
    if _version(database, path) != 1:
        return False
    database.execute("BEGIN" if readonly else "BEGIN IMMEDIATE")
    if _version(database, path) == 1:  # nobody was faster
        _bring_up_to_date(database, readonly)
    database.execute("COMMIT")
    return readonly


def _bring_up_to_date(database: sqlite3.Connection, readonly: bool) -> None:
    """Add what version 1 lacks, to the file or beside it."""
    names = database.execute("SELECT name FROM metric_names ORDER BY position").fetchall()
    if readonly:
        rows = "SELECT rowid, *, 0 AS beginning FROM main.calls"
        database.execute(f"CREATE TEMP VIEW calls AS {rows}")
    else:
        database.execute("ALTER TABLE calls ADD COLUMN beginning INTEGER DEFAULT 0")
        database.execute("DROP TABLE metric_names")
        database.execute(f"PRAGMA user_version={SCHEMA}")
    create = "CREATE TEMP" if readonly else "CREATE"
    for new in _NEW_TABLES:
        database.execute(TABLES[new].create(create))
    database.execute(f"{create} {_QUESTIONS}")
    database.executemany(TABLES["metric_names"].insert(), name_rows(n for (n,) in names))


def is_old(database: sqlite3.Connection) -> bool:
    """True while a file that is read is of version 1.

    Once somebody else has brought it up to date, what stood in for the rest is let go of.
    """
    if database.execute("PRAGMA main.user_version").fetchone()[0] == 1:
        return True
    for view in ("questions", "calls"):
        database.execute(f"DROP VIEW temp.{view}")
    for table in _NEW_TABLES:
        database.execute(f"DROP TABLE temp.{table}")
    return False


def connect(path: Path, readonly: bool) -> sqlite3.Connection:
    """Open a file as a journal is kept: a commit reaches the disk before it returns."""
    if readonly:
        mode = "mode=ro"
        if not (path.with_name(path.name + "-wal").exists() or os.access(path.parent, os.W_OK)):
            mode = "immutable=1"  # SQLite wants a shared-memory file beside a WAL journal
        uri = f"file:{quote(str(path.resolve()))}?{mode}"
        return sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
    database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    try:
        database.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute(f"PRAGMA wal_autocheckpoint={_WAL_BYTES // _PAGE_BYTES}")
        database.execute("PRAGMA cache_size=-16000")
    except BaseException:
        database.close()
        raise
    return database


def _is_empty(database: sqlite3.Connection) -> bool:
    """True for a new file, also one whose making was cut short."""
    tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return tables == 0 and database.execute("PRAGMA application_id").fetchone()[0] == 0


def _create(database: sqlite3.Connection) -> None:
    database.execute("BEGIN IMMEDIATE")
    for table in TABLES.values():
        database.execute(table.create())
    database.execute(f"CREATE {_QUESTIONS}")
    database.execute(f"PRAGMA application_id={_APPLICATION}")
    database.execute(f"PRAGMA user_version={SCHEMA}")
    database.execute("COMMIT")


def _version(database: sqlite3.Connection, path: Path) -> int:
    application = database.execute("PRAGMA application_id").fetchone()[0]
    version = database.execute("PRAGMA user_version").fetchone()[0]
    if application != _APPLICATION:
        raise JournalError(f"{path} is an SQLite file, but not the journal of a run")
    if version not in (1, SCHEMA):
        raise JournalError(
            f"{path} has journal schema {version}, this version of societylab reads 1 and "
            f"{SCHEMA}; use the version that manifest.json names under versions.societylab"
        )
    return version
