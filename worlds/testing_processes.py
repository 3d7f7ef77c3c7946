"""Checks that worlds do the same in another process, whatever its hashes are."""

import dataclasses
import hashlib
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from worlds.tree import as_arrays
from worlds.world import World

__all__ = ["check_processes", "digest"]

_CHILD = "import sys; from worlds.testing_processes import main; main(sys.stdin, sys.stdout)"


def check_processes(worlds: Mapping[str, World[Any]], *, steps: int = 16, seed: int = 0) -> None:
    """Play worlds here and in a fresh process with other hashes; all bits must agree.

    Args:
      worlds: name for the message -> world. Their modules must be importable there.
      steps: to play. seed: of the rollout.
    """
    told = {name: plain(world) for name, world in worlds.items()}
    here = {name: digest(world, steps, seed) for name, world in worlds.items()}
    hashing = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    child = subprocess.run(
        [sys.executable, "-c", _CHILD],
        input=json.dumps({"worlds": told, "steps": steps, "seed": seed}),
        capture_output=True,
        text=True,
        env={
            **os.environ,
            "PYTHONHASHSEED": hashing,
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        },
    )
    assert child.returncode == 0, f"the other process failed: {child.stderr.strip()[-800:]}"
    there = json.loads(child.stdout.splitlines()[-1])
    for name in worlds:
        assert here[name] == there[name], (
            f"{name}: {steps} steps with seed {seed} differ between two processes; sets, "
            "hash(), id() and the time of day must not decide anything"
        )


def digest(world: World[Any], steps: int, seed: int) -> str:
    """SHA-256 of everything that a rollout with random actions shows, states included."""
    from worlds.testing import _Rig, _rollout

    sha = hashlib.sha256()
    for moment in _rollout(_Rig(world), steps, seed):
        for leaf in jax.tree.leaves((moment.state, moment.seen, moment.action, moment.moved)):
            array = np.asarray(leaf)
            sha.update(f"{array.dtype}{array.shape}".encode())
            sha.update(str(leaf).encode() if array.dtype.kind in "UO" else array.tobytes())
    return sha.hexdigest()


def main(stdin: Any, stdout: Any) -> None:
    """The other process: worlds as JSON in, digests as JSON out."""
    told = json.loads(stdin.read())
    found = {
        name: digest(unplain(world), told["steps"], told["seed"])
        for name, world in told["worlds"].items()
    }
    stdout.write(json.dumps(found) + "\n")


def plain(value: Any) -> Any:
    """A world, a graph, or what they hold, as JSON values."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        values = {
            field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
        return {"class": f"{type(value).__module__}:{type(value).__qualname__}", "fields": values}
    if isinstance(value, tuple | list):
        return {"items": [plain(item) for item in value]}
    if isinstance(value, dict):
        return {"map": [[plain(key), plain(item)] for key, item in value.items()]}
    array = np.asarray(value)
    return {"array": array.tolist(), "dtype": str(array.dtype)}


def unplain(value: Any) -> Any:
    """What ``plain`` was given; lists come back as tuples."""
    if not isinstance(value, dict):
        return value
    if "class" in value:
        module, _, name = value["class"].partition(":")
        cls = importlib.import_module(module)
        for part in name.split("."):
            cls = getattr(cls, part)
        return cls(**{key: unplain(item) for key, item in value["fields"].items()})  # type: ignore[operator]
    if "items" in value:
        return tuple(unplain(item) for item in value["items"])
    if "map" in value:
        return {unplain(key): unplain(item) for key, item in value["map"]}
    return as_arrays(np.asarray(value["array"], value["dtype"]))
