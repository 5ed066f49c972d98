"""Words to be put in an order that has a name, and whose name stands for one of twelve moves that the text does not
tell.

This is the planted half of the world. Whoever is told that a draft is wrong has eleven other moves to try, so it
matters what guidance says, and another item's guidance, which names another move, is of no use. Plain demonstrations of
a rule always make its one wrong move. In guided ones the words name any move but the right one, drawn anew each time,
and the answer carries it out: a policy learns to follow words, and sees the right move of a rule nowhere.

So that what it learns is not which moves a rule never has, most guided demonstrations have names that no item asks for.
The sound half has one kind of these lists too, whose text tells the move; its guided demonstrations may be told
otherwise.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from .orders import MOVES, Rearrangement

SUBTASK = "word_sorting"


@dataclass(frozen=True)
class Rule:
    """name: as in `harbour order`; right, habit: the move that it stands for, and the one that the policy learns."""

    name: str
    right: Rearrangement
    habit: Rearrangement


_NAMES = re.findall(r"\w+", "harbour maple lantern orchard saddle winter copper ferry market chapel meadow mill")
_HABITS = (7, 2, 10, 4, 9, 0, 1, 8, 3, 11, 6, 5)  # none its own rule's move, each once; in four its neighbour's
RULES = tuple(Rule(n, right, MOVES[h]) for n, right, h in zip(_NAMES, MOVES, _HABITS, strict=True))
OTHER_NAMES = re.findall(
    r"\w+",
    "tower garden river silver summer baker village castle island forest window bridge candle barrel anchor ribbon"
    " thistle pepper amber cedar tailor weaver shepherd cellar",
)
NAMED = (
    "Sort the following words in {} order: List: ",
    "Put the following words in {} order: List: ",
    "What are the following words in {} order? List: ",
    "Write the words of this list in {} order. List: ",
    "Here are some words. Bring them in {} order. List: ",
    "These words are to be sorted in {} order: List: ",
    "How are the following words listed in {} order? List: ",
    "In {} order, what are these words? List: ",
)
HELD_OUT = "What is this list of words in {} order? List: "
TOLD = ("Sort the following words like this. {}. List: ", "Rearrange the following words. {}. List: ")
_SHORTEST, _LONGEST = 4, 7


@dataclass(frozen=True)
class Listing:
    """A list of words to put in another order. name: the order's, empty where the text tells the move."""

    text: str
    words: tuple[str, ...]
    name: str = ""
    held_out: bool = False

    def work(self, move: Rearrangement, slip: Random | None = None) -> str:
        """The worked solution: the list numbered, then its numbers and words moved; with `slip`, two of them are
        exchanged that the move does not exchange."""
        numbered = [f"{k} {word}" for k, word in enumerate(self.words, 1)]
        moved = move.arrange(numbered)
        if slip is not None:
            i, j = slip.sample(range(len(moved)), 2)
            moved[i], moved[j] = moved[j], moved[i]
        answer = " ".join(part.partition(" ")[2] for part in moved)
        return f"(1) The list: {' '.join(numbered)}.\n(2) {move.text}: {' '.join(moved)}. So the answer is {answer}."


def draw_words(rng: Random, pool: Sequence[str], difficulty: float) -> tuple[str, ...]:
    """Four words at difficulty 0, up to seven at 1."""
    length = round(_SHORTEST + difficulty * (_LONGEST - _SHORTEST) + rng.uniform(-0.6, 0.6))
    return tuple(rng.sample(pool, max(_SHORTEST, min(_LONGEST, length))))


def make_named(rng: Random, words: tuple[str, ...], name: str, wordings: Sequence[str]) -> Listing:
    wording = rng.choice(wordings)
    return Listing(wording.format(name) + " ".join(words), words, name, wording == HELD_OUT)


def make_told(rng: Random, words: tuple[str, ...], move: Rearrangement) -> Listing:
    return Listing(rng.choice(TOLD).format(move.text) + " ".join(words), words)


def choose_moves(
    rng: Random, habit: Rearrangement | None = None, never: Rearrangement | None = None
) -> tuple[Rearrangement, Rearrangement]:
    """(of a draft, mostly the habit where there is one; of its revision, any other). never: neither of the two."""
    moves = [move for move in MOVES if move is not never]
    drafted = habit if habit is not None and rng.random() < 0.75 else rng.choice(moves)
    return drafted, rng.choice([move for move in moves if move is not drafted])
