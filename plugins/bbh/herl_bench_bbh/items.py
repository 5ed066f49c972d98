"""Items like those of six BIG-Bench Hard subtasks, made at random, with worked solutions right and wrong.

Left out: the subtasks that ask for knowledge or taste; arithmetic, dates and brackets, which a policy of under a
million parameters did not learn in the minutes that a warm start may take; and the variety of the published items'
wording.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations
from random import Random

from .solvers import evaluate


@dataclass(frozen=True)
class Item:
    """work(planted, slip) writes a solution: with the kind's misconception or not, with a random slip at step `slip` or
    none (−1)."""

    text: str
    work: Callable[[bool, int], str]
    steps: int


# -------------------------------------------------------------------------------------------------------------- helpers
def _split(text: str) -> list[str]:
    return text.split()


def _conclude(steps: str, answer: object) -> str:
    return f"{steps} So the answer is {answer}."


def read_answer(solution: str) -> str:
    return solution.rpartition("So the answer is ")[2].removesuffix(".")


def _list_options(texts: Sequence[str]) -> str:
    return "\nOptions:\n" + "\n".join(f"({chr(65 + i)}) {t}" for i, t in enumerate(texts))


def _join(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + ", and " + parts[-1]


def _choose_length(rng: Random, low: int, high: int, difficulty: float) -> int:
    """A length between low and high, near where the dial stands."""
    return max(low, min(high, round(low + difficulty * (high - low) + rng.uniform(-0.6, 0.6))))


# -------------------------------------------------------------------------------------------------- boolean expressions
_SIMPLE = r"(?:True|False)"
_RIGHT_ORDER = (rf"not {_SIMPLE}", rf"{_SIMPLE} and {_SIMPLE}", rf"{_SIMPLE} or {_SIMPLE}")
_LOOSE_NOT = (rf"{_SIMPLE} and {_SIMPLE}", rf"not {_SIMPLE}", rf"{_SIMPLE} or {_SIMPLE}")


def _simplify(text: str, order: Sequence[str], slip: int) -> list[str]:
    """The expression after each move, brackets first."""
    chain = [text]
    while text not in ("True", "False"):
        inner = re.search(r"\( ([^()]*) \)", text)
        where, part = (inner.start(1), inner[1]) if inner else (0, text)
        move = next(m for pattern in order if (m := re.search(pattern, part)))
        outcome = bool(evaluate(move[0])) != (slip == len(chain) - 1)
        text = text[:where] + part[: move.start()] + str(outcome) + part[move.end() :] + text[where + len(part) :]
        text = re.sub(rf"\( ({_SIMPLE}) \)", r"\1", text)
        chain.append(text)
    return chain


def _make_boolean(text: str, misread: str = "") -> Item:
    def work(planted: bool, slip: int) -> str:
        if planted and misread == "bracket":
            chain = [text, *_simplify(text.replace("not ( ", "( not "), _RIGHT_ORDER, slip)]
        else:
            chain = _simplify(text, _LOOSE_NOT if planted else _RIGHT_ORDER, slip)
        return _conclude(f"Z = {' = '.join(chain)}.", chain[-1])

    return Item(f"{text} is", work, len(_simplify(text, _RIGHT_ORDER, -1)) - 1)


def _make_and_or(rng: Random, difficulty: float) -> Item:
    parts = [rng.choice(("True", "False"))]
    for _ in range(_choose_length(rng, 2, 4, difficulty)):
        parts += [rng.choice(("and", "or")), rng.choice(("True", "False"))]
    if rng.random() < 0.5:
        start = 2 * rng.randrange(len(parts) // 2)
        parts[start : start + 3] = ["(", *parts[start : start + 3], ")"]
    return _make_boolean(" ".join(parts))


def _make_not_and(rng: Random, difficulty: float) -> Item:
    values = [
        f"{rng.choice(('', 'not '))}{rng.choice(('True', 'False'))}"
        for _ in range(_choose_length(rng, 3, 5, difficulty))
    ]
    parts = [values[0]]
    for text in values[1:]:
        parts += [rng.choice(("and", "and", "or")), text]
    if rng.random() < 0.3:
        start = 2 * rng.randrange(len(values) - 1)
        parts[start : start + 3] = ["(", *parts[start : start + 3], ")"]
    return _make_boolean(" ".join(parts))


def _make_not_bracket(rng: Random, difficulty: float) -> Item:
    parts = [rng.choice(("True", "False"))]
    for _ in range(_choose_length(rng, 2, 4, difficulty)):
        parts += [rng.choice(("and", "or")), rng.choice(("True", "False"))]
    start = 2 * rng.randrange(len(parts) // 2)
    parts[start : start + 3] = ["not", "(", *parts[start : start + 3], ")"]
    return _make_boolean(" ".join(parts), "bracket")


# ------------------------------------------------------------------------------------------------------------- navigate
def _make_line(rng: Random, difficulty: float) -> Item:
    moves = [rng.choice((-1, 1)) * rng.randint(1, 9) for _ in range(_choose_length(rng, 2, 5, difficulty))]
    rest = -sum(moves)
    moves += [rest] if rest and abs(rest) < 10 and rng.random() < 0.6 else [rng.choice((-1, 1)) * rng.randint(1, 9)]
    words = [f"Take {abs(m)} step{'s' * (abs(m) > 1)} {'forward' if m > 0 else 'backward'}" for m in moves]

    def work(planted: bool, slip: int) -> str:
        y, lines = 0, []
        for k, (move, text) in enumerate(zip(moves, words, strict=True)):
            y += move + (Random(f"{moves}{slip}").choice((-2, -1, 1, 2)) if k == slip else 0)
            lines.append(f"({k + 1}) {text}: (0, {y}).")
        return _conclude("\n".join(lines), "No" if y else "Yes")

    ask = "If you follow these instructions, do you return to the starting point? "
    return Item(ask + ". ".join(words) + ".\nOptions:\n- Yes\n- No", work, len(moves))


# ---------------------------------------------------------------------------------------------------------- web of lies
_PEOPLE = _split("Fidel Jerry Vina Raymond Millie Leda Jim Crista Inga Osvaldo Kandi Delbert Ryan Shaunda")


def _make_lies(rng: Random, difficulty: float, first: bool) -> Item:
    """first: does the first person tell the truth?"""
    names = rng.sample(_PEOPLE, _choose_length(rng, 2, 5, difficulty) + 1)
    claims = [first, *[rng.random() < 0.5 for _ in names[1:]]]
    tell = {True: "tells the truth", False: "lies"}
    sentences = [f"{names[0]} {tell[claims[0]]}."]
    sentences += [f"{who} says {about} {tell[s]}." for who, about, s in zip(names[1:], names, claims[1:], strict=False)]

    def work(planted: bool, slip: int) -> str:
        truth, lines = claims[0], [f"(1) {sentences[0]}"]
        for k in range(1, len(names)):
            truth = (claims[k] if planted else claims[k] == truth) != (slip == k - 1)
            lines.append(f"({k + 1}) {sentences[k][:-1]}, so {names[k]} {tell[truth]}.")
        return _conclude("\n".join(lines), "Yes" if truth else "No")

    return Item(f"Question: {' '.join(sentences)} Does {names[-1]} tell the truth?", work, len(names) - 1)


def _make_chain(rng: Random, difficulty: float) -> Item:
    return _make_lies(rng, difficulty, first=True)


def _make_liar(rng: Random, difficulty: float) -> Item:
    return _make_lies(rng, difficulty, first=False)


# ------------------------------------------------------------------------------------------------------ object counting
_ANIMALS = _split("cat dog cow pig duck frog goat bear")
_FRUITS = _split("apple banana grape orange plum nectarine peach")
_INSTRUMENTS = _split("drum flute piano violin trumpet clarinet")
_VEGETABLES = _split("carrot onion cabbage yam cauliflower")
_OTHERS = _split("bed chair lamp table car stove oven")
THINGS = (*_ANIMALS, *_FRUITS, *_INSTRUMENTS, *_VEGETABLES, *_OTHERS)
_AMOUNTS = ("", "a", "two", "three", "four", "five")


def _make_counting(
    rng: Random, difficulty: float, category: str, pool: Sequence[str], others: Sequence[str], misread: str
) -> Item:
    wanted = rng.sample(pool, _choose_length(rng, 2, 4, difficulty))
    rest = rng.sample(others, _choose_length(rng, 1, 3, difficulty))
    items = [(name, rng.choice((1, 1, 2, 3, 4)), name in wanted) for name in [*wanted, *rest]]
    rng.shuffle(items)
    words = [f"{'an' if n == 1 and name[0] in 'aeiou' else _AMOUNTS[n]} {_pluralize(name, n)}" for name, n, _ in items]

    def work(planted: bool, slip: int) -> str:
        took_all = planted and misread == "others"
        listed = [(name, n) for name, n, mine in items if mine or took_all]
        if planted and misread == "last":
            listed = [(name, n) for name, n in listed if name != items[-1][0]]
        lines, amounts = [], []
        for k, (name, n) in enumerate(listed):
            amount = 1 if planted and misread == "plural" else n
            amount += (1 if n == 1 else -1) if k == slip else 0
            amounts.append(amount)
            lines.append(f"- {_pluralize(name, n)} ({amount})\n")
        total = sum(amounts) + (Random(f"{items}").choice((-1, 1)) if slip == len(listed) else 0)
        return _conclude(f"{''.join(lines)}{' + '.join(map(str, amounts))} = {total}.", total)

    return Item(f"I have {_join(words)}. How many {category} do I have?", work, len(wanted) + 1)


def _pluralize(name: str, amount: int) -> str:
    return name if amount == 1 else name + ("es" if name.endswith("ch") else "s")


def _make_fruits(rng: Random, difficulty: float) -> Item:
    return _make_counting(rng, difficulty, "fruits", _FRUITS, [*_OTHERS, *_ANIMALS], "")


def _make_animals(rng: Random, difficulty: float) -> Item:
    return _make_counting(rng, difficulty, "animals", _ANIMALS, [*_OTHERS, *_INSTRUMENTS], "plural")


def _make_instruments(rng: Random, difficulty: float) -> Item:
    return _make_counting(rng, difficulty, "musical instruments", _INSTRUMENTS, [*_OTHERS, *_FRUITS], "others")


def _make_vegetables(rng: Random, difficulty: float) -> Item:
    return _make_counting(rng, difficulty, "vegetables", _VEGETABLES, [*_OTHERS, *_ANIMALS], "last")


# -------------------------------------------------------------------------------------------- tracking shuffled objects
_COLORS = _split("red blue green pink black white yellow purple")


def _make_balls(rng: Random, difficulty: float) -> Item:
    people = ["Alice", "Bob", "Claire"]
    start = dict(zip(people, rng.sample(_COLORS, 3), strict=True))
    swaps = [tuple(rng.sample(people, 2)) for _ in range(_choose_length(rng, 1, 3, difficulty))]
    swaps = [(a, b) for (a, b), before in zip(swaps, [(), *swaps], strict=False) if {a, b} != set(before)]
    asked = rng.choice(people)
    listed = list(start.values())

    def work(planted: bool, slip: int) -> str:
        now = dict(start)
        lines = [f"(0) {_describe_state(now)}."]
        for k, (one, other) in enumerate(swaps):
            if k == slip:
                other = next(p for p in people if p not in (one, other))
            now[one], now[other] = now[other], now[one]
            lines.append(f"({k + 1}) {swaps[k][0]} and {swaps[k][1]} swap: {_describe_state(now)}.")
        return _conclude("\n".join(lines), f"({chr(65 + listed.index(now[asked]))})")

    order = ["First", *["Then"] * (len(swaps) - 2), "Finally"] if len(swaps) > 1 else ["First"]
    events = " ".join(f"{word}, {one} and {other} swap balls." for word, (one, other) in zip(order, swaps, strict=True))
    begins = "are playing a game. At the start of the game, they are each holding a ball"
    holds = _join([f"{who} has a {color} ball" for who, color in start.items()])
    text = (
        f"{_join(people)} {begins}: {holds}.\n"
        f"As the game progresses, pairs of players trade balls. {events} At the end of the game, {asked} has the"
        f"{_list_options([f'{color} ball' for color in listed])}"
    )
    return Item(text, work, len(swaps))


def _describe_state(now: Mapping[str, str]) -> str:
    return ", ".join(f"{who}: {what}" for who, what in now.items())


# ---------------------------------------------------------------------------------------------------- logical deduction
_PREFACE = (
    "The following paragraphs each describe a set of three objects arranged in a fixed order. "
    "The statements are logically consistent within each paragraph. "
)
_PLACES = ("is the leftmost", "is the second from the left", "is the rightmost")


def _make_books(rng: Random, difficulty: float) -> Item:
    names = rng.sample(_COLORS, 3)
    order = rng.sample(names, 3)

    def say(one: str, other: str) -> str:
        return rng.choice(
            (
                f"The {one} book is to the left of the {other} book",
                f"The {other} book is to the right of the {one} book",
            )
        )

    if rng.random() < 0.5:
        pairs = [(order[0], order[1]), (order[1], order[2])]
        rng.shuffle(pairs)
        clues = [say(*pair) for pair in pairs]
        fixed = None
    else:
        fixed = rng.randrange(3)
        rest = [n for n in order if n != order[fixed]]
        pairs = [(rest[0], rest[1])]
        clues = [say(*pairs[0]), f"The {order[fixed]} book {_PLACES[fixed]}"]
    place = rng.randrange(3)

    def work(planted: bool, slip: int) -> str:
        read = [(b, a) if k == slip else (a, b) for k, (a, b) in enumerate(pairs)]
        lines = [f'({k + 1}) "(left) ? {a} ? {b} ? (right)".' for k, (a, b) in enumerate(read)]
        if fixed is not None:
            spots = [order[fixed] if i == fixed else "?" for i in range(3)]
            lines.append(f'(2) "(left) {" ".join(spots)} (right)".')
        fits = [
            p for p in permutations(sorted(names))
            if all(p.index(a) < p.index(b) for a, b in read) and (fixed is None or p[fixed] == order[fixed])
        ]  # fmt: skip
        found = fits[0] if fits else tuple(order)
        lines.append(f'(3) "(left) {" ".join(found)} (right)".')
        return _conclude("\n".join(lines), f"({chr(65 + names.index(found[place]))})")

    intro = f"On a shelf, there are three books: {_join([f'a {n} book' for n in names])}."
    return Item(
        f"{_PREFACE}{intro} {'. '.join(clues)}.{_list_options([f'The {n} book {_PLACES[place]}' for n in names])}",
        work,
        len(pairs),
    )


# ------------------------------------------------------------------------------------------------------------ the kinds
@dataclass(frozen=True)
class Kind:
    """planted: the misconception in words, empty where none was planted."""

    family: str
    variant: str
    make: Callable[[Random, float], Item]
    planted: str = ""


KINDS = (
    Kind("boolean_expressions", "and_or", _make_and_or),
    Kind("boolean_expressions", "not_and", _make_not_and, "`not` is taken to bind weaker than `and`"),
    Kind(
        "boolean_expressions",
        "not_bracket",
        _make_not_bracket,
        "`not` before a bracket is taken to negate the first value in it alone",
    ),
    Kind("navigate", "line", _make_line),
    Kind("web_of_lies", "chain", _make_chain),
    Kind("web_of_lies", "liar", _make_liar, "where the first of a chain lies, everybody is believed all the same"),
    Kind("object_counting", "fruits", _make_fruits),
    Kind("object_counting", "animals", _make_animals, "several animals of a sort are counted as one"),
    Kind("object_counting", "instruments", _make_instruments, "everything is counted, not musical instruments alone"),
    Kind("object_counting", "vegetables", _make_vegetables, "the last thing of the list is overlooked"),
    Kind("tracking_shuffled_objects_three_objects", "balls", _make_balls),
    Kind("logical_deduction_three_objects", "books", _make_books),
)
