"""Statistics over replicates. The unit is the run: agents of one run are not independent.

Everything is NumPy, seeded, and gives the same numbers on every machine.

Source: Agarwal, Schwarzer, Castro, Courville & Bellemare (2021), "Deep reinforcement learning
at the edge of the statistical precipice", arXiv:2108.13264 (interquartile mean, stratified
bootstrap, probability of improvement); Hesterberg (2015), arXiv:1411.5279, section 4.3
(percentile intervals widened for small samples); Hedges (1981), doi:10.3102/10769986006002107;
Cliff (1993), doi:10.1037/0033-2909.114.3.494; Holm (1979), "A simple sequentially rejective
multiple test procedure"; Olejnik & Algina (2003), doi:10.1037/1082-989X.8.4.434 (shares of
variance).
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

__all__ = [
    "FEW_RUNS",
    "Strata",
    "band",
    "bootstrap_interval",
    "cliffs_delta",
    "contrast",
    "detectable_effect",
    "hedges_g",
    "holm",
    "iqm",
    "permutation_test",
    "power",
    "probability_of_improvement",
    "resampled_intervals",
    "runs_needed",
    "standard_error",
    "stratified_test",
    "summarise",
    "variance_shares",
]

FEW_RUNS = 5
_RESAMPLES = 4000
_FLIPS = 10_000
_EXACT = 20_000
_ROUNDING = 1e-6  # of shares that were added up in float32

# Pairs of samples to compare: (runs of one side, runs of the other) of every stratum.
Strata = Sequence[tuple[Sequence[float] | np.ndarray, Sequence[float] | np.ndarray]]


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
    """Return the bootstrap interval of a statistic over runs.

    Runs are drawn with replacement within each stratum (a condition, a world), so that
    every resample has the design of the study. Percentiles are taken further out where runs
    are few, as Student's t is wider than the normal distribution: with ten runs a plain
    percentile interval holds the truth in 90 % of studies, not in 95.

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
    if statistic is None:
        values = drawn.mean(1)
    elif statistic is iqm:
        values = _iqm_rows(drawn)
    else:
        values = np.array([statistic(row) for row in drawn])
    return _ends(values, sum(sample.size for sample in samples), len(samples), level)


def _ends(values: np.ndarray, runs: int, strata: int, level: float = 0.95) -> tuple[float, float]:
    """Percentiles of resampled values, further out where few runs are behind them."""
    from scipy import special

    freedom = runs - strata
    if freedom < 1:
        return float(values.min()), float(values.max())
    away = special.stdtrit(freedom, 0.5 * (1.0 - level)) * math.sqrt(runs / freedom)
    tail = 100.0 * float(special.ndtr(away))
    low, high = np.percentile(values, [tail, 100.0 - tail])
    return float(low), float(high)


def _iqm_rows(rows: np.ndarray) -> np.ndarray:
    """``iqm`` of every row."""
    ordered = np.sort(rows, axis=1)
    num = ordered.shape[1]
    position, cut = np.arange(num), num / 4
    weight = np.clip(np.minimum(position + 1, num - cut) - np.maximum(position, cut), 0.0, 1.0)
    return ordered @ weight / weight.sum()


def contrast(strata: Strata, *, paired: bool = False, seed: int = 0) -> dict[str, Any]:
    """Compare two sides, stratum by stratum, each stratum with the same weight.

    Args:
      strata: runs of the first and of the second side. paired: entries belong together in
        their order (the same seed on both sides), which removes what the seed does.
      seed: of the resampling.

    Returns:
      ``difference`` (first - second, means) with ``ci95``; ``improvement`` (chance that a run
      of the first side exceeds one of the second) with ``improvement_ci95``; ``g`` (Hedges' g,
      None where nothing varies); ``delta`` (Cliff's delta); ``p`` (permutation test); ``n``
      runs a side; ``paired``. Intervals are None for single runs.
    """
    pairs = [(_column(first), _column(second)) for first, second in strata]
    if paired and any(first.size != second.size for first, second in pairs):
        raise ValueError("paired strata need the same runs on both sides")
    better = float(np.mean([_signs(*pair).mean() for pair in pairs]))
    difference = float(np.mean([first.mean() - second.mean() for first, second in pairs]))
    ends, chances = resampled_intervals(pairs, paired=paired, seed=seed)
    return {
        "difference": difference,
        "ci95": ends,
        "improvement": 0.5 * (better + 1.0),
        "improvement_ci95": chances,
        "g": hedges_g(pairs),
        "delta": better,
        "p": stratified_test(pairs, paired=paired, seed=seed),
        "n": [sum(pair[side].size for pair in pairs) for side in (0, 1)],
        "paired": paired,
    }


