"""What the model reads in each arm of a probe, and which arms there are."""

from dataclasses import replace
from itertools import islice

import pytest

from herl_bench.conversation import write_as_text
from herl_bench.errors import UsageError
from herl_bench.evaluation.judging import judge_responses
from herl_bench.evaluation.probe_arms import AGAIN, Failure, Revising, check_names, find_other, list_arms, write_request
from herl_bench.testing import TOY_METRIC, TOY_RUBRIC, TOY_TASK, TOY_TEMPLATE
from herl_bench.types import Environment

ENVIRONMENT = Environment(TOY_TASK, TOY_RUBRIC, TOY_TEMPLATE, [TOY_METRIC])
BASE = Revising("prompt", "reference", 0.7, 1.0)
CHAT = replace(BASE, form="without_draft")


def fail(count):
    examples = list(islice(TOY_TASK.world.examples("train", 0, 0.5), count))
    rows = judge_responses(ENVIRONMENT, examples, ["-"] * count)
    return [Failure(r.example.id, r.example, r.response, r.judgement.verdicts) for r in rows]


def ask(revising, failures, place=0):
    arms = [arm for arm in list_arms(revising) if arm.temperature == 1]
    other = find_other(failures, place)
    prompts = {arm.name: write_request(arm, ENVIRONMENT, failures[place], other) for arm in arms}
    return {name: prompt and write_as_text(prompt) for name, prompt in prompts.items()}


def test_each_arm_at_both_temperatures():
    assert [arm.key for arm in list_arms(BASE, ["other", "resample"])] == [
        "resample@0.7",
        "other@0.7",
        "resample@1",
        "other@1",
    ]
    assert {arm.name for arm in list_arms(BASE)} - {arm.name for arm in list_arms(CHAT)} == {"without_draft"}
    assert {arm.name for arm in list_arms(CHAT)} - {arm.name for arm in list_arms(BASE)} == {"with_draft", "cut_draft"}
    assert len({arm.temperature for arm in list_arms(replace(BASE, temperature=1.0))}) == 1


def test_words_are_the_draft_s_own_another_s_or_none():
    failures = fail(2)
    asked = ask(BASE, failures)
    own, other = (f"count {f.example.info['terms'][1]} up" for f in failures)
    assert asked["resample"] == failures[0].example.prompt
    assert asked["again"].startswith(f"-? {AGAIN}")
    assert own in asked["reference"]
    assert own not in asked["evidence"]
    assert other in asked["other"]
    assert own not in asked["other"]
    assert own in asked["without_draft"]
    assert "-?" not in asked["without_draft"]
    assert ask(BASE, failures[:1])["other"] is None


def test_a_form_that_shows_nothing_of_the_draft_is_not_asked_twice():
    asked = ask(CHAT, fail(2))
    assert "You answered:\n\n-" in asked["with_draft"]
    assert "You answered" not in asked["reference"]
    assert asked["cut_draft"] is None  # no check of the toy's says where a draft goes wrong


def test_arms_that_are_not_there_are_answered():
    with pytest.raises(UsageError, match="did you mean resample"):
        check_names(["resampel"])
    with pytest.raises(UsageError, match="no chat template"):
        list_arms(BASE, ["cut_draft"])
    with pytest.raises(UsageError, match="what guidance takes anyway"):
        list_arms(CHAT, ["without_draft"])
