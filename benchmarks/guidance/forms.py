"""The forms that are tried: how what was wrong with a draft is said to a chat model.

`find_fault` reads a draft's verdicts; a form makes of it, the problem and the draft the turns of a conversation. Words
at level `criteria` name the fault, `evidence` adds a failing test and what came of it, `reference` adds the correction.

Left out: base models, and code that is judged by anything but assertions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from herl_bench import Example, Verdict
from herl_bench.types import HintLevel

Turn = tuple[str, str]
"""Role and text."""

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


def ask_plainly(example: Example, draft: str, fault: Fault) -> list[Turn]:
    return [("user", example.prompt)]


def ask_again(example: Example, draft: str, fault: Fault) -> list[Turn]:
    return [("user", example.prompt), ("assistant", draft), ("user", f"That is not right yet. {AGAIN}")]


def show_draft(example: Example, draft: str, fault: Fault) -> list[Turn]:
    return [("user", example.prompt), ("assistant", draft), ("user", f"That is wrong. {fault.told} {AGAIN}")]


def show_draft_test_first(example: Example, draft: str, fault: Fault) -> list[Turn]:
    return [("user", example.prompt), ("assistant", draft), ("user", f"{fault.told_first} {DIFFERENT}")]


def show_half_the_draft(example: Example, draft: str, fault: Fault) -> list[Turn]:
    """Nobody knows at which line a program goes wrong: the first half of its lines is shown."""
    lines = draft.rstrip().split("\n")
    shown = "\n".join([*lines[: max(1, len(lines) // 2)], "..."])
    return [("user", example.prompt), ("assistant", shown), ("user", f"That went wrong. {fault.told} {AGAIN}")]


def quote_draft(example: Example, draft: str, fault: Fault) -> list[Turn]:
    words = f"{example.prompt.rstrip()}\n\nThis attempt is wrong:\n\n{draft.strip()}\n\n{fault.told} {DIFFERENT}"
    return [("user", words)]


def hide_draft(example: Example, draft: str, fault: Fault) -> list[Turn]:
    """A conversation, but what the model wrote is not repeated to it."""
    hidden = "(a function that does not work)"
    return [("user", example.prompt), ("assistant", hidden), ("user", f"That is wrong. {fault.told} {AGAIN}")]


def tell_of_attempt(example: Example, draft: str, fault: Fault) -> list[Turn]:
    words = f"An earlier attempt at this was wrong. {fault.told}\n\nWrite the function so that it is correct."
    return [("user", f"{example.prompt.rstrip()}\n\n{words}")]


def require_test(example: Example, draft: str, fault: Fault) -> list[Turn]:
    """Not what was wrong, but what must be right: one failing test."""
    return _require(example, fault, fault.tests[:1])


def require_tests(example: Example, draft: str, fault: Fault) -> list[Turn]:
    return _require(example, fault, fault.tests[:4])


def _require(example: Example, fault: Fault, tests: Sequence[str]) -> list[Turn]:
    if tests:
        words = f"The function must pass {'this test' if len(tests) == 1 else 'these tests'}:\n" + "\n".join(tests)
    else:
        words = f"Take care: the usual mistake is this. {fault.sentence}"
    words += f"\nHint: {fault.correction}" if fault.correction else ""
    return [("user", f"{example.prompt.rstrip()}\n\n{words}")]


def extend_docstring(example: Example, draft: str, fault: Fault) -> list[Turn]:
    """In the problem's own format: the failing tests as further lines of its docstring."""
    lines = [f"    {test}" for test in fault.tests[:4]] or [f"    Take care: {fault.sentence}"]
    lines += [f"    Hint: {fault.correction}"] if fault.correction else []
    head, quotes, rest = example.prompt.rpartition('"""')
    return [("user", f"{head.rstrip()}\n" + "\n".join(lines).replace("\\", "\\\\") + f"\n    {quotes}{rest}")]


def continue_comments(example: Example, draft: str, fault: Fault) -> list[Turn]:
    """What base models get, in a chat model's user turn: the draft and the words as comments in the function."""
    drafted = "\n".join(f"    # {line}" for line in draft.strip().split("\n"))
    return [("user", f"{example.prompt}    # Draft:\n{drafted}\n    # Unmet: {fault.told}\n")]


Form = Callable[[Example, str, Fault], list[Turn]]
FORMS: dict[str, Form] = {
    "plain": ask_plainly,
    "again": ask_again,
    "with_draft": show_draft,
    "with_draft_test_first": show_draft_test_first,
    "half_draft": show_half_the_draft,
    "quoted_draft": quote_draft,
    "hidden_draft": hide_draft,
    "told": tell_of_attempt,
    "test": require_test,
    "tests": require_tests,
    "docstring": extend_docstring,
    "comments": continue_comments,
}
