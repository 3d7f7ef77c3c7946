"""The JSON Schema of scenario files, for editors: the frame and all built-in components.

Components are written ``if use = X then X``, so that a misspelt parameter reads "'roundz'
was unexpected" and not "not valid under any of the given schemas".

    python -m society.schema        writes scenarios/schema.json anew
"""

import copy
import functools
import importlib.resources
import json
from pathlib import Path
from typing import Any

from society.components import Component, model_of, params_of
from society.frame import Frame, GraphSpec, InterventionSpec, Who
from society.params import Strict
from worlds.framing import Framing
from worlds.registry import KINDS, entries

__all__ = ["committed", "scenario_schema", "write"]

# The kinds whose components have keys of the frame beside their own.
_BESIDE: dict[str, type[Strict]] = {"graph": GraphSpec, "intervention": InterventionSpec}
_NAMED = ("groups", "channels", "backends", "interventions", "surveys")
_NAMES = {"propertyNames": {"pattern": "^[a-z][a-z0-9_]*$"}}


@functools.cache
def _frame() -> dict[str, Any]:
    return Frame.model_json_schema()


def scenario_schema(*, plugins: bool = False) -> dict[str, Any]:
    """Return the schema, as plain data in a fixed order.

    Args:
      plugins: with the components of installed packages too.
    """
    frame = _clean(copy.deepcopy(_frame()))
    definitions: dict[str, Any] = frame.pop("$defs", {})
    for kind in KINDS:
        definitions |= _kind(kind, plugins)
    definitions["who"] = {
        "if": {"type": "string"},
        "then": {},
        "else": _clean(Who.model_json_schema()),
    }
    definitions["framing"] = _lifted(model_of(Framing).model_json_schema(), definitions)
    definitions["attribute"] = {
        "if": {"type": "object"},
        "then": {"$ref": "#/$defs/distribution"},
        "else": {"type": ["string", "number", "boolean"]},
    }
    _text_files(definitions)
    properties = frame["properties"]
    for name in _NAMED:
        properties[name] |= _NAMES
    required = frame.pop("required", [])
    for name, value in properties.items():
        if name not in required:
            properties[name] = _or_null(value)
    changes = {"type": "object", "description": "path: value"}
    properties["extends"] = {"type": "string", "description": "a shipped scenario, or a file"}
    properties["set"] = changes | {"description": "path: value, changes to what is extended"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "society scenario",
        "type": "object",
        "properties": dict(sorted(properties.items())),
        "additionalProperties": False,
        "if": {"required": ["extends"]},
        "else": {"required": sorted(required)},
        "$defs": dict(sorted(definitions.items())),
    }


def committed() -> Path:
    """Return where the schema is shipped."""
    return Path(str(importlib.resources.files("scenarios"))) / "schema.json"


def write() -> Path:
    """Write the shipped schema anew."""
    path = committed()
    path.write_text(json.dumps(scenario_schema(), indent=1) + "\n", encoding="utf-8")
    return path


def _kind(kind: str, plugins: bool) -> dict[str, Any]:
    """Definitions of a kind and of each of its components."""
    names = [entry.name for entry in entries(kind).values() if entry.builtin or plugins]
    found: dict[str, Any] = {}
    branches = []
    for name in names:
        found[f"{kind}.{name}"] = _component(kind, name, found)
        branches.append(
            {
                "if": {"properties": {"use": {"const": name}}, "required": ["use"]},
                "then": {"$ref": f"#/$defs/{kind}.{name}"},
            }
        )
    named: dict[str, Any] = {"enum": names} if kind != "backend" else {"type": "string"}
    # A dotted path is a name too; an editor cannot know what it takes.
    dotted = {"pattern": ":"}
    use = {"if": dotted, "else": named} if kind != "backend" else named
    whole: dict[str, Any] = {"type": "object", "properties": {"use": use}}
    if branches:
        whole["allOf"] = branches
    if kind != "graph":
        whole["required"] = ["use"]
    found[kind] = {"if": {"type": "string"}, "then": use, "else": whole}
    return found


