"""What a Hugging Face ``config.json`` says about a Llama, checked."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["Config", "RopeScaling", "UnsupportedModelError", "read_json"]

_NEEDED = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers")


class UnsupportedModelError(ValueError):
    """A model that is not of the Llama architecture, or uses a part of it that is not known."""


@dataclasses.dataclass(frozen=True)
class RopeScaling:
    """Llama 3's stretching of the rotary frequencies.

    Wavelengths longer than ``original_positions / low`` are slowed by ``factor``, those shorter
    than ``original_positions / high`` are kept, the ones between are blended.
    """

    factor: float
    low: float
    high: float
    original_positions: int


@dataclasses.dataclass(frozen=True)
class Config:
    """Sizes of a model; names as in the literature rather than as in the file.

    tied: output embeddings are the input's. eos: tokens that end an answer.
    """

    vocab_size: int
    width: int
    hidden_width: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_width: int
    max_positions: int = 2048
    norm_epsilon: float = 1e-6
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling | None = None
    tied: bool = False
    attention_bias: bool = False
    mlp_bias: bool = False
    eos: tuple[int, ...] = ()

    @classmethod
    def read(cls, folder: Path) -> "Config":
        """Read ``config.json`` (and what ``generation_config.json`` adds about the end).

        Raises:
          UnsupportedModelError: Another architecture.
          FileNotFoundError, ValueError: No such file, or it says too little.
        """
        found = read_json(folder / "config.json")
        config = cls.of(found, str(folder))
        path = folder / "generation_config.json"
        more = _as_tuple(read_json(path).get("eos_token_id")) if path.is_file() else ()
        return dataclasses.replace(config, eos=tuple(dict.fromkeys((*config.eos, *more))))

    @classmethod
    def of(cls, found: Mapping[str, Any], where: str = "config.json") -> "Config":
        """Read the values of a ``config.json``."""
        _check(found, where)
        heads = int(found["num_attention_heads"])
        width = int(found["hidden_size"])
        rope = dict(found.get("rope_parameters") or {})
        scaling = rope if "rope_type" in rope else dict(found.get("rope_scaling") or {})
        return cls(
            vocab_size=int(found["vocab_size"]),
            width=width,
            hidden_width=int(found["intermediate_size"]),
            num_layers=int(found["num_hidden_layers"]),
            num_heads=heads,
            num_kv_heads=int(found.get("num_key_value_heads") or heads),
            head_width=int(found.get("head_dim") or width // heads),
            max_positions=int(found.get("max_position_embeddings", 2048)),
            norm_epsilon=float(found.get("rms_norm_eps", 1e-6)),
            rope_theta=float(rope.get("rope_theta") or found.get("rope_theta") or 10000.0),
            rope_scaling=_scaling(scaling, found, where),
            tied=bool(found.get("tie_word_embeddings", False)),
            attention_bias=bool(found.get("attention_bias", False)),
            mlp_bias=bool(found.get("mlp_bias", False)),
            eos=_as_tuple(found.get("eos_token_id")),
        )

    def to_json(self) -> dict[str, Any]:
        """The values of a ``config.json`` that every library of the kind reads."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocab_size,
            "hidden_size": self.width,
            "intermediate_size": self.hidden_width,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_width,
            "hidden_act": "silu",
            "max_position_embeddings": self.max_positions,
            "rms_norm_eps": self.norm_epsilon,
            "rope_theta": self.rope_theta,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "tie_word_embeddings": self.tied,
            "attention_bias": self.attention_bias,
            "mlp_bias": self.mlp_bias,
            "eos_token_id": self.eos[0] if len(self.eos) == 1 else list(self.eos),
            "bos_token_id": None,
            "pad_token_id": 0,
            "torch_dtype": "float32",
        }


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; the error names the file."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(
            f"there is no {path.name} in {path.parent}; a model is a folder in Hugging Face format "
            "(config.json, *.safetensors, tokenizer.json, tokenizer_config.json)"
        ) from None
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is no JSON: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a {type(found).__name__}, not a JSON object")
    return found


def _check(found: Mapping[str, Any], where: str) -> None:
    kind = found.get("model_type")
    architectures = list(found.get("architectures") or ["LlamaForCausalLM"])
    if kind != "llama" or "LlamaForCausalLM" not in architectures:
        raise UnsupportedModelError(
            f"{where} holds a model of type {kind!r} ({', '.join(architectures)}); the backend "
            "`local` runs models of type 'llama' (LlamaForCausalLM). Use the backend "
            "`transformers` or `openai_http` for others"
        )
    missing = [name for name in (*_NEEDED, "num_attention_heads") if name not in found]
    if missing:
        raise ValueError(f"{where} lacks {', '.join(missing)}")
    for name, known in (("hidden_act", "silu"), ("pretraining_tp", 1)):
        if found.get(name, known) != known:
            raise UnsupportedModelError(
                f"{where} has {name} {found[name]!r}; the backend `local` knows {known!r} only"
            )
    if found.get("quantization_config"):
        raise UnsupportedModelError(
            f"{where} holds quantised weights; the backend `local` reads float32, float16 and "
            "bfloat16. Use the backend `openai_http` with a server for this model"
        )


def _scaling(found: Mapping[str, Any], whole: Mapping[str, Any], where: str) -> RopeScaling | None:
    kind = found.get("rope_type", found.get("type", "default"))
    if kind == "default":
        return None
    if kind != "llama3":
        raise UnsupportedModelError(
            f"{where} scales its rotary positions by {kind!r}; the backend `local` knows "
            "'default' and 'llama3'"
        )
    return RopeScaling(
        factor=float(found["factor"]),
        low=float(found["low_freq_factor"]),
        high=float(found["high_freq_factor"]),
        original_positions=int(
            found.get("original_max_position_embeddings") or whole["max_position_embeddings"]
        ),
    )


def _as_tuple(value: Any) -> tuple[int, ...]:
    if value is None:
        return ()
    return tuple(map(int, value)) if isinstance(value, list | tuple) else (int(value),)
