"""Twelve ways to put a list of words in another order, told in one sentence each, and read back from it.

`about` is what a way hangs on, three ways to each: whoever knows it knows which word to look at, not where it goes. All
twelve give different orders of four words or more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

Words = Sequence[str]


@dataclass(frozen=True)
class Rearrangement:
    """text: the sentence, without its full stop; arrange: the words in their new order, as a list."""

    about: str
    text: str
    arrange: Callable[[Words], list[str]]


def _pair_up(w: Words) -> list[str]:
    """2 1 4 3, and an odd one stays."""
    return [word for i in range(0, len(w), 2) for word in reversed(w[i : i + 2])]


MOVES = (
    Rearrangement("first word", "The first word goes to the end", lambda w: [*w[1:], w[0]]),
    Rearrangement("first word", "The first word goes behind the third", lambda w: [*w[1:3], w[0], *w[3:]]),
    Rearrangement("first word", "The first word changes places with the last", lambda w: [w[-1], *w[1:-1], w[0]]),
    Rearrangement("last word", "The last word goes to the front", lambda w: [w[-1], *w[:-1]]),
    Rearrangement("last word", "The last word goes behind the first", lambda w: [w[0], w[-1], *w[1:-1]]),
    Rearrangement("last word", "The last word changes places with the second", lambda w: [w[0], w[-1], *w[2:-1], w[1]]),
    Rearrangement("second word", "The second word goes to the end", lambda w: [w[0], *w[2:], w[1]]),
    Rearrangement("second word", "The second word goes behind the third", lambda w: [w[0], w[2], w[1], *w[3:]]),
    Rearrangement("second word", "The second word goes to the front", lambda w: [w[1], w[0], *w[2:]]),
    Rearrangement("whole list", "The whole list is turned round", lambda w: list(reversed(w))),
    Rearrangement("whole list", "The whole list changes places in pairs", _pair_up),
    Rearrangement("whole list", "The whole list moves up by two", lambda w: [*w[2:], *w[:2]]),
)


def find_move(text: str) -> Rearrangement | None:
    """The one that a text tells first."""
    low = text.lower()
    told = [(low.find(move.text.lower()), k) for k, move in enumerate(MOVES) if move.text.lower() in low]
    return MOVES[min(told)[1]] if told else None
