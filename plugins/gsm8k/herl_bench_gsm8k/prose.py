"""Calculations as people and chat models write them: `16 - 3 = 13`, `3 apples + 4 apples = 7 apples`, `$18 × 2 = $36`,
`\\frac{48}{2} = 24`, `20 - 5, which is 15`, `50% of 36 is 18`, `2 * 3 = 6 + 4 = 10`.

A line is written plainly, cut into tokens and read once from left to right. Numbers that operators join make a side,
words behind a number are its unit, `=` and its words join sides into a chain, and two neighbours of a chain, the left
one with an operator, make a step. In a running calculation (`2 * 3 = 6 + 4 = 10`) the right side may begin with the
result.

A step that is right is said to be right. A step that is not is said to be wrong only where nothing else can be meant:
no variable, label, time, unknown sign, no second number without an operator, no percentage that is added or taken
away, no unit that has to be converted, no rounding that is announced. All else is passed over. So are blocks of code.

The time grows with the text's length, of which the first `LONGEST_TEXT` characters are read.

Left out: numbers in words, powers, products without a sign, results that stand before their calculation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise

from herl_bench.answers import LONGEST_NUMBER, type_plainly

from .arithmetic import NUMBER, Step, agrees, evaluate

LONGEST_TEXT = 50_000
LONGEST_SIDE = 60  # tokens; the published files need 40

# ---------------------------------------------------------------------------------------------------------- plain lines
_FENCE = re.compile(r"\s*(?:```|~~~)")
_HAS_DIGIT = re.compile(r"[\d½⅓⅔¼¾⅕⅛]")
_GOES_ON = re.compile(r"\s*[&$]?\s*[=≈]")
_BULLET = re.compile(r"\s*(?:(?:[-*+•–]|\(?\d{1,2}[.)]|#+)\s+)+")
_TEXT = re.compile(r"\\(?:text|mathrm|mbox|textbf|mathbf|textit|mathit|operatorname)\*?\s?\{([^{}]{0,200})\}")
_FRACTION = re.compile(r"\\[dtc]?frac\s{0,3}\{([^{}]{1,120})\}\s{0,3}\{([^{}]{1,120})\}")


def _split_lines(text: str) -> Iterator[tuple[int, str]]:
    """(where it begins, line) of each line outside of code blocks."""
    at, fenced = 0, False
    for line in text.splitlines(keepends=True):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            yield at, line
        at += len(line)


def _write_plainly(line: str) -> str:
    """Without LaTeX and bullets; a fraction as a quotient in parentheses."""
    line = _TEXT.sub(r" \1 ", line[(bullet.end() if (bullet := _BULLET.match(line)) else 0) :])
    for _ in range(2):
        line = _FRACTION.sub(lambda m: f" ({_enclose(m[1])}/{_enclose(m[2])})", line)
    return type_plainly(line).replace("&", " ")


def _enclose(part: str) -> str:
    return part.strip() if re.fullmatch(rf"\s*(?:{NUMBER})\s*", part) else f"({part})"


# --------------------------------------------------------------------------------------------------------------- tokens
_TOKEN = re.compile(
    r"(?P<space>[ \t'\"“”’]+|(?<=\s)\((?=\s?[A-Za-z])[^()\d=]{1,60}\))"  # quotes and asides, too
    r"|(?P<clock>\d{1,9}:\d+|0\d{2,9}(?![\d.]))"
    r"|(?P<mixed>\d{1,9}(?: | and )(?P<top>\d{1,3})/(?P<bottom>\d{1,3})(?![\d/]))"
    rf"|(?P<number>{NUMBER})"
    r"|(?P<equals>={1,2}(?![=>])|≈|~=)"
    r"|(?P<equals_in_words>,? ?(?:\b(?:which|that|this|it|and|to|we|you|i|for)\b ?){0,3}(?:\b(?:is equal to|equals? to"
    r"|equals|is|gives(?: us| you)?|giving(?: us| you)?|makes|making|leaves|leaving|comes (?:out )?to|totals|get|gets"
    r"|a total of|that's|it's)\b)(?: a total of| only| just)?(?=:? ?-?[\d.]|:? (?:about|approximately|around|roughly) ))"
    r"|(?P<arrow>=>|->|\\(?:Right|right|Longright)arrow|\\(?:implies|to|therefore|because)\b|[→⇒►✓✔|•·…])"
    r"|(?P<per>/ ?(?!\d)[^\W\d_]+)"
    r"|(?P<operator>//|\*\*|[-+*/]|x(?=\s?\(?[\d.])|(?:times|plus|minus|multiplied by|divided by)(?= \(?[\d.]))"
    r"|(?P<of>of (?:(?:the|these|those|that|all|her|his|their|its|a|total) )?(?=\(?\d))"
    r"|(?P<percent>%|percent\b|per cent\b)"
    r"|(?P<open>\()|(?P<close>\))"
    r"|(?P<about>(?:about|approximately|around|roughly|nearly|almost)\b|~)"
    r"|(?P<word>\\?[^\W\d_]+(?:[-'’][^\W\d_]+)*(?:(?<=\b(?:oz|lb|hr|ft))\.|(?<=\b(?:lbs|min|hrs))\.)?|°)"
    r"|(?P<cut>(?<=\d), (?=\d{3}(?!\d)))"
    r"|(?P<end>[.!?;:,](?!\d))"
    r"|(?P<other>.)",
    re.IGNORECASE,
)
_SIGNS = ("+", "-", "*", "/", "//")
_OPERATORS = {"x": "*", "times": "*", "multiplied by": "*", "plus": "+", "minus": "-", "divided by": "/"}

# ---------------------------------------------------------------------------------------------------------------- words
_DETERMINERS = set("a an the another about only just her his their its another additional extra more other rs usd us".split())
_OPERATIONS = set(
    "half twice thrice double triple quadruple quarter third thirds fourth fourths fifth fifths times plus minus percent"
    " square squared dozen hundred thousand million billion".split()
)
"""Just before a calculation they may belong to it: "half of 10 + 3"."""
_JOINTS = set("and or to in per at by".split())
"""Between two numbers they say that the second does not stand alone: "3 and 5 - 2"."""
_LABELS = set(
    "step day week month year part case question number no option round group grade page chapter room route clas level"
    " phase stage problem item equation".split()
)
_CLAUSE = set(
    "and but or so then she he they we i you it is are was were has have had if because when while since that which who gives give get gets to by".split()
)
"""Between a number and an operator they say that the number does not belong to it."""
_BEHIND = set(
    "percent and or to remainder r dozen hundred thousand million billion k m half halves thirds quarters am pm a.m p.m"
    " clock".split()
)
"""Behind a result they say that it is no plain number."""
_COMPARED = set("of more less fewer times than".split())
"""So do they where no sign but a word stands before it: "5 + 3 is 2 more than 6"."""
_ROUNDED = re.compile(r"round|nearest|approx|about|roughly|estimat|whole|full|complete|remain|left over|leftover", re.IGNORECASE)
_UNITS = {
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


# ---------------------------------------------------------------------------------------------------------------- sides
@dataclass
class _Side:
    """What is being read. words: all units; behind: those behind its last number; about: was it said to be rounded?"""

    weak: bool = False  # opened by a word, not by `=`
    opened: bool = False
    about: bool = False
    tokens: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    behind: list[str] = field(default_factory=list)
    tight: bool = False  # has it a hyphen without blanks, as ranges have?
    depth: int = 0
    readable: bool = True
    doubtful: bool = False

    def ends_in_operand(self) -> bool:
        return bool(self.tokens) and (self.tokens[-1] in (")", "%") or self.tokens[-1][-1].isdigit())

    def has_operator(self) -> bool:
        return any(b in _SIGNS and (a[-1].isdigit() or a in (")", "%")) for a, b in pairwise(self.tokens))

    def get_expression(self) -> str:
        """With blanks around operators, without parentheses around a single number."""
        if self.tokens[: self.depth] != ["("] * self.depth:
            return "?"
        tokens = self.tokens[self.depth :]
        joined = "".join(
            f" {sign} " if sign in _SIGNS and before not in (None, "(", *_SIGNS) else sign
            for before, sign in zip([None, *tokens], tokens, strict=False)
        )
        joined = re.sub(rf"(?<!\d)\(((?:{NUMBER})%?)\)", r"\1", joined)
        return re.sub(r"\A\(([^()]*)\)\Z", r"\1", joined)


def read_steps(text: str, most: int) -> list[Step]:
    """The first `most` calculations of a text that are written out with their results."""
    reader = _Reader(most)
    for at, line in _split_lines(text[:LONGEST_TEXT]):
        if len(reader.steps) >= most:
            break
        if line.strip() in ("", "\\[", "\\]", "$$", "[", "]", "\\(", "\\)"):
            continue
        if not _GOES_ON.match(line):
            reader.end_chain()
        if _HAS_DIGIT.search(line):
            reader.read_line(_write_plainly(line), at)
    reader.end_chain()
    return reader.steps[:most]


class _Reader:
    """Sides and chains of a text, line by line. gap: the words since the last number or sign."""

    def __init__(self, most: int):
        self.most, self.steps = most, list[Step]()
        self.chain, self.side, self.gap = list[_Side](), _Side(), list[str]()
        self.at, self.line = 0, ""

    def read_line(self, line: str, at: int) -> None:
        self.at, self.line = at, line
        end, kind = -1, ""
        for token in _TOKEN.finditer(line):
            before, kind_before = end, kind
            kind, end = token.lastgroup or "", token.end()
            if kind in ("top", "bottom"):
                kind = "mixed"
            adjacent = before == token.start()
            glued = adjacent and {kind, kind_before} <= {"number", "mixed", "clock", "word", "other", "close"}
            self._take(kind, token, glued, adjacent)
            if len(self.steps) >= self.most:
                return

    def _take(self, kind: str, token: re.Match[str], glued: bool, adjacent: bool) -> None:
        text, side = token[0], self.side
        if kind in ("number", "mixed"):
            self._take_number(f"({text.replace(' and ', '+').replace(' ', '+')})" if kind == "mixed" else text)
            if glued or len(text) > LONGEST_NUMBER:
                self.side.readable = False
        elif kind == "operator":
            self._take_operator(_OPERATORS.get(text.lower(), text), token)
        elif kind in ("equals", "equals_in_words"):
            self._close_side()
            self.side = _Side(weak=kind != "equals", opened=True, about=text == "≈" or "about" in text)
        elif kind == "of":
            share = side.tokens[-1:] == ["%"] or side.tokens[-2:-1] == ["/"] or side.tokens[-1:] == [")"]
            if side.ends_in_operand() and share and not self.gap:
                side.tokens.append("*")
            else:
                self.gap.append("of")
        elif kind == "percent" and side.ends_in_operand() and not self.gap:
            side.tokens.append("%")
        elif kind == "open":
            self._open(adjacent)
        elif kind == "close":
            if side.depth and side.ends_in_operand():
                side.words += self.gap
                self.gap.clear()
                side.tokens.append(")")
                side.depth -= 1
            else:
                self.end_chain()
                self.gap = [")"]  # an operator behind it has a left side that was not read
        elif kind == "about":
            side.about = side.about or not side.tokens
            side.doubtful = side.doubtful or bool(side.tokens)
        elif kind in ("arrow", "end"):
            self.end_chain()
        elif kind in ("word", "per"):
            self._take_word(text.lower().strip("/ "), glued and kind == "word")
        elif kind in ("clock", "other", "percent", "cut"):
            side.readable = False
            if kind == "clock":
                self.gap.clear()

    def _take_number(self, text: str) -> None:
        side = self.side
        if side.ends_in_operand() or (side.tokens and not set(self.gap) <= _DETERMINERS):
            joined = not self.gap or bool(set(self.gap[-2:]) & _JOINTS) or set(self.gap) <= set(_UNITS)
            side.doubtful |= joined
            gap = list(self.gap)
            self.end_chain()
            self.gap, side = gap, self.side
            side.doubtful = joined
        if not side.tokens and self.gap:
            side.doubtful |= _may_belong(self.gap)
            side.readable &= self.gap[-1].rstrip("s") not in _LABELS and not (side.opened and not set(self.gap) <= _DETERMINERS)
        self.gap.clear()
        if len(side.tokens) < LONGEST_SIDE:
            side.tokens += re.findall(r"[()+]|[\d/]+", text) if text[0] == "(" else [text]
        else:
            side.readable = False

    def _take_operator(self, sign: str, token: re.Match[str]) -> None:
        side = self.side
        if side.ends_in_operand():
            tokens, of = side.tokens, "of" in self.gap
            side.doubtful |= of and (tokens[-1] == "%" or tokens[-2:-1] == ["/"])
            side.readable &= not set(self.gap) & _CLAUSE and len(self.gap) <= 6
            side.words += self.gap
            side.tokens.append(sign)
            around = token.string[token.start() - 1 : token.end() + 1]
            side.tight |= sign == "-" and " " not in around
        elif sign == "-" and not self.gap and (side.tokens or side.opened or token.string[token.end() : token.end() + 1].isdigit()):
            side.tokens.append(sign)
        elif side.tokens or self.gap or not side.readable:
            self.side = _Side(opened=side.opened, readable=False)
        self.gap.clear()

    def _take_word(self, word: str, glued: bool) -> None:
        side = self.side
        if glued and len(word) == 1 and word in "abcdnpqrstuvwxyz":
            side.readable = False
        elif glued and word in ("st", "nd", "rd", "th"):
            side.readable = False
        elif word[0] == "\\" or (len(word) == 1 and (glued or word != "a") and side.tokens):
            side.doubtful = True
            side.readable &= word[0] != "\\"
        self.gap.append(word)
        if len(self.gap) > 12:
            del self.gap[0]

    def _open(self, adjacent: bool) -> None:
        side = self.side
        if side.ends_in_operand() and adjacent and not self.gap:  # 2(3 + 4)
            side.tokens.append("*")
        elif side.ends_in_operand():
            unclear = not self.gap  # 1/2 (3 + 4)
            self.end_chain()
            self.side.doubtful = unclear
        elif not side.tokens and self.gap and side.opened:
            side.readable = False
        if self.gap and not self.side.tokens:
            self.side.doubtful |= _may_belong(self.gap)
        self.gap.clear()
        if len(self.side.tokens) < LONGEST_SIDE:
            self.side.tokens.append("(")
            self.side.depth += 1
        else:
            self.side.readable = False

    def _close_side(self) -> None:
        side = self.side
        side.behind, self.gap = self.gap, []
        side.readable &= not set(side.behind) & (_CLAUSE - {"is"}) or side.opened
        self.chain.append(side)
        self.side = _Side()

    def end_chain(self) -> None:
        if self.chain:
            self._close_side()
            for k, (left, right) in enumerate(pairwise(self.chain), 2):
                if step := _compare(left, right, k == len(self.chain), self.line, self.at):
                    self.steps.append(step)
        self.chain, self.side = [], _Side()
        self.gap.clear()


# ---------------------------------------------------------------------------------------------------------------- steps
def _compare(left: _Side, right: _Side, last: bool, line: str, at: int) -> Step | None:
    """The step that two neighbours of a chain make; None where nothing can be said."""
    if not (left.readable and right.readable and left.has_operator() and left.ends_in_operand()):
        return None
    expression, whole = left.get_expression(), right.get_expression() if right.ends_in_operand() else ""
    found = re.match(rf"-?(?:{NUMBER})%?", "".join(right.tokens).lstrip("("))
    expected, first = evaluate(expression), evaluate(found[0]) if found else None
    if expected is None or first is None or found is None or whole == expression:
        return None
    shown, goes_on = found[0], right.has_operator() and not last
    if right.weak and right.has_operator():
        return None
    value = evaluate(whole) if whole else None
    if value is not None and agrees(expected, value, whole if whole == shown else ""):
        return Step(expression, whole, value, expected, True, at)
    if (goes_on or not whole or whole == shown) and agrees(expected, first, shown):
        return Step(expression, shown, first, expected, True, at)
    if not goes_on and value is not None and re.fullmatch(r"-?[\d,]+ / [\d,]+", whole):
        shown, first = whole, value  # a fraction
    if whole not in (shown, "") and not goes_on or not whole and right.tokens[-1] not in ("-", "/"):
        return None
    if _is_doubtful(left, right, expected, first, line):
        return None
    return Step(expression, whole if goes_on else shown, first, expected, False, at)


def _is_doubtful(left: _Side, right: _Side, expected: Fraction, value: Fraction, line: str) -> bool:
    """May something else be meant than the plain calculation?"""
    tokens = left.tokens
    added = "+" in tokens or "-" in tokens[1:]
    if left.doubtful or right.doubtful or left.about or right.about or (right.weak and (left.tight or "/" in tokens)):
        return True
    behind = set(right.behind[:1])
    if behind & (_BEHIND | _COMPARED if right.weak else _BEHIND) or "half" in right.behind[:4]:
        return True
    if (added and "%" in tokens) or "%" in right.tokens:
        return True
    if ("%" in tokens and any(agrees(expected * k, value, "".join(right.tokens[:1])) for k in (100, Fraction(1, 100)))) or re.search(r"/[^-+*(]*/", "".join(tokens)):
        return True
    if abs(expected - value) * 10**6 <= abs(expected):  # floating point
        return True
    if abs(expected - value) < 1 and _ROUNDED.search(line):
        return True
    if not added and abs(expected - value) <= abs(expected) / 100 and any(re.search(r"\.\d\d", t) for t in tokens):
        return True  # 0.33 * 60 = 20: it was rounded before
    if len(tokens) == 3 and tokens[1] == "/" and 0 < expected < 1 <= value:  # 1/2 = 8 eggs
        return True
    return _must_convert(left, right, added)


def _must_convert(left: _Side, right: _Side, added: bool) -> bool:
    """Do sums mix units, or has the result a unit of another size than any before it?"""
    for dimension in set(_UNITS.values()):
        given, result = (
            {_trim_plural(w) for w in words if _UNITS.get(w) == dimension}
            for words in (left.words + left.behind, right.behind[:1])
        )
        if (added and len(given | result) > 1) or (given and result - given):
            return True
    cents = [bool({"cent", "cents", "¢", "pennies"} & set(words)) for words in (left.words + left.behind, right.behind[:1])]
    return cents[0] != cents[1] or bool({"dozen", "dozens", "hundred", "thousand", "million", "billion", "k"} & set(left.words + left.behind))


def _trim_plural(unit: str) -> str:
    return {"feet": "foot", "inches": "inch"}.get(unit, unit.rstrip("s"))


def _may_belong(words: list[str]) -> bool:
    """Do the words before a calculation change what it means?"""
    return bool(set(words[-3:]) & _OPERATIONS) or words[-1:] in (["of"], ["than"])
