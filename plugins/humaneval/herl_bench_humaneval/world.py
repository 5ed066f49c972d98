"""The synthetic world: small functions in HumanEval's own format, with a planted misconception in half of the families.

An example has what a row of HumanEval has: a prompt (signature with type hints, a docstring with one or two `>>>`
examples), a canonical body, and a hidden `check(candidate)` with five to eight assertions. A family draws names,
wording, constants *and* what the function must do (at least or at most, even or odd, first or last), so the docstring
has to be read.

In the planted families every plain demonstration makes the same plausible wrong move, whatever the variant. The
expected values are computed by running the canonical body, which is our own text, in this process; the hidden tests are
drawn so that they tell the canonical body from the wrong one and from every small mutation of it that a pool of inputs
can tell apart.

Left out: functions of more than one loop, classes, floats other than averages, anything that needs an import beyond
`typing`.
"""

from __future__ import annotations

import ast
import hashlib
import re
import textwrap
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import Any

from herl_bench import Demonstration, Example, World

Inputs = Callable[[Random], tuple[Any, ...]]

EVAL_SHARE = 5
"""One specification in five belongs to the eval split."""
NOISE = 0.08
"""The share of plain demonstrations of sound families that carry a random slip."""


@dataclass(frozen=True)
class Recipe:
    """One function, before its examples and tests are drawn.

    params: (name, type) pairs. body, wrong: lines without the function's indentation; `wrong` is empty in sound
    families.
    inputs: draws one tuple of arguments.
    """

    name: str
    params: tuple[tuple[str, str], ...]
    returns: str
    text: str
    body: str
    inputs: Inputs
    wrong: str = ""


class _Draw:
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


# --------------------------------------------------------------------------------------------------------------- inputs
_WORDS = re.findall(r"\w+", "fig pear plum kiwi apple mango olive grape bean corn rice level noon melon egg leek")


def _draw_ints(rng: Random, top: int, low: int = -3, least: int = 3) -> list[int]:
    values = [rng.randint(low, top) for _ in range(rng.randint(least, 5))]
    if len(values) > 1 and rng.random() < 0.3:
        values[-1] = values[0]
    return values


def _give_ints(top: int, low: int = -3, least: int = 3) -> Inputs:
    return lambda rng: (_draw_ints(rng, top, low, least),)


def _give_ints_and_limit(top: int) -> Inputs:
    """A list and a limit that is often one of its elements, where `>` and `>=` differ."""

    def draw(rng: Random) -> tuple[Any, ...]:
        values = _draw_ints(rng, top)
        return values, rng.choice(values) if rng.random() < 0.6 else rng.randint(0, top)

    return draw


def _give_ints_and_bounds(top: int) -> Inputs:
    def draw(rng: Random) -> tuple[Any, ...]:
        values = _draw_ints(rng, top)
        low, high = sorted(rng.choice(values) if rng.random() < 0.5 else rng.randint(0, top) for _ in range(2))
        return values, low, high

    return draw


def _give_ints_and_count(top: int) -> Inputs:
    def draw(rng: Random) -> tuple[Any, ...]:
        values = _draw_ints(rng, top)
        return values, rng.randint(1, len(values))

    return draw


def _draw_words(rng: Random) -> list[str]:
    chosen = rng.sample(_WORDS, rng.randint(2, 4))
    if rng.random() < 0.4:
        chosen.append(rng.choice(chosen))
    return chosen


def _give_words(rng: Random) -> tuple[Any, ...]:
    return (_draw_words(rng),)


def _give_words_and_letter(position: int | None) -> Inputs:
    """position: 0 or -1 draws the letter from a word's first or last place, None from anywhere."""

    def draw(rng: Random) -> tuple[Any, ...]:
        chosen = _draw_words(rng)
        word = rng.choice(chosen)
        return chosen, rng.choice(word) if position is None or rng.random() < 0.3 else word[position]

    return draw


def _change_case(rng: Random, word: str) -> str:
    return "".join(c.upper() if rng.random() < 0.4 else c for c in word)


def _give_text_and_letter(rng: Random) -> tuple[Any, ...]:
    word = rng.choice(_WORDS)
    return _change_case(rng, word + rng.choice(_WORDS)), rng.choice(word)


def _give_cased_words(rng: Random) -> tuple[Any, ...]:
    chosen = _draw_words(rng)
    return ([_change_case(rng, w) if rng.random() < 0.4 else w for w in [*chosen, rng.choice(chosen)]],)


def _give_text_with_digits(rng: Random) -> tuple[Any, ...]:
    return ("".join(rng.choice(_WORDS)[:2] + rng.choice(("", "7", "42", " ")) for _ in range(3)),)


def _give_mirrored(of_list: bool) -> Inputs:
    def draw(rng: Random) -> tuple[Any, ...]:
        half = [rng.randint(1, 5) for _ in range(2)] if of_list else list(rng.choice(_WORDS)[:2])
        whole = half + half[::-1] if rng.random() < 0.5 else [*half, rng.choice(half), half[0]]
        return (whole,) if of_list else ("".join(map(str, whole)),)

    return draw


