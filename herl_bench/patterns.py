"""Search with a pattern that a stranger wrote, within bounds of time.

A pattern is one of Python's `re`; what that refuses is refused. It is searched for by `regex`, which reads the same
language and can be told to stop; where the two would read a pattern differently, it is written so that both agree, or
refused. Bounded are its length, what its repeats multiply to (the cost of compiling), and a search's processor time.
"""

from __future__ import annotations

import math
import re
import warnings
from collections import Counter
from functools import lru_cache
from typing import Any

from herl_bench.errors import UsageError
from herl_bench.plain_text import flatten

LONGEST = 5_000
MOST_WORK = 10_000_000
"""Characters of a pattern times the least numbers of its repeats, all multiplied."""
SECONDS = 1.0
PATIENCE = 5
"""A pattern that so often ran out of time is given up: one bad criterion must not take a second for every response."""

_REPEAT = re.compile(r"\{(\d{1,9})")
_BRACE = re.compile(r"\\N\{[^}]*\}|\\.|\{(?!\d*(?:,\d*)?\})", re.DOTALL)

_late: Counter[str] = Counter()


@lru_cache(maxsize=256)
def compile_pattern(pattern: str) -> Any:
    """Raises `UsageError` that says what is wrong with the pattern."""
    import regex  # type: ignore[import-untyped]

    if len(pattern) > LONGEST:
        raise UsageError(f"a pattern of more than {LONGEST:,} characters")
    if len(pattern) * math.prod(max(1, int(least)) for least in _REPEAT.findall(pattern)) > MOST_WORK:
        raise UsageError("the numbers in the pattern's {…} multiply to too much")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            re.compile(pattern, re.MULTILINE)
            # `regex` has a meaning for a{e}, `re` has none.
            same = _BRACE.sub(lambda found: "\\{" if found[0] == "{" else found[0], pattern)
            return regex.compile(same, regex.MULTILINE)
    except (re.error, regex.error, Warning, RecursionError, OverflowError, ValueError) as error:
        raise UsageError(f"not a pattern of Python's re: {flatten(str(error))[:200]}") from None


def search_pattern(text: str, pattern: str) -> bool | None:
    """Does the pattern match in the text, line by line? None where a second of processor time does not tell."""
    if _late[pattern] >= PATIENCE:
        return None
    try:
        return compile_pattern(pattern).search(text, timeout=SECONDS) is not None
    except TimeoutError:
        _late[pattern] += 1
        return None
