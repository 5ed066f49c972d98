"""How a failed function is talked about: in comments that a base model goes on from, in turns with a chat model.

The comments stand at the head of the body, so that a base model goes on with the body. Only the deepest thing that is
known is said there, the correction or else what was seen, because the embedded policy's context is short. A chat model
is told a test that the function must pass, and what to do instead.

A criterion that is not the task's own is said whole, its text and in parentheses what was seen.
"""

from __future__ import annotations

from herl_bench import ChatTurns, HindsightTemplate

OWN = {
    "The answer holds Python code.": "held no Python code",
    "The code parses.": "was not valid Python",
    "The code defines the function.": "did not define the function that was asked for",
    "The code runs without an exception.": "raised an exception, or never ended",
    "The docstring examples hold.": "did not return what the examples in the docstring show",
    "The hidden tests pass.": "failed tests that are not shown here",
}
"""The texts of the task's own criteria, and what a draft did that does not meet one."""

GUIDANCE = (
    f"""\
{{% set own = {list(OWN)} %}}
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
"""
)

PROMPT = """\
{{ example.prompt }}
{%- if draft is not none %}
    # Draft:
{% for line in draft.strip("\\n").split("\\n") %}
    # {{ line }}
{% endfor %}
{% endif %}
    # Unmet: {{ guidance.replace("\\n", "\\n    # ") }}
"""

# Told is what must hold, not what went wrong: that repaired more in the sample that the wording was chosen on
# (docs/guidance.md). One failing test, never all: a program could be written around tests that it was shown, and be
# paid for it. Where there is none to show, the first cause of the failure is told: it explains what follows from it.
CHAT_GUIDANCE = (
    f"""\
{{% set own = {OWN} %}}
"""
    """\
{% set said = namespace(test="", causes=[], seen="", fix="", others=[]) %}
{% for name in ["hidden_tests", "docstring_examples"] %}
{% for verdict in unmet if verdict.criterion == name and verdict.text in own %}
{% set seen = verdict.evidence.removeprefix("check(candidate): ") %}
{% set test = seen.partition(": raised ")[0].partition(": got ")[0] %}
{% if ", expected " in seen and not test.startswith("assert ") %}
{% set test = "assert " ~ test ~ " == " ~ seen.rpartition(", expected ")[2] %}
{% endif %}
{% if not said.test and test.startswith("assert ") and test != seen and "…" not in test %}
{% set said.test = test %}
{% endif %}
{% endfor %}
{% endfor %}
{% for verdict in unmet if verdict.text in own %}
{% if own[verdict.text] not in said.causes %}{% set said.causes = said.causes + [own[verdict.text]] %}{% endif %}
{% set said.seen, said.fix = said.seen or verdict.evidence, said.fix or verdict.correction %}
{% endfor %}
{% for verdict in unmet if verdict.text not in own %}
{% set seen = verdict.correction or verdict.evidence %}
{% set other = 'did not keep to this: "' ~ verdict.text ~ '"' ~ (" (" ~ seen ~ ")" if seen else "") %}
{% if other not in said.others %}{% set said.others = said.others + [other] %}{% endif %}
{% endfor %}
{% if said.test %}
The function must pass this test:
{{ said.test }}
{% elif said.causes %}
Take care: an earlier attempt {{ said.causes[0] }}{% if said.seen %} ({{ said.seen }}){% endif %}.
{% endif %}
{% if said.fix %}
Hint: {{ said.fix.replace("the draft has", "an earlier attempt has") }}
{% endif %}
{% for other in said.others %}
Take care: an earlier attempt {{ other }}.
{% endfor %}
"""
)

CHAT_REQUEST = """\
{% if draft is none %}{{ guidance }}{% else %}
That is not right. {{ guidance }}

Write a different function that is right, in one ```python block and nothing else.
{% endif %}
"""

TEMPLATE = HindsightTemplate(
    name="humaneval",
    guidance=GUIDANCE,
    prompt=PROMPT,
    description="comments at the head of the function's body, or turns: a test that must pass, and what to use instead",
    turns=ChatTurns(CHAT_GUIDANCE, CHAT_REQUEST),
)
