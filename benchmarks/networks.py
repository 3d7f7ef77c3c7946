"""Imitation among a million agents on a graph: steps per second, beside what others reach.

Everybody plays one round with all neighbours (degree 10), then compares itself with one of
them and copies it by the Fermi rule. ``python benchmarks/networks.py`` times, in turns:
the bare kernel, the loop of a scenario (world matrix_game, selection fermi), the same
dynamics written plainly (float32, jax.random, segment_sum), and AgentTorch's runner with an
SIR model on a graph of the same size (extra ``bench``; install torch first). Also printed:
memory before and after, which must not grow. ``--agents`` sets another size.
"""

import argparse
import resource

import jax
import jax.numpy as jnp
import kernels
import numpy as np
from clock import machine, race

from society.build import build
from society.machine import Machine
from society.scenario import load_scenario

DEGREE, TEMPTATION, BETA = 10, 1.3, 1.0
PAYOFF = ((1.0, 0.0), (TEMPTATION, 0.0))


def scenario(num, steps):
    """The loop, as ``society run`` would run it; every tick is a generation."""
    simulation = build(
        load_scenario(
            "cooperation_on_networks",
            sets=(
                f"groups.players.count={num}",
                f"graph={{use: random_regular, degree: {DEGREE}}}",
                f"selection={{use: fermi, beta: {BETA}}}",
                f"world.temptation={TEMPTATION}",
                f"generations={10**6}",
                "measures=[]",
            ),
        )
    )
    runner = Machine(simulation)
    held = {"carry": runner.start([0])}

    def run():
        done = 0
        while done < steps:
            size = min(simulation.engine.capacity, steps - done)
            held["carry"], _ = runner.advance(held["carry"], size)
            done += size
        return jax.tree.leaves(held["carry"].minds)

    return simulation.graphs[0], run


def agent_torch_sir(num, senders, receivers, steps):
    """AgentTorch's runner, one substep: an SIR step along the given ties."""
    import torch
    from agent_torch.core import Registry, Runner
    from agent_torch.core.substep import SubstepTransition

    edges = torch.from_numpy(np.stack([senders, receivers]).astype(np.int64))

    class Infect(SubstepTransition):
        def forward(self, state, action):
            stage = state["agents"]["people"]["stage"]
            source, target = state["network"]["agent_agent"]["contacts"]["adjacency_matrix"][0]
            ill = (stage == 1).float()
            pressure = torch.zeros_like(stage).index_add_(0, target, ill[source])
            catches = (stage == 0) & (torch.rand_like(stage) < 1 - torch.exp(-0.05 * pressure))
            heals = (stage == 1) & (torch.rand_like(stage) < 0.2)
            return {"stage": torch.where(catches | heals, stage + 1, stage)}

    def contacts(params):
        return None, (edges, torch.ones(1))

    registry = Registry()
    registry.register(Infect, "infect", "transition")
    registry.register(contacts, "contacts", "network")
    first = (np.random.default_rng(0).random(num) < 0.01).astype(np.float32)
    config = {
        "simulation_metadata": {
            "num_agents": num, "num_episodes": 1, "num_steps_per_episode": steps,
            "num_substeps_per_step": 1, "device": "cpu", "calibration": False,
        },
        "state": {
            "environment": None,
            "agents": {
                "people": {
                    "number": num,
                    "properties": {
                        "stage": {
                            "name": "stage", "shape": [num], "dtype": "float",
                            "learnable": False, "initialization_function": None,
                            "value": first.tolist(),
                        }
                    },
                }
            },
            "objects": None,
            "network": {"agent_agent": {"contacts": {"type": "contacts", "arguments": {}}}},
        },
        "substeps": {
            "0": {
                "active_agents": ["people"],
                "observation": {"people": None},
                "policy": {"people": None},
                "transition": {
                    "infect": {
                        "generator": "infect", "arguments": None,
                        "input_variables": {"stage": "agents/people/stage"},
                        "output_variables": ["stage"],
                    }
                },
            }
        },
    }  # fmt: skip
    runner = Runner(config, registry)
    runner.init()

    def run():
        runner.state_trajectory = []  # its snapshots would fill the memory
        runner.step(steps)

    return run


def resident_mb():
    """Largest resident memory so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main():
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--agents", type=int, default=1_000_000)
    parser.add_argument("--steps", type=int, default=50, help="steps of one timed call")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--no-peer", action="store_true", help="leave AgentTorch out")
    options = parser.parse_args()
    num, steps = options.agents, options.steps
    print(f"# Imitation on a graph: {num:,} agents, degree {DEGREE}\n")
    print(machine("agent-torch", "torch"))
    graph, loop = scenario(num, steps)
    types = jnp.asarray(np.random.default_rng(0).integers(0, 2, num), jnp.int8)
    payoff, key = jnp.array(PAYOFF, jnp.float32), jax.random.PRNGKey(0)
    few = max(steps // 10, 2)
    contestants = {
        "bare kernel": (
            steps,
            lambda: kernels.imitation(types, graph.table, payoff, BETA, key, steps=steps),
        ),
        "loop of the scenario": (steps, loop),
        "float32 segment_sum": (
            few,
            lambda: kernels.imitation_by_segments(
                types, graph.senders, graph.receivers, payoff, BETA, key, steps=few
            ),
        ),
    }
    if not options.no_peer:
        contestants["AgentTorch, SIR"] = (
            few, agent_torch_sir(num, np.asarray(graph.senders), np.asarray(graph.receivers), few),
        )  # fmt: skip
    before = resident_mb()
    timed = race({name: call for name, (_, call) in contestants.items()}, options.rounds)
    after = resident_mb()
    print(f"medians of {options.rounds} calls of {steps} (or {few}) steps, in turns\n")
    print("| what | ms a step | best | steps/s | bare is x times as fast |")
    print("|---|---|---|---|---|")
    bare = timed["bare kernel"].median / steps
    for name, (count, _) in contestants.items():
        step = timed[name].median / count
        print(
            f"| {name} | {1e3 * step:.1f} | {1e3 * timed[name].best / count:.1f} "
            f"| {1 / step:.1f} | {step / bare:.2f} |"
        )
    print(f"\nlargest resident memory: {before:.0f} MB before, {after:.0f} MB after")
    jax.block_until_ready(loop())
    for _ in range(5):
        jax.block_until_ready(loop())
    print(f"after {5 * steps} more steps of the loop: {resident_mb():.0f} MB")


if __name__ == "__main__":
    main()
