"""Records: frozen dataclasses that are made by the thousand in a step."""

import dataclasses
import inspect
from typing import TypeVar, dataclass_transform

__all__ = ["record"]

Class = TypeVar("Class", bound=type)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def record(cls: Class) -> Class:
    """Make ``cls`` a frozen dataclass with slots that are filled in two thirds of the time.

    The usual one sends every field of a frozen class through ``object.__setattr__``; this one
    writes to the slots. All else is as ``dataclasses`` makes it. Fields may be given by
    position or name; keyword-only fields and ``__post_init__`` are not supported.

    >>> @record
    ... class Point:
    ...     x: int
    ...     y: int = 0
    >>> Point(3), Point(3) == Point(x=3, y=0)
    (Point(x=3, y=0), True)
    """
    made = dataclasses.dataclass(frozen=True, slots=True)(cls)
    fields = dataclasses.fields(made)
    if hasattr(made, "__post_init__") or any(field.kw_only or not field.init for field in fields):
        raise TypeError(
            f"{cls.__name__} has a __post_init__, or a field that is keyword-only or not given; "
            "use dataclasses.dataclass(frozen=True, slots=True)"
        )
    plain = made.__init__
    defaults = inspect.signature(plain).parameters
    given = {f"put_{field.name}": made.__dict__[field.name].__set__ for field in fields}
    lines = []
    for field in fields:
        value = field.name
        if field.default_factory is not dataclasses.MISSING:
            given |= {
                f"new_{value}": field.default_factory,
                f"no_{value}": defaults[value].default,
            }
            value = f"new_{value}() if {value} is no_{value} else {value}"
        lines.append(f"    put_{field.name}(self, {value})\n")
    names = ", ".join(field.name for field in fields)
    exec(f"def __init__(self, {names}):\n{''.join(lines)}", given)
    quick = given["__init__"]
    quick.__defaults__, quick.__annotations__ = plain.__defaults__, plain.__annotations__
    quick.__qualname__, quick.__module__ = plain.__qualname__, cls.__module__
    made.__init__ = quick
    return made
