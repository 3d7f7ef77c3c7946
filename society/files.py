"""Files that a scenario may name: only inside its own folder, only plain files."""

import hashlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from society.yaml_safe import MAX_BYTES

__all__ = ["MAX_TABLE_BYTES", "digest", "inside", "read_text"]

MAX_TABLE_BYTES = 1 << 28


def inside(folders: Sequence[Path], path: str, most: int = MAX_TABLE_BYTES) -> Path:
    """Return the plain file that a relative path names in the first folder that has it.

    Raises:
      ValueError: The path is absolute, leaves its folder (``..`` or a link), names no plain
        file, or one of more than ``most`` bytes.
    """
    parts = PurePosixPath(path).parts
    if not path or "\0" in path or "\\" in path or PureWindowsPath(path).drive:
        raise ValueError(f"{path!r} is no file path; write folder/name, relative to this file")
    if path.startswith(("/", "~")):
        raise ValueError(f"{path!r} is absolute; only files beside the scenario can be named")
    if ".." in parts:
        raise ValueError(f"{path!r} leaves the scenario's folder; '..' is not allowed")
    for folder in folders:
        found = folder / path
        if not found.exists():
            continue
        if not found.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{path!r} is a link that leaves the scenario's folder")
        if not found.is_file():
            raise ValueError(f"{path!r} is not a plain file")
        size = found.stat().st_size
        if size > most:
            raise ValueError(f"{path!r} has {size:,} bytes, at most {most:,} are read")
        return found
    raise ValueError(f"there is no file {path!r} in the scenario's folder")


def read_text(folders: Sequence[Path], path: str) -> str:
    """Return the text of a small UTF-8 file inside the scenario's folder.

    Raises:
      ValueError: The file may not or cannot be read.
    """
    found = inside(folders, path, MAX_BYTES)
    try:
        return found.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{path!r} is not UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"cannot read {path!r}: {error.strerror}") from None


def digest(path: Path) -> str:
    """Return the SHA-256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
