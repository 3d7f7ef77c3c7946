"""Comparing trees of arrays, numbers and texts, with messages that name the leaf."""

from typing import Any

import jax
import numpy as np

__all__ = ["alike", "bits", "same_form"]


def bits(found: Any, expected: Any, message: str) -> None:
    """Assert that two trees are equal, bit for bit."""
    for path, one, two in _pairs(found, expected, message):
        one, two = np.asarray(one), np.asarray(two)
        same = one.dtype == two.dtype and one.shape == two.shape and one.tobytes() == two.tobytes()
        if one.dtype.kind in "UO":
            same = bool(np.array_equal(one, two))
        assert same, f"{message} ({path}: {_shown(one)} and {_shown(two)})"


def alike(found: Any, expected: Any, message: str, rtol: float) -> None:
    """Assert that two trees are equal; floats up to a relative error."""
    for path, one, two in _pairs(found, expected, message):
        one, two = np.asarray(one), np.asarray(two)
        if one.dtype.kind == "f":
            close = np.allclose(one, two, rtol=rtol, atol=rtol * 1e-1, equal_nan=True)
        else:
            close = bool(np.array_equal(one, two))
        assert close, f"{message} ({path}: {_shown(one)} and {_shown(two)})"


def same_form(expected: Any, found: Any, what: str) -> None:
    """Assert that two trees have the same structure, shapes and dtypes."""
    for path, one, two in _pairs(expected, found, f"{what} has another structure"):
        one, two = np.asarray(one), np.asarray(two)
        if one.dtype.kind == "U" and two.dtype.kind == "U":
            continue
        assert (one.dtype, one.shape) == (two.dtype, two.shape), (
            f"{what} changes its form: {path} was {one.dtype}{list(one.shape)} and is "
            f"{two.dtype}{list(two.shape)}; all steps must return the same shapes and dtypes"
        )


def _pairs(one: Any, two: Any, message: str) -> list[tuple[str, Any, Any]]:
    first, form = jax.tree_util.tree_flatten_with_path(one)
    second, other = jax.tree_util.tree_flatten_with_path(two)
    assert form == other, f"{message} ({form!s:.160} and {other!s:.160})"
    return [
        (jax.tree_util.keystr(path) or "value", leaf, twin)
        for (path, leaf), (_, twin) in zip(first, second, strict=True)
    ]


def _shown(value: np.ndarray) -> str:
    text = np.array2string(value, threshold=8, edgeitems=3).replace("\n", " ")
    return text if len(text) < 90 else text[:87] + "..."
