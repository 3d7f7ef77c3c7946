"""Timing side by side: every contestant once per round, so that a busy machine slows all."""

import os
import platform
import statistics
import time
from importlib import metadata
from typing import NamedTuple

import jax


class Timed(NamedTuple):
    """Seconds of one call: median, fastest, and spread (slowest - fastest)."""

    median: float
    best: float
    spread: float


def turns(contestants, rounds):
    """Time several calls in turn, after one of each that is not counted.

    Args:
      contestants: name -> call without arguments; what it returns is waited for.
      rounds: how often each is timed.

    Returns:
      Name -> seconds of each round.
    """
    for call in contestants.values():
        jax.block_until_ready(call())
    seconds = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            begun = time.perf_counter()
            jax.block_until_ready(call())
            seconds[name].append(time.perf_counter() - begun)
    return seconds


def race(contestants, rounds):
    """What ``turns`` took: ``Timed`` for each contestant."""
    return {
        name: Timed(statistics.median(taken), min(taken), max(taken) - min(taken))
        for name, taken in turns(contestants, rounds).items()
    }


def machine(*packages):
    """One line on the machine, and one on versions."""
    model = "unknown processor"
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as info:
            names = [line.split(":")[1].strip() for line in info if line.startswith("model name")]
        model = names[0] if names else model
    versions = ", ".join(f"{name} {_version(name)}" for name in ("jax", "numpy", *packages))
    load = os.getloadavg()[0]
    return (
        f"{model}, {os.cpu_count()} cores, load {load:.1f} before the run\n"
        f"Python {platform.python_version()}, {versions}"
    )


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"
