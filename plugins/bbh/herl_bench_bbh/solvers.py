"""Read the text of an item and solve it: for the subtasks whose answer follows from the text by a rule.

Each `read_…` gives a small frozen problem, or None where the text is not of its subtask's form; `answer` gives what the
published target should be, and `solve` goes from subtask and text to answer. The same problems tell the step checks
what each step ought to do.

Solved: boolean expressions, multistep arithmetic, navigate, web of lies, object counting, tracking shuffled objects,
word sorting, logical deduction, Dyck languages, and the dates that are given as MM/DD/YYYY from today, tomorrow or
yesterday. Words in an order that has only a name (`in harbour order`) are read but not solved, since their text does
not explain it. Left out: the subtasks that ask for knowledge or taste.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import lru_cache
from itertools import permutations
from typing import Union

from herl_bench_bbh.answers import read_options
from herl_bench_bbh.orders import Rearrangement, find_move

Value = Union[int, bool]

# ---------------------------------------------------------------------------------------------------------- expressions
_TOKEN = re.compile(r"\s*(\d+|True|False|not|and|or|[A-Z](?![A-Za-z])|[-+*()])")
_DIGITS = 60  # longer numbers are no step of anything; refusing them keeps a hostile response cheap


def tokenize(text: str) -> list[str] | None:
    """The tokens of an arithmetic or boolean expression, None where something else stands between them."""
    found, place, text = [], 0, text.strip()
    while place < len(text):
        token = _TOKEN.match(text, place)
        if token is None:
            return None
        found.append(token[1])
        place = token.end()
    return found


def evaluate(text: str, names: Mapping[str, Value] | None = None) -> Value | None:
    """The value of an expression in which single capitals may stand for earlier values; None where it has none.

    `not` binds tighter than `and`, `and` than `or`; `*` tighter than `+` and `-`, a sign tightest.
    """
    parts = tokenize(text)
    if not parts or len(parts) > 400:
        return None
    reader = _Reader(parts, names or {})
    try:
        found = reader.read_or()
    except (ValueError, IndexError, RecursionError):
        return None
    return found if reader.place == len(parts) else None


class _Reader:
    """Recursive descent, one method per level of binding."""

    def __init__(self, parts: list[str], names: Mapping[str, Value]):
        self.parts, self.names, self.place = parts, names, 0

    def take(self, *wanted: str) -> str:
        if self.place < len(self.parts) and self.parts[self.place] in wanted:
            self.place += 1
            return self.parts[self.place - 1]
        return ""

    def read_or(self) -> Value:
        left = self.read_and()
        while self.take("or"):
            left = _require_boolean(self.read_and()) | _require_boolean(left)
        return left

    def read_and(self) -> Value:
        left = self.read_not()
        while self.take("and"):
            left = _require_boolean(self.read_not()) & _require_boolean(left)
        return left

    def read_not(self) -> Value:
        return not _require_boolean(self.read_not()) if self.take("not") else self.read_sum()

    def read_sum(self) -> Value:
        left = self.read_product()
        while sign := self.take("+", "-"):
            right = _require_number(self.read_product())
            left = _require_number(left) + (right if sign == "+" else -right)
        return left

    def read_product(self) -> Value:
        left = self.read_sign()
        while self.take("*"):
            left = _require_number(left) * _require_number(self.read_sign())
            if abs(left) >= 10**_DIGITS:
                raise ValueError("too large")
        return left

    def read_sign(self) -> Value:
        return -_require_number(self.read_sign()) if self.take("-") else self.read_atom()

    def read_atom(self) -> Value:
        part = self.parts[self.place]
        self.place += 1
        if part == "(":
            inner = self.read_or()
            if not self.take(")"):
                raise ValueError("no closing bracket")
            return inner
        if part.isdigit() and len(part) <= _DIGITS:
            return int(part)
        if part in ("True", "False"):
            return part == "True"
        if part in self.names:
            return self.names[part]
        raise ValueError(f"{part} has no value here")


def _require_number(found: Value) -> int:
    if isinstance(found, bool):
        raise ValueError("a truth value among numbers")
    return found


def _require_boolean(found: Value) -> bool:
    if not isinstance(found, bool):
        raise ValueError("a number among truth values")
    return found


@dataclass(frozen=True)
class Expression:
    """A boolean or an arithmetic expression."""

    text: str

    @property
    def answer(self) -> str:
        return str(evaluate(self.text))

    @property
    def groups(self) -> tuple[str, ...]:
        """The bracketed parts one level below the outermost brackets, for arithmetic: what A and B stand for."""
        inner, depth, start, found = self.text.strip(), 0, 0, []
        if inner.startswith("(") and inner.endswith(")") and evaluate(inner[1:-1]) is not None:
            inner = inner[1:-1]
        for i, c in enumerate(inner):
            if c == "(":
                depth += 1
                start = i if depth == 1 else start
            elif c == ")":
                depth -= 1
                if depth == 0:
                    found.append(inner[start + 1 : i])
        return tuple(found)


def read_boolean(text: str) -> Expression | None:
    body = re.sub(r"\s+is\s*$", "", text)
    return Expression(body) if isinstance(evaluate(body), bool) else None


def read_arithmetic(text: str) -> Expression | None:
    body = re.sub(r"\s*=\s*$", "", text)
    found = evaluate(body)
    return Expression(body) if found is not None and not isinstance(found, bool) else None


# ------------------------------------------------------------------------------------------------------------- navigate
@dataclass(frozen=True)
class Move:
    """One instruction. turn: quarter turns to the left; steps along `side` (quarter turns to the left of where one
    faces)."""

    text: str
    turn: int = 0
    steps: int = 0
    side: int = 0


State = tuple[int, int, int, int]
START: State = (0, 0, 0, 1)


def go(state: State, move: Move) -> State:
    """(x, y, facing x, facing y) after one instruction. x grows to the right of the first facing, y along it."""
    x, y, fx, fy = state
    for _ in range(move.turn):
        fx, fy = -fy, fx
    dx, dy = fx, fy
    for _ in range(move.side):
        dx, dy = -dy, dx
    return (x + move.steps * dx, y + move.steps * dy, fx, fy)


@dataclass(frozen=True)
class Route:
    moves: tuple[Move, ...]

    @property
    def states(self) -> list[State]:
        found = [START]
        for move in self.moves:
            found.append(go(found[-1], move))
        return found[1:]

    @property
    def answer(self) -> str:
        return "Yes" if self.states[-1][:2] == (0, 0) else "No"


_TURNS = {"Turn left": 1, "Turn around": 2, "Turn right": 3, "Always face forward": 0}
_SIDES = {"": 0, "forward": 0, "left": 1, "backward": 2, "right": 3}


def read_route(text: str) -> Route | None:
    _, _, body = text.partition("starting point? ")
    moves = []
    for sentence in (s.strip().rstrip(".") for s in re.split(r"\. |\n", body.partition("\nOptions:")[0]) if s.strip()):
        walk = re.fullmatch(r"Take (\d+) steps?(?: (left|right|forward|backward))?", sentence)
        if walk:
            moves.append(Move(sentence, steps=int(walk[1]), side=_SIDES[walk[2] or ""]))
        elif sentence in _TURNS:
            moves.append(Move(sentence, turn=_TURNS[sentence]))
        else:
            return None
    return Route(tuple(moves)) if moves else None


# ---------------------------------------------------------------------------------------------------------- web of lies
@dataclass(frozen=True)
class Lies:
    """statements: (speaker, whom it is about, is that one said to tell the truth?); the first has itself as speaker."""

    statements: tuple[tuple[str, str, bool], ...]
    asked: str

    @property
    def truths(self) -> dict[str, bool]:
        found: dict[str, bool] = {}
        for speaker, about, says in self.statements:
            found[speaker] = says if speaker == about else found[about] == says
        return found

    @property
    def answer(self) -> str:
        return "Yes" if self.truths[self.asked] else "No"


def read_lies(text: str) -> Lies | None:
    statements, known = [], set()
    for speaker, _, about, what in re.findall(r"(\w+) (says (\w+) )?(tells the truth|lies)\.", text):
        if about and about not in known:
            return None
        known.add(speaker)
        statements.append((speaker, about or speaker, what != "lies"))
    asked = re.search(r"Does (\w+) tell the truth\?", text)
    return Lies(tuple(statements), asked[1]) if asked and asked[1] in known else None


# ------------------------------------------------------------------------------------------------------ object counting
_NUMBERS = {
    "a": 1,
    "an": 1,
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
}
WRITTEN = {n: word for word, n in reversed(_NUMBERS.items())}
_THINGS = {
    "animals": "bear cat chicken cow dog donkey duck fish frog goat horse mouse pig rabbit sheep snail snake",
    "fruits": "apple banana blackberry cherry grape lemon mango nectarine orange peach pear plum raspberry strawberry",
    "vegetables": "broccoli cabbage carrot cauliflower celery garlic lettuce onion potato yam",
    "musical instruments": "accordion clarinet drum flute guitar piano trombone trumpet violin",
}
_CATEGORY = {name: category for category, names in _THINGS.items() for name in names.split()}


def make_singular(name: str) -> str:
    """`heads of broccoli` → `broccoli`, `peaches` → `peach`, `lettuce heads` → `lettuce`."""
    word = re.sub(r"^(?:heads?|stalks?) of | heads?$", "", name.strip().lower())
    for plural, one in (("mice", "mouse"), ("rries", "rry"), ("oes", "o"), ("ches", "ch")):
        if word.endswith(plural):
            return word[: -len(plural)] + one
    return word[:-1] if word.endswith("s") and word not in _CATEGORY else word


@dataclass(frozen=True)
class Counting:
    """items: (how many, name as written); category: what is asked for, `objects` for all of them."""

    items: tuple[tuple[int, str], ...]
    category: str

    def counts(self, name: str) -> bool:
        return self.category == "objects" or _CATEGORY.get(make_singular(name)) == self.category

    @property
    def answer(self) -> str:
        return str(sum(n for n, name in self.items if self.counts(name)))


def read_counting(text: str) -> Counting | None:
    found = re.fullmatch(r"I have (.*)\. How many (.*) do I have\?", text.strip())
    if not found:
        return None
    items = []
    for item in re.split(r", and |, | and ", found[1]):
        amount, _, name = item.partition(" ")
        if amount not in _NUMBERS or not name:
            return None
        items.append((_NUMBERS[amount], name))
    return Counting(tuple(items), found[2])


# -------------------------------------------------------------------------------------------- tracking shuffled objects
@dataclass(frozen=True)
class Tracking:
    """start: what each one has; swaps: pairs, in order; listed: the options' letters by their text."""

    start: Mapping[str, str]
    swaps: tuple[tuple[str, str], ...]
    asked: str
    listed: Mapping[str, str] = field(default_factory=dict)

    @property
    def states(self) -> list[dict[str, str]]:
        found = [dict(self.start)]
        for one, other in self.swaps:
            now = dict(found[-1])
            now[one], now[other] = now[other], now[one]
            found.append(now)
        return found

    @property
    def answer(self) -> str:
        return self.listed.get(self.states[-1][self.asked], "")


