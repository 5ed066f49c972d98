"""GSM8K for herl-bench: the task, its checks, hindsight template, metrics, synthetic world and embedded policy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from herl_bench import Check, Example, HindsightTemplate, Metric, Task, hookimpl
from herl_bench.locate import rubrics_path

from . import checks, data, template, world


def gold(example: Example) -> str:
    """The published (or made) worked solution, as it is."""
    return example.target


INSTRUCTION = (
    "Solve the problem step by step. Write out every calculation with its result, such as 12 + 5 = 17, and end with a"
    " line that holds only #### and the final number."
)
POLICY = Path(__file__).parent / "policy"
TASK = Task(
    name="gsm8k",
    description="Grade-school math word problems with worked solutions",
    read=data.read,
    files=data.list_files,
    hub=data.read_hub,
    splits=data.SPLITS,
    gold=gold,
    extract=checks.extract,
    rubric="gsm8k",
    template="gsm8k",
    metrics=tuple(metric.id for metric in checks.METRICS),
    world=world.WORLD,
    instruction=INSTRUCTION,
    stop=("Question:", "</s>", "<|im_end|>"),
    max_new_tokens=512,
    policy=POLICY if POLICY.is_dir() else None,
)


@hookimpl
def herl_tasks() -> Iterable[Task]:
    return [TASK]


@hookimpl
def herl_rubrics() -> Iterable[Path]:
    return [rubrics_path() / "gsm8k.yaml", rubrics_path() / "gsm8k-sparse.yaml"]


@hookimpl
def herl_checks() -> Iterable[Check]:
    return checks.CHECKS


@hookimpl
def herl_hindsight_templates() -> Iterable[HindsightTemplate]:
    return [template.TEMPLATE]


@hookimpl
def herl_metrics() -> Iterable[Metric]:
    return checks.METRICS
