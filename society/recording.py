"""What a run keeps beyond its journal rows: which columns, which pictures, and a running sum.

``record`` is operational: it may not change a result. So the sum of all metrics goes into the
digest, made before anything is left out.
"""

import fnmatch
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from society.carry import Carry, placed
from society.durable import WriteError, write_atomically

__all__ = [
    "FRAMES",
    "LINEAGE",
    "NotRecordedError",
    "Series",
    "check_record",
    "columns_of",
    "frame_ticks",
    "keeps_lineage",
    "kept_columns",
    "metric_of",
    "next_frame",
    "restored_sums",
    "summed",
    "write_frame",
    "write_gif",
]

FRAMES = "frames"
LINEAGE = "lineage"
_FACTOR = 0x9E3779B97F4A7C15  # odd, so that no tick is lost modulo 2**64


class NotRecordedError(LookupError):
    """A measure reads a metric that ``record.fields`` leaves out."""


class Series(dict[str, np.ndarray]):
    """Metrics by name; whoever asks for what was left out gets NotRecordedError.

    dropped: names that exist, but were not recorded.
    """

    def __init__(self, known: Mapping[str, np.ndarray], dropped: Iterable[str] = ()) -> None:
        super().__init__(known)
        self.dropped = frozenset(dropped) - frozenset(known)

    def __getitem__(self, name: str) -> np.ndarray:
        """The metric."""
        self._ask(name)
        return super().__getitem__(name)

    def __contains__(self, name: object) -> bool:
        """Whether there is such a metric."""
        self._ask(name)
        return super().__contains__(name)

    def get(self, name: str, default: Any = None) -> Any:
        """The metric, or ``default`` where the world has none of that name."""
        self._ask(name)
        return super().get(name, default)

    def __iter__(self) -> Iterator[str]:
        """All names; not where some are missing."""
        self._ask_all()
        return super().__iter__()

    def items(self) -> ItemsView[str, np.ndarray]:
        """All metrics; not where some are missing."""
        self._ask_all()
        return super().items()

    def _ask(self, name: object) -> None:
        if name in self.dropped:
            raise NotRecordedError(name)

    def _ask_all(self) -> None:
        if self.dropped:
            raise NotRecordedError(", ".join(sorted(self.dropped)))


# ---- columns -------------------------------------------------------------------------------


def kept_columns(names: Sequence[str], fields: Sequence[str]) -> tuple[str, ...]:
    """The columns whose metric some field names; all where there are no fields.

    >>> kept_columns(("welfare", "x[0]", "x[1]", "generation/x"), ("x",))
    ('x[0]', 'x[1]', 'generation/x')
    """
    if not fields:
        return tuple(names)
    return tuple(name for name in names if _matches(metric_of(name), fields))


def keeps_lineage(fields: Sequence[str], every: int) -> bool:
    """True where births between generations are journalled."""
    return _matches(LINEAGE, fields) if fields else every == 1


def check_record(scenario: Any, world: Any, names: Iterable[str]) -> None:
    """Refuse fields that name nothing, and frames of worlds that draw none.

    Args:
      scenario: with ``record``. world: of the run. names: of all columns.

    Raises:
      ScenarioError: With what there is.
    """
    record = scenario.record
    known = sorted({metric_of(name) for name in names})
    for index, field in enumerate(record.fields):
        if not any(fnmatch.fnmatchcase(name, field) for name in (*known, LINEAGE)):
            raise scenario.error(
                f"record.fields.{index}",
                f"no metric is called {field!r}; metrics here: {', '.join(known)}; or {LINEAGE}",
            )
    if record.frames_every is not None and drawn_by(world) is None:
        raise scenario.error(
            "record.frames_every",
            f"world {scenario.world.use!r} draws no pictures (it has no frame(state)); leave "
            "frames_every out",
        )


def columns_of(simulation: Any) -> tuple[str, ...]:
    """All columns that a run of a simulation could keep."""
    from society.machine import Machine  # it builds on what is built here

    machine = Machine(simulation)
    ends = tuple(f"generation/{name}" for name in machine.generation_names)
    return (*machine.metric_names, *ends)


