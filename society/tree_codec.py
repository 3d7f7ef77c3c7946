"""Trees of values as bytes and back, bit for bit and without running anything.

The header is JSON. ``null``, booleans, texts, finite floats, small integers and lists stand
for themselves; everything else is an object with one tag. Long data (arrays, bytes) lies
behind the header, each piece at a multiple of 64 bytes.
"""

import dataclasses
import hashlib
import json
import math
import struct
import typing
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import ml_dtypes
import numpy as np

__all__ = ["CheckpointError", "UnsoundError", "chunks", "decode", "encode", "known_classes"]

MAGIC = b"SOCTREE\n"
VERSION = 1
_HEAD = struct.Struct("<IQ")  # version, bytes of the header
_ALIGN = 64
_ML_DTYPES = {
    name: np.dtype(getattr(ml_dtypes, name))
    for name in dir(ml_dtypes)
    if name.startswith(("bfloat", "float", "int", "uint"))
}
_PLAIN_INTS = 1 << 63  # JSON readers other than ours lose digits beyond


class CheckpointError(ValueError):
    """Bytes are not a sound tree, or not the tree that was asked for."""


class UnsoundError(CheckpointError):
    """Bytes are missing or changed."""


def encode(tree: Any) -> bytes:
    """Return the bytes of a tree.

    Args:
      tree: dicts (keys are texts, numbers or tuples of them), lists, tuples, texts, ints of
        any size, floats (infinities and NaNs with all their bits), booleans, None, bytes,
        NumPy arrays and scalars, JAX arrays (bool, int8, bfloat16, uint32, ... alike), named
        tuples and dataclasses.

    Raises:
      TypeError: Something else; the message names its path.
    """
    return b"".join(chunks(tree))


