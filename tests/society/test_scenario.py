import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.scenario import Scenario, ScenarioError, load_resolved, load_scenario, shipped
from worlds.registry import entries

WANTED = Path(__file__).parent / "scenarios_wanted"
SMALL = """\
about: small
world: {use: donor_game, rounds: 3}
groups:
  donors: {count: 4, policy: {use: constant_donor, fraction: 0.5}}
"""


@pytest.fixture
def write(tmp_path):
    def write(text, name="case.yaml"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    return write


def problems(path, *sets, **options):
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path, sets, **options)
    return caught.value.problems


def test_a_scenario_knows_its_frame(write):
    scenario = load_scenario(write(SMALL))
    assert scenario.name == "case"
    assert scenario.world.use == "donor_game"
    assert scenario.world.params == {"rounds": 3}
    assert scenario.counts == {"donors": 4}
    assert scenario.seed_list == (0,)
    assert scenario.generations == 1
    assert scenario.episodes is None
    assert scenario.steps is None
    assert scenario.graph is None
    assert scenario.selection is None
    assert scenario.limits.max_fallback_rate == 0.05
    assert scenario.record.every == 1
    assert scenario.repro == "strict"


def test_components_build_what_they_say(write):
    policy = load_scenario(write(SMALL)).groups["donors"].policy.build()
    assert type(policy).__name__ == "ConstantDonor"
    assert policy.fraction == 0.5


def test_every_problem_is_found_and_located(write):
    path = write(
        "world:\n"
        "  use: donor_game\n"
        "  roundz: 3\n"
        '  trace: "3"\n'
        "  punishment: costy\n"
        "groups:\n"
        '  donors: {count: "12", policy: {use: constant_doner}}\n'
        "  Others: {policy: {use: constant_donor, fraction: 1.5}}\n"
        "wworld: 1\n"
        "steps: 3\n"
        "episodes: 2\n"
        "seeds: [1, -1]\n"
        "interventions:\n"
        "  news: {at: never, use: message, who: donor, text: hi}\n"
    )
    found = {(p.path, p.line, p.column): p.message for p in problems(path)}
    expected = {
        ("world.roundz", 3, 3): "did you mean 'rounds'?",
        ("world.trace", 4, 10): "remove the quotes",
        ("world.punishment", 5, 15): "did you mean 'costly'?",
        ("groups.donors.count", 7, 19): "without quotes",
        ("groups.donors.policy.use", 7, 39): "did you mean 'constant_donor'?",
        ("groups.Others", 8, 3): "small letters",
        ("groups.Others.policy.fraction", 8, 52): "at most 1",
        ("wworld", 9, 1): "did you mean 'world'?",
        ("episodes", 11, 11): "keep one",
        ("seeds.1", 12, 12): "at least 0",
        ("interventions.news.at", 14, 14): "is no time",
        ("interventions.news.who", 14, 40): "did you mean 'donors'?",
    }
    assert found.keys() == expected.keys()
    for place, words in expected.items():
        assert words in found[place]
    first = str(problems(path)[0])
    assert first == f"{path}:3:3: error: world.roundz: unknown key; did you mean 'rounds'?"


