"""Exact arithmetic as GSM8K writes it: the value of an expression, and whether it agrees with the result shown.

All numbers are exact fractions. An expression has + - * / // %, parentheses and decimals; nothing is ever passed to
`eval`. A result with decimals may be rounded or cut off where it is shown (100/3=33.33 and 2/3=.66 are fine); a whole
number may not (100/3=33 is wrong). All 27,998 calculator notes (`<<expression=result>>`) of the published files are
right under this rule, so none needs an exception.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from herl_bench.answers import LONGEST_NUMBER

NUMBER = r"\d+(?:,\d{3})*(?:\.\d+)?|\.\d+"
NOTE = re.compile(r"<<([^<>\n]*)>>")
LONGEST_NOTE = 200  # the published files need 66; bounds the work and the recursion on hostile notes


@dataclass(frozen=True)
class Step:
    """A calculation with its result.

    value: of its result side; None where that cannot be read. right: is the calculation right? in_prose: or is it a
    calculator note? at: where its line begins, in characters.
    """

    expression: str
    result: str
    value: Fraction | None
    expected: Fraction | None
    right: bool
    at: int | None = None
    in_prose: bool = False


def read_note(note: str) -> Step:
    expression, _, result = note.replace(" ", "")[-2 * LONGEST_NOTE :].rpartition("=")
    expected, value = evaluate(expression), read_result(result) if len(result) <= LONGEST_NUMBER else None
    right = expected is not None and value is not None and agrees(expected, value, result)
    return Step(expression, result, value, expected, right)


def read_result(result: str) -> Fraction | None:
    """A number, or a fraction in lowest terms: `48/2` is not a result, it is the calculation again."""
    if over := re.fullmatch(r"\$?(-?\d+)/(\d+)", result):
        top, bottom = int(over[1]), int(over[2])
        value = Fraction(top, bottom) if bottom else None
        return value if value is not None and bottom > 1 and value.denominator == bottom else None
    return evaluate(result) if re.fullmatch(rf"-?\$?-?(?:{NUMBER})%?", result) else None


def agrees(expected: Fraction, value: Fraction, shown: str) -> bool:
    """Equal, or within one unit of the last decimal shown; a percentage may also stand for the bare number before the
    sign."""
    unit = Fraction(1, 10 ** len(shown.rstrip("%").partition(".")[2])) if "." in shown else Fraction(0)
    allowed = (value, value * 100) if shown.endswith("%") else (value,)
    return any(expected == v or abs(expected - v) < unit for v in allowed)


def evaluate(expression: str) -> Fraction | None:
    """The exact value of an arithmetic expression; None where it is none, is longer than any note, or divides by
    zero."""
    return _evaluate(expression) if len(expression) <= 2 * LONGEST_NOTE else None


@lru_cache(maxsize=50_000)
def _evaluate(expression: str) -> Fraction | None:
    tokens = re.findall(rf"{NUMBER}|//|[-+*/()%]", cleaned := re.sub(r"[\s$]", "", expression))
    if not tokens or "".join(tokens) != cleaned or len(cleaned) > LONGEST_NOTE or cleaned.count("(") > 20:
        return None
    try:
        value, rest = _read_sum(tokens)
    except (IndexError, ValueError, ZeroDivisionError):
        return None
    return value if not rest else None


def _read_sum(tokens: list[str]) -> tuple[Fraction, list[str]]:
    value, tokens = _read_product(tokens)
    while tokens and tokens[0] in ("+", "-"):
        sign, (term, rest) = tokens[0], _read_product(tokens[1:])
        value, tokens = (value + term if sign == "+" else value - term), rest
    return value, tokens


def _read_product(tokens: list[str]) -> tuple[Fraction, list[str]]:
    value, tokens = _read_factor(tokens)
    while tokens and tokens[0] in ("*", "/", "//"):
        sign, (term, rest) = tokens[0], _read_factor(tokens[1:])
        value, tokens = (
            (value * term if sign == "*" else value / term if sign == "/" else Fraction(value // term)),
            rest,
        )
    return value, tokens


def _read_factor(tokens: list[str]) -> tuple[Fraction, list[str]]:
    negative = False
    while tokens[0] in ("+", "-"):
        negative, tokens = negative != (tokens[0] == "-"), tokens[1:]
    if tokens[0] == "(":
        value, tokens = _read_sum(tokens[1:])
        if tokens[0] != ")":
            raise ValueError("unclosed")
        tokens = tokens[1:]
    else:
        value, tokens = Fraction(tokens[0].replace(",", "")), tokens[1:]
    while tokens and tokens[0] == "%":
        value, tokens = value / 100, tokens[1:]
    return (-value if negative else value), tokens
