import json
from pathlib import Path

import pytest

from society.scenario import shipped
from society.schema import committed, scenario_schema
from society.yaml_safe import parse

jsonschema = pytest.importorskip("jsonschema")

WANTED = Path(__file__).parent / "scenarios_wanted"


@pytest.fixture(scope="session")
def schema():
    return scenario_schema()


@pytest.fixture(scope="session")
def messages(schema):
    validator = jsonschema.Draft202012Validator(schema)

    def messages(text):
        errors = validator.iter_errors(parse(text))
        return {".".join(map(str, error.absolute_path)): error.message for error in errors}

    return messages


def test_the_committed_schema_is_current(schema):
    written = json.loads(committed().read_text())
    assert written == schema, "run: python -m society.schema"


def test_the_schema_is_a_schema(schema):
    jsonschema.Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_shipped_scenarios_pass(messages, name):
    assert messages(shipped()[name].read_text()) == {}


@pytest.mark.parametrize(
    "name", ["cooperation_on_networks", "donor_game", "payoff_graph_study", "two_models"]
)
def test_wanted_files_pass_where_their_components_exist(messages, name):
    assert messages((WANTED / f"{name}.yaml").read_text()) == {}


def test_every_shorthand_is_accepted(messages):
    assert (
        messages(
            "world: donor_game\n"
            "groups: {a: {policy: {use: chat, persona: {file: p.j2}}, count: rest}}\n"
            "graph: complete\n"
            "channels: {talk: text}\n"
            "backend: tiny\n"
            "backends: {tiny: mock}\n"
            "selection: null\n"
            "steps: 2.0e+6\n"
            "seeds: [1, 2]\n"
            "measures: [cooperation, {use: returns, by: group}]\n"
            "interventions: {x: {use: message, at: start, who: a, text: hi}}\n"
            "surveys: {s: {at: [0, 5], who: {group: a, number: 3}, questions: standard}}\n"
            "sweep: null\n"
        )
        == {}
    )


def test_dotted_paths_are_accepted(messages):
    assert messages("world: {use: 'lake:Lake', size: 3}\ngroups: {}\ngraph: 'my:Graph'") == {}


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("world: {use: donor_game, roundz: 3}", "world", "'roundz' was unexpected"),
        ("world: {use: donor_game, rounds: x}", "world.rounds", "'x' is not of type"),
        ("world: {use: donor_game, punishment: x}", "world.punishment", "is not one of"),
        ("world: donor_gaem", "world", "is not one of"),
        ("world: {use: donor_gaem}", "world.use", "is not one of"),
        ("world: {rounds: 3}", "world", "'use' is a required property"),
        ("groups: {A: {policy: chat}}", "groups", "does not match"),
        ("groups: {a: {policy: chat, cuont: 3}}", "groups.a", "'cuont' was unexpected"),
        ("groups: {a: {policy: chat, count: -1}}", "groups.a.count", "less than the minimum"),
        ("groups: {a: {policy: chat, count: '3'}}", "groups.a.count", "is not one of ['rest']"),
        ("groups: {a: {count: 3}}", "groups.a", "'policy' is a required property"),
        ("graph: {use: cycle, kk: 3}", "graph", "'kk' was unexpected"),
        ("graph: {use: cycle, assign: x}", "graph.assign", "is not one of"),
        ("seeds: 0", "seeds", "less than the minimum"),
        ("wworld: 1", "", "'wworld' was unexpected"),
        ("limits: {call: 1}", "limits", "'call' was unexpected"),
        ("interventions: {x: {use: message, text: a}}", "interventions.x", "'at' is a required"),
        ("channels: {c: {use: text, to: x}}", "channels.c.to", "is not one of"),
        ("repro: fats", "repro", "is not one of"),
        (
            "groups: {a: {policy: {use: chat, sampling: {ttemperature: 1}}}}",
            "groups.a.policy.sampling",
            "'ttemperature' was unexpected",
        ),
        (
            "groups: {a: {policy: {use: chat, memory: {use: none, x: 1}}}}",
            "groups.a.policy.memory",
            "'x' was unexpected",
        ),
    ],
)
def test_mistakes_read_well_in_an_editor(messages, text, path, words):
    base = {"world": "world: donor_game", "groups": "groups: {}"}
    rest = [line for key, line in base.items() if not text.startswith(f"{key}:")]
    found = messages("\n".join([text, *rest]))
    assert path in found
    assert words in found[path]
    assert not any("any of the given schemas" in message for message in found.values())


def test_world_and_groups_are_required_only_without_extends(messages):
    assert "required" in messages("seeds: 3")[""]
    assert messages("extends: donor_game\nset: {world.rounds: 3}") == {}
