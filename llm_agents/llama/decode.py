"""Compiled parts of answering: read the prompts, draw tokens until all rows end, score options.

Rows are padded on the left, so all of them write the same column. A row draws with its own seed
and the number of the token, so neither its neighbours nor its place matter.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from llm_agents.llama.model import Cache, Held, merged

__all__ = ["Drawing", "Manner", "Read", "draw", "grown", "prefill", "sample", "score"]


class Read(NamedTuple):
    """What was read of B prompts, or once (B = 1) of the beginning that all rows have in common.

    cache: P columns a layer. pads: [B] int32, empty columns on the left.
    """

    cache: tuple[Cache, ...]
    pads: jax.Array


class Drawing(NamedTuple):
    """B rows whose answers are being drawn.

    cache: N columns a layer, for the answers. logits: [B, V] of the next token. tokens: [B, N]
    int32, drawn so far. drawn: int32, how many. done: [B] bool. lengths: [B] int32, tokens of
    each row, its end included.
    """

    cache: tuple[Cache, ...]
    logits: jax.Array
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
    graph: Any, weights: Any, tokens: jax.Array, pads: jax.Array, before: tuple[Read, ...] = ()
) -> tuple[jax.Array, Read]:
    """Read prompts [B, P]; returns the logits [B, V] of what follows, and what was read.

    Args:
      graph: the model's plan.
      weights: its weights.
      tokens: padded on the left.
      pads: [B] int32, how much.
      before: what these rows, or all rows, begin with.
    """
    with jax.default_matmul_precision("highest"):
        model = merged(graph, weights)
        columns = jnp.arange(tokens.shape[1])
        visible = (columns[None, :, None] >= columns) & (columns >= pads[:, None, None])
        places = jnp.maximum(columns - pads[:, None], 0) + _reached(before)[:, None]
        hidden, cache = model(tokens, places, visible, _held(before), only_last=True)
        return model.logits(hidden[:, -1]), Read(cache, pads)


@functools.partial(jax.jit, static_argnames=("columns",))
def grown(drawing: Drawing, columns: int) -> Drawing:
    """Room for ``columns`` tokens of answers."""
    more = columns - drawing.tokens.shape[1]
    cache = tuple(
        Cache(
            jnp.pad(layer.keys, ((0, 0), (0, 0), (0, 0), (0, more))),
            jnp.pad(layer.values, ((0, 0), (0, 0), (0, more), (0, 0))),
        )
        for layer in drawing.cache
    )
    return drawing._replace(cache=cache, tokens=jnp.pad(drawing.tokens, ((0, 0), (0, more))))


@functools.partial(jax.jit, static_argnames=("graph",), donate_argnames=("drawing",))
def draw(
    graph: Any,
    weights: Any,
    read: tuple[Read, ...],
    drawing: Drawing,
    manner: Manner,
    until: jax.Array,
) -> Drawing:
    """Draw tokens until all rows have ended or ``until`` tokens are drawn."""
    with jax.default_matmul_precision("highest"):
        model = merged(graph, weights)
        held, begin = _held(read), _reached(read)
        columns = jnp.arange(drawing.tokens.shape[1])
        points = _uniforms(manner.seeds, columns)

        def unfinished(now: Drawing) -> jax.Array:
            return (now.drawn < until) & ~now.done.all()

        def one(now: Drawing) -> Drawing:
            token = sample(now.logits, points[now.drawn], manner)
            token = jnp.where(now.done, 0, token)
            lengths = now.lengths + ~now.done
            ended = (token[:, None] == manner.ends).any(axis=1) | (lengths >= manner.limits)
            places = jnp.broadcast_to(begin + now.drawn, token.shape)[:, None]
            visible = (columns <= now.drawn)[None, None]
            hidden, cache = model(token[:, None], places, visible, held, (now.drawn, now.cache))
            return Drawing(
                cache=cache,
                logits=model.logits(hidden[:, -1]),
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
    graph: Any, weights: Any, read: tuple[Read, ...], rows: jax.Array, options: jax.Array
) -> jax.Array:
    """Log-probabilities [R, L, V] of what follows each token of a continuation.

    Args:
      graph: the model's plan.
      weights: its weights.
      read: the prompts.
      rows: [R] int32, whose prompt each one continues.
      options: [R, L] int32, padded on the right.
    """
    with jax.default_matmul_precision("highest"):
        model = merged(graph, weights)
        own = tuple(
            part if part.pads.shape[0] == 1 else jax.tree.map(lambda values: values[rows], part)
            for part in read
        )
        columns = jnp.arange(options.shape[1])
        places = jnp.broadcast_to(_reached(own)[:, None] + columns, options.shape)
        visible = columns[None, :, None] >= columns
        hidden, _ = model(options, places, visible, _held(own))
        return jax.nn.log_softmax(model.logits(hidden), axis=-1)


def _held(read: Sequence[Read]) -> list[Held]:
    """What later tokens attend to: all but the empty columns."""
    held = []
    for part in read:
        columns = jnp.arange(part.cache[0].values.shape[2])
        held.append(Held(part.cache, (columns >= part.pads[:, None])[:, None]))
    return held


def _reached(read: Sequence[Read]) -> jax.Array:
    """How many tokens of each row were read [B or 1] int32."""
    counts = [part.cache[0].values.shape[2] - part.pads for part in read]
    return functools.reduce(jnp.add, counts, jnp.zeros(1, jnp.int32))


def sample(logits: jax.Array, points: jax.Array, manner: Manner) -> jax.Array:
    """Tokens [B] drawn by inverting the distribution at ``points`` [B] in [0, 1).

    The running sum is taken in two levels, as products with triangular matrices; one long
    cumulative sum costs ten times as much on a CPU. Temperature 0 takes the likeliest token.
    """
    rows, size = logits.shape
    best = logits >= logits.max(axis=-1, keepdims=True)
    likeliest = jnp.where(best, jnp.arange(size), size - 1).min(axis=-1)
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


def _uniforms(seeds: jax.Array, numbers: jax.Array) -> jax.Array:
    """Numbers in [0, 1) [N, B]: for each row, from its seed and the number of the draw."""

    def one(seed: jax.Array, number: jax.Array) -> jax.Array:
        return jax.random.uniform(jax.random.fold_in(jax.random.PRNGKey(seed), number))

    return jax.vmap(jax.vmap(one, (0, None)), (None, 0))(seeds, numbers)