_HAS = r"(?:has|gets|is dancing with|is playing)(?: an?)?"


def read_tracking(text: str) -> Tracking | None:
    listed = {words: f"({letter})" for letter, words in read_options(text)}
    tail = text.partition(": ")[2]
    begins, _, story = tail.partition(".\n")
    start = {}
    for part in re.split(r", and |, (?=[A-Z]\w+ (?:has|gets|is) )| and (?=[A-Z]\w+ (?:has|gets|is) )", begins):
        has = re.fullmatch(rf"(\w+) {_HAS} (.+)", part.strip())
        if not has:
            return None
        start[has[1]] = has[2]
    swaps = tuple(re.findall(r"(?:First|Then|Finally), (\w+) and (\w+) (?:swap|trade|switch)", story))
    asked = re.search(rf"At the end of [^,]*, (\w+) (?:{_HAS}|has the|is)", story)
    if not asked or not {asked[1], *(p for pair in swaps for p in pair)} <= set(start):
        return None
    return Tracking(start, swaps, asked[1], listed)


# --------------------------------------------------------------------------------------------------------- word sorting
@dataclass(frozen=True)
class Sorting:
    words: tuple[str, ...]

    @property
    def answer(self) -> str:
        return " ".join(sorted(self.words))


@dataclass(frozen=True)
class Arranging:
    """Words in an order that is told (`The last word goes to the front`) or has a name. move: None where it is only
    named."""

    words: tuple[str, ...]
    move: Rearrangement | None = None

    @property
    def answer(self) -> str:
        return " ".join(self.move.arrange(self.words)) if self.move else ""