def _give_two_ints(top: int) -> Inputs:
    return lambda rng: (rng.randint(0, top), rng.randint(0, top))


def _give_range_ends(rng: Random) -> tuple[Any, ...]:
    start = rng.randint(1, 6)
    return start, start + rng.randint(1, 6)


def _give_two_lists(top: int) -> Inputs:
    def draw(rng: Random) -> tuple[Any, ...]:
        size = rng.randint(2, 4)
        return [rng.randint(1, top) for _ in range(size)], [rng.randint(1, top) for _ in range(size)]

    return draw


# ----------------------------------------------------------------------------------------------------- planted families
def _make_count_at_least(d: _Draw) -> Recipe:
    xs, limit, low = d.name_numbers(), d.pick("limit", "bound"), d.flip()
    op, word = (">=", "at least") if low else ("<=", "at most")
    text = d.pick(f"Count the {xs} that are {word} {limit}.", f"Return how many {xs} are {word} {limit}.")
    body = f"return sum(1 for x in {xs} if x {op} {limit})"
    if d.twist:
        text, body = text + " Ignore zeros.", body.replace("if x", "if x != 0 and x")
    name = d.pick("count", "how_many", "number") + ("_at_least" if low else "_at_most")
    return Recipe(
        name,
        ((xs, "List[int]"), (limit, "int")),
        "int",
        text,
        body,
        _give_ints_and_limit(d.top),
        body.replace(op, op[0]),
    )


def _make_between(d: _Draw) -> Recipe:
    xs, keep = d.name_numbers(), d.flip()
    text = d.pick("from low to high, both included.", "between low and high, ends included.")
    text = (d.pick("Keep", "Return") if keep else d.pick("Add", "Sum")) + f" the {xs} {text}"
    body = (
        f"return [x for x in {xs} if low <= x <= high]" if keep else f"return sum(x for x in {xs} if low <= x <= high)"
    )
    name = (d.pick("keep", "select") if keep else d.pick("sum", "add")) + d.pick("_between", "_in_range")
    params = ((xs, "List[int]"), ("low", "int"), ("high", "int"))
    return Recipe(
        name, params, "List[int]" if keep else "int", text, body, _give_ints_and_bounds(d.top), body.replace("<=", "<")
    )


def _make_inclusive_range(d: _Draw) -> Recipe:
    form, word, end = d.pick("", " * x"), d.pick("from", "between"), d.pick("stop", "last", "end")
    what = "squares of the integers" if form else "integers"
    link = "to" if word == "from" else "and"
    collect = d.flip()
    text = d.pick("List", "Return") if collect else d.pick("Add up", "Sum")
    text += f" the {what} {word} start {link} {end}, {end} included."
    name = d.pick("list_", "collect_") if collect else d.pick("sum_", "total_")
    name += d.pick("squares", "square_range") if form else d.pick("integers", "range")
    body = (
        f"[x{form} for x in range(start, {end} + 1)]" if collect else f"sum(x{form} for x in range(start, {end} + 1))"
    )
    returns = "List[int]" if collect else "int"
    params = (("start", "int"), (end, "int"))
    return Recipe(name, params, returns, text, f"return {body}", _give_range_ends, f"return {body.replace(' + 1', '')}")


def _make_nearest_beyond(d: _Draw) -> Recipe:
    xs, limit, above = d.name_numbers(), d.pick("limit", "bound"), d.flip()
    best, op = ("min", ">") if above else ("max", "<")
    superlative = d.pick("smallest", "least") if above else d.pick("largest", "greatest")
    text = (
        f"{d.pick('Return', 'Find')} the {superlative} of the {xs} {'above' if above else 'below'} {limit}, or {limit}"
        " if there is none."
    )
    body = f"return {best}([x for x in {xs} if x {op} {limit}], default={limit})"
    wrong = body.replace(best, "max" if above else "min")
    name = d.pick("next", "nearest", "closest") + ("_above" if above else "_below")
    return Recipe(name, ((xs, "List[int]"), (limit, "int")), "int", text, body, _give_ints_and_limit(d.top), wrong)


def _make_words_without(d: _Draw) -> Recipe:
    ws, kind = d.name_words(), d.pick("contain", "start with", "end with")
    test = {
        "contain": "letter not in w",
        "start with": "not w.startswith(letter)",
        "end with": "not w.endswith(letter)",
    }[kind]
    text = f"{d.pick('Keep', 'Return', 'List')} the {ws} that do not {kind} letter."
    body = f"return [w for w in {ws} if {test}]"
    if d.twist:
        text, body = text + " Ignore words of 3 letters.", body.replace("if ", "if len(w) != 3 and ")
    name = (
        d.pick("drop", "without", "exclude")
        + {"contain": "_letter", "start with": "_prefix", "end with": "_suffix"}[kind]
    )
    inputs = _give_words_and_letter({"contain": None, "start with": 0, "end with": -1}[kind])
    return Recipe(
        name, ((ws, "List[str]"), ("letter", "str")), "List[str]", text, body, inputs, body.replace("not ", "")
    )


