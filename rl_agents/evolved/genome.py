"""Weights of each slot's own network: drawing, applying, inheriting and mutating them.

A genome is a dictionary of layers. With ``rank`` 0 a slot owns each layer whole, [n, inputs + 1,
outputs], the last row its biases; otherwise it owns a low-rank difference from weights that all
share and that never change: W + U V with U [n, inputs, rank] and V [n, rank + 1, outputs], the
last row of V its biases. Births touch the rows of
newborns alone, one after the other and in place: their cost grows with the number of births,
not with the number of slots.

Source: Hu et al. (2021), LoRA, arXiv:2106.09685, for the low-rank form; used here as the
heritable part of evolved networks.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rl_agents.evolved.noise import normal
from worlds.random import fold, random_bits
from worlds.rows import row_of, with_row
from worlds.types import Array, Births

__all__ = ["apply_layer", "borne", "crossed", "distances", "jiggled", "make_genome", "mutated"]

Rows = Mapping[str, Any]
_BLOCK = 2**20  # deviates drawn at once


def make_genome(
    key: Array, num: int, layers: Mapping[str, tuple[int, int]], rank: int
) -> tuple[dict[str, Rows], dict[str, Array]]:
    """Own weights of each layer, [num, ...], and at rank > 0 shared ones [inputs, outputs].

    Variances are 1 / inputs. At first V is 0.3 of what would double the variance, so that
    slots differ from the beginning: evolution has nothing else to choose from. Genomes are
    drawn whole and a block at a time: each layer by itself would take kernels of its own.

    Args:
      layers: name -> (inputs, outputs).
    """
    drawn = {name: _drawn(inputs, outputs, rank) for name, (inputs, outputs) in layers.items()}
    rows, form = jax.tree.flatten(drawn, is_leaf=lambda part: isinstance(part, _Drawn))
    size = sum(row.size for row in rows)
    block = min(max(_BLOCK // size, 1), num)

    def draw(number: Array, leaves: list[Array]) -> list[Array]:
        first = jnp.minimum(number * block, num - block)
        slots = first + jnp.arange(block)
        noise = jax.vmap(lambda slot: normal(fold(key, slot), (size,)))(slots)
        parts = jax.vmap(lambda one: tuple(_cut(one, rows)))(noise)  # type: ignore[arg-type]
        return [
            jax.lax.dynamic_update_slice(leaf, part * row.scale, (first, 0, 0))
            for leaf, part, row in zip(leaves, parts, rows, strict=True)
        ]

    blank = [jnp.zeros((num, row.shape[0] + row.biased, row.shape[1]), jnp.float32) for row in rows]
    own = form.unflatten(jax.lax.fori_loop(0, -(-num // block), draw, blank))
    return own, _shared(fold(key, num), layers) if rank else {}


class _Drawn(NamedTuple):
    """How a matrix of a genome is drawn: deviates times ``scale``; are biases below it?"""

    shape: tuple[int, int]
    scale: np.float32
    biased: bool

    @property
    def size(self) -> int:
        return self.shape[0] * self.shape[1]


def _drawn(inputs: int, outputs: int, rank: int) -> dict[str, _Drawn]:
    scale = np.float32(1 / np.sqrt(max(inputs, 1)))
    if not rank:
        return {"w": _Drawn((inputs, outputs), scale, True)}
    small = np.float32(0.3 / np.sqrt(rank))
    return {
        "u": _Drawn((inputs, rank), scale, False),
        "v": _Drawn((rank, outputs), small, True),
    }


def _shared(key: Array, layers: Mapping[str, tuple[int, int]]) -> dict[str, Array]:
    rows = [_drawn(inputs, outputs, 0)["w"] for inputs, outputs in layers.values()]
    parts = _cut(normal(key, (sum(row.size for row in rows),)), rows)  # type: ignore[arg-type]
    return {name: part * row.scale for name, part, row in zip(layers, parts, rows, strict=True)}


def apply_layer(own: Rows, shared: Any, x: Array) -> Array:
    """[n, inputs] -> [n, outputs], or [n, k, inputs] -> [n, k, outputs]: each row by its own."""
    if "w" in own:
        return _rowwise(_with_one(x), own["w"])
    return x @ shared + _rowwise(_with_one(_rowwise(x, own["u"])), own["v"])


def _with_one(x: Array) -> Array:
    """One more input that is always 1, for the biases: one leaf less to inherit."""
    return jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], axis=-1)


def _rowwise(x: Array, weights: Array) -> Array:
    if x.ndim == 2:
        return jnp.einsum("ni,nio->no", x, weights)
    return jnp.einsum("nki,nio->nko", x, weights)


def crossed(key: Array, tree: Any, births: Births) -> Any:
    """Newborns' rows: their parent's, or of two parents each column (unit) from either."""
    leaves, form = jax.tree.flatten(tree)
    if births.dense:
        rows = leaves[0].shape[0]
        parent = jnp.where(births.parent >= 0, births.parent, births.child[:, None])
        return form.unflatten(
            [
                _mixed(fold(key, number), leaf[parent[:, 0]], leaf[parent[:, -1]], rows)
                if parent.shape[1] > 1
                else leaf[parent[:, 0]]
                for number, leaf in enumerate(leaves)
            ]
        )
    return form.unflatten(_each_birth(leaves, births, lambda *args: _heirs(key, *args)))


def mutated(key: Array, tree: Any, births: Births, sd: Array) -> Any:
    """Add normal deviates of standard deviation sd ([] or [B]) to newborns' rows."""
    leaves, form = jax.tree.flatten(tree)
    sd = jnp.broadcast_to(sd, births.child.shape)
    if births.dense:
        changes = (births.parent[:, 0] >= 0) & (births.parent[:, 0] != births.child)
        found = []
        for number, leaf in enumerate(leaves):
            size = jnp.where(changes, sd, 0.0).reshape(-1, *[1] * (leaf.ndim - 1))
            found.append(leaf + size * normal(fold(key, number, 0), leaf.shape))
        return form.unflatten(found)

    def change(index: Array, child: Array, parents: Array, leaves: list[Array]) -> list[Array]:
        return _nudged(fold(key, index), _rows_of(leaves, child), sd[index])

    shown = births.parent[:, 0] != births.child
    return form.unflatten(_each_birth(leaves, births, change, shown))