_NAMED_ORDER = re.compile(r"\bin (?!alphabetical|lexicographic)[\w' ]+ order\b", re.IGNORECASE)


def read_sorting(text: str) -> Sorting | Arranging | None:
    asks, found, listed = text.rpartition("List:")
    words, move = tuple(listed.split()), find_move(asks)
    if not found or not words:
        return None
    return Arranging(words, move) if move or _NAMED_ORDER.search(asks) else Sorting(words)


# ---------------------------------------------------------------------------------------------------- logical deduction
_COUNT = {"": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "sixth": 6, "seventh": 7, "first": 1}
_FROM_START = {"left", "leftmost", "newest", "first", "most expensive"}
_BEFORE = {"to the left of", "newer than", "above", "more expensive than"}
_AFTER = {"to the right of", "older than", "below", "less expensive than"}
_RELATION = re.compile(rf"(?P<one>.+?) (?:is|are|finished) (?P<how>{'|'.join(sorted(_BEFORE | _AFTER))}) (?P<other>.+)")
_ENDS = "left|right|leftmost|rightmost|newest|oldest|last|first|most expensive|cheapest"
_PLACE = re.compile(
    r"(?P<one>.+?) (?:is|are|finished) (?:the )?(?:(?P<count>second|third|fourth|fifth|sixth)(?: from the"
    rf" |-to-|-)?)?(?P<end>{_ENDS})?"
)


