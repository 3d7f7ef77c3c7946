"""Does culture beat one lifetime at equal total experience? Memory Sequence, both ways.

``python benchmarks/experiments_culture.py`` runs, for five seeds at once, populations that watch
the generation before them (accumulation), populations that watch nobody (unseen), and one
generation that lives as many steps, or trials, alone (one lifetime). Printed: symbols right in a
trial, by generation; the last generation's mean over seeds with a 95 % t-interval; and the same for
its advantage over one lifetime, seed by seed. In weights a generation is judged in its last
twentieth, when demonstrators are all but out of sight; in context in its last trial, in which they
are out of sight. The networks of the second half come from ``memory_sequence_train``, which runs
first where ``--runs`` holds no such run; its seeds are networks trained from different beginnings,
each judged by its mean over 64 hidden sequences. ``--only weights`` or ``--only context`` runs
one half; ``--set`` changes its scenario, as on the command line.
``--quick`` shows only that the script works: two seeds, two generations, next to no training.

Source: Cook, Lu, Hughes, Leibo, Foerster (2024), "Artificial generational intelligence",
arXiv:2406.00392.
"""

import argparse
import json
import tempfile
import time

import numpy as np
from clock import machine
from scipy import stats

from society import learning
from society.build import build
from society.machine import Machine
from society.run import run_scenario
from society.scenario import load_scenario
from society.trained import runs_in, train_first

LAST = 20  # a generation is judged in its last part of so many
SEQUENCES = 64  # by which a trained network is judged
SCENARIOS = {
    "weights": "cultural_accumulation_in_weights",
    "context": "cultural_accumulation_in_context",
}
QUICK = {
    "weights": ["steps=256", "generations=2"],
    "context": ["generations=2"],
}
QUICK_ALONE = {
    "weights": ["steps=512", "generations=1"],
    "context": ["world.trials=8", "generations=1"],
}
QUICK_TRAINING = ["steps=256", "num_envs=2", "seeds=2"]


def lived(scenario, sets, seeds, runs):
    """[seeds, generations] symbols right in a trial: in the last part of each, and in its last."""
    given = load_scenario(scenario, [*sets, f"seeds={list(range(seeds))}", "measures=[]"])
    with runs_in(runs):
        train_first(given, lambda source: run_scenario(source, runs))
        simulation = build(given)
    loop, plan = Machine(simulation), simulation.plan
    total = plan.ticks_per_generation * plan.generations
    counted = [loop.metric_names.index(name) for name in ("symbols", "ended")]
    last = loop.generation_names.index("last_score")
    carries, tick, shares, scores = loop.start(range(seeds)), 0, [], []
    while tick < total:
        ends = [*learning.reads_boundaries(simulation.parts, tick), total]
        ticks = min(min(ends) - tick, simulation.engine.capacity)
        carries, chunk = loop.advance(carries, ticks)
        shares.append(np.asarray(chunk.ticks)[:, :ticks, counted])
        scores.append(np.asarray(chunk.generations)[:, : int(chunk.ended[0]), last])
        tick += ticks
        carries = loop.learn(carries, learning.due(simulation.parts, tick))
    shares = np.concatenate(shares, axis=1).reshape(seeds, plan.generations, -1, 2)
    right, trials = np.moveaxis(shares[:, :, -(shares.shape[2] // LAST) :].sum(axis=2), -1, 0)
    return right / np.maximum(trials, 1), np.concatenate(scores, axis=1)


def judged(half, sets, seeds, runs):
    """[seeds, generations] symbols right in a trial, as a generation is judged in this half."""
    if half == "weights":
        return lived(SCENARIOS[half], sets, seeds, runs)[0]
    return np.stack(
        [
            lived(SCENARIOS[half], [*sets, f"groups.pupils.policy.replicate={network}"],
                  SEQUENCES, runs)[1].mean(axis=0)
            for network in range(seeds)
        ]
    )  # fmt: skip


def interval(values):
    """Mean and the half-width of its 95 % t-interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def conditions(half, quick):
    """Name -> changes, as the scenario's own sweep has them; short ones in a quick trial."""
    sweep = load_scenario(SCENARIOS[half]).sweep.conditions
    found = {
        name: [f"{path}={json.dumps(value)}" for path, value in changes.items()]
        for name, changes in sweep.items()
    }
    if quick:
        found = {name: [*QUICK[half], *changes] for name, changes in found.items()}
        found["one_lifetime"] += QUICK_ALONE[half]
    return found


def barely_trained(runs):
    """Changes that put networks of next to no training in the place of trained ones."""
    found = run_scenario(load_scenario("memory_sequence_train", QUICK_TRAINING), runs)
    return [f"groups.pupils.policy={json.dumps({'use': 'trained', 'from': found['run_dir']})}"]


def compare(half, sets, seeds, runs, quick=False):
    """Run and print one half."""
    scenario = SCENARIOS[half]
    print(f"\n## {scenario} {' '.join(sets)}\n\n| condition | by generation | last | s |")
    print("|---|---|---|---|")
    final = {}
    for name, changes in conditions(half, quick).items():
        begun = time.perf_counter()
        found = judged(half, [*changes, *sets], seeds, runs)
        final[name] = found[:, -1]
        mean, wide = interval(final[name])
        each = " ".join(f"{value:.2f}" for value in found.mean(axis=0))
        seconds = time.perf_counter() - begun
        print(f"| {name} | {each} | {mean:.2f} ± {wide:.2f} | {seconds:.0f} |", flush=True)
    for other in ("one_lifetime", "unseen"):
        gain = final["accumulation"] - final[other]
        mean, wide = interval(gain)
        print(f"\naccumulation - {other}: {mean:+.2f} ± {wide:.2f}; ", end="")
        print("by seed " + " ".join(f"{value:+.2f}" for value in gain))


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--seeds", type=int, default=5)
    options.add_argument("--only", choices=tuple(SCENARIOS))
    options.add_argument("--set", action="append", default=[], metavar="PATH=VALUE")
    options.add_argument("--runs", default="runs", help="where runs of trained networks are kept")
    options.add_argument("--quick", action="store_true", help="does the script work? shows no more")
    given = options.parse_args()
    print(machine())
    halves = [given.only] if given.only else SCENARIOS
    if not given.quick:
        for half in halves:
            compare(half, given.set, given.seeds, given.runs)
        return
    with tempfile.TemporaryDirectory() as runs:
        for half in halves:
            sets = barely_trained(runs) if half == "context" else []
            compare(half, [*sets, *given.set], 2, runs, quick=True)


if __name__ == "__main__":
    main()