def metric_of(column: str) -> str:
    """The metric that a column belongs to: ``generation/x[2]`` belongs to ``x``."""
    return column.removeprefix("generation/").partition("[")[0]


def _matches(name: str, fields: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, field) for field in fields)


# ---- the running sum -----------------------------------------------------------------------


def summed(before: np.ndarray | None, clock: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Add ticks to a sum over all bits of all metrics, whatever the chunks are.

    Args:
      before: what it returned for the ticks before, or None.
      clock: [T, 3] int32. values: [T, M] float32.

    Returns:
      [3 + M] uint64: each column as the digits of a number in base _FACTOR, modulo 2**64.
    """
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    words = np.concatenate([np.asarray(clock, np.uint32), bits], 1).astype(np.uint64) + np.uint64(1)
    factors = np.full(len(words) + 1, _FACTOR, np.uint64)
    factors[0] = 1
    powers = np.cumprod(factors)[::-1]
    total = (words * powers[1:, None]).sum(0, dtype=np.uint64)
    return total if before is None else total + before * powers[:1]


# ---- pictures ------------------------------------------------------------------------------


def drawn_by(world: Any) -> Any:
    """The world's ``frame(state)``, or None."""
    return getattr(world, "frame", None)


def frame_ticks(every: int | None, tick: int, total: int) -> bool:
    """True where a picture is taken before this tick, or after the last."""
    return every is not None and (tick % every == 0 or tick == total)


def next_frame(every: int | None, tick: int) -> list[int]:
    """The next tick before which a picture is taken."""
    return [] if every is None else [(tick // every + 1) * every]


def write_frame(folder: Path, replicate: int, tick: int, carry: Carry) -> None:
    """Draw the state before a tick into ``frames/replicate-R/TICK.npy``, [H, W, 3] uint8.

    Raises:
      WriteError: The disk is full; the run can be resumed.
    """
    host = jax.device_get(carry._replace(minds=(), accs=()))
    frame = np.asarray(placed(host).frame(host.state))
    if frame.ndim != 3 or frame.shape[2] != 3 or frame.dtype != np.uint8:
        raise ValueError(
            f"frame(state) of {type(host.world).__name__} gives {frame.dtype} of shape "
            f"{frame.shape}; it must give uint8 [height, width, 3]"
        )
    path = folder / FRAMES / f"replicate-{replicate}"
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteError(error.errno, f"cannot make {path}: {error}") from error
    data = _npy(frame)
    write_atomically(path / f"{tick:09d}.npy", [data], "frame")


def write_gif(run_dir: str | Path, path: str | Path, replicate: int = 0, fps: float = 8.0) -> int:
    """Put a replicate's pictures together into a GIF; returns how many there were.

    Raises:
      FileNotFoundError: The run has no pictures.
      RuntimeError: Pillow is missing.
    """
    folder = Path(run_dir) / FRAMES / f"replicate-{replicate}"
    files = sorted(folder.glob("*.npy"))
    if not files:
        raise FileNotFoundError(
            f"{folder} holds no pictures; run with --set record.frames_every=10 in a world that "
            "draws them"
        )
    try:
        from PIL import Image
    except ImportError as error:
        raise RuntimeError("a GIF needs Pillow: pip install 'societylab[viz]'") from error
    images = [Image.fromarray(np.load(file, allow_pickle=False)) for file in files]
    duration_ms = round(1000 / fps)
    images[0].save(path, save_all=True, append_images=images[1:], duration=duration_ms, loop=0)
    return len(images)


def _npy(frame: np.ndarray) -> bytes:
    import io

    held = io.BytesIO()
    np.save(held, frame, allow_pickle=False)
    return held.getvalue()


def restored_sums(stored: Mapping[str, Any]) -> dict[int, np.ndarray]:
    """Running sums by replicate, as a checkpoint holds them."""
    return {int(replicate): np.asarray(total) for replicate, total in stored.items()}
