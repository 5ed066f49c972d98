"""Judging responses, wherever they come from."""

from dataclasses import replace

from helpers.evaluations import EXAMPLES, METRICS, RUBRIC, TASK

from herl_bench.evaluation.judging import NO_TEMPLATE, judge_responses
from herl_bench.types import Environment


def test_an_extraction_that_raises_is_an_error_of_ours():
    broken = replace(TASK, extract=lambda e, r: 1 / 0)
    (row,) = judge_responses(Environment(broken, RUBRIC, NO_TEMPLATE, METRICS), EXAMPLES[:1], ["0"])
    assert row.errors == ("extract: ZeroDivisionError: division by zero",)
