"""A scenario in words: who lives where, for how long, who copies whom, what is looked at."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from society.components import params_of, plain_value
from worlds.registry import entries

__all__ = ["question_of", "scenario_in_words"]


def question_of(about: str, name: str) -> tuple[str, str]:
    """The first line of a scenario's ``about`` as a title, and the rest."""
    first, _, rest = about.strip().partition("\n")
    return first.strip() or name.replace("_", " "), rest.strip()


def scenario_in_words(scenario: Any) -> list[str]:
    """Sentences that say what decides a result."""
    return [sentence for sentence in _sentences(scenario) if sentence]


def _sentences(scenario: Any) -> Iterator[str]:
    counts = scenario.counts
    for name, group in scenario.groups.items():
        mind = _component(group.policy)
        taught = f", trained by {_component(group.learner)}" if group.learner else ""
        one = f"{counts[name]:,} {name.replace('_', ' ')}" if counts[name] != 1 else f"One {name}"
        verb = "decide" if counts[name] != 1 else "decides"
        yield f"{one} {verb} by {mind}{taught}."
    entry = entries("world").get(scenario.world.use)
    told = f" {entry.summary.rstrip('.')}." if entry and entry.summary else ""
    yield f"They live in {_component(scenario.world)}.{told}"
    if scenario.graph is not None:
        rewire = (
            f", rewired by {_component(scenario.graph.rewire)}" if scenario.graph.rewire else ""
        )
        yield f"Who is tied to whom: {_component(scenario.graph.rule)}{rewire}."
    for name, channel in scenario.channels.items():
        yield f"They can send messages through {name}: {_component(channel)}."
    if scenario.backend is not None:
        yield f"Language is answered by {_component(scenario.backend)}."
    yield _time(scenario)
    if scenario.selection is not None:
        passes = _component(scenario.transmission) if scenario.transmission else "copy"
        yield f"Who copies whom: {_component(scenario.selection)}. What passes: {passes}."
    for name, event in scenario.interventions.items():
        yield f"Intervention {name} at {json.dumps(event.at)}: {_component(event.component)}."
    seeds = scenario.seed_list
    yield f"{len(seeds)} independent runs, one for each seed." if len(seeds) > 1 else "One run."


def _time(scenario: Any) -> str:
    if scenario.steps:
        length = f"{scenario.steps:,} step{'s' if scenario.steps > 1 else ''}"
    else:
        episodes = scenario.episodes or 1
        length = f"{episodes:,} episode{'s' if episodes > 1 else ''}"
    if scenario.generations == 1:
        return f"A run lasts {length}."
    return f"{scenario.generations:,} generations follow one another, each of {length}."


def _component(component: Any) -> str:
    """``name (parameter: value, ...)`` with the parameters that are not the default ones."""
    told = _chosen(component)
    given = ", ".join(f"{k.replace('_', ' ')}: {_value(v)}" for k, v in told.items())
    return f"{component.use.replace('_', ' ')}" + (f" ({given})" if given else "")


def _chosen(component: Any) -> dict[str, Any]:
    """Parameters that differ from their defaults."""
    defaults = {param.name: param.default for param in params_of(component.load())}
    found = {}
    for name, value in component.params.items():
        same = name in defaults and plain_value(defaults[name]) == plain_value(value)
        if not same and value not in ("", None):
            found[name] = value
    return found


def _value(value: Any) -> str:
    if isinstance(value, str):
        return value if len(value) < 60 else f"{value[:57]}…"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        shown = ", ".join(_value(item) for item in value[:8])
        return f"{shown}, …" if len(value) > 8 else shown
    if hasattr(value, "use"):
        return _component(value)
    text = str(value)
    return text if len(text) < 80 else f"{text[:77]}…"