@pytest.mark.parametrize(
    ("line", "path", "words"),
    [
        ("seeds: 0", "seeds", "at least 1"),
        ("seeds: []", "seeds", "empty"),
        ("seeds: [1, 1]", "seeds", "twice"),
        ("seeds: 1.5", "seeds", "whole number"),
        ("generations: 1_000", "generations", "write 1000"),
        ("generations: yes", "generations", "whole number"),
        ("generations: true", "generations", "not true"),
        ("steps: 0", "steps", "at least 1"),
        ("version: 2", "version", "allowed: 1"),
        ("repro: fats", "repro", "did you mean 'fast'?"),
        ("about: 3", "about", "quote it"),
        ("groups: 3", "groups", "expected a map"),
        ("groups: {}", "groups", "at least one"),
        ("groups: {a: null}", "groups", "at least one"),
        ("groups: {everyone: {policy: constant_donor}}", "groups.everyone", "choose another"),
        ("groups: {a: {policy: constant_donor, count: -1}}", "groups.a.count", "at least 0"),
        ("groups: {a: {policy: constant_donor, count: 0}}", "groups", "empty"),
        ("groups: {a: {policy: constant_donor, count: rest}}", "groups.a.count", "population"),
        ("groups: {a: {policy: constant_donor, count: all}}", "groups.a.count", "rest"),
        ("groups: {a: {policy: constant_donor, count: 3, capacity: 2}}", "groups.a.capacity", "3"),
        ("groups: {a: {count: 3}}", "groups.a.policy", "required"),
        ("groups: {a: {policy: [x]}}", "groups.a.policy", "name of a policy"),
        ("groups: {a: {policy: {fraction: 1}}}", "groups.a.policy", "use is missing"),
        ("groups: {a: {policy: {use: 3}}}", "groups.a.policy.use", "expected a name"),
        ("groups: {a: {policy: 'x:Y'}}", "groups.a.policy", "--allow-code"),
        ("population: 5", "population", "write 4"),
        ("graph: {use: cycle, k: 4, assign: no}", "graph.assign", "allowed"),
        ("graph: {use: cycle, k: 4, rewire: randum}", "graph.rewire", "did you mean 'random'?"),
        ("graph: {seed: -1}", "graph.seed", "at least 0"),
        ("channels: {talk: {use: text, to: nobody}}", "channels.talk.to", "no choice"),
        ("backend: mokc", "backend", "did you mean 'mock'?"),
        ("backends: {a: {use: mock, x: 1}}", "backends.a.x", "unknown key"),
        ("backends: {a: a}", "backends.a", "unknown backend"),
        ("framing: {story: war}", "framing.story", "no choice"),
        ("framing: {labels: 3}", "framing.labels", "text"),
        ("selection: {use: truncation, keep: 2}", "selection.keep", "at most"),
        ("measures: cooperation", "measures", "write ["),
        ("measures: [{use: cooperation, x: 1}]", "measures.0.x", "unknown key"),
        ("limits: {max_fallback_rate: 2}", "limits.max_fallback_rate", "at most 1"),
        ("limits: {calls: 1.5}", "limits.calls", "not 1.5"),
        ("record: {every: 0}", "record.every", "at least 1"),
        ("sweep: {method: grd}", "sweep.method", "did you mean 'grid'?"),
        ("sweep: {nulls: some}", "sweep.nulls", "write [some]"),
        ("surveys: {s: {at: end}}", "surveys.s.questions", "required"),
        ("surveys: {s: {at: end, questions: [{id: a}]}}", "surveys.s.questions.0.ask", "required"),
        ("surveys: {s: {at: [], questions: x}}", "surveys.s.at", "empty"),
        ("surveys: {s: {at: {every: 0}, questions: x}}", "surveys.s.at.every", "at least 1"),
        ("surveys: {s: {at: end, who: {grp: x}, questions: x}}", "surveys.s.who.grp", "unknown"),
        ("set: {seeds: 3}", "set", "no extends"),
        ("extends: nothing", "extends", "no file"),
        ("extends: 3", "extends", "name or file"),
    ],
)
def test_what_makes_no_sense_is_explained(write, line, path, words):
    key = line.split(":")[0]
    text = SMALL.removeprefix("about: small\n")
    if key == "groups":
        text = text.partition("groups:")[0]
    found = problems(write(f"{text}\n{line}\n"))
    assert [p.path for p in found] == [path]
    assert words in found[0].message
    assert found[0].line == len(f"{text}\n".splitlines()) + 1


def test_whole_numbers_may_be_written_as_powers_of_ten(write):
    assert load_scenario(write(SMALL + "steps: 2e6\n")).steps == 2_000_000


def test_null_stands_for_the_default(write):
    scenario = load_scenario(write(SMALL + "sweep: null\ngraph: ~\nlimits: {calls: null}\n"))
    assert scenario.sweep is None
    assert scenario.hash == load_scenario(write(SMALL)).hash


def test_one_group_may_be_the_rest(write):
    text = SMALL + "  others: {count: rest, policy: constant_donor}\npopulation: 10\n"
    assert load_scenario(write(text)).counts == {"donors": 4, "others": 6}
    (problem,) = problems(write(text), "population=3")
    assert "already" in problem.message


def test_changes_come_in_order_over_the_file(write):
    path = write(SMALL)
    scenario = load_scenario(path, ("world.rounds=4", "world.rounds=5", "seeds=3"), seed=7)
    assert scenario.world.params["rounds"] == 5
    assert scenario.seed_list == (7,)


def test_the_donor_game_takes_scripted_donors_from_the_command_line():
    sets = ("groups.donors.policy=constant_donor", "groups.donors.policy.fraction=0.5")
    scenario = load_scenario(WANTED / "donor_game.yaml", sets)
    assert scenario.groups["donors"].policy.params == {"fraction": 0.5}
    assert scenario.backend is None


def test_problems_of_changes_name_the_argument(write):
    found = problems(write(SMALL), "world.rounds=x", "world.nois=3", "zz", "seeds=[1")
    assert [(p.file, p.line, p.column, p.path) for p in found] == [
        ("--set world.rounds=x", 1, 14, "world.rounds"),
        ("--set world.nois=3", 1, 1 + len("world.nois="), "world.nois"),
        ("--set zz", 1, 1, ""),
        ("--set seeds=[1", 2, 1, ""),
    ]


