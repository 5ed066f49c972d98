"""Families with one planted misconception each, and beside it one move that is right."""

from __future__ import annotations

from random import Random
from typing import Any

from herl_bench_humaneval.recipes import (
    Draw,
    Family,
    Inputs,
    Recipe,
    draw_ints,
    give_cased_words,
    give_ints,
    give_ints_and_bounds,
    give_ints_and_count,
    give_ints_and_limit,
    give_range_ends,
    give_text_and_letter,
    give_two_ints,
    give_words,
    give_words_and_letter,
)


def _make_count_at_least(d: Draw) -> Recipe:
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
        give_ints_and_limit(d.top),
        body.replace(op, op[0]),
    )


def _make_between(d: Draw) -> Recipe:
    xs, keep = d.name_numbers(), d.flip()
    text = d.pick("from low to high, both included.", "between low and high, ends included.")
    text = (d.pick("Keep", "Return") if keep else d.pick("Add", "Sum")) + f" the {xs} {text}"
    body = (
        f"return [x for x in {xs} if low <= x <= high]" if keep else f"return sum(x for x in {xs} if low <= x <= high)"
    )
    name = (d.pick("keep", "select") if keep else d.pick("sum", "add")) + d.pick("_between", "_in_range")
    params = ((xs, "List[int]"), ("low", "int"), ("high", "int"))
    return Recipe(
        name, params, "List[int]" if keep else "int", text, body, give_ints_and_bounds(d.top), body.replace("<=", "<")
    )


def _make_inclusive_range(d: Draw) -> Recipe:
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
    return Recipe(name, params, returns, text, f"return {body}", give_range_ends, f"return {body.replace(' + 1', '')}")


def _make_nearest_beyond(d: Draw) -> Recipe:
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
    return Recipe(name, ((xs, "List[int]"), (limit, "int")), "int", text, body, give_ints_and_limit(d.top), wrong)


def _make_words_without(d: Draw) -> Recipe:
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
    inputs = give_words_and_letter({"contain": None, "start with": 0, "end with": -1}[kind])
    return Recipe(
        name, ((ws, "List[str]"), ("letter", "str")), "List[str]", text, body, inputs, body.replace("not ", "")
    )


def _make_descending(d: Draw) -> Recipe:
    by_length = d.flip()
    xs = d.name_words() if by_length else d.name_numbers()
    order = (
        d.pick("longest first", "by decreasing length") if by_length else d.pick("largest first", "in decreasing order")
    )
    body = f"return sorted({xs}{', key=len' if by_length else ''}, reverse=True)"
    kind = "List[str]" if by_length else "List[int]"
    inputs = give_words if by_length else give_ints(d.top)
    name = d.pick("sort", "order", "arrange") + d.pick("_down", f"_{xs}")
    text = f"{d.pick('Sort', 'Order', 'Arrange')} the {xs} {order}."
    return Recipe(name, ((xs, kind),), kind, text, body, inputs, body.replace(", reverse=True", ""))


def _make_last_items(d: Draw) -> Recipe:
    xs, drop = d.name_numbers(), d.flip()
    text = (
        f"{d.pick('Return', 'Give')} all but the last n {xs}."
        if drop
        else f"{d.pick('Return', 'Keep')} the last n {xs}."
    )
    body, wrong = (f"return {xs}[:-n]", f"return {xs}[n:]") if drop else (f"return {xs}[-n:]", f"return {xs}[:n]")
    name = d.pick("drop_last", "without_last", "cut_end") if drop else d.pick("last_items", "take_last", "tail")
    return Recipe(name, ((xs, "List[int]"), ("n", "int")), "List[int]", text, body, give_ints_and_count(d.top), wrong)


