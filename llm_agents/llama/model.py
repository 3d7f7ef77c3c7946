"""The Llama: tokens in, hidden states and logits out, with or without earlier columns of keys.

Shapes: B rows, T tokens of a call, S columns that were computed before, H heads, K heads of keys,
G = H / K, h width of a head. All rows of a call write the same columns, so shorter rows are padded
on the left.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from llm_agents.llama.config import Config

__all__ = ["Cache", "Held", "Llama", "empty_cache", "merged", "rope_frequencies", "split"]

_MASKED = -1e9
PIECES = 4  # turns in which the queries of a long prompt are taken, without columns hidden anyway
LONG = 128


class Cache(NamedTuple):
    """Columns of one layer: keys [B, K, h, S] and values [B, K, S, h]; B = 1: shared by all rows.

    Keys lie the other way round, so that a query meets them in a plain product of matrices.
    """

    keys: jax.Array
    values: jax.Array


class Held(NamedTuple):
    """Columns that were computed before: of every layer, and which ones tokens attend to.

    visible: bool, broadcast to [B, T, S].
    """

    layers: tuple[Cache, ...]
    visible: jax.Array


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
        held: Sequence[Held] = (),
        own: tuple[jax.Array | int, tuple[Cache, ...]] | None = None,
        only_last: bool = False,
    ) -> tuple[jax.Array, tuple[Cache, ...]]:
        """Return hidden states behind the last norm, and the columns that tokens attended to.

        Args:
          tokens: [B, T] int32.
          positions: [B, T] int32, places in the text of each row.
          visible: bool, broadcast to [B, T, S]: which columns of this call a token attends to
            (S = T), or which ones of ``own``.
          held: columns that are only read.
          own: where the first token of the call is written, and the columns it is written to.
          only_last: compute the last layer for the last token alone; nobody asks for the others.
            ``visible`` is then taken to hide what comes later.

        Returns:
          [B, T or 1, width] in the weights' dtype, and this call's columns (or ``own``, written).
        """
        config = self.config
        x = self.embedding[...][tokens]
        size = tokens.shape[1] if own is None else own[1][0].values.shape[2]
        size += sum(part.layers[0].values.shape[2] for part in held)
        turns = _rotation(positions, config, size)
        kept = []
        for index, block in enumerate(self.blocks):
            last = only_last and index == config.num_layers - 1
            before = [(part.layers[index], _bias(part.visible)) for part in held]
            queries, written = _columns(config, block, x, turns)
            if own is not None:
                written = _write(own[1][index], written, own[0])
            if last:
                x, queries, visible = x[:, -1:], queries[:, :, :, -1:], visible[:, -1:]
            pieces = PIECES if only_last and not last and x.shape[1] >= LONG else 1
            seen = _attention(queries, [*before, (written, _bias(visible))], pieces)
            x = x + _joined(config, block, seen)
            x = x + _mlp(config, block, x)
            kept.append(written)
        return _norm(x, self.norm[...], config.norm_epsilon), tuple(kept)

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
    outer, h = (rows, config.num_kv_heads), config.head_width
    return tuple(
        Cache(jnp.zeros((*outer, h, columns), dtype), jnp.zeros((*outer, columns, h), dtype))
        for _ in range(config.num_layers)
    )


def rope_frequencies(config: Config) -> np.ndarray:
    """Rotations per position [h / 2] float32, stretched where the model was.

    Source: Su et al. (2021), "RoFormer", arXiv:2104.09864; stretching as in Llama 3.1.
    """
    half = config.head_width // 2
    frequencies = np.float32(config.rope_theta) ** (-np.arange(half, dtype=np.float32) / half)
    scaling = config.rope_scaling
    if scaling is None:
        return frequencies
    wavelengths = 2 * math.pi / frequencies
    blend = (scaling.original_positions / wavelengths - scaling.low) / (scaling.high - scaling.low)
    blend = np.clip(blend, 0.0, 1.0)
    return (1 - blend) * frequencies / scaling.factor + blend * frequencies


@functools.lru_cache(maxsize=64)
def _turns(config: Config, columns: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of all positions [columns, h / 2] float32.

    They are constants of a program: a compiler that finds a cosine between two products computes
    it again for every head of every layer.
    """
    angles = np.arange(columns, dtype=np.float32)[:, None] * rope_frequencies(config)
    return np.cos(angles), np.sin(angles)


def _rotation(positions: jax.Array, config: Config, columns: int) -> tuple[jax.Array, jax.Array]:
    cosines, sines = _turns(config, columns)
    return jnp.asarray(cosines)[positions][:, :, None], jnp.asarray(sines)[positions][:, :, None]


def _rotate(x: jax.Array, turns: tuple[jax.Array, jax.Array], scale: float = 1.0) -> jax.Array:
    cos, sin = turns[0] * scale, turns[1] * scale
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    turned = jnp.concatenate((first * cos - second * sin, second * cos + first * sin), axis=-1)
    return turned.astype(x.dtype)


