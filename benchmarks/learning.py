"""The coin game and independent PPO on it, side by side with JaxMARL.

    .venv/bin/python benchmarks/learning.py
    .venv/bin/python benchmarks/learning.py --peer PYTHON --peer-ippo FILE

PYTHON is an interpreter with ``jaxmarl`` 0.2.0 (and ``distrax`` for the second table); FILE
is ``baselines/IPPO/ippo_ff_mpe.py`` of its repository, which the package does not contain.
Both sides are timed in turn, one call each a round. "Steps" are steps of one world in which
both players move. Random play on both sides draws from ``jax.random.randint``; both restart
their episodes. Training is end to end: acting, advantages, four epochs of four minibatches,
two towers of two layers of 64 units.
"""

import argparse
import importlib.util
import statistics
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

import jax
import jax.numpy as jnp

WORLDS = (1, 64, 1024)
EPISODE = 100
PLAY_STEPS = {1: 20_000, 64: 4_000, 1024: 500}
TRAIN = {16: 24, 256: 4}  # worlds: updates of 128 steps


def timed(call):
    """Seconds of a call, its result awaited."""
    begun = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - begun


# ---- the peer, in its own interpreter ----------------------------------------------------


def peer_play(num):
    """Random play of JaxMARL's coin game; a call without arguments."""
    import jaxmarl

    env = jaxmarl.make("coin_game", num_inner_steps=EPISODE, num_outer_steps=1, egocentric=True)
    keys = jax.random.split(jax.random.PRNGKey(0), num)
    _, start = jax.vmap(env.reset)(keys)

    def step(carry, key):
        state, total = carry
        action = jax.random.randint(key, (num, 2), 0, 5)
        acts = {"0": action[:, 0], "1": action[:, 1]}
        seen, state, reward, _, _ = jax.vmap(env.step)(jax.random.split(key, num), state, acts)
        shown = seen["0"].sum() + seen["1"].sum()
        return (state, total + reward["0"].sum() + shown), None

    steps = PLAY_STEPS[num]
    run = jax.jit(lambda key: jax.lax.scan(step, (start, 0.0), jax.random.split(key, steps))[0][1])
    return lambda: run(jax.random.PRNGKey(1))


def peer_train(num, script):
    """Training of JaxMARL's feed-forward IPPO on its coin game."""
    for name in ("hydra", "wandb", "omegaconf"):
        sys.modules[name] = types.ModuleType(name)
    sys.modules["hydra"].main = lambda **_: lambda function: function
    sys.modules["omegaconf"].OmegaConf = None
    sys.modules["wandb"].log = lambda _: None
    import jaxmarl
    from jaxmarl.environments.coin_game.coin_game import CoinGame

    class Bare(CoinGame):
        """Without infos, and with scalar actions: the shapes that the script expects."""

        def step(self, key, state, actions):
            actions = {name: action.squeeze() for name, action in actions.items()}
            return *super().step(key, state, actions)[:4], {}

    jaxmarl.make = lambda name, **kwargs: Bare(**kwargs)
    spec = importlib.util.spec_from_file_location("peer_ippo", script)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    settings = {"LR": 2.5e-4, "NUM_ENVS": num, "NUM_STEPS": 128, "UPDATE_EPOCHS": 4}
    settings |= {"NUM_MINIBATCHES": 4, "GAMMA": 0.99, "GAE_LAMBDA": 0.95, "CLIP_EPS": 0.2}
    settings |= {"ENT_COEF": 0.01, "VF_COEF": 0.5, "MAX_GRAD_NORM": 0.5, "ACTIVATION": "tanh"}
    settings |= {"ENV_NAME": "coin_game", "ANNEAL_LR": False}
    settings["TOTAL_TIMESTEPS"] = TRAIN[num] * 128 * num
    settings["ENV_KWARGS"] = {"num_inner_steps": EPISODE, "num_outer_steps": 1}
    train = jax.jit(module.make_train(settings))
    return lambda: train(jax.random.PRNGKey(1))["runner_state"]


def serve(script):
    """Answer lines "play N" and "train N" with seconds; the first call of each compiles."""
    calls = {}
    for line in sys.stdin:
        kind, num = line.split()
        if line not in calls:
            calls[line] = peer_play(int(num)) if kind == "play" else peer_train(int(num), script)
            timed(calls[line])
        print(f"seconds {timed(calls[line])}", flush=True)


