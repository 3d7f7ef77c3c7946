"""Frozen dataclasses that are pytrees: the one way this project writes data.

Fields annotated ``int``, ``bool``, ``str``, an enumeration of those, or a tuple of
them are *static*: part of the compiled program. All others (``float``, arrays,
nested pytrees) are *leaves*: they can change from run to run without compiling anew.
"""

import dataclasses
import typing
from typing import Any, TypeVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np

__all__ = ["as_arrays", "doc_field", "is_provided", "provided", "pytree", "static_fields"]

Class = TypeVar("Class", bound=type)
_STATIC_ATOMS = (int, bool, str, type(None))


def provided(default: Any = None) -> Any:
    """A field that the builder fills in and a scenario may not set."""
    return dataclasses.field(default=default, metadata={"provided": True}, kw_only=True)


def doc_field(default: Any, help: str, **limits: Any) -> Any:
    """A parameter with a one-line explanation and limits for the scenario language.

    Args:
      default: The value when the scenario leaves it out.
      help: One line, shown by ``society show`` and in ``schema.json``.
      **limits: ``ge``, ``gt``, ``le``, ``lt`` or ``static`` (force the kind of field).
    """
    return dataclasses.field(default=default, metadata={"help": help, **limits}, kw_only=True)


def is_provided(field: dataclasses.Field) -> bool:
    """True where the builder, not the scenario, sets the field."""
    return bool(field.metadata.get("provided"))


@dataclass_transform(
    frozen_default=True, kw_only_default=False, field_specifiers=(provided, doc_field)
)
def pytree(cls: Class) -> Class:
    """Make ``cls`` a frozen dataclass and register it with JAX.

    The class stays an ordinary dataclass on the host. Static fields must be hashable.
    """
    cls = dataclasses.dataclass(frozen=True, eq=False)(cls)  # type: ignore[assignment]
    static = static_fields(cls)
    names = [field.name for field in dataclasses.fields(cls)]
    jax.tree_util.register_dataclass(
        cls,
        data_fields=[name for name in names if name not in static],
        meta_fields=[name for name in names if name in static],
    )
    return cls


def static_fields(cls: type) -> frozenset[str]:
    """Names of the fields of a dataclass that are part of the compiled program."""
    hints = typing.get_type_hints(cls)
    return frozenset(
        field.name
        for field in dataclasses.fields(cls)
        if field.metadata.get("static", _is_static(hints[field.name]))
    )


def as_arrays(tree: Any) -> Any:
    """Cast every Python float and int leaf to a float32 or int32 array.

    Mixed Python and array leaves compile once for each mixture; one cast prevents it.
    """

    def cast(leaf: Any) -> Any:
        if isinstance(leaf, bool):
            return jnp.asarray(leaf)
        if isinstance(leaf, float):
            return jnp.asarray(leaf, jnp.float32)
        if isinstance(leaf, int):
            return jnp.asarray(leaf, jnp.int32)
        if isinstance(leaf, np.ndarray) and leaf.dtype == np.float64:
            return jnp.asarray(leaf, jnp.float32)
        return jnp.asarray(leaf)

    return jax.tree.map(cast, tree)


def _is_static(hint: Any) -> bool:
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return True
    if origin is tuple:
        return all(arg is Ellipsis or _is_static(arg) for arg in typing.get_args(hint))
    if origin is typing.Union or (origin is not None and origin.__name__ == "UnionType"):
        return all(_is_static(arg) for arg in typing.get_args(hint))
    return isinstance(hint, type) and issubclass(hint, _STATIC_ATOMS)
