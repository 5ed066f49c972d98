"""A synthetic world of items like those of eight BIG-Bench Hard subtasks, with worked solutions, endless and seeded.

There are fourteen kinds of item. Seven of them are *planted*: the plain demonstrations of that kind always make one plausible wrong move, in
every item, and only items where that move spoils the answer are made. A policy trained on them has hardly a way to find the right move by
sampling; the guided demonstrations (a draft, what was unmet, a revision) are right for all kinds. This is the situation that hindsight
guidance is for, and it is planted on purpose. The other seven kinds are demonstrated well, but for a few slips.

`difficulty` (0 to 1) lengthens expressions, lists, routes and chains. An item's side, train or eval, hangs on a hash of its text alone, so
the sides are disjoint for every seed and difficulty.

Left out: the subtasks that ask for knowledge or taste; arithmetic and sorting, which a policy of under a million parameters did not learn in
the minutes that a warm start may take (0.05 and 0.22 right after 3,000 steps of 32 with AdamW); and the variety of the published items' wording.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import permutations
from random import Random

from herl_bench import Demonstration, Example, World
from herl_bench.types import Split

from .solvers import CLOSER, read_ordering, value, written

EVAL_SHARE = 5  # one text in five is an evaluation item
SLIP = 0.08  # share of plain demonstrations of unplanted kinds with one random slip
GUIDED = 0.5  # share of demonstrations that revise a draft


@dataclass(frozen=True)
class Item:
    """work(planted, slip) writes a solution: with the kind's misconception or not, with a random slip at step `slip` or none (−1)."""

    text: str
    work: Callable[[bool, int], str]
    steps: int


# --------------------------------------------------------------------------------------------------------------- helpers
def _words(text: str) -> list[str]:
    return text.split()


def _end(steps: str, answer: object) -> str:
    return f"{steps} So the answer is {answer}."


def answer_of(solution: str) -> str:
    return solution.rpartition("So the answer is ")[2].removesuffix(".")


def _options(texts: Sequence[str]) -> str:
    return "\nOptions:\n" + "\n".join(f"({chr(65 + i)}) {t}" for i, t in enumerate(texts))


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + ", and " + parts[-1]


def _more(rng: Random, low: int, high: int, difficulty: float) -> int:
    """A length between low and high, near where the dial stands."""
    return max(low, min(high, round(low + difficulty * (high - low) + rng.uniform(-0.6, 0.6))))


# ----------------------------------------------------------------------------------------------------- boolean expressions
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
        outcome = bool(value(move[0])) != (slip == len(chain) - 1)
        text = text[:where] + part[: move.start()] + str(outcome) + part[move.end() :] + text[where + len(part) :]
        text = re.sub(rf"\( ({_SIMPLE}) \)", r"\1", text)
        chain.append(text)
    return chain


def _boolean_item(text: str) -> Item:
    def work(planted: bool, slip: int) -> str:
        chain = _simplify(text, _LOOSE_NOT if planted else _RIGHT_ORDER, slip)
        return _end(f"Z = {' = '.join(chain)}.", chain[-1])

    return Item(f"{text} is", work, len(_simplify(text, _RIGHT_ORDER, -1)) - 1)


