import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

import pytest
from pydantic import ValidationError

from society.components import Component, model_of, params_of
from worlds.registry import KINDS, entries
from worlds.tree import doc_field, provided


@dataclasses.dataclass(frozen=True)
class Inner:
    """Nested parameters."""

    depth: int = doc_field(1, "how deep", ge=0)
    name: str = ""


@dataclasses.dataclass(frozen=True)
class Example:
    """A component with a field of every sort."""

    size: int
    rate: float = doc_field(0.5, "a share", ge=0, le=1)
    label: str = ""
    flag: bool = False
    mode: Literal["fast", "slow", 3] = "fast"
    maybe: float | None = None
    pair: tuple[float, float] = (0.0, 1.0)
    names: tuple[str, ...] = ()
    table: Mapping[str, int] = dataclasses.field(default_factory=dict)
    either: str | tuple[int, ...] = "all"
    inner: Inner = dataclasses.field(default_factory=Inner)
    anything: Any = None
    from_: str = ""
    copy: int = 0
    parts: Any = doc_field((), "distributions", component="distribution")
    slots: int = provided(4)


def check(**given):
    return model_of(Example).model_validate({"size": 1, **given}).given()


def message(**given):
    with pytest.raises(ValidationError) as caught:
        check(**given)
    (error,) = caught.value.errors()
    return ".".join(map(str, error["loc"])), error["msg"]


def test_parameters_are_the_fields_that_a_scenario_may_set():
    names = [param.name for param in params_of(Example)]
    assert "slots" not in names
    assert "from" in names
    assert "copy" in names
    assert {p.name for p in params_of(Example) if p.required} == {"size"}


def test_values_are_taken_as_they_are_meant():
    given = check(
        size=2e3,
        rate=1,
        mode=3,
        maybe=None,
        pair=[1, 2],
        names=["a"],
        table={"x": 1},
        either=[1, 2],
        inner={"depth": 2},
        anything={"a": [1, "b"]},
        **{"from": "x"},
    )
    assert given["size"] == 2000
    assert isinstance(given["rate"], float)
    assert given["pair"] == (1.0, 2.0)
    assert given["either"] == (1, 2)
    assert given["inner"] == {"depth": 2}
    assert given["anything"] == {"a": (1, "b")}
    assert "maybe" not in given


@pytest.mark.parametrize(
    ("given", "path", "words"),
    [
        ({"size": "12"}, "size", "remove the quotes"),
        ({"size": "1_000"}, "size", "write 1000"),
        ({"size": True}, "size", "not true"),
        ({"size": 1.5}, "size", "whole number"),
        ({"rate": 2}, "rate", "at most 1, not 2"),
        ({"rate": "0.5"}, "rate", "remove the quotes"),
        ({"rate": float("nan")}, "rate", "finite"),
        ({"label": 3}, "label", "quote it"),
        ({"flag": "yes"}, "flag", "write true"),
        ({"flag": "off"}, "flag", "write false"),
        ({"flag": 1}, "flag", "true or false"),
        ({"mode": "fats"}, "mode", "did you mean 'fast'"),
        ({"mode": 3.0}, "mode", "no choice"),
        ({"pair": [1]}, "pair", "a list of 2, not of 1"),
        ({"pair": [1, "x"]}, "pair.1", "expected a number"),
        ({"names": "a"}, "names", "write [..."),
        ({"names": ["a", 3]}, "names.1", "expected a text"),
        ({"table": [1]}, "table", "expected a map"),
        ({"table": {"x": "y"}}, "table.x", "whole number"),
        ({"either": 3}, "either", "expected a text"),
        ({"either": [1, "x"]}, "either.1", "whole number"),
        ({"inner": {"dept": 1}}, "inner.dept", "did you mean 'depth'"),
        ({"inner": {"depth": -1}}, "inner.depth", "at least 0"),
        ({"inner": 3}, "inner", "expected a map with depth, name"),
        ({"slots": 3}, "slots", "unknown key"),
        ({"from_": "x"}, "from_", "did you mean 'from'"),
        ({"anything": object()}, "anything", "expected"),
    ],
)
def test_errors_say_what_to_write_without_tags_of_unions(given, path, words):
    where, what = message(**given)
    assert where == path
    assert words in what


def test_a_missing_parameter_is_named():
    with pytest.raises(ValidationError) as caught:
        model_of(Example).model_validate({})
    assert [(e["loc"], e["msg"]) for e in caught.value.errors()] == [(("size",), "is required")]


def test_nested_components_are_checked_and_built():
    component = Component("policy", "x", check(parts={"use": "normal", "sd": 2}))
    inner = component.params["parts"]
    assert inner.use == "normal"
    assert inner.build().sd == 2.0
    where, what = message(parts={"use": "normal", "sdd": 2})
    assert where == "parts.sdd"
    assert "did you mean 'sd'" in what


@pytest.mark.parametrize("kind", KINDS)
def test_every_component_can_be_described(kind):
    for entry in entries(kind).values():
        cls = Component(kind, entry.name).load()
        model_of(cls)
        assert entry.summary, f"{entry.target} has no docstring"
        for param in params_of(cls):
            assert param.name.isidentifier()


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("attach",)])
def test_defaults_are_values_that_a_scenario_may_give(kind):
    """A resolved scenario writes defaults out; reading it again must accept them."""
    for entry in entries(kind).values():
        component = Component(kind, entry.name)
        params = params_of(component.load())
        if any(param.required for param in params):
            continue
        written = component.resolved()
        written.pop("use")
        given = model_of(component.load()).model_validate(written).given()
        again = Component(kind, entry.name, given)
        assert again.resolved() == component.resolved(), entry.target
        again.build()
