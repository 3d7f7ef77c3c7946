"""The backend `local` with society-tiny: requests, decoded tokens and choices a second.

    python benchmarks/local.py [--rows 64] [--prompt 150] [--new 40] [--shared 100] [--repeats 15]

Prompts are random words of the given number of tokens; answers are held to the given number of
tokens (their end is not allowed), so nothing depends on what the model was taught. The last rows
give all prompts their first ``shared`` tokens in common, which are then read once. Decoding is
what the whole takes less what answers of one token take in the same turn. Times are taken after a
warm-up that compiles; medians, and the spread between the first and third quartile.

Targets on two cores: 100 requests and 12,000 decoded tokens a second.
"""

import argparse
import os
import platform
import statistics

import jax
import numpy as np
from clock import turns

from llm_agents.backends.local import model_folder
from llm_agents.choice import Tokens, TokenTree
from llm_agents.llama.engine import Engine, Task


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="society-tiny")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=150)
    parser.add_argument("--new", type=int, default=40)
    parser.add_argument("--shared", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=15)
    options = parser.parse_args()
    engine = Engine(model_folder(options.model))
    engine.ends = np.array([-1], np.int32)
    size = sum(leaf.size for leaf in jax.tree.leaves(engine.weights))
    print(f"jax {jax.__version__}, {jax.devices()[0].platform}, {os.cpu_count()} cores, ", end="")
    print(f"Python {platform.python_version()}, load {os.getloadavg()[0]:.1f}")
    print(f"{options.model}: {size / 1e6:.2f} M parameters, {options.rows} rows, ", end="")
    print(f"{options.prompt} prompt and {options.new} new tokens\n")
    prompts = np.random.default_rng(0).integers(5, 300, (options.rows, options.prompt)).tolist()
    print("| what | a second, median | quartiles |\n|---|---|---|")
    measure(engine, prompts, options, "")
    alike = [prompts[0][: options.shared] + prompt[options.shared :] for prompt in prompts]
    measure(engine, alike, options, f", {options.shared} prompt tokens in common")


def measure(engine: Engine, prompts: list[list[int]], options, note: str) -> None:
    trees = [TokenTree(Tokens(tuple(prompt), ((5,), (6,)))) for prompt in prompts]
    works = {
        "whole": lambda: answers(engine, prompts, options.new),
        "first": lambda: answers(engine, prompts, 1),
        "chosen": lambda: engine.score(trees),
    }
    taken = turns(works, options.repeats)
    decoding = [long - short for long, short in zip(taken["whole"], taken["first"], strict=True)]
    report("requests" + note, options.rows, taken["whole"])
    report("decoded tokens" + note, options.rows * (options.new - 1), decoding)
    report("prompt tokens" + note, options.rows * options.prompt, taken["first"])
    report("choices between two options" + note, options.rows, taken["chosen"])


def answers(engine: Engine, prompts: list[list[int]], new: int) -> None:
    tasks = [
        Task(tuple(prompt), room=new, seed=row, temperature=0.8)
        for row, prompt in enumerate(prompts)
    ]
    said = engine.generate(tasks)
    assert all(len(one.tokens) == new for one in said)


def report(name: str, amount: int, times: list[float]) -> None:
    rates = sorted(amount / max(took, 1e-9) for took in times)
    low, _, high = statistics.quantiles(rates, n=4)
    print(f"| {name} | {statistics.median(rates):,.0f} | {low:,.0f} to {high:,.0f} |")


if __name__ == "__main__":
    main()
