"""What can be said of a response: its form, its calculations, the quantities it reaches, its answer; and the metrics.

A calculation is `number op number … = number`, with + - * / % (x, × and ÷ too), or `letter in word = number`. Values
are exact fractions, and nothing is passed to `eval`. Whether an answer is right, reasoning-gym's own scorer decides.

No evidence and no correction contains the final answer, unless the problem itself shows that number: `_hide_answer`
sees to it.
Left out: parentheses, rounded results, and whether the words around a calculation make sense.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

from herl_bench import Example, Finding

NUMBER = r"-?\d{1,12}(?:\.\d{1,6})?"
CALCULATION = re.compile(rf"(?<![\w.])(\w in \w+|{NUMBER}(?: ?[-+*/%x×÷] ?{NUMBER})+) ?= ?({NUMBER})(?!\d|\.\d)")
TERM = re.compile(rf" ?([-+*/%x×÷]?) ?({NUMBER})")
ANSWER = re.compile(r"^####[ \t]*(\S.*)$", re.MULTILINE)


# -------------------------------------------------------------------------------------------------------------- reading
@dataclass(frozen=True)
class Step:
    """One calculation as written. value: of its right side; right: does the left side give it?"""

    left: str
    value: Fraction
    right: bool

    @property
    def quantity(self) -> tuple[str, Fraction]:
        """What it establishes: a number by whatever way, but a count only of that letter in that word."""
        return (self.left if " in " in self.left else "", self.value)


@lru_cache(maxsize=4096)
def read_steps(text: str) -> tuple[Step, ...]:
    found = [(left, Fraction(result)) for left, result in CALCULATION.findall(text)]
    return tuple(Step(left, value, calculate(left) == value) for left, value in found)


def calculate(left: str) -> Fraction | None:
    """The value of a left side; None where it divides by zero."""
    letter, counted, word = left.partition(" in ")
    if counted:
        return Fraction(word.lower().count(letter.lower()))
    products: list[tuple[int, Fraction]] = []  # (sign, value), to be added up
    for sign, number in TERM.findall(left):
        value = Fraction(number)
        if sign in ("", "+", "-"):
            products.append((-1 if sign == "-" else 1, value))
            continue
        before, so_far = products.pop()
        if sign in "/÷%" and value == 0:
            return None
        products.append((before, so_far / value if sign in "/÷" else so_far % value if sign == "%" else so_far * value))
    return sum((sign * value for sign, value in products), Fraction(0))


def extract(example: Example, response: str) -> str | None:
    """The final answer as written after the last ####, None where there is none."""
    answers = ANSWER.findall(response)
    return answers[-1].strip() if answers else None


def observe(examples: Sequence[Example], responses: Sequence[str], sandbox: Any) -> list[tuple[Step, ...]]:
    """Read each response once for all criteria that look at its calculations."""
    return [read_steps(response) for response in responses]


def _hide_answer(example: Example, words: str, instead: str = "") -> str:
    """`words`, or `instead` where they would give the answer away."""
    return (
        instead
        if _find_numbers(example.target) & (_find_numbers(words) - _find_numbers(example.info["question"]))
        else words
    )


def _find_numbers(text: str) -> set[Fraction]:
    return {abs(Fraction(number)) for number in re.findall(NUMBER, text)}


# --------------------------------------------------------------------------------------------------------------- checks
def answer_form(example: Example, response: str) -> Finding:
    lines = response.strip().splitlines()
    marked = [line for line in lines if "####" in line]
    if len(marked) != 1:
        return Finding(False, f'{len(marked) or "no"} lines with "####"')
    return (
        Finding(True) if ANSWER.fullmatch(lines[-1].strip()) else Finding(False, 'the last line is not "#### answer"')
    )


def steps_valid(example: Example, steps: tuple[Step, ...]) -> list[Finding]:
    """One part per calculation. None shown means that the criterion does not apply: `quantities` asks for them."""
    return [
        Finding(
            step.right,
            ""
            if step.right
            else _hide_answer(example, f"{step.left} is not {step.value}", f"calculation {k} is wrong"),
            part=f"{k}",
        )
        for k, step in enumerate(steps, 1)
    ]


def quantities(example: Example, steps: tuple[Step, ...]) -> list[Finding]:
    """One part per calculation of the worked solution; its correction is that calculation without the result."""
    reached = {step.quantity for step in steps}
    return [
        Finding(True, part=f"{k}")
        if step.quantity in reached
        else Finding(
            False, f"step {k} is not reached", _hide_answer(example, f"step {k} should be {step.left}"), f"{k}"
        )
        for k, step in enumerate(read_steps(example.info["solution"]), 1)
    ]


def final_answer(example: Example, response: str) -> Finding:
    if extract(example, response) is None:
        return Finding(False, "no final answer")
    return Finding(True) if solved(example, response) else Finding(False, "the final answer is wrong")


# -------------------------------------------------------------------------------------------------------------- metrics
@lru_cache(maxsize=64)
def _make_dataset(family: str) -> Any:
    import reasoning_gym  # takes a second, so not at the top: herl-bench imports this module to list what there is

    return reasoning_gym.create_dataset(family, seed=0, size=1)


def score(example: Example, response: str) -> float:
    """reasoning-gym's own score of the final answer, from 0 to 1. Its scorers of these families read nothing but the
    answer."""
    return float(
        _make_dataset(example.info["family"]).score_answer(extract(example, response), {"answer": example.target})
    )


def solved(example: Example, response: str) -> float:
    return float(score(example, response) == 1.0)
