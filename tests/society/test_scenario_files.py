import os
import time

import pytest

from society.errors import ScenarioError
from society.files import inside
from society.scenario import load_resolved, load_scenario
from society.tables import read_table

CHAT = """\
world: {use: donor_game}
groups:
  donors:
    policy: {use: chat, persona: {file: PATH}}
backend: mock
"""
TABLE = """\
world: {use: donor_game}
groups:
  donors:
    policy: constant_donor
    table: PATH
"""


@pytest.fixture
def folder(tmp_path):
    """A scenario's folder, with secrets outside it."""
    (tmp_path / "secret.txt").write_text("SECRET")
    (tmp_path / "secret.csv").write_text("name\nSECRET\n")
    inner = tmp_path / "study"
    (inner / "prompts").mkdir(parents=True)
    (inner / "prompts" / "persona.j2").write_text("You are {{ name }}.\n")
    (inner / "people.csv").write_text("name,age,job\nAnn,30,cook\nBo,41,smith\nCy,52,\n")
    (inner / "link.txt").symlink_to(tmp_path / "secret.txt")
    (inner / "link.csv").symlink_to(tmp_path / "secret.csv")
    (inner / "linked").symlink_to(tmp_path)
    (inner / "latin.txt").write_bytes(b"\xe9t\xe9")
    os.mkfifo(inner / "pipe.csv")
    return inner


HOSTILE = [
    "/etc/passwd",
    "~/secret.txt",
    "../secret.txt",
    "prompts/../../secret.txt",
    "linked/secret.txt",
    "link.txt",
    "link.csv",
    "pipe.csv",
    "prompts",
    "..",
    "C:\\secret.txt",
    "C:/secret.txt",
    "prompts\\persona.j2",
    "nothing.txt",
    '"a\\0b"',
    '""',
]


@pytest.mark.parametrize("path", HOSTILE)
@pytest.mark.parametrize(("text", "line"), [(CHAT, 4), (TABLE, 5)])
def test_files_outside_the_folder_are_never_read(folder, path, text, line):
    case = folder / "case.yaml"
    case.write_text(text.replace("PATH", path if path.startswith('"') else f"'{path}'"))
    began = time.perf_counter()
    with pytest.raises(ScenarioError) as caught:
        load_scenario(case)
    assert time.perf_counter() - began < 20
    assert "SECRET" not in str(caught.value)
    assert {problem.line for problem in caught.value.problems} == {line}


@pytest.mark.parametrize("base", ["../base.yaml", "/etc/base.yaml", "linked/base.yaml"])
def test_only_files_of_the_folder_can_be_extended(folder, base):
    (folder.parent / "base.yaml").write_text(TABLE)
    case = folder / "case.yaml"
    case.write_text(f"seeds: 1\nextends: {base}\n")
    with pytest.raises(ScenarioError, match=r"case.yaml:2:10: error: extends: "):
        load_scenario(case)


def test_texts_are_read_from_files(folder):
    case = folder / "case.yaml"
    case.write_text(CHAT.replace("PATH", "prompts/persona.j2"))
    scenario = load_scenario(case)
    assert scenario.groups["donors"].policy.params["persona"] == "You are {{ name }}.\n"
    before = scenario.hash
    (folder / "prompts" / "persona.j2").write_text("You are nobody.\n")
    assert load_scenario(case).hash != before


def test_values_are_read_from_yaml_files(folder):
    (folder / "panel.yaml").write_text("- {id: knows, ask: 'Is it so?', options: ['yes', 'no']}\n")
    case = folder / "case.yaml"
    survey = "surveys: {s: {at: end, questions: {file: panel.yaml}}}\n"
    case.write_text(TABLE.replace("PATH", "people.csv") + survey)
    (question,) = load_scenario(case).surveys["s"].questions
    assert question.options == ("yes", "no")
    (folder / "panel.yaml").write_text("- {id: &a knows}\n")
    with pytest.raises(ScenarioError, match=r"panel.yaml:1:8: error: anchors"):
        load_scenario(case)


def test_a_text_file_may_be_named_on_the_command_line(folder):
    case = folder / "case.yaml"
    case.write_text(CHAT.replace("{file: PATH}", "short"))
    change = "groups.donors.policy.persona={file: prompts/persona.j2}"
    params = load_scenario(case, (change,)).groups["donors"].policy.params
    assert params["persona"].startswith("You are")
    with pytest.raises(ScenarioError, match=r"--set groups.donors.policy.persona="):
        load_scenario(case, (change.replace("persona.j2", "x.j2"),))


def test_text_files_must_be_utf8(folder):
    case = folder / "case.yaml"
    case.write_text(CHAT.replace("PATH", "latin.txt"))
    with pytest.raises(ScenarioError, match="not UTF-8"):
        load_scenario(case)


def test_a_table_has_a_row_for_each_individual(folder):
    case = folder / "case.yaml"
    case.write_text(TABLE.replace("PATH", "people.csv"))
    scenario = load_scenario(case)
    assert scenario.counts == {"donors": 3}
    assert scenario.groups["donors"].table.columns == {
        "name": ["Ann", "Bo", "Cy"],
        "age": [30, 41, 52],
        "job": ["cook", "smith", ""],
    }
    assert set(scenario.files()) == {"people.csv"}
    before = scenario.hash
    (folder / "people.csv").write_text("name,age,job\nAnn,31,cook\nBo,41,smith\nCy,52,\n")
    assert load_scenario(case).hash != before


