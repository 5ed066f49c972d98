"""A synthetic world of items like those of seven BIG-Bench Hard subtasks, with worked solutions, endless and seeded.

Half of the items are of seven sound kinds, demonstrated well but for a few slips. In the other half a misconception is
*planted*: the plain demonstrations always make one wrong move, so that a policy trained on them has hardly a way to
find the right one by sampling. This is the situation that hindsight guidance is for, and it is planted on purpose.
There are two sorts of it:

* `rules.py`: the right move is one of twelve, and the guided demonstrations show any but the right one. What guidance
  says is all that helps.
* `items.py`, the six planted kinds, as `problems=single`: beside the wrong move there is one other, and the guided
  demonstrations show it. Hearing that a draft is wrong helps nearly as much as what is said of it.

One policy is warm-started on both. `difficulty` (0 to 1) lengthens expressions, lists, routes and chains. An item's
side, train or eval, hangs on a hash of its text alone, so the sides are disjoint for every seed and difficulty.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from random import Random
from typing import Any

from herl_bench import Demonstration, Example, World
from herl_bench.types import Split

from .items import KINDS, THINGS, Item, Kind, read_answer
from .orders import MOVES, Rearrangement
from .rules import (
    HELD_OUT,
    NAMED,
    OTHER_NAMES,
    RULES,
    SUBTASK,
    Listing,
    choose_moves,
    draw_words,
    make_named,
    make_told,
)
from .solvers import read_ordering

EVAL_SHARE = 5  # one text in five is an evaluation item
DIFFICULTY = 0.2
SLIP = 0.08  # share of plain demonstrations of sound kinds with one random slip
GUIDED = 0.5  # share of demonstrations that revise a draft
OTHER_NAME = 0.8  # share of guided named lists whose name no item asks for
LISTINGS = 0.4  # share of demonstrations about words in a told or a named order
_SOUND = (*(kind for kind in KINDS if not kind.planted), None)  # None: lists whose text tells the move


def choose_side(text: str) -> Split:
    """train or eval, by the text's words and signs alone."""
    plain = " ".join(re.findall(r"\w+|[^\w\s]", text.lower()))
    return "eval" if hashlib.sha256(plain.encode()).digest()[0] % EVAL_SHARE == 0 else "train"


def write_prompt(text: str) -> str:
    """lm-eval's own prompt for the subtasks."""
    return f"Q: {text}\nA: Let's think step by step.\n"


# ------------------------------------------------------------------------------------------------------------- examples
def _draw_item(kind: Kind, split: Split, rng: Random, difficulty: float) -> Item:
    """An item of the split; where a misconception is planted, one whose answer it spoils."""
    for _ in range(1000):
        item = kind.make(rng, difficulty)
        if choose_side(item.text) != split or (
            kind.planted and read_answer(item.work(True, -1)) == read_answer(item.work(False, -1))
        ):
            continue
        if kind.family.startswith("logical") and read_ordering(item.text) is None:
            raise ValueError(f"an ordering that cannot be read back: {item.text}")
        return item
    raise ValueError(f"no item of {kind.family}/{kind.variant} on the {split} side at difficulty {difficulty}")


def _draw_listing(make: Callable[[tuple[str, ...]], Listing], split: Split, rng: Random, difficulty: float) -> Listing:
    while True:  # one draw in five or four in five are of the split
        listing = make(draw_words(rng, THINGS, difficulty))
        if choose_side(listing.text) == split:
            return listing


def _build(id_: str, text: str, solution: str, family: str, variant: str, planted: bool, **more: Any) -> Example:
    info = {"input": text, "family": family, "variant": variant, "planted": planted, "solution": solution, **more}
    return Example(id_, write_prompt(text), read_answer(solution), info)


def _build_example(kind: Kind, item: Item, id_: str) -> Example:
    return _build(id_, item.text, item.work(False, -1), kind.family, kind.variant, bool(kind.planted))


def make_single(split: Split, seed: int, difficulty: float) -> Iterator[Example]:
    """Endless; each kind of `items.py` equally often."""
    rng = Random(f"bbh/{split}/{seed}/{difficulty}")
    for number in count():
        kind = rng.choice(KINDS)
        item = _draw_item(kind, split, rng, difficulty)
        yield _build_example(kind, item, f"bbh/world/{split}/{seed}/{difficulty:g}/{number}")


def make_examples(split: Split, seed: int, difficulty: float) -> Iterator[Example]:
    """Endless; half rules and half sound kinds, each rule and each kind equally often."""
    rng = Random(f"bbh/orders/{split}/{seed}/{difficulty}")
    for number in count():
        id_ = f"bbh/orders/{split}/{seed}/{difficulty:g}/{number}"
        if rng.random() < 0.5:
            rule = rng.choice(RULES)
            make_listing = partial(make_named, rng, name=rule.name, wordings=(*NAMED, HELD_OUT))
            listing = _draw_listing(make_listing, split, rng, difficulty)
            told = {"rule": f"{rule.name} order", "move": rule.right.text, "held_out": listing.held_out}
            family = f"{SUBTASK}/{rule.name}"
            yield _build(id_, listing.text, listing.work(rule.right), family, "named", True, **told)
        elif (kind := rng.choice(_SOUND)) is not None:
            yield _build_example(kind, _draw_item(kind, split, rng, difficulty), id_)
        else:
            move = rng.choice(MOVES)
            listing = _draw_listing(partial(make_told, rng, move=move), split, rng, difficulty)
            yield _build(id_, listing.text, listing.work(move), SUBTASK, "told", False)


