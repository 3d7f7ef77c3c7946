"""Trackers and events are told what the journal holds, and change nothing."""

import json
import re
import sys
from pathlib import Path

import pytest

from society import cli
from society.track import TRACKERS, TrackError, follow

SCENARIO = """\
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
    monkeypatch.chdir(tmp_path)
    (tmp_path / "half.yaml").write_text(SCENARIO)

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["society", *words])
        with pytest.raises(SystemExit) as caught:
            cli.main()
        return caught.value.code, capsys.readouterr().out

    return call


def test_events_are_lines_and_say_what_the_summary_says(society):
    code, out = society("run", "half.yaml", "--json-events")
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["begin", "end"]
    summary = json.loads((Path(events[0]["run_dir"]) / "summary.json").read_text())
    assert events[-1]["digest"] == summary["digest"]
    assert events[-1]["measures"]["generosity"] == summary["measures"]["generosity"]["mean"]
    metrics = [event for event in events if event["event"] == "metrics"]
    assert len(metrics) == 2 * summary["steps"]  # two seeds
    assert all(event["values"]["donated_fraction/seed0"] == 0.5 for event in metrics[:2])


def test_tensorboard_reads_what_was_written(society):
    pytest.importorskip("tensorboardX")
    code, out = society("run", "half.yaml", "--track", "tensorboard", "--json", "--quiet")
    assert code == 0
    files = list((Path(json.loads(out)["run_dir"]) / "tensorboard").iterdir())
    assert len(files) == 1
    written = files[0].read_bytes()
    assert b"donated_fraction/seed1" in written and b"summary/generosity" in written


def test_unknown_trackers_and_missing_packages_are_explained(society, monkeypatch):
    with pytest.raises(TrackError, match="did you mean 'wandb'"):
        follow(["wand"])
    for name, package in (("wandb", "wandb"), ("mlflow", "mlflow")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(TrackError, match="pip install"):
            TRACKERS[name]()
    code, out = society("run", "half.yaml", "--track", "nobody", "--json")
    assert code == 2
    assert "tracker" in json.loads(out)["errors"][0]["message"]


class Wandb:
    """What wandb documents of the functions that are called: docs.wandb.ai/ref/python."""

    def __init__(self):
        self.calls = []
        self.run = type("Run", (), {"summary": {}})()

    def init(self, *, project: str, name: str, dir: str, config: dict):
        self.calls.append(("init", project, name, dir, config))

    def log(self, data: dict, step: int | None = None, commit: bool | None = None):
        assert step is None  # wandb drops rows whose step goes back, and seeds follow one another
        assert all(isinstance(value, int | float) for value in data.values())
        self.calls.append(("log", data))

    def finish(self, exit_code: int | None = None):
        self.calls.append(("finish", exit_code))


class Mlflow:
    """What mlflow documents of the functions that are called: mlflow.org, Python API."""

    def __init__(self):
        self.calls = []

    def set_experiment(self, experiment_name: str):
        self.calls.append(("set_experiment", experiment_name))

    def start_run(self, run_id: str | None = None, *, run_name: str | None = None):
        self.calls.append(("start_run", run_name))

    def log_dict(self, dictionary: dict, artifact_file: str):
        json.dumps(dictionary)
        self.calls.append(("log_dict", dictionary, artifact_file))

    def log_metrics(self, metrics: dict, step: int | None = None):
        assert all(re.fullmatch(r"[\w. /-]+", name) for name in metrics)  # what mlflow accepts
        self.calls.append(("log_metrics", metrics, step))

    def end_run(self, status: str = "FINISHED"):
        assert status in ("FINISHED", "FAILED", "KILLED")
        self.calls.append(("end_run", status))


def test_services_are_told_through_their_own_functions(society, monkeypatch):
    wandb, mlflow = Wandb(), Mlflow()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    monkeypatch.setenv("WANDB_PROJECT", "donors")
    code, out = society(
        "run", "half.yaml", "--track", "wandb", "--track", "mlflow", "--json", "--quiet"
    )
    assert code == 0
    summary = json.loads(out)
    folder = Path(summary["run_dir"])
    mean = summary["measures"]["generosity"]["mean"]

    assert wandb.calls[0][:3] == ("init", "donors", folder.name)
    assert wandb.calls[0][4]["world"]["use"] == "donor_game"
    rows = [data for name, *rest in wandb.calls if name == "log" for data in rest]
    assert len(rows) == 2 * summary["steps"]  # two seeds
    assert rows[0]["step"] == 0 and rows[0]["donated_fraction/seed0"] == 0.5
    assert wandb.run.summary["generosity"] == mean and wandb.calls[-1] == ("finish", 0)

    assert [call[0] for call in mlflow.calls[:3]] == ["set_experiment", "start_run", "log_dict"]
    assert mlflow.calls[0][1] == "half" and mlflow.calls[1][1] == folder.name
    assert mlflow.calls[3] == ("log_metrics", {**mlflow.calls[3][1]}, 0)
    assert mlflow.calls[-2][1]["summary/generosity"] == mean
    assert mlflow.calls[-1] == ("end_run", "FINISHED")


def test_a_run_that_failed_is_marked_so(monkeypatch, tmp_path):
    wandb, mlflow = Wandb(), Mlflow()
    monkeypatch.setitem(sys.modules, "wandb", wandb)
    monkeypatch.setitem(sys.modules, "mlflow", mlflow)
    for name in ("wandb", "mlflow"):
        tracker = TRACKERS[name]()
        tracker.begin("half", tmp_path, {"world": {"use": "donor_game"}})
        tracker.log(3, {"x[0]/seed0": 1.0})
        tracker.end({"status": "stopped", "measures": {"x": {"mean": 2.0}}})
    assert wandb.calls[-1] == ("finish", 1)
    assert mlflow.calls[-3:] == [
        ("log_metrics", {"x_0_/seed0": 1.0}, 3),
        ("log_metrics", {"summary/x": 2.0}, None),
        ("end_run", "FAILED"),
    ]