def _make_descending(d: _Draw) -> Recipe:
    by_length = d.flip()
    xs = d.name_words() if by_length else d.name_numbers()
    order = (
        d.pick("longest first", "by decreasing length") if by_length else d.pick("largest first", "in decreasing order")
    )
    body = f"return sorted({xs}{', key=len' if by_length else ''}, reverse=True)"
    kind = "List[str]" if by_length else "List[int]"
    inputs = _give_words if by_length else _give_ints(d.top)
    name = d.pick("sort", "order", "arrange") + d.pick("_down", f"_{xs}")
    text = f"{d.pick('Sort', 'Order', 'Arrange')} the {xs} {order}."
    return Recipe(name, ((xs, kind),), kind, text, body, inputs, body.replace(", reverse=True", ""))


def _make_last_items(d: _Draw) -> Recipe:
    xs, drop = d.name_numbers(), d.flip()
    text = (
        f"{d.pick('Return', 'Give')} all but the last n {xs}."
        if drop
        else f"{d.pick('Return', 'Keep')} the last n {xs}."
    )
    body, wrong = (f"return {xs}[:-n]", f"return {xs}[n:]") if drop else (f"return {xs}[-n:]", f"return {xs}[:n]")
    name = d.pick("drop_last", "without_last", "cut_end") if drop else d.pick("last_items", "take_last", "tail")
    return Recipe(name, ((xs, "List[int]"), ("n", "int")), "List[int]", text, body, _give_ints_and_count(d.top), wrong)


def _make_every_other(d: _Draw) -> Recipe:
    xs, k, second = d.name_numbers(), d.rng.randint(2, 3), d.flip()
    every = {2: "every second", 3: "every third"}[k]
    first, word = (1, "index 1") if second else (2, "index 2")
    text = f"{d.pick('Return', 'Keep', 'Take')} {every} of the {xs}, from {word} on."
    name = d.pick("every", "skip", "pick") + d.pick("_second" if k == 2 else "_third", f"_{xs}")
    body = f"return {xs}[{first}::{k}]"
    inputs: Inputs = lambda rng: ([rng.randint(0, d.top) for _ in range(rng.randint(4, 6))],)  # noqa: E731
    return Recipe(name, ((xs, "List[int]"),), "List[int]", text, body, inputs, body.replace(f"[{first}:", "[:"))


def _make_average(d: _Draw) -> Recipe:
    xs, k = d.name_numbers(), d.pick_constant()
    share = d.flip()
    text = f"{d.pick('Return', 'Compute', 'Find')} "
    text += (
        f"the sum of the {xs} divided by {k}, as a float."
        if share
        else f"the {d.pick('average', 'mean')} of the {xs}, as a float."
    )
    body = f"return sum({xs}) / {k if share else f'len({xs})'}"
    name = (
        d.pick("share", "part", "fraction") + d.pick("", f"_of_{xs}")
        if share
        else d.pick("average", "mean") + d.pick("", f"_of_{xs}")
    )
    return Recipe(name, ((xs, "List[int]"),), "float", text, body, _give_ints(d.top, 0), body.replace("/", "//"))


def _make_distinct(d: _Draw) -> Recipe:
    of_words = d.flip()
    xs = d.name_words() if of_words else d.name_numbers()
    word = d.pick("different", "distinct", "unique")
    text = d.pick(f"Count the {word} {xs}.", f"Return how many {word} {xs} there are.")
    body = f"return len(set({xs}))"
    name = d.pick("count", "number_of") + f"_{d.pick('different', 'distinct', 'unique')}"
    kind, inputs = ("List[str]", _give_words) if of_words else ("List[int]", _give_ints(6, 1))
    return Recipe(name, ((xs, kind),), "int", text, body, inputs, f"return len({xs})")


def _make_all_of(d: _Draw) -> Recipe:
    xs, k = d.name_numbers(), d.pick_constant()
    text, test, name = d.pick(
        (f"divisible by {k}", f"x % {k} == 0", "divisible"),
        (f"greater than {k}", f"x > {k}", "greater"),
        (f"less than {k}", f"x < {k}", "less"),
        ("even", "x % 2 == 0", "even"),
    )
    text = d.pick(
        f"Check that all {xs} are {text}.", f"Are all {xs} {text}?", f"Return True if every one of the {xs} is {text}."
    )
    body = f"return all({test} for x in {xs})"

    def inputs(rng: Random) -> tuple[Any, ...]:
        values = _draw_ints(rng, 9, 0, 2)
        right = {
            "divisible": lambda v: v * k,
            "greater": lambda v: v + k + 1,
            "less": lambda v: -v,
            "even": lambda v: v * 2,
        }[name]
        return ([right(v) if rng.random() < 0.75 else v for v in values],)

    name_ = d.pick("all", "every", "only") + f"_{name}"
    return Recipe(name_, ((xs, "List[int]"),), "bool", text, body, inputs, body.replace("all", "any"))


