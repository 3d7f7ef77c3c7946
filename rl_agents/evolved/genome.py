"""Weights of each slot's own network: drawing, applying, inheriting and mutating them.

A genome is a dictionary of layers. With ``rank`` 0 a slot owns each layer whole, [n, inputs,
outputs]; otherwise it owns a low-rank difference from weights that all share and that never
change: W + U V with U [n, inputs, rank] and V [n, rank, outputs]. Births touch the rows of
newborns alone, one after the other and in place: their cost grows with the number of births,
not with the number of slots.

Source: Hu et al. (2021), LoRA, arXiv:2106.09685, for the low-rank form; used here as the
heritable part of evolved networks.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rl_agents.evolved.noise import normal
from worlds.random import fold, random_bits
from worlds.types import Array, Births

__all__ = ["apply_layer", "crossed", "distances", "make_layer", "mutated"]

Rows = Mapping[str, Any]


def make_layer(key: Array, num: int, inputs: int, outputs: int, rank: int) -> tuple[Rows, Any]:
    """Own weights [num, ...] and shared ones ([inputs, outputs], or None at rank 0).

    Variances are 1 / inputs. At first V is 0.3 of what would double the variance, so that
    slots differ from the beginning: evolution has nothing else to choose from.
    """
    bias = jnp.zeros((num, outputs), jnp.float32)
    scale = np.float32(1 / np.sqrt(max(inputs, 1)))
    if not rank:
        weights = jax.random.normal(fold(key, 1), (num, inputs, outputs)) * scale
        return {"w": weights, "b": bias}, None
    shared = jax.random.normal(fold(key, 1), (inputs, outputs)) * scale
    u = jax.random.normal(fold(key, 2), (num, inputs, rank)) * scale
    v = jax.random.normal(fold(key, 3), (num, rank, outputs)) * np.float32(0.3 / np.sqrt(rank))
    return {"u": u, "v": v, "b": bias}, shared


def apply_layer(own: Rows, shared: Any, x: Array) -> Array:
    """[n, inputs] -> [n, outputs], or [n, k, inputs] -> [n, k, outputs]: each row by its own."""
    bias = own["b"] if x.ndim == 2 else own["b"][:, None]
    if "w" in own:
        return _rowwise(x, own["w"]) + bias
    return x @ shared + _rowwise(_rowwise(x, own["u"]), own["v"]) + bias


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
    return form.unflatten(_each_birth(leaves, births, lambda *args: _heir(key, *args)))


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

    def change(index: Array, child: Array, parents: Array, number: int, leaf: Array) -> Array:
        noise = normal(fold(key, jnp.int32(number), index + 1), leaf.shape[1:])
        return leaf[child] + jnp.where(parents[0] != child, sd[index], 0.0) * noise

    return form.unflatten(_each_birth(leaves, births, change))


def distances(tree: Any, births: Births) -> Array:
    """[B] float32 Euclidean distance of each newborn's row from its first parent's; 0 padding."""
    leaves = jax.tree.leaves(tree)
    order, number = _order(births, leaves[0].shape[0])

    def one(place: Array, found: Array) -> Array:
        index = order[place]
        child, parent = births.child[index], births.parent[index, 0]
        squares = [((leaf[child] - leaf[parent]) ** 2).sum() for leaf in leaves]
        return found.at[index].set(jnp.sqrt(sum(squares, jnp.float32(0))))

    return jax.lax.fori_loop(0, number, one, jnp.zeros(births.child.shape[0], jnp.float32))


def _heir(
    key: Array, index: Array, child: Array, parents: Array, number: int, leaf: Array
) -> Array:
    first = leaf[parents[0]]
    if parents.shape[0] < 2:
        return first
    second = leaf[jnp.where(parents[1] >= 0, parents[1], parents[0])]
    return _mixed(fold(key, jnp.int32(number), index + 1), first[None], second[None], 1)[0]


def _mixed(key: Array, first: Array, second: Array, rows: int) -> Array:
    """Columns from either parent, each with chance one half."""
    columns = first.shape[-1] if first.ndim > 1 else 1
    coin = random_bits(key, jnp.arange(rows * columns)) & 1
    shape = (rows, *[1] * (first.ndim - 2), columns) if first.ndim > 1 else (rows,)
    return jnp.where(coin.reshape(shape) == 1, first, second)


def _each_birth(leaves: list[Array], births: Births, row_of: Callable[..., Array]) -> list[Array]:
    """Write one row for each real birth; ``row_of(index, child, parents, number, leaf)``."""
    order, number = _order(births, leaves[0].shape[0])

    def one(place: Array, rows: list[Array]) -> list[Array]:
        index = order[place]
        child, parents = births.child[index], births.parent[index]
        return [
            leaf.at[child].set(row_of(index, child, parents, number, leaf))
            for number, leaf in enumerate(rows)
        ]

    return jax.lax.fori_loop(0, number, one, leaves)


def _order(births: Births, rows: int) -> tuple[Array, Array]:
    """Real births first, in their order, and how many there are."""
    real = (births.child < rows) & (births.parent[:, 0] >= 0)
    if births.dense:
        real = real & (births.child != births.parent[:, 0])
    return jnp.argsort(~real, stable=True), real.sum(dtype=jnp.int32)
