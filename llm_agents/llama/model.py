"""The Llama: tokens in, hidden states and logits out, with or without a cache of keys.

Shapes: B rows, T tokens of a call, S columns of the cache, H heads, K heads of keys, h width of
a head. All rows of a call are written to the same columns of the cache, so shorter rows are
padded on the left.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from llm_agents.llama.config import Config

__all__ = ["Cache", "Llama", "empty_cache", "merged", "rope_frequencies", "split"]

_MASKED = -1e9


class Cache(NamedTuple):
    """Keys and values of one layer: [B, K, S, h] each."""

    keys: jax.Array
    values: jax.Array


class Block(nnx.Module):
    """One layer: attention with grouped queries, then SwiGLU, each behind an RMS norm."""

    def __init__(self, config: Config, init: Any) -> None:
        """Make the weights by calling ``init(shape)``; scales are 1, biases 0."""
        width, hidden, h = config.width, config.hidden_width, config.head_width
        heads, shared = config.num_heads, config.num_kv_heads
        self.attention_norm = nnx.Param(jnp.ones(width))
        self.qkv = nnx.Param(init((width, (heads + 2 * shared) * h)))
        self.out = nnx.Param(init((heads * h, width)))
        self.mlp_norm = nnx.Param(jnp.ones(width))
        self.gate_up = nnx.Param(init((width, 2 * hidden)))
        self.down = nnx.Param(init((hidden, width)))
        if config.attention_bias:
            self.qkv_bias = nnx.Param(jnp.zeros((heads + 2 * shared) * h))
            self.out_bias = nnx.Param(jnp.zeros(width))
        if config.mlp_bias:
            self.gate_up_bias = nnx.Param(jnp.zeros(2 * hidden))
            self.down_bias = nnx.Param(jnp.zeros(width))


class Llama(nnx.Module):
    """Embeddings, layers, a last norm, and output embeddings unless they are the input's."""

    def __init__(self, config: Config, init: Any) -> None:
        """Make the weights by calling ``init(shape)``."""
        self.config = config
        self.embedding = nnx.Param(init((config.vocab_size, config.width)))
        self.blocks = nnx.List([Block(config, init) for _ in range(config.num_layers)])
        self.norm = nnx.Param(jnp.ones(config.width))
        if not config.tied:
            self.head = nnx.Param(init((config.width, config.vocab_size)))

    def __call__(
        self,
        tokens: jax.Array,
        positions: jax.Array,
        visible: jax.Array,
        cache: tuple[Cache, ...] | None = None,
        column: jax.Array | int = 0,
    ) -> tuple[jax.Array, tuple[Cache, ...] | None]:
        """Return hidden states behind the last norm, and the cache with this call's keys.

        Args:
          tokens: [B, T] int32.
          positions: [B, T] int32, places in the text of each row.
          visible: bool, broadcast to [B, T, S] (S = T without a cache): which columns a token
            attends to.
          cache: one entry a layer, or None (training).
          column: where the first token of the call is written in the cache.

        Returns:
          [B, T, width] in the weights' dtype, and the new cache or None.
        """
        config = self.config
        x = self.embedding[...][tokens]
        turns = _rotation(positions, config)
        bias = jnp.where(visible, 0.0, _MASKED)[:, None, None]
        kept = []
        for index, block in enumerate(self.blocks):
            held = None if cache is None else cache[index]
            mixed, held = _attention(config, block, x, turns, bias, held, column)
            x = x + mixed
            x = x + _mlp(config, block, x)
            kept.append(held)
        x = _norm(x, self.norm[...], config.norm_epsilon)
        return x, None if cache is None else tuple(kept)

    def logits(self, hidden: jax.Array) -> jax.Array:
        """Scores of all tokens [..., vocab] float32."""
        head = self.embedding[...].T if self.config.tied else self.head[...]
        return jnp.einsum("...d,dv->...v", hidden, head, preferred_element_type=jnp.float32)


def split(model: Llama) -> tuple[Any, Any]:
    """The model's plan (static) and its weights (a pytree of arrays)."""
    graph, state = nnx.split(model)
    return graph, nnx.to_pure_dict(state)


def merged(graph: Any, weights: Any) -> Llama:
    """The model again, inside a compiled function."""
    return nnx.merge(graph, weights)