def _component(kind: str, name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    cls = Component(kind, name).load()
    schema = _lifted(model_of(cls).model_json_schema(), definitions)
    properties = {"use": {"const": name}} | schema.get("properties", {})
    for param in params_of(cls):
        if param.name in properties:
            properties[param.name] = _or_null(properties[param.name])
    required = schema.get("required", [])
    if kind in _BESIDE:
        beside = _lifted(_BESIDE[kind].model_json_schema(), definitions)
        own = {key: item for key, item in beside["properties"].items() if key != "component"}
        properties = {**own, **properties}
        required = [*required, *(key for key in beside.get("required", []) if key in own)]
    summary = (cls.__doc__ or "").strip().split("\n")[0]
    found = {"type": "object", "description": summary, "properties": properties}
    found["additionalProperties"] = False
    return found | ({"required": sorted(set(required))} if required else {})


def _lifted(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Move the definitions inside a schema to the top."""
    schema = _clean(schema)
    for name, value in schema.pop("$defs", {}).items():
        definitions.setdefault(name, value)
    return schema


_LIMITS = {
    "ge": "minimum",
    "gt": "exclusiveMinimum",
    "le": "maximum",
    "lt": "exclusiveMaximum",
}  # pydantic keeps its own names on unions


def _clean(node: Any) -> Any:
    """Drop titles, and write ``anyOf`` of simple types and null as a list of types."""
    if isinstance(node, list):
        return [_clean(item) for item in node]
    if not isinstance(node, dict):
        return node
    found = {
        _LIMITS.get(key, key): {name: _clean(item) for name, item in value.items()}
        if key in ("properties", "$defs")
        else _clean(value)
        for key, value in node.items()
        if not (key == "title" and isinstance(value, str)) and key != "$component"
    }
    if "$component" in node:  # written so because pydantic knows no definitions but its own
        found["$ref"] = f"#/$defs/{node['$component']}"
    options = found.get("anyOf")
    if isinstance(options, list):
        rest = [option for option in options if option != {"type": "null"}]
        if len(rest) == 1:
            found.pop("anyOf")
            found = {**found, **_or_null(rest[0])}
        elif maps := [option for option in rest if "$ref" in option]:
            found.pop("anyOf")
            others = [option for option in options if option not in maps]
            found["if"] = {"type": "object"}
            found["then"] = maps[0] if len(maps) == 1 else {"anyOf": maps}
            found["else"] = others[0] if len(others) == 1 else {"anyOf": others}
    return found


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema, and null, which stands for the default."""
    if isinstance(schema.get("type"), str) and "enum" not in schema and "const" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    if "enum" in schema:
        return {**{k: v for k, v in schema.items() if k != "type"}, "enum": [*schema["enum"], None]}
    if isinstance(schema.get("type"), list) or not schema:
        return schema
    about = {key: schema[key] for key in ("description", "default") if key in schema}
    rest = {key: value for key, value in schema.items() if key not in about}
    return {**about, "if": {"type": "null"}, "else": rest}


def _text_files(definitions: dict[str, Any]) -> None:
    """Any text of a component may be ``{file: path}``."""
    reference = {
        "type": "object",
        "properties": {"file": {"type": "string"}},
        "required": ["file"],
        "additionalProperties": False,
    }
    definitions["text_file"] = reference
    for name, definition in definitions.items():
        if "." not in name:
            continue
        for key, value in definition["properties"].items():
            kinds = value.get("type")
            if kinds in ("string", ["string", "null"]) and key != "use":
                about = {k: value[k] for k in ("description", "default") if k in value}
                definition["properties"][key] = {
                    **about,
                    "if": {"type": "object"},
                    "then": {"$ref": "#/$defs/text_file"},
                    "else": {k: v for k, v in value.items() if k not in about},
                }


if __name__ == "__main__":
    print(write())
