"""Records behave as frozen dataclasses do."""

import copy
import dataclasses
import inspect
import pickle

import pytest

from worlds.records import maker, record


@record
class Stone:
    """A stone."""

    weight: float
    name: str = "flint"
    marks: dict = dataclasses.field(default_factory=dict)


def test_a_record_is_a_frozen_dataclass():
    stone = Stone(2.0, marks={"a": 1})
    assert (stone.weight, stone.name, stone.marks) == (2.0, "flint", {"a": 1})
    assert stone == Stone(weight=2.0, name="flint", marks={"a": 1}) != Stone(3.0)
    assert dataclasses.asdict(dataclasses.replace(stone, weight=1.0))["weight"] == 1.0
    assert repr(Stone(1.0)).endswith("Stone(weight=1.0, name='flint', marks={})")
    with pytest.raises(dataclasses.FrozenInstanceError):
        stone.weight = 5.0  # type: ignore[misc]
    with pytest.raises(TypeError, match="weight"):
        Stone()  # type: ignore[call-arg]


def test_defaults_that_are_made_belong_to_one_record_each():
    one, other = Stone(1.0), Stone(1.0)
    one.marks["mine"] = 1
    assert other.marks == {}


def test_records_are_copied_and_pickled_as_they_are():
    stone = Stone(2.0, "chert", {"a": 1})
    assert copy.deepcopy(stone) == pickle.loads(pickle.dumps(stone)) == stone
    assert list(inspect.signature(Stone).parameters) == ["weight", "name", "marks"]


def test_the_maker_makes_what_the_class_makes():
    make = maker(Stone)
    assert make(2.0, marks={"a": 1}) == Stone(2.0, marks={"a": 1})
    assert type(make(1.0)) is Stone and make(1.0).marks is not make(1.0).marks
    with pytest.raises(dataclasses.FrozenInstanceError):
        make(1.0).weight = 5.0  # type: ignore[misc]


def test_a_class_made_from_a_record_keeps_its_kind():
    class Gem(Stone):
        __slots__ = ()

    assert type(Gem(1.0)) is Gem and Gem(1.0).name == "flint"


def test_what_the_constructor_does_not_support_is_refused():
    with pytest.raises(TypeError, match="Sand has a __post_init__, or a field"):

        @record
        class Sand:
            grains: int = dataclasses.field(default=0, kw_only=True)
