"""The forms that are tried: how what was wrong with a draft is said to a chat model.

Four are herl-bench's own, with the words of the task's template: the values of `revise_form`. The others are
alternatives for problems that are judged by assertions: `find_fault` reads a draft's verdicts, and a form makes of the
problem, the draft and the fault what the model is asked. Words at level `criteria` name the fault, `evidence` adds a
failing test and what came of it, `reference` adds the correction.

Left out: base models.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from herl_bench import Example, Verdict
from herl_bench.conversation import Prompt, Turn
from herl_bench.hindsight import FORMS as OWN_FORMS
from herl_bench.hindsight import find_first_error, write_guidance, write_revision
from herl_bench.types import Environment, HintLevel

FAULTS = {
    "code_extracted": "It holds no Python code.",
    "parses": "Its code does not parse.",
    "defines_entry": "Its code does not define the function that was asked for.",
    "runs": "Its code raises an exception.",
    "docstring_examples": "It does not return what the docstring's example says.",
    "hidden_tests": "It returns wrong results for some arguments.",
}
"""By criterion, from the root of what can be wrong to its last consequence: the first unmet one is named."""


@dataclass(frozen=True)
class Fault:
    """sentence: names what is wrong. tests: assertions that failed. got: what the first of them gave, as a clause.
    correction: what a right solution does otherwise. The last three are empty where the level does not tell them."""

    sentence: str
    tests: tuple[str, ...] = ()
    got: str = ""
    correction: str = ""

    @property
    def told(self) -> str:
        """In full sentences, as said of an earlier attempt."""
        seen = f"The test `{self.tests[0]}` fails: it {self.got}." if self.tests else ""
        return " ".join(part for part in (self.sentence, seen, self.correction) if part)

    @property
    def told_first(self) -> str:
        """With the failing test at the front."""
        seen = f"`{self.tests[0]}` must hold, but the function {self.got}." if self.tests else self.sentence
        return " ".join(part for part in (seen, self.correction) if part)


_SEEN = re.compile(r"(?:check\(candidate\): )?(?P<test>.*): (?P<got>(?:got|raised) .*)", re.DOTALL)


def find_fault(verdicts: Sequence[Verdict], level: HintLevel) -> Fault | None:
    """None where nothing decided is unmet."""
    unmet = [v for v in verdicts if v.met is False]
    if not unmet:
        return None
    roots = [name for name in FAULTS if any(v.criterion == name for v in unmet)]
    sentence = FAULTS[roots[0]] if roots else "It does not meet all that was asked for."
    found = [m for v in unmet if v.criterion == "hidden_tests" and (m := _SEEN.fullmatch(v.evidence))]
    found = [m for m in found if m["test"].startswith("assert ")]
    if level == "criteria":
        return Fault(sentence)
    got = _say_result(found[0]["got"]) if found else ""
    if not found and unmet[0].evidence:
        sentence += f" ({unmet[0].evidence})"
    correction = next((v.correction for v in unmet if v.correction), "") if level == "reference" else ""
    return Fault(sentence, tuple(dict.fromkeys(m["test"] for m in found)), got, correction)


def _say_result(got: str) -> str:
    """`got 3` → `returned 3`; `raised NameError: …` stays."""
    got = got.split(", expected ")[0]
    return f"returned {got.removeprefix('got ')}" if got.startswith("got ") else got


# ---------------------------------------------------------------------------------------------------------------- forms
AGAIN = "Write the whole function again, correctly, in one ```python block."
DIFFERENT = "Write a different function that is correct, in one ```python block."


def ask_plainly(example: Example, draft: str, fault: Fault) -> Prompt:
    return example.prompt


def ask_again(example: Example, draft: str, fault: Fault) -> Prompt:
    return _talk(example, draft, f"That is not right yet. {AGAIN}")


def show_draft(example: Example, draft: str, fault: Fault) -> Prompt:
    return _talk(example, draft, f"That is wrong. {fault.told} {AGAIN}")


def show_draft_test_first(example: Example, draft: str, fault: Fault) -> Prompt:
    return _talk(example, draft, f"{fault.told_first} {DIFFERENT}")


def show_half_the_draft(example: Example, draft: str, fault: Fault) -> Prompt:
    """Nobody knows at which line a program goes wrong: the first half of its lines is shown."""
    lines = draft.rstrip().split("\n")
    shown = "\n".join([*lines[: max(1, len(lines) // 2)], "..."])
    return _talk(example, shown, f"That went wrong. {fault.told} {AGAIN}")


def quote_draft(example: Example, draft: str, fault: Fault) -> Prompt:
    return _append(example, f"This attempt is wrong:\n\n{draft.strip()}\n\n{fault.told} {DIFFERENT}")


def tell_of_attempt(example: Example, draft: str, fault: Fault) -> Prompt:
    words = f"An earlier attempt at this was wrong. {fault.told}\n\nWrite the function so that it is correct."
    return _append(example, words)


def require_test(example: Example, draft: str, fault: Fault) -> Prompt:
    """Not what was wrong, but what must be right: one failing test."""
    return _require(example, fault, fault.tests[:1])


def require_tests(example: Example, draft: str, fault: Fault) -> Prompt:
    return _require(example, fault, fault.tests[:4])


def _require(example: Example, fault: Fault, tests: Sequence[str]) -> Prompt:
    return _append(example, _say_requirement(fault, tests))


def _say_requirement(fault: Fault, tests: Sequence[str]) -> str:
    if tests:
        words = f"The function must pass {'this test' if len(tests) == 1 else 'these tests'}:\n" + "\n".join(tests)
    else:
        words = f"Take care: the usual mistake is this. {fault.sentence}"
    return words + (f"\nHint: {fault.correction}" if fault.correction else "")


def put_tests_before(example: Example, draft: str, fault: Fault) -> Prompt:
    """The words first, the problem last, where it stands when nothing is said."""
    return f"{_say_requirement(fault, fault.tests[:4])}\n\n{example.prompt}"


def extend_docstring(example: Example, draft: str, fault: Fault) -> Prompt:
    """In the problem's own format: the failing tests as further lines of its docstring."""
    lines = [f"    {test}" for test in fault.tests[:4]] or [f"    Take care: {fault.sentence}"]
    lines += [f"    Hint: {fault.correction}"] if fault.correction else []
    head, quotes, rest = example.prompt.rpartition('"""')
    added = "\n".join(lines).replace("\\", "\\\\")
    return f"{head.rstrip()}\n{added}\n    {quotes}{rest}"


