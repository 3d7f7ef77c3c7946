"""A run that is killed anywhere and resumed ends as if nothing had happened.

The runs are real: the command line in processes of its own, killed by SIGKILL.
"""

import os
import random
import shutil
import signal
from pathlib import Path

import pytest
from killing import (
    finish,
    journalled,
    kill_at_each,
    only_folder,
    replay,
    society,
    without_times,
)

from society.checkpoint import checkpoints
from society.durable import KILLPOINTS
from society.recorder import RunFolder

SCENARIO = (
    "donor_game",
    *("--set", "generations=2", "--set", "seeds=2"),
    *("--set", "world.rounds=3", "--set", "groups.donors.count=4"),
    *("--set", "backend.malformed_rate=0.4", "--set", "backend.error_rate=0.05"),
    *("--set", "limits.max_fallback_rate=1"),
)
PASSED_ONCE = [(point, 1) for point in KILLPOINTS]
PASSED_OFTEN = [(point, 5) for point in KILLPOINTS if point.startswith(("journal", "checkpoint"))]
KILLS = int(os.environ.get("SOCIETY_TEST_KILLS", "30"))


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """The run that nobody interrupts."""
    tmp_path = tmp_path_factory.mktemp("straight")
    attempt = society(tmp_path, "run", *SCENARIO, "--out", tmp_path / "runs", once="asking")
    assert attempt.code == 0, attempt.errors
    assert attempt.summary["llm"]["fallbacks"] > 0, "there should be something to go wrong"
    assert attempt.summary["llm"]["calls"] == len(attempt.asked) == len(set(attempt.asked))
    return attempt


def test_a_run_killed_at_one_write_after_another_ends_the_same(tmp_path, straight):
    points = (
        "journal.after_commit:6",
        "journal.before_commit:4",
        "checkpoint.half_written:3",
        "checkpoint.after_rename:2",
        "summary.before_rename",
    )
    folder, known = kill_at_each(tmp_path, SCENARIO, points)
    newest = checkpoints(folder / "checkpoints")[-1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    finish(tmp_path, folder, straight.summary, known)


def test_a_finished_run_replays_offline_and_asks_nobody(tmp_path, straight):
    attempt = replay(tmp_path, Path(straight.summary["run_dir"]))
    assert attempt.summary["digest"] == straight.summary["digest"]
    assert attempt.summary["llm"] == straight.summary["llm"]


def test_changed_code_is_named_by_step_and_agent(tmp_path, straight):
    folder = Path(straight.summary["run_dir"])
    attempt = society(tmp_path, "replay", folder, SOCIETY_TEST_CHANGE="1")
    assert attempt.code == 1
    message = attempt.summary["errors"][0]["message"]
    assert "step 2" in message
    assert "agent" in message
    assert "request" in message


def test_two_processes_cannot_work_in_one_folder(tmp_path, straight):
    folder = Path(straight.summary["run_dir"])
    with RunFolder.open(folder).lock():
        attempt = society(tmp_path, "resume", folder)
    assert attempt.code == 1
    assert f"in use by process {os.getpid()} on" in attempt.summary["errors"][0]["message"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_runs_killed_at_random_moments_end_the_same(tmp_path, straight):
    rng = random.Random(2024)
    out, kills, cut = tmp_path / "runs", 0, 0
    while kills < KILLS:
        once = rng.choice(["ready", "asking", "asking", "asking"])
        moment = rng.uniform(0, straight.asking_s if once == "asking" else straight.seconds)
        killed = society(tmp_path, "run", *SCENARIO, "--out", out, kill_after_s=moment, once=once)
        kills += killed.code != 0
        found = (
            [path for path in out.iterdir() if not path.name.startswith(".")]
            if out.exists()
            else []
        )
        for folder in found:
            if killed.code == 0:
                shutil.rmtree(folder)
                continue
            known = journalled(folder)
            cut += 0 < len(known) < straight.summary["llm"]["calls"]
            finish(tmp_path, folder, straight.summary, known)
            folder.rename(tmp_path / f"done-{kills}")
    assert cut >= KILLS // 4, "many kills should fall between the first and the last answer"


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(("point", "passing"), [*PASSED_ONCE, *PASSED_OFTEN])
def test_a_run_killed_at_any_write_point_ends_the_same(tmp_path, straight, point, passing):
    out = tmp_path / "runs"
    killed = society(tmp_path, "run", *SCENARIO, "--out", out, kill_at=f"{point}:{passing}")
    assert killed.code == -signal.SIGKILL, killed.errors
    if point == "folder.before_rename":
        assert all(path.name.startswith(".") for path in out.iterdir())
        return
    folder = only_folder(out)
    finish(tmp_path, folder, straight.summary, journalled(folder))
    replayed = replay(tmp_path, folder)
    assert replayed.summary["digest"] == straight.summary["digest"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_of_arrays_alone_is_as_durable(tmp_path):
    scenario = (
        *("donor_game", "--set", "groups.donors.policy=constant_donor"),
        *("--set", "generations=20", "--set", "seeds=2"),
    )
    straight = society(tmp_path, "run", *scenario, "--out", tmp_path / "straight")
    assert straight.code == 0, straight.errors
    points = ["journal.after_commit:2", "checkpoint.half_written:2", "checkpoint.after_prune:1"]
    folder, _ = kill_at_each(tmp_path, scenario, points)
    for _ in range(2):  # the second time it is finished already
        finish(tmp_path, folder, straight.summary, {})
    replayed = replay(tmp_path, folder)
    assert without_times(replayed.summary) == without_times(straight.summary)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_run_that_learns_is_as_durable(tmp_path):
    """Networks, optimisers and half-made trajectories: killed between and within updates."""
    learner = "{use: ippo, rollout: 8, epochs: 2, minibatches: 2, lr: 0.01}"
    scenario = (
        *("ippo_pd", "--set", "steps=60", "--set", "num_envs=2", "--set", "seeds=2"),
        *("--set", "groups.players.policy={use: gru, width: 4, sees: [own_last, other_last]}"),
        *("--set", f"groups.players.learner={learner}"),
    )
    straight = society(tmp_path, "run", *scenario, "--out", tmp_path / "straight")
    assert straight.code == 0, straight.errors
    points = ["checkpoint.after_rename:1", "checkpoint.half_written:2", "journal.after_commit:2"]
    folder, _ = kill_at_each(tmp_path, scenario, points)
    assert not (folder / "policies").exists() or not list((folder / "policies").iterdir())
    finish(tmp_path, folder, straight.summary, {})
    weights = {
        path.name: path.read_bytes()
        for path in (Path(straight.summary["run_dir"]) / "policies").iterdir()
    }
    assert weights == {path.name: path.read_bytes() for path in (folder / "policies").iterdir()}