def _make_ignore_case(d: _Draw) -> Recipe:
    if d.flip():
        t = d.name_text()
        text = f"{d.pick('Count', 'Return')} how often letter occurs in {t}, ignoring case."
        body = f"return {t}.lower().count(letter)"
        name = d.pick("count_letter", "letter_count", "occurrences")
        return Recipe(
            name,
            ((t, "str"), ("letter", "str")),
            "int",
            text,
            body,
            _give_text_and_letter,
            body.replace(".lower()", ""),
        )
    ws = d.name_words()
    text = f"{d.pick('Sort', 'Order')} the {ws}, ignoring case."
    body = f"return sorted({ws}, key=str.lower)"
    name = d.pick("sort", "order", "arrange") + d.pick("_ignoring_case", "_any_case")
    return Recipe(
        name, ((ws, "List[str]"),), "List[str]", text, body, _give_cased_words, body.replace(", key=str.lower", "")
    )


def _make_powers(d: _Draw) -> Recipe:
    xs, k = d.name_numbers(), d.pick(2, 3)
    noun = {2: "squares", 3: "cubes"}[k]
    name = d.pick("sum", "total", "add") + f"_{noun}"
    text = f"{d.pick('Return the sum of', 'Add up', 'Compute the total of')} the {noun} of the {xs}."
    body = f"total = 0\nfor x in {xs}:\n    total += x ** {k}\nreturn total"
    if d.twist:
        text, body = text + " Skip negatives.", body.replace("    total", "    if x >= 0:\n        total")
    return Recipe(name, ((xs, "List[int]"),), "int", text, body, _give_ints(d.top), body.replace("**", "*"))


def _make_absolute(d: _Draw) -> Recipe:
    if d.flip():
        a, b = d.pick(("a", "b"), ("x", "y"), ("first", "second"))
        text = (
            f"{d.pick('Return', 'Compute', 'Find')} the {d.pick('distance', 'absolute difference')} between {a} and"
            f" {b}."
        )
        body = f"return abs({a} - {b})"
        return Recipe(
            d.pick("distance", "gap", "difference"),
            ((a, "int"), (b, "int")),
            "int",
            text,
            body,
            _give_two_ints(d.top),
            f"return {a} - {b}",
        )
    xs = d.name_numbers()
    text = (
        f"{d.pick('Return', 'Compute', 'Find')} the sum of the {d.pick('absolute values', 'magnitudes')} of the {xs}."
    )
    name = d.pick("sum", "total", "add") + d.pick("_absolute", "_magnitudes")
    return Recipe(
        name,
        ((xs, "List[int]"),),
        "int",
        text,
        f"return sum(abs(x) for x in {xs})",
        _give_ints(d.top, -9),
        f"return sum(x for x in {xs})",
    )


# ------------------------------------------------------------------------------------------------------- sound families
def _make_count_beyond(d: _Draw) -> Recipe:
    xs, limit, above = d.name_numbers(), d.pick("limit", "bound"), d.flip()
    op, word = (">", d.pick("greater than", "above")) if above else ("<", d.pick("less than", "below"))
    text = d.pick(f"Count the {xs} that are {word} {limit}.", f"Return how many {xs} are {word} {limit}.")
    body = f"return sum(1 for x in {xs} if x {op} {limit})"
    if d.twist:
        text, body = text + " Ignore zeros.", body.replace("if x", "if x != 0 and x")
    name = d.pick("count", "how_many", "number") + ("_above" if above else "_below")
    return Recipe(name, ((xs, "List[int]"), (limit, "int")), "int", text, body, _give_ints_and_limit(d.top))


def _make_parity(d: _Draw) -> Recipe:
    xs, even = d.name_numbers(), d.flip()
    word = "even" if even else "odd"
    test = "x % 2 == 0" if even else "x % 2 == 1"
    verb, body, returns = d.pick(
        ("Keep", f"[x for x in {xs} if {test}]", "List[int]"),
        ("Count", f"sum(1 for x in {xs} if {test})", "int"),
        ("Sum", f"sum(x for x in {xs} if {test})", "int"),
    )
    if d.twist:
        body = body.replace("if ", "if x > 0 and ")
    text = f"{verb} the {word} {xs}." + (" Skip negatives and zero." if d.twist else "")
    return Recipe(
        f"{verb.lower()}_{word}" + d.pick("", "s", f"_{xs}"),
        ((xs, "List[int]"),),
        returns,
        text,
        f"return {body}",
        _give_ints(d.top),
    )


def _make_multiples(d: _Draw) -> Recipe:
    xs, k, keep = d.name_numbers(), d.rng.randint(2, 7), d.flip()
    text = f"{'Keep' if keep else 'Add up'} the {xs} that are {d.pick(f'multiples of {k}', f'divisible by {k}')}."
    body = f"return [x for x in {xs} if x % {k} == 0]" if keep else f"return sum(x for x in {xs} if x % {k} == 0)"
    name = ("keep" if keep else "sum") + d.pick("_multiples", "_divisible", f"_by_{k}")
    inputs: Inputs = lambda rng: ([v * k if rng.random() < 0.4 else v for v in _draw_ints(rng, d.top, 0)],)  # noqa: E731
    return Recipe(name, ((xs, "List[int]"),), "List[int]" if keep else "int", text, body, inputs)


