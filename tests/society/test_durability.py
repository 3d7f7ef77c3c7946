"""Whatever happens between two writes, what was stored stays and what follows is equal."""

import os
import random
import shutil
import subprocess
import sys
import zlib

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from society import durable
from society.checkpoint import checkpoints, newest_sound, write_checkpoint
from society.durable import KILLPOINTS, WriteError, killpoint, write_atomically
from society.journal import (
    CallKey,
    Divergence,
    Journal,
    JournalError,
    StoredCall,
    StoredEvent,
    StoredMessage,
    StoredMetrics,
)

LENGTH = 12


def step_of(total, step):
    """A tiny run: what step ``step`` makes of the total so far."""
    return (total * 31 + step + 1) % 1_000_003


def straight_through():
    total = 0
    for step in range(LENGTH):
        total = step_of(total, step)
    return total


class Killed(BaseException):
    """Stands for SIGKILL inside one process: nothing below it may clean up."""


class DurableRun(RuleBasedStateMachine):
    """A run that is stepped, saved, killed, damaged and resumed in any order."""

    def __init__(self):
        super().__init__()
        import tempfile

        self.folder = tempfile.mkdtemp(prefix="society-test-")
        self.journal = None
        self.asked = {}
        self.resume()

    def resume(self):
        self.journal = Journal.open(f"{self.folder}/journal.sqlite")
        found = newest_sound(self.folder)
        self.step, self.total = found.tree if found.tree is not None else (0, 0)

    @rule()
    def advance(self):
        if self.step == LENGTH:
            assert self.total == straight_through()
            return
        key = CallKey(0, 0, 0, self.step, 0, 1, "act", 0)
        if self.journal.call(key) is None:
            self.asked[self.step] = self.asked.get(self.step, 0) + 1
            self.journal.add_calls([StoredCall(key, "h", "{}", str(self.step + 1))])
            self.journal.flush()
        assert self.journal.call(key).response == str(self.step + 1)
        self.total = step_of(self.total, self.step)
        self.journal.add_messages(
            [StoredMessage(0, 0, 0, self.step, 0, "talk", 1, 0, (2,), str(self.total))]
        )
        self.journal.add_metrics(
            [StoredMetrics(0, 0, 0, self.step, self.total.to_bytes(4, "little"))]
        )
        self.journal.flush()
        self.step += 1

    @rule()
    def save(self):
        self.journal.sync()
        write_checkpoint(self.folder, "r", (self.step, self.total))

    @rule(point=st.sampled_from([p for p in KILLPOINTS if p.startswith("checkpoint.")]))
    def die_while_saving(self, point):
        self.journal.sync()
        before = newest_sound(self.folder).tree
        patch = pytest.MonkeyPatch()
        patch.setattr("society.durable.killpoint", _die_at(point))
        patch.setattr("society.checkpoint.killpoint", _die_at(point))
        patch.setattr("society.durable._remove", lambda path: None)
        try:
            with pytest.raises(Killed):
                write_checkpoint(self.folder, "r", (self.step, self.total))
        finally:
            patch.undo()
        self.die()
        assert newest_sound(self.folder).tree in (before, (self.step, self.total))
        self.resume()

    @rule(point=st.sampled_from(["journal.before_commit", "journal.after_commit"]))
    def die_while_committing(self, point):
        self.journal.add_events([StoredEvent(0, 0, 0, 0, 0, "note", 1, 0, "same")])
        patch = pytest.MonkeyPatch()
        patch.setattr("society.journal.killpoint", _die_at(point))
        try:
            with pytest.raises(Killed):
                self.journal.flush()
        finally:
            patch.undo()
        self.die()
        self.resume()

    @rule()
    def die_anywhere(self):
        self.die()
        self.resume()

    @precondition(lambda self: checkpoints(self.folder))
    @rule(newest=st.integers(1, 3), flip=st.booleans(), place=st.integers(0, 8000))
    def damage_a_checkpoint(self, newest, flip, place):
        path = checkpoints(self.folder)[-newest:][0]
        content = bytearray(path.read_bytes())
        if flip and content:
            place %= 8 * len(content)
            content[place // 8] ^= 1 << place % 8
        else:
            content = content[: place % max(1, len(content))]
        path.write_bytes(content)
        self.die()
        self.resume()

    @invariant()
    def nothing_is_asked_twice(self):
        assert all(count == 1 for count in self.asked.values())

    @invariant()
    def nothing_is_lost(self):
        assert self.journal.counts().calls == len(self.asked)

    def die(self):
        """What a killed process leaves: files as they are, no farewell to SQLite."""
        for rows in self.journal._pending.values():
            rows.clear()
        self.journal._database.close()

    def teardown(self):
        while self.step < LENGTH:
            self.advance()
        assert self.total == straight_through()
        with Journal.open(f"{self.folder}/journal.sqlite", readonly=True) as replay:
            total = 0
            for step in range(LENGTH):
                total = step_of(total, step)
                replay.add_metrics([StoredMetrics(0, 0, 0, step, total.to_bytes(4, "little"))])
            replay.flush()
            assert replay.counts().calls == LENGTH
            replay.check()
        self.journal.close()
        shutil.rmtree(self.folder)


def _die_at(point):
    def die(name):
        if name == point:
            raise Killed

    return die


TestDurableRun = DurableRun.TestCase
TestDurableRun.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)


