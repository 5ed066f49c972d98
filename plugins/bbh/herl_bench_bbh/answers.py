"""What counts as an answer: its form, the options of an item, the answer found in a response, and the two metrics.

An item asks for one of seven kinds of answer: an option letter `(B)`, one of the dashed options, `True`/`False`, `Yes`/`No`, a number, the
given words in order, or brackets. `canonical` brings the ways of writing one answer together (`b`, `(B)`, `(B) pink ball`, `pink ball`).

Three published items have a target that is no listed option, because the option's own text was cut at its commas (`(A) Monsters`, `(B) Inc`
for `Monsters, Inc`). The rule that covers them reads only the item: neighbouring option texts joined again with a comma are allowed too.

Left out: answers in other languages, and answers in words for numbers ("twelve").
"""

from __future__ import annotations

import re
from functools import lru_cache

from herl_bench import Example

ASKED_FORM = re.compile(r"the answer is (?P<answer>\S.*?)\.\s*\Z", re.IGNORECASE)
_GIVEN = re.compile(r"\banswer\s*(?:is|:)\s*:?", re.IGNORECASE)
_LETTERED = re.compile(r"^\(([A-Z])\) ?(.*)$", re.MULTILINE)
_DASHED = re.compile(r"^- (.+)$", re.MULTILINE)
_CLOSERS = set(")]}>")
_FAMILY_KINDS = {
    "boolean_expressions": "boolean",
    "dyck_languages": "brackets",
    "multistep_arithmetic_two": "number",
    "object_counting": "number",
    "sports_understanding": "yes or no",
    "web_of_lies": "yes or no",
    "word_sorting": "words",
}


def question(example: Example) -> str:
    """The item's own text, without the prompt around it."""
    return str(example.info["input"])


def family(example: Example) -> str:
    return str(example.info["family"])


@lru_cache(maxsize=4096)
def options(text: str) -> tuple[tuple[str, str], ...]:
    """(letter, text) of each lettered option, () where there are none."""
    _, _, listed = text.rpartition("\nOptions:\n")
    return tuple((letter, words.strip()) for letter, words in _LETTERED.findall(listed))


@lru_cache(maxsize=4096)
def _choices(text: str) -> tuple[str, ...]:
    _, _, listed = text.rpartition("\nOptions:\n")
    return tuple(words.strip() for words in _DASHED.findall(listed))


def kind(example: Example) -> str:
    """`letter`, `choice`, `boolean`, `yes or no`, `number`, `words`, `brackets`, or `text` for a subtask that nobody described here."""
    text = question(example)
    if options(text):
        return "letter"
    if _choices(text):
        return "choice"
    return _FAMILY_KINDS.get(family(example), "text")


def given_answer(response: str) -> str | None:
    """The words after the last "the answer is" of a response, without emphasis and without the full stop; None where there are none."""
    given = [found.end() for found in _GIVEN.finditer(response)]
    words = response[given[-1] :].strip(" \t") if given else ""
    line = words.splitlines()[0] if words else ""
    answer = re.sub(r"\*\*|__|\\boxed\{(.*?)\}|\$", lambda m: m.group(1) or "", line).strip().strip('"`').strip()
    return re.sub(r"\s*\.$", "", answer).strip() or None


def extract(example: Example, response: str) -> str | None:
    """The final answer in its canonical writing, None where the response gives none."""
    answer = given_answer(response)
    return None if answer is None else canonical(example, answer)


def canonical(example: Example, answer: str) -> str:
    """One writing for all the ways of giving the same answer."""
    answer = answer.strip()
    match kind(example):
        case "letter":
            return _canonical_letter(question(example), answer)
        case "choice":
            first = answer.lower()
            listed = [c for c in _choices(question(example)) if re.match(re.escape(c.lower()) + r"\b", first)]
            return max(listed, key=len) if listed else answer
        case "boolean":
            return _first_of(answer, ("True", "False"))
        case "yes or no":
            return _first_of(answer, ("Yes", "No")).lower()
        case "number":
            number = re.match(r"[-−]?\s*\d[\d,]*(?:\.0+\b)?", answer.replace("(", "").replace(")", ""))
            return str(int(re.sub(r"[,\s]|\.0+$", "", number[0].replace("−", "-")))) if number else answer
        case "words":
            return " ".join(re.sub(r"[,<\"]|\s\d+\.", " ", answer).lower().split())
        case "brackets":
            signs = [c for c in answer if not c.isspace() and c not in "\"'`,"]
            return " ".join(signs)
        case _:
            return " ".join(answer.split())


def _first_of(answer: str, words: tuple[str, ...]) -> str:
    return next((w for w in words if re.match(w + r"\b", answer, re.IGNORECASE)), answer)


def _canonical_letter(text: str, answer: str) -> str:
    listed = options(text)
    letters = {letter for letter, _ in listed}
    plain = _plain(answer)
    for joined in _joined_options(text):  # before the letters: "a b" may be an option's text and starts with a letter
        if plain == _plain(joined):
            return joined
    for letter, words in listed:
        if plain == _plain(words):
            return f"({letter})"
    bare = re.match(r"\(\s*([A-Za-z])\s*\)|([A-Za-z])(?=$|[).:])", answer)
    letter = (bare[1] or bare[2]).upper() if bare else ""
    return f"({letter})" if letter in letters else answer


def _plain(text: str) -> str:
    return " ".join(text.lower().rstrip(".").split())


@lru_cache(maxsize=4096)
def _joined_options(text: str) -> tuple[str, ...]:
    """Option texts that were cut at their commas, put together again: every run of two or three neighbours."""
    words = [w for _, w in options(text)]
    return tuple(", ".join(words[i : i + n]) for n in (2, 3) for i in range(len(words) - n + 1))


def allowed(example: Example, answer: str) -> bool | None:
    """Is a canonical answer one that this item allows? None where any text is. Reads the item, never its target."""
    text = question(example)
    match kind(example):
        case "letter":
            return answer in {f"({letter})" for letter, _ in options(text)} or answer in _joined_options(text)
        case "choice":
            return answer in _choices(text)
        case "boolean":
            return answer in ("True", "False")
        case "yes or no":
            return answer in ("yes", "no")
        case "number":
            return re.fullmatch(r"-?\d+", answer) is not None
        case "words":
            _, _, listed = text.rpartition("List:")
            return sorted(answer.split()) == sorted(listed.lower().split())
        case "brackets":
            return bool(answer) and set(answer.split()) <= _CLOSERS
        case _:
            return None


# ---------------------------------------------------------------------------------------------------------------- metrics
_LM_EVAL = re.compile(r"(?<=the answer is )(.*)(?=.)")


def lm_eval_answer(response: str) -> str:
    """What lm-eval's `bbh_cot_fewshot` extracts: the first "the answer is", to the last character but one of its line."""
    found = _LM_EVAL.findall(response)
    return found[0].strip() if found else "[invalid]"


def exact_match(example: Example, response: str) -> float:
    return float(lm_eval_answer(response) == example.target)


def robust_match(example: Example, response: str) -> float:
    return float(extract(example, response) == canonical(example, example.target))
