"""The statistics, each against a number worked out by hand, then against rliable, then against simulated truth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import integrate, optimize
from scipy import stats as scipy_stats

from herl_bench.comparison import statistics


# -------------------------------------------------------------------------------------------------------------- by hand
def test_mcnemar_counts_coin_throws():
    assert statistics.mcnemar(8, 1) == pytest.approx(2 * (1 + 9) / 2**9)
    assert statistics.mcnemar(3, 3) == 1.0
    assert statistics.mcnemar(0, 0) == 1.0


@given(st.integers(0, 40), st.integers(0, 40))
def test_mcnemar_is_scipys_binomial_tail(fixed, broken):
    tail = 2 * scipy_stats.binom.cdf(min(fixed, broken), fixed + broken, 0.5)
    assert statistics.mcnemar(fixed, broken) == pytest.approx(min(1.0, tail))
    assert statistics.mcnemar(fixed, broken) == statistics.mcnemar(broken, fixed)


def test_bootstrap_of_two_items_is_the_binomial():
    """The mean of two draws from {0, 1} is 0, 1/2, 1 with chances 1/4, 1/2, 1/4."""
    assert statistics.paired_bootstrap(np.array([0.0, 1.0])) == (0.0, 1.0)


def test_paired_bootstrap_agrees_with_scipys():
    gain = np.random.default_rng(0).normal(0.1, 1, 80)
    peer = scipy_stats.bootstrap((gain,), np.mean, n_resamples=20_000, method="percentile", rng=1).confidence_interval
    assert statistics.paired_bootstrap(gain, draws=20_000) == pytest.approx((peer.low, peer.high), abs=0.01)


def test_share_interval_by_hand():
    """Wilson 1927, (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n): for 0 of 10 it is 0 to z² / (10 + z²), and 5 of
    10 lies around a half."""
    z2 = 1.959964**2
    assert statistics.share_interval(0, 10) == pytest.approx((0.0, z2 / (10 + z2)), abs=1e-6)
    assert statistics.share_interval(5, 10) == pytest.approx((0.2366, 0.7634), abs=1e-4)


def test_mean_interval_is_scipys_t_interval():
    values = np.array([0.1, 0.4, 0.3])
    peer = scipy_stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert statistics.mean_interval(values) == pytest.approx((peer.low, peer.high))


def test_crossed_interval_by_hand():
    """Seeds [1, 0, 0, 1] and [1, 1, 0, 1]: mean 5/8, MS_seed 1/8, MS_item 11/24, MS_rest 1/8, so the parts of the
    variance are (1/8) / 8 and (1/3) / 8."""
    found = statistics.crossed_interval(np.array([[1.0, 0, 0, 1], [1, 1, 0, 1]]))
    assert found.value == 5 / 8
    assert (found.var_seed, found.var_item) == pytest.approx((1 / 64, 1 / 24))
    assert found.stderr == pytest.approx(math.sqrt(1 / 64 + 1 / 24))
    assert found.seed_share == pytest.approx((1 / 8) / (11 / 24))

    def weighed(c, tail):
        v = found.var_seed / c
        return scipy_stats.chi2.pdf(c, 1) * (1 + found.var_item / v) ** (1 / 3) * tail(v)

    def average(tail):
        return integrate.quad(weighed, 0, 60, args=(tail,), limit=200)[0]

    p = average(lambda v: 2 * scipy_stats.norm.sf(5 / 8 / math.sqrt(v + found.var_item))) / average(lambda v: 1.0)
    assert found.p == pytest.approx(p, rel=2e-3)
    outside = average(
        lambda v: 2 * scipy_stats.norm.sf((found.high - 5 / 8) / math.sqrt(v + found.var_item))
    ) / average(lambda v: 1.0)
    assert outside == pytest.approx(0.05, rel=5e-3)
    assert found.high - 5 / 8 == pytest.approx(5 / 8 - found.low)


def test_crossed_interval_where_items_do_not_differ_is_the_t_test_over_seeds():
    values = np.repeat([[0.1], [0.4], [0.3]], 50, axis=1)
    found = statistics.crossed_interval(values)
    assert (found.low, found.high) == pytest.approx(statistics.mean_interval(values.mean(1)), rel=1e-3)
    assert found.p == pytest.approx(scipy_stats.ttest_1samp(values.mean(1), 0).pvalue, rel=1e-3)


def test_crossed_interval_where_seeds_do_not_differ_is_the_normal_interval_over_items():
    one = np.random.default_rng(3).integers(-1, 2, 100).astype(float)
    found = statistics.crossed_interval(np.stack([one] * 3))
    reach = scipy_stats.norm.ppf(0.975) * one.std(ddof=1) / 10
    assert (found.low, found.high) == pytest.approx((one.mean() - reach, one.mean() + reach), abs=1e-4)


def test_no_difference_in_any_item_is_not_certainty():
    found = statistics.crossed_interval(np.zeros((5, 200)))
    assert found.high == -found.low == pytest.approx(1 - 0.05 ** (1 / 200))
    assert found.p == 1.0
    assert statistics.detectable(found) == found.high


def test_hierarchical_bootstrap_has_the_variance_that_owen_derived():
    """Balanced data with one value per cell: seeds' and items' sums of squares over their number squared, and the
    product of the two resamplings."""
    x = np.random.default_rng(5).normal(size=(6, 30)) + np.random.default_rng(6).normal(size=(6, 1))
    centred = x - x.mean()
    seed, item = centred.mean(1), centred.mean(0)
    rest = centred - seed[:, None] - item
    variance = (seed**2).mean() / 6 + (item**2).mean() / 30 + (rest**2).mean() / (6 * 30)
    low, high = statistics.hierarchical_bootstrap(x, draws=40_000)
    assert (high - low) / 2 == pytest.approx(1.96 * math.sqrt(variance), rel=0.05)


def test_detectable_is_what_is_found_four_times_in_five():
    items = statistics.Crossed(0.1, 0, 0, 0, 0.0, 0.0004, 5)
    assert statistics.detectable(items) == pytest.approx((1.959964 + 0.841621) * 0.02, abs=1e-4)
    seeds = statistics.Crossed(0.1, 0, 0, 0, 0.0004, 0.0, 5)
    exact = optimize.brentq(lambda shift: scipy_stats.nct.sf(scipy_stats.t.ppf(0.975, 4), 4, shift) - 0.8, 1, 9) * 0.02
    assert statistics.detectable(seeds) == pytest.approx(exact, rel=0.1)


def test_more_seeds_find_smaller_differences_until_the_items_are_the_limit():
    noisy = statistics.Crossed(0.1, 0, 0, 0, 0.0036, 0.0, 3)
    assert statistics.detectable(noisy, 12) == pytest.approx(0.03 * (scipy_stats.t.ppf(0.975, 11) + 0.841621), rel=1e-3)
    few = statistics.seeds_needed(noisy, 0.05)
    assert few is not None
    assert statistics.detectable(noisy, few) <= 0.05 < statistics.detectable(noisy, few - 1)
    assert statistics.seeds_needed(statistics.Crossed(0.1, 0, 0, 0, 0.0, 0.0036, 3), 0.05) is None


def test_iqm_drops_a_quarter_at_each_end():
    assert statistics.iqm(np.array([[0.0], [1], [2], [9]])) == 1.5
    assert statistics.iqm(np.array([[0.0], [1], [5]])) == 2.0


def test_probability_of_improvement_counts_pairs():
    baseline, arm = np.array([[0.1, 0.5], [0.3, 0.5]]), np.array([[0.2, 0.5], [0.4, 0.9]])
    assert statistics.probability_of_improvement(baseline, arm) == pytest.approx((3 / 4 + 3 / 4) / 2)


def test_improvement_interval_solves_newcombes_equation():
    low, high = statistics.improvement_interval(0.75, 4, 4)
    for theta in (low, high):
        spread = theta * (1 - theta) * (1 + 3 * ((1 - theta) / (2 - theta) + theta / (1 + theta))) / 16
        assert abs(0.75 - theta) == pytest.approx(1.959964 * math.sqrt(spread), abs=1e-5)
    assert statistics.improvement_interval(1.0, 5, 5)[0] < 1 == statistics.improvement_interval(1.0, 5, 5)[1]
    assert statistics.improvement_interval(0.0, 5, 5)[0] == 0 < statistics.improvement_interval(0.0, 5, 5)[1]


def test_curve_area_is_the_mean_height():
    assert statistics.curve_area([0, 10, 20], [0, 1, 1], 0, 20) == pytest.approx(0.75)
    assert statistics.curve_area([0, 10, 20], [0, 1, 1], 5, 10) == pytest.approx(0.75)
    assert statistics.curve_area([10, 20], [0, 1], 0, 20) == pytest.approx(0.25)


def test_tokens_to_target_needs_more_than_one_lucky_step():
    assert statistics.tokens_to_target([1, 2, 3, 4], [0.1, 0.6, 0.2, 0.3], 0.5) is None
    assert statistics.tokens_to_target([1, 2, 3, 4], [0.1, 0.5, 0.4, 0.7], 0.5) == 2
    assert statistics.tokens_to_target([1, 2], [0.1, 0.2], 0.5) is None


def test_holm_by_hand():
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_is_between_no_correction_and_bonferroni_and_keeps_the_order(p_values):
    adjusted = statistics.holm(p_values)
    assert all(p <= a <= min(1, p * len(p_values)) + 1e-12 for p, a in zip(p_values, adjusted, strict=True))
    assert [a for _, a in sorted(zip(p_values, adjusted, strict=True))] == sorted(adjusted)


# ------------------------------------------------------------------------------------------------------ against rliable
@pytest.fixture(scope="module")
def matrices():
    rng = np.random.default_rng(11)
    return rng.normal(0.4, 0.1, (7, 3)), rng.normal(0.45, 0.15, (7, 3))


def test_iqm_and_probability_of_improvement_are_rliables(matrices):
    metrics = pytest.importorskip("rliable.metrics")
    a, b = matrices
    assert statistics.iqm(a) == pytest.approx(metrics.aggregate_iqm(a))
    assert statistics.probability_of_improvement(a, b) == pytest.approx(metrics.probability_of_improvement(b, a))


def test_stratified_bootstrap_draws_runs_within_each_task_as_rliable_does(matrices):
    """rliable's own resampling needs arch, which pandas 3 breaks; this is its rule: for every task on its own, as many
    runs with replacement."""
    matrix, rng = matrices[0], np.random.default_rng(1)
    columns = [[rng.choice(column, len(column)) for column in matrix.T] for _ in range(6000)]
    peer = np.quantile([scipy_stats.trim_mean(np.ravel(drawn), 0.25) for drawn in columns], [0.025, 0.975])
    assert statistics.stratified_bootstrap(statistics.iqm, [matrix], draws=6000) == pytest.approx(
        tuple(peer), abs=0.006
    )


# ------------------------------------------------------------------------------------------------------ simulated truth
def test_the_interval_covers_the_truth():
    """`benchmarks/coverage.py` has the whole study of 1,000 draws per design; here a true coverage under 92 % or over
    98 % would be found."""
    from benchmarks.coverage import list_worlds, measure_coverage

    draws = 400
    hits = sum(measure_coverage(w, seeds=3, items=150, draws=draws, first=0).crossed for w in list_worlds()[1:4])
    low, high = scipy_stats.binom.ppf([0.001, 0.999], 3 * draws, 0.95)
    assert low <= hits <= high


def test_no_effect_is_rarely_called_one_after_correction():
    from benchmarks.coverage import count_false_positives

    draws = 400
    assert count_false_positives(seeds=3, items=100, tasks=3, arms=2, draws=draws, first=0) <= scipy_stats.binom.ppf(
        0.999, draws, 0.05
    )


def test_planted_and_plain_items_are_told_apart():
    from herl_bench.comparison.outcomes import estimate_by_kind

    found = estimate_by_kind(np.array([[1.0, 0.0, 1.0, 1.0], [1.0, 0.0, 0.0, 1.0]]), [True, False, False, True])
    assert {name: one.value for name, one in found.items()} == {"planted": 1.0, "plain": 0.25}
    assert estimate_by_kind(np.zeros((2, 2)), [True, True]) == estimate_by_kind(np.zeros((2, 2)), [True, None]) == {}


def test_what_a_curve_ended_with_is_not_its_last_small_step():
    from herl_bench.comparison.curves import find_end
    from herl_bench.comparison.schema import BandPoint

    band = [
        BandPoint(tokens, mean, mean, mean, 1)
        for tokens, mean in ((0, 0.1), (50, 0.3), (75, 0.5), (99, 0.5), (100, 0.0))
    ]
    assert find_end(band) == pytest.approx((24 * 0.5 + 0.25) / 25)
    assert find_end(band[:1]) == 0.1
    assert find_end([]) is None