def test_a_file_extends_another(write):
    write(SMALL + "seeds: 5\ngenerations: 2\n", "base.yaml")
    path = write(
        "extends: base.yaml\n"
        "world: {use: donor_game, trace: 2}\n"
        "generations: null\n"
        "set: {groups.donors.count: 6, limits.calls: 9}\n"
    )
    scenario = load_scenario(path, ("groups.donors.policy.fraction=0.25",))
    assert scenario.world.params == {"trace": 2}  # replaced whole
    assert scenario.counts == {"donors": 6}
    assert scenario.seeds == 5
    assert scenario.generations == 1
    assert scenario.limits.calls == 9
    assert scenario.groups["donors"].policy.params == {"fraction": 0.25}


def test_problems_are_located_in_the_file_that_holds_them(write):
    base = write(SMALL.replace("rounds: 3", "roundz: 3"), "base.yaml")
    path = write("extends: base.yaml\nset: {groups.donors.count: x, seeds: [-1]}\n")
    found = problems(path)
    assert [(Path(p.file), p.line, p.column, p.path) for p in found] == [
        (base, 2, 26, "world.roundz"),
        (path, 2, 28, "groups.donors.count"),
        (path, 2, 39, "seeds.0"),
    ]


def test_a_circle_of_files_is_refused(write):
    write("extends: b.yaml\n", "a.yaml")
    found = problems(write("extends: a.yaml\n", "b.yaml"))
    assert "extends itself" in found[0].message


def test_a_long_chain_of_files_is_refused(write):
    write(SMALL, "f0.yaml")
    for index in range(1, 20):
        path = write(f"extends: f{index - 1}.yaml\n", f"f{index}.yaml")
    assert "files extend each other" in problems(path)[0].message


def test_shipped_scenarios_can_be_extended(write):
    path = write("extends: donor_game\nset: {generations: 2}\n")
    assert load_scenario(path).generations == 2


def test_what_decides_no_result_is_outside_the_hash(write):
    path = write(SMALL.replace("constant_donor, fraction: 0.5", "chat") + "backend: openai_http\n")
    first = load_scenario(path).hash
    same = (
        "limits.calls=5",
        "record.every=7",
        "backend.url=http://localhost:1/v1",
        "backend.api_key_env=OTHER",
        "backend.timeout_s=3",
        "backend.concurrency=2",
        "about=other",
        "sweep={conditions: {a: {}}}",
        "world.rounds=3.0",
        "generations=1",
        "graph=null",
    )
    for change in same:
        assert load_scenario(path, (change,)).hash == first, change
    others = (
        "backend.model=m",
        "world.rounds=4",
        "groups.donors.count=5",
        "seeds=2",
        "repro=fast",
        "framing.story=cooking",
    )
    hashes = {load_scenario(path, (change,)).hash for change in others}
    assert len(hashes) == len(others)
    assert first not in hashes


def test_the_order_of_groups_is_in_the_hash(write):
    one = "  a: {policy: constant_donor}\n"
    two = "  b: {policy: constant_donor}\n"
    head = "world: {use: donor_game}\ngroups:\n"
    first, second = load_scenario(write(head + one + two)), load_scenario(write(head + two + one))
    assert first.hash != second.hash


def test_the_default_backend_is_named_only_where_it_is_needed(write):
    text = SMALL.replace("constant_donor, fraction: 0.5", "chat")
    scenario = load_scenario(write(text))
    assert scenario.backend.use == ("local" if "local" in entries("backend") else "mock")
    assert load_scenario(write(SMALL)).backend is None
    named = write(text.replace("use: chat", "use: chat, backend: b") + "backends: {b: mock}\n")
    scenario = load_scenario(named)
    assert scenario.backend is None
    assert scenario.backend_component("b").use == "mock"
    (problem,) = problems(named, "groups.donors.policy.backend=c")
    assert problem.path == "groups.donors.policy.backend"


def test_the_resolved_scenario_is_the_same_scenario(tmp_path, write):
    (tmp_path / "rows.csv").write_text("age,job\n3,a\n4,b\n")
    text = SMALL + (
        "  readers: {table: rows.csv, attributes: {mood: {use: cycle, values: [x, y]}},"
        " policy: {use: chat, backend: left, sampling: {temperature: 0}}}\n"
        "backends: {left: {use: mock, seed: 3}}\n"
        "graph: {use: cycle, k: 2, rewire: {use: random, share: 0.5}}\n"
        "channels: {talk: {use: text, mode: silent}}\n"
        "interventions: {news: {at: {every: 2}, use: broadcast, text: 'on: off'}}\n"
        "surveys: {s: {at: [0, 2], who: readers, questions: [{id: a, ask: b?}]}}\n"
        "sweep: {conditions: {a: {world.rounds: null}}, nulls: [random]}\n"
        "seeds: [3, 1]\n"
    )
    scenario = load_scenario(write(text))
    written = tmp_path / "resolved.yaml"
    written.write_text(json.dumps(scenario.resolved()))
    again = load_resolved(written)
    assert again.hash == scenario.hash
    assert again.resolved() == scenario.resolved()
    assert again.name == "case"
    assert again.seed_list == (3, 1)