# ---- ours ------------------------------------------------------------------------------


def our_play(num):
    """Random play of our coin game; a call without arguments."""
    from worlds.many import ManyWorlds
    from worlds.random import fold
    from worlds.registry import make
    from worlds.tree import as_arrays

    single = make("coin_game", max_steps=EPISODE, collisions="allowed")
    world = as_arrays(
        ManyWorlds(world=single, num_envs=num, restart=True, group_sizes=(2,), num_slots=2 * num)
    )
    start = jax.jit(world.init)(jax.random.PRNGKey(0))

    def step(carry, key):
        state, total = carry
        action = jax.random.randint(key, (2 * num,), 0, 5)
        state, moved = world.step(fold(key, 1), state, action)
        shown = world.observe(state).view["grid"].sum(dtype=jnp.float32)
        return (state, total + moved.reward.sum() + shown), None

    steps = PLAY_STEPS[num]
    run = jax.jit(lambda key: jax.lax.scan(step, (start, 0.0), jax.random.split(key, steps))[0][1])
    return lambda: run(jax.random.PRNGKey(1))


def our_train(num):
    """Training of our IPPO from a scenario: the compiled chunk and update of a run, in turn."""
    from society.build import build
    from society.machine import Machine
    from society.scenario import load_scenario

    text = f"""
world: {{use: coin_game, max_steps: {EPISODE}, collisions: allowed}}
groups:
  players:
    count: 2
    policy: {{use: mlp, width: 64}}
    learner: {{use: ippo, rollout: 128, epochs: 4, minibatches: 4}}
num_envs: {num}
steps: 1e9
"""
    path = Path(tempfile.mkdtemp()) / "coins.yaml"
    path.write_text(text)
    simulation = build(load_scenario(path))
    machine = Machine(simulation)
    held = [machine.start([0])]

    def call():
        carries = held.pop()
        for _ in range(TRAIN[num]):
            carries, _ = machine.advance(carries, 128)
            carries = machine.learn(carries, (0,))
        held.append(carries)
        return carries

    return call


class Peer:
    """The peer's side, asked over a pipe; None answers where there is none."""

    def __init__(self, python, script):
        command = [python, __file__, "--serve", "--peer-ippo", script or ""]
        self.process = python and subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.trains = bool(script)

    def ask(self, kind, num):
        if not self.process or (kind == "train" and not self.trains):
            return None
        self.process.stdin.write(f"{kind} {num}\n")
        for line in self.process.stdout:  # the peer prints notes of its own
            if line.startswith("seconds "):
                return float(line.split()[1])
        raise RuntimeError("the peer has stopped; its error stands above")


def row(label, steps, call, ask, rounds):
    """One line of the table: median steps/s of both sides, and their ratio with its range."""
    timed(call)
    ours, theirs = [], []
    for _ in range(rounds):
        theirs.append(ask())
        ours.append(timed(call))
    line = f"{label:<28} {steps / statistics.median(ours):>12,.0f}"
    if theirs[0] is not None:
        ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
        line += f" {steps / statistics.median(theirs):>12,.0f}"
        line += f" {statistics.median(ratios):>7.2f} ({min(ratios):.2f}-{max(ratios):.2f})"
    print(line, flush=True)


def main():
    options = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    options.add_argument("--peer", help="an interpreter with jaxmarl")
    options.add_argument("--peer-ippo", help="baselines/IPPO/ippo_ff_mpe.py of JaxMARL")
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--only", choices=("play", "train"), help="one of the two tables")
    options.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.serve:
        serve(given.peer_ippo)
        return
    from clock import machine

    print(machine("flax", "gymnasium"), f"on {jax.default_backend()}")
    peer = Peer(given.peer, given.peer_ippo)
    print(f"{'steps/s':<28} {'ours':>12} {'JaxMARL':>12} {'ratio (range)':>16}")
    for num in WORLDS if given.only != "train" else ():
        label = f"coin game, {num} worlds"
        steps = PLAY_STEPS[num] * num
        row(label, steps, our_play(num), lambda num=num: peer.ask("play", num), given.rounds)
    for num, updates in TRAIN.items() if given.only != "play" else ():
        label = f"IPPO, {num} worlds"
        steps = updates * 128 * num
        row(label, steps, our_train(num), lambda num=num: peer.ask("train", num), given.rounds)


if __name__ == "__main__":
    main()
