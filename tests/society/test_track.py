"""Trackers and events are told what the journal holds, and change nothing."""

import json
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


def test_services_are_told_through_their_own_names(monkeypatch, tmp_path):
    """A stand-in records the calls that wandb and mlflow get."""
    calls = []

    class Service:
        run = type("run", (), {"summary": {}})()

        def __getattr__(self, name):
            return lambda *args, **named: calls.append((name, args, named))

    for name in ("wandb", "mlflow"):
        monkeypatch.setitem(sys.modules, name, Service())
        tracker = TRACKERS[name]()
        tracker.begin("half", tmp_path, {"world": {"use": "donor_game"}})
        tracker.log(3, {"x[0]/seed0": 1.0})
        tracker.end({"status": "ok", "measures": {"x": {"mean": 2.0}}})
    names = [name for name, _, _ in calls]
    assert names == [
        "init", "log", "finish",
        "set_experiment", "start_run", "log_dict", "log_metrics", "log_metrics", "end_run",
    ]  # fmt: skip
    assert calls[1][1][0] == {"step": 3, "x[0]/seed0": 1.0}
    assert calls[6][1][0] == {"x_0_/seed0": 1.0}
    assert Service.run.summary == {"x": 2.0}
