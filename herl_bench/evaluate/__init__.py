"""Evaluate policies and stored responses; write and read lm-eval's files."""

from herl_bench.evaluate.core import Evaluation, Row, Score, Summary, evaluate, judge_responses, sampling_settings, sum_up
from herl_bench.evaluate.files import Writer, read_summary, write_evaluation

__all__ = [
    "Evaluation",
    "Row",
    "Score",
    "Summary",
    "Writer",
    "evaluate",
    "judge_responses",
    "read_summary",
    "sampling_settings",
    "sum_up",
    "write_evaluation",
]
