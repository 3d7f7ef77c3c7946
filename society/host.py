"""Where a run happens: versions, processor, and the few environment variables that matter."""

import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = ["environment"]

_PACKAGES = (
    "societylab", "jax", "jaxlib", "numpy", "scipy", "flax", "optax", "gymnasium", "pettingzoo",
    "networkx", "pydantic", "httpx", "jinja2", "tokenizers", "safetensors", "torch",
    "transformers", "vllm",
)  # fmt: skip
_VARIABLES = ("XLA_FLAGS", "PYTHONHASHSEED", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
_PREFIX = "JAX_"
_NEVER = ("KEY", "TOKEN", "SECRET", "PASSW", "CREDENTIAL")
_INSTRUCTIONS = ("avx", "avx2", "avx512f", "avx512_bf16", "amx_bf16", "fma", "neon", "asimd", "sve")


def environment() -> dict[str, Any]:
    """Return versions, host, processor, environment variables and commit, as JSON values.

    Nothing heavy is imported: versions come from the packages' metadata. Of the environment
    only ``JAX_*``, ``XLA_FLAGS`` and a few more are kept, never one that names a key.
    """
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "host": {
            "name": platform.node(),
            "platform": platform.platform(),
            "machine": platform.machine(),
            "byteorder": sys.byteorder,
            "cpus": os.cpu_count(),
            "cpus_usable": len(os.sched_getaffinity(0))
            if hasattr(os, "sched_getaffinity")
            else os.cpu_count(),
            **_processor(),
        },
        "env": {
            name: value
            for name, value in sorted(os.environ.items())
            if (name in _VARIABLES or name.startswith(_PREFIX))
            and not any(word in name.upper() for word in _NEVER)
        },
        "commit": _commit(),
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> dict[str, Any]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {"processor": platform.processor()}
    fields: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        fields.setdefault(name.strip().lower(), value.strip())
    flags = set(fields.get("flags", fields.get("features", "")).split())
    return {
        "processor": fields.get("model name", platform.processor()),
        "instructions": [name for name in _INSTRUCTIONS if name in flags],
    }


def _commit() -> dict[str, Any] | None:
    """Commit of the source folder that this package runs from; None when installed."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    try:
        head, status = (
            subprocess.run(
                ["git", "-C", str(root), *arguments],
                capture_output=True, text=True, timeout=5, check=True,
            ).stdout
            for arguments in (["rev-parse", "HEAD"], ["status", "--porcelain", "-uno"])
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return {"id": head.strip(), "changed": bool(status.strip())}
