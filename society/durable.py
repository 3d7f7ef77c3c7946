"""Files that are whole or absent, and named points where a test may kill the process.

A reader of a file written here sees the old content or the new one, never a mixture, also
after a power cut: the bytes go to a hidden file in the same folder, reach the disk, and are
then renamed into place.
"""

import errno
import os
import signal
from collections.abc import Iterable
from pathlib import Path

__all__ = ["KILLPOINTS", "WriteError", "killpoint", "sync_folder", "write_atomically"]

KILLPOINTS = (
    "folder.before_rename",
    "folder.after_rename",
    "journal.before_commit",
    "journal.after_commit",
    "checkpoint.before_write",
    "checkpoint.half_written",
    "checkpoint.before_rename",
    "checkpoint.after_rename",
    "checkpoint.after_prune",
    "summary.before_write",
    "summary.half_written",
    "summary.before_rename",
    "summary.after_rename",
)
"""Every place where a run writes something that must survive, in the order of a run."""

_VARIABLE = "SOCIETY_KILL_AT"


class WriteError(OSError):
    """Something could not be stored; what was stored before is untouched."""


class _Countdown:
    """Kills this process when the chosen point is passed for the n-th time."""

    def __init__(self, target: str) -> None:
        self.point, _, times = target.partition(":")
        self.left = int(times or 1)
        if self.point and self.point not in KILLPOINTS:
            raise ValueError(
                f"{_VARIABLE}={target}: no such write point; there are {', '.join(KILLPOINTS)}"
            )

    def pass_by(self, name: str) -> None:
        if name == self.point:
            self.left -= 1
            if self.left <= 0:
                os.kill(os.getpid(), signal.SIGKILL)


_countdown = _Countdown(os.environ.get(_VARIABLE, ""))


def killpoint(name: str) -> None:
    """Die by SIGKILL here if ``SOCIETY_KILL_AT`` is ``name`` or ``name:n`` (the n-th passing).

    The variable is read once, when this module is imported.
    """
    if _countdown.point:
        _countdown.pass_by(name)


def write_atomically(path: Path, chunks: Iterable[bytes | memoryview], what: str) -> None:
    """Replace ``path`` by the chunks in one step, or leave it as it was.

    Args:
      path: the file; a hidden neighbour ``.<name>.tmp`` exists while it is written.
      chunks: the content, in order.
      what: first part of the names in ``KILLPOINTS``: "checkpoint" or "summary".

    Raises:
      WriteError: The disk is full or broken; ``path`` still holds its old content.
    """
    temporary = path.with_name(f".{path.name}.tmp")
    killpoint(f"{what}.before_write")
    try:
        _write(temporary, chunks, what)
        killpoint(f"{what}.before_rename")
        os.replace(temporary, path)
        sync_folder(path.parent)
    except OSError as error:
        _remove(temporary)
        kept = "the version before it is" if path.exists() else "everything stored before is"
        raise WriteError(
            error.errno,
            f"could not write {path}: {error.strerror or error}; {kept} intact. "
            "Free space or repair the disk, then use `society resume`",
        ) from error
    except BaseException:
        _remove(temporary)
        raise
    killpoint(f"{what}.after_rename")


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable (on POSIX a rename is not until its folder is)."""
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _write(path: Path, chunks: Iterable[bytes | memoryview], what: str) -> None:
    handle = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o644
    )
    try:
        size = 0
        for index, chunk in enumerate(chunks):
            size += _write_all(handle, memoryview(chunk).cast("B"))
            if index == 0:
                killpoint(f"{what}.half_written")
        os.fsync(handle)
        if os.fstat(handle).st_size != size:
            raise OSError(errno.EIO, f"{size} bytes written, {os.fstat(handle).st_size} arrived")
    finally:
        os.close(handle)


def _write_all(handle: int, data: memoryview) -> int:
    """Write everything: one call may write less than it was given without an error."""
    done = 0
    while done < len(data):
        count = os.write(handle, data[done : done + (1 << 30)])
        if count <= 0:
            raise OSError(errno.ENOSPC, f"the disk took {done} of {len(data)} bytes")
        done += count
    return done


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        pass  # the folder is gone or read-only; the error that brought us here says more
