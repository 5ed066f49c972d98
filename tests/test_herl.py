from random import Random
from typing import Any

import pytest

from herl_bench.hindsight import HindsightBuffer
from herl_bench.testing import TOY_RUBRIC, TOY_TEMPLATE
from herl_bench.train import herl
from herl_bench.train.config import HeRLConfig
from herl_bench.train.rollouts import Rollout, training_rows
from herl_bench.train.scoring import Pair
from herl_bench.types import Example, Judgement, Verdict


def rollout(name: str, reward: float | None, **more: Any) -> Rollout:
    a, b = 3, 4
    example = Example(name, f"{a}+{b}=", "7", {"terms": [a, b]})
    verdicts = (Verdict("number", True), Verdict("right", False, "not the sum", "count 4 up from 3"))
    given = {"kind": "plain", "finish": "eos", "temperature": 1.0, "ids": (5, 6), **more}
    return Rollout(
        example=example, prompt=example.prompt, prompt_ids=(1, 2), plain_ids=(1,), text="9", judgement=Judgement(verdicts, reward), **given
    )


def test_only_failures_are_revised_and_undecided_ones_are_not():
    drafts = [rollout("a", 1.0), rollout("b", 0.5), rollout("c", None), rollout("d", 0.0)]
    assert herl.choose(drafts, 9, HeRLConfig(), [0.0] * 4, Random(0)) == {1: 1.0, 3: 1.0}


def test_all_gives_every_failure_the_same_chance():
    drafts = [rollout(str(i), 0.5) for i in range(10)]
    counts = [0] * 10
    rng = Random(0)
    for _ in range(2000):
        chosen = herl.choose(drafts, 3, HeRLConfig(), [0.0] * 10, rng)
        assert set(chosen.values()) == {0.3}
        for i in chosen:
            counts[i] += 1
    assert all(520 < c < 680 for c in counts)


def test_best_of_group_takes_each_prompts_best_failure():
    drafts = [rollout("a", 0.1), rollout("a", 0.6), rollout("b", 0.2), rollout("b", 1.0)]
    chosen = herl.choose(drafts, 4, HeRLConfig(revise="best_of_group", revise_epsilon=0.0), [0.0] * 4, Random(0))
    assert chosen == {1: 1.0, 2: 1.0}


def test_the_critic_ranks_and_a_random_share_keeps_its_propensity():
    drafts = [rollout(str(i), 0.5) for i in range(8)]
    predicted = [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
    chosen = herl.choose(drafts, 4, HeRLConfig(revise="critic", revise_epsilon=0.5), predicted, Random(1))
    assert chosen[7] == chosen[6] == 1.0
    others = {i: p for i, p in chosen.items() if i < 6}
    assert len(others) == 2
    assert set(others.values()) == {2 / 6}


def test_a_revision_prompt_shows_draft_and_guidance():
    drafts = [rollout("a", 0.5)]
    (assigned,) = herl.assign_revisions(drafts, {0: 0.25}, TOY_TEMPLATE, TOY_RUBRIC, HeRLConfig())
    assert assigned.prompt == "9? The answer is the sum. count 4 up from 3 3+4="
    assert (assigned.baseline, assigned.draft, assigned.propensity) == (0.5, 0, 0.25)
    (shallow,) = herl.assign_revisions(drafts, {0: 1.0}, TOY_TEMPLATE, TOY_RUBRIC, HeRLConfig(hint_level="criteria"))
    assert shallow.guidance == "The answer is the sum."


def test_guidance_out_of_the_buffer_comes_without_the_draft():
    draft = rollout("a", 0.5)
    revision = rollout("a", 1.0, kind="revision", draft=0, baseline=0.5, guidance="Count on.")
    buffer = HindsightBuffer()
    buffer.add(herl.lessons([draft], [revision]))
    guided, plain = herl.assign_drafts([draft.example, rollout("z", None).example], buffer, TOY_TEMPLATE, 1.0, Random(0))
    assert guided.prompt == "Count on. 3+4="
    assert guided.baseline == 0.5
    assert plain.guidance  # the same words, for a similar prompt
    assert herl.assign_drafts([draft.example], buffer, TOY_TEMPLATE, 0.0, Random(0))[0].guidance == ""


def test_an_improved_revision_trains_both_prompts_and_a_worse_one_its_own():
    better = rollout("a", 1.0, kind="revision", draft=0, baseline=0.5, temperature=0.7)
    worse = rollout("a", 0.1, kind="revision", draft=0, baseline=0.5, temperature=0.7)
    both = training_rows([better, worse], HeRLConfig())
    assert [(r.pair.prompt, r.off_policy, r.reward) for r in both] == [((1, 2), False, 1.0), ((1,), True, 1.0), ((1, 2), False, 0.1)]
    assert both[1].behaviour == Pair((1, 2), (5, 6), 0.7)
    assert both[1].pair.temperature == 1.0
    assert [r.off_policy for r in training_rows([better, worse], HeRLConfig(train_context="original"))] == [True]
    assert [r.off_policy for r in training_rows([better, worse], HeRLConfig(train_context="hindsight"))] == [False, False]


@pytest.mark.parametrize(("truncation", "rewards"), [("penalise", [0.0]), ("mask", [])])
def test_truncated_responses_are_penalised_or_left_out(truncation: Any, rewards: list[float]):
    assert [r.reward for r in training_rows([rollout("a", 0.9, finish="length", bonus=0.1)], HeRLConfig(truncation=truncation))] == rewards


def test_the_bonus_is_weighted_and_undecided_rollouts_give_no_row():
    (row,) = training_rows([rollout("a", 0.5, bonus=0.4), rollout("b", None)], HeRLConfig(bonus_coef=0.1))
    assert row.reward == pytest.approx(0.54)
