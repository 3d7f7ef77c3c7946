"""Networks of one's own: parameters with a leading axis of members, rows to match.

A group of n rows holds n / members copies of each member (one for each world that runs side
by side): row e * members + i is member i in world e.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from worlds.types import Array, Births

__all__ = ["by_member", "inherit_rows", "join_members", "mutate_rows", "split_members"]


def by_member(
    function: Callable[..., Any], net: Any, members: int, arguments: Any, axis: int = 0
) -> Any:
    """``function(net, *arguments)``, each member's network on its own rows.

    Args:
      net: leaves [members, ...], or without that axis where ``members`` is 0 (all share).
      arguments: tuple of pytrees with the rows at ``axis``; results have them there too.
    """
    if not members:
        return function(net, *arguments)
    parts = split_members(arguments, members, axis)
    inner = jax.vmap(function, in_axes=(0, *(axis + 1 for _ in parts)), out_axes=axis + 1)
    return join_members(inner(net, *parts), axis)


def split_members(tree: Any, members: int, axis: int) -> Any:
    """Rows [.., n, ..] as [.., n / members, members, ..]."""

    def split(leaf: Array) -> Array:
        shape = leaf.shape
        return leaf.reshape(*shape[:axis], -1, members, *shape[axis + 1 :])

    return jax.tree.map(split, tree)


def join_members(tree: Any, axis: int) -> Any:
    """The inverse of ``split_members``."""

    def join(leaf: Array) -> Array:
        shape = leaf.shape
        return leaf.reshape(*shape[:axis], -1, *shape[axis + 2 :])

    return jax.tree.map(join, tree)


def inherit_rows(tree: Any, births: Births) -> Any:
    """Newcomers' rows become copies of their first parents' rows, where they have a parent."""

    def inherit(leaf: Array) -> Array:
        num = leaf.shape[0]
        parent = births.parent[:, 0]
        if births.dense:
            return leaf[jnp.where(parent >= 0, parent, births.child)]
        child = jnp.where(parent >= 0, births.child, num)
        return leaf.at[child].set(leaf[jnp.clip(parent, 0, num - 1)], mode="drop")

    return jax.tree.map(inherit, tree)


def mutate_rows(key: Array, tree: Any, births: Births, sd: Array) -> Any:
    """Add normal noise of standard deviation ``sd`` to the rows of newcomers who have parents."""
    leaves, structure = jax.tree.flatten(tree)
    other = (births.parent[:, 0] != births.child) & (births.parent[:, 0] >= 0)

    def mutate(index: int, leaf: Array) -> Array:
        num = leaf.shape[0]
        shape = (births.child.shape[0], *leaf.shape[1:])
        noise = jax.random.normal(jax.random.fold_in(key, index), shape, leaf.dtype) * sd
        rows = leaf[jnp.clip(births.child, 0, num - 1)] + noise
        return leaf.at[jnp.where(other, births.child, num)].set(rows, mode="drop")

    return structure.unflatten([mutate(index, leaf) for index, leaf in enumerate(leaves)])
