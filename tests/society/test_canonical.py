"""Equal values have one text, whatever order and types they came in."""

import dataclasses
import doctest
import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import society.canonical
from society.canonical import canonical, fingerprint, plain

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@dataclasses.dataclass
class Point:
    x: float
    y: int


@given(values)
def test_the_text_is_strict_json_of_the_same_value(value):
    text = canonical(value)
    text.encode()
    back = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert back == plain(value)
    assert canonical(back) == text


@given(st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_count(value):
    assert canonical(dict(reversed(value.items()))) == canonical(value)


def test_other_types_are_written_as_the_values_they_mean():
    assert canonical(Point(1.5, 2)) == '{"x":1.5,"y":2}'
    assert canonical((np.float32(0.5), np.int8(3), np.array([[1, 2]]), {3, 1})) == (
        "[0.5,3,[[1,2]],[1,3]]"
    )
    assert canonical([math.nan, math.inf, -math.inf]) == '["NaN","Infinity","-Infinity"]'
    assert canonical({1: "a", None: "b"}) == '{"1":"a","None":"b"}'
    with pytest.raises(TypeError, match="a function has no JSON form"):
        canonical({"a": canonical})


def test_a_fingerprint_is_the_same_in_every_process():
    value = {"b": [1, 2.5, "ü"], "a": None}
    code = (
        "from society.canonical import fingerprint as f; print(f({'a': None, 'b': [1, 2.5, 'ü']}))"
    )
    shown = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == fingerprint(value) == fingerprint(canonical(value))


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(society.canonical).failed == 0
