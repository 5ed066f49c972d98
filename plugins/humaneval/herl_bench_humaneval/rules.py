"""House rules: a docstring that names a convention and does not say what it is, so that only guidance can tell.

Each of twelve rules has one right move of twelve, and one wrong move that plain demonstrations always make. No
demonstration of a rule, plain or guided, makes its right move. In guided ones a reference that was drawn anew makes any
other move, and the response follows it: what is learnt is to follow the words. Most of these have names that no rule
has, and any move.

The moves agree on the empty list alone, so that is the one example a docstring may show: any other would give the move
away to a reader that can tell moves apart. Each move has a sign of its own (a slice, a call, an operator), so that the
words which compare a draft with a solution name it whatever the draft was.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from random import Random

from herl_bench_humaneval.recipes import Draw, Family, Recipe, give_ints

MOVES = {
    "ascending": "sorted({xs})",
    "descending": "sorted({xs}, reverse=True)",
    "backwards": "{xs}[::-1]",
    "every other": "{xs}[::2]",
    "without the first": "{xs}[1:]",
    "without the last": "{xs}[:-1]",
    "first two": "{xs}[:2]",
    "last two": "{xs}[-2:]",
    "twice over": "{xs} + {xs}",
    "negated": "[-v for v in {xs}]",
    "absolute": "[abs(v) for v in {xs}]",
    "halved": "[v // 2 for v in {xs}]",
}
WORDINGS = (
    "{verb} the {xs} by the {rule} rule.",
    "{verb} the {rule} list of the {xs}.",
    "{verb} what the {rule} convention makes of the {xs}.",
    "{verb} the {xs} as the {rule} rule has them.",
    "Apply the {rule} rule to the {xs}.",
    "Bring the {xs} into {rule} order.",
    "From the {xs} make their {rule} list.",
)
HELD_OUT = "{verb} the {xs} in {rule} form."
"""A wording that no demonstration has."""


OTHER_NAME = 0.8  # of guided demonstrations of rules: those whose rule has a name that no problem has
OTHER_NAMES = (
    *("tower", "garden", "river", "silver", "summer", "baker", "village", "castle", "island", "forest", "window"),
    *("bridge", "candle", "barrel", "anchor", "ribbon", "thistle", "pepper", "amber", "cedar", "tailor", "weaver"),
)
"""Without them a policy would learn from the guided demonstrations which move of each rule is never the answer."""


@dataclass(frozen=True)
class Rule:
    """A convention, and two of the `MOVES`: what it means, and what every plain demonstration takes it to mean."""

    right: str
    wrong: str


RULES = {
    "harbour": Rule("backwards", "ascending"),
    "maple": Rule("first two", "negated"),
    "miller": Rule("halved", "without the last"),
    "lantern": Rule("ascending", "twice over"),
    "copper": Rule("without the first", "absolute"),
    "orchard": Rule("twice over", "last two"),
    "saddle": Rule("last two", "descending"),
    "granite": Rule("absolute", "backwards"),
    "velvet": Rule("descending", "every other"),
    "kettle": Rule("without the last", "halved"),
    "meadow": Rule("negated", "without the first"),
    "beacon": Rule("every other", "first two"),
}


def make_rule(d: Draw, name: str) -> Recipe:
    xs, wording = d.name_numbers(), d.pick(*WORDINGS, HELD_OUT)
    verb = d.pick("Return", "Give", "List")
    return Recipe(
        d.pick(f"{name}_list", f"to_{name}", f"apply_{name}", f"{name}_{xs}", "convert", "transform"),
        ((xs, "List[int]"),),
        "List[int]",
        wording.format(verb=verb, xs=xs, rule=name),
        write_move(RULES[name].right, xs),
        give_ints(d.top, -9, 4),
        write_move(RULES[name].wrong, xs),
        moves=tuple(write_move(move, xs) for move in MOVES),
        facts={"rule": name, "move": RULES[name].right, "held_out": wording == HELD_OUT},
    )


def write_move(move: str, xs: str) -> str:
    return f"return {MOVES[move].format(xs=xs)}"


def redirect(rng: Random, recipe: Recipe) -> Recipe:
    """The recipe of a rule with any other move than the right one as its solution, and yet another as what is wrong:
    mostly what plain demonstrations do. Or, more often, with a name that no rule has, and any two moves."""
    name, moves, wrong = recipe.facts["rule"], recipe.moves, ""
    if rng.random() < OTHER_NAME:
        name = rng.choice(OTHER_NAMES)
    else:
        moves = tuple(move for move in moves if move != recipe.body)
        wrong = recipe.wrong if rng.random() < 0.6 else ""
    wrong = wrong or rng.choice(moves)
    body = rng.choice([move for move in moves if move != wrong])
    told = {"rule": name, "move": list(MOVES)[recipe.moves.index(body)]}
    called, text = (words.replace(recipe.facts["rule"], name) for words in (recipe.name, recipe.text))
    return dataclasses.replace(recipe, name=called, text=text, body=body, wrong=wrong, facts={**recipe.facts, **told})


def _make_family(name: str) -> Family:
    return lambda d: make_rule(d, name)


FAMILIES = {name: _make_family(name) for name in RULES}
