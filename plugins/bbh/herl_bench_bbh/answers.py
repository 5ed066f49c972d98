"""What counts as an answer: its form, the options of an item, the answer found in a response, and the two metrics.

An item asks for one of seven kinds of answer: an option letter `(B)`, one of the dashed options, `True`/`False`,
`Yes`/`No`, a number, the given words in order, or brackets. `canonical` brings the ways of writing one answer together
(`b`, `(B)`, `(B) pink ball`, `pink ball`).

Three published items have a target that is no listed option, because the option's own text was cut at its commas (`(A)
Monsters`, `(B) Inc` for `Monsters, Inc`). The rule that covers them reads only the item: neighbouring option texts
joined again with a comma are allowed too.

Left out: answers in other languages, and answers in words for numbers ("twelve").
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from herl_bench import Example, answer_text
from herl_bench.answers import leading_number

ASKED_FORM = re.compile(r"the answer is (?P<answer>\S.*?)\.\s*\Z", re.IGNORECASE)
_GIVEN = re.compile(
    r"\banswer\b[*_ ]{0,4}(?:is\b|was\b|equals\b|(?:would|should|must|will) be\b|:|=)"
    r"|\b(?:correct|right|best) (?:option|choice)\b[*_ ]{0,4}(?:is\b|:)|<answer>|\\f?box(?:ed)?\s?(?=\{)"
    r"|^[#*_> ]{0,6}(?:final |correct )?answer[*_ ]{0,4}$"  # a heading
    r"|^[#*_> ]{0,6}(?:final |correct )?answer[*_ ]{1,4}(?:[-–—]\s|(?=[(*]))",  # "Answer - B", "Answer (B)"
    re.IGNORECASE | re.MULTILINE,
)
# "(B) is the correct answer", "so option B is correct": read where no answer is given in other words.
_CALLED_RIGHT = re.compile(
    r"(?P<given>\((?P<one>[A-Z])\)|\b(?:option|choice) \(?(?P<other>[A-Z])\b\)?)(?P<between>[^.!?()\n]{0,80}?)"
    r"\bis (?:therefore |thus |hence |indeed )?(?:the )?(?:correct|right)(?: (?:answer|option|choice|one))?+\b"
    r"(?![^.!\n]{0,20}\?)",
    re.IGNORECASE,
)
_UNSURE = re.compile(
    r"\b(?:not|neither|nor|never|or|and|either|if|whether|unless|suppose|assum\w+)\b|n't\b|\?", re.IGNORECASE
)
_LONGEST = 2000  # characters of a place where an answer is given
_MOST_PLACES = 50
# "I hope this answer is helpful!", "Let me know if the answer is clear": said of an answer, none itself.
_REMARK = re.compile(
    r"(?:not )?(?:also |now |so |very |really |quite"
    r" )?(?:helpful|clear|correct|right|wrong|incorrect|useful|obvious|simple|satisfactory"
    r"|acceptable|fine|good|okay|ok|what|that you|whether|based on|found by|derived|given"
    r" by|determined|obtained|explained|supported)\b",
    re.IGNORECASE,
)
_BEGUN = re.compile(r"[\s(\[{<\"'*\\]*")  # nothing, or an answer that was cut off before it said anything
_ANNOUNCED = re.compile(r"(?:as follows|the following|this|below|here)\b[*_ ]*:?[*_ ]*$", re.IGNORECASE)
_UNDRESSED = (
    (re.compile(r"\\(?:f?box(?:ed)?|(?:text|math)[a-z]*)\s?\{(.*)\}"), r"\1"),
    (re.compile(r"\\(?:f?box(?:ed)?|(?:text|math)[a-z]*)\s?\{"), ""),
    (re.compile(r"\\[()\[\],;! ]"), " "),
    (re.compile(r"\\([{}$%])"), r"\1"),
    (re.compile(r"\*\*|__|\$|`|</?[a-z]+ ?/?>"), ""),
)
_LETTERED = re.compile(r"^\(([A-Z])\) ?(.*)$", re.MULTILINE)
_DASHED = re.compile(r"^- (.+)$", re.MULTILINE)
_WIDE = str.maketrans("（）［］【】｛｝：．，“”‘’", "()[][]{}:.,\"\"''")
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


def get_question(example: Example) -> str:
    """The item's own text, without the prompt around it."""
    return str(example.info["input"])


