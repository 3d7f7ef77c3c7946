"""Is this machine ready: Python, JAX, disk, optional extras, the compilation cache."""

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["cache_folder", "examine", "print_examination"]

_EXTRAS = {
    "data": ("Parquet tables, databases", ("pyarrow", "pandas")),
    "hf": ("language models in this process", ("torch", "transformers")),
    "vllm": ("a language-model server", ("vllm",)),
    "viz": ("pictures and films", ("matplotlib", "imageio")),
}
_LOW_DISK = 2 << 30


def cache_folder() -> Path | None:
    """Return where compiled kernels are kept between runs, None where nothing can be written.

    ``JAX_COMPILATION_CACHE_DIR`` names it; otherwise it is in the user's cache folder.
    """
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if chosen is not None:
        return Path(chosen) if chosen else None
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = base / "societylab" / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return None
    return folder if os.access(folder, os.W_OK) else None


def examine() -> dict[str, Any]:
    """Return ``status`` and a list of checks: name, state (ok, note or bad), found, advice."""
    checks = [_python(), _jax(), _disk(), _cache(), *_extras(), _server()]
    bad = any(check["state"] == "bad" for check in checks)
    return {"status": "failed" if bad else "ok", "checks": checks}


def print_examination(console: "Console", found: dict[str, Any]) -> None:
    """Print the checks, one on each line."""
    from rich.text import Text

    marks = {"ok": ("✓", "green"), "note": ("-", "yellow"), "bad": ("✗", "bold red")}
    width = max(len(check["name"]) for check in found["checks"])
    for check in found["checks"]:
        mark, style = marks[check["state"]]
        line = Text.assemble(" ", (mark, style), f" {check['name']:<{width}}  ", check["found"])
        if check["advice"]:
            line.append(f"\n   {'':<{width}}  {check['advice']}", "dim")
        console.print(line, highlight=False, soft_wrap=True)


def _check(name: str, state: str, found: str, advice: str = "") -> dict[str, str]:
    return {"name": name, "state": state, "found": found, "advice": advice}


def _python() -> dict[str, str]:
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    return _check("python", "ok", found)


def _jax() -> dict[str, str]:
    try:
        import jax
        import jax.numpy as jnp

        began = time.perf_counter()
        total = int(jax.jit(lambda x: x.sum())(jnp.arange(10)))
        spent = time.perf_counter() - began
        devices = jax.devices()
    except Exception as error:  # whatever is wrong with the installation is the finding
        return _check("jax", "bad", f"{type(error).__name__}: {error}", "reinstall jax")
    found = (
        f"{jax.__version__} with {len(devices)} {devices[0].platform} "
        f"device{'s' if len(devices) > 1 else ''}, {os.cpu_count()} cores, "
        f"a first kernel in {spent:.2f} s"
    )
    if total != 45:
        return _check("jax", "bad", f"{found}, but 0 + ... + 9 gave {total}", "reinstall jax")
    return _check("jax", "ok", found)


def _disk() -> dict[str, str]:
    free = shutil.disk_usage(".").free
    found = f"{free / 2**30:.1f} GiB free here"
    try:
        with tempfile.NamedTemporaryFile(dir=".", prefix=".society-") as file:
            file.write(b"x")
    except OSError as error:
        advice = "runs go to ./runs; choose another place with --out"
        return _check("disk", "note", f"{found}, not writable: {error.strerror}", advice)
    if free < _LOW_DISK:
        return _check("disk", "note", found, "long runs with language agents need more")
    return _check("disk", "ok", found)


def _cache() -> dict[str, str]:
    folder = cache_folder()
    if folder is None:
        advice = "kernels are compiled anew each time; set JAX_COMPILATION_CACHE_DIR"
        return _check("cache", "note", "no folder can be written", advice)
    size = sum(path.stat().st_size for path in folder.glob("*") if path.is_file())
    return _check("cache", "ok", f"{folder} ({size / 2**20:.1f} MiB of compiled kernels)")


def _extras() -> list[dict[str, str]]:
    found = []
    for extra, (purpose, modules) in _EXTRAS.items():
        missing = [name for name in modules if importlib.util.find_spec(name) is None]
        if missing:
            advice = f"for {purpose}: pip install 'societylab[{extra}]'"
            found.append(_check(extra, "note", f"not installed ({', '.join(missing)})", advice))
        else:
            versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in modules)
            found.append(_check(extra, "ok", versions))
    return found


def _server() -> dict[str, str]:
    if os.environ.get("OPENAI_BASE_URL"):
        return _check("server", "ok", "OPENAI_BASE_URL is set (backend openai_http uses it)")
    advice = "to use a server: export OPENAI_BASE_URL=http://localhost:8000/v1"
    return _check("server", "note", "OPENAI_BASE_URL is not set", advice)
