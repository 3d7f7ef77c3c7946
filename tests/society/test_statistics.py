"""Statistics over runs, on cases computed by hand."""

import numpy as np
import pytest

from society.statistics import (
    bootstrap_interval,
    cliffs_delta,
    holm,
    iqm,
    permutation_test,
    probability_of_improvement,
    standard_error,
    summarise,
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
