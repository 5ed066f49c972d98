"""A probe's numbers, by hand and by simulation."""

import numpy as np
import pytest

from herl_bench.comparison.guidance_gap import describe_arms, describe_drafts, measure_gaps, measure_pass_at
from herl_bench.comparison.probe_schema import Estimate
from herl_bench.evaluation.probe_arms import Revising, list_arms

REVISING = Revising("prompt", "reference", 1.0, 1.0)


def make(key, reward, tokens=10, arm="draft", draft="", text="a text"):
    words = {"text": text, "extracted": None, "finish": "eos", "read": 5}
    metric = None if reward is None else float(reward >= 1)
    return {"key": key, "arm": arm, "draft": draft, "reward": reward, "tokens": tokens, "metric": metric, **words}


def revise(arm, rewards, tokens):
    """rewards: by draft, one or several."""
    return [
        make(f"{draft}|{arm}#{k}", reward, tokens, f"{arm}@1", draft, f"{arm} {k}")
        for draft, several in rewards.items()
        for k, reward in enumerate(several)
    ]


DRAFTS = [make("a", 0.0), make("b", 0.5), make("c", 1.0), make("d", None), make("e", 0.5)]
REVISIONS = [
    *revise("resample", {"a": [0, 1], "b": [0.25, 0], "e": [0, 0]}, 20),
    *revise("reference", {"a": [1], "b": [1], "e": [None]}, 40),
    *revise("other", {"a": [0], "b": [0.25], "e": [0.5]}, 40),
]


def test_by_hand():
    drafts = describe_drafts(DRAFTS)
    assert (drafts.problems, drafts.undecided, drafts.right, drafts.failures) == (5, 1, 0.25, 3)
    assert drafts.failure_reward == pytest.approx(1 / 3)
    resample, own, other = describe_arms(list_arms(REVISING), DRAFTS, REVISIONS)
    assert (resample.repaired.value, resample.per_1000) == (pytest.approx(1 / 6), pytest.approx(1000 / 120))
    assert (own.repaired.value, own.undecided, own.broken, own.partly_right) == (pytest.approx(2 / 3), 1, 0.5, 2)
    assert other.broken == 0.5
    assert own.against.repaired.value == pytest.approx(1 / 2)
    assert own.against.per_1000.value == pytest.approx(2000 / 120 - 1000 / 120)
    (gap,) = measure_gaps(REVISING, REVISIONS)
    assert (gap.own, gap.resampled) == (pytest.approx(2 / 3), pytest.approx(40 / 120))  # twice the tokens
    assert gap.value.value == pytest.approx(1 / 3)
    assert gap.words.value == pytest.approx(2 / 3)
    assert gap.content is None


def test_pass_at_k_counts_right_drafts_and_what_resampling_finds():
    found = measure_pass_at(DRAFTS, REVISIONS, 1.0)
    assert {k: e.value for k, e in found.items()} == {
        1: 0.25,
        2: pytest.approx((1 + 0.5) / 4),
        3: pytest.approx((1 + 1) / 4),
    }
    assert measure_pass_at([make("a", None)], [], 1.0) == {}


def test_where_nothing_varies_an_interval_has_a_width():
    drafts = [make(str(i), 0.0) for i in range(30)]
    none = {d["key"]: [0] for d in drafts}
    revisions = [*revise("resample", none, 10), *revise("reference", none, 10)]
    resample, own = describe_arms(list_arms(REVISING), drafts, revisions)
    assert resample.repaired == Estimate(0.0, 0.0, pytest.approx(1 - 0.05 ** (1 / 30)))
    assert own.against.per_1000.high == pytest.approx(100 * (1 - 0.05 ** (1 / 30)))
    (gap,) = measure_gaps(REVISING, revisions)
    assert -0.1 < gap.value.low < 0 < gap.value.high < 0.1


def test_the_gap_s_interval_covers_the_true_one():
    """0.3 repaired with 60 tokens, sampling anew 0.1 with 30 each."""
    rng, covered, draws = np.random.default_rng(0), 0, 300
    for _ in range(draws):
        keys = [str(i) for i in range(60)]
        plain = [
            make(f"{k}#{j}", float(rng.random() < 0.1), int(rng.integers(20, 41)), "resample@1", k)
            for k in keys
            for j in range(4)
        ]
        own = [make(k, float(rng.random() < 0.3), int(rng.integers(40, 81)), "reference@1", k) for k in keys]
        (gap,) = measure_gaps(REVISING, [*plain, *own])
        covered += gap.value.low <= 0.1 <= gap.value.high
    assert 0.9 < covered / draws < 0.99
