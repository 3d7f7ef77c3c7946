"""Turns per second of repeated games, beside Axelrod and OpenSpiel in the same run.

Needs the peers of the extra ``bench``; install torch first (``pip install torch==2.13.0``),
because Axelrod requires it. ``python benchmarks/games.py`` prints three tables: a noisy
tournament of twelve strategies (bare kernel, world and policies in a plain loop, the whole
loop of a scenario, Axelrod), the same through the command line, and memory-one strategies
beside OpenSpiel. ``--quick`` takes fewer rounds. A turn is one round of one match.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import kernels
from clock import machine, race

from rl_agents.scripted.mix import Strategies
from society.build import build
from society.machine import Machine
from society.scenario import load_scenario
from worlds.games.iterated import play_memory_one
from worlds.games.presets import PRESETS
from worlds.random import fold
from worlds.registry import make
from worlds.types import Percept, Seats

TURNS, NOISE, MATCHES = 200, 0.05, 78
BARE, BARE_ANSWERS = "bare kernel", "bare kernel, answers counted too"
NAMES = (
    "tit_for_tat", "always_cooperate", "always_defect", "alternator", "grudger",
    "tit_for_two_tats", "two_tits_for_tat", "suspicious_tit_for_tat", "anti_tit_for_tat",
    "hard_tit_for_tat", "win_stay_lose_shift", "gradual",
)  # fmt: skip


def bare_kernel(copies, *, answers):
    """The kernel that knows nothing of worlds, policies and the loop."""
    key, noise = jax.random.PRNGKey(0), jnp.float32(NOISE)
    return lambda: kernels.tournament(key, noise, turns=TURNS, copies=copies, answers=answers)


def contract(copies):
    """World and policy in a plain loop, nothing recorded but cooperation and payoff."""
    world = make(
        "matrix_game", num_slots=12, rounds=TURNS, noise=NOISE, self_play=True, repetitions=copies
    )
    policy = Strategies(mix=NAMES)
    seats = Seats(
        12, 0, world, world.action_space(0), world.observation_space(0), fixed=True
    )  # fmt: skip

    @jax.jit
    def run(world, key):
        def body(turn, loop):
            state, mind, series = loop
            seen = world.observe(state)
            first = jnp.broadcast_to(turn == 0, (12,))
            percept = Percept(seen.view, seen.alive, seen.acting, first)
            decision = policy.act(fold(key, 2, turn), mind, percept)
            state, transition = world.step(fold(key, 3, turn), state, decision.action)
            row = jnp.stack([transition.metrics[name] for name in ("cooperation", "payoff")])
            return state, mind._replace(memory=decision.memory), series.at[turn].set(row)

        start = world.init(fold(key, 0)), policy.init(fold(key, 1), seats), jnp.zeros((TURNS, 2))
        state, _, series = jax.lax.fori_loop(0, TURNS, body, start)
        return world.outcome(state), series

    return lambda: run(world, jax.random.PRNGKey(0))


def loop(copies, measures):
    """The compiled loop of the shipped scenario, one replicate, one episode."""
    scenario = load_scenario(
        "axelrod_tournament",
        sets=(
            f"world.repetitions={copies}",
            f"world.noise={NOISE}",
            f"world.rounds={TURNS}",
            f"measures={measures}",
        ),
    )
    simulation = build(scenario)
    runner = Machine(simulation)

    def run():
        carries, ticks = runner.start([0]), 0
        while ticks < TURNS:
            size = min(simulation.engine.capacity, TURNS - ticks)
            carries, _ = runner.advance(carries, size)
            ticks += size
        return carries

    return run


def axelrod_tournament(repetitions):
    """Axelrod's own tournament, without and with its analysis of results."""
    import axelrod

    classes = (
        axelrod.TitForTat, axelrod.Cooperator, axelrod.Defector, axelrod.Alternator,
        axelrod.Grudger, axelrod.TitFor2Tats, axelrod.TwoTitsForTat, axelrod.SuspiciousTitForTat,
        axelrod.AntiTitForTat, axelrod.HardTitForTat, axelrod.WinStayLoseShift, axelrod.Gradual,
    )  # fmt: skip

    def play():
        tournament = axelrod.Tournament(
            [cls() for cls in classes],
            turns=TURNS, noise=NOISE, repetitions=repetitions, seed=1,
        )  # fmt: skip
        return tournament.play(progress_bar=False) and None

    return play


