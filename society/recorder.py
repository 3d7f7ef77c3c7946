"""The run folder: made whole, locked while it is written, described by its manifest.

``<out>/<name>-<UTC time>-<hash>/`` holds ``manifest.json``, ``scenario.yaml`` (resolved),
``journal.sqlite``, ``checkpoints/`` and, at the end, ``summary.json``. Keys and passwords
never get in: only listed environment variables are kept, and every text that describes the
run passes ``redact``.
"""

import dataclasses
import datetime
import hashlib
import json
import math
import os
import re
import shutil
import socket
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from society.canonical import fingerprint
from society.durable import WriteError, killpoint, sync_folder, write_atomically
from society.host import environment
from society.tree_digest import digest
from worlds.redact import redact, redact_tree, redact_url

__all__ = [
    "Lock",
    "NotARunError",
    "RunFolder",
    "RunLockedError",
    "digest",
    "manifest_of",
    "redact",
    "redact_url",
]

FORMAT = 1


class NotARunError(ValueError):
    """A folder is not one that a run has made, or is of another version."""


class RunLockedError(RuntimeError):
    """Another process is working in the run folder; the message says which."""


@dataclasses.dataclass(frozen=True)
class RunFolder:
    """The files of one run."""

    path: Path

    @property
    def manifest_path(self) -> Path:
        """What ran where, with which versions and seeds."""
        return self.path / "manifest.json"

    @property
    def scenario_path(self) -> Path:
        """The scenario with every default written out."""
        return self.path / "scenario.yaml"

    @property
    def journal_path(self) -> Path:
        """Calls, messages, events and metrics."""
        return self.path / "journal.sqlite"

    @property
    def checkpoints(self) -> Path:
        """Folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def summary_path(self) -> Path:
        """Results; absent until the run has ended or been stopped by a limit."""
        return self.path / "summary.json"

    @classmethod
    def create(
        cls,
        out: str | Path,
        name: str,
        scenario: str | Mapping[str, Any],
        manifest: Mapping[str, Any],
        at: Path | None = None,
    ) -> "RunFolder":
        """Make a new run folder: it appears whole or not at all.

        Args:
          out: folder of run folders; made if missing.
          name: of the scenario.
          scenario: the resolved scenario as YAML text or as plain data.
          manifest: what the caller knows of the run; host, versions and time are added.
          at: the new folder, instead of a name with the time in ``out``.

        Raises:
          WriteError: It cannot be stored.
        """
        now = datetime.datetime.now(datetime.UTC)
        text = scenario if isinstance(scenario, str) else _yaml(scenario)
        known = redact_tree({**environment(), "scenario_hash": fingerprint(text), **manifest})
        known = {"format": FORMAT, "name": name, "created": now.isoformat(), **known}
        short = re.sub(r"[^\w.-]+", "_", name).strip("._") or "run"
        out = Path(out)
        try:
            out.mkdir(parents=True, exist_ok=True)
            draft = Path(tempfile.mkdtemp(prefix=".new-", dir=out))
        except OSError as error:
            raise WriteError(error.errno, f"cannot make a run in {out}: {error}") from error
        try:
            draft.chmod(0o755)
            (draft / "checkpoints").mkdir()
            _write(draft / "scenario.yaml", redact(text, forms=False))
            _write(draft / "manifest.json", _json(known))
            sync_folder(draft)
            killpoint("folder.before_rename")
            if at is None:
                path = _settle(draft, out / f"{short}-{now:%Y%m%dT%H%M%SZ}", json.dumps(known))
            else:
                path = draft.rename(at)  # refuses to replace a folder that holds files
            sync_folder(out)
        except OSError as error:
            shutil.rmtree(draft, ignore_errors=True)
            raise WriteError(error.errno, f"cannot make a run in {out}: {error}") from error
        killpoint("folder.after_rename")
        return cls(path)

    @classmethod
    def open(cls, path: str | Path) -> "RunFolder":
        """Open an existing run folder.

        Raises:
          NotARunError: It is not one, or was made by another version.
        """
        folder = cls(Path(path))
        missing = [
            file.name for file in (folder.manifest_path, folder.scenario_path) if not file.is_file()
        ]
        if missing:
            what = "has no " + " and no ".join(missing) if folder.path.is_dir() else "is no folder"
            raise NotARunError(
                f"{path} is not a run: it {what}. Give a folder that `society run` printed "
                "as run_dir"
            )
        found = folder.read_manifest().get("format")
        if found != FORMAT:
            raise NotARunError(
                f"{path} has run format {found}, this version of societylab reads {FORMAT}; "
                "use the version that its manifest.json names under versions.societylab"
            )
        return folder

    def read_manifest(self) -> dict[str, Any]:
        """Return the manifest.

        Raises:
          NotARunError: It is not readable.
        """
        try:
            manifest = json.loads(self.manifest_path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise NotARunError(f"{self.manifest_path} cannot be read: {error}") from error
        if not isinstance(manifest, dict):
            raise NotARunError(f"{self.manifest_path} is no JSON object")
        return manifest

    def check_scenario(self, scenario: Any) -> None:
        """Raise NotARunError unless a scenario would give the results of this run.

        Operational parts (URLs, time-outs, limits, record) may differ.
        """
        was, now = self.read_manifest().get("scenario_hash"), scenario.hash
        if was != now:
            raise NotARunError(
                f"{self.path} was run with a scenario of hash {str(was)[:12]}, its scenario.yaml "
                f"with these changes has {now[:12]}; only operational keys (urls, time-outs, "
                "limits, record) may change on resume. For anything else begin a new run"
            )

    def lock(self) -> "Lock":
        """Hold the folder for this process: ``with folder.lock(): ...``.

        The operating system lets go of it when the process ends, however it ends. On
        network filesystems this needs NFS 4 or a lock daemon.

        Raises:
          RunLockedError: Another process holds it.
        """
        return Lock.take(self.path / "lock")

    def write_summary(self, summary: Mapping[str, Any]) -> None:
        """Replace ``summary.json`` in one step.

        Raises:
          WriteError: The disk is full; the summary before it is intact.
        """
        text = _json(redact_tree(_jsonable(summary)))
        write_atomically(self.summary_path, [text.encode()], "summary")

    def read_summary(self) -> dict[str, Any] | None:
        """Return the summary, or None before there is one."""
        if not self.summary_path.is_file():
            return None
        return json.loads(self.summary_path.read_text(encoding="utf-8"))


class Lock:
    """A held run folder; released by ``release``, by ``with``, or by the process's end."""

    def __init__(self, handle: int) -> None:
        """Use ``Lock.take``."""
        self._handle: int | None = handle

    @classmethod
    def take(cls, path: Path) -> "Lock":
        """Take the lock or raise RunLockedError at once."""
        import fcntl

        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.pread(handle, 4096, 0)
            os.close(handle)
            raise RunLockedError(_held(path.parent, holder)) from error
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        holder = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
        try:
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps(holder).encode(), 0)
        except OSError:
            pass  # a full disk: the lock holds, only its label is missing
        return cls(handle)

    def release(self) -> None:
        """Let go; doing it twice is fine."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def manifest_of(scenario: Any, simulation: Any) -> dict[str, Any]:
    """Return what a manifest says of a scenario: content, hash, seeds, mode, models, prompts.

    Args:
      scenario: a ``society.scenario.Scenario``.
      simulation: the ``society.build.Simulation`` made from it.
    """
    backends = {name: scenario.backend_component(name) for name in simulation.backend_names}
    models = {name: backend.resolved() for name, backend in backends.items()}
    return {
        "scenario": scenario.resolved(),
        "scenario_hash": scenario.hash,
        "files": scenario.files(),
        "seeds": list(simulation.seeds),
        "repro": scenario.repro,
        "models": models,
        "fingerprints": {name: one.build().fingerprint for name, one in backends.items()},
        "prompts": _prompt_hashes(simulation),
    }


def _prompt_hashes(simulation: Any) -> dict[str, dict[str, str]]:
    """Group -> template -> SHA-256 of what is in use: shipped, or replaced by the scenario."""
    return {
        group.name: dict(sorted(hashes().items()))
        for group in simulation.population.groups
        if (hashes := getattr(group.policy, "prompt_hashes", None)) is not None
    }


def _held(folder: Path, holder: bytes) -> str:
    try:
        who = json.loads(holder)
        by = f"process {who['pid']} on {who['host']} since {who['since']}"
    except (ValueError, KeyError, TypeError):
        by = "another process"
    return f"{folder} is in use by {by}; wait for it, or stop it, then try again"


def _settle(draft: Path, stem: Path, seed: str) -> Path:
    """Rename the finished folder to a name that nobody else has."""
    for attempt in range(1000):
        mark = f"{seed}{os.getpid()}{draft.name}{attempt}"
        path = stem.with_name(f"{stem.name}-{hashlib.sha256(mark.encode()).hexdigest()[:6]}")
        if not path.exists():
            os.rename(draft, path)  # refuses to replace a folder that holds files
            return path
    raise OSError(f"no free name like {stem}")


def _write(path: Path, text: str) -> None:
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n"


def _yaml(value: Mapping[str, Any]) -> str:
    return yaml.safe_dump(dict(value), sort_keys=False, allow_unicode=True, width=100)


def _jsonable(value: Any) -> Any:
    """Plain JSON values; numbers that JSON does not have become null."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    return _jsonable(value.tolist()) if hasattr(value, "tolist") else value