def get_subtask(example: Example) -> str:
    """What stands before the slash in a family of the synthetic world (`word_sorting/harbour`), elsewhere all of it."""
    return str(example.info["family"]).partition("/")[0]


@lru_cache(maxsize=4096)
def read_options(text: str) -> tuple[tuple[str, str], ...]:
    """(letter, text) of each lettered option, () where there are none."""
    _, _, listed = text.rpartition("\nOptions:\n")
    return tuple((letter, words.strip()) for letter, words in _LETTERED.findall(listed))


@lru_cache(maxsize=4096)
def _read_choices(text: str) -> tuple[str, ...]:
    _, _, listed = text.rpartition("\nOptions:\n")
    return tuple(words.strip() for words in _DASHED.findall(listed))


def find_kind(example: Example) -> str:
    """`letter`, `choice`, `boolean`, `yes or no`, `number`, `words`, `brackets`, or `text` for a subtask that nobody
    described here."""
    text = get_question(example)
    if read_options(text):
        return "letter"
    if _read_choices(text):
        return "choice"
    return _FAMILY_KINDS.get(get_subtask(example), "text")


def find_given_answers(response: str) -> Iterator[str]:
    """What is given as an answer, the last one first: the text after "the answer is" and the like, to the end of its
    place, undressed line by line."""
    found = list(_GIVEN.finditer(response))
    ends = [*(m.start() for m in found), len(response)][1:]
    for mark, end in list(zip(found, ends, strict=False))[: -_MOST_PLACES - 1 : -1]:
        place = response[mark.end() : min(end, mark.end() + _LONGEST)]
        if mark[0].startswith("\\"):
            place = mark[0] + place
        lines = [_undress(line) for line in re.split("(?i)</answer", place)[0].splitlines()]
        if lines and _ANNOUNCED.match(lines[0]):
            lines = lines[1:]
        text = "\n".join(lines).strip("\n")
        if _BEGUN.fullmatch(text) is None and not _REMARK.match(text):
            yield text


def _find_called_right(response: str) -> str | None:
    """The one option that is called the right one; None where none is, or where two are."""
    found = []
    for match in _CALLED_RIGHT.finditer(response[-_LONGEST:]):
        before = re.split(r"[.!?\n]", match.string[: match.start()])[-1]
        if _UNSURE.search(before + match["between"]):
            return None
        found.append((match["one"] or match["other"]).upper())
    return f"({found[0]})" if len(set(found)) == 1 else None


def _undress(line: str) -> str:
    """A line without LaTeX, emphasis and what stands around an answer."""
    line = "" if line.strip().startswith("```") else line.translate(_WIDE)
    for pattern, plain in (*_UNDRESSED[:1] * 3, *_UNDRESSED[1:]):
        line = pattern.sub(plain, line)
    line = line.strip().strip('*_:"').strip()
    return re.sub(r"\s*\.$", "", line).strip("\"' ")


def extract(example: Example, response: str) -> str | None:
    """The final answer in its canonical writing, None where the response gives none, or never closes a thought."""
    text = answer_text(response) or ""
    given = next(find_given_answers(text), None)
    if given is None and find_kind(example) == "letter":
        given = _find_called_right(text)
    return _read_bare(example, text) if given is None else canonicalize(example, given)


def _read_bare(example: Example, response: str) -> str | None:
    """The answer of a response that is nothing else: `(B)`, `Option B: pink ball`, `pink ball.`, `**True**`, `24`."""
    text = response.strip()
    line = _undress(text) if len(text) <= _LONGEST and "\n" not in text else ""
    answer = canonicalize(example, line)
    if not is_allowed(example, answer):
        return None
    words = re.escape(dict(read_options(get_question(example))).get(answer.strip("()"), ""))
    form = rf"{words}|(?:option )?\(?{answer[1:2]}\)?[.:)]*(?:\s+{words})?" if words else re.escape(answer)
    return answer if re.fullmatch(form, line, re.IGNORECASE) else None


