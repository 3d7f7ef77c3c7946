"""Checks that look at more than one key of a scenario, and texts that stand in files."""

from collections.abc import Iterator, Mapping
from typing import Any

from society.errors import Problem, ScenarioError, nearest
from society.files import read_text
from society.frame import Frame
from society.layers import Layers
from society.yaml_safe import parse
from worlds.registry import entries

__all__ = [
    "group_sizes",
    "groups_without_backend",
    "insert_texts",
    "model_problems",
    "raw_problems",
]

Found = tuple[tuple[str, ...], str]


def insert_texts(tree: dict[str, Any], layers: Layers) -> tuple[dict[str, Any], list[Problem]]:
    """Replace every ``{file: path}`` by what the file holds: YAML and JSON as values."""
    problems: list[Problem] = []

    def walk(node: Any, path: tuple[str, ...]) -> Any:
        if isinstance(node, Mapping):
            if set(node) == {"file"} and isinstance(node["file"], str):
                return insert(node["file"], (*path, "file"))
            return {key: walk(value, (*path, key)) for key, value in node.items()}
        if isinstance(node, list):
            return [walk(value, (*path, str(index))) for index, value in enumerate(node)]
        return node

    def insert(name: str, path: tuple[str, ...]) -> Any:
        try:
            text = read_text(layers.folders, name)
            return parse(text, name) if name.endswith((".yaml", ".yml", ".json")) else text
        except ScenarioError as error:
            problems.extend(error.problems)
        except ValueError as error:
            problems.append(layers.problem(path, str(error)))
        return name  # so that nothing else is said about the same text

    return {
        key: value if key == "sweep" else walk(value, (key,)) for key, value in tree.items()
    }, problems


def raw_problems(tree: Mapping[str, Any]) -> Iterator[Found]:
    """What is wrong between keys, found even where single keys are wrong too."""
    if tree.get("steps") is not None and tree.get("episodes") is not None:
        yield ("episodes",), "steps and episodes both say how long a generation lasts; keep one"
    groups = tree.get("groups")
    if not isinstance(groups, Mapping):
        return
    if "everyone" in groups:
        yield ("groups", "everyone"), "the name everyone means all groups; choose another"
    for block in ("interventions", "surveys"):
        entries = tree.get(block)
        for name, entry in entries.items() if isinstance(entries, Mapping) else ():
            who = entry.get("who") if isinstance(entry, Mapping) else None
            path = (block, name, "who")
            if isinstance(who, Mapping):
                who, path = who.get("group"), (*path, "group")
            if isinstance(who, str) and who != "everyone" and who not in groups:
                yield path, f"no group is called {who!r}{nearest(who, [*groups, 'everyone'])}"


def model_problems(scenario: Frame) -> Iterator[Found]:
    """What is wrong between keys that are right by themselves."""
    if not scenario.groups:
        yield ("groups",), "no group is left; give at least one"
        return
    rest = [name for name, group in scenario.groups.items() if group.count == "rest"]
    fixed = sum(size for name, size in _fixed(scenario).items())
    if len(rest) > 1:
        yield ("groups", rest[1], "count"), f"only one group can be the rest; {rest[0]!r} is"
    if rest and scenario.population is None:
        yield ("groups", rest[0], "count"), "rest needs population: (a total)"
    if not rest and scenario.population is not None and fixed != scenario.population:
        yield (
            ("population",),
            f"the groups have {fixed} individuals; write {fixed}, or count: rest in one group",
        )
    if rest and scenario.population is not None and fixed > scenario.population:
        yield ("population",), f"the other groups have {fixed} individuals already"
    yield from _backend_problems(scenario)
    sizes = group_sizes(scenario)
    if not rest and not any(
        group.capacity or sizes[name] for name, group in scenario.groups.items()
    ):
        yield ("groups",), "all groups are empty; give at least one a count above 0"
    for name, group in scenario.groups.items():
        if group.capacity is not None and group.capacity < sizes[name]:
            yield (
                ("groups", name, "capacity"),
                f"{group.capacity} slots cannot hold the {sizes[name]} individuals of the group",
            )


def _backend_problems(scenario: Frame) -> Iterator[Found]:
    known = [*scenario.backends, *entries("backend")]
    for name, group in scenario.groups.items():
        backend = group.policy.params.get("backend")
        if isinstance(backend, str) and backend and backend not in known:
            path = ("groups", name, "policy", "backend")
            yield path, f"no backend is called {backend!r}{nearest(backend, known)}"


def group_sizes(scenario: Frame) -> dict[str, int]:
    """Individuals of each group at the start."""
    sizes = _fixed(scenario)
    left = (scenario.population or 0) - sum(sizes.values())
    return {name: sizes.get(name, max(left, 0)) for name in scenario.groups}


def groups_without_backend(scenario: Frame) -> list[str]:
    """Groups whose policy uses language and names no backend."""
    return [
        name
        for name, group in scenario.groups.items()
        if _asks(group.policy.load()) and not group.policy.params.get("backend")
    ]


def _asks(policy: type) -> bool:
    """True for policies that ask a language model."""
    return getattr(policy, "kind", "array") == "text" or bool(getattr(policy, "asks", False))


def _fixed(scenario: Frame) -> dict[str, int]:
    sizes = {}
    for name, group in scenario.groups.items():
        if isinstance(group.count, int):
            sizes[name] = group.count
        elif group.count is None:
            sizes[name] = 1 if group.table is None else len(group.table)
    return sizes
