"""Studies: which runs there are, who makes them, and what happens when somebody dies."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import society
from society import cli
from society.recorder import RunLockedError
from society.scenario import load_scenario
from society.study.executors import EXECUTORS, ExecutorError, Settings, usable_cores
from society.study.plan import StudyFolder, jobs_of, plan
from society.study.read import read_results
from society.study.runner import run_study

ROOT = Path(society.__file__).parents[1]
SCENARIO = """\
about: Who gives, gets less.
world: {use: donor_game, rounds: 2}
groups:
  donors: {count: 4, policy: {use: constant_donor, fraction: 0.5}}
generations: 2
selection: {use: truncation, keep: 0.5}
seeds: 2
sweep:
  conditions:
    meek: {}
    mean: {groups.donors.policy.fraction: 0.1}
  factors:
    world.multiplier: [2.0, 3.0]
"""
ONE_LEVEL = "sweep.factors={world.multiplier: null}"
# Nothing is called so in this world: this is found when a run is composed.
BROKEN = {"selection.fitness": "beauty"}


@pytest.fixture
def scenario(tmp_path):
    path = tmp_path / "giving.yaml"
    path.write_text(SCENARIO)
    return lambda *sets: load_scenario(path, sets)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished study, its scenario, and what running it said."""
    folder = tmp_path_factory.mktemp("study")
    (folder / "giving.yaml").write_text(SCENARIO)
    loaded = load_scenario(folder / "giving.yaml")
    return loaded, folder, run_study(loaded, folder, workers=1)


def test_a_study_makes_every_cell_once(finished):
    _, _, result = finished
    assert result["status"] == "ok"
    assert (result["cells"], result["runs"], result["reused"]) == (4, 4, 0)
    results = read_results([result["study_dir"]])
    found = {cell.name: cell for cell in results.cells}
    assert set(found) == {
        f"{condition}/world.multiplier={level}"
        for condition in ("meek", "mean")
        for level in ("2.0", "3.0")
    }
    giving = found["mean/world.multiplier=2.0"].defined("generosity")
    assert giving == {0: pytest.approx(0.1), 1: pytest.approx(0.1)}


def test_what_is_finished_is_not_repeated_and_new_seeds_cost_only_themselves(finished):
    loaded, out, result = finished
    runs = sorted((Path(result["study_dir"]) / "runs").glob("*/summary.json"))
    before = [path.stat().st_mtime_ns for path in runs]
    again = run_study(loaded, out, workers=1)
    assert (again["runs"], again["reused"]) == (0, 4)
    assert [path.stat().st_mtime_ns for path in runs] == before
    more = load_scenario(out / "giving.yaml", ["seeds=3"])
    jobs, complete = jobs_of(StudyFolder(Path(result["study_dir"])), plan(more))
    assert complete == 0
    assert {job.seeds for job in jobs} == {(2,)}


def test_only_what_decides_a_result_makes_another_run(scenario):
    first, second = plan(scenario()), plan(scenario("limits.wall_s=100", "record.every=2"))
    assert [one.hash for one in first] == [one.hash for one in second]
    assert first[0].hash != plan(scenario("world.rounds=3"))[0].hash
    assert len({one.hash for one in first}) == 4


def test_fractions_are_arguments_of_one_program_but_counts_are_not(scenario):
    assert len({one.structure for one in plan(scenario())}) == 1
    longer = plan(scenario("sweep.factors={world.rounds: [2, 4]}"))
    assert len({one.structure for one in longer}) == 2


def test_equal_cells_share_their_run(tmp_path, scenario):
    loaded = scenario("sweep.conditions={same: {world.rounds: 2}, mean: null}", ONE_LEVEL)
    folder = StudyFolder.create(tmp_path, "twice")
    jobs, _ = jobs_of(folder, plan(loaded))
    assert len(plan(loaded)) == 2
    assert len(jobs) == 1


def test_an_aa_pair_has_other_seeds_whatever_the_command_line_says(scenario):
    loaded = scenario("sweep.robustness=[again]", ONE_LEVEL, "seeds=3")
    seeds = {one.cell.condition: one.seeds for one in plan(loaded)}
    assert seeds["meek"] == (0, 1, 2)
    assert seeds["robust_again"] == (3, 4, 5)


def test_one_run_that_fails_does_not_stop_the_others_and_is_tried_again(tmp_path, scenario):
    broken = f"sweep.conditions.mean={json.dumps(BROKEN)}"
    for _ in range(2):
        result = run_study(scenario(ONE_LEVEL, broken), tmp_path, workers=1)
        assert result["status"] == "failed"
        assert [failure["cell"] for failure in result["failed"]] == ["mean"]
        assert "beauty" in result["failed"][0]["message"]
    assert result["runs"] == 1  # the whole one was not repeated
    folder = StudyFolder.open(result["study_dir"])
    assert list(folder.failures()) == [result["failed"][0]["name"]]
    mended = scenario(ONE_LEVEL, broken.replace("beauty", "resources"))
    assert run_study(mended, tmp_path, workers=1)["status"] == "ok"


