"""Run folders appear whole, belong to one process, and hold no secrets."""

import json
import os
import re
import subprocess
import sys
import time
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from society.durable import KILLPOINTS
from society.journal import CallKey, Journal, StoredCall
from society.recorder import NotARunError, RunFolder, RunLockedError, digest, manifest_of
from worlds.redact import redact, register_secret

CANARY = "sk-canary-4f9a8b7c6d5e"
PLAIN_CANARY = "correct horse battery staple"


def make(tmp_path, **manifest):
    return RunFolder.create(tmp_path, "donor_game", {"world": "donor_game"}, manifest)


def test_a_folder_holds_a_manifest_and_the_scenario(tmp_path):
    folder = make(tmp_path, seeds=[0, 1], repro="strict")
    assert re.fullmatch(r"donor_game-\d{8}T\d{6}Z-[0-9a-f]{6}", folder.path.name)
    manifest = RunFolder.open(folder.path).read_manifest()
    assert manifest["seeds"] == [0, 1]
    assert manifest["versions"]["python"] == ".".join(map(str, sys.version_info[:3]))
    assert manifest["versions"]["numpy"] == np.__version__
    assert manifest["host"]["cpus"] == os.cpu_count()
    assert manifest["host"]["machine"] == os.uname().machine
    assert folder.scenario_path.read_text() == "world: donor_game\n"
    assert folder.checkpoints.is_dir()
    assert folder.read_summary() is None


def test_folders_made_in_one_second_are_different(tmp_path):
    assert len({make(tmp_path).path for _ in range(20)}) == 20
    assert len(list(tmp_path.iterdir())) == 20, "no drafts are left"


def test_names_cannot_leave_the_folder(tmp_path):
    folder = RunFolder.create(tmp_path / "runs", "../../etc/pass wd", "a: 1\n", {})
    assert folder.path.parent == tmp_path / "runs"
    assert folder.path.name.startswith("etc_pass_wd-")


def test_a_summary_is_replaced_whole_and_is_strict_json(tmp_path):
    folder = make(tmp_path)
    folder.write_summary({"digest": "x", "measures": {"a": float("nan"), "b": np.float32(1.5)}})
    folder.write_summary({"digest": "y", "measures": {"a": np.array([1, np.inf])}})
    text = folder.summary_path.read_text()
    json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert folder.read_summary() == {"digest": "y", "measures": {"a": [1.0, None]}}


def test_what_is_no_run_is_refused_with_advice(tmp_path):
    with pytest.raises(NotARunError, match=r"is no folder.*society run"):
        RunFolder.open(tmp_path / "nowhere")
    with pytest.raises(NotARunError, match=r"no manifest\.json and no scenario\.yaml"):
        RunFolder.open(tmp_path)
    folder = make(tmp_path)
    manifest = folder.read_manifest()
    folder.manifest_path.write_text(json.dumps({**manifest, "format": 7}))
    with pytest.raises(NotARunError, match=r"run format 7, this version of societylab reads 1"):
        RunFolder.open(folder.path)
    folder.manifest_path.write_text('{"form')
    with pytest.raises(NotARunError, match=r"manifest\.json cannot be read"):
        RunFolder.open(folder.path)


def test_only_operational_keys_may_change_on_resume(tmp_path):
    from society.build import build
    from society.scenario import load_resolved, load_scenario

    sets = ("groups.donors.policy=constant_donor", "limits.wall_s=60")
    scenario = load_scenario("donor_game", sets)
    folder = RunFolder.create(
        tmp_path, scenario.name, scenario.resolved(), manifest_of(scenario, build(scenario))
    )
    folder.check_scenario(load_resolved(folder.scenario_path))
    folder.check_scenario(load_resolved(folder.scenario_path, ("limits.wall_s=1000",)))
    with pytest.raises(NotARunError, match="only operational keys"):
        folder.check_scenario(load_resolved(folder.scenario_path, ("world.multiplier=3",)))


# ---- the lock ------------------------------------------------------------------------------

HOLD = """
import sys, time
from society.recorder import RunFolder
with RunFolder.open(sys.argv[1]).lock():
    print("held", flush=True)
    sys.stdin.read()
"""


def holder(folder):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_process_is_refused_at_once_and_told_who_holds_the_folder(tmp_path):
    folder = make(tmp_path)
    with holder(folder) as process:
        began = time.monotonic()
        with pytest.raises(RunLockedError, match=rf"process {process.pid} on \S+ since 2"):
            folder.lock()
        assert time.monotonic() - began < 20
        process.stdin.close()
        assert process.wait() == 0
    with folder.lock():
        pass


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    folder = make(tmp_path)
    with holder(folder) as process:
        process.kill()
        process.wait()
        with folder.lock(), pytest.raises(RunLockedError, match=f"process {os.getpid()} on"):
            folder.lock()
    lock = folder.lock()
    lock.release()
    lock.release()
    folder.lock().release()


# ---- the digest ----------------------------------------------------------------------------


class Pair(NamedTuple):
    a: int
    b: int


VALUES = [
    None, True, False, 0, 1, -1, 0.0, -0.0, 1.0, float("nan"), "", "0", b"", b"0", [], (), {},
    [0], [[0]], (0,), [0, 0], {"a": 0}, {"a": {"a": 0}}, {"b": 0}, {0: "a"}, Pair(0, 0), (0, 0),
    np.zeros(1), np.zeros(1, "f4"), np.zeros((1, 1)), np.zeros(0), -np.zeros(1), np.zeros(2, "f4"),
    np.zeros(1, "i4"), np.zeros(1, bool), np.array(["0"]), "None", ["a", "b"], ["ab"], ["ab", ""],
]  # fmt: skip


