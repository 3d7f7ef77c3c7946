"""Pydantic types for the scenario language: strict, with messages that say what to write.

``typed`` turns the annotation of a dataclass field into such a type, so a component's
parameters are checked by its own class. Numbers are never read from texts; 2e6 is a
whole number; lists become tuples; anything that is no plain value is refused.
"""

import dataclasses
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    model_validator,
)
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic_core import InitErrorDetails, PydanticCustomError, core_schema

from society.errors import nearest

__all__ = [
    "Checked",
    "Named",
    "Number",
    "Plain",
    "Strict",
    "Text",
    "Truth",
    "Whole",
    "as_list",
    "details",
    "fail",
    "fail_at",
    "is_array",
    "typed",
]

_NAME = re.compile(r"[a-z][a-z0-9_]*\Z")
_LOOKS_NUMERIC = re.compile(r"[-+]?[\d][\d_ ,]*(\.\d+)?([eE][-+]?\d+)?%?\Z")


def fail(message: str) -> PydanticCustomError:
    """An error whose message is shown to the user as it is."""
    return PydanticCustomError("scenario", message)  # type: ignore[arg-type]


def fail_at(loc: tuple[Any, ...], message: str) -> ValidationError:
    """The same, about a part of the value."""
    return ValidationError.from_exception_data("scenario", [_detail(message, loc)])


def details(error: ValidationError, under: tuple[Any, ...] = ()) -> list[InitErrorDetails]:
    """Return the errors of a validation, to raise them with others or from further up."""
    return [_detail(item["msg"], (*under, *item["loc"])) for item in error.errors()]


class Checked:
    """Metadata of ``Annotated``: the value is what a function makes of it.

    function: (value, info) -> value, raising what ``fail`` returns. schema: JSON Schema.
    """

    def __init__(self, function: Callable[[Any, ValidationInfo], Any], schema: Any = None) -> None:
        self.function = function
        self.schema = schema

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return core_schema.with_info_plain_validator_function(self.function)

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> Any:
        return dict(self.schema or {})