def test_a_resolved_scenario_finds_its_files(folder, tmp_path):
    import json

    case = folder / "case.yaml"
    case.write_text(TABLE.replace("PATH", "people.csv"))
    scenario = load_scenario(case)
    run = tmp_path / "run"
    run.mkdir()
    (run / "scenario.yaml").write_text(json.dumps(scenario.resolved()))
    assert load_resolved(run / "scenario.yaml").hash == scenario.hash


@pytest.mark.parametrize(
    ("extra", "path", "words"),
    [
        ("count: 4", "count", "has 3 rows"),
        ("weight: w", "weight", "no column 'w'"),
        ("weight: age", "weight", "needs draw"),
        ("{draw: with_replacement, weight: name}", "weight", "must hold numbers"),
        ("attributes: {age: 3}", "attributes.age", "rename one"),
        ("draw: shuffled", "draw", "no choice"),
        ("attributes: {mood: [a, b]}", "attributes.mood", "use: cycle"),
        ("attributes: {mood: {use: cycle, values: []}}", "attributes.mood", "at least one"),
        ("attributes: {mood: {use: nnormal}}", "attributes.mood.use", "'normal'"),
        ("attributes: {mood: {use: normal, sd: -1}}", "attributes.mood.sd", "at least 0"),
    ],
)
def test_what_does_not_fit_the_table_is_explained(folder, extra, path, words):
    lines = extra.strip("{}").split(", ") if extra.startswith("{draw") else [extra]
    case = folder / "case.yaml"
    text = TABLE.replace("PATH", "people.csv")
    case.write_text(text + "".join(f"    {line}\n" for line in lines))
    with pytest.raises(ScenarioError) as caught:
        load_scenario(case)
    (problem,) = caught.value.problems
    assert problem.path == f"groups.donors.{path}"
    assert words in problem.message


def test_rows_may_be_written_inline(folder):
    case = folder / "case.yaml"
    case.write_text(TABLE.replace("PATH", "[{name: Ann, age: 3}, {name: Bo, age: 4}]"))
    assert load_scenario(case).counts == {"donors": 2}
    for rows, words in (
        ("[{a: 1}, {b: 2}]", "row 2 differs"),
        ("[3]", "row 1 is no map"),
        ("[]", "no rows"),
        ("[{a: [1]}]", "no single value"),
    ):
        case.write_text(TABLE.replace("PATH", rows))
        with pytest.raises(ScenarioError, match=words):
            load_scenario(case)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "", "first line must name"),
        ("a.csv", "a,a\n1,2\n", "every column once"),
        ("a.csv", "a,b\n1\n", "1 of 2 columns"),
        ("a.csv", "a,b\n", "no rows"),
        ("a.csv", 'a\n"x\n', "unexpected end"),
        ("a.json", "{", "Expecting"),
        ("a.json", "{}", "list of rows"),
        ("a.json", '[{"a": NaN}]', "nan"),
        ("a.txt", "a\n1\n", "no table"),
    ],
)
def test_broken_tables_are_explained(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=words):
        read_table((tmp_path,), name)


def test_json_tables_hold_rows(tmp_path):
    (tmp_path / "a.json").write_text('[{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]')
    table = read_table((tmp_path,), "a.json")
    assert table.rows() == [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]


def test_parquet_tables_need_an_extra(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    with pytest.raises(ValueError, match=r"societylab\[data\]|a.parquet"):
        read_table((tmp_path,), "a.parquet")


def test_files_larger_than_allowed_are_not_read(tmp_path):
    (tmp_path / "big.txt").write_bytes(b"x" * 100)
    assert inside((tmp_path,), "big.txt", most=100)
    with pytest.raises(ValueError, match="at most 99"):
        inside((tmp_path,), "big.txt", most=99)


def test_a_files_folder_is_importable_only_where_code_is_allowed(folder, monkeypatch):
    import sys

    monkeypatch.setattr(sys, "path", list(sys.path))
    (folder / "my_plugin_of_test.py").write_text(
        "import dataclasses\n"
        "from rl_agents.scripted.donors import ConstantDonor\n"
        "class Mine(ConstantDonor):\n"
        '    """My donor."""\n'
    )
    case = folder / "case.yaml"
    text = "world: {use: donor_game}\ngroups: {a: {policy: 'my_plugin_of_test:Mine'}}\n"
    case.write_text(text)
    with pytest.raises(ScenarioError, match="--allow-code"):
        load_scenario(case)
    assert "my_plugin_of_test" not in sys.modules
    assert str(folder) not in sys.path
    scenario = load_scenario(case, allow_code=True)
    assert type(scenario.groups["a"].policy.build()).__name__ == "Mine"
    for name, words in (("nothing_of_test:X", "cannot be imported"), ("json:X", "no class 'X'")):
        case.write_text(text.replace("my_plugin_of_test:Mine", name))
        with pytest.raises(ScenarioError, match=words):
            load_scenario(case, allow_code=True)
