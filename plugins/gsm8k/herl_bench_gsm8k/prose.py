"""Calculations as people and chat models write them: `16 - 3 = 13`, `3 apples + 4 apples = 7 apples`, `$18 × 2 = $36`,
`\\frac{48}{2} = 24`, `20 - 5, which is 15`, `50% of 36 is 18`, `2 * 3 = 6 + 4 = 10`.

A line is written plainly, cut into tokens and read once from left to right. Numbers that operators join make a side,
words behind a number are its unit, `=` and its words join sides into a chain, and two neighbours of a chain, the left
one with an operator, make a step (`sides`). Variables, labels, times, unknown signs and two numbers without an operator
between them make a side unreadable or doubtful. Blocks of code are passed over.

The time grows with the text's length, of which the first `LONGEST_TEXT` characters are read.

Left out: numbers in words, powers, results that stand before their calculation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise

from herl_bench.answers import LONGEST_NUMBER, type_plainly

from .arithmetic import NUMBER, Step
from .sides import UNITS, Side, compare_sides

LONGEST_TEXT = 50_000
LONGEST_SIDE = 60  # tokens; the published files need 40
LONGEST_UNIT = 6  # words

# ---------------------------------------------------------------------------------------------------------- plain lines
_FENCE = re.compile(r"\s*(?:```|~~~)")
_HAS_DIGIT = re.compile(r"[\d½⅓⅔¼¾⅕⅛]")
_NEW_ROW = re.compile(r"\\\\(?:\[-?[\d.]+ ?[a-z]{2}\])?(?=\s|&|\Z)")  # of LaTeX's aligned equations
_ENVIRONMENT = re.compile(r"\\(?:begin|end)\{[a-z]{1,20}\*?\}")
_GOES_ON = re.compile(r"\s*[&$]?\s*[=≈]")
_BULLET = re.compile(r"\s*(?:(?:[-*+•·–]|\(?\d{1,2}[.)]|#+)\s+)+")
_TEXT = re.compile(r"\\(?:text|mathrm|mbox|textbf|mathbf|textit|mathit|operatorname)\*?\s?\{([^{}]{0,200})\}")
_FRACTION = re.compile(r"\\[dtc]?frac\s{0,3}\{([^{}]{1,120})\}\s{0,3}\{([^{}]{1,120})\}")


def _split_lines(text: str) -> Iterator[tuple[int, str]]:
    """(where it begins, line) of each line outside of code blocks."""
    at, fenced = 0, False
    for line in text.splitlines(keepends=True):
        if _FENCE.match(line):
            fenced = not fenced
        elif not fenced:
            for row in _NEW_ROW.split(_ENVIRONMENT.sub("", line)):
                yield at, row
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
    r"|a total of|that's|it's)\b)(?: a total of| only| just)?"
    r"(?=:? ?-?[\d.]|:? (?:about|approximately|around|roughly) ))"
    r"|(?P<end_of_all>=>|->|\\(?:Right|right|Longright)arrow|\\(?:implies|to|therefore|because)\b|[→⇒►✓✔|•…])"
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
_GLUED = frozenset({"number", "mixed", "clock", "word", "other", "close"})
_UNIT_LETTERS = "eghijklmo"
_OPERATORS = {"x": "*", "times": "*", "multiplied by": "*", "plus": "+", "minus": "-", "divided by": "/"}


# ---------------------------------------------------------------------------------------------------------------- words
def _list_words(words: str) -> frozenset[str]:
    return frozenset(words.split())


_DETERMINERS = _list_words("a an the another about only just her his their its additional extra more other rs usd us")
_OPERATIONS = _list_words(
    "half twice thrice double triple quadruple quarter third thirds fourth fourths fifth fifths times plus minus"
    " percent square squared dozen hundred thousand million billion"
)
"""Just before a calculation they may belong to it: "half of 10 + 3"."""
_JOINTS = _list_words("and or to in per at by")
"""Between two numbers they say that the second does not stand alone: "3 and 5 - 2"."""
_LABELS = _list_words(
    "step day week month year part case question number no option round group grade page chapter room route class level"
    " phase stage problem item equation"
)
"""A number behind them names something."""
_CLAUSE = _list_words(
    "and but or so then she he they we i you it is are was were has have had if because when while since that which who"
    " give gives get gets to by"
)
"""Between a number and an operator they say that the number does not belong to it."""


# -------------------------------------------------------------------------------------------------------------- reading
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
    """Reads a text line by line. chain: the sides before `side`, which is being read; gap: the words since the last
    number or sign."""

    def __init__(self, most: int):
        self.most, self.steps = most, list[Step]()
        self.chain, self.side, self.gap = list[Side](), Side(), list[str]()
        self.at, self.line = 0, ""

    def read_line(self, line: str, at: int) -> None:
        self.at, self.line = at, line
        end, kind = -1, ""
        for token in _TOKEN.finditer(line):
            touches, before = end == token.start(), kind
            kind, end = token.lastgroup or "", token.end()
            self._take(kind, token, touches, touches and {kind, before} <= _GLUED)
            if len(self.steps) >= self.most:
                return

    def _take(self, kind: str, token: re.Match[str], touches: bool, glued: bool) -> None:
        """touches: no blank before it; glued: to a number, word or unknown sign, which makes both another thing."""
        side = self.side
        match kind:
            case "number" | "mixed":
                self._take_number(token[0] if kind == "number" else f"({re.sub(' and | ', '+', token[0])})")
                self.side.readable &= not glued and len(token[0]) <= LONGEST_NUMBER
            case "operator":
                self._take_operator(_OPERATORS.get(token[0].lower(), token[0]), token.string, *token.span())
            case "equals" | "equals_in_words":
                self._close_side()
                about = token[0] in ("≈", "~=") or "about" in token[0]
                self.side = Side(opened=True, weak=kind != "equals", about=about)
            case "of" if side.ends_in_share() and not self.gap:
                side.tokens.append("*")
            case "percent" if side.ends_in_operand() and not self.gap:
                side.tokens.append("%")
            case "open":
                self._open(touches)
            case "close":
                self._close()
            case "about":
                side.about |= not side.tokens
                side.doubtful |= bool(side.tokens)
            case "end_of_all" | "end":
                self.end_chain()
            case "word" | "per" | "of":
                self._take_word("of" if kind == "of" else token[0].lower().strip("/ "), glued and kind == "word")
            case "clock" | "other" | "percent" | "cut":
                side.readable = False
                self.gap = [] if kind == "clock" else self.gap

    def _take_number(self, text: str) -> None:
        side = self.side
        if side.ends_in_operand() or (side.tokens and not set(self.gap) <= _DETERMINERS):  # no operator before it
            gap, units = list(self.gap), set(self.gap) <= set(UNITS)
            joined = units or bool(set(gap[-2:]) & _JOINTS)
            side.doubtful |= joined
            self.end_chain()
            self.gap, side = gap, self.side
            side.doubtful = joined
        if not side.tokens and self.gap:
            side.doubtful |= _may_belong(self.gap)
            is_label = self.gap[-1] in _LABELS or self.gap[-1].removesuffix("s") in _LABELS
            side.readable &= not is_label and (not side.opened or set(self.gap) <= _DETERMINERS)
        self.gap = []
        self._add(re.findall(r"[()+]|[\d/]+", text) if text[0] == "(" else [text])

    def _take_operator(self, sign: str, line: str, start: int, end: int) -> None:
        side = self.side
        if side.ends_in_operand():
            side.doubtful |= "of" in self.gap and side.ends_in_share()
            side.readable &= not set(self.gap) & _CLAUSE and len(self.gap) <= LONGEST_UNIT
            side.words += self.gap
            side.tight |= sign == "-" and " " not in line[start - 1 : end + 1]
            self._add([sign])
        elif sign == "-" and not self.gap and (side.tokens or side.opened or line[end : end + 1].isdigit()):
            self._add([sign])
        elif side.tokens or self.gap or not side.readable:  # what stands before it was not read
            self.side = Side(opened=side.opened, readable=False)
        self.gap = []

    def _take_word(self, word: str, glued: bool) -> None:
        side = self.side
        is_letter = len(word) == 1
        if (glued and (word in ("st", "nd", "rd", "th") or (is_letter and word not in _UNIT_LETTERS))) or word[
            0
        ] == "\\":
            side.readable = False
        side.doubtful |= is_letter and bool(side.tokens) and (glued or word != "a")
        self.gap = [*self.gap[-11:], word]

    def _open(self, touches: bool) -> None:
        side = self.side
        if side.ends_in_operand() and touches and not self.gap:  # 2(3 + 4)
            self._add(["*"])
        elif side.ends_in_operand():
            unclear = not self.gap  # 1/2 (3 + 4)
            self.end_chain()
            self.side.doubtful = unclear
        elif not side.tokens and self.gap:
            side.readable &= not side.opened
            side.doubtful |= _may_belong(self.gap)
        self.gap = []
        self._add(["("])
        self.side.depth += 1

    def _close(self) -> None:
        side = self.side
        if side.depth and side.ends_in_operand():
            side.words += self.gap
            self.gap = []
            self._add([")"])
            side.depth -= 1
        else:
            self.end_chain()
            self.gap = [")"]  # an operator behind it has a left side that was not read

    def _add(self, tokens: list[str]) -> None:
        if len(self.side.tokens) < LONGEST_SIDE:
            self.side.tokens += tokens
        else:
            self.side.readable = False

    def _close_side(self) -> None:
        side = self.side
        side.behind, self.gap = self.gap, []
        side.readable &= side.opened or not set(side.behind) & (_CLAUSE - {"is"})
        self.chain.append(side)
        self.side = Side()

    def end_chain(self) -> None:
        if self.chain:
            self._close_side()
            for k, (left, right) in enumerate(pairwise(self.chain), 2):
                if step := compare_sides(left, right, k == len(self.chain), self.line, self.at):
                    self.steps.append(step)
        self.chain, self.side, self.gap = [], Side(), []


def _may_belong(words: list[str]) -> bool:
    """Do the words before a calculation change what it means?"""
    return bool(set(words[-3:]) & _OPERATIONS) or words[-1] in ("of", "than")