# ---- damage to a journal -----------------------------------------------------------------


def filled(path, rows=20):
    """A journal with something in every table; returns what it says, in plain values."""
    with Journal.open(path) as journal:
        journal.set_metric_names(["a", "b"])
        for step in range(rows):
            text = f"text {zlib.crc32(bytes([step]))} {step * 'x'}"
            key = CallKey(0, step % 2, 0, step, 0, 5, "act", 0)
            journal.add_calls([StoredCall(key, "hash", f'"{text}"', f'"{text[::-1]}"')])
            journal.add_messages([StoredMessage(0, 0, 0, step, 0, "talk", 5, 0, (1,), text)])
            journal.add_events([StoredEvent(0, 0, 0, step, 0, "birth", 5, 0, {"text": text})])
            journal.add_metrics([StoredMetrics(0, 0, 0, step, bytes(range(8)), b"state")])
        journal.flush()
    return contents(path, rows)


def contents(path, rows=20):
    with Journal.open(path, readonly=True) as journal:
        journal.check()
        keys = [CallKey(0, step % 2, 0, step, 0, 5, "act", 0) for step in range(rows)]
        metrics = journal.metrics(0)
        return (
            [journal.call(key)[:11] for key in keys if journal.call(key) is not None],
            journal.messages(0),
            journal.events(0),
            metrics.clock.tolist(),
            metrics.values.tobytes(),
            journal.metric_names(),
            journal.counts(),
        )


