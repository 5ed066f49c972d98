from typing import Any

import pytest
from helpers.toy_runs import make_rollout

from herl_bench.training.config import HeRLConfig
from herl_bench.training.forward import Pair
from herl_bench.training.rollouts import make_rows


def test_an_improved_revision_trains_both_prompts_and_a_worse_one_its_own():
    better = make_rollout("a", 1.0, kind="revision", draft=0, baseline=0.5, temperature=0.7)
    worse = make_rollout("a", 0.1, kind="revision", draft=0, baseline=0.5, temperature=0.7)
    both = make_rows([better, worse], HeRLConfig())
    assert [(r.pair.prompt, r.off_policy, r.reward) for r in both] == [
        ((1, 2), False, 1.0),
        ((1,), True, 1.0),
        ((1, 2), False, 0.1),
    ]
    assert both[1].behaviour == Pair((1, 2), (5, 6), 0.7)
    assert both[1].pair.temperature == 1.0
    assert [r.off_policy for r in make_rows([better, worse], HeRLConfig(train_context="original"))] == [True]
    assert [r.off_policy for r in make_rows([better, worse], HeRLConfig(train_context="hindsight"))] == [False, False]


@pytest.mark.parametrize(("truncation", "rewards"), [("penalise", [0.0]), ("mask", [])])
def test_truncated_responses_are_penalised_or_left_out(truncation: Any, rewards: list[float]):
    assert [
        r.reward
        for r in make_rows([make_rollout("a", 0.9, finish="length", bonus=0.1)], HeRLConfig(truncation=truncation))
    ] == rewards


def test_the_bonus_is_weighted_and_undecided_rollouts_give_no_row():
    (row,) = make_rows([make_rollout("a", 0.5, bonus=0.4), make_rollout("b", None)], HeRLConfig(bonus_coef=0.1))
    assert row.reward == pytest.approx(0.54)
