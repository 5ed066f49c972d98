"""Every check and metric of the built-in tasks, and the core's own, on the worst text that we could write: a verdict,
soon, and a short one.

Processor time grows with the length: 12 KB of each text within a margin for a slow machine, and a megabyte of a
rotating part of them. What a response makes slow freezes training, evaluation and scoring alike.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import pytest

from herl_bench import Example, Finding, answer_text
from herl_bench.plugins import load_host
from herl_bench.rubric import CHECKS, LONGEST_EVIDENCE, judge
from herl_bench.sandbox.model import Assertion, Verdict
from herl_bench.types import Criterion, Rubric

pytest.importorskip("herl_bench_gsm8k")
pytest.importorskip("herl_bench_bbh")
pytest.importorskip("herl_bench_humaneval")
from herl_bench_bbh import data as bbh
from herl_bench_gsm8k import data as gsm8k

SHORT, LONG = 12_000, 1_000_000
LIMITS = {
    SHORT: 0.4,
    LONG: 2.0,
}  # seconds of processor time for one check or metric; on an idle machine a tenth of it is needed

REPEATED = [
    " ",
    "\n",
    "\t \n",
    "\r\n",
    "7",
    ",",
    "1,",
    "1 ",
    "1.",
    ",111",
    "1 000 ",
    "9e",
    "5-",
    "½",
    "7 1/",
    "(",
    "[",
    "{",
    ")",
    "] ) } > ",
    "<<",
    "<<1+1=",
    "<<1=1>>",
    "<<1/3%=1>>",
    "####",
    "#### ",
    "#### 1 ",
    "####\n",
    "\\boxed{",
    "\\boxed{1",
    "\\fbox{1}",
    "\\text{",
    "\\frac{1}{2}",
    "\\",
    '"',
    "'",
    "`",
    "$",
    "%",
    "=",
    "1=",
    "1+1=",
    "1+",
    "9*",
    "-",
    "not ",
    "True and ",
    "A and B ",
    "A = ",
    "(A) ",
    "the answer is ",
    "the answer is a. ",
    "the answer is (B) ",
    "the answer is (B) or ",
    "the answer is 1/",
    "answer: ",
    "**answer**:",
    "<answer>",
    "<answer>1",
    "x. .",
    "e\u0301",
    "７",
    "\u202eא",
    "😀",
    "\0",
    "\ud800",
    "```\n",
    "```python\n",
    "```\nx\n",
    "```python\ndef f(x):\n  return (\n```\n",
    "~~~\n",
    "<think>",
    "<think></think>",
    "</think>",
    "<think ",
    "[THINK]",
    "def f(",
    "def f(x):\n",
    "x=1\n",
    "    x=1\n",
    'f"{',
    '"a"',
    "lambda:",
    "a < ",
    "a",
    "ab",
    "A",
    "\n(1) ",
    "(1) x (0, 0). ",
    "- ",
    "- a (1)\n",
    '"a": "a" (1) ',
    "1: [ ; stack: [ \n",
    ": ",
    ":",
    "one ",
    "one hundred ",
    "six ",
    "pop out [ and ",
    "x tells the truth ",
    "today is 01/01/2000 ",
    "__",
    "**",
    '{"a":',
    "[1,",
    "> ",
    "* ",
    "·",
]
OPENINGS = [
    "#### {}x",
    "the answer{}",
    "the answer is {}x",
    "the answer is\n{}",
    "    return {}1",
    "- {}",
    "<<{}=1>>",
    "\\boxed{{{}",
    "12: {}",
    '"{}"',
    "eight {}",
    "```python\n{}",
]
FILLED = [" ", "\n", "a", "7", "1,", "(", "-", "six ", "x."]
WHOLE = {
    "a number of 5,000 digits everywhere": (
        "#### {0}\nThe answer is {0}. <<1={0}>> ({0}) [{0}]\n- a ({0})\n{0} + 1 = {0}".format("9" * 5000)
    ),
    "a hexadecimal number of 19,000 digits": "    return 0x" + "F" * 19_000 + "\n",
    "percent of percent": "<<1/3" + "%" * 150 + "=1>>\n#### 1",
    "deep indentation": "".join(" " * depth + "if x:\n" for depth in range(240)),
    "nested brackets that close": "    return " + "(" * 9000 + ")" * 9000,
    "nested lists": "[" * 9000 + "]" * 9000,
    "a chain of attributes": "    return x" + ".a" * 9000,
    "a chain of operators": "    return " + "x+" * 9000 + "1",
    "all at once": "#### \\boxed{<<1+1=2>>the answer is (B) ```python\n" * 600,
}


def texts(length: int) -> Mapping[str, str]:
    made = {repr(unit): (unit * (length // len(unit) + 1))[:length] for unit in REPEATED}
    made |= {
        f"{opening} of {unit!r}": opening.format(unit * (length // len(unit)))
        for opening in OPENINGS
        for unit in FILLED
    }
    return {**made, **WHOLE}


class Failing:
    """A sandbox in which every program fails its hidden tests, so that whatever is said of a failure is said."""

    workers = 1

    def map(self, jobs: list[Any]) -> list[Verdict]:
        assert all(len(job.code) <= 40_000 for job in jobs)
        failed = Assertion("hidden", 0, "assert candidate(1) == 1", False, "got 2, expected 1")
        return [Verdict("fail", loaded=True, defined=True, results=(failed,)) for _ in jobs]


BBH = {
    "date_understanding": ("Which?\nOptions:\n(A) red ball\n(B) blue ball\n(C) pink, ball", "(B)"),
    "boolean_expressions": ("not ( True ) and True is", "False"),
    "multistep_arithmetic_two": ("((2 + 3 * 4) - (5 - -1)) =", "8"),
    "object_counting": ("I have two cats, a dog, a piano, and three pigs. How many animals do I have?", "6"),
    "word_sorting": ("Sort the following words alphabetically: List: cow ant cat and", "and ant cat cow"),
    "web_of_lies": ("Question: Jim lies. Ann says Jim lies. Bob says Ann lies. Does Bob tell the truth?", "No"),
    "sports_understanding": ("Is it plausible?", "yes"),
    "formal_fallacies": ("Is it?\nOptions:\n- valid \n- invalid", "invalid"),
    "dyck_languages": ("Complete. Input: [ ( ) {", "} ]"),
    "navigate": (
        (
            "If you follow these instructions, do you return to the starting point? Take 2 steps. Turn"
            " around.\nOptions:\n- Yes\n- No"
        ),
        "No",
    ),
    "logical_deduction_three_objects": (
        (
            "In a golf tournament, there were three golfers: Amy, Eli, and Eve. Eve finished above Amy. Eli finished"
            " below Amy.\nOptions:\n(A) Amy finished last\n(B) Eli finished last\n(C) Eve finished last"
        ),
        "(B)",
    ),
    "tracking_shuffled_objects_three_objects": (
        (
            "Alice, Bob, and Claire are playing a game. At the start of the game, they are each holding a ball: Alice"
            " has a red ball, Bob has a blue ball, and Claire has a pink ball.\nAs the game progresses, pairs of"
            " players trade balls. First, Claire and Alice swap balls. Finally, Alice and Bob swap balls. At the end of"
            " the game, Bob has the\nOptions:\n(A) red ball\n(B) blue ball\n(C) pink ball"
        ),
        "(C)",
    ),
}
EXAMPLES: dict[str, Example] = {
    "core": Example("core", "", ""),
    "gsm8k": gsm8k.build_example(
        {"question": "What are 2 and 3?", "answer": "2+3=<<2+3=5>>5\n#### 5"}, "test", 0, "here"
    ),
    "humaneval": Example(
        "f",
        'def f(x):\n    """ Itself. """\n',
        "    return x\n",
        {
            "entry_point": "f",
            "test": "def check(candidate):\n    assert candidate(1) == 1\n",
            "examples": [{"call": "f(1)", "expected": "1"}],
        },
    ),
    **{
        f"bbh {name}": bbh.build_example({"input": text, "target": target}, name, 0, "here")
        for name, (text, target) in BBH.items()
    },
}


@cache
def judged_by(task: str) -> tuple[Rubric, list[Any]]:
    """The checks and metrics to try: a task's own, all metrics under its name, and the core's."""
    host = load_host()
    if task == "core":
        with_words = {"regex": {"pattern": "^x"}, "max_words": {"words": 5}}
        return (
            Rubric("core", [Criterion(c.name, c.name, _bound(c.function, with_words.get(c.name, {}))) for c in CHECKS]),
            [],
        )
    return host.get("rubric", task), [
        metric for name, metric in host.items("metric").items() if name.startswith(f"{task}/")
    ]


def _bound(check: Callable[..., Any], words: dict[str, Any]) -> Callable[[Example, str], Any]:
    return lambda example, response: check(example, response, **words)


def slowest(name: str, response: str) -> tuple[float, str]:
    """The most seconds that one check, metric or observation took. Fails where one raised, said too much, or gave
    something else than a verdict."""
    example, (rubric, metrics) = EXAMPLES[name], judged_by(name.split()[0])
    observed: dict[Any, Any] = {None: response}
    times: list[tuple[float, str]] = []
    for what, observe, function in [(c.name, c.observe, c.check) for c in rubric.criteria] + [
        (m.id, m.observe, m.score) for m in metrics
    ]:
        before = time.process_time()
        if observe not in observed:
            observed[observe] = observe([example], [response], Failing())[0]
            times.append((time.process_time() - before, f"observe for {what}"))
            before = time.process_time()
        said = function(example, observed[observe])
        times.append((time.process_time() - before, what))
        findings = [] if isinstance(said, float) else said if isinstance(said, list) else [said]
        assert len(findings) <= 400, what
        assert all(isinstance(f, Finding) and f.met is not None for f in findings), what
    return max(times)


def late(name: str, response: str, limit: float) -> bool:
    """Twice: on a busy machine a first call may pay for what others threw out of memory."""
    return slowest(name, response)[0] > limit and slowest(name, response)[0] > limit


@pytest.mark.parametrize("name", EXAMPLES)
def test_hostile_text_gets_a_verdict_in_time(name: str) -> None:
    assert [text for text, response in texts(SHORT).items() if late(name, response, LIMITS[SHORT])] == []


@pytest.mark.parametrize("turn", range(2))
def test_a_megabyte_gets_a_verdict_in_time(turn: int) -> None:
    """Each text goes to one of the examples, each example gets texts of all sorts."""
    names, found = list(EXAMPLES), []
    for at, (text, response) in enumerate(list(texts(LONG).items())[turn::12]):
        name = names[(at * 2 + turn) % len(names)]
        if late(name, response, LIMITS[LONG]):
            found.append((name, text))
    assert found == []


def test_thoughts_are_found_in_time() -> None:
    for unit in (
        "<think>",
        "</think>",
        "<think></think>",
        "<think",
        "<think ",
        "<",
        "[THINK]",
        '"<think>"',
        "<think \n",
    ):
        before = time.process_time()
        answer_text(unit * (LONG // len(unit)))
        assert time.process_time() - before < LIMITS[LONG], unit


def test_evidence_is_short_whatever_a_check_says() -> None:
    def talks(example: Example, response: str) -> Finding:
        return Finding(False, response, response, response)

    (judgement,) = judge([EXAMPLES["core"]], ["é" * LONG], Rubric("r", [Criterion("talks", "t", talks)]))
    (verdict,) = judgement.verdicts
    assert {len(verdict.evidence), len(verdict.correction), len(verdict.part)} == {LONGEST_EVIDENCE}


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "9" * 5000, '"' + "\\" * 99_999, "", "NaN,", "\ud800"]
)
def test_what_is_no_json_is_unmet(text: str) -> None:
    check = next(c for c in CHECKS if c.name == "json").function
    assert check(EXAMPLES["core"], text).met is False  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("response", "json", "words"),
    [
        ('{"a": 1}', True, True),
        ("<think>so many words are thought here</think>[1]", True, True),
        ("so many words are thought here</think>[1]", True, True),
        ("<think>[1]", False, False),
        ("[1]<think>", False, False),
        ("<think>[1]</think>no, it is not JSON at all", False, False),
    ],
)
def test_the_core_s_checks_look_at_the_answer_alone(response: str, json: bool, words: bool) -> None:
    rubric, _ = judged_by("core")
    (judgement,) = judge([EXAMPLES["core"]], [response], rubric)
    assert (judgement.criteria["json"], judgement.criteria["max_words"]) == (json, words)
