"""Make the pictures of README and docs: `python examples/pictures.py [folder]` (extra: viz).

Runs shipped scenarios, some of them shortened, and draws what came out.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import jax
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import networkx as nx
import numpy as np

from society.build import build
from society.machine import Machine, unstack
from society.run import run_scenario
from society.scenario import load_scenario

BLUE, RED, GREEN, GREY, GOLD = "#2f6db5", "#c8453b", "#3c8d5a", "#7a7a7a", "#d39a2d"
GRAPHS = {
    "scale-free": ("{use: barabasi_albert, m: 2}", BLUE),
    "small world": ("{use: watts_strogatz, k: 4, p: 0.1}", GREEN),
    "lattice": ("{use: grid_2d, periodic: true}", GOLD),
    "complete": ("complete", GREY),
}


def main(folder: Path) -> None:
    """Draw the overview picture."""
    plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    with tempfile.TemporaryDirectory() as runs:
        draw_cooperation(left, runs)
        draw_network(middle)
        draw_generosity(right, runs)
    folder.mkdir(parents=True, exist_ok=True)
    figure.savefig(folder / "overview.png", dpi=130)


def draw_cooperation(axes: Any, runs: str) -> None:
    """Mean share of cooperators over generations on four graphs, five seeds each."""
    for label, (graph, colour) in GRAPHS.items():
        sets = [f"graph={graph}", "seeds=5", "generations=300", "groups.players.count=400"]
        summary = run_scenario(load_scenario("cooperation_on_networks", sets), runs)
        shares = np.asarray(summary["measures"]["strategy_shares"])
        when = summary["measures"]["strategy_generations"]
        axes.plot(when, shares[:, 0], color=colour, label=label, lw=1.8)
    axes.set(xlabel="generation", ylabel="share of cooperators", ylim=(0, 1))
    entitle(axes, "Who is tied to whom decides\nwhether cooperation lasts")
    axes.legend(frameon=False, fontsize=8)


def draw_network(axes: Any) -> None:
    """The population of one run, at its 60th generation."""
    sets = ["generations=60", "groups.players.count=150"]
    simulation = build(load_scenario("cooperation_on_networks", sets))
    machine = Machine(simulation)
    carries, _ = machine.advance(machine.start([0]), simulation.plan.total)
    carry = unstack(carries, 0)
    types = np.asarray(simulation.engine.types(simulation.parts, jax.device_put(carry.minds)))
    ties = nx.Graph()
    ties.add_nodes_from(range(150))
    kept = carry.graph.senders < 150
    ties.add_edges_from(zip(carry.graph.senders[kept], carry.graph.receivers[kept], strict=True))
    place = nx.spring_layout(ties, seed=4, iterations=120)
    size = [12 + 9 * ties.degree(node) for node in ties]
    colour = [BLUE if kind == 0 else RED for kind in types]
    nx.draw_networkx_edges(ties, place, ax=axes, edge_color="#cccccc", width=0.6)
    nx.draw_networkx_nodes(ties, place, ax=axes, node_size=size, node_color=colour, linewidths=0)
    entitle(axes, "One population after 60 generations:\ncooperators blue, defectors red")
    axes.axis("off")


def draw_generosity(axes: Any, runs: str) -> None:
    """Mean donated share over generations of the Donor Game, with and without advice."""
    for label, sets, colour in (
        ("advice of survivors", [], BLUE),
        ("no advice", ["transmission=none"], GREY),
    ):
        summary = run_scenario(load_scenario("donor_game", sets), runs)
        given = summary["measures"]["generosity_by_generation"]
        axes.plot(given, color=colour, label=label, lw=1.8)
    axes.set(xlabel="generation", ylabel="share of resources given", ylim=(0, 1))
    entitle(axes, "Donor Game of scripted stand-ins\nfor language agents (mock)")
    axes.legend(frameon=False, fontsize=8)


def entitle(axes: Any, text: str) -> None:
    """Put a title above the left corner."""
    axes.set_title(text, loc="left", fontsize=9.5)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/images"))
