"""Weights in Hugging Face names: read into a model, written out again."""

from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from safetensors import safe_open
from safetensors.numpy import save_file

from llm_agents.llama.config import Config
from llm_agents.llama.files import weight_files
from llm_agents.llama.model import Llama, split

__all__ = ["read_weights", "write_weights"]


def read_weights(folder: Path, config: Config, dtype: Any) -> tuple[Any, Any]:
    """The plan and the weights of the model in a folder, cast to ``dtype``.

    Raises:
      FileNotFoundError, ValueError: Weights are missing, left over, or of another shape.
    """
    found: dict[str, jnp.ndarray] = {}
    for path in weight_files(folder):
        with safe_open(path, framework="flax") as file:  # type: ignore[no-untyped-call]
            for name in file.keys():
                found[name] = file.get_tensor(name)
    graph, weights = split(Llama(config, lambda shape: jnp.zeros(shape, dtype)))
    taken = _taken(found, config, folder)
    filled = _fill(weights, taken, dtype, folder)
    left = [name for name in found if not name.endswith("rotary_emb.inv_freq")]
    if left and not (config.tied and left == ["lm_head.weight"]):
        raise ValueError(f"{folder} holds weights that a Llama has no place for: {left[:5]}")
    return graph, filled


def write_weights(path: Path, weights: Any, config: Config, dtype: Any = np.float32) -> None:
    """Write weights as one safetensors file."""
    heads, shared, h = config.num_heads, config.num_kv_heads, config.head_width
    cuts = (heads * h, (heads + shared) * h)

    def flat(array: Any) -> np.ndarray:
        return np.ascontiguousarray(np.asarray(array, dtype))

    out = {"model.embed_tokens.weight": flat(weights["embedding"])}
    out["model.norm.weight"] = flat(weights["norm"])
    if not config.tied:
        out["lm_head.weight"] = flat(np.asarray(weights["head"]).T)
    for index in range(config.num_layers):
        block, stem = weights["blocks"][index], f"model.layers.{index}."
        named = {
            **_pieces("self_attn.{}_proj", "qkv", block["qkv"], cuts),
            "self_attn.o_proj": block["out"],
            **_pieces("mlp.{}_proj", ("gate", "up"), block["gate_up"], (config.hidden_width,)),
            "mlp.down_proj": block["down"],
        }
        out |= {f"{stem}{name}.weight": flat(np.asarray(part).T) for name, part in named.items()}
        out[f"{stem}input_layernorm.weight"] = flat(block["attention_norm"])
        out[f"{stem}post_attention_layernorm.weight"] = flat(block["mlp_norm"])
    save_file(out, str(path), metadata={"format": "pt"})


def _pieces(form: str, names: Any, array: Any, cuts: tuple[int, ...]) -> dict[str, np.ndarray]:
    parts = np.split(np.asarray(array), cuts, axis=-1)
    return {form.format(name): part for name, part in zip(names, parts, strict=True)}


def _taken(found: dict[str, Any], config: Config, folder: Path) -> dict[str, Any]:
    """Every weight of our model, put together from the file's."""

    def take(*names: str) -> Any:
        missing = [name for name in names if name not in found]
        if missing:
            raise ValueError(f"{folder} lacks the weight {missing[0]!r}")
        parts = [found.pop(name) for name in names]
        if parts[0].ndim == 2 and not names[0].endswith("embed_tokens.weight"):
            parts = [part.T for part in parts]
        return parts[0] if len(parts) == 1 else jnp.concatenate(parts, axis=-1)

    taken: dict[str, Any] = {
        "embedding": take("model.embed_tokens.weight"),
        "norm": take("model.norm.weight"),
    }
    if not config.tied:
        taken["head"] = take("lm_head.weight")
    for index in range(config.num_layers):
        attention, mlp = f"model.layers.{index}.self_attn.", f"model.layers.{index}.mlp."
        triple = [f"{attention}{name}_proj" for name in "qkv"]
        pair = [f"{mlp}gate_proj", f"{mlp}up_proj"]
        own = {
            "attention_norm": take(f"model.layers.{index}.input_layernorm.weight"),
            "mlp_norm": take(f"model.layers.{index}.post_attention_layernorm.weight"),
            "qkv": take(*(f"{name}.weight" for name in triple)),
            "out": take(f"{attention}o_proj.weight"),
            "gate_up": take(*(f"{name}.weight" for name in pair)),
            "down": take(f"{mlp}down_proj.weight"),
        }
        if config.attention_bias:
            own["qkv_bias"] = take(*(f"{name}.bias" for name in triple))
            own["out_bias"] = take(f"{attention}o_proj.bias")
        if config.mlp_bias:
            own["gate_up_bias"] = take(*(f"{name}.bias" for name in pair))
            own["down_bias"] = take(f"{mlp}down_proj.bias")
        taken[f"blocks/{index}"] = own
    return taken


def _fill(weights: Any, taken: dict[str, Any], dtype: Any, folder: Path) -> Any:
    """The weights' tree with the file's arrays in place of zeros."""

    def fitted(name: str, like: Any, array: Any) -> Any:
        if like.shape != array.shape:
            raise ValueError(
                f"{folder}: {name} has shape {array.shape}, but config.json asks for {like.shape}"
            )
        return jnp.asarray(array, dtype)

    filled = {
        name: fitted(name, weights[name], taken[name]) for name in weights if name != "blocks"
    }
    filled["blocks"] = {
        index: {
            name: fitted(f"layer {index}, {name}", like, taken[f"blocks/{index}"][name])
            for name, like in block.items()
        }
        for index, block in weights["blocks"].items()
    }
    return filled
