"""The files of a model: which hold the weights, and what names them all."""

import hashlib
from pathlib import Path

from llm_agents.llama.config import read_json

__all__ = ["files_hash", "weight_files"]

_INDEX = "model.safetensors.index.json"
_MORE = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights, by the index where there is one.

    Raises:
      FileNotFoundError: There are none in the safetensors format, or the index names a missing one.
    """
    if (folder / _INDEX).is_file():
        names = sorted(set(read_json(folder / _INDEX)["weight_map"].values()))
        found = [folder / Path(name).name for name in names]
    else:
        found = sorted(folder.glob("*.safetensors"))
    missing = [path.name for path in found if not path.is_file()]
    if missing or not found:
        what = f"lacks {', '.join(missing)}" if missing else "holds no *.safetensors"
        raise FileNotFoundError(
            f"{folder} {what}; the backend `local` reads weights in the safetensors format only"
        )
    return found


def files_hash(folder: Path) -> str:
    """Twelve hex digits of the SHA-256 of weights, settings, tokenizer and template."""
    digest = hashlib.sha256()
    more = [folder / name for name in _MORE if (folder / name).is_file()]
    for path in (*weight_files(folder), *more):
        with path.open("rb") as file:
            digest.update(path.name.encode())
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]