def canonicalize(example: Example, answer: str) -> str:
    """One writing for all the ways of giving the same answer; `answer` may go on after it. What gives none is left as
    it is."""
    text, line = get_question(example), answer.strip().split("\n")[0].strip()
    match find_kind(example):
        case "letter":
            return _read_letter(text, line)
        case "choice":
            return _pick_choice(line, _read_choices(text)) or line
        case "boolean":
            return _pick_choice(line.split("=")[-1], ("True", "False")) or line
        case "yes or no":
            return (_pick_choice(_NO_SUCH.sub("not any ", line), ("Yes", "No")) or line).lower()
        case "number":
            _, number = leading_number(line)
            return str(number) if number is not None and number.denominator == 1 else line
        case "words":
            return _read_words(answer, text)
        case "brackets":
            run = _BRACKETS.match(line)
            return " ".join(c for c in (run[0] if run else line) if not c.isspace() and c not in "\"'`,")
        case _:
            return " ".join(line.split())


_BRACKETS = re.compile(r"[\s\"'`,]*(?:[)\]}>][\s\"'`,]*+)++(?![\[({<]|or\b)")
_REASON = r"(?=\s+(?:because|since|as|which|given|due|for|so|but)\b|\s*$|[,;:.)!?]|\s*\(|\s+[-–—])"
_NO_SUCH = re.compile(r"\bno (?=(?:way|one|information|idea|answer|evidence|reason|clear|definite)\b)", re.IGNORECASE)
_DENIED = re.compile(r"\b(?:not|neither|nor|never|but|except|besides|other than|\w+n't)\b", re.IGNORECASE)
_TAKEN_BACK = r"\)? (?:is|was) (?:not|wrong|incorrect|false)\b"
_OR = r"\s*(?:,\s*)?(?:\bor\b|\band\b|/|&|\bor else\b)\s*(?:maybe |perhaps |possibly |either )?"


def _pick_choice(line: str, choices: Sequence[str]) -> str:
    """The choice that a line begins with, or else the only one that it names; "" for none, for two, and for a denied
    one."""
    by_length = sorted(choices, key=len, reverse=True)
    names = "|".join(map(re.escape, by_length))
    exact = {choice.lower(): choice for choice in choices}
    if first := re.match(rf"[\s\"'(\[]*({names})(?!\w)", line, re.IGNORECASE):
        another = rf"\?\s*(?:{names})|\W*(?:{names})\W*$|{_OR}[\"'(\[]*(?:not )?(?:{names})(?!\w)|{_TAKEN_BACK}"
        return "" if re.match(another, line[first.end() :], re.IGNORECASE) else exact[first[1].lower()]
    sentence = re.split(r"[.;]\s", line)[0]
    named = {name.lower() for name in re.findall(rf"(?<!\w)(?:{names})(?!\w)", sentence, re.IGNORECASE)}
    denied = _DENIED.search(sentence) or re.search(rf"\bor\b|{_TAKEN_BACK}", sentence, re.IGNORECASE)
    return exact[named.pop()] if len(named) == 1 and not denied else ""


def _read_words(answer: str, text: str) -> str:
    """The given words as listed: in a line, with commas, numbered, or one below the other; what follows the last of
    them is no answer."""
    listed = text.rpartition("List:")[2].lower().split()
    written = [
        word
        for word in (token.strip("[](){}\"'`,;.:*•→<>-–") for token in re.split(r"[\s,<>→]+", answer.lower()))
        if word
    ]
    written = [word for word in written if word in listed or not re.fullmatch(r"\d+|and", word)]
    # "…, and cow" where `and` is itself a word of the list
    if written[-2:-1] == ["and"] and len(written) == len(listed) + 1:
        del written[-2]
    first, rest = written[: len(listed)], written[len(listed) :]
    return " ".join(first if sorted(first) == sorted(listed) and rest[:1] != ["or"] else written)


_OPTION_WORD = re.compile(
    r"^(?:> ?)?(?:X(?:, where X is|:| =|,) ?)?"
    r"(?:(?:(?:most )?(?:likely|probably)|clearly|definitely|indeed|simply|that)\b,? ?)?"
    r"(?:not (?:option )?\(?[A-Z]\)?,? but (?:rather |instead )?)?"
    r"(?:(?:the )?(?:correct )?(?:option|choice|answer|letter)\b ?:? ?)?",
    re.IGNORECASE,
)
_BARE_LETTER = re.compile(rf"[(\[{{<] ?([A-Za-z]) ?[)\]}}>]|\(?([A-Z]){_REASON}|([a-z])(?=$|[).:])")


