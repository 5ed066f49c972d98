"""How unmet criteria become words, and the prompt in which the policy writes again.

Short on purpose: the first unmet part of a criterion stands for the later ones, which usually follow from it; and a
criterion is left out where another one that is unmet explains it (a wrong step explains a wrong answer). Left out: the
satisfied criteria's evidence.
"""

from __future__ import annotations

from herl_bench import HindsightTemplate

_GUIDANCE = """\
{% set missed = unmet | map(attribute="criterion") | unique | list %}
{% set kept = met | map(attribute="criterion") | unique | reject("in", missed) | list %}
{% if kept %}
Met: {{ kept | join(", ") | replace("_", " ") }}.
{% endif %}
{% set causes = {"allowed_option": ["answer_form"], "steps_match": ["steps_valid"],
                 "right_answer": ["allowed_option", "steps_valid", "steps_match"]} %}
{% for name in missed if not (causes.get(name, []) | select("in", missed) | list) %}
{% set first = unmet | selectattr("criterion", "equalto", name) | first %}
Unmet: {{ first.text }}{% if first.evidence %} Seen: {{ first.evidence }}.{% endif %}\
{% if first.correction %} {{ first.correction }}{% endif %}

{% endfor %}
"""

_PROMPT = """\
Q: {{ example.info.input }}
{% if draft is not none %}
Draft: {{ draft }}
{% endif %}
{{ guidance }}
A: Let's think step by step.
"""

TEMPLATE = HindsightTemplate(
    name="bbh",
    guidance=_GUIDANCE,
    prompt=_PROMPT,
    description="The first unmet part of each criterion with what was seen and the correct move; then the item again",
)
