"""How unmet verdicts of a GSM8K response become guidance. Short, because the embedded policy reads about 250 tokens.

Per unmet part the deepest words that the hint level allows: the correct step, else what was seen, else the criterion's
text. A calculator note that is wrong may be answered with what it should be; where that happens to be the final answer,
it is left out here.

What was seen speaks for itself where the task's own rubric asked (`OWN`, its texts). Of anybody else's criterion the
text is said, and then in parentheses what was seen: "11 words" alone says nothing.

A chat model is told the same in whole sentences, what is wrong first: a wrong calculation, then the quantities that are
missing, then the answer and its form.
"""

from __future__ import annotations

from herl_bench import ChatTurns, HindsightTemplate

OWN = (
    'The last line is "#### " and the number, and nothing follows it.',
    "Every calculation is right.",
    "The solution reaches every quantity on the way to the answer.",
    "The final answer is right.",
)
TAUGHT = {text: text for text in OWN} | {OWN[1]: "Every calculation <<expression=result>> is right."}
"""The embedded policy has learnt to read these."""

GUIDANCE = (
    f"""\
{{% set own = {TAUGHT} %}}
"""
    + """\
{% set ns = namespace(words=[], wrong=[]) %}
{% for v in unmet %}
{% set seen = (v.correction or v.evidence).removesuffix(", should be " ~ example.info.answer) %}
{% set said = seen or own[v.text] if v.text in own else v.text.rstrip(".") ~ (" (" ~ seen ~ ")" if seen else "") %}
{% if said not in ns.words %}{% set ns.words = ns.words + [said] %}{% endif %}
{% set ns.wrong = ns.wrong + [v.criterion] %}
{% endfor %}
{% set right = met | map(attribute="criterion") | reject("in", ns.wrong) | unique | list %}
{% if right %}
Met: {{ right | join(", ") | replace("_", " ") }}. {% endif %}
Unmet: {{ ns.words | map("trim", ".") | join("; ") }}.
"""
)

PROMPT = """\
{{ example.prompt.removesuffix("Answer:") }}\
{% if draft is not none %}
Draft:
{{ draft.strip() }}
{% else %}
An earlier attempt. {% endif %}
{{ guidance }}
Answer:"""

WRONG = dict(
    zip(
        OWN,
        (
            "The solution does not end as it was asked to",
            "A calculation is wrong",
            "Quantities that are needed on the way to the answer are not reached",
            "The final answer is wrong",
        ),
        strict=True,
    )
)
CHAT_GUIDANCE = (
    f"""\
{{% set wrong = {WRONG} %}}
{{% set order = {(*OWN[1:], OWN[0])} %}}
"""
    """\
{% set ns = namespace(words=[], seen=[], steps=[]) %}
{% for text in order if text in unmet | map(attribute="text") | list %}
{% set ns.seen, ns.steps = [], [] %}
{% for v in unmet if v.text == text %}
{% set seen = v.evidence.removesuffix(", should be " ~ example.info.answer) %}
{% if v.correction %}{% set ns.steps = ns.steps + [v.correction.removeprefix(v.part ~ " should be ")] %}
{% elif seen | lower != wrong[text] | lower %}
{% set ns.seen = ns.seen + [seen.replace(" is not reached", " of a right solution")] %}
{% endif %}
{% endfor %}
{% set seen, steps = ns.seen | select | unique | join("; "), ns.steps | unique | join(", then ") %}
{% set lead = "The final answer is missing" if seen and text == order[2] else wrong[text] %}
{% set seen = "" if steps or seen == "no final answer" else seen %}
{% set ns.words = ns.words + [lead ~ (": " ~ seen if seen else "") ~ "."] %}
{% if steps %}{% set ns.words = ns.words + ["A right solution calculates " ~ steps ~ "."] %}{% endif %}
{% endfor %}
{% for v in unmet if v.text not in wrong %}
{% set seen = v.correction or v.evidence %}
{% set said = 'It does not keep to this: "' ~ v.text ~ '"' ~ (" (" ~ seen ~ ")" if seen else "") ~ "." %}
{% if said not in ns.words %}{% set ns.words = ns.words + [said] %}{% endif %}
{% endfor %}
{{ ns.words | join(" ") }}
"""
)

CHAT_REQUEST = """\
{% if draft is none %}
An earlier solution of this problem is not right. {{ guidance }}

Solve the problem from the beginning.\
{% elif cut %}
Up to here your solution was right. {{ guidance }}

Write the whole solution, with what comes next done right.\
{% else %}
Your solution is not right. {{ guidance }}

Solve the problem again from the beginning.\
{% endif %}
 Write out every calculation with its result, and end with a line that holds only #### and the final number.
"""

TEMPLATE = HindsightTemplate(
    "gsm8k",
    GUIDANCE,
    PROMPT,
    "what is good, and per missed step the right one, without results",
    ChatTurns(CHAT_GUIDANCE, CHAT_REQUEST, "{{ example.prompt.removesuffix('Answer:').rstrip() }}"),
)
