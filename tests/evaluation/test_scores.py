"""Means, what an undecided answer counts, and pass@k by hand."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herl_bench.evaluation.scores import fill_undecided, mean, mean_and_stderr, pass_at_k, value_of_undecided


def test_too_few_values_have_no_standard_error():
    assert mean_and_stderr([]).value is None
    assert mean_and_stderr([1.0]).stderr is None


@pytest.mark.parametrize(
    ("seen", "higher_is_better", "wrong", "filled"),
    [
        ([1.0, None, 0.0], True, 0.0, [1.0, 0.0, 0.0]),
        ([-1.0, None, -5.0], True, -5.0, [-1.0, -5.0, -5.0]),
        ([None, None], True, 0.0, [0.0, 0.0]),
        ([4.0, None, 6.0], False, None, [4.0, 6.0]),
        ([], True, 0.0, []),
    ],
)
def test_what_nobody_could_decide_is_wrong_or_left_out(seen, higher_is_better, wrong, filled):
    assert value_of_undecided(seen, higher_is_better) == wrong
    assert fill_undecided(seen, higher_is_better) == filled


def test_a_mean_is_over_what_there_is():
    assert mean([True, None, 0.0]) == 0.5
    assert mean([None]) is None


@given(st.integers(1, 300).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_the_estimator_is_exact(ncK):
    n, c, k = ncK
    assert pass_at_k(n, c, k) == pytest.approx(float(1 - Fraction(math.comb(n - c, k), math.comb(n, k))), abs=1e-12)


@pytest.mark.parametrize(("n", "c", "k"), [(5, 6, 1), (5, -1, 1), (5, 2, 6), (5, 2, 0)])
def test_impossible_counts_raise(n, c, k):
    with pytest.raises(ValueError, match="pass@"):
        pass_at_k(n, c, k)