def _make_join(d: _Draw) -> Recipe:
    ws, (mark, noun) = d.name_words(), d.pick(("-", "dashes"), ("_", "underscores"), (" ", "spaces"), (",", "commas"))
    text, call, word = d.pick(
        ("", ws, "join"),
        (" in upper case", f"w.upper() for w in {ws}", "join_upper"),
        (" reversed", f"w[::-1] for w in {ws}", "join_reversed"),
    )
    name = word + d.pick("", f"_{ws}", f"_{noun}")
    return Recipe(
        name,
        ((ws, "List[str]"),),
        "str",
        f"Join the {ws}{text} with {noun}.",
        f'return "{mark}".join({call})',
        _give_words,
    )


def _make_reverse(d: _Draw) -> Recipe:
    if d.flip():
        t, case = d.name_text(), d.pick("", ".upper()", ".lower()", ".title()")
        extra = {"": "", ".upper()": " in upper case", ".lower()": " in lower case", ".title()": " in title case"}[case]
        name = d.pick("reverse", "backwards", "mirror") + d.pick("", f"_{t}")
        inputs: Inputs = lambda rng: (_change_case(rng, rng.choice(_WORDS) + rng.choice(("", " pie"))),)  # noqa: E731
        return Recipe(
            name,
            ((t, "str"),),
            "str",
            f"{d.pick('Return', 'Give')} {t} reversed{extra}.",
            f"return {t}[::-1]{case}",
            inputs,
        )
    ws = d.name_words()
    name = d.pick("reverse", "backwards", "mirror") + d.pick("_each", f"_{ws}")
    return Recipe(
        name,
        ((ws, "List[str]"),),
        "List[str]",
        f"{d.pick('Return', 'Give')} each of the {ws} reversed.",
        f"return [w[::-1] for w in {ws}]",
        _give_words,
    )


def _make_scale(d: _Draw) -> Recipe:
    xs, k = d.name_numbers(), d.rng.randint(2, 9)
    text, op, name = d.pick(
        (f"Multiply each of the {xs} by {k}.", "*", "scale"),
        (f"Add {k} to each of the {xs}.", "+", "shift"),
        (f"Subtract {k} from each of the {xs}.", "-", "lower"),
    )
    test = ""
    if d.twist:
        text, test = text + " Skip negatives.", " if x >= 0"
    return Recipe(
        name + d.pick("", "_all", f"_{xs}"),
        ((xs, "List[int]"),),
        "List[int]",
        text,
        f"return [x {op} {k} for x in {xs}{test}]",
        _give_ints(d.top),
    )


def _make_palindrome(d: _Draw) -> Recipe:
    of_list, negated = d.flip(), d.flip()
    t = d.name_numbers() if of_list else d.name_text()
    same = d.pick("reads the same backwards", "is a palindrome") if not negated else "differs from its reverse"
    name = d.pick("is", "check") + ("_palindrome" if not negated else "_different") + d.pick("", f"_{t}")
    body = f"return {t} {'!=' if negated else '=='} {t}[::-1]"
    return Recipe(
        name,
        ((t, "List[int]" if of_list else "str"),),
        "bool",
        f"{d.pick('Check', 'Return')} whether {t} {same}.",
        body,
        _give_mirrored(of_list),
    )


def _make_extreme_word(d: _Draw) -> Recipe:
    ws, (word, call) = d.name_words(), d.pick(("longest", "max"), ("shortest", "min"))
    length = d.flip()
    what = f"the length of the {word} of the {ws}" if length else f"the {word} of the {ws}"
    body = f"return {call}(len(w) for w in {ws})" if length else f"return {call}({ws}, key=len)"
    name = word + (d.pick("_length", "_size") if length else d.pick("", "_word", "_one"))
    return Recipe(
        name, ((ws, "List[str]"),), "int" if length else "str", f"{d.pick('Return', 'Find')} {what}.", body, _give_words
    )


def _make_replace(d: _Draw) -> Recipe:
    t = d.name_text()
    old, new = d.pick(
        *[((" ", "spaces"), b) for b in (("_", "underscores"), ("-", "dashes"))],
        *[((a, f"each {a}"), (b, b)) for a in "aeo" for b in "xyz"],
    )
    text = f"{d.pick(f'Replace {old[1]} in {t} by', f'Change {old[1]} in {t} to')} {new[1]}."
    inputs: Inputs = lambda rng: (" ".join(rng.sample(_WORDS, 2)),)  # noqa: E731
    name = d.pick("replace", "change", "swap") + d.pick("", f"_{t}")
    return Recipe(name, ((t, "str"),), "str", text, f'return {t}.replace("{old[0]}", "{new[0]}")', inputs)


def _make_words_with(d: _Draw) -> Recipe:
    ws, kind = d.name_words(), d.pick("contain", "start with", "end with")
    test = {"contain": "letter in w", "start with": "w.startswith(letter)", "end with": "w.endswith(letter)"}[kind]
    text = f"{d.pick('Keep', 'Return', 'List')} the {ws} that {kind} letter."
    body = f"return [w for w in {ws} if {test}]"
    if d.twist:
        text, body = text + " Ignore words of 3 letters.", body.replace("if ", "if len(w) != 3 and ")
    name = (
        d.pick("keep", "with", "filter") + {"contain": "_letter", "start with": "_prefix", "end with": "_suffix"}[kind]
    )
    return Recipe(
        name,
        ((ws, "List[str]"), ("letter", "str")),
        "List[str]",
        text,
        body,
        _give_words_and_letter({"contain": None, "start with": 0, "end with": -1}[kind]),
    )


