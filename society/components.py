"""Components in scenarios: ``{use: name, ...parameters}``, checked by the class they name."""

import dataclasses
import functools
import importlib
import keyword
import sys
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationInfo, create_model
from pydantic_core import PydanticCustomError

from society.canonical import plain
from society.errors import nearest
from society.files import inside
from society.params import Checked, Strict, fail, fail_at, typed
from worlds.registry import KINDS, entries

__all__ = [
    "PLURALS",
    "Component",
    "Context",
    "Of",
    "Param",
    "component_of",
    "load_class",
    "model_of",
    "params_of",
    "plain_value",
]

PLURALS = {kind: f"{kind[:-1]}ies" if kind.endswith("y") else f"{kind}s" for kind in KINDS} | {
    "attach": "attachments"
}
# Fields of backends that say where and how fast, never what is answered.
OPERATIONAL = frozenset(
    "url api_key_env timeout_s connect_timeout_s concurrency max_concurrency retries".split()
)


@dataclasses.dataclass(frozen=True)
class Context:
    """What validation may look at.

    folders: where relative files are looked for. backends: names that ``backend:`` may mean.
    """

    folders: tuple[Path, ...] = ()
    allow_code: bool = False
    backends: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True)
class Param:
    """One parameter of a component class.

    name: as a scenario writes it. field: the dataclass field. kind: of component, if it is one.
    """

    name: str
    field: str
    hint: Any
    default: Any = dataclasses.MISSING
    meta: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @property
    def required(self) -> bool:
        """True where a scenario must give it."""
        return self.default is dataclasses.MISSING

    @property
    def help(self) -> str:
        """One line, empty where the class says nothing."""
        return str(self.meta.get("help", ""))

    @property
    def kind(self) -> str | None:
        """Kind of the component that the parameter holds."""
        return self.meta.get("component")

    @property
    def operational(self) -> bool:
        """True where it may change without changing a result."""
        return bool(self.meta.get("operational", self.name in OPERATIONAL))


@dataclasses.dataclass(frozen=True)
class Component:
    """A checked component of a scenario.

    params: what the scenario gives, checked; nested components are Components.
    name: its entry in ``backends``, where it was named by that.
    """

    kind: str
    use: str
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    name: str = ""
    context: Context = dataclasses.field(default_factory=Context, repr=False, compare=False)

    def load(self) -> type:
        """The class, imported."""
        return load_class(self.kind, self.use, self.context)

    def build(self, **provided: Any) -> Any:
        """Construct the component; ``provided`` fills fields of its class, first of all."""
        values = dict(provided)
        for param in params_of(self.load()):
            if param.field in values:
                continue
            if param.name in self.params:
                values[param.field] = _made(param, self.params[param.name], self.context)
            elif param.kind and isinstance(param.default, str | Mapping):
                inner = component_of(param.kind, param.default, self.context)
                values[param.field] = inner.build()
        return self.load()(**values)

    def files(self) -> tuple[str, ...]:
        """Names of the files that the parameters point to."""
        found = []
        for param in params_of(self.load()):
            value = self.params.get(param.name)
            if isinstance(value, Component):
                found.extend(value.files())
            elif value and param.meta.get("path"):
                found.append(str(value))
        return tuple(found)

    def resolved(self, *, operational: bool = True) -> dict[str, Any]:
        """All parameters as plain data, defaults included.

        Args:
          operational: keep those that may change without changing a result.
        """
        cls = self.load()
        inner = self.params.get(getattr(cls, "wraps", ""))
        if isinstance(inner, Component) and not operational:
            return inner.resolved(operational=False)
        found: dict[str, Any] = {"use": self.use}
        for param in params_of(cls):
            if param.operational and not operational:
                continue
            value = self.params.get(param.name, param.default)
            if param.kind and isinstance(value, str | Mapping):
                value = component_of(param.kind, value, self.context)
            if value is not None:
                found[param.name] = plain_value(value, operational=operational)
        return found


def component_of(kind: str, value: Any, context: Context) -> Component:
    """Check a component: a name, or a map with ``use`` and parameters.

    Raises:
      PydanticCustomError, ValidationError: It is not right.
    """
    if isinstance(value, Component):
        return value
    bare = isinstance(value, str)
    if bare:
        value = {"use": value}
    if not isinstance(value, Mapping):
        raise fail(f"expected the name of a {kind} or a map with use: and parameters")
    if "use" not in value:
        raise fail(
            f"use is missing; write {{use: name, ...}} (society list {PLURALS.get(kind, kind)})"
        )
    use = value["use"]
    if not isinstance(use, str):
        raise fail_at(("use",), f"expected a name, not {use!r}")
    if bare and kind == "backend" and use in context.backends:
        return Component(kind, use, {}, name=use, context=context)
    try:
        cls = load_class(kind, use, context)
    except PydanticCustomError as error:
        if bare:
            raise
        raise fail_at(("use",), error.message()) from None
    given = {name: item for name, item in value.items() if name != "use"}
    params = model_of(cls).model_validate(given, context=context).given()
    _check_files(cls, params, context)
    return Component(kind, use, params, context=context)