def tournaments(rounds, copies_list):
    """Our three levels and Axelrod, side by side."""
    reps = 2
    peer = race({"axelrod": axelrod_tournament(reps)}, max(rounds // 5, 2))["axelrod"]
    peer_rate = MATCHES * TURNS * reps / peer.median
    print(f"\n## Noisy tournament: 12 strategies, {TURNS} turns, noise {NOISE}\n")
    print(f"Axelrod, {reps} repetitions with analysis: {peer_rate:,.0f} turns/s\n")
    print("The first two levels and the loop after them count cooperations and scores; the")
    print("others also count what the measure reciprocity does (`scenarios/axelrod_tournament`).\n")
    print("| R | level | ms | best ms | million turns/s | x Axelrod | over its bare kernel |")
    print("|---|---|---|---|---|---|---|")
    for copies in copies_list:
        contestants = {
            BARE: bare_kernel(copies, answers=False),
            "world and policies": contract(copies),
            "loop, counting the same": loop(copies, "[tournament]"),
            BARE_ANSWERS: bare_kernel(copies, answers=True),
            "loop, measures of the shipped scenario": loop(
                copies, "[tournament, reciprocity, efficiency]"
            ),
        }
        timed = race(contestants, rounds)
        for name, taken in timed.items():
            bare = timed[BARE_ANSWERS if "shipped" in name or name == BARE_ANSWERS else BARE]
            rate = MATCHES * TURNS * copies / taken.median
            print(
                f"| {copies} | {name} | {1e3 * taken.median:.2f} | {1e3 * taken.best:.2f} "
                f"| {rate / 1e6:.1f} | {rate / peer_rate:,.0f} "
                f"| {taken.median / bare.median - 1:+.0%} |",
                flush=True,
            )


def command_line(copies_list):
    """Wall time of ``society run axelrod_tournament``, start of Python included."""
    print("\n## society run axelrod_tournament, from the shell\n")
    print("| R | s in all | s of it running | turns/s in all |")
    print("|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for copies in copies_list:
            command = [
                sys.executable, "-m", "society.cli", "run", "axelrod_tournament", "--json",
                "--out", folder, "--set", f"world.repetitions={copies}",
                "--set", f"world.noise={NOISE}",
            ]  # fmt: skip
            environment = {**os.environ, "JAX_COMPILATION_CACHE_DIR": str(Path(folder) / "jax")}
            for _ in range(2):  # the second finds its programs compiled
                begun = time.perf_counter()
                done = subprocess.run(
                    command, check=True, capture_output=True, text=True, env=environment
                )
                taken = time.perf_counter() - begun
            summary = json.loads(done.stdout)
            turns = MATCHES * TURNS * copies
            print(
                f"| {copies} | {taken:.2f} | {summary['wall_s']:.2f} | {turns / taken:,.0f} |",
                flush=True,
            )


def open_spiel(rounds, episodes):
    """OpenSpiel's repeated Prisoner's Dilemma, actions known in advance."""
    import pyspiel

    game = pyspiel.create_repeated_game("matrix_pd", {"num_repetitions": rounds})
    moves = [[turn % 2, (turn // 2) % 2] for turn in range(rounds)]

    def play():
        for _ in range(episodes):
            state = game.new_initial_state()
            apply = state.apply_actions
            for move in moves:
                apply(move)
        return state.is_terminal() and None

    return play


def memory_one(rounds):
    """Our memory-one kernel at four batch sizes beside OpenSpiel."""
    table = jnp.asarray(PRESETS["prisoners_dilemma"].table, jnp.float32)
    key = jax.random.PRNGKey(0)
    length_spiel, episodes = 1000, 100
    print("\n## Memory-one strategies, Prisoner's Dilemma\n")
    print("| batch | rounds | million steps/s | best | OpenSpiel, million | ratio |")
    print("|---|---|---|---|---|---|")
    for batch, length in ((1, 2_000_000), (64, 200_000), (1024, 20_000), (65536, 1000)):
        chances = jnp.tile(jnp.array([[0.9, 0.1, 0.6, 0.3, 0.5]], jnp.float32), (batch, 1))

        def ours(chances=chances, length=length):
            return play_memory_one(key, chances, chances, table, rounds=length)

        timed = race({"ours": ours, "spiel": open_spiel(length_spiel, episodes)}, rounds)
        rate, peer = (
            batch * length / timed["ours"].median,
            length_spiel * episodes / timed["spiel"].median,
        )
        best = batch * length / timed["ours"].best
        print(
            f"| {batch} | {length} | {rate / 1e6:.0f} | {best / 1e6:.0f} | {peer / 1e6:.2f} "
            f"| {rate / peer:.0f} |",
            flush=True,
        )


def main():
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and sizes")
    parser.add_argument("--rounds", type=int, default=20, help="timed calls of each contestant")
    options = parser.parse_args()
    rounds = 5 if options.quick else options.rounds
    sizes = (100,) if options.quick else (10, 100, 1000)
    print("# Repeated games\n")
    print(machine("axelrod", "open_spiel"))
    print(f"medians of {rounds} calls after one that is not counted; contestants take turns")
    tournaments(rounds, sizes)
    command_line(sizes[:2])
    memory_one(rounds)


if __name__ == "__main__":
    main()
