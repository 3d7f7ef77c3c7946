"""Tables of people: CSV, JSON or Parquet files, or rows written into the scenario."""

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from society.files import digest, inside
from society.yaml_safe import scalar

if TYPE_CHECKING:
    import numpy as np

__all__ = ["Table", "draw_rows", "read_table", "table_of_rows"]


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of equal length. ``path`` and ``sha256`` are empty for rows written inline."""

    columns: Mapping[str, Sequence[Any]]
    path: str = ""
    sha256: str = ""

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def arrays(self) -> "dict[str, np.ndarray]":
        """Name -> [rows] array; numbers stay numbers, mixtures become texts."""
        import numpy as np

        found = {}
        for name, values in self.columns.items():
            mixed = any(isinstance(value, str) or value is None for value in values)
            found[name] = np.asarray(
                ["" if v is None else str(v) for v in values] if mixed else values
            )
        return found

    def rows(self) -> list[dict[str, Any]]:
        """The rows, as they would be written inline."""
        names = list(self.columns)
        return [
            dict(zip(names, row, strict=True)) for row in zip(*self.columns.values(), strict=True)
        ]


def read_table(folders: Sequence[Path], path: str) -> Table:
    """Read a table from a file inside the scenario's folder; the suffix names its format.

    Raises:
      ValueError: The file may not or cannot be read.
    """
    found = inside(folders, path)
    readers = {".csv": _read_csv, ".json": _read_json, ".parquet": _read_parquet}
    reader = readers.get(found.suffix.lower())
    if reader is None:
        raise ValueError(f"{path!r} is no table; write a .csv, .json or .parquet file")
    try:
        columns = reader(found)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"cannot read {path!r}: {error}") from None
    except ValueError as error:
        raise ValueError(f"{path!r}: {error}") from None
    return Table(columns, path, digest(found))


def table_of_rows(rows: Sequence[Any]) -> Table:
    """Make a table of rows, which must all have the same keys.

    Raises:
      ValueError: A row is no map, or has other keys, or holds something nested.
    """
    if not rows:
        raise ValueError("the table has no rows")
    names = list(rows[0]) if isinstance(rows[0], Mapping) else []
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping) or not row:
            raise ValueError(f"row {number + 1} is no map; write {{name: Ann, age: 30}}")
        if set(row) != set(names):
            odd = sorted(set(row) ^ set(names))
            raise ValueError(f"row {number + 1} differs from the first in {', '.join(odd)}")
        for name, value in row.items():
            if isinstance(value, list | dict | tuple):
                raise ValueError(f"row {number + 1}: {name} holds no single value")
            if isinstance(value, float) and not math.isfinite(value):
                raise ValueError(f"row {number + 1}: {name} is {value}")
    return Table({name: [row[name] for row in rows] for name in names})


def draw_rows(
    table: Table, num: int, draw: str, weight: str | None, rng: "np.random.Generator"
) -> "np.ndarray":
    """Return [num] int row indices.

    ``in_order`` starts again after the last row; ``without_replacement`` does so with a new
    shuffle, which only slots kept for births can need.
    """
    import numpy as np

    size = len(table)
    if draw == "in_order":
        return np.arange(num) % size
    shares = None
    if weight:
        shares = np.asarray(table.columns[weight], float)
        shares = shares / shares.sum()
    if draw == "with_replacement":
        return rng.choice(size, num, p=shares)
    rounds = [
        rng.choice(size, min(size, num - start), replace=False, p=shares)
        for start in range(0, num, size)
    ]
    return np.concatenate([np.zeros(0, np.int64), *rounds])


def _read_csv(path: Path) -> dict[str, list[Any]]:
    text = path.read_text(encoding="utf-8-sig")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    names = [name.strip() for name in next(reader, [])]
    if not names or "" in names or len(set(names)) < len(names):
        raise ValueError("the first line must name every column once")
    rows = [row for row in reader if row]
    for row in rows:
        if len(row) != len(names):
            raise ValueError(
                f"line {reader.line_num}: a row has {len(row)} of {len(names)} columns"
            )
    if not rows:
        raise ValueError("there are no rows")
    return {name: _typed([row[index] for row in rows]) for index, name in enumerate(names)}


def _read_json(path: Path) -> dict[str, Sequence[Any]]:
    rows = json.loads(path.read_bytes())
    if not isinstance(rows, list):
        raise ValueError("expected a list of rows: [{name: Ann}, ...]")
    return dict(table_of_rows(rows).columns)


def _read_parquet(path: Path) -> dict[str, Sequence[Any]]:
    try:
        import pyarrow.parquet  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise ValueError("Parquet needs an extra: pip install 'societylab[data]'") from None
    return dict(table_of_rows(pyarrow.parquet.read_table(path).to_pylist()).columns)


def _typed(values: list[str]) -> list[Any]:
    """Numbers where the whole column holds numbers, otherwise texts."""
    try:
        found = [scalar(value.strip()) for value in values]
    except ValueError:
        return values
    number = all(isinstance(item, int | float) and not isinstance(item, bool) for item in found)
    return found if number else values
