"""How much of a step goes into revisions, by what they and retries have brought."""

from typing import Any

import pytest
from helpers.toy_runs import make_rollout

from herl_bench.training.share import FLOOR, HALF_LIFE, MOST, UNTRUSTED, Measured, Slots, Tally, divide_step


def measure(revised: float, retried: float, responses: int = 1000, tokens: int = 10) -> Measured:
    """Of so many each, what share gained all."""
    return Measured(*(Tally(responses, responses * rate, responses * tokens) for rate in (revised, retried)))


def draw(kind: str, reward: float | None, baseline: float = 0.5, tokens: int = 2, **more: Any) -> Any:
    ids = tuple(range(tokens))
    return make_rollout("a", reward, kind=kind, draft=0, baseline=baseline, ids=ids, **more)


def test_before_anything_is_measured_the_share_lies_in_the_middle() -> None:
    assert Measured().share == pytest.approx((FLOOR + MOST) / 2)


@pytest.mark.parametrize(
    ("revised", "retried", "share"),
    [(0.6, 0.0, MOST), (0.6, 0.3, (FLOOR + MOST) / 2), (0.3, 0.3, FLOOR), (0.1, 0.4, FLOOR), (0.0, 0.0, FLOOR)],
)
def test_the_share_follows_what_revisions_bring_against_retries(revised: float, retried: float, share: float) -> None:
    assert measure(revised, retried).share == pytest.approx(share, abs=2e-3)
    assert measure(revised, retried).share >= FLOOR


def test_a_few_retries_are_not_trusted_yet() -> None:
    middle, retried = Measured().share, draw("retry", 1.0)
    first = Measured().add([draw("revision", 0.6)] * 4 + [retried] * UNTRUSTED)
    assert first.share == pytest.approx((middle + FLOOR) / 2)
    assert FLOOR < first.add([retried] * UNTRUSTED).share < first.share


def test_a_gain_counts_per_written_token() -> None:
    equal = Measured().add([draw("revision", 1.0, tokens=20), draw("retry", 0.75, tokens=20)] * 300)
    longer = Measured().add([draw("revision", 1.0, tokens=40), draw("retry", 0.75, tokens=20)] * 300)
    assert longer.revised.rate == pytest.approx(0.5 / 40)
    assert longer.share < equal.share - 0.1


def test_what_came_out_worse_gained_nothing_and_what_is_undecided_measures_nothing() -> None:
    drafts = [make_rollout("a", 0.5)]
    step = [*drafts, draw("revision", 0.0), draw("revision", 1.0), draw("revision", None), draw("retry", 0.75)]
    assert Measured().add(step) == Measured(Tally(2, 0.5, 4), Tally(1, 0.25, 2))


def test_older_measurements_count_half_after_a_half_life() -> None:
    steps = [make_rollout("a", 1.0)] * (HALF_LIFE // 2)
    assert measure(0.5, 0.25).add(steps).add(steps).revised == pytest.approx(Tally(500, 250, 5000))


@pytest.mark.parametrize(("rollouts", "drafts"), [(1, 1), (2, 1), (3, 1), (8, 4), (8, 8), (32, 1), (192, 1), (64, 8)])
@pytest.mark.parametrize("measured", [Measured(), measure(1.0, 0.0), measure(0.0, 1.0)])
def test_a_step_always_has_drafts_and_goes_on_measuring(rollouts: int, drafts: int, measured: Measured) -> None:
    slots = divide_step(rollouts, "auto", drafts, measured)
    assert rollouts - sum(slots) >= drafts
    assert min(slots) >= (1 if rollouts - drafts >= 2 else 0)
    if rollouts >= 32:
        assert slots.retries == rollouts / 16
        assert slots.revisions == round(rollouts * measured.share)


def test_a_number_is_a_number() -> None:
    assert divide_step(32, 0.35, 1, measure(0.0, 1.0)) == Slots(11, 0)
    assert divide_step(32, 0.0, 1, Measured()) == Slots(0, 0)
