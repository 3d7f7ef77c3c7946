import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from society import cli
from society.components import PLURALS
from society.scenario import load_scenario, shipped

SMALL = """\
about: Donors who give half.
world: {use: donor_game, rounds: 2}
groups:
  donors: {count: 4, policy: {use: constant_donor, fraction: 0.5}}
generations: 2
selection: {use: truncation, keep: 0.5}
seeds: 2
"""


@pytest.fixture
def society(monkeypatch, capsys, tmp_path):
    """Calls the command line in this process: arguments -> (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", os.environ["JAX_COMPILATION_CACHE_DIR"])
    (tmp_path / "small.yaml").write_text(SMALL)
    (tmp_path / "bad.yaml").write_text(SMALL.replace("rounds", "roundz"))

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["society", *arguments])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        captured = capsys.readouterr()
        return caught.value.code, captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run of the small scenario, by the command line."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.yaml").write_text(SMALL)
    done = subprocess.run(
        [sys.executable, "-m", "society.cli", "run", "small.yaml", "--json"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    return summary | {"run_dir": str(folder / summary["run_dir"])}


def test_run_prints_one_object_with_the_promised_keys(finished):
    assert finished["status"] == "ok"
    assert finished["steps"] > 0
    assert re.fullmatch(r"[0-9a-f]{64}", finished["digest"])
    assert finished["measures"]["generosity"]["mean"] == pytest.approx(0.5)
    assert {"calls", "prompt_tokens", "completion_tokens", "faults", "fallbacks"} <= set(
        finished["llm"]
    )
    assert Path(finished["run_dir"]).is_dir()


def test_replay_and_resume_print_the_same_digest(society, finished):
    for command in ("replay", "resume"):
        code, out, _ = society(command, finished["run_dir"], "--json", "--quiet")
        again = json.loads(out)
        assert code == 0
        assert again["digest"] == finished["digest"]
        assert again["measures"] == finished["measures"]


def test_run_shows_a_table_and_what_to_do_next(society, tmp_path):
    code, out, err = society("run", "small.yaml", "--out", "there", "--set", "seeds=[3, 4]")
    assert code == 0
    assert "generosity" in out
    assert "0.5" in out
    (folder,) = (tmp_path / "there").iterdir()
    assert f"society replay {folder}" in out or f"society replay there/{folder.name}" in out
    assert "running" in err
    assert "2 seeds" in out
    assert "society run small.yaml --set seeds=10" in out


def test_quiet_runs_print_one_line(society):
    code, out, err = society("run", "small.yaml", "--quiet")
    assert code == 0
    assert re.fullmatch(r"ok \S+\n", out)
    assert err == ""


@pytest.mark.parametrize("command", ["run", "validate"])
def test_bad_input_is_located_and_exits_with_2(society, command):
    code, out, err = society(command, "bad.yaml")
    assert (code, out) == (2, "")
    assert err == ("bad.yaml:2:26: error: world.roundz: unknown key; did you mean 'rounds'?\n")
    code, out, err = society(command, "bad.yaml", "--json")
    found = json.loads(out)
    assert (code, err) == (2, "")
    assert found["status"] == "invalid"
    assert found["errors"] == [
        {
            "file": "bad.yaml",
            "line": 2,
            "column": 26,
            "path": "world.roundz",
            "message": "unknown key; did you mean 'rounds'?",
        }
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ("run",),
        ("run", "nothing_of_that_name"),
        ("run", "small.yaml", "--set", "x"),
        ("run", "small.yaml", "--seed", "x"),
        ("run", "small.yaml", "--seed", "-1"),
        ("run", "small.yaml", "--colour"),
        ("fly",),
        ("list", "worldz"),
        ("show", "nothing_of_that_name"),
        ("new", "a/b"),
        ("resume", "nowhere"),
        ("replay", "small.yaml"),
    ],
)
def test_wrong_arguments_exit_with_2_in_both_languages(society, arguments):
    code, out, err = society(*arguments)
    assert code == 2
    assert out == ""
    assert err
    assert "Traceback" not in err
    code, out, err = society(*arguments, "--json")
    assert code == 2
    assert json.loads(out)["status"] == "invalid"
    assert json.loads(out)["errors"][0]["message"]


def test_misfits_are_located_too(society):
    code, _, err = society("validate", "small.yaml", "--set", "selection.fitness=beauty")
    assert code == 2
    assert err.startswith("--set selection.fitness=beauty:1:19: error: selection.fitness: ")


def test_a_limit_exits_with_3_and_can_be_resumed(society, tmp_path):
    arguments = (
        *("run", "small.yaml", "--json", "--quiet", "--set", "groups.donors.policy=chat"),
        *("--set", "backend=mock", "--set", "seeds=1", "--set", "limits.calls=5"),
    )
    code, out, _ = society(*arguments)
    found = json.loads(out)
    assert (code, found["status"]) == (3, "limit")
    code, out, _ = society("resume", found["run_dir"], "--json", "--set", "limits.calls=1000")
    assert (code, json.loads(out)["status"]) == (0, "ok")


def test_a_crash_exits_with_1_and_keeps_its_trace(society, monkeypatch):
    def crash(*_):
        raise RuntimeError("the engine is on fire")

    monkeypatch.setattr("society.run.run_scenario", crash)
    code, out, err = society("run", "small.yaml", "--json")
    assert code == 1
    assert json.loads(out)["errors"][0]["message"] == "the engine is on fire"
    assert "Traceback" in err


def test_numbers_that_json_does_not_have_are_null(society, monkeypatch):
    summary = {"status": "ok", "run_dir": "x", "measures": {"a": [1.5, float("nan")]}}
    monkeypatch.setattr("society.run.run_scenario", lambda *_: summary)
    code, out, _ = society("run", "small.yaml", "--json", "--quiet")
    assert code == 0
    assert json.loads(out)["measures"] == {"a": [1.5, None]}
    assert "NaN" not in out


def test_secrets_are_never_shown(society, monkeypatch):
    monkeypatch.setenv("CANARY_API_KEY", "canary-of-the-environment")
    arguments = (
        *("run", "small.yaml", "--set", "backend={use: openai_http, url: 3}"),
        *("--set", "backend.url=['http://me:canary-of-the-url@host/v1', 3]"),
        *("--set", "backend.api_key=canary-of-the-key"),
        *("--set", "world.rounds=canary-of-the-environment"),
    )
    for extra in ((), ("--json",)):
        code, out, err = society(*arguments, *extra)
        assert code == 2
        assert "backend.url" in out + err
        assert "canary-of" not in out + err


def test_list_has_every_kind(society):
    code, out, _ = society("list", "--json")
    found = json.loads(out)
    assert code == 0
    assert {
        *("worlds", "policies", "learners", "backends", "graphs", "selections"),
        *("transmissions", "measures", "scenarios"),
    } <= set(found)
    assert set(found) == {*PLURALS.values(), "scenarios"}
    for members in found.values():
        assert all(set(member) == {"name", "description"} for member in members)
        assert all(member["description"] for member in members)
    assert "donor_game" in [member["name"] for member in found["worlds"]]
    assert {member["name"] for member in found["scenarios"]} == set(shipped())


def test_list_takes_a_kind_in_both_numbers(society):
    for kind in ("graph", "graphs"):
        _, out, _ = society("list", kind, "--json")
        assert list(json.loads(out)) == ["graphs"]
    _, out, _ = society("list", "graphs")
    assert "watts_strogatz" in out
    _, out, _ = society("list", "--schema")
    assert json.loads(out)["title"] == "society scenario"


def test_show_explains_a_component(society):
    _, out, _ = society("show", "constant_donor", "--json")
    found = json.loads(out)
    assert found["kind"] == "policy"
    (fraction,) = (p for p in found["parameters"] if p["name"] == "fraction")
    assert fraction["type"] == "number"
    assert ">= 0" in fraction["limits"]
    assert fraction["help"]
    code, out, _ = society("show", "watts_strogatz")
    assert code == 0
    assert "number" in out
    assert "Watts" in out


def test_show_tells_homonyms_apart(society):
    _, out, _ = society("show", "donor_game", "--json")
    scenario = json.loads(out)
    assert scenario["kind"] == "scenario"
    assert scenario["about"]
    assert "world.donor_game" in scenario["see_also"]
    _, out, _ = society("show", "world.donor_game", "--json")
    assert json.loads(out)["kind"] == "world"
    _, out, _ = society("show", "small.yaml", "--json")
    assert json.loads(out)["about"] == "Donors who give half."


def test_validate_lists_the_conditions(society):
    changes = "sweep={conditions: {a: {}, b: {world.rounds: 3}}}"
    code, out, _ = society("validate", "small.yaml", "--json", "--set", changes)
    found = json.loads(out)
    assert code == 0
    assert found["status"] == "ok"
    assert found["conditions"] == {"a": {}, "b": {"world.rounds": 3}}
    assert found["runs"] == 4
    assert found["hash"] == load_scenario("small.yaml", (changes,)).hash
    code, out, _ = society("validate", "small.yaml", "--set", changes)
    assert "world.rounds=3" in out


@pytest.mark.slow
def test_a_new_scenario_runs(society):
    society("new", "mine")
    assert society("run", "mine.yaml", "--quiet")[0] == 0


def test_a_new_scenario_is_valid_and_never_written_over(society, tmp_path):
    code, out, _ = society("new", "mine", "--out", "fresh")
    path = tmp_path / "fresh" / "mine.yaml"
    assert code == 0
    assert "society run" in out
    assert society("validate", str(path))[0] == 0
    before = path.read_text()
    code, _, err = society("new", "mine", "--out", "fresh")
    assert code == 2
    assert "exists" in err
    assert path.read_text() == before


def test_the_commands_in_a_new_scenario_work(society, tmp_path):
    society("new", "mine")
    text = (tmp_path / "mine.yaml").read_text()
    command = text.partition("from the command line:\n")[2].partition("\n\n")[0]
    words = command.replace("#", "").replace("\\", "").split()
    assert words[:2] == ["society", "run"]
    assert society("validate", *words[2:])[0] == 0


def test_doctor_examines_this_machine(society):
    code, out, _ = society("doctor", "--json")
    found = json.loads(out)
    assert code == 0
    names = [check["name"] for check in found["checks"]]
    assert {"python", "jax", "disk", "cache"} <= set(names)
    code, out, _ = society("doctor")
    assert "python" in out


def test_help_loads_nothing_heavy():
    """What it costs in seconds is measured by ``benchmarks/startup.py``."""
    script = (
        "import sys; sys.argv = ['society', '--help']\n"
        "from society.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'jax', 'numpy', 'pydantic', 'yaml', 'flax', 'transformers'} & set(sys.modules)\n"
        "sys.stderr.write(' '.join(sorted(heavy)) + f'|{len(sys.modules)}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert "validate" in done.stdout
    heavy, modules = done.stderr.split("|")
    assert heavy == ""
    assert int(modules) < 600


def test_progress_lines_say_where_a_run_is(capsys, monkeypatch):
    from rich.console import Console

    from society.progress import make_progress

    console = Console(stderr=True, width=200)
    assert make_progress(console, quiet=True) is None
    lines = make_progress(console)
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    lines.begin(1000, 4)
    now[0] = 10.0
    lines.advance({"step": 250, "generation": 1, "calls": 7, "tokens": 1234, "faults": 2})
    lines.advance({"step": 251, "generation": 1, "calls": 7, "tokens": 1234, "faults": 2})
    now[0] = 20.0
    lines.advance({"step": 500, "generation": 2, "calls": 9, "tokens": 2000, "faults": 2})
    lines.end("ok")
    said = capsys.readouterr().err
    assert "25%  step 250/1,000 · generation 2/4 · 7 calls, 1,234 tokens · 2 faults\n" in said
    assert "50%  step 500/1,000" in said
    assert "20.0 s left" in said  # the ten seconds before the first steps were compilation
    assert "251" not in said
    assert "ok after 20.0 s" in said


def test_progress_on_a_terminal_is_one_line():
    import io

    from rich.console import Console

    from society.progress import make_progress

    text = io.StringIO()
    live = make_progress(Console(file=text, force_terminal=True, width=120))
    live.begin(10, 2)
    live.advance({"step": 5, "generation": 0, "calls": 3, "tokens": 9, "faults": 0})
    live.end("ok")
    assert "step 5/10 · generation 1/2 · 3 calls, 9 tokens" in text.getvalue()