def resampled_intervals(
    strata: Strata, *, paired: bool = False, seed: int = 0
) -> tuple[list[float] | None, list[float] | None]:
    """Return bootstrap intervals of the difference and of the probability of improvement.

    None for both where a side of a stratum has a single run.
    """
    pairs = [(_column(first), _column(second)) for first, second in strata]
    if any(min(first.size, second.size) < 2 for first, second in pairs):
        return None, None
    rng = np.random.default_rng(seed)
    gains, better = np.zeros(_RESAMPLES), np.zeros(_RESAMPLES)
    for first, second in pairs:
        left = _times_drawn(rng, first.size)
        right = left if paired else _times_drawn(rng, second.size)
        gains += left @ first / first.size - right @ second / second.size
        better += ((left @ _signs(first, second)) * right).sum(1) / (first.size * second.size)
    runs = sum(a.size if paired else a.size + b.size for a, b in pairs)
    groups = len(pairs) * (1 if paired else 2)
    low, high = _ends(0.5 * (better / len(pairs) + 1.0), runs, groups)
    return list(_ends(gains / len(pairs), runs, groups)), [low, high]


def _times_drawn(rng: np.random.Generator, size: int) -> np.ndarray:
    """[resamples, size]: how often each run is in each resample."""
    drawn = rng.integers(0, size, (_RESAMPLES, size)) + size * np.arange(_RESAMPLES)[:, None]
    counts = np.bincount(drawn.ravel(), minlength=_RESAMPLES * size)
    return counts.reshape(_RESAMPLES, size).astype(np.float64)


