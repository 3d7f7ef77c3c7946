"""What ``society list``, ``show`` and ``validate`` say, as plain data and as print."""

import json
import re
import typing
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from society.components import (
    PLURALS,
    Component,
    Context,
    Param,
    load_class,
    params_of,
    plain_value,
)
from society.errors import Problem, ScenarioError, nearest
from society.scenario import Scenario, find, load_scenario, shipped
from worlds.registry import KINDS, entries

__all__ = [
    "catalogue",
    "check_scenario",
    "describe",
    "print_catalogue",
    "print_checked",
    "print_description",
]


def catalogue(kind: str | None = None) -> dict[str, list[dict[str, str]]]:
    """Return what scenarios can name: plural of the kind -> [{name, description}].

    Raises:
      ScenarioError: No such kind.
    """
    kinds = [*(PLURALS[name] for name in KINDS), "scenarios"]
    if kind is not None:
        plural = PLURALS.get(kind, "scenarios" if kind == "scenario" else kind)
        if plural not in kinds:
            message = f"no kind is called {kind!r}{nearest(kind, kinds, most=20)}"
            raise ScenarioError(Problem("list", 1, 1, "", message))
        kinds = [plural]
    singular = {plural: name for name, plural in PLURALS.items()}
    return {
        plural: _scenarios()
        if plural == "scenarios"
        else [
            {"name": entry.name, "description": entry.summary}
            for entry in entries(singular[plural]).values()
        ]
        for plural in kinds
    }


def describe(name: str, allow_code: bool = False) -> dict[str, Any]:
    """Return all that is known of a component (``kind.name`` where ambiguous) or a scenario.

    Raises:
      ScenarioError: Nothing has that name.
    """
    kind, _, short = name.rpartition(".")
    kinds = [k for k in KINDS if kind in ("", k, PLURALS[k])]
    found = [k for k in kinds if short in entries(k)]
    if found and (kind or name not in shipped()):
        also = [f"{k}.{short}" for k in found[1:]]
        if name in shipped():
            also.append(f"scenario {name}")
        return _component(found[0], short, also)
    if ":" in name and allow_code:
        return _component("component", name, [], load_class("component", name, _HERE))
    if name in shipped() or Path(name).is_file():
        result = _scenario(name)
        result["see_also"] = [f"{k}.{name}" for k in found]
        return result
    names = [n for k in KINDS for n in entries(k)] + list(shipped())
    message = f"nothing is called {name!r}{nearest(name, names)} (society list)"
    raise ScenarioError(Problem(name, 1, 1, "", message))


def check_scenario(scenario: Scenario) -> dict[str, Any]:
    """Compose a scenario and its conditions without running; returns what they are.

    Raises:
      ScenarioError: Something does not fit, in the scenario or in a condition.
    """
    from society.build import build
    from society.sweep import check_sweep

    simulation = build(scenario)
    plan = simulation.plan
    cells = check_sweep(scenario)
    return {
        "status": "ok",
        "name": scenario.name,
        "hash": scenario.hash,
        "world": scenario.world.use,
        "groups": {name: count for name, count in scenario.counts.items()},
        "generations": plan.generations,
        "steps": plan.total,
        "seeds": list(scenario.seed_list),
        "conditions": cells.conditions,
        "factors": cells.factors,
        "runs": cells.runs * len(scenario.seed_list),
        "notes": [*scenario.notes, *cells.notes],
    }