@pytest.mark.parametrize("path", sorted(WANTED.glob("*.yaml")), ids=lambda path: path.stem)
def test_wanted_files_fail_only_by_what_does_not_exist_yet(path):
    try:
        scenario = load_scenario(path)
    except ScenarioError as error:
        kinds = ("world", "policy", "learner", "backend", "transmission", "measure")
        later = tuple(f"unknown {kind} " for kind in kinds)
        features = ("bdi", "stream", "reflect_at", "plan")  # of language agents that learn more
        for problem in error.problems:
            assert (
                problem.message.startswith((*later, "there is no file"))
                or problem.path.endswith(("plan", "reflect_at"))
                or any(f"'{name}'" in problem.message for name in features)
            ), str(problem)
            assert problem.line > 1
    else:
        assert scenario.hash


def test_wanted_files_whose_components_exist_are_valid():
    for name in ("cooperation_on_networks", "donor_game", "payoff_graph_study", "two_models"):
        assert isinstance(load_scenario(WANTED / f"{name}.yaml"), Scenario)


def test_an_unknown_scenario_is_named_with_the_nearest():
    (problem,) = problems("donor_gaem")
    assert "did you mean 'donor_game'?" in problem.message
    (problem,) = problems("no/such/file.yaml")
    assert "there is no such file" in problem.message
    assert "donor_game" in shipped()


@pytest.mark.parametrize("text", ["", "3", "[a]", "# nothing"])
def test_a_file_that_is_no_map_is_refused(write, text):
    (problem,) = problems(write(text))
    assert "a scenario is a map" in problem.message


def test_world_and_groups_are_required_without_extends(write):
    found = problems(write("seeds: 3\n"))
    assert {(p.path, p.message) for p in found} == {
        ("world", "is required"),
        ("groups", "is required"),
    }


def test_errors_of_later_steps_are_located_too(write):
    path = write(SMALL)
    scenario = load_scenario(path, ("seeds=4",))
    with pytest.raises(ScenarioError, match=f"{path}:2:34: error: world.rounds: too many"):
        with scenario.locating("world.rounds"):
            raise ValueError("too many")
    with pytest.raises(ScenarioError, match="--set seeds=4:1:7: error: seeds: no"):
        with scenario.locating("seeds"):
            raise ValueError("no")


def test_importing_loads_nothing_heavy():
    script = (
        "import sys, society, society.scenario, society.cli, society.sweep, society.describe\n"
        "heavy = ['jax', 'flax', 'orbax', 'optax', 'transformers', 'torch', 'matplotlib']\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


_SMALL_PARTS = [*SMALL, *[f" {word} " for word in SMALL.split()], "\n  ", "\t", "&a ", "*a", "- "]


@given(
    st.lists(
        st.tuples(st.integers(0, len(SMALL)), st.integers(0, 4), st.sampled_from(_SMALL_PARTS)),
        min_size=1,
        max_size=3,
    )
)
def test_any_damage_to_a_file_is_harmless_or_located(tmp_path_factory, edits):
    text = SMALL
    for place, length, part in edits:
        text = text[:place] + part + text[place + length :]
    path = tmp_path_factory.mktemp("damaged") / "case.yaml"
    path.write_text(text)
    try:
        assert len(load_scenario(path).hash) == 64
    except ScenarioError as error:
        lines = text.count("\n") + 1
        assert all(1 <= p.line <= lines + 1 and p.column >= 1 for p in error.problems)


_words = st.sampled_from(
    ["world", "groups", "donors", "policy", "use", "count", "graph", "seeds", "limits", "calls"]
)
_values = st.sampled_from(
    ["3", "-1", "null", "x", "[1, 2]", "{use: cycle}", "{}", "1e-3", "'3'", "chat", "{a: {b: 1}}"]
)


@given(
    st.lists(
        st.tuples(st.lists(_words, min_size=1, max_size=4), _values).map(
            lambda pair: f"{'.'.join(pair[0])}={pair[1]}"
        ),
        max_size=3,
    )
)
def test_any_change_gives_a_scenario_or_located_problems(sets):
    try:
        scenario = load_scenario(WANTED / "donor_game.yaml", sets)
    except ScenarioError as error:
        assert error.problems
        for problem in error.problems:
            assert problem.line >= 1
            assert problem.column >= 1
            assert problem.message
    else:
        assert json.loads(json.dumps(scenario.resolved()))
        assert len(scenario.hash) == 64
