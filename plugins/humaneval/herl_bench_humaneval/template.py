"""How a failed function is talked about: in comments that a base model goes on from, in turns with a chat model.

The comments stand at the head of the body, so that a base model goes on with the body. Only the deepest thing that is
known is said there, the correction or else what was seen, because the embedded policy's context is short. A chat model
is told in whole sentences what fails, what was seen, and what to do instead.

A criterion that is not the task's own is said whole, its text and in parentheses what was seen.
"""

from __future__ import annotations

from herl_bench import ChatTurns, HindsightTemplate

OWN = {
    "The answer holds Python code.": "No Python code was found in the answer.",
    "The code parses.": "The code is not valid Python.",
    "The code defines the function.": "The code does not define the function that was asked for.",
    "The code runs without an exception.": "The code raises an exception, or never ends.",
    "The docstring examples hold.": "The function does not return what the examples in its docstring show.",
    "The hidden tests pass.": "The function fails tests of it that are not shown here.",
}
"""The texts of the task's own criteria, and what is wrong where one is not met."""

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

# The first cause of a failure explains what follows from it; of failing tests, one that the docstring shows and one
# that it does not are told (a hidden test may be the docstring's example with other blanks).
CHAT_GUIDANCE = (
    f"""\
{{% set own = {OWN} %}}
"""
    """\
{% macro tell(verdict) %}
{% set seen = verdict.evidence.removeprefix("check(candidate): ") %}
{% set call, _, outcome = (seen.rpartition(": got ") if ": got " in seen else ("", "", "")) %}
{% set call = call.removeprefix("assert ") %}
{% if ", expected " in outcome %}
`{{ call }}` gives {{ outcome.rpartition(", expected ")[0] }}, but {{ outcome.rpartition(", expected ")[2] }} is \
expected.
{% elif call.count(" == ") == 1 %}
`{{ call.partition(" == ")[0] }}` gives {{ outcome }}, but {{ call.partition(" == ")[2] }} is expected.
{% elif call %}
`assert {{ call }}` fails: what it looks at is {{ outcome }}.
{% else %}
{{ own[verdict.text] }}{% if seen %} This was seen: {{ seen.rstrip(".") }}.{% endif %}

{% endif %}
{% endmacro %}
{% set said = namespace(causes=[], facts=[], bare=[], fix="", others=[]) %}
{% for verdict in unmet if verdict.text in own and verdict.text not in said.causes %}
{% set fact = tell(verdict) | trim %}
{% set bare = fact.replace(" ", "").replace('"', "'") %}
{% if bare not in said.bare %}
{% set said.causes, said.facts, said.bare = said.causes + [verdict.text], said.facts + [fact], said.bare + [bare] %}
{% endif %}
{% endfor %}
{% for verdict in unmet if verdict.text in own and not said.fix %}{% set said.fix = verdict.correction %}{% endfor %}
{% for verdict in unmet if verdict.text not in own %}
{% set seen = verdict.correction or verdict.evidence %}
{% set other = 'It does not keep to this: "' ~ verdict.text ~ '"' ~ (" (" ~ seen ~ ")" if seen else "") ~ "." %}
{% if other not in said.others %}{% set said.others = said.others + [other] %}{% endif %}
{% endfor %}
{% set tests = own | list %}
{% set facts = said.facts[:2] if said.causes and said.causes[0] in tests[4:] else said.facts[:1] %}
{{ (facts + [said.fix.replace("the draft has", "it has")] + said.others) | select | join(" ") }}
"""
)

CHAT_REQUEST = """\
{{ "An earlier attempt at this function" if draft is none else "That" }} is not right. {{ guidance }}

Write the whole function {% if draft is none %}correctly{% else %}again, in a way that is correct{% endif %}, in one \
```python block and nothing else.
"""

TEMPLATE = HindsightTemplate(
    name="humaneval",
    guidance=GUIDANCE,
    prompt=PROMPT,
    description="comments at the head of the function's body, or turns: what fails, and what to use instead",
    turns=ChatTurns(CHAT_GUIDANCE, CHAT_REQUEST),
)
