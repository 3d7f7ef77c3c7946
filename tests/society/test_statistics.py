"""Statistics over runs, on cases computed by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from society.statistics import (
    band,
    bootstrap_interval,
    cliffs_delta,
    contrast,
    detectable_effect,
    hedges_g,
    holm,
    iqm,
    permutation_test,
    power,
    probability_of_improvement,
    resampled_intervals,
    runs_needed,
    standard_error,
    stratified_test,
    summarise,
    variance_shares,
)


def test_iqm_leaves_out_the_outer_quarters_also_in_part():
    assert iqm([100, 1, 2, 3, -50, 4, 0, 9]) == pytest.approx((1 + 2 + 3 + 4) / 4)
    # Five values: a quarter is 1.25, so the 2nd and the 4th count 0.75.
    assert iqm([0, 1, 2, 4, 100]) == pytest.approx((0.75 * 1 + 2 + 0.75 * 4) / 2.5)
    assert iqm([7]) == 7


def test_standard_error_uses_the_sample_variance():
    assert standard_error([1, 2, 3, 4]) == pytest.approx(np.sqrt(5 / 3 / 4))
    with pytest.raises(ValueError, match="2 runs"):
        standard_error([1])


def test_bootstrap_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for trial in range(200):
        low, high = bootstrap_interval([rng.normal(3, 2, 30)], resamples=400, seed=trial)
        hits += low <= 3 <= high
    assert 0.88 <= hits / 200 <= 0.99


def test_bootstrap_is_seeded_and_keeps_strata_apart():
    assert bootstrap_interval([[1, 2, 5]], seed=1) == bootstrap_interval([[1, 2, 5]], seed=1)
    # Two strata without variance: every resample has the same mean.
    assert bootstrap_interval([[0, 0, 0], [10, 10]]) == (4.0, 4.0)
    low, high = bootstrap_interval([[1, 2, 3, 50]], statistic=iqm)
    assert 1 <= low < high <= 50


def test_cliffs_delta_counts_pairs():
    assert cliffs_delta([1, 2, 3], [2]) == 0
    assert cliffs_delta([3, 4], [1, 2]) == 1
    assert cliffs_delta([1, 3], [2, 2]) == 0
    assert probability_of_improvement([2, 5], [2, 3]) == pytest.approx((0.5 + 0 + 1 + 1) / 4)


def test_holm_steps_down_and_stays_monotone():
    adjusted = holm({"a": 0.01, "b": 0.04, "c": 0.03})
    assert adjusted == {
        "a": pytest.approx(0.03),
        "b": pytest.approx(0.06),
        "c": pytest.approx(0.06),
    }
    assert list(adjusted) == ["a", "b", "c"]


def test_permutation_test_tells_equal_from_apart():
    assert permutation_test([1, 2, 3, 4, 5, 6], [11, 12, 13, 14, 15, 16]) < 0.01
    assert permutation_test([1, 2, 3, 4], [1, 2, 3, 4]) > 0.9


def test_summary_leaves_undefined_runs_out_and_warns_of_few():
    summary = summarise([1.0, None, float("nan"), 3.0])
    assert summary["mean"] == 2 and summary["n"] == 2 and summary["undefined"] == 2
    assert summary["few"] and summary["values"] == [1.0, None, None, 3.0]
    assert summary["ci95"][0] <= 2 <= summary["ci95"][1]
    assert not summarise([1, 2, 3, 4, 5])["few"]
    assert summarise([])["mean"] is None and summarise([4])["ci95"] is None


def test_hedges_g_corrects_cohens_d():
    """By hand: means 3 and 5, both variances 2.5, so d = -2 / sqrt(2.5); J = 1 - 3/(4*8 - 1)."""
    first, second = [1, 2, 3, 4, 5], [3, 4, 5, 6, 7]
    exact = math.gamma(4) / (math.sqrt(4) * math.gamma(3.5))
    assert exact == pytest.approx(1 - 3 / 31, abs=1e-3)
    assert hedges_g([(first, second)]) == pytest.approx(exact * -2 / math.sqrt(2.5))
    assert hedges_g([([1, 1], [2, 2])]) is None
    # Strata with means far apart share one spread: the same d.
    moved = ([v + 100 for v in first], [v + 100 for v in second])
    assert hedges_g([(first, second), moved]) == pytest.approx(-1.2649 * 0.9686, abs=0.03)


def test_permutation_tests_are_those_of_scipy():
    rng = np.random.default_rng(1)
    first, second = rng.normal(0, 1, 6), rng.normal(1, 1, 6)

    def difference(a, b, axis=-1):
        return a.mean(axis) - b.mean(axis)

    both = stats.permutation_test((first, second), difference, n_resamples=np.inf)
    assert permutation_test(first, second) == pytest.approx(both.pvalue)
    pairs = (first, second)
    flips = stats.permutation_test(
        pairs, difference, permutation_type="samples", n_resamples=np.inf
    )
    assert stratified_test([pairs], paired=True) == pytest.approx(flips.pvalue)


def test_cliffs_delta_and_improvement_are_those_of_the_mann_whitney_test():
    rng = np.random.default_rng(2)
    first, second = rng.normal(0.5, 1, 12), rng.normal(0, 1, 9)
    u = stats.mannwhitneyu(first, second).statistic
    assert probability_of_improvement(first, second) == pytest.approx(u / (12 * 9))
    found = contrast([(first, second)])
    assert found["improvement"] == pytest.approx(u / (12 * 9))
    assert found["delta"] == pytest.approx(2 * u / (12 * 9) - 1)
    assert found["improvement_ci95"][0] < found["improvement"] < found["improvement_ci95"][1]


def test_iqm_is_scipys_trimmed_mean_where_quarters_are_whole():
    values = np.random.default_rng(3).normal(0, 1, 20)
    assert iqm(values) == pytest.approx(stats.trim_mean(values, 0.25))


def test_strata_weigh_the_same_whatever_their_size():
    found = contrast([([1.0] * 2, [0.0] * 2), ([5.0] * 8, [2.0] * 8)])
    assert found["difference"] == pytest.approx(2.0)
    assert found["ci95"] == [2.0, 2.0]
    assert found["n"] == [10, 10]
    with pytest.raises(ValueError, match="same runs on both sides"):
        contrast([([1, 2], [1, 2, 3])], paired=True)


def test_power_is_that_of_the_t_test():
    """Cohen (1988), tables 2.4: d = 0.5 needs 64 a side, 0.8 needs 26; pairs at 0.5 need 34."""
    assert runs_needed(0.5) == 64
    assert runs_needed(0.8) == 26
    assert runs_needed(0.5, paired=True) == 34
    assert power(64, 0.5) == pytest.approx(0.8015, abs=1e-3)
    assert detectable_effect(26) == pytest.approx(0.8, abs=0.01)
    assert detectable_effect(26, comparisons=10) > detectable_effect(26)
    assert detectable_effect(1) is None and power(1, 2.0) == 0


def test_variance_shares_of_a_two_way_layout():
    """By hand: cell means 0, 2, 4, 6 with two runs at -1 and +1 around each.

    Sums of squares: rows 32, columns 8, interaction 0, within 8; mean square within 2.
    """
    factors = {"row": [0, 0, 0, 0, 1, 1, 1, 1], "column": [0, 0, 1, 1, 0, 0, 1, 1]}
    values = [-1, 1, 1, 3, 3, 5, 5, 7]
    shares = variance_shares(factors, values)
    assert shares["row"] == pytest.approx((32 - 2) / 48)
    assert shares["column"] == pytest.approx((8 - 2) / 48)
    assert shares["interactions"] == 0
    assert sum(shares.values()) == pytest.approx(1)
    assert variance_shares({"row": [0, 1]}, [1, 2]) == {}


def test_chance_alone_is_not_credited_to_a_factor():
    rng = np.random.default_rng(4)
    shares = [
        variance_shares({"f": np.repeat(np.arange(6), 5)}, rng.normal(size=30))["f"]
        for _ in range(200)
    ]
    assert np.mean(shares) < 0.08


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("runs", [10, 30])
def test_intervals_hold_the_truth_in_93_to_97_of_100_studies(runs):
    """1,000 synthetic studies each of a normal, a uniform and a beta-distributed measure."""
    draws = {
        "normal": (lambda rng: rng.normal(3, 2, runs), 3.0),
        "uniform": (lambda rng: rng.uniform(0, 1, runs), 0.5),
        "beta": (lambda rng: rng.beta(4, 6, runs), 0.4),
    }
    for name, (draw, truth) in draws.items():
        rng = np.random.default_rng(5)
        hits = dict.fromkeys(("mean", "difference", "paired", "strata"), 0)
        for trial in range(1000):
            first, second, third = draw(rng), draw(rng), draw(rng)
            low, high = bootstrap_interval([first], seed=trial)
            hits["mean"] += low <= truth <= high
            (low, high), _ = resampled_intervals([(first + 1, second)], seed=trial)
            hits["difference"] += low <= 1 <= high
            both = [(first + third, third)]
            (low, high), _ = resampled_intervals(both, paired=True, seed=trial)
            hits["paired"] += low <= truth <= high
            low, high = bootstrap_interval([first[: runs // 2], second], seed=trial)
            hits["strata"] += low <= truth <= high
        assert all(930 <= count <= 970 for count in hits.values()), (name, hits)


def test_a_band_is_students_interval_of_the_runs_that_have_a_value():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(8, 3))
    values[:3, 1] = np.nan
    values[:, 2] = np.nan
    mean, low, high = band(values)
    for point, runs in ((0, values[:, 0]), (1, values[3:, 1])):
        ends = stats.t.interval(0.95, len(runs) - 1, runs.mean(), stats.sem(runs))
        assert (low[point], high[point]) == pytest.approx(ends)
        assert mean[point] == pytest.approx(runs.mean())
    assert np.isnan([mean[2], low[2], high[2]]).all()


def test_a_band_of_shares_stays_between_0_and_1_and_covers_as_often_as_before():
    rng = np.random.default_rng(0)
    hits = {"cut": 0, "student": 0}
    for _ in range(1000):
        values = rng.binomial(40, [0.1, 0.9], (8, 2)) / 40
        mean, low, high = band(values)
        assert (low >= 0).all() and (high <= 1).all() and ((low <= mean) & (mean <= high)).all()
        ends = stats.t.interval(0.95, 7, values.mean(0), stats.sem(values))
        hits["cut"] += int(low[0] <= 0.1 <= high[0])
        hits["student"] += int(ends[0][0] <= 0.1 <= ends[1][0])
    assert hits["cut"] == hits["student"] and 930 <= hits["cut"] <= 970


def test_a_band_is_cut_only_where_the_whole_course_keeps_to_the_scale():
    ones = np.array([[0.0, 0.0], [0.0, 0.2], [0.0, 0.0], [0.0, 0.0], [1.0, 0.1], [1.0, 3.0]])
    _, low, high = band(ones)
    assert low.tolist() == [0.0, 0.0] and high[1] > 1.5
    _, low, high = band(ones[:, :1])
    assert (low[0], high[0]) == (0.0, pytest.approx(0.875, abs=0.01))
    _, low, _ = band(ones - [0.0, 0.3])
    assert low[0] < 0


def test_a_band_of_few_runs_is_their_range():
    mean, low, high = band(np.array([[1.0, 4.0], [3.0, np.nan]]))
    assert (mean.tolist(), low.tolist(), high.tolist()) == ([2.0, 4.0], [1.0, 4.0], [3.0, 4.0])
