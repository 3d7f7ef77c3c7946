"""A run that is killed anywhere and resumed ends as if nothing had happened.

The runs are real: the command line in processes of its own, killed by SIGKILL.
"""

import dataclasses
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from society.checkpoint import checkpoints
from society.durable import KILLPOINTS
from society.recorder import RunFolder

DRIVER = Path(__file__).with_name("interruptible.py")
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


@dataclasses.dataclass
class Attempt:
    """One process: its exit code, what it printed, and what it asked.

    seconds: from the moment it was ready to its end; asking_s: from its first question
      (where that was waited for).
    """

    code: int
    summary: dict
    seconds: float
    asking_s: float
    asked: list[str]
    errors: str


def society(tmp_path, *arguments, kill_at="", kill_after_s=None, once="ready", **variables):
    """Run the command line, to its end or until it is killed.

    Args:
      kill_after_s: seconds after it is ready, or (once="asking") after its first question.
    """
    log, shown = tmp_path / "asked.log", tmp_path / "errors.txt"
    log.write_bytes(b"")
    environment = {**os.environ, "SOCIETY_KILL_AT": kill_at, **variables}
    with shown.open("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, DRIVER, log, *map(str, arguments), "--json", "--quiet"],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        ready = wait_for(shown, process)
        asking = wait_for(log, process) if once == "asking" else ready
        if kill_after_s is not None:
            try:
                process.wait(max(0.0, asking + kill_after_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        output, _ = process.communicate()
        ended = time.monotonic()
        errors.seek(0)
        return Attempt(
            process.returncode,
            json.loads(output) if output else {},
            ended - ready,
            ended - asking,
            log.read_text().split(),
            errors.read(),
        )


def wait_for(path, process):
    """Wait until something is in a file, or the process has ended; returns the time."""
    while process.poll() is None and not path.stat().st_size:
        time.sleep(0.005)
    return time.monotonic()


def journalled(folder):
    """Hashes of the requests whose answers are in a journal, with how each call went."""
    path = folder / "journal.sqlite"
    if not path.exists():
        return {}
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        rows = database.execute("SELECT request_hash, * FROM calls").fetchall()
    except sqlite3.OperationalError:  # killed before its tables were made
        rows = []
    database.close()
    return {row[0]: row[1:] for row in rows}


def finish(tmp_path, folder, expected, known):
    """Resume to the end; nothing journalled is asked again or written otherwise."""
    attempt = society(tmp_path, "resume", folder)
    assert attempt.code == 0, attempt.errors
    check_asked(folder, attempt, known)
    assert without_times(attempt.summary) == without_times(expected.summary)
    return attempt


def check_asked(folder, attempt, known):
    assert not set(attempt.asked) & set(known), "a journalled answer was asked again"
    after = journalled(folder)
    assert {name: after[name] for name in known} == known


def without_times(summary):
    return {name: value for name, value in summary.items() if name not in ("run_dir", "wall_s")}


def only_folder(out):
    (folder,) = [path for path in out.iterdir() if not path.name.startswith(".")]
    return folder


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
    out = tmp_path / "runs"
    killed = society(tmp_path, "run", *SCENARIO, "--out", out, kill_at="journal.after_commit:6")
    assert killed.code == -signal.SIGKILL
    folder = only_folder(out)
    known = journalled(folder)
    assert known, "some answers were stored before the kill"
    for point in (
        "journal.before_commit:4",
        "checkpoint.half_written:3",
        "checkpoint.after_rename:2",
        "summary.before_rename",
    ):
        killed = society(tmp_path, "resume", folder, kill_at=point)
        assert killed.code == -signal.SIGKILL, killed.errors
        check_asked(folder, killed, known)
        known = journalled(folder)
    newest = checkpoints(folder / "checkpoints")[-1]
    data = bytearray(newest.read_bytes())
    data[len(data) // 2] ^= 1
    newest.write_bytes(data)
    finish(tmp_path, folder, straight, known)


def test_a_finished_run_replays_offline_and_asks_nobody(tmp_path, straight):
    folder = Path(straight.summary["run_dir"])
    before = (folder / "journal.sqlite").read_bytes()
    attempt = society(tmp_path, "replay", folder, SOCIETY_TEST_OFFLINE="1")
    assert attempt.code == 0, attempt.errors
    assert attempt.asked == []
    assert attempt.summary["digest"] == straight.summary["digest"]
    assert attempt.summary["llm"] == straight.summary["llm"]
    assert (folder / "journal.sqlite").read_bytes() == before


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
            finish(tmp_path, folder, straight, known)
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
    finish(tmp_path, folder, straight, journalled(folder))
    replayed = society(tmp_path, "replay", folder, SOCIETY_TEST_OFFLINE="1")
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
    out = tmp_path / "killed"
    points = ["journal.after_commit:2", "checkpoint.half_written:2", "checkpoint.after_prune:1"]
    killed = society(tmp_path, "run", *scenario, "--out", out, kill_at=points[0])
    folder = only_folder(out)
    for point in points[1:]:
        assert killed.code == -signal.SIGKILL, killed.errors
        killed = society(tmp_path, "resume", folder, kill_at=point)
    assert killed.code == -signal.SIGKILL, killed.errors
    for _ in range(2):  # the second time it is finished already
        finish(tmp_path, folder, straight, {})
    replayed = society(tmp_path, "replay", folder, SOCIETY_TEST_OFFLINE="1")
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
    out = tmp_path / "killed"
    points = ["checkpoint.after_rename:1", "checkpoint.half_written:2", "journal.after_commit:2"]
    killed = society(tmp_path, "run", *scenario, "--out", out, kill_at=points[0])
    folder = only_folder(out)
    for point in points[1:]:
        assert killed.code == -signal.SIGKILL, killed.errors
        assert not (folder / "policies").exists() or not list((folder / "policies").iterdir())
        killed = society(tmp_path, "resume", folder, kill_at=point)
    assert killed.code == -signal.SIGKILL, killed.errors
    finish(tmp_path, folder, straight, {})
    weights = {
        path.name: path.read_bytes()
        for path in (Path(straight.summary["run_dir"]) / "policies").iterdir()
    }
    assert weights == {path.name: path.read_bytes() for path in (folder / "policies").iterdir()}
