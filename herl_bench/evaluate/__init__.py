"""Evaluate policies, servers and stored responses; write and read lm-eval's files."""

from herl_bench.evaluate.evaluation import (
    RATES,
    Evaluation,
    Problem,
    Row,
    Score,
    Summary,
    Tally,
    evaluate,
    judge_responses,
    pass_at_k,
    sampling_settings,
    sum_up,
    warnings_of,
)
from herl_bench.evaluate.result_files import Writer, read_problems, read_summary, write_evaluation, write_results

__all__ = [
    "RATES",
    "Evaluation",
    "Problem",
    "Row",
    "Score",
    "Summary",
    "Tally",
    "Writer",
    "evaluate",
    "judge_responses",
    "pass_at_k",
    "read_problems",
    "read_summary",
    "sampling_settings",
    "sum_up",
    "warnings_of",
    "write_evaluation",
    "write_results",
]