def test_flipped_bits_and_cuts_in_a_journal_are_noticed_or_harmless(tmp_path):
    path = tmp_path / "journal.sqlite"
    expected = filled(path)
    whole = path.read_bytes()
    rng = random.Random(5)
    noticed = 0
    for trial in range(1000):
        data = bytearray(whole)
        if trial % 5:
            place = rng.randrange(8 * len(whole))
            data[place // 8] ^= 1 << place % 8
        else:
            data = data[: rng.randrange(len(whole))]
        path.write_bytes(data)
        try:
            assert contents(path) == expected, f"trial {trial} changed a run unnoticed"
        except (JournalError, WriteError):
            noticed += 1
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
    assert noticed > 250, "much of the file holds content"


def test_damage_to_what_was_last_written_leaves_whole_batches_before_it(tmp_path):
    path, copy = tmp_path / "journal.sqlite", tmp_path / "copy.sqlite"
    messages = [StoredMessage(0, 0, 0, step, 0, "talk", 5, 0, (), "x" * 50) for step in range(40)]
    with Journal.open(path) as journal:
        for start in range(0, 40, 10):
            journal.add_messages(messages[start : start + 10])
            journal.flush()
        main, whole = path.read_bytes(), (tmp_path / "journal.sqlite-wal").read_bytes()
    rng = random.Random(6)
    seen = set()
    for trial in range(150):
        data = bytearray(whole)
        place = rng.randrange(8 * len(whole))
        data[place // 8] ^= 1 << place % 8
        copy.write_bytes(main)
        (tmp_path / "copy.sqlite-wal").write_bytes(data if trial % 3 else data[: place // 8])
        (tmp_path / "copy.sqlite-shm").unlink(missing_ok=True)
        try:
            with Journal.open(copy) as journal:
                journal.check()
                kept = journal.messages(0)
        except JournalError:
            continue
        assert kept == messages[: len(kept)]
        assert len(kept) % 10 == 0
        seen.add(len(kept))
    assert {10, 20, 30} <= seen


def test_a_damaged_answer_is_never_used(tmp_path):
    path = tmp_path / "journal.sqlite"
    filled(path)
    data = path.read_bytes()
    place = data.index(b'"text 3523407757')  # the request of step 0
    path.write_bytes(data[: place + 3] + b"X" + data[place + 4 :])
    with Journal.open(path) as journal:
        with pytest.raises(JournalError, match="is damaged: a row of calls has changed"):
            journal.call(CallKey(0, 0, 0, 0, 0, 5, "act", 0))
        journal.add_calls([StoredCall(CallKey(0, 0, 0, 0, 0, 5, "act", 0), "hash", "{}", "{}")])
        with pytest.raises((JournalError, Divergence)):
            journal.flush()
        journal._pending["calls"].clear()


# ---- full disks ----------------------------------------------------------------------------


def test_a_disk_that_takes_only_part_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    write_checkpoint(tmp_path, "r", "old")
    room = 100

    def write(handle, data, real=os.write):
        nonlocal room
        count = min(room, len(data))
        room -= count
        return real(handle, data[:count]) if count else 0

    monkeypatch.setattr(durable.os, "write", write)
    with pytest.raises(WriteError, match=r"the disk took 100 of \d+ bytes.*intact.*society resume"):
        write_checkpoint(tmp_path, "r", "new" * 1000)
    monkeypatch.undo()
    assert newest_sound(tmp_path).tree == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["r.00000001.ckpt"]
    write_checkpoint(tmp_path, "r", "new")
    assert newest_sound(tmp_path).tree == "new"


def test_writes_that_come_back_short_are_completed(tmp_path, monkeypatch):
    monkeypatch.setattr(durable.os, "write", lambda h, d, real=os.write: real(h, d[:7]))
    write_checkpoint(tmp_path, "r", "some text" * 20)
    assert newest_sound(tmp_path).tree == "some text" * 20


def test_a_write_that_lies_about_its_length_is_noticed(tmp_path, monkeypatch):
    def write(handle, data, real=os.write):
        real(handle, data[:-1])
        return len(data)

    monkeypatch.setattr(durable.os, "write", write)
    with pytest.raises(WriteError, match="arrived"):
        write_atomically(tmp_path / "summary.json", [b"content"], "summary")
    assert not list(tmp_path.iterdir())


def test_an_existing_file_survives_a_full_device(tmp_path):
    path = tmp_path / "summary.json"
    path.write_text("old")
    (tmp_path / ".summary.json.tmp").symlink_to("/dev/full")
    with pytest.raises(WriteError, match="No space left on device; the version before it is"):
        write_atomically(path, [b"new" * 100000], "summary")
    assert path.read_text() == "old"


FULL_DISK = """
import os, sys
from society.checkpoint import newest_sound, write_checkpoint
from society.durable import WriteError
from society.journal import *
from society.recorder import RunFolder

folder = RunFolder.create(sys.argv[1], "full", {"a": 1}, {})
filler = os.path.join(sys.argv[1], "filler")
journal = Journal.open(folder.journal_path)

def row(step):
    return StoredMessage(0, 0, 0, step, 0, "talk", 1, 0, (), str(step) * 3000)

journal.add_messages([row(0)])
journal.flush()
write_checkpoint(folder.checkpoints, "r", {"step": 1, "ballast": b"x" * 20000})
folder.write_summary({"status": "limit"})
with open(filler, "wb", buffering=0) as file:
    try:
        while file.write(b"\\0" * 4096) == 4096:
            pass
    except OSError:
        pass
failed = []
for name, write in {
    "journal": lambda: (journal.add_messages([row(s) for s in range(1, 300)]), journal.flush()),
    "checkpoint": lambda: write_checkpoint(folder.checkpoints, "r", {"ballast": b"y" * 40000}),
    "summary": lambda: folder.write_summary({"status": "x" * 20000}),
    "folder": lambda: RunFolder.create(sys.argv[1], "second", {"a": "b" * 20000}, {}),
}.items():
    try:
        write()
    except WriteError as error:
        failed.append(name)
assert failed == ["journal", "checkpoint", "summary", "folder"], failed
assert newest_sound(folder.checkpoints).tree["step"] == 1
assert folder.read_summary() == {"status": "limit"}
assert not [n for n in os.listdir(sys.argv[1]) if n.startswith((".new", "second"))]
with Journal.open(folder.journal_path, readonly=True) as reader:
    assert len(reader.messages(0)) == 1
os.unlink(filler)
journal.flush()
assert len(journal.messages(0)) == 300, "the batch was kept and is stored once there is room"
journal.close()
write_checkpoint(folder.checkpoints, "r", {"step": 2})
assert newest_sound(folder.checkpoints).tree["step"] == 2
with Journal.open(folder.journal_path) as again:
    again.check()
    assert len(again.messages(0)) == 300
print("survived")
"""


def test_a_full_disk_stops_the_run_and_loses_nothing(tmp_path):
    command = (
        f"mount -t tmpfs -o size=8m none {tmp_path} && "
        f"{sys.executable} - {tmp_path} <<'EOF'\n{FULL_DISK}\nEOF"
    )
    try:
        probe = subprocess.run(
            ["unshare", "-rm", "mount", "-t", "tmpfs", "none", str(tmp_path)],
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        probe = None
    if probe is None or probe.returncode:
        pytest.skip("no user namespaces here; the fakes above stand in")
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", command], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "survived", done.stderr


# ---- the hook ------------------------------------------------------------------------------


@pytest.mark.parametrize("point", [p for p in KILLPOINTS if p.startswith("checkpoint.")])
def test_a_kill_inside_a_save_leaves_a_sound_checkpoint(tmp_path, point):
    write_checkpoint(tmp_path, "r", "old")
    script = (
        "import sys; from society.checkpoint import write_checkpoint\n"
        "write_checkpoint(sys.argv[1], 'r', 'new' * 100, keep=1)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env={**os.environ, "SOCIETY_KILL_AT": point},
        check=False,
    )
    assert done.returncode == -9
    after = point in ("checkpoint.after_rename", "checkpoint.after_prune")
    assert newest_sound(tmp_path).tree == ("new" * 100 if after else "old")
    write_checkpoint(tmp_path, "r", "newer")
    assert newest_sound(tmp_path).tree == "newer"
    assert not list(tmp_path.glob(".*")), "torn files are cleared away"


def test_the_hook_counts_passings_and_knows_its_points(monkeypatch):
    killed = []
    monkeypatch.setattr(durable.os, "kill", lambda pid, signal: killed.append(signal))
    monkeypatch.setattr(durable, "_countdown", durable._Countdown("journal.after_commit:3"))
    for _ in range(2):
        killpoint("journal.after_commit")
        killpoint("journal.before_commit")
    assert killed == []
    killpoint("journal.after_commit")
    assert killed == [9]
    with pytest.raises(ValueError, match="no such write point; there are folder"):
        durable._Countdown("journal.nowhere")
