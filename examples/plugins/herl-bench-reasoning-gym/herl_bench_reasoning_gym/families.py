"""The problem families: which of reasoning-gym's data sets, how hard, and the worked solution of a problem.

`gsm_symbolic` comes with worked solutions, which are taken as they are. For the other families the steps are written
here, from what the problem's metadata says. A solution is lines with calculations, `98 % 58 = 40` or `h in hundred =
1`, and a last line `#### answer`.
Left out: data sets whose answers have several right forms, and difficulties that a policy of under a million parameters
cannot begin to learn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

Entry = Mapping[str, Any]
"""What reasoning-gym gives: `question`, `answer`, `metadata`."""


@dataclass(frozen=True)
class Family:
    """name: of the data set in reasoning-gym. config: its settings at a difficulty from 0 to 1. solve: the worked
    solution of an entry."""

    name: str
    config: Callable[[float], dict[str, int]]
    solve: Callable[[Entry], str]


def _draw_between(low: int, high: int, difficulty: float) -> int:
    return round(low + (high - low) * difficulty)


def _join_lines(steps: list[str], entry: Entry) -> str:
    return "\n".join([*steps, f"#### {entry['answer']}"])


def _work_running_sum(terms: list[int]) -> list[str]:
    """`4 - 1 = 3`, `3 - 7 = -4`."""
    totals = list(accumulate(terms))
    return [
        f"{a} {'-' if b < 0 else '+'} {abs(b)} = {total}"
        for a, b, total in zip(totals, terms[1:], totals[1:], strict=False)
    ]


def _work_word_problem(entry: Entry) -> str:
    return str(entry["metadata"]["answer_cot"])


def _work_chain_sum(entry: Entry) -> str:
    first, *rest = entry["metadata"]["expression"].split()
    signed = [int(sign + number) for sign, number in zip(rest[::2], rest[1::2], strict=True)]
    return _join_lines(_work_running_sum([int(first), *signed]), entry)


def _work_legs(entry: Entry) -> str:
    from reasoning_gym.arithmetic.leg_counting import ANIMALS

    found = [(count, ANIMALS[animal]) for animal, count in entry["metadata"]["animals"].items()]
    return _join_lines(
        [f"{n} * {legs} = {n * legs}" for n, legs in found] + _work_running_sum([n * legs for n, legs in found]), entry
    )


def _work_letters(entry: Entry) -> str:
    letter, words = entry["metadata"]["target_letter"], [word.lower() for word in entry["metadata"]["span"]]
    counts = [word.count(letter) for word in words]
    steps = [f"{letter} in {word} = {count}" for word, count in zip(words, counts, strict=True)]
    return _join_lines([*steps, f"{' + '.join(map(str, counts))} = {sum(counts)}"], entry)


def _work_divisor(entry: Entry) -> str:
    a, b = sorted(entry["metadata"]["numbers"], reverse=True)
    steps = []
    while b:
        steps.append(f"{a} % {b} = {a % b}")
        a, b = b, a % b
    return _join_lines(steps, entry)


# COPY: your families. Their names appear as columns in every breakdown.
FAMILIES = (
    Family("gsm_symbolic", lambda d: {}, _work_word_problem),
    Family(
        "chain_sum",
        lambda d: {"max_terms": _draw_between(3, 6, d), "max_digits": _draw_between(1, 3, d)},
        _work_chain_sum,
    ),
    Family(
        "leg_counting",
        lambda d: {"min_animals": 2, "max_animals": _draw_between(2, 6, d), "max_instances": _draw_between(5, 15, d)},
        _work_legs,
    ),
    Family("letter_counting", lambda d: {"min_words": 3, "max_words": _draw_between(3, 9, d)}, _work_letters),
    Family("gcd", lambda d: {"min_value": 2, "max_value": _draw_between(30, 300, d)}, _work_divisor),
)