def _make_product(d: _Draw) -> Recipe:
    xs, add = d.name_numbers(), d.flip()
    noun, start, op = ("sum", 0, "+") if add else ("product", 1, "*")
    test, extra = d.pick(("x != 0", "not zero"), ("x > 0", "positive"), ("x < 0", "negative"))
    text = f"{d.pick('Return', 'Compute')} the {noun} of the {xs} that are {extra}."
    body = f"result = {start}\nfor x in {xs}:\n    if {test}:\n        result {op}= x\nreturn result"
    return Recipe(
        d.pick(noun, f"{noun}_of_{xs}", f"get_{noun}"), ((xs, "List[int]"),), "int", text, body, _give_ints(7)
    )


def _make_clamp(d: _Draw) -> Recipe:
    xs, limit = d.name_numbers(), d.pick("limit", "bound")
    cap = d.flip()
    those = f"all {xs} {'above' if cap else 'below'} {limit}"
    text = d.pick(f"Replace {those} by {limit}.", f"Change {those} to {limit}.")
    name = d.pick("cap", "clip_top") if cap else d.pick("raise_up", "clip_bottom")
    body = f"return [{'min' if cap else 'max'}(x, {limit}) for x in {xs}]"
    return Recipe(
        name + d.pick("", f"_{xs}"),
        ((xs, "List[int]"), (limit, "int")),
        "List[int]",
        text,
        body,
        _give_ints_and_limit(d.top),
    )


def _make_first_items(d: _Draw) -> Recipe:
    xs, drop = d.name_numbers(), d.flip()
    text = (
        f"{d.pick('Return', 'Give')} all but the first n {xs}."
        if drop
        else f"{d.pick('Return', 'Keep')} the first n {xs}."
    )
    name = d.pick("drop_first", "without_first", "cut_start") if drop else d.pick("first_items", "take_first", "head")
    return Recipe(
        name,
        ((xs, "List[int]"), ("n", "int")),
        "List[int]",
        text,
        f"return {xs}[n:]" if drop else f"return {xs}[:n]",
        _give_ints_and_count(d.top),
    )


def _make_pairwise(d: _Draw) -> Recipe:
    a, b = d.pick(("xs", "ys"), ("left", "right"), ("first", "second"))
    noun, term, name = d.pick(
        ("sums", "x + y", "sum"),
        ("differences", "x - y", "difference"),
        ("products", "x * y", "product"),
        ("larger ones", "max(x, y)", "larger"),
        ("smaller ones", "min(x, y)", "smaller"),
    )
    text = f"{d.pick('Return', 'List')} the {noun} of the pairs from {a} and {b}."
    name = d.pick("pair", "zip", "each") + f"_{name}"
    return Recipe(
        name,
        ((a, "List[int]"), (b, "List[int]")),
        "List[int]",
        text,
        f"return [{term} for x, y in zip({a}, {b})]",
        _give_two_lists(d.top),
    )


def _make_char_kinds(d: _Draw) -> Recipe:
    t, (kind, test) = (
        d.name_text(),
        d.pick(("vowels", 'c in "aeiou"'), ("digits", "c.isdigit()"), ("letters", "c.isalpha()")),
    )
    keep = d.flip()
    text = f"{d.pick('Keep', 'Return') if keep else d.pick('Count', 'Count all')} the {kind} {d.pick('in', 'of')} {t}."
    body = f'return "".join(c for c in {t} if {test})' if keep else f"return sum(1 for c in {t} if {test})"
    name = (d.pick("keep", "only") if keep else d.pick("count", "number_of")) + f"_{kind}"
    return Recipe(name, ((t, "str"),), "str" if keep else "int", text, body, _give_text_with_digits)


PLANTED: dict[str, Callable[[_Draw], Recipe]] = {
    "count_at_least": _make_count_at_least,
    "between": _make_between,
    "inclusive_range": _make_inclusive_range,
    "nearest_beyond": _make_nearest_beyond,
    "words_without": _make_words_without,
    "descending": _make_descending,
    "last_items": _make_last_items,
    "every_other": _make_every_other,
    "average": _make_average,
    "distinct": _make_distinct,
    "all_of": _make_all_of,
    "ignore_case": _make_ignore_case,
    "powers": _make_powers,
    "absolute": _make_absolute,
}
SOUND: dict[str, Callable[[_Draw], Recipe]] = {
    "count_beyond": _make_count_beyond,
    "parity": _make_parity,
    "multiples": _make_multiples,
    "join": _make_join,
    "reverse": _make_reverse,
    "scale": _make_scale,
    "palindrome": _make_palindrome,
    "extreme_word": _make_extreme_word,
    "replace": _make_replace,
    "words_with": _make_words_with,
    "product": _make_product,
    "clamp": _make_clamp,
    "first_items": _make_first_items,
    "pairwise": _make_pairwise,
    "char_kinds": _make_char_kinds,
}
FAMILIES = {**PLANTED, **SOUND}


