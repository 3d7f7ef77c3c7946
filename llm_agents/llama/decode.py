"""Compiled parts of answering: read the prompts, draw tokens until all rows end, score options.

Rows are padded on the left, so all of them write the same column of the cache. A row draws with
its own seed and the number of the token, so neither its neighbours nor its place matter.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from llm_agents.llama.model import Cache, empty_cache, merged

__all__ = ["Drawing", "Manner", "draw", "grown", "prefill", "sample", "score"]


class Drawing(NamedTuple):
    """B rows whose answers are being drawn.

    cache: [B, K, S, h] a layer. logits: [B, V] of the next token. column: int32, where it will
    be written. pads: [B] int32, empty columns on the left. tokens: [B, N] int32, drawn so far.
    drawn: int32, how many. done: [B] bool. lengths: [B] int32, tokens of each row, its end
    included.
    """

    cache: tuple[Cache, ...]
    logits: jax.Array
    column: jax.Array
    pads: jax.Array
    tokens: jax.Array
    drawn: jax.Array
    done: jax.Array
    lengths: jax.Array


class Manner(NamedTuple):
    """How rows draw: [B] each; seeds uint32, temperatures and top_ps float32, limits int32.

    ends: [E] int32 tokens that end an answer.
    """

    seeds: jax.Array
    temperatures: jax.Array
    top_ps: jax.Array
    limits: jax.Array
    ends: jax.Array


@functools.partial(jax.jit, static_argnames=("graph",))
def prefill(
    graph: Any, weights: Any, tokens: jax.Array, pads: jax.Array
) -> tuple[jax.Array, tuple[Cache, ...]]:
    """Read prompts [B, P]; returns the logits [B, V] of what follows, and a cache of P columns."""
    with jax.default_matmul_precision("highest"):
        model = merged(graph, weights)
        rows, length = tokens.shape
        columns = jnp.arange(length)
        visible = (columns[None, :, None] >= columns) & (columns >= pads[:, None, None])
        places = jnp.maximum(columns - pads[:, None], 0)
        dtype = weights["embedding"].dtype
        cache = empty_cache(model.config, rows, length, dtype)
        hidden, cache = model(tokens, places, visible, cache, 0)
        assert cache is not None
        return model.logits(hidden[:, -1]), cache


@functools.partial(jax.jit, static_argnames=("columns",))
def grown(cache: tuple[Cache, ...], columns: int) -> tuple[Cache, ...]:
    """The cache with empty columns on the right."""
    more = columns - cache[0].keys.shape[2]
    return jax.tree.map(lambda part: jnp.pad(part, ((0, 0), (0, 0), (0, more), (0, 0))), cache)


@functools.partial(jax.jit, static_argnames=("graph",), donate_argnames=("drawing",))
def draw(graph: Any, weights: Any, drawing: Drawing, manner: Manner, until: jax.Array) -> Drawing:
    """Draw tokens until all rows have ended or ``until`` tokens are drawn."""
    with jax.default_matmul_precision("highest"):
        model = merged(graph, weights)
        columns = jnp.arange(drawing.cache[0].keys.shape[2])

        def unfinished(now: Drawing) -> jax.Array:
            return (now.drawn < until) & ~now.done.all()

        def one(now: Drawing) -> Drawing:
            token = sample(now.logits, _uniform(manner.seeds, now.drawn), manner)
            token = jnp.where(now.done, 0, token)
            lengths = now.lengths + ~now.done
            ended = (token[:, None] == manner.ends).any(axis=1) | (lengths >= manner.limits)
            places = (now.column - now.pads)[:, None]
            visible = (columns <= now.column) & (columns >= now.pads[:, None])
            hidden, cache = model(token[:, None], places, visible[:, None], now.cache, now.column)
            assert cache is not None
            return Drawing(
                cache=cache,
                logits=model.logits(hidden[:, -1]),
                column=now.column + 1,
                pads=now.pads,
                tokens=jax.lax.dynamic_update_slice_in_dim(
                    now.tokens, token[:, None], now.drawn, axis=1
                ),
                drawn=now.drawn + 1,
                done=now.done | ended,
                lengths=lengths,
            )

        return jax.lax.while_loop(unfinished, one, drawing)


@functools.partial(jax.jit, static_argnames=("graph",))
def score(
    graph: Any,
    weights: Any,
    cache: tuple[Cache, ...],
    rows: jax.Array,
    pads: jax.Array,
    options: jax.Array,
) -> jax.Array:
    """Log-probabilities [R, L, V] of what follows each token of a continuation.

    Args:
      graph: the model's plan.
      weights: its weights.
      cache: of the prompts, P columns.
      rows: [R] int32, whose prompt each one continues.
      pads: [R] int32, of those prompts.
      options: [R, L] int32, padded on the right.
    """
    with jax.default_matmul_precision("highest"):
        model = merged(graph, weights)
        begin, length = cache[0].keys.shape[2], options.shape[1]
        own = grown(jax.tree.map(lambda part: part[rows], cache), begin + length)
        columns, written = jnp.arange(begin + length), begin + jnp.arange(length)
        visible = (columns <= written[None, :, None]) & (columns >= pads[:, None, None])
        hidden, _ = model(options, written - pads[:, None], visible, own, begin)
        return jax.nn.log_softmax(model.logits(hidden), axis=-1)


def sample(logits: jax.Array, points: jax.Array, manner: Manner) -> jax.Array:
    """Tokens [B] drawn by inverting the distribution at ``points`` [B] in [0, 1).

    The running sum is taken in two levels, as products with triangular matrices; one long
    cumulative sum costs ten times as much on a CPU. Temperature 0 takes the likeliest token.
    """
    rows, size = logits.shape
    likeliest = jnp.argmax(logits, axis=-1)
    heat = jnp.maximum(manner.temperatures, 1e-6)[:, None]
    chances = jax.nn.softmax(logits / heat, axis=-1)
    chances = jax.lax.cond(
        (manner.top_ps < 1.0).any(), lambda: _nucleus(chances, manner.top_ps), lambda: chances
    )
    width = 2 ** math.ceil(math.log2(max(size, 4)) / 2)
    blocks = jnp.pad(chances, ((0, 0), (0, -size % width))).reshape(rows, -1, width)
    sums = blocks.sum(axis=-1)
    totals = sums @ jnp.triu(jnp.ones((sums.shape[1], sums.shape[1])))
    point = points * totals[:, -1]
    block = jnp.minimum((totals <= point[:, None]).sum(axis=-1), sums.shape[1] - 1)
    left = point - (jnp.take_along_axis(totals - sums, block[:, None], axis=1))[:, 0]
    inside = jnp.take_along_axis(blocks, block[:, None, None], axis=1)[:, 0]
    running = inside @ jnp.triu(jnp.ones((width, width)))
    place = jnp.minimum((running <= left[:, None]).sum(axis=-1), width - 1)
    token = jnp.minimum(block * width + place, size - 1)
    possible = jnp.take_along_axis(chances, token[:, None], axis=1)[:, 0] > 0
    return jnp.where((manner.temperatures > 0) & possible, token, likeliest).astype(jnp.int32)


def _nucleus(chances: jax.Array, top_ps: jax.Array) -> jax.Array:
    """The likeliest tokens that together reach ``top_p``; the others get 0.

    Source: Holtzman et al. (2020), "The curious case of neural text degeneration",
    arXiv:1904.09751.
    """
    order = jnp.argsort(-chances, axis=-1)
    ordered = jnp.take_along_axis(chances, order, axis=-1)
    before = jnp.cumsum(ordered, axis=-1) - ordered
    kept = jnp.where(before < top_ps[:, None], ordered, 0.0)
    rows = jnp.arange(chances.shape[0])[:, None]
    return jnp.zeros_like(chances).at[rows, order].set(kept)


def _uniform(seeds: jax.Array, number: jax.Array) -> jax.Array:
    """One number in [0, 1) for each row, from its seed and the number of the draw."""

    def one(seed: jax.Array) -> jax.Array:
        return jax.random.uniform(jax.random.fold_in(jax.random.PRNGKey(seed), number))

    return jax.vmap(one)(seeds)
