"""A pattern that a stranger wrote ends."""

import time

import pytest

from herl_bench.errors import UsageError
from herl_bench.patterns import PATIENCE, compile_pattern, search_pattern

CATASTROPHES = {
    r"(a|aa)+$": "a" * 100_000 + "!",
    r"\s*\s*\s*\s*$": " " * 100_000 + "x",
    r"^(([a-z])+.)+[A-Z]([a-z])+$": "a" * 100_000,
    r"(x+x+)+y": "x" * 100_000,
    r"(a*a*)*$": "a" * 5_000 + "!",
}


@pytest.mark.parametrize("pattern", CATASTROPHES)
def test_a_pattern_that_never_ends_is_undecided(pattern, monkeypatch):
    monkeypatch.setattr("herl_bench.patterns.SECONDS", 0.1)
    began = time.process_time()
    assert [search_pattern(CATASTROPHES[pattern], pattern) for _ in range(PATIENCE + 200)] == [None] * (PATIENCE + 200)
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "pattern",
    [
        "(",
        ")",
        "[",
        "*",
        "a{2,1}",
        r"\1",
        "(?<n>a)",
        "[[:alpha:]]",
        "(" * 3_000,
        "a{99999999999}",
        "(?:" * 6 + "a" + "{1000})" * 6,
        "x" * 6_000,
        r"\p{L}",
    ],
)
def test_a_pattern_that_is_none_is_refused(pattern):
    with pytest.raises(UsageError):
        compile_pattern(pattern)


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("a{e}", "a{e}", True),
        ("a{e}", "b", False),
        (r"^x$", "y\nx\ny", True),
        (r"\d{4}-\d{2}", "2024-05", True),
        (r"(?i)ABC", "xabc", True),
        ("", "", True),
    ],
)
def test_a_pattern_is_one_of_re(pattern, text, found):
    assert search_pattern(text, pattern) is found
