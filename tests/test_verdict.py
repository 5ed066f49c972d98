"""Words for numbers: each rule, and the order of the rules."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from herl_bench.compare.verdict import Evidence, verdict

CLEAR = Evidence("gsm8k", "herl", "ppo", seeds=5, items=200, difference=0.085, low=0.021, high=0.149, p=0.012, contrasts=1, detectable=0.09)


def test_better_and_worse_name_the_interval():
    found = verdict(CLEAR)
    assert found.word == "better"
    assert found.sentence == ("herl is better than ppo on gsm8k: +0.085, 95 % interval +0.021 to +0.149 (5 seeds × 200 items; p = 0.012).")
    assert verdict(replace(CLEAR, difference=-0.085, low=-0.149, high=-0.021)).word == "worse"


def test_less_is_more_for_some_metrics():
    assert verdict(replace(CLEAR, higher_is_better=False)).word == "worse"


@pytest.mark.parametrize("seeds", [1, 2])
def test_two_seeds_are_never_enough(seeds):
    found = verdict(replace(CLEAR, seeds=seeds, p=0.0001))
    assert found.word == "not enough seeds"
    assert "at least 3 are needed" in found.sentence


def test_significance_that_the_correction_takes_away_is_no_verdict():
    found = verdict(replace(CLEAR, p=0.06, contrasts=4))
    assert found.word == "not enough seeds"
    assert "corrected for 4 comparisons" in found.sentence


def test_no_difference_needs_the_whole_interval_within_the_margin():
    near = replace(CLEAR, difference=0.004, low=-0.0221, high=0.03, p=0.8)
    assert (verdict(near).word, verdict(near).bound) == ("no difference larger than", 0.03)
    assert verdict(replace(near, low=-0.0311)).bound == 0.032
    assert "no difference larger than 0.03 between herl and ppo on gsm8k" in verdict(near).sentence
    assert verdict(near, margin=0.02).word == "not enough seeds"
    assert verdict(replace(near, low=-0.06)).word == "not enough seeds"


def test_what_these_seeds_could_have_found_is_said():
    vague = replace(CLEAR, seeds=3, low=-0.05, p=0.2, detectable=0.134, seeds_needed=9)
    assert (
        "With 3 seeds and 200 items a gain under 0.134 cannot be told from noise; finding one of 0.05 takes about 9 seeds."
        in verdict(vague).sentence
    )
    assert "takes more evaluation items" in verdict(replace(vague, seeds_needed=None)).sentence


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 9), st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_verdict_never_says_more_than_its_interval(seeds, difference, reach, p):
    low, high = difference - reach, difference + reach
    found = verdict(replace(CLEAR, seeds=seeds, difference=difference, low=low, high=high, p=p))
    if found.word in ("better", "worse"):
        assert seeds >= 3
        assert p < 0.05
        assert low > 0 if found.word == "better" else high < 0
    if found.word == "no difference larger than":
        assert -found.bound - 1e-6 <= low <= high <= found.bound + 1e-6 <= 0.05 + 2e-6