def jiggled(key: Array, numbers: Array, births: Births, sd: Array) -> Array:
    """``mutated`` of one number a row, [n]: the same deviates, all at once."""
    if births.dense:
        return mutated(key, numbers, births, sd)
    index = jnp.arange(births.child.shape[0])
    noise = jax.vmap(lambda number: normal(fold(key, number), (1,))[0])(index)
    change = jnp.where(births.parent[:, 0] != births.child, sd * noise, 0.0)
    return numbers.at[births.child].add(change, mode="drop")


def borne(key: Array, tree: Any, births: Births, shown: Births, sd: Array) -> Any:
    """``mutated(key, crossed(..., tree, births), shown, sd)`` of listed births of one parent."""
    leaves, form = jax.tree.flatten(tree)
    size = jnp.where(shown.parent[:, 0] != births.child, sd, 0.0)

    def bear(index: Array, child: Array, parents: Array, leaves: list[Array]) -> list[Array]:
        return _nudged(fold(key, index), _rows_of(leaves, parents[0]), size[index])

    return form.unflatten(_each_birth(leaves, births, bear))


def _nudged(key: Array, rows: list[Array], sd: Array) -> list[Array]:
    # One draw for the whole genome compiles faster than one for each layer.
    noise = normal(key, (sum(row.size for row in rows),))
    return [row + sd * part for row, part in zip(rows, _cut(noise, rows), strict=True)]


def distances(tree: Any, births: Births) -> Array:
    """[B] float32 Euclidean distance of each newborn's row from its first parent's; 0 padding."""
    leaves = jax.tree.leaves(tree)
    order, number = _order(births, leaves[0].shape[0])

    def one(place: Array, found: Array) -> Array:
        index = order[place]
        child, parent = births.child[index], births.parent[index, 0]
        parts = [(row_of(leaf, child) - row_of(leaf, parent)).ravel() for leaf in leaves]
        way = jnp.concatenate(parts)
        return with_row(found, jnp.sqrt(way @ way), index)

    return jax.lax.fori_loop(0, number, one, jnp.zeros(births.child.shape[0], jnp.float32))


def _heirs(
    key: Array, index: Array, child: Array, parents: Array, leaves: list[Array]
) -> list[Array]:
    first = _rows_of(leaves, parents[0])
    if parents.shape[0] < 2:
        return first
    second = _rows_of(leaves, jnp.where(parents[1] >= 0, parents[1], parents[0]))
    columns = [row[..., :1, :].reshape(-1) if row.ndim > 1 else row.reshape(-1) for row in first]
    bits = random_bits(fold(key, index), jnp.arange(sum(part.size for part in columns))) & 1
    bits = jax.lax.optimization_barrier(bits)
    coins = [
        coin if row.ndim < 2 else coin[None]
        for coin, row in zip(_cut(bits, columns), first, strict=True)
    ]
    return [
        jnp.where(coin.reshape((1,) * (one.ndim - coin.ndim) + coin.shape) == 1, one, two)
        if one.ndim
        else jnp.where(coin[0] == 1, one, two)
        for coin, one, two in zip(coins, first, second, strict=True)
    ]


def _cut(vector: Array, rows: list[Array]) -> list[Array]:
    """Pieces of a vector in the shapes of the rows."""
    ends = np.cumsum([row.size for row in rows]).tolist()
    return [
        vector[end - row.size : end].reshape(row.shape) for end, row in zip(ends, rows, strict=True)
    ]


def _mixed(key: Array, first: Array, second: Array, rows: int) -> Array:
    """Columns from either parent, each with chance one half."""
    columns = first.shape[-1] if first.ndim > 1 else 1
    coin = random_bits(key, jnp.arange(rows * columns)) & 1
    shape = (rows, *[1] * (first.ndim - 2), columns) if first.ndim > 1 else (rows,)
    return jnp.where(coin.reshape(shape) == 1, first, second)


def _each_birth(
    leaves: list[Array], births: Births, rows_of: Callable[..., Any], real: Array | None = None
) -> list[Array]:
    """Write a row of each leaf for each real birth: ``rows_of(index, child, parents, leaves)``.

    Births are real where there is a parent, or where ``real`` says so, and none is padding.
    """
    order, number = _order(births, leaves[0].shape[0], real)

    def one(place: Array, rows: list[Array]) -> list[Array]:
        index = order[place]
        child, parents = births.child[index], births.parent[index]
        new = rows_of(index, child, parents, rows)
        return [with_row(leaf, row, child) for leaf, row in zip(rows, new, strict=True)]

    return jax.lax.fori_loop(0, number, one, leaves)


def _rows_of(leaves: list[Array], row: Array) -> list[Array]:
    return [row_of(leaf, row) for leaf in leaves]


def _order(births: Births, rows: int, real: Array | None = None) -> tuple[Array, Array]:
    """Real births first, in their order, and how many there are."""
    real = (births.parent[:, 0] >= 0) if real is None else real
    real = real & (births.child < rows)
    if births.dense:
        real = real & (births.child != births.parent[:, 0])
    order = jnp.argsort(~real, stable=True).astype(jnp.int32)
    return order, real.sum(dtype=jnp.int32)