def _make_every_other(d: Draw) -> Recipe:
    xs, k, second = d.name_numbers(), d.rng.randint(2, 3), d.flip()
    every = {2: "every second", 3: "every third"}[k]
    first, word = (1, "index 1") if second else (2, "index 2")
    text = f"{d.pick('Return', 'Keep', 'Take')} {every} of the {xs}, from {word} on."
    name = d.pick("every", "skip", "pick") + d.pick("_second" if k == 2 else "_third", f"_{xs}")
    body = f"return {xs}[{first}::{k}]"
    inputs: Inputs = lambda rng: ([rng.randint(0, d.top) for _ in range(rng.randint(4, 6))],)  # noqa: E731
    return Recipe(name, ((xs, "List[int]"),), "List[int]", text, body, inputs, body.replace(f"[{first}:", "[:"))


def _make_average(d: Draw) -> Recipe:
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
    return Recipe(name, ((xs, "List[int]"),), "float", text, body, give_ints(d.top, 0), body.replace("/", "//"))


def _make_distinct(d: Draw) -> Recipe:
    of_words = d.flip()
    xs = d.name_words() if of_words else d.name_numbers()
    word = d.pick("different", "distinct", "unique")
    text = d.pick(f"Count the {word} {xs}.", f"Return how many {word} {xs} there are.")
    body = f"return len(set({xs}))"
    name = d.pick("count", "number_of") + f"_{d.pick('different', 'distinct', 'unique')}"
    kind, inputs = ("List[str]", give_words) if of_words else ("List[int]", give_ints(6, 1))
    return Recipe(name, ((xs, kind),), "int", text, body, inputs, f"return len({xs})")


def _make_all_of(d: Draw) -> Recipe:
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
        values = draw_ints(rng, 9, 0, 2)
        right = {
            "divisible": lambda v: v * k,
            "greater": lambda v: v + k + 1,
            "less": lambda v: -v,
            "even": lambda v: v * 2,
        }[name]
        return ([right(v) if rng.random() < 0.75 else v for v in values],)

    name_ = d.pick("all", "every", "only") + f"_{name}"
    return Recipe(name_, ((xs, "List[int]"),), "bool", text, body, inputs, body.replace("all", "any"))


def _make_ignore_case(d: Draw) -> Recipe:
    if d.flip():
        t = d.name_text()
        text = f"{d.pick('Count', 'Return')} how often letter occurs in {t}, ignoring case."
        body = f"return {t}.lower().count(letter)"
        name = d.pick("count_letter", "letter_count", "occurrences")
        return Recipe(
            name, ((t, "str"), ("letter", "str")), "int", text, body, give_text_and_letter, body.replace(".lower()", "")
        )
    ws = d.name_words()
    text = f"{d.pick('Sort', 'Order')} the {ws}, ignoring case."
    body = f"return sorted({ws}, key=str.lower)"
    name = d.pick("sort", "order", "arrange") + d.pick("_ignoring_case", "_any_case")
    return Recipe(
        name, ((ws, "List[str]"),), "List[str]", text, body, give_cased_words, body.replace(", key=str.lower", "")
    )


def _make_powers(d: Draw) -> Recipe:
    xs, k = d.name_numbers(), d.pick(2, 3)
    noun = {2: "squares", 3: "cubes"}[k]
    name = d.pick("sum", "total", "add") + f"_{noun}"
    text = f"{d.pick('Return the sum of', 'Add up', 'Compute the total of')} the {noun} of the {xs}."
    body = f"total = 0\nfor x in {xs}:\n    total += x ** {k}\nreturn total"
    if d.twist:
        text, body = text + " Skip negatives.", body.replace("    total", "    if x >= 0:\n        total")
    return Recipe(name, ((xs, "List[int]"),), "int", text, body, give_ints(d.top), body.replace("**", "*"))


def _make_absolute(d: Draw) -> Recipe:
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
            give_two_ints(d.top),
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
        give_ints(d.top, -9),
        f"return sum(x for x in {xs})",
    )


FAMILIES: dict[str, Family] = {
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