def _and_or(rng: Random, difficulty: float) -> Item:
    parts = [rng.choice(("True", "False"))]
    for _ in range(_more(rng, 2, 4, difficulty)):
        parts += [rng.choice(("and", "or")), rng.choice(("True", "False"))]
    if rng.random() < 0.5:
        start = 2 * rng.randrange(len(parts) // 2)
        parts[start : start + 3] = ["(", *parts[start : start + 3], ")"]
    return _boolean_item(" ".join(parts))


def _not_and(rng: Random, difficulty: float) -> Item:
    values = [f"{rng.choice(('', 'not '))}{rng.choice(('True', 'False'))}" for _ in range(_more(rng, 3, 5, difficulty))]
    parts = [values[0]]
    for text in values[1:]:
        parts += [rng.choice(("and", "and", "or")), text]
    if rng.random() < 0.3:
        start = 2 * rng.randrange(len(values) - 1)
        parts[start : start + 3] = [*rng.choice((["("], ["not", "("])), *parts[start : start + 3], ")"]
    return _boolean_item(" ".join(parts))


# --------------------------------------------------------------------------------------------------------------- navigate
def _line(rng: Random, difficulty: float) -> Item:
    moves = [rng.choice((-1, 1)) * rng.randint(1, 9) for _ in range(_more(rng, 2, 5, difficulty))]
    rest = -sum(moves)
    moves += [rest] if rest and abs(rest) < 10 and rng.random() < 0.6 else [rng.choice((-1, 1)) * rng.randint(1, 9)]
    words = [f"Take {abs(m)} step{'s' * (abs(m) > 1)} {'forward' if m > 0 else 'backward'}" for m in moves]

    def work(planted: bool, slip: int) -> str:
        y, lines = 0, []
        for k, (move, text) in enumerate(zip(moves, words, strict=True)):
            y += move + (Random(f"{moves}{slip}").choice((-2, -1, 1, 2)) if k == slip else 0)
            lines.append(f"({k + 1}) {text}: (0, {y}).")
        return _end("\n".join(lines), "No" if y else "Yes")

    ask = "If you follow these instructions, do you return to the starting point? "
    return Item(ask + ". ".join(words) + ".\nOptions:\n- Yes\n- No", work, len(moves))


# ------------------------------------------------------------------------------------------------------------ web of lies
_PEOPLE = _words("Fidel Jerry Vina Raymond Millie Leda Jim Crista Inga Osvaldo Kandi Delbert Ryan Shaunda")


def _lies(rng: Random, difficulty: float) -> Item:
    names = rng.sample(_PEOPLE, _more(rng, 2, 5, difficulty) + 1)
    said = [rng.random() < 0.5 for _ in names]
    tell = {True: "tells the truth", False: "lies"}
    sentences = [f"{names[0]} {tell[said[0]]}."]
    sentences += [f"{who} says {about} {tell[s]}." for who, about, s in zip(names[1:], names, said[1:], strict=False)]

    def work(planted: bool, slip: int) -> str:
        truth, lines = said[0], [f"(1) {sentences[0]}"]
        for k in range(1, len(names)):
            truth = (said[k] == truth) != (slip == k - 1)
            lines.append(f"({k + 1}) {sentences[k][:-1]}, so {names[k]} {tell[truth]}.")
        return _end("\n".join(lines), "Yes" if truth else "No")

    return Item(f"Question: {' '.join(sentences)} Does {names[-1]} tell the truth?", work, len(names) - 1)


# -------------------------------------------------------------------------------------------------------- object counting
_ANIMALS = _words("cat dog cow pig duck frog goat bear")
_FRUITS = _words("apple banana grape orange plum nectarine peach")
_INSTRUMENTS = _words("drum flute piano violin trumpet clarinet")
_OTHERS = _words("bed chair lamp table car stove oven")
_AMOUNTS = ("", "a", "two", "three", "four", "five")


def _counting(rng: Random, difficulty: float, category: str, pool: Sequence[str], others: Sequence[str], misread: str) -> Item:
    wanted = rng.sample(pool, _more(rng, 2, 4, difficulty))
    rest = rng.sample(others, _more(rng, 1, 3, difficulty))
    items = [(name, rng.choice((1, 1, 2, 3, 4)), name in wanted) for name in [*wanted, *rest]]
    rng.shuffle(items)
    words = [f"{'an' if n == 1 and name[0] in 'aeiou' else _AMOUNTS[n]} {_plural(name, n)}" for name, n, _ in items]

    def work(planted: bool, slip: int) -> str:
        took_all = planted and misread == "others"
        listed = [(name, n) for name, n, mine in items if mine or took_all]
        lines, amounts = [], []
        for k, (name, n) in enumerate(listed):
            amount = 1 if planted and misread == "plural" else n
            amount += (1 if n == 1 else -1) if k == slip else 0
            amounts.append(amount)
            lines.append(f"- {_plural(name, n)} ({amount})\n")
        total = sum(amounts) + (Random(f"{items}").choice((-1, 1)) if slip == len(listed) else 0)
        return _end(f"{''.join(lines)}{' + '.join(map(str, amounts))} = {total}.", total)

    return Item(f"I have {_listed(words)}. How many {category} do I have?", work, len(wanted) + 1)


def _plural(name: str, amount: int) -> str:
    return name if amount == 1 else name + ("es" if name.endswith("ch") else "s")


def _fruits(rng: Random, difficulty: float) -> Item:
    return _counting(rng, difficulty, "fruits", _FRUITS, [*_OTHERS, *_ANIMALS], "")


def _animals(rng: Random, difficulty: float) -> Item:
    return _counting(rng, difficulty, "animals", _ANIMALS, [*_OTHERS, *_INSTRUMENTS], "plural")


def _instruments(rng: Random, difficulty: float) -> Item:
    return _counting(rng, difficulty, "musical instruments", _INSTRUMENTS, [*_OTHERS, *_FRUITS], "others")


# ----------------------------------------------------------------------------------------------- tracking shuffled objects
_COLORS = _words("red blue green pink black white yellow purple")
_PARTNERS = _words("Lola Jamie Sam Karl Helga Patrick Melissa Izzi")


@dataclass(frozen=True)
class _Story:
    begins: str
    has: str
    event: str
    end: str


_BALLS = _Story(
    "are playing a game. At the start of the game, they are each holding a ball", "{} has a {} ball", "{} and {} swap balls",
    "As the game progresses, pairs of players trade balls. {} At the end of the game, {} has the",
)  # fmt: skip
_DANCERS = _Story(
    "are dancers at a square dance. At the start of a song, they each have a partner", "{} is dancing with {}",
    "{} and {} switch partners", "Throughout the song, the dancers often trade partners. {} At the end of the dance, {} is dancing with",
)  # fmt: skip


def _tracking(rng: Random, difficulty: float, story: _Story, things: Sequence[str], suffix: str) -> Item:
    people = ["Alice", "Bob", "Claire"]
    start = dict(zip(people, rng.sample(things, 3), strict=True))
    swaps = [tuple(rng.sample(people, 2)) for _ in range(_more(rng, 1, 3, difficulty))]
    swaps = [(a, b) for (a, b), before in zip(swaps, [(), *swaps], strict=False) if {a, b} != set(before)]
    asked = rng.choice(people)
    listed = list(start.values())

    def work(planted: bool, slip: int) -> str:
        now = dict(start)
        lines = [f"(0) {_state(now)}."]
        for k, (one, other) in enumerate(swaps):
            if k == slip:
                other = next(p for p in people if p not in (one, other))
            now[one], now[other] = now[other], now[other] if planted else now[one]
            lines.append(f"({k + 1}) {swaps[k][0]} and {swaps[k][1]} swap: {_state(now)}.")
        return _end("\n".join(lines), f"({chr(65 + listed.index(now[asked]))})")

    order = ["First", *["Then"] * (len(swaps) - 2), "Finally"] if len(swaps) > 1 else ["First"]
    events = " ".join(f"{word}, {story.event.format(*pair)}." for word, pair in zip(order, swaps, strict=True))
    begins = f"{_listed(people)} {story.begins}: {_listed([story.has.format(p, t) for p, t in start.items()])}.\n"
    text = begins + story.end.format(events, asked) + _options([t + suffix for t in listed])
    return Item(text, work, len(swaps))


def _state(now: Mapping[str, str]) -> str:
    return ", ".join(f"{who}: {what}" for who, what in now.items())


def _balls(rng: Random, difficulty: float) -> Item:
    return _tracking(rng, difficulty, _BALLS, _COLORS, " ball")


def _dancers(rng: Random, difficulty: float) -> Item:
    return _tracking(rng, difficulty, _DANCERS, _PARTNERS, "")


# ------------------------------------------------------------------------------------------------------ date understanding
_ASKED = {"tomorrow": 1, "yesterday": -1, "one week from today": 7, "one week ago from today": -7}


def _dates(rng: Random, difficulty: float, anchor: str, back: int) -> Item:
    given = date(rng.randint(1960, 2029), rng.randint(1, 12), 1) + timedelta(days=rng.randint(*((8, 19) if difficulty < 0.7 else (0, 27))))
    asked = rng.choice([a for a, n in _ASKED.items() if n + back != 0])
    right = given + timedelta(days=back + _ASKED[asked])
    near = {right + timedelta(days=d) for d in (-back, *rng.sample((-3, -2, 2, 3, 10), 2))} | {right}
    if len(near) < 4:
        near.add(right.replace(year=right.year + 1) if (right.month, right.day) != (2, 29) else right + timedelta(days=20))
    listed = [written(d) for d in sorted(near)]
    rng.shuffle(listed)

    def work(planted: bool, slip: int) -> str:
        off = Random(f"{given}{asked}").choice((-1, 1, 2))
        today = given + timedelta(days=(0 if planted else back) + (off if slip == 0 else 0))
        day = today + timedelta(days=_ASKED[asked] + (off if slip == 1 else 0))
        letter = chr(65 + listed.index(written(day))) if written(day) in listed else Random(f"{given}").choice("ABCD")
        link = "will be" if _ASKED[asked] > 0 else "was"
        return _end(f"Today is {written(today)}. {asked[0].upper() + asked[1:]} {link} {written(day)}.", f"({letter})")

    return Item(f"{anchor} {written(given)}. What is the date {asked} in MM/DD/YYYY?{_options(listed)}", work, 2)


def _today(rng: Random, difficulty: float) -> Item:
    return _dates(rng, difficulty, "Today is", 0)


def _yesterday(rng: Random, difficulty: float) -> Item:
    return _dates(rng, difficulty, "Yesterday was", 1)


# ------------------------------------------------------------------------------------------------------ logical deduction
_PREFACE = (
    "The following paragraphs each describe a set of three objects arranged in a fixed order. "
    "The statements are logically consistent within each paragraph. "
)
_GOLFERS = _words("Amy Eli Eve Ana Rob Joe Mel Dan")


def _ordering(rng: Random, names: Sequence[str], intro: str, say: Callable[[str, str], str], at: Sequence[str], full: str) -> Item:
    """say(before, after) words a clue; at: how the three places are called; full: how a name is written in a sentence."""
    order = list(names)
    rng.shuffle(order)
    ends = ("left", "right") if "leftmost" in at[0] else ("above", "below")
    if rng.random() < 0.5:
        pairs = [(order[0], order[1]), (order[1], order[2])]
        rng.shuffle(pairs)
        clues = [say(*pair) for pair in pairs]
        fixed = None
    else:
        fixed = rng.randrange(3)
        rest = [n for n in order if n != order[fixed]]
        pairs = [(rest[0], rest[1])]
        clues = [say(*pairs[0]), f"{full.format(order[fixed])} {at[fixed]}"]
    place = rng.randrange(3)

    def work(planted: bool, slip: int) -> str:
        flipped = [(b, a) if planted != (k == slip) else (a, b) for k, (a, b) in enumerate(pairs)]
        lines = [f'({k + 1}) "({ends[0]}) ? {a} ? {b} ? ({ends[1]})".' for k, (a, b) in enumerate(flipped)]
        if fixed is not None:
            spots = [order[fixed] if i == fixed else "?" for i in range(3)]
            lines.append(f'(2) "({ends[0]}) {" ".join(spots)} ({ends[1]})".')
        fits = [
            p for p in permutations(sorted(names))
            if all(p.index(a) < p.index(b) for a, b in flipped) and (fixed is None or p[fixed] == order[fixed])
        ]  # fmt: skip
        found = fits[0] if fits else tuple(order)
        lines.append(f'(3) "({ends[0]}) {" ".join(found)} ({ends[1]})".')
        return _end("\n".join(lines), f"({chr(65 + list(names).index(found[place]))})")

    listed = _options([f"{full.format(n)} {at[place]}" for n in names])
    return Item(f"{_PREFACE}{intro} {'. '.join(clues)}.{listed}", work, len(pairs))


def _books(rng: Random, difficulty: float) -> Item:
    names = rng.sample(_COLORS, 3)
    intro = f"On a shelf, there are three books: {_listed([f'a {n} book' for n in names])}."

    def say(one: str, other: str) -> str:
        return rng.choice((f"The {one} book is to the left of the {other} book", f"The {other} book is to the right of the {one} book"))

    return _ordering(rng, names, intro, say, ("is the leftmost", "is the second from the left", "is the rightmost"), "The {} book")


def _golfers(rng: Random, difficulty: float) -> Item:
    names = rng.sample(_GOLFERS, 3)
    intro = f"In a golf tournament, there were three golfers: {_listed(names)}."
    at = ("finished first", "finished second", "finished last")
    return _ordering(rng, names, intro, lambda one, other: f"{other} finished below {one}", at, "{}")


# ---------------------------------------------------------------------------------------------------------- Dyck languages
def _dyck_item(signs: Sequence[str]) -> Item:
    def work(planted: bool, slip: int) -> str:
        stack: list[str] = []
        lines = []
        for k, sign in enumerate(signs):
            if sign not in CLOSER:
                stack = stack if k == slip else stack[:-1]
            elif k != slip:
                stack = [*stack, sign]
            lines.append(f"{k + 1}: {sign} ; stack: {' '.join(stack) or 'empty'}\n")
        order = stack if planted else stack[::-1]
        return _end(f"{''.join(lines)}We pop out {' '.join(order)}.", " ".join(CLOSER[s] for s in order))

    return Item(
        f"Complete the rest of the sequence, making sure that the parentheses are closed properly. Input: {' '.join(signs)}",
        work,
        len(signs),
    )


def _pairs(rng: Random, difficulty: float) -> Item:
    signs = [rng.choice("([{<") for _ in range(_more(rng, 2, 4, difficulty))]
    start = rng.randint(1, len(signs))
    pair = rng.choice("([{<")
    return _dyck_item([*signs[:start], pair, CLOSER[pair], *signs[start:]])


# ---------------------------------------------------------------------------------------------------------------- the kinds
@dataclass(frozen=True)
class Kind:
    """planted: the misconception in words, empty where none was planted."""

    family: str
    variant: str
    make: Callable[[Random, float], Item]
    planted: str = ""


KINDS = (
    Kind("boolean_expressions", "and_or", _and_or),
    Kind("boolean_expressions", "not_and", _not_and, "`not` is taken to bind weaker than `and`"),
    Kind("navigate", "line", _line),
    Kind("web_of_lies", "chain", _lies),
    Kind("object_counting", "fruits", _fruits),
    Kind("object_counting", "animals", _animals, "several animals of a sort are counted as one"),
    Kind("object_counting", "instruments", _instruments, "everything is counted, not musical instruments alone"),
    Kind("tracking_shuffled_objects_three_objects", "balls", _balls),
    Kind("tracking_shuffled_objects_three_objects", "dancers", _dancers, "in a swap the first takes, and the second keeps what it had"),
    Kind("date_understanding", "today", _today),
    Kind("date_understanding", "yesterday", _yesterday, "the date given for yesterday is taken for today's"),
    Kind("logical_deduction_three_objects", "books", _books),
    Kind("logical_deduction_three_objects", "golfers", _golfers, "\"finished below\" is read as above"),
    Kind("dyck_languages", "pairs", _pairs, "brackets are closed in the order in which they were opened"),
)  # fmt: skip


def side(text: str) -> Split:
    """train or eval, by the text's words and signs alone."""
    plain = " ".join(re.findall(r"\w+|[^\w\s]", text.lower()))
    return "eval" if hashlib.sha256(plain.encode()).digest()[0] % EVAL_SHARE == 0 else "train"


def prompt_of(text: str) -> str:
    """lm-eval's own prompt for the subtasks."""
    return f"Q: {text}\nA: Let's think step by step.\n"


def _make(kind: Kind, split: Split, rng: Random, difficulty: float) -> Item:
    """An item of the split; where a misconception is planted, one whose answer it spoils."""
    for _ in range(1000):
        item = kind.make(rng, difficulty)
        if side(item.text) != split or (kind.planted and answer_of(item.work(True, -1)) == answer_of(item.work(False, -1))):
            continue
        if kind.family.startswith("logical") and read_ordering(item.text) is None:
            raise ValueError(f"an ordering that cannot be read back: {item.text}")
        return item
    raise ValueError(f"no item of {kind.family}/{kind.variant} on the {split} side at difficulty {difficulty}")


def _example(kind: Kind, item: Item, id_: str) -> Example:
    solution = item.work(False, -1)
    info = {"input": item.text, "family": kind.family, "variant": kind.variant, "planted": bool(kind.planted), "solution": solution}
    return Example(id_, prompt_of(item.text), answer_of(solution), info)


def examples(split: Split, seed: int, difficulty: float) -> Iterator[Example]:
    """Endless; each kind equally often."""
    rng = Random(f"bbh/{split}/{seed}/{difficulty}")
    number = 0
    while True:
        kind = rng.choice(KINDS)
        yield _example(kind, _make(kind, split, rng, difficulty), f"bbh/world/{split}/{seed}/{difficulty:g}/{number}")
        number += 1


def demonstrations(seed: int) -> Iterator[Demonstration]:
    """Endless, over the train side at the default difficulty: plain answers and, as often, revisions of a draft."""
    rng = Random(f"bbh/demonstrations/{seed}")
    number = 0
    while True:
        kind = rng.choice(KINDS)
        item = _make(kind, "train", rng, DIFFICULTY)
        example = _example(kind, item, f"bbh/world/demonstration/{seed}/{number}")
        number += 1
        if rng.random() < GUIDED:
            yield Demonstration(example, item.work(False, -1), _draft(kind, item, rng))
        elif kind.planted:
            yield Demonstration(example, item.work(True, -1))
        else:
            yield Demonstration(example, item.work(False, rng.randrange(item.steps) if rng.random() < SLIP else -1))


def _draft(kind: Kind, item: Item, rng: Random) -> str:
    """What a policy might have written: its misconception, a slip, both, or a form that was not asked for."""
    chance = rng.random()
    planted = bool(kind.planted) and chance < 0.7
    slip = rng.randrange(item.steps) if chance > 0.6 else -1
    text = item.work(planted, slip)
    if (not planted and slip < 0) or rng.random() < 0.1:
        steps, _, answer = text.rpartition("So the answer is ")
        text = rng.choice(
            (steps.strip(), f"{steps}Answer {answer}", f"{steps}So the answer is", text[: rng.randint(len(text) // 2, len(text) - 2)])
        )
    return text


DIFFICULTY = 0.2
WORLD = World(
    examples=examples,
    demonstrations=demonstrations,
    planted=(
        f"in {sum(bool(k.planted) for k in KINDS)} of {len(KINDS)} kinds of item the plain demonstrations always make one wrong move: "
        + "; ".join(f"{k.family}/{k.variant}: {k.planted}" for k in KINDS if k.planted)
    ),
    difficulty=DIFFICULTY,
    max_new_tokens=104,
)
__all__ = ["KINDS", "WORLD", "answer_of", "prompt_of", "side"]
