"""What can be said of a GSM8K response: its final answer, its calculations, the quantities they reach; and the three
metrics.

A response with calculator notes (`<<expression=result>>`) is judged by its notes alone, as the published solutions are
written. In any other the calculations are read where they stand, in prose and LaTeX (`prose`), so that chat models are
judged without being taught the notes.

Evidence never names the final answer: a wrong last step is said to be wrong, not what it should be, and a correction is
the step without its result, in which no number stands that equals the final answer unless the question has it.

Left out: whether the words fit the numbers.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import islice, pairwise
from typing import Any

from herl_bench import Check, Example, Finding, Metric
from herl_bench.answers import LONGEST_NUMBER, LONGEST_PLACE, UNCLOSED, answer_text, last_number, leading_number

from .arithmetic import NOTE, NUMBER, Step, read_note, read_result
from .prose import read_steps

FINAL_LINE = re.compile(rf"#### -?(?:{NUMBER})")
STRICT = re.compile(r"#### (\-?[0-9\.\,]+)")  # the two filters of lm-eval's gsm8k, version 3
FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
TIDY = {ord(odd): plain for odd, plain in zip("−–×÷\u00a0\u202f", "--*/  ", strict=True)}
MOST_STEPS = 300  # a response that repeats itself without end is judged by its first steps; the published files need 24
MOST_NUMBERS = 5000
OPERATIONS = {"+": "sum", "-": "difference", "*": "product", "/": "quotient"}
OPERATION = re.compile(rf"(?:{NUMBER}|\))%?([-+*/])")  # with what stands before it: a sign of a number is none


# -------------------------------------------------------------------------------------------------------------- reading
@dataclass(frozen=True)
class Parsed:
    """What all checks share of one response.

    text: without thoughts; None where a thought was never closed, and then nothing else is read. given: is the answer
    given as one, after `####` and the like, or is it only the last number?
    """

    text: str | None
    steps: tuple[Step, ...] = ()
    answer: Fraction | None = None
    given: bool = False
    reached: frozenset[Fraction] = frozenset()


def observe(examples: Sequence[Example], responses: Sequence[str], sandbox: Any) -> list[Parsed]:
    return [parse(response) for response in responses]


def parse(response: str) -> Parsed:
    answered = answer_text(response)
    if answered is None:
        return Parsed(None)
    text = tidy(answered)
    notes = [
        replace(read_note(note[1]), at=text.rfind("\n", 0, note.start()) + 1)
        for note in islice(NOTE.finditer(text), MOST_STEPS)
    ]
    # How much is thought before the answer begins; -1 where thoughts stand amid it.
    thought = len(response) - len(answered) if response.endswith(answered) else -1
    found = (replace(step, at=_move(step.at, thought)) for step in notes or read_steps(answered, MOST_STEPS))
    steps = tuple(found)
    answer, given = find_final_answer(text)
    if steps:
        reached = {step.value for step in steps if step.value is not None}
        for step in steps:
            if re.search(" [-+*] ", step.result):  # 4 * 2 + 3 * 5 = 8 + 15
                reached |= read_numbers(step.result)
        if answer is not None and given:
            reached.add(answer)
    else:  # a response without calculations may reach its quantities in words
        reached = read_numbers(text)
    return Parsed(text, steps, answer, given, frozenset(reached))


def _move(at: int | None, by: int) -> int | None:
    return at + by if at is not None and by >= 0 else None


def read_numbers(text: str) -> set[Fraction]:
    numbers = {number[0] for number in islice(re.finditer(NUMBER, text), MOST_NUMBERS)}
    return {Fraction(number.replace(",", "")) for number in numbers if len(number) <= LONGEST_NUMBER}


def tidy(text: str) -> str:
    """Typographic signs as keyboards have them."""
    return text.translate(TIDY)


def _cut_at_brace(place: str) -> str:
    """The text up to the brace that closes the one before it."""
    depth = 1
    for at, sign in enumerate(place):
        depth += {"{": 1, "}": -1}.get(sign, 0)
        if not depth:
            return place[:at]
    return place


def _cut_at_tag(place: str) -> str:
    return place[: found.start()] if (found := re.search("</answer", place, re.IGNORECASE)) else place


# Where a final answer stands, best first; of several such places the first (1) or the last (-1). What a box or a tag
# holds is cut out.
_MARKS: tuple[tuple[re.Pattern[str], int, Callable[[str], str] | None], ...] = (
    (re.compile(r"(?<!#)####(?!#*\s*\d{1,2}[.)] +[*_]*[A-Z])"), 1, None),  # not a heading, "#### 2. Find the eggs"
    (re.compile(r"<answer>", re.IGNORECASE), -1, _cut_at_tag),
    (re.compile(r"\\f?box(?:ed)?\s?\{"), -1, _cut_at_brace),
    (
        re.compile(r"answer\b[*_ ]{0,4}(?:is\b|was\b|equals\b|(?:would|should|must|will) be\b|:|=)", re.IGNORECASE),
        -1,
        None,
    ),
)
_MOST_PLACES = 50


def find_final_answer(text: str) -> tuple[Fraction | None, bool]:
    """(the final answer, is it given as one?).

    After the first `####` that is no numbered heading, else in the last `<answer>` or `\\boxed{}`, else after the last
    "answer is", else the last number of the text. A place with no number at its beginning is no answer ("the answer is
    clear: …"); one with a calculation, a range or a choice of two is an answer that is no number, and no
    other place counts then.
    """
    for mark, step, cut in _MARKS:
        found = list(mark.finditer(text))
        places = [(m.end(), after.start()) for m, after in pairwise(found)] + [(m.end(), len(text)) for m in found[-1:]]
        for start, end in places[::step][:_MOST_PLACES]:
            place = text[start : min(end, start + LONGEST_PLACE)]
            place = cut(place) if cut else place
            line = next((line for line in place.splitlines() if re.search(r"\w", line)), "")
            given, value = leading_number(line)
            if given:
                return value, True
            if cut and re.search(r"\d", line):  # whole sentences are answers there
                return last_number(line), True
    return last_number(text), False


def extract(example: Example, response: str) -> str | None:
    answer = parse(response).answer
    return None if answer is None else str(answer)


def format_number(value: Fraction) -> str:
    """A number as a person writes it, with at most four decimals."""
    if value.denominator == 1 or abs(value) >= 10**LONGEST_NUMBER:  # beyond that `float` may not hold it
        return str(round(value))
    return f"{float(value):.4f}".rstrip("0")


# --------------------------------------------------------------------------------------------------------------- checks
def answer_format(example: Example, seen: Parsed) -> Finding:
    """One line `#### number`, and it is the last."""
    if seen.text is None:
        return Finding(False, UNCLOSED)
    lines = seen.text.strip().splitlines()
    marked = [line for line in lines if "####" in line]
    if not marked:
        return Finding(False, 'no last line "#### number"')
    if len(marked) > 1:
        return Finding(False, f'{len(marked)} lines with "####"')
    if not FINAL_LINE.fullmatch(lines[-1].strip()):
        return Finding(False, 'the last line is not "#### number"')
    return Finding(True)


def steps_valid(example: Example, seen: Parsed) -> list[Finding]:
    """Every calculation is arithmetically right. Does not apply to a response in which none is read."""
    return [_judge_step(k, step, last=k == len(seen.steps)) for k, step in enumerate(seen.steps, 1)]


def _judge_step(k: int, step: Step, last: bool) -> Finding:
    part, result = f"step {k}", step.result[:20]
    if step.right:
        return Finding(True, part=part)
    if step.expected is None:
        return Finding(False, f"{part}: cannot read {step.expression[:40]}={result}", part=part, at=step.at)
    # Prose has no steps that a reader could count, so the calculation stands for itself there.
    named, equals = ("", " = ") if step.in_prose else (f"{part}: ", "=")
    said = f"{named}{step.expression}{equals}{result}, should be {format_number(step.expected)}"
    if last:  # what it should be may well be the final answer
        said = f"{named}{step.expression} is not {result}"
    return Finding(False, said, part=part, at=step.at)


def quantities(example: Example, seen: Parsed) -> list[Finding]:
    """Each intermediate quantity of the worked solution is reached: as the result of a calculation, or, where none is
    read, as a number that the question does not give. Does not apply where the worked solution has no calculator notes.
    """
    given = {seen.answer} if seen.given else set()
    reached = seen.reached if seen.steps else seen.reached - read_numbers(example.info["question"]) | given
    findings = []
    for k, ((expression, result), correction) in enumerate(
        zip(example.info["steps"], write_corrections(example), strict=True), 1
    ):
        value, part = read_result(result), f"step {k}"
        if value is None:
            findings.append(Finding(None, f"{part}: the worked solution's result {result!r} is no number", part=part))
        elif value in reached:
            findings.append(Finding(True, part=part))
        else:
            findings.append(Finding(False, f"{part} is not reached{_name_operations(expression)}", correction, part))
    return findings


def _name_operations(expression: str) -> str:
    """The kinds of a calculation's operations as they stand in it, in parentheses: ` (a product and a sum)`; empty for
    a bare number. Which numbers go into them is for the correction to say."""
    counts = Counter(OPERATIONS[sign] for sign in OPERATION.findall(expression))
    kinds = [
        f"a {name}" if count == 1 else f"{'two' if count == 2 else 'several'} {name}s" for name, count in counts.items()
    ]
    return f" ({' and '.join(kinds)})" if kinds else ""


def write_corrections(example: Example) -> list[str]:
    """Per step of the worked solution: the calculation without its result; empty where nothing can be said without the
    final answer."""
    answer = Fraction(example.info["answer"])
    in_question = {Fraction(n.replace(",", "")) for n in re.findall(NUMBER, example.info["question"])}
    earlier: dict[Fraction, int] = {}
    words = []
    for k, (expression, result) in enumerate(example.info["steps"], 1):
        words.append(_write_correction(k, expression, None if answer in in_question else answer, earlier))
        if (value := read_result(result)) is not None:
            earlier.setdefault(value, k)
    return words


def _write_correction(k: int, expression: str, secret: Fraction | None, earlier: dict[Fraction, int]) -> str:
    if not OPERATION.search(expression):
        return ""  # a bare number: the "calculation" is its result
    shown = expression
    if secret is not None:
        source = earlier.get(abs(secret))
        if any(Fraction(n.replace(",", "")) == abs(secret) for n in re.findall(NUMBER, expression)):
            if source is None:
                return ""
            shown = re.sub(
                NUMBER,
                lambda m: f"(step {source})" if Fraction(m[0].replace(",", "")) == abs(secret) else m[0],
                expression,
            )
    return f"step {k} should be {shown}"


def final_answer(example: Example, seen: Parsed) -> Finding:
    """The final answer is the right number, however it is written."""
    if seen.answer == Fraction(example.info["answer"]):
        return Finding(True)
    return Finding(
        False, UNCLOSED if seen.text is None else "the final answer is wrong" if seen.given else "no final answer"
    )


CHECKS = (
    Check("gsm8k.answer_format", answer_format, observe=observe),
    Check("gsm8k.steps_valid", steps_valid, observe=observe),
    Check("gsm8k.quantities", quantities, needs_reference=True, observe=observe),
    Check("gsm8k.final_answer", final_answer, needs_reference=True, observe=observe),
)


# -------------------------------------------------------------------------------------------------------------- metrics
def strict_match(example: Example, response: str) -> float:
    return _match_exactly(found[0].strip() if (found := STRICT.findall(response)) else "[invalid]", example.target)


def flexible_extract(example: Example, response: str) -> float:
    groups = [group for group in (FLEXIBLE.findall(response) or [()])[-1] if group]
    return _match_exactly(groups[0].strip() if groups else "[invalid]", example.target)


def _match_exactly(prediction: str, target: str) -> float:
    return float(_strip_ignored(prediction) == _strip_ignored(target))


def _strip_ignored(text: str) -> str:
    """lm-eval's `regexes_to_ignore`, one after the other: `,`, `\\$`, `(?s).*#### `, `\\.$`."""
    return re.sub(r"\.$", "", text.replace(",", "").replace("$", "").rpartition("#### ")[2]).lower()


def robust_match(example: Example, seen: Parsed) -> float:
    """The final answer, as the criterion `final_answer` reads it, is the right number."""
    return float(seen.answer == Fraction(example.info["answer"]))


METRICS = (
    Metric(
        "exact_match",
        strict_match,
        "strict-match",
        description="lm-eval's gsm8k: the number after ####",
        id="gsm8k/strict",
        whole=True,
    ),
    Metric(
        "exact_match",
        flexible_extract,
        "flexible-extract",
        description="lm-eval's gsm8k: the last number",
        id="gsm8k/flexible",
        whole=True,
    ),
    Metric(
        "robust_match",
        robust_match,
        "numeric",
        observe,
        description="equal as numbers, however written",
        id="gsm8k/robust",
    ),
)
