"""What worlds of texts cost beside the model: milliseconds per agent and tick, steps per second.

``python benchmarks/text.py`` times a town of 100 residents (the world alone; the whole loop with
a backend that answers at once, journal and checkpoints included) and a house of rooms with
choice actions (the world alone). Also printed: model calls per simulated agent-hour.

``python benchmarks/text.py --scenarios [NAME ...]`` runs the shipped scenarios of texts whole, as
a user does, each in processes of its own: with the model that it names and no compiled program
kept from earlier runs, again with those kept, and with the mock.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from clock import machine

from society.run import run_scenario
from society.scenario import load_scenario
from worlds.registry import make

KEY = np.zeros(2, np.uint32)
SCENARIOS = (
    "story_chain", "story_networks", "iterated_learning", "town_day", "town_party",
    "town_candidacy", "rooms_cooperation", "rooms_explore", "game_master_village",
    "twenty_questions", "negotiation", "hidden_roles",
)  # fmt: skip


def town(num, steps):
    """Milliseconds per agent and tick of the world alone, residents choosing at random."""
    names = tuple(f"Resident {i}" for i in range(num))
    world = make("town", num_slots=num, names=names, tick_s=60, minutes=steps)
    state, rng = world.init(KEY), np.random.default_rng(0)
    begun = time.perf_counter()
    for _ in range(steps):
        seen = world.observe(state)
        action = world.noop()
        for slot in np.flatnonzero(seen.acting):
            options = seen.options[slot]
            action[slot] = options[rng.integers(len(options))] if options else "say Good morning."
        state, _ = world.step(KEY, state, action)
    spent = time.perf_counter() - begun
    return 1e3 * spent / steps / num, float(world.outcome(state)["calls_per_agent_hour"])


def town_in_the_loop(num, minutes):
    """The same through ``society run`` with the mock: milliseconds per agent and tick."""
    rows = ", ".join(f"{{name: Resident {i}, age: 30, job: baker}}" for i in range(num))
    scenario = load_scenario(
        "town_day",
        [f"groups.residents.table=[{rows}]", "world.tick_s=60", f"world.minutes={minutes}",
         "backend=mock", f"groups.residents.count={num}"],
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        summary = run_scenario(scenario, folder)
        spent = time.perf_counter() - begun
    return spent, summary["llm"]["calls"]


def rooms(num, steps):
    """Steps per second of the world alone, players choosing at random."""
    world = make("rooms", num_slots=num, difficulty=3, max_steps=10**9, house_seed=1)
    state, rng = world.init(KEY), np.random.default_rng(0)
    draws = iter(rng.random(steps * num).tolist())
    begun = time.perf_counter()
    for _ in range(steps):
        options = world.observe(state).options
        action = [some[int(next(draws) * len(some))] for some in options]
        state, _ = world.step(KEY, state, action)
        if state["won"]:
            state = world.init(KEY)
    return steps / (time.perf_counter() - begun)


def whole(name, settings, cache, out):
    """Run a scenario from the command line: seconds by the clock and of processors, and calls."""
    sets = [part for setting in settings for part in ("--set", setting)]
    command = [Path(sys.executable).with_name("society"), "run", name, *sets]
    environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": cache}
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [*command, "--out", out, "--json", "--quiet"],
        env=environment, capture_output=True, check=True, text=True,
    )  # fmt: skip
    spent, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, busy, json.loads(done.stdout)["llm"]["calls"]


def scenarios(names):
    """Print a row for each scenario: seconds of whole runs, start of the process included."""
    print("| scenario | calls | first run | processor | compiled before | mock |")
    print("|---|---|---|---|---|---|")
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            first, busy, calls = whole(name, (), f"{folder}/cache", folder)
            again, _, _ = whole(name, (), f"{folder}/cache", folder)
            mock, _, _ = whole(name, ("backend=mock",), f"{folder}/cache", folder)
        row = f"{first:.1f} s | {busy:.1f} s | {again:.1f} s | {mock:.1f} s"
        print(f"| {name} | {calls} | {row} |", flush=True)


def main():
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scenarios", nargs="*", metavar="NAME", choices=SCENARIOS)
    options = parser.parse_args()
    if options.scenarios is not None:
        scenarios(options.scenarios or SCENARIOS)
        return
    print("# Worlds of texts\n")
    print(machine())
    print(f"medians of {options.rounds} runs\n")
    runs = [town(100, 240) for _ in range(options.rounds)]
    spent = statistics.median(one for one, _ in runs)
    print("| what | figure |\n|---|---|")
    print(f"| town, 100 residents, world alone | {spent:.4f} ms per agent and tick |")
    print(f"| town, decisions at random | {runs[0][1]:.1f} calls per agent-hour |")
    # The difference of a long and a short run leaves out what a run costs whatever its length.
    town_in_the_loop(100, 5)
    short, few = town_in_the_loop(100, 30)
    long, many = town_in_the_loop(100, 150)
    tick = 1e3 * (long - short) / 120 / 100
    call = 1e3 * (long - short) / max(many - few, 1)
    print(f"| town in the loop, instant mock | {tick:.3f} ms per agent and tick |")
    print(f"| the same | {call:.3f} ms per call, {many / 100 / 2.5:.1f} calls per agent-hour |")
    for num in (1, 2, 4):
        rate = statistics.median(rooms(num, 5000) for _ in range(options.rounds))
        print(f"| rooms, {num} player(s), choice actions | {rate:,.0f} steps/s |")


if __name__ == "__main__":
    main()
