"""Statistics over replicates. The unit is the run: agents of one run are not independent.

Everything is NumPy, seeded, and gives the same numbers on every machine.

Source: Agarwal, Schwarzer, Castro, Courville & Bellemare (2021), "Deep reinforcement learning
at the edge of the statistical precipice", arXiv:2108.13264 (interquartile mean, stratified
bootstrap, probability of improvement); Cliff (1993), doi:10.1037/0033-2909.114.3.494;
Holm (1979), "A simple sequentially rejective multiple test procedure".
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = [
    "FEW_RUNS",
    "bootstrap_interval",
    "cliffs_delta",
    "holm",
    "iqm",
    "permutation_test",
    "probability_of_improvement",
    "standard_error",
    "summarise",
]

FEW_RUNS = 5
_RESAMPLES = 2000


def summarise(values: Sequence[float], *, seed: int = 0) -> dict[str, Any]:
    """Summarise one number per run.

    Runs in which the number is undefined (NaN or None) are left out and counted.

    Args:
      values: one per run.
      seed: of the bootstrap.

    Returns:
      ``mean``, ``iqm``, ``se`` and ``ci95`` (bootstrap interval of the mean; None for fewer
      than two runs), ``n`` defined values, ``undefined``, ``few`` (True below 5 runs, where
      intervals are too narrow) and ``values`` in the order given.
    """
    listed = [None if value is None else float(value) for value in values]
    sample = np.array([v for v in listed if v is not None and not np.isnan(v)], np.float64)
    several = sample.size > 1
    return {
        "mean": float(sample.mean()) if sample.size else None,
        "iqm": iqm(sample) if sample.size else None,
        "se": standard_error(sample) if several else None,
        "ci95": list(bootstrap_interval([sample], seed=seed)) if several else None,
        "n": int(sample.size),
        "undefined": len(listed) - int(sample.size),
        "few": bool(sample.size < FEW_RUNS),
        "values": [None if v is None or np.isnan(v) else v for v in listed],
    }


def iqm(values: Sequence[float] | np.ndarray) -> float:
    """Return the interquartile mean: the mean without the lowest and highest quarter.

    Where n is not a multiple of 4, the two values at the edges count in part.
    """
    ordered = np.sort(np.asarray(values, np.float64).ravel())
    if not ordered.size:
        raise ValueError("iqm of no values; give at least one run")
    cut = ordered.size / 4
    position = np.arange(ordered.size)
    inside = np.minimum(position + 1, ordered.size - cut) - np.maximum(position, cut)
    weight = np.clip(inside, 0.0, 1.0)
    return float((weight * ordered).sum() / weight.sum())


def standard_error(values: Sequence[float] | np.ndarray) -> float:
    """Return the standard error of the mean, from the sample variance (n - 1)."""
    sample = np.asarray(values, np.float64)
    if sample.size < 2:
        raise ValueError(f"a standard error needs 2 runs or more, got {sample.size}")
    return float(sample.std(ddof=1) / np.sqrt(sample.size))


def bootstrap_interval(
    strata: Sequence[Sequence[float] | np.ndarray],
    *,
    statistic: Callable[[np.ndarray], float] | None = None,
    level: float = 0.95,
    resamples: int = _RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """Return the percentile bootstrap interval of a statistic over runs.

    Runs are drawn with replacement within each stratum (a condition, a world), so that
    every resample has the design of the study.

    Args:
      strata: one sequence of runs per stratum.
      statistic: of the pooled resample; None for the mean.
      level: coverage. resamples: number of resamples. seed: of NumPy's generator.
    """
    samples = [np.asarray(stratum, np.float64) for stratum in strata]
    if not samples or any(sample.size == 0 for sample in samples):
        raise ValueError("a bootstrap interval needs at least one run in every stratum")
    rng = np.random.default_rng(seed)
    drawn = np.concatenate(
        [sample[rng.integers(0, sample.size, (resamples, sample.size))] for sample in samples],
        axis=1,
    )
    values = drawn.mean(1) if statistic is None else np.array([statistic(row) for row in drawn])
    tail = 50.0 * (1.0 - level)
    low, high = np.percentile(values, [tail, 100.0 - tail])
    return float(low), float(high)


def cliffs_delta(first: Sequence[float], second: Sequence[float]) -> float:
    """Return P(first > second) - P(first < second) over all pairs of runs, -1 to 1."""
    signs = np.sign(_column(first)[:, None] - _column(second)[None, :])
    return float(signs.mean())


def probability_of_improvement(first: Sequence[float], second: Sequence[float]) -> float:
    """Return P(first > second) + P(equal) / 2 over all pairs of runs, 0 to 1."""
    return 0.5 * (cliffs_delta(first, second) + 1.0)


def permutation_test(
    first: Sequence[float], second: Sequence[float], *, resamples: int = 10_000, seed: int = 0
) -> float:
    """Return the two-sided p-value of a difference of means under exchange of labels.

    The observed labelling counts as one of the resamples, so the value is never 0.
    """
    left, right = _column(first), _column(second)
    pooled = np.concatenate([left, right])
    observed = abs(left.mean() - right.mean())
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.tile(pooled, (resamples, 1)), axis=1)
    difference = np.abs(shuffled[:, : left.size].mean(1) - shuffled[:, left.size :].mean(1))
    extreme = int((difference >= observed - 1e-12).sum())
    return (extreme + 1) / (resamples + 1)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values adjusted for many comparisons, in the order given."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    adjusted: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - rank) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def _column(values: Sequence[float]) -> np.ndarray:
    column = np.asarray(values, np.float64).ravel()
    if not column.size:
        raise ValueError("a comparison needs at least one run on each side")
    return column
