"""One row of an array, read or written at an index that is known to be there.

Indexing an array with a traced number takes a gather or a scatter, which XLA makes loops of
before it finds that there is one row. Slices compile to a fraction of that.
"""

import jax
import jax.numpy as jnp

from worlds.types import Array

__all__ = ["row_of", "with_row"]


def row_of(array: Array, index: Array) -> Array:
    """Row ``index`` (int32, 0 <= index < rows) of [rows, ...]."""
    return jax.lax.dynamic_index_in_dim(array, index, keepdims=False, allow_negative_indices=False)


def with_row(array: Array, row: Array, index: Array) -> Array:
    """The array with ``row`` at ``index`` (int32, 0 <= index < rows)."""
    row = jnp.asarray(row, array.dtype)
    return jax.lax.dynamic_update_index_in_dim(array, row, index, 0, allow_negative_indices=False)
