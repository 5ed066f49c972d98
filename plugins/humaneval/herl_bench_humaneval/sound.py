"""Families in which nothing is planted."""

from __future__ import annotations

from herl_bench_humaneval.recipes import (
    WORDS,
    Draw,
    Family,
    Inputs,
    Recipe,
    change_case,
    draw_ints,
    give_ints,
    give_ints_and_count,
    give_ints_and_limit,
    give_mirrored,
    give_text_with_digits,
    give_two_lists,
    give_words,
    give_words_and_letter,
)


def _make_count_beyond(d: Draw) -> Recipe:
    xs, limit, above = d.name_numbers(), d.pick("limit", "bound"), d.flip()
    op, word = (">", d.pick("greater than", "above")) if above else ("<", d.pick("less than", "below"))
    text = d.pick(f"Count the {xs} that are {word} {limit}.", f"Return how many {xs} are {word} {limit}.")
    body = f"return sum(1 for x in {xs} if x {op} {limit})"
    if d.twist:
        text, body = text + " Ignore zeros.", body.replace("if x", "if x != 0 and x")
    name = d.pick("count", "how_many", "number") + ("_above" if above else "_below")
    return Recipe(name, ((xs, "List[int]"), (limit, "int")), "int", text, body, give_ints_and_limit(d.top))


def _make_parity(d: Draw) -> Recipe:
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
        give_ints(d.top),
    )


def _make_multiples(d: Draw) -> Recipe:
    xs, k, keep = d.name_numbers(), d.rng.randint(2, 7), d.flip()
    text = f"{'Keep' if keep else 'Add up'} the {xs} that are {d.pick(f'multiples of {k}', f'divisible by {k}')}."
    body = f"return [x for x in {xs} if x % {k} == 0]" if keep else f"return sum(x for x in {xs} if x % {k} == 0)"
    name = ("keep" if keep else "sum") + d.pick("_multiples", "_divisible", f"_by_{k}")
    inputs: Inputs = lambda rng: ([v * k if rng.random() < 0.4 else v for v in draw_ints(rng, d.top, 0)],)  # noqa: E731
    return Recipe(name, ((xs, "List[int]"),), "List[int]" if keep else "int", text, body, inputs)


def _make_join(d: Draw) -> Recipe:
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
        give_words,
    )


def _make_reverse(d: Draw) -> Recipe:
    if d.flip():
        t, case = d.name_text(), d.pick("", ".upper()", ".lower()", ".title()")
        extra = {"": "", ".upper()": " in upper case", ".lower()": " in lower case", ".title()": " in title case"}[case]
        name = d.pick("reverse", "backwards", "mirror") + d.pick("", f"_{t}")
        inputs: Inputs = lambda rng: (change_case(rng, rng.choice(WORDS) + rng.choice(("", " pie"))),)  # noqa: E731
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
        give_words,
    )


def _make_scale(d: Draw) -> Recipe:
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
        give_ints(d.top),
    )


def _make_palindrome(d: Draw) -> Recipe:
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
        give_mirrored(of_list),
    )


def _make_extreme_word(d: Draw) -> Recipe:
    ws, (word, call) = d.name_words(), d.pick(("longest", "max"), ("shortest", "min"))
    length = d.flip()
    what = f"the length of the {word} of the {ws}" if length else f"the {word} of the {ws}"
    body = f"return {call}(len(w) for w in {ws})" if length else f"return {call}({ws}, key=len)"
    name = word + (d.pick("_length", "_size") if length else d.pick("", "_word", "_one"))
    return Recipe(
        name, ((ws, "List[str]"),), "int" if length else "str", f"{d.pick('Return', 'Find')} {what}.", body, give_words
    )


def _make_replace(d: Draw) -> Recipe:
    t = d.name_text()
    old, new = d.pick(
        *[((" ", "spaces"), b) for b in (("_", "underscores"), ("-", "dashes"))],
        *[((a, f"each {a}"), (b, b)) for a in "aeo" for b in "xyz"],
    )
    text = f"{d.pick(f'Replace {old[1]} in {t} by', f'Change {old[1]} in {t} to')} {new[1]}."
    inputs: Inputs = lambda rng: (" ".join(rng.sample(WORDS, 2)),)  # noqa: E731
    name = d.pick("replace", "change", "swap") + d.pick("", f"_{t}")
    return Recipe(name, ((t, "str"),), "str", text, f'return {t}.replace("{old[0]}", "{new[0]}")', inputs)


def _make_words_with(d: Draw) -> Recipe:
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
        give_words_and_letter({"contain": None, "start with": 0, "end with": -1}[kind]),
    )


def _make_product(d: Draw) -> Recipe:
    xs, add = d.name_numbers(), d.flip()
    noun, start, op = ("sum", 0, "+") if add else ("product", 1, "*")
    test, extra = d.pick(("x != 0", "not zero"), ("x > 0", "positive"), ("x < 0", "negative"))
    text = f"{d.pick('Return', 'Compute')} the {noun} of the {xs} that are {extra}."
    body = f"result = {start}\nfor x in {xs}:\n    if {test}:\n        result {op}= x\nreturn result"
    return Recipe(d.pick(noun, f"{noun}_of_{xs}", f"get_{noun}"), ((xs, "List[int]"),), "int", text, body, give_ints(7))


def _make_clamp(d: Draw) -> Recipe:
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
        give_ints_and_limit(d.top),
    )


def _make_first_items(d: Draw) -> Recipe:
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
        give_ints_and_count(d.top),
    )


def _make_pairwise(d: Draw) -> Recipe:
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
        give_two_lists(d.top),
    )


def _make_char_kinds(d: Draw) -> Recipe:
    t, (kind, test) = (
        d.name_text(),
        d.pick(("vowels", 'c in "aeiou"'), ("digits", "c.isdigit()"), ("letters", "c.isalpha()")),
    )
    keep = d.flip()
    text = f"{d.pick('Keep', 'Return') if keep else d.pick('Count', 'Count all')} the {kind} {d.pick('in', 'of')} {t}."
    body = f'return "".join(c for c in {t} if {test})' if keep else f"return sum(1 for c in {t} if {test})"
    name = (d.pick("keep", "only") if keep else d.pick("count", "number_of")) + f"_{kind}"
    return Recipe(name, ((t, "str"),), "str" if keep else "int", text, body, give_text_with_digits)


FAMILIES: dict[str, Family] = {
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
