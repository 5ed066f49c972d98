"""A small task of sums, judged and evaluated, and an evaluation's files."""

import re
from dataclasses import dataclass

from herl_bench.evaluation.evaluate import Evaluation
from herl_bench.evaluation.judging import NO_TEMPLATE, judge_responses
from herl_bench.evaluation.lm_eval_tasks import name_column
from herl_bench.evaluation.result_files import criterion_column
from herl_bench.evaluation.sample_files import SampleWriter
from herl_bench.evaluation.tally import sum_up
from herl_bench.policy.answerer import Answer, ResolvedSampling
from herl_bench.types import Criterion, Environment, Example, Metric, Rubric, Task

TASK = Task(
    "sums", "adding", lambda d, s: [], lambda s: [], {}, lambda e: e.target,
    lambda e, r: (re.findall(r"\d+", r) or [None])[-1], "sums", "sums", ("exact",),
)  # fmt: skip
RUBRIC = Rubric(
    "sums",
    (
        Criterion("number", "Write a number.", lambda e, r: bool(re.search(r"\d", r))),
        Criterion("short", "Be brief.", lambda e, r: len(r) < 10, weight=3),
        Criterion("fragile", "?", lambda e, r: 1 / len(r) > 0),
    ),
)
METRICS = (
    Metric("exact_match", lambda e, r: float(r.strip() == e.target), filter="strict-match"),
    Metric("exact_match", lambda e, r: float(re.findall(r"\d+", r)[-1] == e.target), filter="flexible"),
)
EXAMPLES = [
    Example(f"eval/{i}", f"{i} + {i} =", str(2 * i), {"family": "even" if i % 2 == 0 else "odd", "planted": i == 3})
    for i in range(4)
]
RESPONSES = ["0", "it is 2", "four", ""]


@dataclass(frozen=True)
class Ran:
    """An observation that knows how the program ended."""

    text: str
    status: str


ENVIRONMENT = Environment(TASK, RUBRIC, NO_TEMPLATE, METRICS)


def rows(examples=EXAMPLES, responses=RESPONSES, **more):
    return judge_responses(ENVIRONMENT, examples, responses, **more)


def list_columns(environment):
    """Column → is higher better. The `metric_list` of the task's file for lm-eval must name all of them."""
    criteria = {criterion_column(criterion.name): True for criterion in environment.rubric.criteria}
    return {name_column(metric): metric.higher_is_better for metric in environment.metrics} | criteria


def evaluation():
    ends = [("eos", 2), ("eos", 1), ("length", 0), ("eos", 1)]
    made = rows(
        responses=[Answer(text, finish, tokens) for text, (finish, tokens) in zip(RESPONSES, ends, strict=True)]
    )
    return Evaluation(
        tuple(made), sum_up(made, RUBRIC, METRICS), ResolvedSampling(max_new_tokens=8, stop=["\n"], seed=5)
    )


def write_evaluation(evaluation, directory, environment, **more):
    """Of a finished evaluation: the paths of the results and the samples file."""
    with SampleWriter(directory, environment, evaluation.settings) as writer:
        writer.append(evaluation.rows)
        return writer.finish(evaluation, **more)
