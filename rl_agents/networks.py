"""Networks as plain functions of dictionaries of arrays.

``make_*`` draws weights, the function of the same name applies them. Weights are normal
with variance by fan-in; no layer is initialised by orthogonalisation, whose QR inside
jit and vmap has hung this stack. One module library less travels through every compiled
function; a state of ``flax.nnx``, split and merged around it, costs the same.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from worlds.types import Array

__all__ = [
    "conv",
    "dense",
    "gru",
    "lstm",
    "make_conv",
    "make_dense",
    "make_gru",
    "make_lstm",
    "make_tower",
    "tower",
]

Weights = Mapping[str, Any]


def make_dense(key: Array, inputs: int, outputs: int, scale: float = 1.0) -> dict[str, Array]:
    """Weights [inputs, outputs] of standard deviation scale / sqrt(inputs), bias 0."""
    sd = scale / np.sqrt(max(inputs, 1))
    return {
        "w": jax.random.normal(key, (inputs, outputs), jnp.float32) * jnp.float32(sd),
        "b": jnp.zeros(outputs, jnp.float32),
    }


def dense(weights: Weights, x: Array) -> Array:
    """[..., inputs] -> [..., outputs]."""
    return x @ weights["w"] + weights["b"]


def make_tower(key: Array, inputs: int, widths: Sequence[int]) -> list[dict[str, Array]]:
    """Dense layers, gain sqrt(2)."""
    sizes = [inputs, *widths]
    return [
        make_dense(jax.random.fold_in(key, i), sizes[i], sizes[i + 1], float(np.sqrt(2)))
        for i in range(len(widths))
    ]


def tower(layers: Sequence[Weights], x: Array, activation: str = "tanh") -> Array:
    """Dense layers, each with an activation behind it."""
    act = getattr(jnp, activation) if activation == "tanh" else jax.nn.relu
    for layer in layers:
        x = act(dense(layer, x))
    return x


def make_gru(key: Array, inputs: int, width: int) -> dict[str, Any]:
    """Weights of a gated recurrent unit (Cho et al. 2014, arXiv:1406.1078)."""
    key_in, key_back = jax.random.split(key)
    return {
        "x": make_dense(key_in, inputs, 3 * width),
        "h": make_dense(key_back, width, 3 * width),
    }


def gru(weights: Weights, memory: Array, x: Array) -> Array:
    """The new memory [..., width]; also its output."""
    reset_x, update_x, new_x = jnp.split(dense(weights["x"], x), 3, axis=-1)
    reset_h, update_h, new_h = jnp.split(dense(weights["h"], memory), 3, axis=-1)
    reset = jax.nn.sigmoid(reset_x + reset_h)
    update = jax.nn.sigmoid(update_x + update_h)
    new = jnp.tanh(new_x + reset * new_h)
    return (1 - update) * new + update * memory


def make_lstm(key: Array, inputs: int, width: int) -> dict[str, Any]:
    """Weights of a long short-term memory; the forget gate begins open (bias 1).

    Source: Hochreiter & Schmidhuber (1997), doi:10.1162/neco.1997.9.8.1735.
    """
    key_in, key_back = jax.random.split(key)
    weights = {
        "x": make_dense(key_in, inputs, 4 * width),
        "h": make_dense(key_back, width, 4 * width),
    }
    weights["x"]["b"] = weights["x"]["b"].at[width : 2 * width].set(1.0)
    return weights


def lstm(weights: Weights, memory: Array, x: Array) -> Array:
    """The new memory [..., 2 * width]: output, then cell."""
    hidden, cell = jnp.split(memory, 2, axis=-1)
    gates = dense(weights["x"], x) + dense(weights["h"], hidden)
    enter, forget, new, leave = jnp.split(gates, 4, axis=-1)
    cell = jax.nn.sigmoid(forget) * cell + jax.nn.sigmoid(enter) * jnp.tanh(new)
    return jnp.concatenate([jax.nn.sigmoid(leave) * jnp.tanh(cell), cell], axis=-1)


def make_conv(key: Array, shape: tuple[int, int, int], features: Sequence[int]) -> list[Any]:
    """Layers of 3 x 3 convolutions with stride 1 over [H, W, channels]."""
    layers, channels = [], shape[2]
    for index, width in enumerate(features):
        sd = np.sqrt(2 / (9 * channels))
        kernel = jax.random.normal(jax.random.fold_in(key, index), (3, 3, channels, width))
        layers.append({"w": kernel * jnp.float32(sd), "b": jnp.zeros(width, jnp.float32)})
        channels = width
    return layers


def conv(layers: Sequence[Weights], image: Array) -> Array:
    """[..., H, W, channels] -> [..., features], flattened."""
    lead, shape = image.shape[:-3], image.shape[-3:]
    x = image.reshape(-1, *shape)
    for layer in layers:
        x = jax.lax.conv_general_dilated(
            x, layer["w"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        x = jax.nn.relu(x + layer["b"])
    return x.reshape(*lead, -1)