def _read_letter(text: str, answer: str) -> str:
    listed = read_options(text)
    letters = {letter for letter, _ in listed}
    answered = _OPTION_WORD.sub("", answer)
    part = re.split(r"[;.]\s|,?\s(?:because|since|as|which|given|so)\s", answered)[0]
    for wording in map(_simplify, (answer, answered, part)):
        for joined in _join_options(text):  # before the letters: "a b" may be an option's text and starts with a letter
            if wording == _simplify(joined):
                return joined
        if len(same := [letter for letter, words in listed if wording == _simplify(words)]) == 1:
            return f"({same[0]})"
    bare = _BARE_LETTER.match(answered)
    found = next(filter(None, bare.groups())).upper() if bare else ""
    sentence = re.split(r"[.;!?]\s", answered)[0]
    if not bare:  # "most likely (B)", "the one in (B)"
        named = set(re.findall(r"\(([A-Z])\)", sentence))
        found = named.pop() if len(named) == 1 and not _DENIED.search(sentence) else ""
    if found not in letters or _is_hedged(answered, found, letters) or re.match(rf"\W*[A-Z]{_TAKEN_BACK}", answered):
        return answer
    return f"({found})"


def _is_hedged(answer: str, found: str, letters: set[str]) -> bool:
    """Is another option named beside the first: "(B) or (C)", "B and C", "B/C", "(B), (C)", "(B); (C)"?"""
    sentence = re.split(r"[.;!?]\s", answer)[0]
    either = re.split(
        r"\b(?:not|neither|rather than|instead of|unlike|because|since|(?<!well )as(?! well as))\b", sentence
    )[0]
    beside = re.findall(
        r"(?:\bor\b|\band\b|/|&|\bas well as\b|\bmaybe\b|\bperhaps\b|\bpossibly\b)\s*"
        r"(?:also |maybe |perhaps |possibly |option |choice )*(?:\(([A-Z])\)|([A-Z])(?![\w']))",
        either,
    )
    beside += re.findall(r"^\W*(?:option )?[A-Z]\W*?\s*(?:\(([A-Z])\)|\b([A-Z])$)", either)
    beside += re.findall(r"^\W*(?:option )?[A-Z]\W*,\s*(?:\(([A-Z])\)|([A-Z])(?=\W*$|,))", either)
    beside += re.findall(r"^\W*[A-Z]\W*[;?]\W*(?:or )?\W*(?:\(([A-Z])\)|([A-Z]))\W*$", answer)
    return any((one or other) in letters - {found} for one, other in beside)


def _simplify(text: str) -> str:
    return re.sub(r"^(?:the|an?) (?=.)", "", " ".join(text.translate(_WIDE).lower().strip("\"'").rstrip(".").split()))


@lru_cache(maxsize=4096)
def _join_options(text: str) -> tuple[str, ...]:
    """Option texts that were cut at their commas, put together again: every run of two or three neighbours."""
    words = [w for _, w in read_options(text)]
    return tuple(", ".join(words[i : i + n]) for n in (2, 3) for i in range(len(words) - n + 1))


def is_one_sentence(example: Example, answer: str) -> bool:
    """Is what stands after "the answer is" an answer alone, without another sentence? An option's text may be one."""
    if not re.search(r"[.!?]\s+\S", answer):
        return True
    named = re.sub(r"^\(?[A-Z]\)?[.:)]?\s+", "", answer)
    return any(
        _simplify(words) in (_simplify(answer), _simplify(named)) for _, words in read_options(get_question(example))
    )


def is_allowed(example: Example, answer: str) -> bool | None:
    """Is a canonical answer one that this item allows? None where any text is. Reads the item, never its target."""
    text = get_question(example)
    match find_kind(example):
        case "letter":
            return answer in {f"({letter})" for letter, _ in read_options(text)} or answer in _join_options(text)
        case "choice":
            return answer in _read_choices(text)
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


# -------------------------------------------------------------------------------------------------------------- metrics
_LM_EVAL = re.compile(r"(?<=the answer is )(.*)(?=.)")


def extract_as_lm_eval(response: str) -> str:
    """What lm-eval's `bbh_cot_fewshot` extracts: the first "the answer is", to the last character but one of its
    line."""
    found = _LM_EVAL.findall(response)
    return found[0].strip() if found else "[invalid]"


def exact_match(example: Example, response: str) -> float:
    return float(extract_as_lm_eval(response) == example.target)


def robust_match(example: Example, response: str) -> float:
    return float(extract(example, response) == canonicalize(example, example.target))
