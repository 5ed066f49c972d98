"""The checks that `rubrics/bbh.yaml` names.

The two step checks do not apply (they give no finding) to subtasks without a solver here, and to responses that show no
steps, because the published answers come without a worked solution. Where the item has one, as in the synthetic world,
its steps are asked for: leaving them out is then an unmet `steps_match`, or a policy could gain by not working at all.

`steps_match` solves the item, or reads in its worked solution what an order of words stands for that has only a name.
That is as good as reading its answer, so it is marked as needing the reference.

No evidence and no correction states the final answer; a correction in which it would stand as a number of its own is
dropped.
"""

from __future__ import annotations

import re
from dataclasses import replace

from herl_bench import Check, Example, Finding, answer_text
from herl_bench.answers import UNCLOSED

from . import answers, solvers, steps


def answer_form(example: Example, response: str) -> Finding:
    """The response ends with "the answer is X." and says so once only."""
    text = answer_text(response)
    if text is None:
        return Finding(False, UNCLOSED)
    count = len(re.findall(r"the answer is\b", text, re.IGNORECASE))
    if count > 1:
        return Finding(False, f"an answer is given {count} times")
    asked = answers.ASKED_FORM.search(text)
    if asked and answers.is_one_sentence(example, asked["answer"]):
        return Finding(True)
    if count and re.search(r"the answer is\s*\S", text, re.IGNORECASE):
        return Finding(False, "something stands after the answer, or its full stop is missing")
    return Finding(False, "an answer is missing" if not count else "the answer is left open")


def allowed_option(example: Example, response: str) -> Finding | list[Finding]:
    """The answer is one that the item allows: an option, True or False, a number, the given words, …"""
    found = answers.extract(example, response)
    if answers.find_kind(example) == "text":
        return []
    if found is None:
        return Finding(False, UNCLOSED if answer_text(response) is None else "an answer is missing")
    met = bool(answers.is_allowed(example, found))
    return Finding(met, "" if met else f"{found[:60]} is not {_ASKED[answers.find_kind(example)]}")


_ASKED = {
    "letter": "one of the options",
    "choice": "one of the options",
    "boolean": "True or False",
    "yes or no": "yes or no",
    "number": "a whole number",
    "words": "the given words in some order",
    "brackets": "made of closing brackets",
}


def steps_valid(example: Example, response: str) -> list[Finding]:
    """Each worked step follows from the one before it, as written, and from the item's text."""
    problem = solvers.read(answers.get_subtask(example), answers.get_question(example))
    found = steps.follow(problem, steps.cut_working(response))[: steps.MOST_FINDINGS] if problem else []
    return [_locate(response, finding) for finding in found]


def _locate(response: str, finding: Finding) -> Finding:
    """With where its line begins, if the step stands in the response as the evidence quotes it."""
    place = response.find(finding.evidence) if finding.evidence and not finding.met else -1
    return finding if place < 0 else replace(finding, at=response.rfind("\n", 0, place) + 1)


def steps_match(example: Example, response: str) -> list[Finding]:
    """Each worked step reaches the state that the right solution reaches there."""
    problem = solvers.read(answers.get_subtask(example), answers.get_question(example))
    if problem is None:
        return []
    reference = str(example.info.get("solution") or "")
    problem = solvers.consult(problem, reference)
    found = steps.reach(problem, steps.cut_working(response))[: steps.MOST_FINDINGS]
    if reference:
        missing = len(steps.reach(problem, steps.cut_working(reference))) - len(found)
        if missing > 0:
            found.append(
                Finding(
                    False, "the steps are missing" if not found else "a step is missing", "Work step by step.", "steps"
                )
            )
    return [_hide_answer(example, finding) for finding in found]


def _hide_answer(example: Example, finding: Finding) -> Finding:
    number = re.fullmatch(r"-?\d+", example.target)
    gives_away = number and re.search(rf"(?<![\d.]){re.escape(example.target)}(?!\d)", finding.correction)
    return replace(finding, correction="") if gives_away and not finding.met else finding


def right_answer(example: Example, response: str) -> Finding:
    """The answer is the right one, in whatever words it is given."""
    found = answers.extract(example, response)
    if found is None:
        return Finding(False, UNCLOSED if answer_text(response) is None else "an answer is missing")
    met = bool(answers.robust_match(example, response))
    return Finding(met, "" if met else f"{found[:60]} is not right")


CHECKS = (
    Check("bbh.answer_form", answer_form),
    Check("bbh.allowed_option", allowed_option),
    Check("bbh.steps_valid", steps_valid),
    Check("bbh.steps_match", steps_match, needs_reference=True),
    Check("bbh.right_answer", right_answer, needs_reference=True),
)
