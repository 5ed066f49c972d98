"""reasoning-gym for herl-bench: what the host is given, and the rubric, template and metrics in full.

`families.py` says which problems there are and how one is solved, `world.py` makes endless examples of them,
`checks.py` judges a response.
Left out: files and a hub for the problems, because reasoning-gym makes them from a seed.

To make this plugin yours: change the names, write your problems and worked solutions in `families.py`, and keep here
the criteria that you can check. Lines marked COPY are those that every copier changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from herl_bench import ChatTurns, Criterion, Example, HindsightTemplate, Metric, Rubric, Task, hookimpl

from . import checks, world

# COPY: the name of your task; rubric and template may share it, metrics carry it as a prefix.
NAME = "reasoning_gym"

# COPY: what a good response does. The text is what the policy reads when it missed the criterion; the weights make the
# reward.
RUBRIC = Rubric(
    NAME,
    (
        Criterion("answer_form", 'End with one line "#### answer".', checks.answer_form, weight=0.5),
        Criterion("steps_valid", "Every calculation is right.", checks.steps_valid, weight=1.0, observe=checks.observe),
        Criterion(
            "quantities",
            "Reach every intermediate result.",
            checks.quantities,
            weight=1.5,
            needs_reference=True,
            observe=checks.observe,
        ),
        Criterion("final_answer", "The final answer is right.", checks.final_answer, weight=3.0, needs_reference=True),
    ),
    "calculations that hold, the quantities of the worked solution, the final answer",
)

# COPY: how unmet criteria become words. Short, because a small policy reads it: per unmet part the deepest words that
# the hint level allows.
TEMPLATE = HindsightTemplate(
    NAME,
    guidance="""\
Unmet:
{%- set said = [] %}
{%- for v in unmet %}
{%- set words = (v.correction or v.evidence or v.text).rstrip(".") %}
{%- if words not in said %}{{ "; " if said else " " }}{{ words }}{% set _ = said.append(words) %}{% endif %}
{%- endfor %}.""",
    prompt="""\
{{ example.info.question }}
{% if draft is not none %}
Draft:
{{ draft.strip() }}
{% endif %}
{{ guidance }}
Answer:
""",
    description="per missed part the correct step without its result, else what was seen",
    # COPY: the same for models with a chat template, in whole sentences that say what is wrong.
    turns=ChatTurns(
        guidance="""\
{% set wrong = {"answer_form": "The answer does not stand where it should", "steps_valid": "A calculation is wrong",
                "quantities": "A result on the way is missing", "final_answer": "The answer is wrong"} %}
{% set ns = namespace(said=[]) %}
{% for v in unmet %}
{% set about = wrong.get(v.criterion, "It does not keep to this, " ~ v.text.rstrip(".")) %}
{% set seen = v.correction or v.evidence %}
{% set said = about ~ (": " ~ seen.rstrip(".") if seen else "") ~ "." %}
{% if said not in ns.said %}{% set ns.said = ns.said + [said] %}{% endif %}
{% endfor %}
{{ ns.said | join(" ") }}""",
        request="""\
{{ "An earlier solution of this problem" if draft is none else "Your solution" }} is not right. {{ guidance }}

Solve the problem from the beginning, one calculation a line, and end with a line "#### answer".""",
        problem="{{ example.info.question }}",
    ),
)

# The first metric that the task lists is the one reported first. Metrics are apart from the reward: nothing trains on
# them.
METRICS = (
    Metric(
        "solved", checks.solved, id="reasoning_gym/solved", description="reasoning-gym's own scorer gives full marks"
    ),
    Metric(
        "score", checks.score, id="reasoning_gym/score", description="reasoning-gym's own score, which may be partial"
    ),
)

POLICY = Path(__file__).parent / "policy"


def gold(example: Example) -> str:
    return str(example.info["solution"])


TASK = Task(
    name=NAME,
    description="Problems that the reasoning-gym package makes: word problems, sums, legs, letters, divisors",
    read=None,  # a function of a folder, where there are files to read problems from
    hub=None,
    splits={},
    gold=gold,
    extract=checks.extract,
    rubric=RUBRIC.name,
    template=TEMPLATE.name,
    metrics=tuple(metric.id for metric in METRICS),
    world=world.WORLD,
    instruction='Solve the problem step by step, one calculation a line, and end with a line "#### answer".',
    policy=POLICY if POLICY.is_dir() else None,
)


@hookimpl
def herl_tasks() -> Iterable[Task]:
    return [TASK]


@hookimpl
def herl_rubrics() -> Iterable[Rubric]:
    return [RUBRIC]


@hookimpl
def herl_hindsight_templates() -> Iterable[HindsightTemplate]:
    return [TEMPLATE]


@hookimpl
def herl_metrics() -> Iterable[Metric]:
    return METRICS
