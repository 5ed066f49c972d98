"""What a function of the synthetic world is drawn from: recipes, their choices and their inputs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

Inputs = Callable[[Random], tuple[Any, ...]]


@dataclass(frozen=True)
class Recipe:
    """One function, before its examples and tests are drawn.

    params: (name, type) pairs. body, wrong: lines without the function's indentation; `wrong` is empty in sound
    families.
    inputs: draws one tuple of arguments.
    moves: of a rule, all bodies that it might stand for; they agree on the empty list.
    facts: what else is noted of an example.
    """

    name: str
    params: tuple[tuple[str, str], ...]
    returns: str
    text: str
    body: str
    inputs: Inputs
    wrong: str = ""
    moves: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


class Draw:
    """The choices of one recipe. `twist` is true for a share of half the difficulty: an extra clause to be read and
    obeyed."""

    def __init__(self, rng: Random, difficulty: float):
        self.rng = rng
        self.twist = rng.random() < difficulty / 2
        self.top = 9 + round(20 * difficulty)

    def pick(self, *choices: Any) -> Any:
        return self.rng.choice(choices)

    def flip(self) -> bool:
        return self.rng.random() < 0.5

    def pick_constant(self) -> int:
        return self.rng.randint(2, 5)

    def name_numbers(self) -> str:
        return str(self.pick("numbers", "values", "nums", "items"))

    def name_words(self) -> str:
        return str(self.pick("words", "names", "strings"))

    def name_text(self) -> str:
        return str(self.pick("text", "word", "string"))


Family = Callable[[Draw], Recipe]


WORDS = re.findall(r"\w+", "fig pear plum kiwi apple mango olive grape bean corn rice level noon melon egg leek")


def draw_ints(rng: Random, top: int, low: int = -3, least: int = 3) -> list[int]:
    values = [rng.randint(low, top) for _ in range(rng.randint(least, 5))]
    if len(values) > 1 and rng.random() < 0.3:
        values[-1] = values[0]
    return values


def give_ints(top: int, low: int = -3, least: int = 3) -> Inputs:
    return lambda rng: (draw_ints(rng, top, low, least),)


def give_ints_and_limit(top: int) -> Inputs:
    """A list and a limit that is often one of its elements, where `>` and `>=` differ."""

    def draw(rng: Random) -> tuple[Any, ...]:
        values = draw_ints(rng, top)
        return values, rng.choice(values) if rng.random() < 0.6 else rng.randint(0, top)

    return draw


def give_ints_and_bounds(top: int) -> Inputs:
    def draw(rng: Random) -> tuple[Any, ...]:
        values = draw_ints(rng, top)
        low, high = sorted(rng.choice(values) if rng.random() < 0.5 else rng.randint(0, top) for _ in range(2))
        return values, low, high

    return draw


def give_ints_and_count(top: int) -> Inputs:
    def draw(rng: Random) -> tuple[Any, ...]:
        values = draw_ints(rng, top)
        return values, rng.randint(1, len(values))

    return draw


def draw_words(rng: Random) -> list[str]:
    chosen = rng.sample(WORDS, rng.randint(2, 4))
    if rng.random() < 0.4:
        chosen.append(rng.choice(chosen))
    return chosen


def give_words(rng: Random) -> tuple[Any, ...]:
    return (draw_words(rng),)


def give_words_and_letter(position: int | None) -> Inputs:
    """position: 0 or -1 draws the letter from a word's first or last place, None from anywhere."""

    def draw(rng: Random) -> tuple[Any, ...]:
        chosen = draw_words(rng)
        word = rng.choice(chosen)
        return chosen, rng.choice(word) if position is None or rng.random() < 0.3 else word[position]

    return draw


def change_case(rng: Random, word: str) -> str:
    return "".join(c.upper() if rng.random() < 0.4 else c for c in word)


def give_text_and_letter(rng: Random) -> tuple[Any, ...]:
    word = rng.choice(WORDS)
    return change_case(rng, word + rng.choice(WORDS)), rng.choice(word)


def give_cased_words(rng: Random) -> tuple[Any, ...]:
    chosen = draw_words(rng)
    return ([change_case(rng, w) if rng.random() < 0.4 else w for w in [*chosen, rng.choice(chosen)]],)


def give_text_with_digits(rng: Random) -> tuple[Any, ...]:
    return ("".join(rng.choice(WORDS)[:2] + rng.choice(("", "7", "42", " ")) for _ in range(3)),)


def give_mirrored(of_list: bool) -> Inputs:
    def draw(rng: Random) -> tuple[Any, ...]:
        half = [rng.randint(1, 5) for _ in range(2)] if of_list else list(rng.choice(WORDS)[:2])
        whole = half + half[::-1] if rng.random() < 0.5 else [*half, rng.choice(half), half[0]]
        return (whole,) if of_list else ("".join(map(str, whole)),)

    return draw


def give_two_ints(top: int) -> Inputs:
    return lambda rng: (rng.randint(0, top), rng.randint(0, top))


def give_range_ends(rng: Random) -> tuple[Any, ...]:
    start = rng.randint(1, 6)
    return start, start + rng.randint(1, 6)


def give_two_lists(top: int) -> Inputs:
    def draw(rng: Random) -> tuple[Any, ...]:
        size = rng.randint(2, 4)
        return [rng.randint(1, top) for _ in range(size)], [rng.randint(1, top) for _ in range(size)]

    return draw
