"""Checkpoints: a tree of values in one file that is whole or known not to be.

A file holds, in this order: eight magic bytes; version and header length; a JSON header
with the shape of the tree; the bytes of arrays and texts, little-endian; and SHA-256 over
all of it. Nothing in a file names code: reading one can only make plain values, arrays and
instances of classes that the caller passes.
"""

import logging
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from society.durable import WriteError, killpoint, sync_folder, write_atomically
from society.tree_codec import (
    CheckpointError,
    UnsoundError,
    chunks,
    decode,
    encode,
    known_classes,
    weakened,
)

__all__ = [
    "CheckpointError",
    "Found",
    "UnsoundError",
    "WriteError",
    "checkpoints",
    "decode",
    "encode",
    "known_classes",
    "newest_sound",
    "restore_tree",
    "save_tree",
    "write_checkpoint",
]

_NAME = re.compile(r"^(?P<name>[A-Za-z0-9][\w-]*)\.(?P<number>\d{8})\.ckpt$")
_OTHER_RUN = "it belongs to another scenario or version: resume with those that manifest.json names"
_log = logging.getLogger("society.checkpoint")


class Found(NamedTuple):
    """The newest checkpoint that can be trusted.

    path, tree: None where there is none, and the run starts from its beginning.
    unsound: one line for each newer file that had to be passed over.
    """

    path: Path | None
    tree: Any
    unsound: tuple[str, ...] = ()


def write_checkpoint(folder: str | Path, name: str, tree: Any, keep: int = 3) -> Path:
    """Store a tree under the next number of its name, then remove all but the last ``keep``.

    Args:
      folder: where checkpoints lie; made if missing.
      name: a series, such as "replicate-0"; letters, digits, ``-`` and ``_``.
      tree: host values (see ``encode``); device pytrees go through ``save_tree`` first.
      keep: how many files of this series remain.

    Raises:
      WriteError: The disk is full or broken; the older checkpoints are untouched.
      TypeError: The tree holds something that cannot be stored; the message names its path.
    """
    folder = Path(folder)
    numbered = checkpoints(folder, name)
    number = 1 + max((int(_parts(path)["number"]) for path in numbered), default=0)
    path = folder / f"{name}.{number:08d}.ckpt"
    if not _NAME.match(f"{name}.{number:08d}.ckpt") or keep < 1:
        raise ValueError(
            f"checkpoint name {name!r}, keep {keep}: use letters, digits, - and _, and keep >= 1"
        )
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(path, chunks(tree), "checkpoint")
    for old in numbered[: max(0, len(numbered) + 1 - keep)]:
        old.unlink(missing_ok=True)
    for torn in folder.glob(f".{name}.*.tmp"):
        torn.unlink(missing_ok=True)
    sync_folder(folder)
    killpoint("checkpoint.after_prune")
    return path


def newest_sound(
    folder: str | Path, name: str | None = None, classes: Iterable[type] = ()
) -> Found:
    """Read the newest checkpoint whose SHA-256 is right, passing over those where it is not.

    Args:
      folder: where checkpoints lie.
      name: the series; may be left out where the folder holds one only.
      classes: named tuples and dataclasses that a tree may hold (``known_classes``).

    Raises:
      CheckpointError: A sound file was written by another version or holds an unknown class.
    """
    folder, unsound = Path(folder), []
    names = sorted({_parts(path)["name"] for path in checkpoints(folder)})
    if name is None and len(names) > 1:
        raise ValueError(f"{folder} holds several series, name one of: {', '.join(names)}")
    for path in reversed(checkpoints(folder, name)):
        try:
            return Found(path, decode(path.read_bytes(), classes), tuple(unsound))
        except (UnsoundError, OSError) as error:
            unsound.append(f"checkpoint {path.name} is unsound ({error}); using the one before")
            _log.warning("%s", unsound[-1])
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from error
    return Found(None, None, tuple(unsound))


def checkpoints(folder: str | Path, name: str | None = None) -> list[Path]:
    """Return the files of a series (or all), oldest first."""
    found = [path for path in Path(folder).glob("*.ckpt") if _NAME.match(path.name)]
    if name is not None:
        found = [path for path in found if _parts(path)["name"] == name]
    return sorted(found, key=lambda path: (_parts(path)["name"], int(_parts(path)["number"])))


def save_tree(tree: Any) -> dict[str, Any]:
    """Turn a pytree into host values that ``encode`` takes: key path -> leaf.

    Arrays come to the host in one transfer. Whether an array was weakly typed is kept,
    because promotion, and the compiled program, depend on it.
    """
    import jax

    paths, _ = jax.tree_util.tree_flatten_with_path(tree)
    leaves = jax.device_get([leaf for _, leaf in paths])
    return {
        jax.tree_util.keystr(path): {"leaf": host, "weak": bool(getattr(leaf, "weak_type", False))}
        for (path, leaf), host in zip(paths, leaves, strict=True)
    }


def restore_tree(template: Any, saved: dict[str, Any], what: str = "checkpoint") -> Any:
    """Put saved leaves into the structure of a template.

    Args:
      template: a pytree of the wanted structure; its leaves are arrays, ``ShapeDtypeStruct``
        (restored as device arrays), numbers or texts.
      saved: what ``save_tree`` made.
      what: how an error calls the tree.

    Raises:
      CheckpointError: Structure, a shape, a dtype or a type differ; names the first.
    """
    import jax

    paths, structure = jax.tree_util.tree_flatten_with_path(template)
    wanted = [jax.tree_util.keystr(path) for path, _ in paths]
    known = set(wanted)
    for path in wanted:
        if path not in saved:
            raise CheckpointError(f"{what}{path} is not in the checkpoint; {_OTHER_RUN}")
    for path in saved:
        if path not in known:
            raise CheckpointError(f"{what}{path} is in the checkpoint only; {_OTHER_RUN}")
    return jax.tree_util.tree_unflatten(
        structure,
        [
            _restore_leaf(f"{what}{path}", leaf, **saved[path])
            for path, (_, leaf) in zip(wanted, paths, strict=True)
        ],
    )


def _restore_leaf(path: str, wanted: Any, leaf: Any, weak: bool) -> Any:
    import jax
    import numpy as np

    if not hasattr(wanted, "dtype"):
        if type(leaf) is not type(wanted):
            raise _mismatch(path, type(leaf).__name__, type(wanted).__name__)
        return leaf
    has = f"{leaf.dtype}{list(leaf.shape)}" if hasattr(leaf, "dtype") else type(leaf).__name__
    wants = f"{wanted.dtype}{list(wanted.shape)}"
    if has != wants:
        raise _mismatch(path, has, wants)
    if not isinstance(wanted, jax.Array | jax.ShapeDtypeStruct):
        return leaf.copy() if isinstance(wanted, np.ndarray) else leaf[()]
    array = jax.numpy.array(leaf)
    return weakened(array) if weak else array


def _mismatch(path: str, has: str, wants: str) -> CheckpointError:
    return CheckpointError(
        f"{path}: the checkpoint holds {has}, this run needs {wants}; {_OTHER_RUN}"
    )


def _parts(path: Path) -> re.Match[str]:
    match = _NAME.match(path.name)
    assert match is not None
    return match