def _talk(example: Example, draft: str, words: str) -> Prompt:
    return (Turn("user", example.prompt), Turn("assistant", draft), Turn("user", words))


def _append(example: Example, words: str) -> Prompt:
    return f"{example.prompt.rstrip()}\n\n{words}"


Form = Callable[[Example, str, Fault], Prompt]
ALTERNATIVES: dict[str, Form] = {
    "plain": ask_plainly,
    "again": ask_again,
    "shown": show_draft,
    "shown_test_first": show_draft_test_first,
    "half_shown": show_half_the_draft,
    "quoted": quote_draft,
    "told": tell_of_attempt,
    "test": require_test,
    "tests": require_tests,
    "tests_before": put_tests_before,
    "docstring": extend_docstring,
}
WORDLESS = ("plain", "again")
"""Say nothing of the fault, and so have no hint level."""
FORMS = (*OWN_FORMS, *ALTERNATIVES)


def ask_for_revision(
    form: str,
    environment: Environment,
    example: Example,
    draft: str,
    verdicts: Sequence[Verdict],
    level: HintLevel,
    other: tuple[Example, str, Sequence[Verdict]] | None = None,
) -> Prompt | None:
    """What the model is asked; None where there is nothing to say. other: a problem, a draft of it and what was said of
    that, whose words are taken in place of this draft's own."""
    said_of = other or (example, draft, verdicts)
    if form in ALTERNATIVES:
        fault = find_fault(said_of[2], level)
        return None if fault is None else ALTERNATIVES[form](example, draft, fault)
    own: Any = form
    template, rubric = environment.template, environment.rubric
    words = write_guidance(template, rubric, *said_of, level, form=own)
    error_at = find_first_error(rubric, verdicts, level)
    return write_revision(template, example, words, draft, own, error_at) if words else None