class Strict(BaseModel):
    """A frozen model in which unknown keys are errors and ``null`` means the default."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, arbitrary_types_allowed=True, protected_namespaces=()
    )

    @model_validator(mode="wrap")
    @classmethod
    def _readable(
        cls, data: Any, handler: ModelWrapValidatorHandler["Strict"], info: ValidationInfo
    ) -> "Strict":
        names = [field.alias or name for name, field in cls.model_fields.items()]
        if isinstance(data, Mapping):
            data = {key: data[key] for key in data if not (data[key] is None and key in names)}
        elif not isinstance(data, cls):
            raise fail(f"expected a map with {_some(names)}, not {_said(data)}")
        try:
            return handler(data)
        except ValidationError as error:
            raise _readable_error(error, names) from None


def typed(hint: Any, meta: Mapping[str, Any] | None = None, leaf: Any = None) -> Any:
    """Return the pydantic type for an annotation.

    Args:
      hint: what the dataclass field is annotated with.
      meta: the field's metadata; ``ge``, ``gt``, ``le`` and ``lt`` limit its numbers.
      leaf: the type for every value inside the field's lists and maps (components).
    """
    meta = meta or {}
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return typed(args[0], meta, leaf)
    if origin in (typing.Union, types.UnionType):
        return _union([arg for arg in args], meta, leaf)
    if origin in (tuple, list, set, frozenset, Sequence):
        return _sequence(origin, args, meta, leaf)
    if origin in (dict, Mapping):
        return Annotated[dict[str, typed(args[1], meta, leaf)], BeforeValidator(_map)]
    if leaf is not None and hint is not type(None):
        return leaf
    return _atom(hint, meta)


def is_array(hint: Any) -> bool:
    """True for annotations of NumPy and JAX arrays."""
    return getattr(hint, "__name__", "") in ("Array", "ndarray", "ArrayLike") or (
        isinstance(hint, str) and "Array" in hint
    )


def _atom(hint: Any, meta: Mapping[str, Any]) -> Any:
    limits = {name: meta[name] for name in ("ge", "gt", "le", "lt") if name in meta}
    if hint in (int, float):
        base = Whole if hint is int else Number
        return Annotated[base, Field(**limits)] if limits else base
    if hint in (bool, str):
        return Truth if hint is bool else Text
    if hint in (None, type(None)):
        return None
    if typing.get_origin(hint) is Literal:
        return Annotated[hint, BeforeValidator(_choice(typing.get_args(hint)))]
    if is_array(hint):
        return Numbers
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        from society.components import model_of

        return model_of(hint)
    if hint in (tuple, list, Sequence):
        return Annotated[tuple[Plain, ...], BeforeValidator(as_list)]
    if hint in (dict, Mapping):
        return Annotated[dict[str, Plain], BeforeValidator(_map)]
    return Plain


def _sequence(origin: Any, args: tuple[Any, ...], meta: Mapping[str, Any], leaf: Any) -> Any:
    if origin is not tuple or (len(args) == 2 and args[1] is Ellipsis):
        return Annotated[tuple[typed(args[0], meta, leaf), ...], BeforeValidator(as_list)]
    items = tuple(typed(arg, meta, leaf) for arg in args)
    return Annotated[tuple[items], BeforeValidator(_list_of(len(items)))]


def _union(args: list[Any], meta: Mapping[str, Any], leaf: Any) -> Any:
    """A union whose error is that of the member that comes nearest, without union tags."""
    given = [arg for arg in args if arg is not type(None)]
    members = [typed(arg, meta, leaf) for arg in given]
    if len(members) == 1:
        return members[0] if len(given) == len(args) else members[0] | None
    adapters: list[TypeAdapter[Any]] = []

    def check(value: Any, info: ValidationInfo) -> Any:
        if value is None and len(given) < len(args):
            return value
        if not adapters:
            adapters.extend(TypeAdapter(member) for member in members)
        errors: list[ValidationError] = []
        for adapter in adapters:
            try:
                return adapter.validate_python(value, context=info.context)
            except ValidationError as error:
                errors.append(error)
        deepest = max(errors, key=lambda error: max(len(e["loc"]) for e in error.errors()))
        if any(e["loc"] for e in deepest.errors()):
            raise _readable_error(deepest, ())
        raise fail(" or ".join(dict.fromkeys(_message(e.errors()[0]) for e in errors)))

    shape = typing.Union[tuple(members)]  # noqa: UP007
    return Annotated[Any, BeforeValidator(check, json_schema_input_type=shape)]


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise fail(f"expected a whole number, not {_said(value)}")
    if isinstance(value, float) and not value.is_integer():
        raise fail(f"expected a whole number, not {value:g}")
    return int(value)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise fail(f"expected a number, not {_said(value)}")
    if not math.isfinite(value):
        raise fail(f"expected a finite number, not {value}")
    return float(value)


def _truth(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    hint = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}
    better = hint.get(str(value).lower())
    tail = f"; write {better}" if better else ""
    raise fail(f"expected true or false, not {_said(value)}{tail}")


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    raise fail(f"expected a text, not {_said(value)}; quote it if a text is meant")


def _choice(allowed: tuple[Any, ...]) -> Any:
    def check(value: Any) -> Any:
        for choice in allowed:
            if value == choice and type(value) is type(choice):
                return value
        raise fail(f"{_said(value)} is no choice here{nearest(value, allowed)}")

    return check


def as_list(value: Any) -> Any:
    """Return a list as a tuple."""
    if isinstance(value, list | tuple):
        return tuple(value)
    raise fail(f"expected a list, not {_said(value)}; write [..., ...]")


def _list_of(length: int) -> Any:
    def check(value: Any) -> Any:
        value = as_list(value)
        if len(value) != length:
            raise fail(f"expected a list of {length}, not of {len(value)}")
        return value

    return check


def _map(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): item for key, item in value.items() if item is not None}
    raise fail(f"expected a map, not {_said(value)}; write name: value lines")


def _named(value: Any, handler: Callable[[Any], Any]) -> Any:
    message = "a name has small letters, digits and _, and begins with a letter"
    value = _map(value)
    errors = [_detail(message, (name,)) for name in value if not _NAME.match(name)]
    try:
        found = handler(value)
    except ValidationError as error:
        errors += details(error)
    if errors:
        raise ValidationError.from_exception_data("names", errors)
    return found


def _numbers(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_numbers(item) for item in value)
    return value if isinstance(value, int) and not isinstance(value, bool) else _number(value)


def _plain(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return tuple(_plain(item) for item in value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if value is None or isinstance(value, bool | int | str):
        return value
    return _number(value)


Whole = Annotated[int, BeforeValidator(_whole)]
Number = Annotated[float, BeforeValidator(_number)]
Truth = Annotated[bool, BeforeValidator(_truth)]
Text = Annotated[str, BeforeValidator(_text)]
Plain = Annotated[Any, BeforeValidator(_plain)]
Numbers = Annotated[Any, BeforeValidator(_numbers, json_schema_input_type=float | list[Any])]
Named = WrapValidator(_named)


def _readable_error(error: ValidationError, names: Sequence[str]) -> ValidationError:
    found = []
    for item in error.errors():
        loc = item["loc"]
        if item["type"] == "extra_forbidden" and len(loc) == 1:
            message = f"unknown key{nearest(loc[0], names)}"
        else:
            message = _message(item)
        found.append(_detail(message, loc))
    return ValidationError.from_exception_data(error.title, found)


def _detail(message: str, loc: tuple[Any, ...]) -> InitErrorDetails:
    return InitErrorDetails(type=fail(message), loc=loc, input=None)


_LIMITS = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}


def _message(item: Any) -> str:
    kind, context, value = item["type"], item.get("ctx", {}), item.get("input")
    if kind == "missing":
        return "is required"
    if kind == "literal_error":
        allowed = re.findall(r"'([^']*)'", context["expected"]) or [context["expected"]]
        return f"{_said(value)} is no choice here{nearest(value, allowed)}"
    if kind.startswith(("greater_than", "less_than")):
        code, word = next((c, w) for c, w in _LIMITS.items() if c in context)
        return f"must be {word} {context[code]:g}, not {value:g}"
    return str(item["msg"])


def _said(value: Any) -> str:
    """A value as a message quotes it, with a hint where a text looks like a number."""
    if isinstance(value, Mapping):
        return "a map"
    if isinstance(value, list | tuple):
        return "a list"
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    if isinstance(value, str):
        shown = value if len(value) <= 60 else value[:57] + "..."
        if _LOOKS_NUMERIC.match(value):
            plain = re.sub(r"[_ ,]", "", value)
            why = "remove the quotes" if plain == value else f"write {plain}"
            return f"the text {shown!r} ({why})"
        return f"the text {shown!r}"
    return f"{value!r}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:6]) + (", ..." if len(names) > 6 else "")
