"""What two sides of an equation in prose say: the step is right, it is wrong, or nothing can be said.

A step that is right is said to be right. A step that is not is said to be wrong only where nothing else can be meant
(`_is_doubtful`): a number that does not stand alone, a percentage that is added or taken away, a unit that has to be
converted, a result that was rounded. In a running calculation (`2 * 3 = 6 + 4 = 10`) the right side may begin with the
result.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from .arithmetic import NUMBER, Step, agrees, evaluate

SIGNS = ("+", "-", "*", "/", "//")
HUGE = frozenset({"dozen", "dozens", "hundred", "thousand", "million", "billion", "k"})
BEHIND = HUGE | {"percent", "and", "or", "to", "remainder", "r", "m", "half", "halves", "thirds", "quarters"}
BEHIND |= {"am", "pm", "a.m", "p.m", "clock"}
"""Behind a result they say that it is no plain number."""
COMPARED = frozenset({"of", "more", "less", "fewer", "times", "than"})
"""So do they where a word, not `=`, stands before it: "5 + 3 is 2 more than 6"."""
CENTS = frozenset({"cent", "cents", "¢", "pennies"})
UNITS = {
    unit: dimension
    for dimension, units in {
        "time": "second seconds sec minute minutes min mins hour hours hr hrs day days week weeks month months year"
        " years decade decades century centuries am pm",
        "length": "inch inches in foot feet ft yard yards mile miles mm cm centimeters meter meters metres m km"
        " kilometers",
        "weight": "ounce ounces oz pound pounds lb lbs ton tons gram grams g kg kilogram kilograms kilos mg",
        "volume": "teaspoon teaspoons tablespoon tablespoons cup cups pint pints quart quarts gallon gallons liter"
        " liters litres ml l",
        "money": "cent cents dollar dollars penny pennies nickel nickels dime dimes quarters ¢",
        "count": "dozen dozens pair pairs hundred thousand million billion k",
    }.items()
    for unit in units.split()
}
_ROUNDED = re.compile(
    r"round|nearest|approx|about|roughly|estimat|whole|full|complete|remain|left ?over", re.IGNORECASE
)


@dataclass
class Side:
    """One side, as it is read. tokens: numbers, signs and parentheses.

    opened: does it stand behind `=` or a word for it? weak: behind a word? about: was it said to be rounded? words: the
    units before its last number; behind: the words behind that. tight: has it a hyphen without blanks, as ranges have?
    depth: of parentheses. readable: can anything be said of it? doubtful: can it be said to be wrong?
    """

    opened: bool = False
    weak: bool = False
    about: bool = False
    tokens: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)
    tight: bool = False
    depth: int = 0
    readable: bool = True
    doubtful: bool = False

    def ends_in_operand(self) -> bool:
        return bool(self.tokens) and (self.tokens[-1] in (")", "%") or self.tokens[-1][-1].isdigit())

    def has_operator(self) -> bool:
        return any(b in SIGNS and (a[-1].isdigit() or a in (")", "%")) for a, b in pairwise(self.tokens))

    def ends_in_share(self) -> bool:
        """Ends it in what there may be a part of: a percentage, a fraction, a parenthesis?"""
        return self.ends_in_operand() and (self.tokens[-1] in ("%", ")") or self.tokens[-2:-1] == ["/"])

    def write(self) -> str:
        """With blanks around operators, without parentheses that are not needed or were opened before it began."""
        if self.tokens[: self.depth] != ["("] * self.depth or not self.ends_in_operand():
            return ""
        tokens = self.tokens[self.depth :]
        written = "".join(
            f" {sign} " if sign in SIGNS and before not in ("(", *SIGNS) else sign
            for before, sign in zip(["(", *tokens], tokens, strict=False)
        )
        written = re.sub(rf"(?<!\d)\(((?:{NUMBER})%?)\)", r"\1", written)
        return re.sub(r"\A\(([^()]*)\)\Z", r"\1", written)


def compare_sides(left: Side, right: Side, last: bool, line: str, at: int) -> Step | None:
    """The step that two neighbours of a chain make; None where nothing can be said. last: ends the chain with `right`?
    line, at: where they stand."""
    if not (left.readable and right.readable and left.has_operator()):
        return None
    expression, whole = left.write(), right.write()
    begins = re.match(rf"-?(?:{NUMBER})%?", "".join(right.tokens).lstrip("("))
    expected, first, value = evaluate(expression), evaluate(begins[0]) if begins else None, evaluate(whole)
    if expected is None or first is None or begins is None or whole == expression:
        return None
    shown, goes_on = begins[0], right.has_operator() and not last
    if value is not None and agrees(expected, value, whole if whole == shown else ""):
        return Step(expression, whole, value, expected, True, at, in_prose=True)
    if (goes_on or whole in (shown, "")) and agrees(expected, first, shown):
        return Step(expression, shown, first, expected, True, at, in_prose=True)
    if value is not None and (goes_on or re.fullmatch(r"-?[\d,]+ / [\d,]+", whole)):
        shown, first = whole, value
    is_a_result = goes_on or whole == shown or (not whole and right.tokens[-1] in ("-", "/"))
    if not is_a_result or _is_doubtful(left, right, expected, first, line):
        return None
    return Step(expression, shown, first, expected, False, at, in_prose=True)


def _is_doubtful(left: Side, right: Side, expected: Fraction, value: Fraction, line: str) -> bool:
    """May something else be meant than the plain calculation?"""
    tokens = left.tokens
    adds = "+" in tokens or "-" in tokens[1:]
    behind = set(right.behind[:1])
    return (
        (left.doubtful or right.doubtful or left.about or right.about)
        or (right.weak and (left.tight or "/" in tokens or right.has_operator() or bool(behind & COMPARED)))
        or bool(behind & BEHIND)
        or "half" in right.behind[:4]
        or (adds and "%" in tokens)  # 80 - 20%
        or "%" in right.tokens
        or re.search(r"/[^-+*(]*/", "".join(tokens)) is not None  # 25 / 1/3
        or (len(tokens) == 3 and tokens[1] == "/" and 0 < expected < 1 <= value)  # 1/2 = 8 eggs
        or _was_rounded(tokens, adds, expected, value, line)
        or _must_convert(left, right, adds)
    )


def _was_rounded(tokens: list[str], adds: bool, expected: Fraction, value: Fraction, line: str) -> bool:
    """By floating point, in words, before (0.33 * 60 = 20), or as a percentage (9 / 21 * 100% = 42.86)?"""
    off, size = abs(expected - value), max(abs(expected), abs(value))
    decimals = any(re.search(r"\.\d\d", token) for token in tokens)
    as_percentage = "%" in tokens and any(abs(expected * k - value) < size / 100 for k in (100, Fraction(1, 100)))
    said = off < 1 and _ROUNDED.search(line) is not None
    return off * 10**6 <= size or said or (not adds and decimals and off * 100 <= size) or as_percentage


def _must_convert(left: Side, right: Side, adds: bool) -> bool:
    """Do sums mix units, or has the result a unit of another size than any before it?"""
    before, after = {*left.words, *left.behind}, set(right.behind[:1])
    for dimension in set(UNITS.values()):
        given, result = ({_trim_plural(w) for w in words if UNITS.get(w) == dimension} for words in (before, after))
        if (adds and len(given | result) > 1) or (given and result - given):
            return True
    return bool(before & CENTS) != bool(after & CENTS) or bool(before & HUGE)


def _trim_plural(unit: str) -> str:
    return {"feet": "foot", "inches": "inch"}.get(unit, unit.rstrip("s"))