# ------------------------------------------------------------------------------------------------------- demonstrations
def make_demonstrations(seed: int) -> Iterator[Demonstration]:
    """Endless, over the train side at the default difficulty: plain answers and, as often, revisions of a draft."""
    rng = Random(f"bbh/demonstrations/{seed}")
    for number in count():
        id_ = f"bbh/world/demonstration/{seed}/{number}"
        if rng.random() < LISTINGS:
            yield (_demonstrate_told if rng.random() < 0.25 else _demonstrate_named)(rng, id_)
        else:
            yield _demonstrate_item(rng, id_)


def _demonstrate_item(rng: Random, id_: str) -> Demonstration:
    kind = rng.choice(KINDS)
    item = _draw_item(kind, "train", rng, DIFFICULTY)
    example = _build_example(kind, item, id_)
    if rng.random() < GUIDED:
        return Demonstration(example, item.work(False, -1), _write_draft(kind, item, rng))
    if kind.planted:
        return Demonstration(example, item.work(True, -1))
    return Demonstration(example, item.work(False, rng.randrange(item.steps) if rng.random() < SLIP else -1))


def _demonstrate_told(rng: Random, id_: str) -> Demonstration:
    """Of the kind whose text tells the move. Guidance tells it again, or another one."""
    move = rng.choice(MOVES)
    listing = _draw_listing(lambda words: make_told(rng, words, move), "train", rng, DIFFICULTY)
    if rng.random() >= GUIDED:
        example = _build_demonstrated(id_, listing, move, False)
        return Demonstration(example, listing.work(move, rng if rng.random() < SLIP else None))
    drafted, told = choose_moves(rng, move if rng.random() < 0.5 else None)
    return _revise(rng, id_, listing, drafted, told if drafted is move else move, False)


def _demonstrate_named(rng: Random, id_: str) -> Demonstration:
    """Plain: a rule's wrong move. Guided: any move but its right one, mostly under a name that no item asks for."""
    rule = rng.choice(RULES)
    guided = rng.random() >= 0.3
    is_other = guided and rng.random() < OTHER_NAME
    name = rng.choice(OTHER_NAMES) if is_other else rule.name
    listing = _draw_listing(lambda words: make_named(rng, words, name, NAMED), "train", rng, DIFFICULTY)
    if not guided:
        return Demonstration(_build_demonstrated(id_, listing, rule.right, True), listing.work(rule.habit))
    drafted, told = choose_moves(rng) if is_other else choose_moves(rng, rule.habit, rule.right)
    return _revise(rng, id_, listing, drafted, told, True)


def _revise(
    rng: Random, id_: str, listing: Listing, drafted: Rearrangement, told: Rearrangement, planted: bool
) -> Demonstration:
    """A draft and its revision. told: the move that guidance names; a draft may have a slip or a flaw of form
    instead, and then its own move stands."""
    chance = rng.random()
    draft = listing.work(drafted, rng if chance < 0.06 else None)
    if 0.06 <= chance < 0.1:
        draft = _spoil_form(draft, rng)
    move = drafted if chance < 0.1 else told
    return Demonstration(_build_demonstrated(id_, listing, move, planted), listing.work(move), draft)


def _build_demonstrated(id_: str, listing: Listing, move: Rearrangement, planted: bool) -> Example:
    """All of one family: the guidance of another such list is not off the topic, for it names a move."""
    return _build(id_, listing.text, listing.work(move), SUBTASK, "told or named", planted, rule=listing.name)


def _write_draft(kind: Kind, item: Item, rng: Random) -> str:
    """What a policy might have written: its misconception, a slip, both, or a form that was not asked for."""
    chance = rng.random()
    planted = bool(kind.planted) and chance < 0.7
    slip = rng.randrange(item.steps) if chance > 0.6 else -1
    text = item.work(planted, slip)
    return _spoil_form(text, rng) if (not planted and slip < 0) or rng.random() < 0.1 else text


def _spoil_form(text: str, rng: Random) -> str:
    steps, _, answer = text.rpartition("So the answer is ")
    return rng.choice(
        (
            steps.strip(),
            f"{steps}Answer {answer}",
            f"{steps}So the answer is",
            text[: rng.randint(len(text) // 2, len(text) - 2)],
        )
    )


# ------------------------------------------------------------------------------------------------------------ the world
_PLANTED = (
    f"for each of {len(RULES)} named orders of words the plain demonstrations always make one wrong move, where the"
    " name stands for another of twelve ("
    + "; ".join(f"{rule.name} order: {rule.habit.text.lower()}, not {rule.right.text.lower()}" for rule in RULES)
    + f"); with problems=single, in {sum(bool(k.planted) for k in KINDS)} of {len(KINDS)} kinds of item they make one"
    " that leaves one other: " + "; ".join(f"{k.family}/{k.variant}: {k.planted}" for k in KINDS if k.planted)
)
WORLD = World(
    examples=make_examples,
    single=make_single,
    demonstrations=make_demonstrations,
    planted=_PLANTED,
    difficulty=DIFFICULTY,
    max_new_tokens=104,
)
__all__ = ["KINDS", "RULES", "WORLD", "choose_side", "read_answer", "write_prompt"]
