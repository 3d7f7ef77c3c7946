"""One number for a tree of values: equal bits, equal digest; anything else, another."""

import dataclasses
import hashlib
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

__all__ = ["digest"]


def digest(tree: Any) -> str:
    """Return the SHA-256 (hex) of a tree, exact in bits and independent of dict order.

    Arrays count by dtype, shape and bytes, whether they are of NumPy or JAX; 0.0 and -0.0
    differ, NaNs differ by their bits, 1 and 1.0 and True differ, lists and tuples differ.

    Args:
      tree: dicts, lists, tuples, named tuples, dataclasses, texts, numbers, bytes, arrays.

    Raises:
      TypeError: Something else; the message names its path.
    """
    return _hash(tree, "tree").hex()


def _hash(value: Any, path: str) -> bytes:
    """Hash of a node over its tag and the fixed-length hashes of its children."""
    tag, parts = _parts(value, path)
    whole = hashlib.sha256(tag.encode() + b"\0")
    for part in parts:
        whole.update(part)
    return whole.digest()


def _parts(value: Any, path: str) -> tuple[str, list[Any]]:
    if value is None or isinstance(value, bool | int):
        return f"{type(value).__name__} {value}", []
    if isinstance(value, float) and not isinstance(value, np.generic):
        return "float", [struct.pack("<d", value)]
    if isinstance(value, str) and not isinstance(value, np.generic):
        return "str", [value.encode("utf-8", "surrogatepass")]
    if isinstance(value, bytes):
        return "bytes", [value]
    if isinstance(value, Mapping):
        pairs = [(_hash(key, path), _hash(item, f"{path}.{key}")) for key, item in value.items()]
        return "dict", [key + item for key, item in sorted(pairs)]
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return _array(value, path)
    return _collection(value, path)


def _array(value: Any, path: str) -> tuple[str, list[Any]]:
    host = np.asarray(value)
    if host.dtype.hasobject:
        raise TypeError(f"{path}: arrays of Python objects have no digest")
    if host.dtype.byteorder == ">":
        host = host.astype(host.dtype.newbyteorder("<"))
    flat = np.ascontiguousarray(host).reshape(-1)
    data = flat.view(np.uint8).data if flat.size else b""
    return f"array {host.dtype.name} {list(host.shape)}", [data]


def _collection(value: Any, path: str) -> tuple[str, list[Any]]:
    if isinstance(value, list | tuple):
        names = getattr(value, "_fields", None)
        tag = "list" if isinstance(value, list) else "tuple"
        parts = [_hash(item, f"{path}[{index}]") for index, item in enumerate(value)]
        return f"{tag} {' '.join(names) if names else ''}", parts
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = dataclasses.fields(value)
        tag = f"data {' '.join(field.name for field in fields)}"
        return tag, [_hash(getattr(value, f.name), f"{path}.{f.name}") for f in fields]
    raise TypeError(f"{path}: a {type(value).__name__} has no digest")
