"""How unmet verdicts of a GSM8K response become guidance. Short, because the embedded policy reads about 250 tokens.

Per unmet part the deepest words that the hint level allows: the correct step, else what was seen, else the criterion's
text. A calculator note that is wrong may be answered with what it should be; where that happens to be the final answer,
it is left out here.

What was seen speaks for itself where the task's own rubric asked (`OWN`, its texts). Of anybody else's criterion the
text is said, and then in parentheses what was seen: "11 words" alone says nothing.
"""

from __future__ import annotations

from herl_bench import HindsightTemplate

OWN = (
    'The last line is "#### " and the number, and nothing follows it.',
    "Every calculation <<expression=result>> is right.",
    "The solution reaches every quantity on the way to the answer.",
    "The final answer is right.",
)

GUIDANCE = (
    f"""\
{{% set own = {OWN} %}}
"""
    + """\
{% set ns = namespace(words=[], wrong=[]) %}
{% for v in unmet %}
{% set seen = (v.correction or v.evidence).removesuffix(", should be " ~ example.info.answer) %}
{% set said = seen or v.text if v.text in own else v.text.rstrip(".") ~ (" (" ~ seen ~ ")" if seen else "") %}
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

TEMPLATE = HindsightTemplate(
    "gsm8k", GUIDANCE, PROMPT, "what is good, and per missed step the right one, without results"
)
