"""A served model dies in mid-run: no answer is lost or asked twice, and replay needs no server."""

import contextlib
import importlib.util
import json
import os
import socket
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

_path = Path(__file__).parents[1] / "llm_agents" / "fault_server.py"
_spec = importlib.util.spec_from_file_location("fault_server", _path)
faults = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(faults)


class Model:
    """Answers donor prompts as a function of the seed alone; dies when it is told."""

    def __init__(self):
        self.seeds, self.dies_after = [], None

    def __call__(self, said):
        if self.dies_after is not None and len(self.seeds) >= self.dies_after:
            return faults.DROP
        self.seeds.append(said["seed"])
        return faults.donor(said)


def society(*words, url="", code=0):
    """Run the command line in a process of its own; returns its JSON, or its last error line."""
    done = subprocess.run(
        [sys.executable, "-c", "from society.cli import main; main()", *map(str, words), "--json"],
        env=os.environ | {"OPENAI_BASE_URL": url, "OPENAI_API_KEY": "canary-0123456789"},
        capture_output=True, text=True, timeout=200,
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert "canary-0123456789" not in done.stdout + done.stderr
    return json.loads(done.stdout) if code == 0 else done.stdout + done.stderr


@pytest.mark.slow
def test_a_server_may_die_at_any_time(tmp_path):
    changes = ["generations=2", "seeds=1", "groups.donors.count=4", "world.rounds=3",
               "backend={use: openai_http, retries: 1, first_wait_s: 0.01}"]  # fmt: skip
    sets = [word for change in changes for word in ("--set", change)]
    model = Model()
    with faults.served(model) as url:
        whole = society("run", "donor_game", *sets, "--out", tmp_path / "whole", url=url)
        calls = whole["llm"]["calls"]
        assert calls == len(model.seeds) == len(set(model.seeds))
        model.seeds, model.dies_after = [], calls // 2
        told = society("run", "donor_game", *sets, "--out", tmp_path / "cut", url=url, code=1)
        assert "does not answer (connection)" in told and "society resume" in told
        (folder,) = (tmp_path / "cut").iterdir()
        with contextlib.closing(sqlite3.connect(folder / "journal.sqlite")) as journal:
            stored = journal.execute("SELECT count(*) FROM calls").fetchone()[0]
        assert stored == len(model.seeds) == calls // 2  # what was answered is stored
        model.dies_after = None
        resumed = society("resume", folder, url=url)
    assert sorted(model.seeds) == sorted(set(model.seeds)) and len(model.seeds) == calls
    assert resumed["digest"] == whole["digest"] and resumed["llm"]["calls"] == calls
    with socket.socket() as nobody:  # bound and never listening: nothing answers there
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}/v1"
        assert society("replay", folder, url=url)["digest"] == whole["digest"]
    for path in folder.rglob("*"):
        assert not path.is_file() or b"canary-0123456789" not in path.read_bytes()