def test_different_values_have_different_digests():
    digests = [digest(value) for value in VALUES]
    assert len(set(digests)) == len(VALUES)
    assert digests == [digest(value) for value in VALUES]


def test_a_digest_is_the_same_in_every_process_and_for_both_kinds_of_array():
    tree = {"b": np.float32([1, np.nan]), "a": [1, "x", (None, 2.5)]}
    assert digest(tree) == digest({"a": tree["a"], "b": jnp.float32([1, np.nan])})
    shown = subprocess.run(
        [
            sys.executable,
            "-c",
            "import numpy as np; from society.recorder import digest\n"
            "print(digest({'a': [1, 'x', (None, 2.5)], 'b': np.float32([1, np.nan])}))",
        ],
        env={**os.environ, "PYTHONHASHSEED": "77"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert shown.stdout.strip() == digest(tree)


@given(st.binary(min_size=1, max_size=64), st.data())
def test_every_bit_of_an_array_counts(raw, data):
    place = data.draw(st.integers(0, 8 * len(raw) - 1))
    changed = bytearray(raw)
    changed[place // 8] ^= 1 << place % 8
    arrays = [np.frombuffer(bytes(value), np.uint8) for value in (raw, changed)]
    assert digest(arrays[0]) != digest(arrays[1])
    assert digest(arrays[0]) == digest(arrays[0].copy())


def test_memory_layout_does_not_count():
    array = np.arange(12).reshape(3, 4)
    assert digest(array) == digest(np.asfortranarray(array)) == digest(array.astype(">i8"))
    assert digest(array) != digest(array.T)


def test_what_has_no_digest_is_named():
    with pytest.raises(TypeError, match=r"tree\.a\[1\]: a function has no digest"):
        digest({"a": [1, make]})


# ---- secrets -------------------------------------------------------------------------------


def all_bytes(folder):
    return b"".join(path.read_bytes() for path in folder.path.rglob("*") if path.is_file())


def test_planted_keys_are_nowhere_in_a_run_folder(tmp_path, monkeypatch):
    for name in ("OPENAI_API_KEY", "JAX_SECRET_TOKEN", "HF_TOKEN", "DB_PASSWORD"):
        monkeypatch.setenv(name, CANARY)
    monkeypatch.setenv("MY_PASSWORD", PLAIN_CANARY)
    monkeypatch.setenv("JAX_LOG_COMPILES", "0")
    monkeypatch.setenv("XLA_FLAGS", f"--xla_dump_to=https://user:{CANARY}@host/x")
    url = f"https://user:{CANARY}@host:8000/v1?api_key={CANARY}&model=a"
    scenario = {"backends": {"a": {"url": url, "headers": {"Authorization": f"Bearer {CANARY}"}}}}
    body = f'{{"error": "Incorrect API key provided: {CANARY}", "x-api-key": "{CANARY}"}}'
    folder = RunFolder.create(
        tmp_path, "leaky", scenario, {"url": url, "headers": [f"Authorization: Bearer {CANARY}"]}
    )
    with folder.lock(), Journal.open(folder.journal_path) as journal:
        key = CallKey(0, 0, 0, 0, 0, 0, "act", 0)
        journal.add_calls([StoredCall(key, "h", "{}", redact(body), status="error")])
    folder.write_summary({"reason": f"server said {body} and {PLAIN_CANARY}", "url": url})
    found = all_bytes(folder)
    assert CANARY.encode() not in found
    assert PLAIN_CANARY.encode() not in found
    assert b"Incorrect API key provided: [redacted]" in found
    assert b"host:8000/v1" in found, "what is no secret stays"
    env = folder.read_manifest()["env"]
    assert env["JAX_LOG_COMPILES"] == "0"
    assert set(env) <= {"JAX_LOG_COMPILES", "XLA_FLAGS", "PYTHONHASHSEED", "OMP_NUM_THREADS"} | {
        name for name in os.environ if name.startswith("JAX_") and "TOKEN" not in name
    }


def test_a_key_in_a_freely_named_variable_is_hidden_once_it_was_read():
    value = "zq81-unguessable-form"
    assert value in redact(f"401: {value} is wrong")
    register_secret(value)
    assert redact(f"401: {value} is wrong") == "401: [redacted] is wrong"


@pytest.mark.parametrize("point", [p for p in KILLPOINTS if p.startswith(("folder", "summary"))])
def test_a_kill_while_a_folder_or_summary_is_written_leaves_whole_files(tmp_path, point):
    script = (
        "import sys; from society.recorder import RunFolder\n"
        "folder = RunFolder.create(sys.argv[1], 'x', {'a': 1}, {})\n"
        "folder.write_summary({'n': 1})\n"
        "folder.write_summary({'n': 2})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "SOCIETY_KILL_AT": point if point.startswith("f") else f"{point}:2"},
        check=False,
    )
    assert done.returncode == -9
    folders = [RunFolder.open(path) for path in tmp_path.glob("x-*")]
    if point == "folder.before_rename":
        assert folders == []
        return
    expected = {"folder.after_rename": None, "summary.after_rename": {"n": 2}}
    assert folders[0].read_summary() == expected.get(point, {"n": 1})
    folders[0].write_summary({"n": 3})
    assert folders[0].read_summary() == {"n": 3}