@dataclass(frozen=True)
class Clue:
    """Either `one` stands before `other`, or `one` stands at `place` (from 0; negative from the end)."""

    text: str
    one: str
    other: str = ""
    place: int = 0

    def holds(self, order: tuple[str, ...] | list[str]) -> bool:
        """In an order that may leave some out: a clue about those does not hold, one about the place needs the whole
        order."""
        if self.other:
            return self.one in order and self.other in order and order.index(self.one) < order.index(self.other)
        return -len(order) <= self.place < len(order) and order[self.place] == self.one


@dataclass(frozen=True)
class Ordering:
    """names: the things, as single words (`red book` → `red`); the order runs left to right, newest, first or dearest
    first."""

    names: tuple[str, ...]
    clues: tuple[Clue, ...]
    listed: tuple[tuple[str, Clue], ...] = ()

    @property
    def order(self) -> tuple[str, ...] | None:
        return _find_only_order(self)

    @property
    def answer(self) -> str:
        order = self.order
        return next((f"({letter})" for letter, clue in self.listed if order and clue.holds(order)), "")


@lru_cache(maxsize=4096)
def _find_only_order(problem: Ordering) -> tuple[str, ...] | None:
    fits = [order for order in permutations(problem.names) if all(clue.holds(order) for clue in problem.clues)]
    return fits[0] if len(fits) == 1 else None


def read_ordering(text: str) -> Ordering | None:
    body, _, _ = text.partition("\nOptions:\n")
    body = body.rpartition("within each paragraph. ")[2]
    found = re.match(
        r"[^:]*there (?:are|were) \w+ \w+: (?P<listed>.*?)\.\s+(?P<clues>.*)", body, re.DOTALL
    ) or re.match(r"[^:]*sells \w+ fruits: (?P<listed>.*?)\.\s+(?P<clues>.*)", body, re.DOTALL)
    if not found:
        return None
    full = [re.sub(r"^(?:an?|and) ", "", n) for n in re.split(r", and |, | and ", found["listed"])]
    names = tuple(_shorten(n) for n in full)
    clues = [_read_clue(s.strip().rstrip("."), names) for s in re.split(r"\. ", found["clues"]) if s.strip()]
    listed = [(letter, _read_clue(words, names)) for letter, words in read_options(text)]
    if None in clues or any(c is None for _, c in listed) or len(set(names)) < len(names):
        return None
    return Ordering(names, tuple(c for c in clues if c), tuple((letter, c) for letter, c in listed if c))


def _shorten(name: str) -> str:
    """The word that tells a thing apart: `the green book` → `green`, `motorcyle` → itself, `station wagon` → itself."""
    words = re.sub(r"^(?:the|an?) ", "", name.strip(), flags=re.IGNORECASE)
    return re.sub(r" book$", "", words)


def _read_clue(sentence: str, names: tuple[str, ...]) -> Clue | None:
    relation = _RELATION.fullmatch(sentence)
    if relation:
        one, other = _shorten(relation["one"]), _shorten(relation["other"])
        if one not in names or other not in names:
            return None
        return Clue(sentence, one, other) if relation["how"] in _BEFORE else Clue(sentence, other, one)
    place = _PLACE.fullmatch(sentence)
    if not place or _shorten(place["one"]) not in names or not (place["count"] or place["end"]):
        return None
    count = _COUNT[place["count"] or ""]
    from_start = not place["end"] or place["end"] in _FROM_START  # "finished second" counts from the first
    return Clue(sentence, _shorten(place["one"]), place=count - 1 if from_start else -count)


# ------------------------------------------------------------------------------------------------------- Dyck languages
CLOSER = {"(": ")", "[": "]", "{": "}", "<": ">"}