def _norm(x: jax.Array, scale: jax.Array, epsilon: float) -> jax.Array:
    wide = x.astype(jnp.float32)
    wide = wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + epsilon)
    return wide.astype(x.dtype) * scale


def _columns(
    config: Config, block: Block, x: jax.Array, turns: tuple[jax.Array, jax.Array]
) -> tuple[jax.Array, Cache]:
    """Scaled queries [B, K, H / K, T, h] and new columns, from [B, T, width]."""
    rows, length, _ = x.shape
    heads, shared, h = config.num_heads, config.num_kv_heads, config.head_width
    mixed = _norm(x, block.attention_norm[...], config.norm_epsilon) @ block.qkv[...]
    if config.attention_bias:
        mixed = mixed + block.qkv_bias[...]
    queries, keys, values = jnp.split(mixed, (heads * h, (heads + shared) * h), axis=-1)
    queries = _rotate(queries.reshape(rows, length, heads, h), turns, h**-0.5)
    queries = queries.reshape(rows, length, shared, heads // shared, h).transpose(0, 2, 3, 1, 4)
    keys = _rotate(keys.reshape(rows, length, shared, h), turns).transpose(0, 2, 3, 1)
    values = values.reshape(rows, length, shared, h).swapaxes(1, 2)
    return queries, Cache(keys, values)


def _write(cache: Cache, new: Cache, column: jax.Array | int) -> Cache:
    write = jax.lax.dynamic_update_slice_in_dim
    return Cache(
        write(cache.keys, new.keys, column, axis=3), write(cache.values, new.values, column, axis=2)
    )


def _bias(visible: jax.Array) -> jax.Array:
    return jnp.where(visible, 0.0, _MASKED)[:, None, None]


def _attention(
    queries: jax.Array, columns: Sequence[tuple[Cache, jax.Array]], pieces: int
) -> jax.Array:
    """What queries [B, K, G, T, h] see in columns, in the same shape.

    More than one piece: queries are taken in so many turns, and those of a turn do not look at
    the last columns beyond them, which are hidden from them anyway.
    """
    length = queries.shape[3]
    if pieces == 1 or length % pieces:
        return _seen(queries, columns)
    *before, (last, bias) = columns
    step, seen = length // pieces, []
    for end in range(step, length + 1, step):
        early = Cache(last.keys[..., :end], last.values[:, :, :end])
        part = (early, bias[..., end - step : end, :end])
        seen.append(_seen(queries[:, :, :, end - step : end], [*before, part]))
    return jnp.concatenate(seen, axis=3)


def _seen(queries: jax.Array, columns: Sequence[tuple[Cache, jax.Array]]) -> jax.Array:
    rows, shared, group, length, h = queries.shape
    flat = queries.reshape(rows, shared, group * length, h)
    scores = []
    for cache, bias in columns:
        found = _product(flat, cache.keys, jnp.float32)
        scores.append(found.reshape(rows, shared, group, length, -1) + bias)
    joined = scores[0] if len(scores) == 1 else jnp.concatenate(scores, axis=-1)
    weights = jax.nn.softmax(joined, axis=-1).astype(queries.dtype)
    weights = weights.reshape(rows, shared, group * length, -1)
    start, seen = 0, []
    for cache, _ in columns:
        end = start + cache.values.shape[2]
        seen.append(_product(weights[..., start:end], cache.values, queries.dtype))
        start = end
    return functools.reduce(jnp.add, seen).reshape(queries.shape)


def _product(rows: jax.Array, columns: jax.Array, dtype: Any) -> jax.Array:
    """[B, K, Q, n] times [B or 1, K, n, m]."""
    if columns.shape[0] == 1:
        form, columns = "bkqn,knm->bkqm", columns[0]
    else:
        form = "bkqn,bknm->bkqm"
    return jnp.einsum(form, rows, columns, preferred_element_type=dtype)


def _joined(config: Config, block: Block, seen: jax.Array) -> jax.Array:
    """From what heads saw [B, K, G, T, h] back to [B, T, width]."""
    rows, _, _, length, _ = seen.shape
    flat = seen.transpose(0, 3, 1, 2, 4).reshape(rows, length, -1) @ block.out[...]
    return flat + block.out_bias[...] if config.attention_bias else flat


def _mlp(config: Config, block: Block, x: jax.Array) -> jax.Array:
    both = _norm(x, block.mlp_norm[...], config.norm_epsilon) @ block.gate_up[...]
    if config.mlp_bias:
        both = both + block.gate_up_bias[...]
    gate, up = jnp.split(both, 2, axis=-1)
    down = (jax.nn.silu(gate) * up) @ block.down[...]
    return down + block.down_bias[...] if config.mlp_bias else down
