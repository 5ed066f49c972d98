"""BIG-Bench Hard for herl-bench: the task, its checks, hindsight template, metrics, synthetic world and embedded
policy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from herl_bench import Check, Example, HindsightTemplate, Metric, Task, hookimpl
from herl_bench.locate import rubrics_path

from . import answers, checks, data, lm_eval_match, template, world


def gold(example: Example) -> str:
    """The worked solution where the item has one, else the answer alone, in the asked form."""
    return str(example.info.get("solution") or f"So the answer is {example.target}.")


METRICS = (
    Metric(
        "robust_match",
        answers.robust_match,
        id="bbh/robust",
        description="the last answer given is the target, however it is written: (B), b, or the option's own text",
    ),
    Metric(
        "exact_match",
        answers.exact_match,
        filter="get-answer",
        id="bbh/exact_match",
        whole=True,
        description=(
            "as lm-eval's bbh_cot_fewshot: the first answer given, without the last sign of its line, is the target to"
            " the letter"
        ),
    ),
    Metric(
        "exact_match",
        lm_eval_match.cot_flexible,
        filter="flexible-extract",
        id="bbh/flexible",
        whole=True,
        description="as lm-eval's bbh_cot_zeroshot: the last option, yes or no, number or bracket in the response",
    ),
    Metric(
        "exact_match",
        lm_eval_match.cot_strict,
        filter="strict-match",
        id="bbh/strict",
        whole=True,
        description="as lm-eval's bbh_cot_zeroshot: the first answer given, without the last sign of its line",
    ),
)
# For a prompt that asks for the answer alone; under the same keys, so a task has either these or those of the same
# filters above.
ZEROSHOT_METRICS = (
    Metric(
        "exact_match",
        lm_eval_match.flexible,
        filter="flexible-extract",
        id="bbh/zeroshot_flexible",
        whole=True,
        description="as lm-eval's bbh_zeroshot: the first option, yes or no, number or bracket in the response",
    ),
    Metric(
        "exact_match",
        lm_eval_match.strict,
        filter="strict-match",
        id="bbh/zeroshot_strict",
        whole=True,
        description="as lm-eval's bbh_zeroshot: the whole response is the target",
    ),
)
INSTRUCTION = (
    "Work step by step, then end with one sentence of the form: So the answer is X. "
    "For a question with options, X is the letter in parentheses, such as (B)."
)
POLICY = Path(__file__).parent / "policy"
TASK = Task(
    name="bbh",
    description="BIG-Bench Hard: 27 subtasks of reasoning, language and knowledge",
    read=data.read,
    files=data.list_files,
    hub=data.read_hub,
    splits=data.SPLITS,
    gold=gold,
    extract=answers.extract,
    rubric="bbh",
    template="bbh",
    metrics=tuple(metric.id for metric in METRICS),
    world=world.WORLD,
    instruction=INSTRUCTION,
    stop=("\nQ:", "</s>", "<|im_end|>"),
    max_new_tokens=512,
    policy=POLICY if POLICY.is_dir() else None,
)


@hookimpl
def herl_tasks() -> Iterable[Task]:
    return [TASK]


@hookimpl
def herl_rubrics() -> Iterable[Path]:
    return [rubrics_path() / "bbh.yaml", rubrics_path() / "bbh-sparse.yaml"]


@hookimpl
def herl_checks() -> Iterable[Check]:
    return checks.CHECKS


@hookimpl
def herl_hindsight_templates() -> Iterable[HindsightTemplate]:
    return [template.TEMPLATE]


@hookimpl
def herl_metrics() -> Iterable[Metric]:
    return (*METRICS, *ZEROSHOT_METRICS)