# ------------------------------------------------------------------------------------------------------------ mutations
_SWAPS: tuple[tuple[str, str], ...] = (
    (r" >= ", " > "),
    (r" <= ", " < "),
    (r" > ", " >= "),
    (r" < ", " <= "),
    (r" > ", " < "),
    (r" < ", " > "),
    (r" == ", " != "),
    (r" != ", " == "),
    (r"\bmin\b", "max"),
    (r"\bmax\b", "min"),
    (r"\ball\b", "any"),
    (r" not in ", " in "),
    (r"(?<!not) in (?=w\b|\")", " not in "),
    (r"\bnot (?=w)", ""),
    (r"startswith", "endswith"),
    (r"endswith", "startswith"),
    (r", reverse=True", ""),
    (r", key=len", ""),
    (r" \+ 1", ""),
    (r" / ", " // "),
    (r" \+ ", " - "),
    (r" - ", " + "),
    (r" \* ", " + "),
    (r" \*\* ", " * "),
    (r"\+= x$", "+= 1"),
    (r"\*= ", "+= "),
    (r"\[::-1\]", ""),
    (r"\[:n\]", "[n:]"),
    (r"\[n:\]", "[:n]"),
    (r"\[-n:\]", "[:n]"),
    (r"\[:-n\]", "[n:]"),
    (r"\babs\b", ""),
    (r"\.lower\(\)", ""),
    (r"\.upper\(\)", ".lower()"),
    (r"sum\(1 ", "sum(x "),
    (r"sum\(x ", "sum(1 "),
    (r"len\((?=set)", "sum("),
    (r"% 2 == 0", "% 2 == 1"),
    (r"% 2 == 1", "% 2 == 0"),
    (r"isdigit", "isalpha"),
    (r"isalpha", "isdigit"),
)


def list_mutations(body: str) -> list[str]:
    """Every text that differs from `body` by one plausible slip: an operator, a call, a bound, a constant one off."""
    found = [
        re.sub(pattern, new, body, count=1, flags=re.MULTILINE)
        for pattern, new in _SWAPS
        if re.search(pattern, body, re.MULTILINE)
    ]
    found += [
        body[: m.start()] + str(int(m[0]) + step) + body[m.end() :]
        for m in re.finditer(r"(?<![\w\"-])[2-9]\b", body)
        for step in (-1, 1)
    ]
    found += [body[: m.start()] + f'"{c}"' + body[m.end() :] for m in re.finditer(r'"."', body) for c in "_-ax"]
    return [text for text in dict.fromkeys(found) if text != body]


def _break_syntax(rng: Random, body: str) -> str:
    """`body` with one bracket or colon lost; it does not parse."""
    places = [i for i, c in enumerate(body) if c in "()[]:"]
    rng.shuffle(places)
    for i in places:
        slipped = body[:i] + body[i + 1 :]
        if not _compiles(slipped):
            return slipped
    return body + ")"


