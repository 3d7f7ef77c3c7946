"""What evolves on the planet: a common garden, a neutral shadow, and what words do.

``python benchmarks/experiments_life.py`` runs ``life_planet`` (long form) for five seeds. For
each seed it takes the networks that live at the end and as many fresh random ones, puts both
on new planets as two groups with equal numbers and slots of their own, so that only food and
fights limit them, without mutation, and counts who is there after ``--garden`` steps. Printed:
each seed, the mean advantage (share of the evolved - 0.5) with a 95 % t-interval over seeds,
activity beside its neutral shadow, and the influence of heard words by intervention.
``--steps 3000 --scenario life_quick`` is a short form. Figures go to ``--out`` as JSON.
"""

import argparse
import json
import math
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from clock import machine

from society.build import build, roots
from society.machine import Machine, unstack
from society.measures.communication import heard_words, influence
from society.measures.diversity import diversity_of
from society.measures.evolutionary_activity import EvolutionaryActivity
from society.measures.lineage import lineage_numbers
from society.newborns import events_of
from society.phylogeny import pedigree_of
from society.scenario import load_scenario
from society.senses import percept_of

T95 = {2: 12.706, 3: 4.303, 4: 3.182, 5: 2.776, 6: 2.571, 8: 2.365, 10: 2.262}


def evolve(scenario, steps, seed):
    """Run one seed to its end: simulation, final carry, pedigree, population over time."""
    simulation = build(load_scenario(scenario, (f"steps={steps}", f"seeds=[{seed}]")))
    loop = Machine(simulation)
    carries, events, people, tick = loop.start([0]), [], [], 0
    column = loop.metric_names.index("population")
    while tick < steps:
        ticks = min(simulation.engine.capacity, steps - tick, 512)
        carries, chunk = loop.advance(carries, ticks)
        chunk = unstack(chunk, 0)
        people.append(np.asarray(chunk.ticks)[:ticks, column])
        events += events_of(0, chunk.lives, np.asarray(chunk.clock))
        tick += ticks
    carry = jax.tree.map(jnp.asarray, unstack(carries, 0))
    return simulation, carry, pedigree_of(events), np.concatenate(people)


def garden(simulation, carry, scenario, steps, seed, planets):
    """Mean share of the evolved among those alive after ``steps``, over fresh planets."""
    group = simulation.population.groups[0]
    each = f"{{count: {group.size // 4}, capacity: {group.size}}}"
    own = simulation.parts.policies[0]
    policy = f"{{use: {type(own).component_name}, width: {int(own.width)}}}"
    rival = f"{{count: {group.size // 4}, capacity: {group.size}, policy: {policy}}}"
    sets = (f"groups.{group.name}={each}", f"groups.random={rival}", "transmission=copy",
            f"steps={steps}", "measures=[]", f"seeds=[{1000 + seed}]")  # fmt: skip
    contest = build(load_scenario(scenario, sets))
    engine = contest.engine
    start = jax.jit(engine.start)
    advance = jax.jit(engine.advance, donate_argnums=1)
    rng, shares = np.random.default_rng(seed), []
    living = np.flatnonzero(np.asarray(carry.alive[group.rows]))
    for planet in range(planets):
        if not len(living):
            return float("nan")
        root = roots([10_000 * (seed + 1) + planet])[0]
        begun = start(contest.parts, contest.world, contest.graphs[0], root)
        rows = rng.choice(living, group.size)
        params = carry.minds[0].params
        own = jax.tree.map(lambda leaf, rows=rows: leaf[rows], params.own)
        fresh = begun.minds[0].params
        evolved = type(params)(own, params.shared, fresh.log_sd, form=params.form)
        minds = (begun.minds[0]._replace(params=evolved), begun.minds[1])
        now, tick = begun._replace(minds=minds), 0
        while tick < steps:
            ticks = min(engine.capacity, steps - tick)
            now, _ = advance(contest.parts, now, jnp.int32(ticks))
            tick += ticks
            if int(now.episode):  # everybody died; count what there was then as a draw
                break
        counts = [int(np.asarray(now.alive[g.rows]).sum()) for g in contest.population.groups]
        shares.append(0.5 if int(now.episode) else counts[0] / max(sum(counts), 1))
    return float(np.mean(shares))


def listen(simulation, carry):
    """Influence of heard words on the living."""
    engine, policy = simulation.engine, simulation.parts.policies[0]
    percept = percept_of(engine, carry, 0, engine.observe(carry), {}, jnp.int32(0))
    words, replace = heard_words(simulation.world.words)
    found = influence(policy, carry.minds[0], percept, jax.random.PRNGKey(0), words, replace)
    return {name: float(value) for name, value in found._asdict().items()}


def one(scenario, steps, seed, garden_steps, planets):
    began = time.perf_counter()
    simulation, carry, pedigree, people = evolve(scenario, steps, seed)
    alive = np.asarray(carry.alive[simulation.population.groups[0].rows])
    traits = np.asarray(simulation.parts.policies[0].traits(carry.minds[0]))[alive]
    record = type("Record", (), {"pedigree": pedigree})()
    return {
        "seed": seed,
        "persists": bool(people[-1] > 0),
        "restarts": int(carry.episode),
        "population": float(people[-steps // 10 :].mean()),
        "garden_share": garden(simulation, carry, scenario, garden_steps, seed, planets),
        "listening": listen(simulation, carry),
        "diversity": diversity_of(traits, 1.0).distance,
        **EvolutionaryActivity().finish((), record),
        **lineage_numbers(pedigree),
        "wall_s": time.perf_counter() - began,
    }


def interval(values):
    """Mean and half width of the 95 % t-interval."""
    values = np.asarray([v for v in values if math.isfinite(v)])
    if len(values) < 2:
        return float(values.mean()) if len(values) else math.nan, math.nan
    return float(values.mean()), T95[len(values)] * float(values.std(ddof=1)) / len(values) ** 0.5


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--scenario", default="life_planet")
    parser.add_argument("--steps", type=int, default=65_536)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--garden", type=int, default=1_000)
    parser.add_argument("--planets", type=int, default=4)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    print(machine())
    rows = []
    for seed in range(given.first, given.first + given.seeds):
        row = one(given.scenario, given.steps, seed, given.garden, given.planets)
        rows.append(row)
        print(json.dumps({k: v if not isinstance(v, float) else round(v, 4)
                          for k, v in row.items()}), flush=True)  # fmt: skip
    conclude(rows)
    if given.out:
        command = {**vars(given), "out": str(given.out)}
        told = {"command": command, "machine": machine(), "rows": rows}
        given.out.write_text(json.dumps(told, indent=1))


def conclude(rows):
    """What the rows say together."""
    mean, half = interval([row["garden_share"] - 0.5 for row in rows])
    print(f"common garden: evolved - random share {mean:+.3f}, 95 % interval +-{half:.3f}")
    mean, half = interval([row["activity_excess"] for row in rows])
    print(f"activity / neutral shadow: {mean:.2f} +-{half:.2f} (1 is drift)")
    print(f"persists: {sum(row['persists'] for row in rows)} of {len(rows)}")


if __name__ == "__main__":
    main()
