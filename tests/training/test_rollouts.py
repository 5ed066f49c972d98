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
    half = make_rollout("a", 0.7, kind="revision", draft=0, baseline=0.5, temperature=0.7)
    right_alone = HeRLConfig(train_context="original", imitation_threshold=1.0)
    assert [r.reward for r in make_rows([better, half], right_alone)] == [1.0]
    assert [r.off_policy for r in make_rows([better, worse], HeRLConfig(train_context="hindsight"))] == [False, False]


@pytest.mark.parametrize(("truncation", "reward"), [("penalise", 0.0), ("mask", None), (None, 0.9)])
def test_a_response_that_was_cut_off_has_one_reward_everywhere(truncation: Any, reward: float | None):
    """None: of a method without such a setting."""
    cut = make_rollout("a", 0.9, finish="length", truncation=truncation, baseline=0.3, draft=0, kind="revision")
    assert cut.reward == reward
    assert cut.improvement == (None if reward is None else pytest.approx(reward - 0.3))
    assert [r.reward for r in make_rows([cut], HeRLConfig())][:1] == [reward] * (reward is not None)
    logged = cut.as_json(1, 0)
    assert (logged["reward"], logged.get("rubric_reward")) == (reward, None if truncation is None else 0.9)
    assert logged["verdicts"]
    assert logged["errors"] == []
    whole = make_rollout("a", 0.9, truncation=truncation)
    assert whole.reward == 0.9
    assert "rubric_reward" not in whole.as_json(1, 0)


def test_a_draft_that_was_cut_off_is_beaten_by_a_finished_revision():
    """At 0.8 by the rubric, and 0.7: the revision reaches the plain prompt. The other way round it does not."""
    draft = make_rollout("a", 0.8, finish="length")
    revision = make_rollout("a", 0.7, kind="revision", draft=0, baseline=draft.reward)
    rows = make_rows([draft, revision], HeRLConfig())
    assert [(r.pair.prompt, r.off_policy, r.reward) for r in rows] == [
        ((1,), False, 0.0),
        ((1, 2), False, 0.7),
        ((1,), True, 0.7),
    ]
    cut = make_rollout("a", 0.8, kind="revision", draft=0, baseline=0.1, finish="length")
    assert [r.off_policy for r in make_rows([cut], HeRLConfig())] == [False]


def test_the_bonus_is_weighted_and_undecided_rollouts_give_no_row():
    (row,) = make_rows([make_rollout("a", 0.5, bonus=0.4), make_rollout("b", None)], HeRLConfig(bonus_coef=0.1))
    assert row.reward == pytest.approx(0.54)
