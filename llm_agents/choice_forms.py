"""Answers in a form: numbers and JSON by schema, checked here whatever a server promised.

Servers have ignored a form silently (an old parameter name, a template, a cut-off), so what
comes back is always checked. The part of JSON Schema that is understood is the part that
servers guide decoding by; anything else in a schema is an error before the first question.
"""

import dataclasses
import json
import math
import operator
import re
from collections.abc import Mapping, Sequence
from typing import Any

from llm_agents.backends.base import BackendError, Request, Response

__all__ = ["check_schema", "checked", "form_problem", "number_schema", "schema_problem"]

_TYPES: dict[str, Any] = {
    "object": Mapping,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
    "null": type(None),
}
_REMARKS = {"title", "description", "default", "examples", "$schema"}
_KEYWORDS = _REMARKS | set(
    "type enum const minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength "
    "maxLength pattern items minItems maxItems properties required additionalProperties anyOf "
    "oneOf allOf".split()
)


def number_schema(
    low: float | None = None, high: float | None = None, *, step: float | None = None
) -> dict[str, Any]:
    """Schema of a number, or of a whole number where the step is a whole one.

    >>> number_schema(0, 10, step=1)
    {'type': 'integer', 'minimum': 0, 'maximum': 10}
    """
    whole = step is not None and float(step).is_integer()
    found: dict[str, Any] = {"type": "integer" if whole else "number"}
    if low is not None:
        found["minimum"] = low
    if high is not None:
        found["maximum"] = high
    if step is not None and step != 1:
        found["multipleOf"] = step
    return found


def check_schema(schema: Mapping[str, Any], at: str = "schema") -> None:
    """Raise ValueError where a schema uses what is not understood here."""
    unknown = sorted(set(schema) - _KEYWORDS)
    if unknown:
        raise ValueError(
            f"{at}: {unknown[0]!r} is not understood; use {', '.join(sorted(_KEYWORDS))}"
        )
    for name in _types(schema):
        if name not in _TYPES:
            raise ValueError(f"{at}.type: {name!r} is none of {', '.join(_TYPES)}")
    for name, inner in schema.get("properties", {}).items():
        check_schema(inner, f"{at}.properties.{name}")
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), Mapping):
            check_schema(schema[name], f"{at}.{name}")
    for name in ("anyOf", "oneOf", "allOf"):
        for number, inner in enumerate(schema.get(name, ())):
            check_schema(inner, f"{at}.{name}.{number}")


def checked(response: Response, request: Request) -> Response:
    """The response, with an error of kind ``malformed`` where its text lacks the form."""
    if response.error is not None or (request.schema is None and request.regex is None):
        return response
    problem = form_problem(response.text, request)
    if not problem:
        return response
    if response.finish_reason == "length":
        problem = f"it was cut off after {request.max_tokens} tokens: {problem}"
    error = BackendError("malformed", f"the answer lacks its form: {problem}")
    return dataclasses.replace(response, error=error)


def form_problem(text: str, request: Request) -> str:
    """What is wrong with the form of an answer; empty where nothing is."""
    if request.schema is not None:
        try:
            value = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return f"it is not JSON: {text[:80]!r}"
        return schema_problem(value, request.schema)
    if request.regex is not None and not re.fullmatch(request.regex, text):
        return f"{text[:80]!r} does not match {request.regex}"
    return ""


def schema_problem(value: Any, schema: Mapping[str, Any], at: str = "it") -> str:
    """Where a value breaks a schema; empty where it does not.

    >>> schema_problem({"give": 12}, {"properties": {"give": {"maximum": 10}}})
    'it.give is 12; the most is 10'
    """
    types = _types(schema)
    if types and not any(_is(value, name) for name in types):
        return f"{at} is {_short(value)}; it must be of type {' or '.join(types)}"
    if "enum" in schema and not any(_same(value, one) for one in schema["enum"]):
        return f"{at} is {_short(value)}, none of {_short(schema['enum'])}"
    if "const" in schema and not _same(value, schema["const"]):
        return f"{at} is {_short(value)}; it must be {_short(schema['const'])}"
    for applies, find in (
        (_is(value, "number"), _number_problem),
        (isinstance(value, str), _text_problem),
        (isinstance(value, list), _list_problem),
        (isinstance(value, Mapping), _object_problem),
    ):
        if applies and (problem := find(value, schema, at)):
            return problem
    return _combined_problem(value, schema, at)


def _number_problem(value: float, schema: Mapping[str, Any], at: str) -> str:
    for name, (keeps, words) in _LIMITS.items():
        limit = schema.get(name)
        if limit is not None and not keeps(value, limit):
            return f"{at} is {value:g}; {words} {limit:g}"
    step = schema.get("multipleOf")
    if step is not None and abs(value / step - round(value / step)) > 1e-9:
        return f"{at} is {value:g}; it must be a multiple of {step:g}"
    return ""


_LIMITS = {
    "minimum": (operator.ge, "the least is"),
    "maximum": (operator.le, "the most is"),
    "exclusiveMinimum": (operator.gt, "it must be above"),
    "exclusiveMaximum": (operator.lt, "it must be below"),
}


def _text_problem(value: str, schema: Mapping[str, Any], at: str) -> str:
    problem = _size_problem(len(value), schema, at, "Length", "characters")
    if not problem and "pattern" in schema and not re.search(schema["pattern"], value):
        return f"{at} does not match {schema['pattern']}"
    return problem


def _list_problem(value: list[Any], schema: Mapping[str, Any], at: str) -> str:
    problem = _size_problem(len(value), schema, at, "Items", "items")
    inner = schema.get("items")
    if problem or not isinstance(inner, Mapping):
        return problem
    found = (schema_problem(one, inner, f"{at}[{i}]") for i, one in enumerate(value))
    return next(filter(None, found), "")


def _object_problem(value: Mapping[str, Any], schema: Mapping[str, Any], at: str) -> str:
    known = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            return f"{at} has no {name!r}"
    more = schema.get("additionalProperties", True)
    for name, one in value.items():
        inner = known.get(name, more)
        if inner is False:
            return f"{at} has {name!r}, which is not asked for"
        if isinstance(inner, Mapping) and (problem := schema_problem(one, inner, f"{at}.{name}")):
            return problem
    return ""


def _combined_problem(value: Any, schema: Mapping[str, Any], at: str) -> str:
    for inner in schema.get("allOf", ()):
        if problem := schema_problem(value, inner, at):
            return problem
    for name in ("anyOf", "oneOf"):
        if name in schema:
            fits = sum(not schema_problem(value, inner, at) for inner in schema[name])
            if not fits or (name == "oneOf" and fits > 1):
                return f"{at} is {_short(value)}, which fits {fits} of {len(schema[name])} forms"
    return ""


def _size_problem(size: int, schema: Mapping[str, Any], at: str, what: str, unit: str) -> str:
    least, most = schema.get(f"min{what}", 0), schema.get(f"max{what}", math.inf)
    return "" if least <= size <= most else f"{at} has {size} {unit}; allowed are {least} to {most}"


def _types(schema: Mapping[str, Any]) -> Sequence[str]:
    types = schema.get("type", ())
    return (types,) if isinstance(types, str) else tuple(types)


def _is(value: Any, name: str) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES[name])


def _same(value: Any, other: Any) -> bool:
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON number")