def print_catalogue(console: Console, found: dict[str, list[dict[str, str]]]) -> None:
    """Print a list for every kind that has members."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 1))
    table.add_column(no_wrap=True, style="cyan")
    table.add_column()
    for plural, members in found.items():
        if not members:
            continue
        table.add_row(Text(plural, "bold white"), "")
        for member in members:
            table.add_row(Text(f"  {member['name']}"), Text(member["description"]))
    console.print(table)
    console.print(" society show NAME says more", style="dim", highlight=False)


def print_description(console: Console, found: dict[str, Any]) -> None:
    """Print a component with its parameters, or a scenario with its text."""
    head = Text.assemble((found["name"], "bold cyan"), f"  {found['kind']}")
    console.print(head)
    if found["kind"] == "scenario":
        console.print(found["about"], highlight=False, markup=False)
        console.print()
        console.print(Syntax(found["text"], "yaml", background_color="default"))
        console.print(f" {found['file']}", style="dim", highlight=False, soft_wrap=True)
        console.print(f" society run {found['name']}", style="dim", highlight=False)
        return
    console.print(found["description"], highlight=False, markup=False)
    if found["parameters"]:
        table = Table(box=box.SIMPLE_HEAD, header_style="bold")
        table.add_column("parameter", style="cyan", no_wrap=True)
        for column in ("type", "default", "limits", ""):
            table.add_column(column)
        for param in found["parameters"]:
            default = "required" if param["required"] else json.dumps(param["default"])
            row = (param["name"], param["type"], default, param["limits"], param["help"])
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)
    else:
        console.print("\n no parameters", style="dim")
    for name in found["see_also"]:
        console.print(f" see also: society show {name}", style="dim", highlight=False)


def print_checked(console: Console, found: dict[str, Any]) -> None:
    """Print what ``check_scenario`` found."""
    people = ", ".join(f"{count:,} {name}" for name, count in found["groups"].items())
    console.print(
        Text.assemble((" ok ", "bold white on green"), " ", (found["name"], "bold")),
        highlight=False,
    )
    rows = [("world", found["world"]), ("groups", people)]
    rows.append(("time", f"{found['steps']:,} steps, {found['generations']:,} generations"))
    rows.append(("seeds", ", ".join(map(str, found["seeds"][:12]))))
    rows.append(("hash", found["hash"][:16]))
    for path, labels in found["factors"].items():
        rows.append(("factor", f"{path}: {', '.join(labels)}"))
    for name, changes in found["conditions"].items():
        text = ", ".join(f"{path}={json.dumps(value)}" for path, value in changes.items())
        rows.append(("condition", f"{name}: {text or 'as it is'}"))
    if found["runs"] > len(found["seeds"]):
        rows.append(("sweep", f"{found['runs']:,} runs in all"))
    rows += [("note", note) for note in found["notes"]]
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 1))
    table.add_column(style="dim")
    table.add_column()
    for label, text in rows:
        table.add_row(label, Text(text))
    console.print(table)


_HERE = Context((Path(),), allow_code=True)


def _scenarios() -> list[dict[str, str]]:
    found = []
    for name, path in shipped().items():
        about = re.search(r"^about:\s*(.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        text = about[1].strip() if about else ""
        if text in ("|", ">", "|-", ">-"):
            text = str(load_scenario(name).about).strip().split("\n")[0]
        found.append({"name": name, "description": re.sub(r"\s+#.*", "", text).strip("'\"")})
    return found


def _component(kind: str, name: str, also: list[str], cls: type | None = None) -> dict[str, Any]:
    cls = cls or Component(kind, name).load()
    return {
        "name": name,
        "kind": kind,
        "description": _paragraphs(cls.__doc__ or ""),
        "class": f"{cls.__module__}:{cls.__qualname__}",
        "parameters": [_parameter(param) for param in params_of(cls)],
        "see_also": also,
    }


def _parameter(param: Param) -> dict[str, Any]:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    limits = ", ".join(f"{signs[k]} {param.meta[k]:g}" for k in signs if k in param.meta)
    default = None if param.required else plain_value(param.default)
    return {
        "name": param.name,
        "type": f"{param.kind} (component)" if param.kind else _type(param.hint),
        "required": param.required,
        "default": default,
        "limits": limits,
        "help": param.help,
    }


def _type(hint: Any) -> str:
    """An annotation in the words of scenario files."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    names = {int: "whole number", float: "number", str: "text", bool: "true or false"}
    if hint in names:
        return names[hint]
    if origin is typing.Literal:
        return " | ".join(str(arg) for arg in args)
    if origin in (tuple, list, set, frozenset):
        inner = [arg for arg in args if arg is not Ellipsis]
        return f"list of {_type(inner[0])}" if inner else "list"
    if origin is dict or getattr(origin, "__name__", "") == "Mapping":
        return f"map to {_type(args[1])}" if args else "map"
    if args:
        return " or ".join(_type(arg) for arg in args if arg is not type(None))
    if hint is Any:
        return "any value"
    if params := params_of(hint) if isinstance(hint, type) else ():
        return "map with " + ", ".join(param.name for param in params)
    return "numbers" if getattr(hint, "__name__", "") in ("Array", "ndarray") else str(hint)


def _scenario(name: str) -> dict[str, Any]:
    path = find(name)
    text = path.read_text(encoding="utf-8")
    scenario = load_scenario(name)
    comment = [line.lstrip("# ") for line in text.splitlines() if line.startswith("#")]
    return {
        "name": name,
        "kind": "scenario",
        "about": scenario.about.strip(),
        "comment": "\n".join(comment),
        "file": str(path),
        "text": text,
        "world": scenario.world.use,
        "groups": scenario.counts,
        "hash": scenario.hash,
    }


def _paragraphs(text: str) -> str:
    """A docstring without its indentation."""
    lines = text.strip().split("\n")
    indent = min((len(line) - len(line.lstrip()) for line in lines[1:] if line.strip()), default=0)
    return "\n".join([lines[0], *(line[indent:].rstrip() for line in lines[1:])]).strip()
