"""One text for one value: the JSON that is hashed, journalled and compared."""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

__all__ = ["canonical", "fingerprint", "plain", "storable"]


def canonical(value: Any) -> str:
    """Return compact JSON with sorted keys; equal values give equal texts.

    Numpy scalars and arrays, dataclasses, named tuples and sets are written as JSON values;
    numbers that JSON does not have become the texts "NaN", "Infinity" and "-Infinity".

    >>> canonical({"b": (1, 2.0), "a": None})
    '{"a":null,"b":[1,2.0]}'
    """
    try:
        text = _dump(value)
    except (TypeError, ValueError):
        text = _dump(plain(value))
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:  # half a surrogate pair: keep it as an escape
            text = json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"))
    return text


def fingerprint(value: Any) -> str:
    """Return the SHA-256 (hex) of a value's canonical text, or of a text itself."""
    text = value if isinstance(value, str) else canonical(value)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def storable(text: str) -> str:
    """Return the text with lone surrogates, which UTF-8 cannot hold, spelt as escapes."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def plain(value: Any) -> Any:
    """Turn a value into dicts with text keys, lists, texts, numbers, booleans and None.

    Raises:
      TypeError: It holds something that has no JSON form.
    """
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else _name(value)
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): plain(value[key]) for key in value}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, set | frozenset):
        return sorted((plain(item) for item in value), key=canonical)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    to_list = getattr(value, "tolist", None)
    if to_list is not None:
        return plain(to_list())
    raise TypeError(f"a {type(value).__name__} has no JSON form: {value!r:.80}")


def _dump(value: Any) -> str:
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def _name(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    return "Infinity" if value > 0 else "-Infinity"
