"""How unmet criteria become words, and the prompt in which the policy writes again.

Short on purpose: the first unmet part of a criterion stands for the later ones, which usually follow from it; and a
criterion is left out where another one that is unmet explains it (a wrong step explains a wrong answer). Left out: the
satisfied criteria's evidence.
"""

from __future__ import annotations

from herl_bench import ChatTurns, HindsightTemplate

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

_CHAT_GUIDANCE = """\
{% set wrong = {"answer_form": "The answer is not given in the form that was asked for",
                "allowed_option": "The answer is none that the question allows",
                "steps_valid": "A step does not follow from what stands before it",
                "steps_match": "A step does not lead where it should", "right_answer": "The answer is wrong"} %}
{% set causes = {"allowed_option": ["answer_form"], "steps_match": ["steps_valid"],
                 "right_answer": ["allowed_option"]} %}
{% set missed = unmet | map(attribute="criterion") | unique | list %}
{% set ns = namespace(words=[]) %}
{% for name in ["steps_valid", "steps_match", "right_answer", "allowed_option", "answer_form"]
   if name in missed and not (causes.get(name, []) | select("in", missed) | list) %}
{% set first = unmet | selectattr("criterion", "equalto", name) | first %}
{% set said = wrong[name] ~ (": " ~ first.evidence if first.evidence else "") ~ "." %}
{% set ns.words = ns.words + [said] + ([first.correction] if first.correction else []) %}
{% endfor %}
{% for v in unmet if v.criterion not in wrong %}
{% set seen = v.correction or v.evidence %}
{% set said = 'It does not keep to this: "' ~ v.text ~ '"' ~ (" (" ~ seen ~ ")" if seen else "") ~ "." %}
{% if said not in ns.words %}{% set ns.words = ns.words + [said] %}{% endif %}
{% endfor %}
{{ ns.words | join(" ") }}
"""

_CHAT_REQUEST = """\
{% if draft is none %}
An earlier answer to this question is not right. {{ guidance }}

Answer the question from the beginning.\
{% elif cut %}
Up to here your working was right. {{ guidance }}

Write the whole answer, with what comes next done right.\
{% else %}
Your answer is not right. {{ guidance }}

Answer the question again from the beginning.\
{% endif %}
 Work step by step, and end with one sentence of the form: So the answer is X.
"""

TEMPLATE = HindsightTemplate(
    name="bbh",
    guidance=_GUIDANCE,
    prompt=_PROMPT,
    description="The first unmet part of each criterion with what was seen and the correct move; then the item again",
    turns=ChatTurns(_CHAT_GUIDANCE, _CHAT_REQUEST, "{{ example.info.input }}"),
)