class Of(Checked):
    """Metadata of ``Annotated[Component, Of(kind)]``.

    references: a text may name an entry of the scenario's ``backends``.
    """

    def __init__(self, kind: str, *, references: bool = True) -> None:
        super().__init__(self._check, {"$component": kind})
        self.kind, self.references = kind, references

    def _check(self, value: Any, info: ValidationInfo) -> Component:
        context = info.context or Context()
        if not self.references:
            context = dataclasses.replace(context, backends=())
        return component_of(self.kind, value, context)


def load_class(kind: str, use: str, context: Context) -> type:
    """Import the class that ``use`` names.

    Raises:
      PydanticCustomError: Unknown name, code that is not allowed, or a module that fails.
    """
    if ":" in use:
        if not context.allow_code:
            raise fail(f"{kind} {use!r} runs code from a file; pass --allow-code if you trust it")
        for folder in map(str, context.folders[:1]):
            if folder not in sys.path:
                sys.path.insert(0, folder)
        return _import(kind, use, use)
    known = entries(kind)
    if use not in known:
        raise fail(
            f"unknown {kind} {use!r}{nearest(use, known)} (society list {PLURALS.get(kind, kind)})"
        )
    return _import(kind, use, known[use].target)


def params_of(cls: type) -> tuple[Param, ...]:
    """Return the parameters that a scenario may give to a class."""
    if not dataclasses.is_dataclass(cls):
        return ()
    return _params(cls)


@functools.cache
def model_of(cls: type) -> type["Params"]:
    """Return the pydantic model of a class's parameters."""
    fields: dict[str, Any] = {}
    for index, param in enumerate(params_of(cls)):
        leaf = Annotated[Component, Of(param.kind, references=False)] if param.kind else None
        kind = typed(param.hint, param.meta, leaf)
        default = ... if param.required else _schema_default(param.default)
        about = Field(default, alias=param.name, description=param.help or None)
        fields[f"p{index}"] = (kind, about)
    summary = (cls.__doc__ or "").strip().split("\n")[0]
    return create_model(cls.__name__, __base__=Params, __doc__=summary, **fields)


class Params(Strict):
    """Parameters of one component class; fields are called by their aliases."""

    def given(self) -> dict[str, Any]:
        """Values that were given, by parameter name, nested parameters as dicts."""
        fields = type(self).model_fields
        return {
            str(fields[name].alias): _unwrap(getattr(self, name))
            for name in fields
            if name in self.model_fields_set
        }


@functools.cache
def _params(cls: type) -> tuple[Param, ...]:
    try:
        hints = typing.get_type_hints(cls)
    except (NameError, TypeError):
        hints = {}
    found = []
    for field in dataclasses.fields(cls):
        if field.metadata.get("provided") or not field.init:
            continue
        default = field.default
        if field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        name = field.name.removesuffix("_")
        if not keyword.iskeyword(name):
            name = field.name
        hint = hints.get(field.name, Any)
        found.append(Param(name, field.name, hint, default, dict(field.metadata)))
    return tuple(found)


def _import(kind: str, use: str, target: str) -> type:
    module, _, attribute = target.partition(":")
    try:
        cls = getattr(importlib.import_module(module), attribute, None)
    except Exception as error:  # whatever a plugin's module raises is the user's to see
        raise fail(f"{kind} {use!r} cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(cls, type):
        raise fail(f"{kind} {use!r}: module {module!r} has no class {attribute!r}")
    return cls


def _check_files(cls: type, params: Mapping[str, Any], context: Context) -> None:
    for param in params_of(cls):
        if param.meta.get("path") and params.get(param.name):
            try:
                inside(context.folders, params[param.name])
            except ValueError as error:
                raise fail_at((param.name,), str(error)) from None


def _made(param: Param, value: Any, context: Context) -> Any:
    """Turn a checked value into what the class takes."""
    if param.meta.get("path") and isinstance(value, str):
        return str(inside(context.folders, value))
    return _built(param.hint, value)


def _built(hint: Any, value: Any) -> Any:
    if isinstance(value, Component):
        return value.build()
    if isinstance(value, Mapping):
        cls = _dataclass_in(hint)
        if cls is not None:
            by_name = {param.name: param for param in params_of(cls)}
            return cls(**{by_name[n].field: _built(by_name[n].hint, v) for n, v in value.items()})
        inner = (typing.get_args(hint) or (Any, Any))[-1]
        return {name: _built(inner, item) for name, item in value.items()}
    if isinstance(value, tuple):
        inner = (typing.get_args(hint) or (Any,))[0]
        return tuple(_built(inner, item) for item in value)
    return value


def _dataclass_in(hint: Any) -> type | None:
    for member in (hint, *typing.get_args(hint)):
        if isinstance(member, type) and dataclasses.is_dataclass(member):
            return member
    return None


def _unwrap(value: Any) -> Any:
    if isinstance(value, Params):
        return value.given()
    if isinstance(value, Mapping):
        return {name: _unwrap(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return tuple(_unwrap(item) for item in value)
    return value


def plain_value(value: Any, *, operational: bool = True) -> Any:
    """Return a parameter as plain data; what has no such form becomes a text."""
    try:
        return _plain(value, operational)
    except TypeError:
        return str(value)


def _plain(value: Any, operational: bool) -> Any:
    if isinstance(value, Component):
        return value.name or value.resolved(operational=operational)
    if isinstance(value, Mapping):
        return {name: _plain(item, operational) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, operational) for item in value]
    return plain(value)


def _schema_default(value: Any) -> Any:
    return value.build() if isinstance(value, Component) else value
