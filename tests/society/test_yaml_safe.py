import json
import math
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.errors import ScenarioError
from society.yaml_safe import MAX_BYTES, MAX_DEPTH, parse, read, scalar

CORE = {
    "0123": 123,
    "-7": -7,
    "+7": 7,
    "0x1F": 31,
    "0o17": 15,
    "1e-3": 0.001,
    "2e6": 2000000.0,
    "2.5e-4": 0.00025,
    ".5": 0.5,
    "1.": 1.0,
    "~": None,
    "null": None,
    "NULL": None,
    "true": True,
    "True": True,
    "FALSE": False,
    "yes": "yes",
    "no": "no",
    "on": "on",
    "y": "y",
    "1_000": "1_000",
    "0b11": "0b11",
    "017o": "017o",
    "12:30:00": "12:30:00",
    "2024-01-01": "2024-01-01",
    "nUll": "nUll",
    "nan": "nan",
    "inf": "inf",
    "1e": "1e",
    "-": "-",
}


@pytest.mark.parametrize(("text", "value"), CORE.items())
def test_plain_scalars_follow_the_core_schema(text, value):
    found = parse(f"key: {text}")["key"] if text != "-" else scalar(text)
    assert found == value
    assert type(found) is type(value)


def test_quoted_scalars_are_texts():
    assert parse("""a: "12"\nb: 'true'\nc: |\n  null\nd: "" """) == {
        "a": "12",
        "b": "true",
        "c": "null\n",
        "d": "",
    }


def test_keys_are_always_texts():
    assert parse("1: a\ntrue: b\nnull: c\n0123: d") == {
        "1": "a",
        "true": "b",
        "null": "c",
        "0123": "d",
    }


REFUSED = {
    "alias bomb": ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", 1, 4, "anchors"),
    "alias": ("a: 1\nb: *a", 2, 4, "aliases"),
    "merge key": ("a:\n  <<: {x: 1}", 2, 3, "merge keys"),
    "python tag": ("x: !!python/object/apply:os.system [ls]", 1, 4, "tags"),
    "short tag": ("x: !secret 1", 1, 4, "tags"),
    "binary": ("x: !!binary aGk=", 1, 4, "tags"),
    "set": ("a: 1\nx: !!set {a, b}", 2, 4, "tags"),
    "repeated key": ("a: 1\nb: {c: 1, c: 2}", 2, 11, "twice"),
    "nan": ("a: [1, .nan]", 1, 8, "not a finite number"),
    "infinity": ("a: -.inf", 1, 4, "not a finite number"),
    "overflow": ("a: 1e999", 1, 4, "too large"),
    "huge integer": ("a: " + "9" * 100_000, 1, 4, "too large"),
    "deep lists": ("[" * 100_000, 1, MAX_DEPTH + 1, "levels deep"),
    "deep maps": ("{a: " * 50_000, 1, 4 * MAX_DEPTH + 1, "levels deep"),
    "deep blocks": ("\n".join("  " * i + "a:" for i in range(500)), MAX_DEPTH + 1, 0, "deep"),
    "two documents": ("a: 1\n---\nb: 1", 2, 1, "second document"),
    "template": ("a: {{ name }}", 1, 5, "quote it"),
    "list as key": ("? [a, b]\n: c", 1, 3, "a key must be a text"),
    "control character": ("a: 1\nb: x\x00y", 2, 5, "not valid YAML"),
    "syntax": ("a: [1\nb: 2", 2, 2, "not valid YAML"),
    "tabs": ("a:\n\t- b", 2, 1, "not valid YAML"),
    "bad escape": ('a: "\\q"', 1, 5, "not valid YAML"),
    "too long": ("x" * (MAX_BYTES + 1), 1, 1, "more than"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_hostile_text_is_refused_at_once_where_it_stands(name):
    text, line, column, words = REFUSED[name]
    began = time.perf_counter()
    with pytest.raises(ScenarioError) as caught:
        parse(text, "hostile.yaml")
    assert time.perf_counter() - began < 20
    (problem,) = caught.value.problems
    assert words in problem.message
    assert problem.line == line
    assert problem.column == column or column == 0
    assert str(problem).startswith(f"hostile.yaml:{line}:")
    assert len(str(problem)) < 500


def test_hostile_files_cost_little_memory(tmp_path):
    (tmp_path / "deep.yaml").write_text("[" * MAX_BYTES)
    (tmp_path / "wide.yaml").write_text("[" + "1," * (MAX_BYTES // 2 - 2) + ".nan]")
    (tmp_path / "keys.yaml").write_text("? " * (MAX_BYTES // 2))
    (tmp_path / "dashes.yaml").write_text("- " * (MAX_BYTES // 2))
    (tmp_path / "quote.yaml").write_text('a: "' + "\\n" * (MAX_BYTES // 2 - 10))
    script = (
        "import pathlib, resource, sys, time\n"
        "from society.scenario import ScenarioError, load_scenario\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).glob('*.yaml')):\n"
        "    began = time.perf_counter()\n"
        "    try:\n"
        "        load_scenario(path)\n"
        "    except ScenarioError as error:\n"
        "        print(path.name, time.perf_counter() - began, error.problems[0].line)\n"
        # ru_maxrss outlives exec, so it would be that of the test process.
        "status = pathlib.Path('/proc/self/status')\n"
        "if status.exists():\n"
        "    print(int(status.read_text().split('VmHWM:')[1].split()[0]) / 1024)\n"
        "else:\n"
        "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True
    )
    *files, megabytes = done.stdout.strip().splitlines()
    assert len(files) == 5
    assert all(float(line.split()[1]) < 20 for line in files), files
    assert float(megabytes) < 200


def test_files_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"a: 1\nb: \xff\xfe")
    with pytest.raises(ScenarioError, match=r"x.yaml:2:4: error: not UTF-8"):
        read(path)
    with pytest.raises(ScenarioError, match="there is no such file"):
        read(tmp_path / "none.yaml")
    with pytest.raises(ScenarioError, match="not a file"):
        read(tmp_path)
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ScenarioError, match="bytes"):
        read(path)


def test_a_byte_order_mark_is_no_character(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1")
    assert read(path).data == {"a": 1}


def test_marks_say_where_keys_and_values_begin(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("a:\n  b: [1, {c: 2}]\nd: x\n")
    source = read(path)
    length, mark = source.find(("a", "b", "1", "c"))
    assert (length, mark.key, mark.value) == (4, (2, 11), (2, 14))
    length, mark = source.find(("a", "missing", "c"))
    assert (length, mark.key) == (1, (1, 1))


_LETTERS = st.characters(exclude_categories=("Cc", "Cs", "Cn", "Co"), exclude_characters="\ufeff")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused_with_a_place(text):
    try:
        value = parse(text)
    except ScenarioError as error:
        assert all(p.line >= 1 and p.column >= 1 and p.message for p in error.problems)
    else:
        assert _is_plain(value)


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(2**62), 2**62)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(_LETTERS, max_size=20),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.text(_LETTERS, max_size=8), inner, max_size=4)
        ),
        max_leaves=20,
    )
)
def test_json_means_the_same_in_yaml(value):
    assert parse(json.dumps(value, ensure_ascii=False)) == value


def _is_plain(value):
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, bool | int | str)
