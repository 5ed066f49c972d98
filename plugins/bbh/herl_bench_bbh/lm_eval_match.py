"""lm-eval's exact match on its zero-shot versions of the subtasks, to the sign: `bbh_cot_zeroshot` and `bbh_zeroshot`.

Both have a strict filter (the words after "the answer is", or the whole response) and a flexible one that differs by
subtask: the last (or first) option letter, yes or no, number, bracket or given word. Both sides are then compared
without case, commas, quotes, backslashes, line breaks and a full stop at the end. The oddities are kept, for a number
that is to be compared with published ones: see `answers` for a better one.

Left out: numbers in words are read through the packages that lm-eval itself uses for them.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import cache

from herl_bench import Example

from .answers import get_question, get_subtask

INVALID = "[invalid]"
_IGNORED = (r"\.$", ",", r"\\", "\n", '"')
_STRICT = re.compile(
    "|".join(
        rf"(?<={words} )(.*)(?=.)" for words in ("The answer is", "the answer is", "The answer:", "The final answer:")
    )
)
_OPTION = re.compile(r"\([A-Z]\)")
_PATTERNS = {
    "boolean_expressions": re.compile(r"\b(?:True|False)\b"),
    "causal_judgement": re.compile(r"\b(?:Yes|No|yes|no)\b"),
    "navigate": re.compile(r"\b(?:Yes|No|yes|no)\b"),
    "formal_fallacies": re.compile(r"\b(?:valid|invalid)\b"),
    "dyck_languages": re.compile(r"(?<= )[\" \[\(<{}>\)\]]+|[\" \[\(<{}>\)\]]+"),
}
_WORDS = {
    "web_of_lies": ("no|does not tell the truth|is not telling the truth", "yes|tells the truth|is telling the truth"),
    "sports_understanding": ("no|not plausible", "yes|plausible"),
}
_NUMBERS = ("multistep_arithmetic_two", "object_counting")


def cot_flexible(example: Example, response: str) -> float:
    return _match(_extract_flexibly(example, response, -1), example.target)


def cot_strict(example: Example, response: str) -> float:
    found = _STRICT.findall(response)
    first = next((group for group in found[0] if group), INVALID) if found else INVALID
    return _match(first.strip(), example.target)


def flexible(example: Example, response: str) -> float:
    return _match(_extract_flexibly(example, response, 0), example.target)


def strict(example: Example, response: str) -> float:
    return _match(response, example.target)


def _match(answer: str, target: str) -> float:
    for pattern in _IGNORED:
        answer, target = re.sub(pattern, "", answer), re.sub(pattern, "", target)
    return float(answer.lower() == target.lower())


def _extract_flexibly(example: Example, response: str, which: int) -> str:
    """which: 0 takes the first that is found, −1 the last."""
    family, text = get_subtask(example), get_question(example)
    if family == "word_sorting":
        return _extract_sorting(text, response)
    if family in _PATTERNS:
        return _pick(_PATTERNS[family], response, which) if _PATTERNS[family].search(response) else INVALID
    if family in _WORDS:
        return _extract_verdict(family, response, which)
    if family in _NUMBERS:
        return _extract_number(response, which)
    return _extract_option(text, response, which)


def _pick(pattern: re.Pattern[str], text: str, which: int) -> str:
    found = [m[0] for m in pattern.finditer(text)]
    return found[which].strip() if found else ""


def _extract_verdict(family: str, response: str, which: int) -> str:
    negative, positive = (rf"\b(?:{words})\b" for words in _WORDS[family])
    words = _pick(re.compile(f"{negative}|{positive}"), response.lower(), which)
    if not words:
        return INVALID
    return "no" if re.search(negative, words) else "yes"


def _extract_number(response: str, which: int) -> str:
    found = _pick(re.compile(r"[-0-9]+"), response, which)
    if found:
        return found
    words = _compile_number_words().findall(response.lower())
    if not words:
        return INVALID
    from word2number import w2n

    return str(w2n.word_to_num(words[which].strip()))


@cache
def _compile_number_words() -> re.Pattern[str]:
    """Runs of number words, as lm-eval cuts them: `six` to `nine` count only inside a run or with an ending."""
    tens, large = "twen|thir|for|fif|six|seven|nine", "ten|eleven|twelve|fourteen|hundred|thousand|(?:m|b|tr)illion"
    small = "zero|one|two|three|four|five"
    first = rf"(?:{small}|(?:{tens})(?:teen|ty)|eight(?:|een|y)|{large})"
    inside = rf"(?:{small}|(?:{tens})(?:|teen|ty)|eight(?:een|y)|{large}|[^\S\r\n]|,|and|&)"
    last = rf"(?:{small}|(?:{tens})(?:teen|ty)|eight(?:een|y)|{large})"
    return re.compile(rf"(?:{first}{inside}+)?{last}")


def _extract_sorting(text: str, response: str) -> str:
    """The given words in the order of where each is written last."""
    words = text.split("List:")[1].strip().split()
    written = re.findall("|".join(rf"\b{word}\b" for word in words), response)
    return " ".join(reversed(list(dict.fromkeys(reversed(written)))))


@cache
def _list_punctuation() -> dict[int, None]:
    return dict.fromkeys(i for i in range(sys.maxunicode) if unicodedata.category(chr(i)).startswith("P"))


def _strip_punctuation(text: str) -> str:
    return text.lower().translate(_list_punctuation())


def _extract_option(text: str, response: str, which: int) -> str:
    """A letter in parentheses; else an option's own words; else a bare letter after a colon."""
    found = _pick(_OPTION, response, which)
    if found:
        return found
    options = [_strip_punctuation(words.strip()) for words in re.findall(r"\([A-Z]\)([^\n^(]*)", text)]
    letters = {words: f"({chr(65 + i)})" for i, words in enumerate(options)}
    by_length = re.compile("|".join(re.escape(words) for words in sorted(options, key=len, reverse=True)))
    words = _pick(by_length, _strip_punctuation(response), which)
    if words:
        return letters.get(words, words)
    bare = re.findall(rf":[\s]*({'|'.join(chr(65 + i) for i in range(len(options)))})", response)
    return f"({bare[which].strip()})" if bare and bare[which].strip() else INVALID