@dataclass(frozen=True)
class Dyck:
    signs: tuple[str, ...]

    @property
    def stacks(self) -> list[list[str]]:
        """The open brackets after each sign."""
        found: list[list[str]] = [[]]
        for sign in self.signs:
            found.append([*found[-1], sign] if sign in CLOSER else found[-1][:-1])
        return found[1:]

    @property
    def answer(self) -> str:
        return " ".join(CLOSER[sign] for sign in reversed(self.stacks[-1]))


def read_dyck(text: str) -> Dyck | None:
    _, found, body = text.rpartition("Input:")
    signs, stack = body.split(), []
    for sign in signs:
        if sign in CLOSER:
            stack.append(sign)
        elif not stack or CLOSER[stack.pop()] != sign:
            return None
    return Dyck(tuple(signs)) if found and stack else None


# ---------------------------------------------------------------------------------------------------------------- dates
@dataclass(frozen=True)
class Day:
    """anchor: the day whose date is given (`today`, `yesterday`, …); ahead: the days from today to the day asked
    for."""

    anchor: str
    given: date
    asked: str
    listed: Mapping[str, str] = field(default_factory=dict)

    @property
    def today(self) -> date:
        return self.given - timedelta(days=DAYS_AHEAD[self.anchor])

    @property
    def wanted(self) -> date:
        return self.today + timedelta(days=count_days(self.asked) or 0)

    @property
    def answer(self) -> str:
        return self.listed.get(write_date(self.wanted), "")


DAYS_AHEAD = {
    "today": 0,
    "tomorrow": 1,
    "yesterday": -1,
    "the day before yesterday": -2,
    "one week ago": -7,
    "one week from today": 7,
}


def count_days(words: str) -> int | None:
    """`one week ago from today` → −7, `10 days ago` → −10, `24 hours later` → 1; None for months and years, whose
    length varies."""
    words = re.sub(r"^(one week ago) from today$", r"\1", words.strip().lower())
    if words in DAYS_AHEAD:
        return DAYS_AHEAD[words]
    days = re.fullmatch(r"(\d{1,3}) days ago", words)
    hours = re.fullmatch(r"(24|48|72) hours later", words)
    return -int(days[1]) if days else int(hours[1]) // 24 if hours else None


def write_date(day: date) -> str:
    return day.strftime("%m/%d/%Y")


def parse_date(text: str) -> date | None:
    """MM/DD/YYYY, leading zeros optional; None where there is no such day."""
    found = re.fullmatch(r"(\d{1,2})/(\d{1,2})/(\d{4})", text)
    try:
        return date(int(found[3]), int(found[1]), int(found[2])) if found else None
    except ValueError:
        return None


def read_day(text: str) -> Day | None:
    found = re.match(
        r"(Today|Tomorrow|Yesterday|The day before yesterday) (?:is|was) (\d+/\d+/\d{4})\. What is the date (.+) in"
        r" MM/DD/YYYY\?",
        text,
    )
    given = parse_date(found[2]) if found else None
    if not found or not given or count_days(found[3]) is None:
        return None
    return Day(found[1].lower(), given, found[3], {words: f"({letter})" for letter, words in read_options(text)})


# ---------------------------------------------------------------------------------------------------------- all of them
Problem = Union[Expression, Route, Lies, Counting, Tracking, Sorting, Arranging, Ordering, Dyck, Day]
READERS: Mapping[str, Callable[[str], Problem | None]] = {
    "boolean_expressions": read_boolean,
    "multistep_arithmetic_two": read_arithmetic,
    "navigate": read_route,
    "web_of_lies": read_lies,
    "object_counting": read_counting,
    "tracking_shuffled_objects": read_tracking,
    "word_sorting": read_sorting,
    "logical_deduction": read_ordering,
    "dyck_languages": read_dyck,
    "date_understanding": read_day,
}


@lru_cache(maxsize=8192)
def read(subtask: str, text: str) -> Problem | None:
    """The problem behind an item, None where the subtask or this item's text is beyond these solvers."""
    reader = READERS.get(re.sub(r"_(?:three|five|seven)_objects$", "", subtask))
    return reader(text) if reader else None


def consult(problem: Problem, solution: str) -> Problem:
    """The problem with what a worked solution tells and the text may not: the move behind an order's name."""
    told = find_move(solution) if isinstance(problem, Arranging) else None
    return replace(problem, move=told) if isinstance(problem, Arranging) and told else problem


def solve(subtask: str, text: str) -> str | None:
    problem = read(subtask, text)
    return (problem.answer or None) if problem else None