def test_a_worker_that_dies_is_replaced_and_its_run_goes_on(tmp_path, scenario, monkeypatch):
    loaded = scenario(ONE_LEVEL, "sweep.conditions={mean: null}")
    monkeypatch.setenv("SOCIETY_KILL_AT", "journal.after_commit")
    result = run_study(loaded, tmp_path, workers=1, retries=1)
    assert result["failed"][0]["message"].startswith("its process died (signal 9")
    (begun,) = (Path(result["study_dir"]) / "runs").iterdir()
    made = (begun / "manifest.json").stat().st_mtime_ns
    monkeypatch.delenv("SOCIETY_KILL_AT")
    again = run_study(loaded, tmp_path, workers=1)
    assert again["status"] == "ok"
    assert (begun / "manifest.json").stat().st_mtime_ns == made  # resumed, not begun anew
    assert not StudyFolder(Path(result["study_dir"])).failures()


def test_two_processes_do_not_work_on_one_study(tmp_path, scenario):
    folder = StudyFolder.create(tmp_path, "giving")
    with folder.lock(), pytest.raises(RunLockedError, match="in use by process"):
        run_study(scenario(), tmp_path)


def test_unknown_executors_and_missing_packages_are_explained(tmp_path, scenario, monkeypatch):
    with pytest.raises(ExecutorError, match="did you mean 'local'"):
        run_study(scenario(), tmp_path, executor="locl")
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.setitem(sys.modules, "submitit", None)
    for name in ("ray", "submitit"):
        with pytest.raises(ExecutorError, match="pip install"):
            next(EXECUTORS[name]([], Settings()))


def test_a_pool_uses_no_more_cores_than_it_may():
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)


def test_the_command_line_makes_a_study_and_compares_it(finished, monkeypatch, capsys):
    _, out, _ = finished
    monkeypatch.chdir(out)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["society", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return caught.value.code, capsys.readouterr().out

    code, shown = call("sweep", "giving.yaml", "--out", ".", "--json", "--quiet", "--no-report")
    assert code == 0
    assert json.loads(shown)["reused"] == 4
    code, shown = call("sweep", "giving.yaml", "--out", ".", "--json-events", "--no-report")
    events = [json.loads(line) for line in shown.splitlines()]
    assert [event["event"] for event in events] == ["begin", "end"]
    assert (events[0]["complete"], events[1]["status"]) == (4, "ok")
    code, shown = call("compare", "giving", "--measure", "resources")
    assert code == 0
    assert "meek" in shown and "multiplier 3.0 - 2.0" in shown
    code, shown = call("sweep", "giving.yaml", "--option", "x", "--json")
    assert code == 2
    assert "--option" in json.loads(shown)["errors"][0]["message"]


@pytest.mark.slow
def test_a_study_that_is_killed_finishes_without_repeating_a_run(tmp_path):
    """SIGKILL for the whole process after the first runs; then the same command again."""
    (tmp_path / "long.yaml").write_text(
        SCENARIO.replace("[2.0, 3.0]", "[2.0, 3.0, 4.0, 5.0]").replace("rounds: 2", "rounds: 6")
    )
    words = [sys.executable, "-m", "society.cli", "sweep", "long.yaml", "--workers", "2", "--json"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    first = subprocess.Popen(
        words, cwd=tmp_path, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    runs = tmp_path / "studies" / "long" / "runs"
    while not list(runs.glob("*/summary.json")):
        assert first.poll() is None
        time.sleep(0.02)
    first.send_signal(signal.SIGKILL)
    first.wait()
    time.sleep(1)  # workers notice that their study is gone
    done = {path: path.stat().st_mtime_ns for path in runs.glob("*/summary.json")}
    assert 0 < len(done) < 8
    second = subprocess.run(
        words, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert second.returncode == 0, second.stderr
    result = json.loads(second.stdout)
    assert (result["cells"], result["reused"], result["runs"]) == (8, len(done), 8 - len(done))
    assert {path: path.stat().st_mtime_ns for path in done} == done


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_ray_tries_the_run_of_a_killed_worker_again(tmp_path):
    ray = pytest.importorskip("ray")
    scenario = tmp_path / "long.yaml"
    scenario.write_text(
        SCENARIO.replace("generations: 2", "generations: 40000").replace("[2.0, 3.0]", "[2.0]")
    )
    words = [sys.executable, "-m", "society.cli", "sweep", str(scenario), "--executor", "ray"]
    words += ["--workers", "2", "--json", "--no-report"]
    study = subprocess.Popen(
        words,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    runs = tmp_path / "studies" / "long" / "runs"
    lock, holder = None, None
    while holder is None:
        assert study.poll() is None, study.communicate()
        for lock in runs.glob("*/lock"):
            text = lock.read_text()
            holder = json.loads(text)["pid"] if text.endswith("}") else None
        time.sleep(0.05)
    os.kill(holder, signal.SIGKILL)
    out, err = study.communicate(timeout=280)
    assert study.returncode == 0, err
    assert out.startswith("{"), (out, err)
    result = json.loads(out)
    assert result["status"] == "ok" and result["runs"] == 2
    assert json.loads(lock.read_text())["pid"] != holder  # somebody else finished it
    assert ray.__version__


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_submitit_runs_jobs_on_this_machine_where_there_is_no_cluster(tmp_path, scenario):
    pytest.importorskip("submitit")
    result = run_study(
        scenario(ONE_LEVEL), tmp_path, executor="submitit", options={"cluster": "local"}
    )
    assert result["status"] == "ok" and result["runs"] == 2
