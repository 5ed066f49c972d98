"""What a probe lets one expect, in words."""

from dataclasses import replace

import pytest

from herl_bench.comparison.expectation import NOT_FORECAST, forecast_gain, say_expectation
from herl_bench.comparison.forecast import Forecast, Line, StudyCell, spread_gap
from herl_bench.comparison.probe_schema import Drafts, Estimate, Gap

DRAFTS = Drafts(100, 0, 0.4, 0.6, 0.4, 0.0, 50.0, 60.0, 60, 0.3, 50.0)
GAP = Gap("reference@0.7", 0.7, 60, 0.5, 0.2, Estimate(0.3, 0.1, 0.5), Estimate(0.2, 0.1, 0.3), None)
PASS_AT = {1: Estimate(0.4), 5: Estimate(0.45)}


@pytest.mark.parametrize(
    ("bounds", "words", "said"),
    [
        ((0.1, 0.5), (0.1, 0.3), ["something to teach", "the words matter"]),
        ((0.1, 0.5), (-0.1, 0.3), ["something to teach", "not shown that the words do it"]),
        ((-0.1, 0.5), (-0.1, 0.3), ["No more is to be expected", "not shown to repair more"]),
        ((-0.5, -0.1), (-0.3, -0.1), ["expected to cost", "the words mislead"]),
    ],
)
def test_by_intervals(bounds, words, said):
    gap = replace(GAP, value=Estimate(sum(bounds) / 2, *bounds), words=Estimate(sum(words) / 2, *words))
    sentence = say_expectation(DRAFTS, [gap], PASS_AT)
    assert all(part in sentence for part in said), sentence
    assert sentence.endswith(f"{NOT_FORECAST}.")
    assert "exploration is what plain training lacks" in sentence
    assert "Try again" not in sentence
    told = replace(gap, content=Estimate(0.0, -0.1, 0.1))
    assert ("Try again" in say_expectation(DRAFTS, [told], PASS_AT)) == ("not shown that the words" in sentence)
    assert "finds most of it" in say_expectation(DRAFTS, [gap], {1: Estimate(0.4), 5: Estimate(0.95)})


def test_too_few_failures_tell_nothing():
    few = replace(DRAFTS, problems=20, failures=5, right=0.75)
    assert "ask for --items 160" in say_expectation(few, [GAP], PASS_AT)
    assert "a harder task" in say_expectation(replace(few, failures=0, right=1.0), [], PASS_AT)
    assert "no draft could be judged" in say_expectation(replace(few, failures=0, undecided=20), [], PASS_AT)
    assert "needs own guidance" in say_expectation(DRAFTS, [], PASS_AT)


def test_a_gain_is_forecast_within_what_was_studied():
    """60 of 100 drafts failed, and own guidance repairs 0.3 of them beyond sampling anew: 0.18 of all problems."""
    line = Line(intercept=-0.01, slope=0.5, variances=(0.0, 0.0, 0.0), spread=0.02, cells=23)
    ends = tuple(StudyCell(name, name, gap, 0.0, 0.0) for name, gap in (("a", 0.0), ("b", 0.4)))
    forecast = Forecast(line, ends, error=0.02, r2=0.9, covered=0.8, others={}, budget="100,000 tokens", version="1")
    assert spread_gap(DRAFTS, GAP) == pytest.approx(0.18)
    # Student's 0.9 quantile with 20 degrees of freedom is 1.325.
    said = "forecast from 23 policies and worlds: HeRL - PPO +8.0 points [+5.3, +10.7] (80%) after 100,000 tokens"
    found = forecast_gain(DRAFTS, [GAP], forecast)
    assert (found.value, found.low, found.high) == pytest.approx((0.08, 0.0535, 0.1065), abs=1e-4)
    assert say_expectation(DRAFTS, [GAP], PASS_AT, forecast).endswith(f"; {said}.")
    assert forecast_gain(DRAFTS, [], forecast) is None
    assert forecast_gain(replace(DRAFTS, failures=19), [GAP], forecast) is None
    for outside in (-0.2, 0.8):
        gap = replace(GAP, value=Estimate(outside))
        assert forecast_gain(DRAFTS, [gap], forecast) is None
        said = f"{NOT_FORECAST}, gaps of +0.0 to +40.0 points over all problems."
        assert say_expectation(DRAFTS, [gap], PASS_AT, forecast).endswith(said)
