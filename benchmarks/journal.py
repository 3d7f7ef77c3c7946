"""What durability costs: microseconds per journal row, lookup and commit; checkpoint speed.

``python benchmarks/journal.py [--folder DIR]`` prints machine, versions, sizes, and the
median with the range of repeats. Wall time, on the disk that DIR lies on. Every commit
waits for the disk, so a commit of one row shows what grouping saves.
"""

import argparse
import json
import os
import platform
import shutil
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from society.canonical import canonical, fingerprint
from society.checkpoint import newest_sound, write_checkpoint
from society.host import environment
from society.journal import CallKey, Journal, StoredCall, StoredEvent, StoredMessage
from society.tree_digest import digest

REPEATS = 5
CALLS, BATCH = 4000, 200
STEPS, WIDTH = 100_000, 8
CHECKPOINT_MB = 64
PROMPT = 800  # characters, as a donor reads


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=None, help="disk to measure on")
    folder = Path(tempfile.mkdtemp(dir=parser.parse_args().folder))
    print_machine(folder)
    try:
        for name, unit, values in measure(folder):
            middle = statistics.median(values)
            print(f"{name:44} {middle:12,.2f} {unit:8} ({min(values):,.2f}..{max(values):,.2f})")
    finally:
        shutil.rmtree(folder)


def print_machine(folder):
    """What was measured on."""
    found = environment()
    print(json.dumps({name: found[name] for name in ("host", "versions")}, indent=1))
    print(f"python {platform.python_version()}, sqlite {sqlite3.sqlite_version}, folder {folder}")
    print(
        f"load {os.getloadavg()}, {REPEATS} repeats after one warm-up; prompt {PROMPT} characters"
    )
    print(f"{CALLS} calls, batches of {BATCH}; {STEPS} steps of {WIDTH} metrics\n")


def measure(folder):
    """Yield (name, unit, values) of every quantity."""
    runs = [one_round(folder / str(repeat)) for repeat in range(REPEATS + 1)][1:]
    for name, unit in runs[0]:
        yield name, unit, [run[name, unit] for run in runs]


def one_round(folder):
    """Everything once, in a fresh folder."""
    folder.mkdir()
    found = {}
    with Journal.open(folder / "journal.sqlite") as journal:
        measure_calls(journal, found)
        measure_texts(journal, found)
        measure_metrics(journal, found)
    with Journal.open(folder / "journal.sqlite") as journal:
        measure_lookups(journal, found)
    measure_checkpoints(folder, found)
    return found


def measure_calls(journal, found):
    """Calls one by one and in batches."""
    request = canonical({"messages": [{"role": "user", "content": "x" * PROMPT}], "seed": 1})
    answer, hashed = canonical({"text": "y" * 200}), fingerprint(request)

    def rows(step, count):
        return [
            StoredCall(CallKey(0, 0, 0, step, 0, uid, "act"), hashed, request, answer)
            for uid in range(count)
        ]

    found["call row, committed alone", "us"] = (
        1e6
        / 200
        * timed(lambda: [store(journal.add_calls, rows(step, 1), journal) for step in range(200)])
    )
    batches = range(1000, 1000 + CALLS // BATCH)
    found[f"call row, {BATCH} a commit", "us"] = (
        1e6
        / CALLS
        * timed(lambda: [store(journal.add_calls, rows(step, BATCH), journal) for step in batches])
    )
    found["canonical request and hash", "us"] = (
        1e6
        / CALLS
        * timed(lambda: [fingerprint(canonical({"c": request, "n": uid})) for uid in range(CALLS)])
    )


def measure_lookups(journal, found):
    """What a resumed run does: questions that have an answer, and others."""
    steps = range(1000, 1000 + CALLS // BATCH)
    keys = [CallKey(0, 0, 0, step, 0, uid, "act") for step in steps for uid in range(BATCH)]
    journal.call(keys[0])  # reads the index of the generation
    found["call looked up, found", "us"] = (
        1e6 / CALLS * timed(lambda: [journal.call(key) for key in keys])
    )
    missing = [key._replace(ordinal=1) for key in keys]
    found["call looked up, not asked yet", "us"] = (
        1e6 / CALLS * timed(lambda: [journal.call(key) for key in missing])
    )


def measure_texts(journal, found):
    """Messages and events in batches."""
    found[f"message row, {BATCH} a commit", "us"] = (
        1e6
        / CALLS
        * timed(
            lambda: [
                store(
                    journal.add_messages,
                    [
                        StoredMessage(0, 0, 0, step, 0, "talk", uid, 0, (1, 2, 3), "x" * 100)
                        for uid in range(BATCH)
                    ],
                    journal,
                )
                for step in range(CALLS // BATCH)
            ]
        )
    )
    found[f"event row, {BATCH} a commit", "us"] = (
        1e6
        / CALLS
        * timed(
            lambda: [
                store(
                    journal.add_events,
                    [
                        StoredEvent(0, 0, 0, step, 0, "birth", uid, 0, {"parents": [1, 2]})
                        for uid in range(BATCH)
                    ],
                    journal,
                )
                for step in range(CALLS // BATCH)
            ]
        )
    )


def measure_metrics(journal, found):
    """Metrics in chunks of 1,000 steps, verified again, and read."""
    clock = np.zeros((STEPS, 3), np.int32)
    clock[:, 2] = np.arange(STEPS)
    values = np.random.default_rng(0).random((STEPS, WIDTH), np.float32)

    def write():
        for start in range(0, STEPS, 1000):
            rows = slice(start, start + 1000)
            journal.add_metrics_block(0, clock[rows], values[rows])
            journal.flush()

    found["metrics row, 1,000 a commit", "us"] = 1e6 / STEPS * (spent := timed(write))
    found["metrics rows", "rows/s"] = STEPS / spent
    found["metrics row verified again", "us"] = 1e6 / STEPS * timed(write)
    found["metrics row read", "us"] = 1e6 / STEPS * timed(lambda: journal.metrics(0))


def measure_checkpoints(folder, found):
    """A checkpoint of arrays, written and read."""
    tree = {"carry": np.random.default_rng(0).random((CHECKPOINT_MB, 1 << 18), np.float32)}
    small = {"tick": 1, "minds": {str(slot): {"strategy": "x" * 200} for slot in range(100)}}
    found["checkpoint of 100 text minds", "ms"] = 1e3 * timed(
        lambda: write_checkpoint(folder, "small", small)
    )
    found[f"checkpoint of {CHECKPOINT_MB} MiB written", "MiB/s"] = CHECKPOINT_MB / timed(
        lambda: write_checkpoint(folder, "large", tree)
    )
    found[f"checkpoint of {CHECKPOINT_MB} MiB read", "MiB/s"] = CHECKPOINT_MB / timed(
        lambda: newest_sound(folder, "large")
    )
    found["digest", "MiB/s"] = CHECKPOINT_MB / timed(lambda: digest(tree))


def store(add, rows, journal):
    """Add rows and commit."""
    add(rows)
    journal.flush()


def timed(work):
    """Seconds that a call takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