def empty_cache(config: Config, rows: int, columns: int, dtype: Any) -> tuple[Cache, ...]:
    """A cache of zeros."""
    shape = (rows, config.num_kv_heads, columns, config.head_width)
    return tuple(
        Cache(jnp.zeros(shape, dtype), jnp.zeros(shape, dtype)) for _ in range(config.num_layers)
    )


def rope_frequencies(config: Config) -> jax.Array:
    """Rotations per position [h / 2] float32, stretched where the model was.

    Source: Su et al. (2021), "RoFormer", arXiv:2104.09864; stretching as in Llama 3.1.
    """
    half = config.head_width // 2
    frequencies = config.rope_theta ** (-jnp.arange(half, dtype=jnp.float32) / half)
    scaling = config.rope_scaling
    if scaling is None:
        return frequencies
    wavelengths = 2 * math.pi / frequencies
    blend = (scaling.original_positions / wavelengths - scaling.low) / (scaling.high - scaling.low)
    blend = jnp.clip(blend, 0.0, 1.0)
    return (1 - blend) * frequencies / scaling.factor + blend * frequencies


def _rotation(positions: jax.Array, config: Config) -> tuple[jax.Array, jax.Array]:
    angles = positions[..., None].astype(jnp.float32) * rope_frequencies(config)
    return jnp.cos(angles)[:, :, None], jnp.sin(angles)[:, :, None]


def _rotate(x: jax.Array, turns: tuple[jax.Array, jax.Array]) -> jax.Array:
    cos, sin = turns
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate((first * cos - second * sin, second * cos + first * sin), axis=-1)
    return turned.astype(x.dtype)


def _norm(x: jax.Array, scale: jax.Array, epsilon: float) -> jax.Array:
    wide = x.astype(jnp.float32)
    wide = wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + epsilon)
    return wide.astype(x.dtype) * scale


def _attention(
    config: Config,
    block: Block,
    x: jax.Array,
    turns: tuple[jax.Array, jax.Array],
    bias: jax.Array,
    cache: Cache | None,
    column: jax.Array | int,
) -> tuple[jax.Array, Cache | None]:
    rows, length, _ = x.shape
    heads, shared, h = config.num_heads, config.num_kv_heads, config.head_width
    mixed = _norm(x, block.attention_norm[...], config.norm_epsilon) @ block.qkv[...]
    if config.attention_bias:
        mixed = mixed + block.qkv_bias[...]
    queries, keys, values = jnp.split(mixed, (heads * h, (heads + shared) * h), axis=-1)
    queries = _rotate(queries.reshape(rows, length, heads, h), turns)
    keys = _rotate(keys.reshape(rows, length, shared, h), turns).swapaxes(1, 2)
    values = values.reshape(rows, length, shared, h).swapaxes(1, 2)
    if cache is not None:
        cache = Cache(
            jax.lax.dynamic_update_slice_in_dim(cache.keys, keys, column, axis=2),
            jax.lax.dynamic_update_slice_in_dim(cache.values, values, column, axis=2),
        )
        keys, values = cache
    group = heads // shared
    queries = queries.reshape(rows, length, shared, group, h).transpose(0, 2, 3, 1, 4)
    flat = queries.reshape(rows, shared, group * length, h)
    scores = jnp.einsum("bkqh,bksh->bkqs", flat, keys, preferred_element_type=jnp.float32)
    scores = scores.reshape(rows, shared, group, length, -1) * (h**-0.5) + bias
    weights = jax.nn.softmax(scores, axis=-1).astype(x.dtype)
    weights = weights.reshape(rows, shared, group * length, -1)
    seen = jnp.einsum("bkqs,bksh->bkqh", weights, values)
    seen = seen.reshape(rows, shared, group, length, h).transpose(0, 3, 1, 2, 4)
    seen = seen.reshape(rows, length, heads * h) @ block.out[...]
    return (seen + block.out_bias[...] if config.attention_bias else seen), cache


def _mlp(config: Config, block: Block, x: jax.Array) -> jax.Array:
    both = _norm(x, block.mlp_norm[...], config.norm_epsilon) @ block.gate_up[...]
    if config.mlp_bias:
        both = both + block.gate_up_bias[...]
    gate, up = jnp.split(both, 2, axis=-1)
    down = (jax.nn.silu(gate) * up) @ block.down[...]
    return down + block.down_bias[...] if config.mlp_bias else down