def chunks(tree: Any) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a tree piece by piece; large arrays are not copied."""
    encoder = _Encoder()
    header = json.dumps(encoder.node(tree, "tree"), separators=(",", ":")).encode()
    header += b" " * (-(len(MAGIC) + _HEAD.size + len(header)) % _ALIGN)
    digest = hashlib.sha256()
    for piece in (MAGIC + _HEAD.pack(VERSION, len(header)) + header, *encoder.pieces):
        digest.update(piece)
        yield piece
        padding = bytes(-len(piece) % _ALIGN)
        if padding:
            digest.update(padding)
            yield padding
    yield digest.digest()


def decode(data: bytes, classes: Iterable[type] = ()) -> Any:
    """Return the tree that ``encode`` wrote.

    Args:
      data: all bytes.
      classes: the named tuples and dataclasses that may be made; see ``known_classes``.

    Raises:
      UnsoundError: The bytes were changed or cut.
      CheckpointError: They are of another version, or hold a class that was not passed.
    """
    body = memoryview(data)[:-32]
    if len(body) < len(MAGIC) + _HEAD.size or hashlib.sha256(body).digest() != data[-32:]:
        raise UnsoundError("bytes are missing or changed: the SHA-256 does not match")
    if bytes(body[: len(MAGIC)]) != MAGIC:
        raise CheckpointError("this is not a checkpoint")
    version, length = _HEAD.unpack_from(body, len(MAGIC))
    if version != VERSION:
        raise CheckpointError(
            f"it has format {version}, this version of societylab reads {VERSION}; "
            "use the version that manifest.json names under versions.societylab"
        )
    start = len(MAGIC) + _HEAD.size
    header = json.loads(bytes(body[start : start + length]))
    return _Decoder(body[start + length :], {_title(cls): cls for cls in classes}).value(header)


def known_classes(*examples: Any) -> set[type]:
    """Collect named tuples and dataclasses from values, and from the types of their fields."""
    found: set[type] = set()
    for example in examples:
        _collect(example, found)
    return found


class _Encoder:
    """Builds the header; ``pieces`` are the long data in order."""

    def __init__(self) -> None:
        self.pieces: list[bytes | memoryview] = []
        self.size = 0

    def node(self, value: Any, path: str) -> Any:
        kind: Any = type(value)
        if value is None or kind is bool:
            return value
        if kind in _WRITERS:
            return _WRITERS[kind](self, value, path)
        if hasattr(value, "dtype") and hasattr(value, "shape"):
            return self.array(value, path)
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            return {"named": [_title(kind), *self._items(kind._fields, value, path)]}
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            names = [field.name for field in dataclasses.fields(value)]
            values = [getattr(value, name) for name in names]
            return {"data": [_title(kind), *self._items(names, values, path)]}
        raise TypeError(
            f"{path}: a {kind.__module__}.{kind.__qualname__} cannot be stored; use dicts, "
            "lists, tuples, texts, numbers, bytes, arrays, named tuples or dataclasses"
        )

    def text(self, value: str, path: str) -> Any:
        if value.isascii() or _is_utf8(value):
            return value
        return {"text": self.piece(value.encode("utf-8", "surrogatepass"))}

    def integer(self, value: int, path: str) -> Any:
        return value if -_PLAIN_INTS <= value < _PLAIN_INTS else {"int": hex(value)}

    def real(self, value: float, path: str) -> Any:
        return value if math.isfinite(value) else {"float": struct.pack("<d", value).hex()}

    def listing(self, value: list, path: str) -> Any:
        return [self.node(item, f"{path}[{index}]") for index, item in enumerate(value)]

    def pair(self, value: tuple, path: str) -> Any:
        return {"tuple": self.listing(list(value), path)}

    def mapping(self, value: dict, path: str) -> Any:
        names = []
        for key in value:
            if type(key) not in _KEYS:
                raise TypeError(f"{path}: key {key!r} cannot be stored; use texts, ints or tuples")
            names.append(self.node(key, f"{path} key"))
        values = [self.node(item, f"{path}.{key}") for key, item in value.items()]
        return {"dict": [list(pair) for pair in zip(names, values, strict=True)]}

    def binary(self, value: bytes, path: str) -> Any:
        return {"bytes": self.piece(value)}

    def array(self, value: Any, path: str) -> Any:
        if not _is_storable(value.dtype):
            raise TypeError(
                f"{path}: an array of dtype {value.dtype} cannot be stored; use numbers or texts "
                "(of a typed random key, jax.random.key_data)"
            )
        host = value if isinstance(value, np.ndarray | np.generic) else np.asarray(value)
        if host.dtype.byteorder == ">":
            host = host.astype(host.dtype.newbyteorder("<"))
        tag = "scalar" if isinstance(value, np.generic) else "array"
        if not isinstance(value, np.ndarray | np.generic):
            tag = "weak" if getattr(value, "weak_type", False) else "jax"
        flat = np.ascontiguousarray(host).reshape(-1)
        raw = flat.view(np.uint8).data if flat.size else b""
        return {tag: [_dtype_name(host.dtype), list(host.shape), *self.piece(raw)]}

    def piece(self, data: bytes | memoryview) -> list[int]:
        place = [self.size, len(data)]
        if len(data):
            self.pieces.append(data)
            self.size += len(data) + (-len(data) % _ALIGN)
        return place

    def _items(self, names: Iterable[str], values: Iterable[Any], path: str) -> list:
        return [
            [self.text(name, path), self.node(value, f"{path}.{name}")]
            for name, value in zip(names, values, strict=True)
        ]


_WRITERS = {
    str: _Encoder.text,
    int: _Encoder.integer,
    float: _Encoder.real,
    list: _Encoder.listing,
    tuple: _Encoder.pair,
    dict: _Encoder.mapping,
    bytes: _Encoder.binary,
}


_KEYS = (str, int, float, bool, bytes, tuple, type(None))


class _Decoder:
    """Reads a header; ``data`` is what lies behind it."""

    def __init__(self, data: memoryview, classes: Mapping[str, type]) -> None:
        self.data, self.classes = data, classes

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.value(item) for item in node]
        if not isinstance(node, dict):
            return node
        ((tag, content),) = node.items()
        return getattr(self, f"read_{tag}")(content)

    def read_dict(self, content: list) -> dict[str, Any]:
        return {self.value(name): self.value(item) for name, item in content}

    def read_tuple(self, content: list) -> tuple:
        return tuple(self.value(item) for item in content)

    def read_text(self, content: list) -> str:
        return self.read_bytes(content).decode("utf-8", "surrogatepass")

    def read_int(self, content: str) -> int:
        return int(content, 16)

    def read_float(self, content: str) -> float:
        return struct.unpack("<d", bytes.fromhex(content))[0]

    def read_bytes(self, content: list) -> bytes:
        start, length = content
        return bytes(self.data[start : start + length])

    def read_array(self, content: list) -> np.ndarray:
        name, shape, *place = content
        start, length = place
        return np.frombuffer(self.data[start : start + length], _dtype(name)).reshape(shape).copy()

    def read_scalar(self, content: list) -> Any:
        return self.read_array(content)[()]

    def read_jax(self, content: list) -> Any:
        import jax

        host = self.read_array(content)
        array = jax.numpy.array(host)
        if array.dtype != host.dtype:
            raise CheckpointError(f"it holds {host.dtype} arrays: turn on jax_enable_x64 as it was")
        return array

    def read_weak(self, content: list) -> Any:
        return weakened(self.read_jax(content))

    def read_named(self, content: list) -> Any:
        title, *items = content
        return self._class(title)(**{name: self.value(item) for name, item in items})

    def read_data(self, content: list) -> Any:
        title, *items = content
        made = object.__new__(self._class(title))
        for name, item in items:
            object.__setattr__(made, name, self.value(item))
        return made

    def _class(self, title: str) -> type:
        if title not in self.classes:
            raise CheckpointError(
                f"it holds a {title}, which the caller does not know; known are "
                f"{', '.join(sorted(self.classes)) or 'none'} (pass classes=known_classes(...))"
            )
        return self.classes[title]


def weakened(array: Any) -> Any:
    """Return a JAX array weakly typed: an array made weak whose every element is replaced."""
    import jax

    zero = {"f": 0.0, "i": 0, "b": False, "c": 0j}[np.dtype(array.dtype).kind]
    return jax.lax.full(array.shape, zero).at[...].set(array)


def _title(cls: type) -> str:
    return f"{cls.__module__}:{cls.__qualname__}"


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_storable(dtype: Any) -> bool:
    if not isinstance(dtype, np.dtype):
        return False  # JAX's extended types
    if dtype.kind == "V":
        return dtype.names is None and dtype.name in _ML_DTYPES
    return not dtype.hasobject


def _dtype_name(dtype: np.dtype) -> str:
    return dtype.name if dtype.name in _ML_DTYPES else dtype.str.replace(">", "<")


def _dtype(name: str) -> np.dtype:
    return _ML_DTYPES[name] if name in _ML_DTYPES else np.dtype(name)


def _collect(example: Any, found: set[type]) -> None:
    """Walk a value or a type hint."""
    cls = example if isinstance(example, type) else type(example)
    is_named = issubclass(cls, tuple) and hasattr(cls, "_fields")
    if (is_named or dataclasses.is_dataclass(cls)) and cls not in found:
        found.add(cls)
        for hint in _hints(cls).values():
            _collect(hint, found)
    for argument in typing.get_args(example):
        _collect(argument, found)
    if isinstance(example, type):
        return
    if isinstance(example, Mapping):
        example = list(example.values())
    elif dataclasses.is_dataclass(example):
        example = [getattr(example, field.name) for field in dataclasses.fields(example)]
    if isinstance(example, list | tuple):
        for item in example:
            _collect(item, found)


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except (NameError, TypeError):  # hints that name what only a type checker imports
        return {}
