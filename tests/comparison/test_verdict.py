"""Words for numbers: each rule, and the order of the rules."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from herl_bench.comparison.schema import Interval
from herl_bench.comparison.verdict import Evidence, describe_change, describe_falls, reach_verdict

CLEAR = Evidence(
    "gsm8k",
    "herl",
    "ppo",
    seeds=5,
    items=200,
    difference=0.085,
    low=0.021,
    high=0.149,
    p=0.012,
    contrasts=1,
    detectable=0.09,
)


def test_better_and_worse_name_the_interval():
    found = reach_verdict(CLEAR)
    assert found.word == "better"
    assert (
        found.sentence
        == "herl is better than ppo on gsm8k: +0.085, 95 % interval +0.021 to +0.149 (5 seeds × 200 items; p = 0.012)."
    )
    assert reach_verdict(replace(CLEAR, difference=-0.085, low=-0.149, high=-0.021)).word == "worse"


def test_less_is_more_for_some_metrics():
    assert reach_verdict(replace(CLEAR, higher_is_better=False)).word == "worse"


@pytest.mark.parametrize("seeds", [1, 2])
def test_two_seeds_are_never_enough(seeds):
    found = reach_verdict(replace(CLEAR, seeds=seeds, p=0.0001))
    assert found.word == "not enough seeds"
    assert "at least 3 are needed" in found.sentence


def test_significance_that_the_correction_takes_away_is_no_verdict():
    found = reach_verdict(replace(CLEAR, p=0.06, contrasts=4))
    assert found.word == "not enough seeds"
    assert "corrected for 4 comparisons" in found.sentence


def test_no_difference_needs_the_whole_interval_within_the_margin():
    near = replace(CLEAR, difference=0.004, low=-0.0221, high=0.03, p=0.8)
    assert (reach_verdict(near).word, reach_verdict(near).bound) == ("no difference larger than", 0.03)
    assert reach_verdict(replace(near, low=-0.0311)).bound == 0.032
    assert "no difference larger than 0.03 between herl and ppo on gsm8k" in reach_verdict(near).sentence
    assert reach_verdict(near, margin=0.02).word == "not enough seeds"
    assert reach_verdict(replace(near, low=-0.06)).word == "not enough seeds"


def test_what_these_seeds_could_have_found_is_said():
    vague = replace(CLEAR, seeds=3, low=-0.05, p=0.2, detectable=0.134, seeds_needed=9)
    assert (
        "With 3 seeds and 200 items a gain under 0.134 cannot be told from noise; finding one of 0.05 takes about 9"
        " seeds." in reach_verdict(vague).sentence
    )
    assert "takes more evaluation items" in reach_verdict(replace(vague, seeds_needed=None)).sentence


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(1, 9), st.floats(-1, 1), st.floats(0, 1), st.floats(0, 1))
def test_a_verdict_never_says_more_than_its_interval(seeds, difference, reach, p):
    low, high = difference - reach, difference + reach
    found = reach_verdict(replace(CLEAR, seeds=seeds, difference=difference, low=low, high=high, p=p))
    if found.word in ("better", "worse"):
        assert seeds >= 3
        assert p < 0.05
        assert low > 0 if found.word == "better" else high < 0
    if found.word == "no difference larger than":
        assert -found.bound - 1e-6 <= low <= high <= found.bound + 1e-6 <= 0.05 + 2e-6


ITEMS = replace(CLEAR, seeds=1, p=0.012, repeats=(1, 1), items_needed=900)


def test_over_items_alone_the_sentence_says_what_it_cannot_tell():
    found = reach_verdict(ITEMS)
    assert found.word == "better"
    assert (
        found.sentence
        == "herl is better than ppo on gsm8k: +0.085, 95 % interval over items +0.021 to +0.149 (200 items, one sample"
        " of each; p = 0.012). This is about these answers, on items like these: what another training seed would"
        " give, they cannot tell."
    )
    assert reach_verdict(replace(ITEMS, higher_is_better=False)).word == "worse"
    vague = reach_verdict(replace(ITEMS, low=-0.05, p=0.2))
    assert vague.word == "not enough items"
    assert (
        "a difference under 0.090 cannot be told from noise; finding one of 0.05 takes about 900 items."
        in vague.sentence
    )
    assert reach_verdict(replace(ITEMS, low=-0.01, high=0.02, p=0.6)).bound == 0.02
    assert reach_verdict(replace(ITEMS, p=0.06)).word == "not enough items"


@pytest.mark.parametrize(
    ("undecided", "said"), [((2, 200), False), ((3, 200), True), ((0, 200), False), ((6, 12), True)]
)
def test_more_than_one_percent_undecided_is_in_the_sentence(undecided, said):
    count, of = undecided
    for evidence in (CLEAR, ITEMS, replace(CLEAR, seeds=1), replace(CLEAR, low=-0.2, p=0.9)):
        found = reach_verdict(replace(evidence, undecided={"ppo": (0, of), "herl": undecided})).sentence
        assert found.endswith(f" {count} of {of} answers of herl could not be decided and count as wrong.") == said
        assert "of ppo could" not in found


def test_what_ended_below_where_it_began_is_named_with_what_to_try():
    both = describe_falls(
        "own", ["ppo", "herl"], {"ppo": (0.33, 0.128), "herl": (0.33, 0.092)}, {"ppo": 1e-4, "herl": 1e-4}
    )
    assert both.startswith("Both arms ended below where they began on own: ppo 0.330 → 0.128, herl 0.330 → 0.092.")
    assert both.endswith("try a lower learning rate than 0.0001 (--set learning_rate=3e-05).")
    one = describe_falls("own", ["ppo", "herl"], {"ppo": (0.33, 0.128)}, {})
    assert one.startswith("ppo ended below where it began on own")
    assert one.endswith("try a lower learning rate.")
    assert "All 3 arms" in describe_falls("own", ["a", "b", "c"], dict.fromkeys("abc", (0.3, 0.1)), {})
    alone = describe_change("own", "ppo", 0.33, 0.128, Interval(-0.2, -0.25, -0.15, "t"))
    assert alone.endswith("It ended below where it began: try a lower learning rate.")
    assert "ended below" not in describe_change("own", "ppo", 0.33, 0.32, Interval(-0.01, -0.05, 0.03, "t"))