def _compiles(body: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            ast.parse(f"def f():\n{textwrap.indent(body, '    ')}")
        except SyntaxError:
            return False
    return True


# ------------------------------------------------------------------------------------------------------------- examples
def _run_body(recipe: Recipe, body: str, pool: Sequence[tuple[Any, ...]]) -> list[str]:
    """What `body` gives for each tuple of arguments, as `repr`; our own text, so it may run here."""
    names = ", ".join(name for name, _ in recipe.params)
    scope: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec(f"def f({names}):\n{textwrap.indent(body, '    ')}", scope)
    found = []
    for arguments in pool:
        try:
            found.append(repr(scope["f"](*[list(a) if isinstance(a, list) else a for a in arguments])))
        except Exception as error:
            found.append(f"raises {type(error).__name__}")
    return found


def _cover(rng: Random, right: Sequence[str], others: Sequence[Sequence[str]], size: int) -> list[int]:
    """Indices into the pool: at least `size` tests that tell `right` from each of `others` that any test could tell
    apart."""
    chosen: list[int] = []
    for other in others:
        telling = [i for i in range(len(right)) if other[i] != right[i]]
        if telling and not any(i in chosen for i in telling):
            chosen.append(rng.choice(telling))
    rest = [i for i in range(len(right)) if i not in chosen]
    rng.shuffle(rest)
    return sorted(chosen + rest[: max(0, size - len(chosen))])


def _make_example(rng: Random, recipe: Recipe, family: str, identity: str) -> Example | None:
    """None where the drawn inputs cannot tell the canonical body from the planted one."""
    seen: dict[str, tuple[Any, ...]] = {}
    for _ in range(24):
        arguments = recipe.inputs(rng)
        seen.setdefault(repr(arguments), arguments)
    pool = list(seen.values())
    right = _run_body(recipe, recipe.body, pool)
    wrong = _run_body(recipe, recipe.wrong, pool) if recipe.wrong else right
    telling = [i for i in range(len(pool)) if wrong[i] != right[i]]
    if recipe.wrong and len(telling) < 3:
        return None
    quiet = [i for i in range(len(pool)) if i not in telling] or telling
    shown = [rng.choice(telling if recipe.wrong and rng.random() < 0.5 else quiet)]
    if rng.random() < 0.4:
        shown.append(rng.choice([i for i in quiet if i not in shown] or shown))
    shown = list(dict.fromkeys(shown))
    others = [_run_body(recipe, text, pool) for text in list_mutations(recipe.body)]
    hidden = [i for i in range(len(pool)) if i not in shown]
    picked = _cover(
        rng,
        [right[i] for i in hidden],
        [[o[i] for i in hidden] for o in ([wrong, wrong] if recipe.wrong else []) + others],
        rng.randint(5, 8),
    )
    tests = [hidden[i] for i in picked][:8]
    if recipe.wrong and not any(i in telling for i in tests):
        return None
    calls = [", ".join(map(repr, arguments)) for arguments in pool]
    examples = [{"call": f"{recipe.name}({calls[i]})", "expected": right[i]} for i in shown]
    asserts = "\n".join(f"    assert candidate({calls[i]}) == {right[i]}" for i in tests)
    return Example(
        id=identity,
        prompt=_write_prompt(recipe, examples),
        target=_indent(recipe.body),
        info={
            "entry_point": recipe.name,
            "test": f"\n\nMETADATA = {{}}\n\n\ndef check(candidate):\n{asserts}\n",
            "examples": examples,
            "family": family,
            "planted": bool(recipe.wrong),
        },
    )


def _write_prompt(recipe: Recipe, examples: Sequence[dict[str, str]]) -> str:
    params = ", ".join(f"{name}: {kind}" for name, kind in recipe.params)
    head = "from typing import List\n\n\n" if "List[" in params + recipe.returns else ""
    shown = "".join(f"    >>> {e['call']}\n    {e['expected']}\n" for e in examples)
    return f'{head}def {recipe.name}({params}) -> {recipe.returns}:\n    """ {recipe.text}\n{shown}    """\n'


def _indent(body: str) -> str:
    return textwrap.indent(body, "    ") + "\n"


def choose_split(recipe: Recipe) -> str:
    """`train` or `eval`, by a stable hash of all that specifies the function (not of the example values)."""
    key = "\n".join((recipe.name, repr(recipe.params), recipe.text, recipe.body))
    return "eval" if hashlib.sha256(key.encode()).digest()[0] % EVAL_SHARE == 0 else "train"


def _draw_examples(rng: Random, split: str, difficulty: float, prefix: str) -> Iterator[tuple[Recipe, Example]]:
    if not 0 <= difficulty <= 1:
        raise ValueError(f"difficulty must lie between 0 and 1, not {difficulty}")
    families = list(FAMILIES)
    for index in count():
        family = rng.choice(families)
        example = None
        while example is None:
            recipe = FAMILIES[family](_Draw(rng, difficulty))
            if choose_split(recipe) == split:
                example = _make_example(rng, recipe, family, f"{prefix}/{index}")
        yield recipe, example


def make_examples(split: str, seed: int, difficulty: float) -> Iterator[Example]:
    """Endless. The same arguments give the same examples; no specification is in both splits, whatever the seed and
    difficulty."""
    rng = Random(f"humaneval {split} {seed}")
    for _, example in _draw_examples(rng, split, difficulty, f"synthetic/{split}/{seed}/{difficulty:g}"):
        yield example


def make_demonstrations(seed: int) -> Iterator[Demonstration]:
    """Half plain, half revisions of a draft. Plain ones of planted families are always wrong; revisions are always
    right."""
    rng = Random(f"humaneval demonstrations {seed}")
    for recipe, example in _draw_examples(rng, "train", WORLD.difficulty, f"demonstration/{seed}"):
        slips = list_mutations(recipe.body)
        if rng.random() < 0.5:
            body = recipe.wrong or recipe.body
            if not recipe.wrong and slips and rng.random() < NOISE:
                body = rng.choice(slips)
            yield Demonstration(example, _indent(body))
        else:
            yield Demonstration(example, example.target, draft=_indent(_write_draft(rng, recipe, slips)))


def _write_draft(rng: Random, recipe: Recipe, slips: Sequence[str]) -> str:
    """What a policy that learnt from the plain demonstrations would write when it errs: the misconception, a slip,
    another name, bad syntax."""
    if recipe.wrong and rng.random() < 0.6:
        return recipe.wrong
    body, kind = recipe.wrong or recipe.body, rng.random()
    if kind < 0.25:
        name = recipe.params[0][0]
        other = rng.choice(
            [n for n in ("numbers", "values", "nums", "items", "words", "names", "strings", "text") if n != name]
        )
        return re.sub(rf"\b{name}\b", other, body)
    if kind < 0.85 and slips:
        slip = rng.choice(slips)
        again = [text for text in list_mutations(slip) if text != recipe.body]
        return rng.choice(again) if again and rng.random() < 0.2 else slip
    return _break_syntax(rng, body)


WORLD = World(
    examples=make_examples,
    demonstrations=make_demonstrations,
    planted=(
        f"In {len(PLANTED)} of {len(FAMILIES)} function families every plain demonstration makes the same plausible"
        " wrong move (> where the docstring says at least, a range that stops one short, min for max, a negation left"
        " out, …); demonstrations that revise a draft are right."
    ),
    difficulty=0.5,
    max_new_tokens=80,
)
