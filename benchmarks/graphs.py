"""Seconds to build every graph rule, beside networkx where it has the same generator.

``python benchmarks/graphs.py`` builds each rule at a million nodes and at ten thousand, where
networkx is timed too (its own graph only, without arrays for a device).
``--nodes`` and ``--small`` set other sizes, ``--repeats`` the number of repetitions.
"""

import argparse
import os
import platform
import statistics
import time

import networkx
import numpy as np
import scipy

from society.graphs import build_graph
from society.graphs.growth import BarabasiAlbert, WattsStrogatz
from society.graphs.lattices import Complete, ConnectedCaveman, Cycle, Empty, Grid2D, Path, Star
from society.graphs.random_graphs import ErdosRenyi, RandomRegular, StochasticBlock
from society.graphs.similarity import Similarity
from society.graphs.sources import FromNetworkx

BLOCKS = 100


def rules(num):
    """(name, rule, attributes, networkx's call or None); mean degree about ten throughout."""
    side = round(num**0.5)
    within = 8 * BLOCKS / num
    values = {"x": np.random.default_rng(0).random(num)}
    sizes = [num // BLOCKS] * BLOCKS
    chances = np.full((BLOCKS, BLOCKS), 2 / num) + np.eye(BLOCKS) * (within - 2 / num)
    return [
        ("complete", Complete(), {}, None),
        ("empty", Empty(), {}, lambda: networkx.empty_graph(num)),
        ("star", Star(), {}, lambda: networkx.star_graph(num - 1)),
        ("path", Path(), {}, lambda: networkx.path_graph(num)),
        ("cycle k=10", Cycle(k=10), {}, lambda: networkx.circulant_graph(num, [1, 2, 3, 4, 5])),
        (
            "grid_2d torus",
            Grid2D(periodic=True),
            {},
            lambda: networkx.grid_2d_graph(side, side, periodic=True),
        ),
        ("grid_2d Moore", Grid2D(periodic=True, neighbourhood="moore"), {}, None),
        (
            "connected_caveman",
            ConnectedCaveman(cliques=num // 10),
            {},
            lambda: networkx.connected_caveman_graph(num // 10, 10),
        ),
        (
            "erdos_renyi",
            ErdosRenyi(mean_degree=10),
            {},
            lambda: networkx.fast_gnp_random_graph(num, 10 / num, seed=0),
        ),
        (
            "random_regular",
            RandomRegular(degree=10),
            {},
            lambda: networkx.random_regular_graph(10, num, seed=0),
        ),
        (
            "stochastic_block",
            StochasticBlock(blocks=BLOCKS, p_in=within, p_out=2 / num),
            {},
            lambda: networkx.stochastic_block_model(sizes, chances, seed=0, sparse=True),
        ),
        (
            "watts_strogatz",
            WattsStrogatz(k=10, p=0.1),
            {},
            lambda: networkx.watts_strogatz_graph(num, 10, 0.1, seed=0),
        ),
        (
            "barabasi_albert",
            BarabasiAlbert(m=5),
            {},
            lambda: networkx.barabasi_albert_graph(num, 5, seed=0),
        ),
        ("similarity", Similarity(attribute="x", above=1 - 5 / num), values, None),
    ]


def seconds(call, repeats):
    """Median and spread of some timed calls after one that is not counted."""
    call()
    taken = []
    for _ in range(repeats):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return statistics.median(taken), max(taken) - min(taken)


def main():
    """Print one table for each size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1_000_000)
    parser.add_argument("--small", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    print(f"NumPy {np.__version__}, SciPy {scipy.__version__}, networkx {networkx.__version__}")
    print(f"medians of {options.repeats} after one warm-up; load {os.getloadavg()[0]:.1f}\n")
    print(f"{options.nodes} nodes\n{'rule':20}{'seconds':>9}{'spread':>9}{'ties':>12}")
    for name, rule, columns, _ in rules(options.nodes):
        graph = build_graph(rule, options.nodes, columns=columns)
        median, spread = seconds(
            lambda r=rule, c=columns: build_graph(r, options.nodes, columns=c), options.repeats
        )
        ties = "implicit" if graph.complete else f"{int(graph.offsets[-1]) // 2}"
        print(f"{name:20}{median:9.2f}{spread:9.2f}{ties:>12}", flush=True)
    print(f"\n{options.small} nodes\n{'rule':20}{'ours, ms':>10}{'networkx, ms':>14}{'ratio':>8}")
    for name, rule, columns, theirs in rules(options.small):
        ours, _ = seconds(
            lambda r=rule, c=columns: build_graph(r, options.small, columns=c), options.repeats
        )
        if theirs is None:
            print(f"{name:20}{1e3 * ours:10.1f}", flush=True)
            continue
        other, _ = seconds(theirs, options.repeats)
        print(f"{name:20}{1e3 * ours:10.1f}{1e3 * other:14.1f}{other / ours:8.1f}", flush=True)
    wrapped = FromNetworkx(generator="watts_strogatz", params={"k": 10, "p": 0.1})
    ours, _ = seconds(lambda: build_graph(wrapped, options.small), options.repeats)
    print(f"{'networkx, wrapped':20}{1e3 * ours:10.1f}")


if __name__ == "__main__":
    main()
