"""Judging responses, wherever they come from."""

from dataclasses import replace

from helpers.evaluations import EXAMPLES, METRICS, RUBRIC, TASK

from herl_bench.evaluation.judging import NO_TEMPLATE, judge_responses
from herl_bench.types import Environment


def test_an_extraction_that_raises_is_an_error_of_ours():
    broken = replace(TASK, extract=lambda e, r: 1 / 0)
    (row,) = judge_responses(Environment(broken, RUBRIC, NO_TEMPLATE, METRICS), EXAMPLES[:1], ["0"])
    assert row.errors == ("extract: ZeroDivisionError: division by zero",)


def test_answers_are_looked_for_outside_of_thoughts():
    task = replace(TASK, extract=lambda e, response: response)
    environment = Environment(task, RUBRIC, NO_TEMPLATE, METRICS)
    (dropped,) = judge_responses(environment, EXAMPLES[:1], ["<think>1</think>0"])
    (kept,) = judge_responses(replace(environment, think="keep"), EXAMPLES[:1], ["<think>1</think>0"])
    assert (dropped.extracted, kept.extracted) == ("0", "<think>1</think>0")
    assert dropped.response == kept.response == "<think>1</think>0"  # what is stored is whole