def _signs(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.sign(first[:, None] - second[None, :])


def hedges_g(strata: Strata) -> float | None:
    """Return the difference of means in pooled standard deviations, corrected for few runs.

    Spread is pooled within strata and sides; None where it is 0 or cannot be estimated.
    """
    pairs = [(_column(first), _column(second)) for first, second in strata]
    freedom = sum(side.size - 1 for pair in pairs for side in pair)
    squares = sum(float(((side - side.mean()) ** 2).sum()) for pair in pairs for side in pair)
    if freedom < 2 or squares <= 0:
        return None
    difference = float(np.mean([first.mean() - second.mean() for first, second in pairs]))
    half = freedom / 2
    correction = math.exp(math.lgamma(half) - math.lgamma(half - 0.5)) / math.sqrt(half)
    return correction * difference / math.sqrt(squares / freedom)


def cliffs_delta(first: Sequence[float], second: Sequence[float]) -> float:
    """Return P(first > second) - P(first < second) over all pairs of runs, -1 to 1."""
    signs = np.sign(_column(first)[:, None] - _column(second)[None, :])
    return float(signs.mean())


def probability_of_improvement(first: Sequence[float], second: Sequence[float]) -> float:
    """Return P(first > second) + P(equal) / 2 over all pairs of runs, 0 to 1."""
    return 0.5 * (cliffs_delta(first, second) + 1.0)


def permutation_test(
    first: Sequence[float], second: Sequence[float], *, resamples: int = _FLIPS, seed: int = 0
) -> float:
    """Return the two-sided p-value of a difference of means under exchange of labels."""
    return stratified_test([(first, second)], resamples=resamples, seed=seed)


def stratified_test(
    strata: Strata, *, paired: bool = False, resamples: int = _FLIPS, seed: int = 0
) -> float:
    """Return the two-sided p-value of a difference of means that exchanges labels in strata.

    Paired, the sides of each pair are exchanged. All exchanges are tried where there are at
    most 20,000; otherwise they are drawn, the observed one counting as one of them, so the
    value is never 0.
    """
    pairs = [(_column(first), _column(second)) for first, second in strata]
    observed = abs(sum(float(a.mean() - b.mean()) for a, b in pairs))
    if paired:
        found, exact = _flipped(pairs, resamples, seed)
    else:
        found, exact = _exchanged(pairs, resamples, seed)
    extreme = int((np.abs(found) >= observed * (1 - 1e-12) - 1e-12).sum())
    return extreme / len(found) if exact else (extreme + 1) / (len(found) + 1)


def _flipped(
    pairs: list[tuple[np.ndarray, np.ndarray]], resamples: int, seed: int
) -> tuple[np.ndarray, bool]:
    """Differences under exchanges within pairs, and whether these are all."""
    gains = np.concatenate([(a - b) / a.size for a, b in pairs])
    if 2**gains.size <= _EXACT:
        signs = np.array(list(itertools.product((-1.0, 1.0), repeat=gains.size)))
        return signs @ gains, True
    rng = np.random.default_rng(seed)
    return rng.choice((-1.0, 1.0), (resamples, gains.size)) @ gains, False


def _exchanged(
    pairs: list[tuple[np.ndarray, np.ndarray]], resamples: int, seed: int
) -> tuple[np.ndarray, bool]:
    """Differences under exchanges between sides, and whether these are all."""
    first, second = pairs[0]
    pooled = np.concatenate([first, second])
    if len(pairs) == 1 and math.comb(pooled.size, first.size) <= _EXACT:
        chosen = np.array(list(itertools.combinations(range(pooled.size), first.size)))
        left = pooled[chosen].sum(1)
        return left / first.size - (pooled.sum() - left) / second.size, True
    rng = np.random.default_rng(seed)
    total = np.zeros(resamples)
    for first, second in pairs:
        shuffled = rng.permuted(
            np.tile(np.concatenate([first, second]), (resamples, 1)), axis=1, out=None
        )
        total += shuffled[:, : first.size].mean(1) - shuffled[:, first.size :].mean(1)
    return total, False


def power(
    runs: int, effect: float, *, paired: bool = False, alpha: float = 0.05, comparisons: int = 1
) -> float:
    """Return the chance that a two-sided t test finds a difference.

    Args:
      runs: a side (paired: pairs). effect: difference in standard deviations (paired: of the
        differences). comparisons: tests in the family, as Bonferroni counts them.
    """
    from scipy import special, stats

    if runs < 2:
        return 0.0
    freedom = runs - 1 if paired else 2 * runs - 2
    away = abs(effect) * math.sqrt(runs if paired else runs / 2)
    limit = float(special.stdtrit(freedom, 1 - alpha / comparisons / 2))
    return float(stats.nct.sf(limit, freedom, away) + stats.nct.cdf(-limit, freedom, away))


def runs_needed(
    effect: float,
    *,
    power_wanted: float = 0.8,
    paired: bool = False,
    alpha: float = 0.05,
    comparisons: int = 1,
) -> int:
    """Return the fewest runs a side that find an effect with this power."""
    if effect == 0:
        raise ValueError("no number of runs finds an effect of 0")
    low, high = 2, 4
    chance = {"paired": paired, "alpha": alpha, "comparisons": comparisons}
    while power(high, effect, **chance) < power_wanted:
        low, high = high, high * 2
    while low < high:
        middle = (low + high) // 2
        if power(middle, effect, **chance) < power_wanted:
            low = middle + 1
        else:
            high = middle
    return low


def detectable_effect(
    runs: int, *, power_wanted: float = 0.8, paired: bool = False, comparisons: int = 1
) -> float | None:
    """Return the smallest effect (in standard deviations) that so many runs a side find."""
    if runs < 2:
        return None
    low, high = 0.0, 100.0
    for _ in range(60):
        middle = (low + high) / 2
        if power(runs, middle, paired=paired, comparisons=comparisons) < power_wanted:
            low = middle
        else:
            high = middle
    return high


def variance_shares(
    factors: Mapping[str, Sequence[Any]], values: Sequence[float]
) -> dict[str, float]:
    """Split the variance of runs among factors, their interactions, and the seed.

    Shares are epsilon squared: what a factor explains beyond what chance would, so that few
    seeds do not flatter it; the seed takes the rest and everything sums to 1.

    Args:
      factors: name -> level of every run. Exact where all combinations have as many runs;
        otherwise shares of correlated factors overlap.
      values: one per run.

    Returns:
      factor -> share; ``interactions`` (of factors with one another) where there are several;
      ``seed`` (runs that differ in nothing else).
    """
    column = _column(values)
    total = float(((column - column.mean()) ** 2).sum())
    cells = list(zip(*factors.values(), strict=True)) or [()] * column.size
    within, in_cells = _within(cells, column)
    freedom = column.size - in_cells
    if total <= 1e-12 * max(1.0, float((column**2).sum())) or freedom < 1:
        return {}
    noise = within / freedom
    shares, explained, used = {}, 0.0, 0
    for name, levels in factors.items():
        rest, num = _within(list(levels), column)
        shares[name] = max(0.0, (total - rest - (num - 1) * noise) / total)
        explained, used = explained + total - rest, used + num - 1
    if len(factors) > 1:
        left = total - within - explained - (in_cells - 1 - used) * noise
        shares["interactions"] = max(0.0, left / total)
    return shares | {"seed": max(0.0, 1.0 - sum(shares.values()))}


def _within(labels: Sequence[Any], column: np.ndarray) -> tuple[float, int]:
    """Sum of squares around the means of groups, and the number of groups."""
    places: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(repr(label), []).append(place)
    groups = [column[rows] for rows in places.values()]
    return float(sum(((group - group.mean()) ** 2).sum() for group in groups)), len(groups)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Return p-values adjusted for many comparisons, in the order given."""
    ordered = sorted(p_values, key=lambda name: p_values[name])
    adjusted: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(ordered):
        highest = max(highest, min(1.0, (len(ordered) - rank) * p_values[name]))
        adjusted[name] = highest
    return {name: adjusted[name] for name in p_values}


def _column(values: Sequence[float] | np.ndarray) -> np.ndarray:
    column = np.asarray(values, np.float64).ravel()
    if not column.size:
        raise ValueError("a comparison needs at least one run on each side")
    return column


def band(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and ends of the 95 % interval of Student's t at every point of a course.

    Student's interval is symmetric, so near an end of the scale it reaches beyond it. A course
    that lies in 0 to 1 throughout is taken for a share, one that is never negative for an
    amount; their intervals are cut there, which leaves out no value that the mean can have.

    Args:
      values: [runs, points]; what is not finite is left out, at each point by itself.

    Returns:
      mean, low and high, [points] each; NaN where no run has a value. Below ``FEW_RUNS`` runs,
      low and high are the least and the largest value.
    """
    from scipy import special

    count = np.isfinite(values).sum(0)
    known = count > 0
    mean, low, high = (np.full(values.shape[1], np.nan) for _ in range(3))
    values, count = values[:, known], count[known]
    mean[known] = middle = np.nanmean(values, axis=0)
    if len(values) < FEW_RUNS:
        low[known], high[known] = np.nanmin(values, axis=0), np.nanmax(values, axis=0)
    else:
        freedom = np.maximum(count - 1, 1)
        spread = np.sqrt(np.nansum((values - middle) ** 2, axis=0) / freedom)
        half = special.stdtrit(freedom, 0.975) * spread / np.sqrt(count)
        least = 0.0 if np.nanmin(values, initial=0.0) >= -_ROUNDING else -np.inf
        share = least == 0 and np.nanmax(values, initial=0.0) <= 1 + _ROUNDING
        low[known] = np.maximum(middle - half, np.minimum(middle, least))
        high[known] = np.minimum(middle + half, np.maximum(middle, 1.0 if share else np.inf))
    return mean, low, high
