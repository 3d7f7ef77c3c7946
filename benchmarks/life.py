"""World steps per second of the living planet, through the whole loop of a scenario.

``python benchmarks/life.py`` times ``life_planet`` at the reference's default size (128 slots,
32 machines, 128 x 128 cells, all features on), then 1,024 and 4,096 slots, each in a process
of its own: compile time, steps/s (median and spread of rounds), births a step, peak memory.
``--curve`` times agent-steps/s from 128 to 16,384 slots with full weights of one's own and with
low-rank differences (``--rank``). On a machine with an accelerator, ``--slots`` takes more.
``--quick`` takes fewer steps. Minds see what changes, so nothing can be hoisted out of the loop.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

import jax
import numpy as np
from clock import machine

from society.build import build
from society.machine import Machine
from society.scenario import load_scenario

REFERENCE = (
    "JaxLife, default size: 0.96 world steps/s, compile 29 s, 1.1 GB; 0.44 at 256 slots "
    "(measured before, not re-run here)"
)


def measure(slots, rank, steps, rounds):
    """One size, in this process: a dictionary of figures."""
    sets = (
        f"groups.animals.capacity={slots}",
        f"groups.animals.count={max(slots // 2, 32)}",
        f"groups.animals.policy.rank={rank}",
        f"world.size={size_for(slots)}",
        "steps=1000000",
    )
    simulation = build(load_scenario("life_planet", sets))
    loop = Machine(simulation)
    began = time.perf_counter()
    carries = jax.block_until_ready(loop.start([0]))
    started = time.perf_counter()
    steps = min(steps, simulation.engine.capacity)
    carries, chunk = jax.block_until_ready(loop.advance(carries, 1))
    compiled = time.perf_counter()
    seconds, births, people = [], 0.0, 0.0
    column = {name: index for index, name in enumerate(loop.metric_names)}
    for _ in range(rounds):
        before = time.perf_counter()
        carries, chunk = jax.block_until_ready(loop.advance(carries, steps))
        seconds.append(time.perf_counter() - before)
        ticks = np.asarray(chunk.ticks)[0, :steps]
        births += float(ticks[:, column["born"]].sum())
        people += float(ticks[:, column["population"]].mean()) / rounds
    floats = sum(leaf.size for leaf in jax.tree.leaves(carries.minds[0].params.own)) // slots
    rates = sorted(steps / taken for taken in seconds)
    return {
        "slots": slots,
        "rank": rank,
        "cells": simulation.world.size,
        "floats": floats,
        "start_s": started - began,
        "compile_s": compiled - started,
        "steps_per_s": statistics.median(rates),
        "slowest": rates[0],
        "fastest": rates[-1],
        "population": people,
        "births_per_step": births / (steps * rounds),
        "peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
    }


def size_for(slots):
    """Cells along a side: the reference's density, 128 slots on 128 x 128 cells."""
    return int(round(128 * (max(slots, 128) / 128) ** 0.5 / 8) * 8)


def apart(slots, rank, steps, rounds):
    """The same in a fresh process, so that peak memory is its own."""
    command = [sys.executable, __file__, "--one", json.dumps([slots, rank, steps, rounds])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        return {"slots": slots, "rank": rank, "failed": done.stderr.strip().splitlines()[-1:]}
    return json.loads(done.stdout.splitlines()[-1])


def show(row):
    """One line."""
    if "failed" in row:
        print(f"{row['slots']:>7} {row['rank']:>4}  failed: {row['failed']}", flush=True)
        return
    agents = row["steps_per_s"] * row["slots"]
    print(
        f"{row['slots']:>7} {row['rank'] or 'full':>4} {row['cells']:>5} {row['floats']:>8,} "
        f"{row['steps_per_s']:>8.1f} ({row['slowest']:.1f}-{row['fastest']:.1f}) "
        f"{agents:>10,.0f} {row['population']:>8.0f} {row['births_per_step']:>6.2f} "
        f"{row['start_s']:>6.1f} {row['compile_s']:>7.1f} {row['peak_gb']:>6.2f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--slots", type=int, nargs="*")
    parser.add_argument("--rank", type=int, default=4)
    parser.add_argument("--quick", action="store_true")
    given = parser.parse_args()
    if given.one:
        print(json.dumps(measure(*json.loads(given.one))))
        return
    print(machine())
    print(REFERENCE)
    print("  slots rank  side   floats  steps/s (slowest-fastest) agent-steps/s  alive births "
          "start_s compile_s peak_GB")  # fmt: skip
    sizes = given.slots or ([128, 256, 512, 1024, 2048, 4096, 8192, 16384] if given.curve
                            else [128, 1024, 4096])  # fmt: skip
    for slots in sizes:
        for rank in (0, given.rank) if given.curve else (0,):
            steps = max(int((60 if given.quick else 300) * 128 / slots), 4)
            show(apart(slots, rank, steps, 3 if given.quick else 5))


if __name__ == "__main__":
    main()
