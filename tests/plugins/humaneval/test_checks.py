"""Judging answers in the real sandbox: each criterion, the metrics, the guidance that comes of them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import pytest
from herl_bench_humaneval import checks, data
from herl_bench_humaneval.template import OWN, TEMPLATE
from herl_bench_humaneval.world import make_demonstrations

from herl_bench import Example
from herl_bench.hindsight import write_guidance, write_revision, write_revision_prompt
from herl_bench.locate import rubrics_path
from herl_bench.rubric import judge, load_rubric
from herl_bench.sandbox import Sandbox
from herl_bench.types import Criterion, Judgement, Rubric, Verdict

RUBRIC = load_rubric(rubrics_path() / "humaneval.yaml", {c.name: c for c in checks.CHECKS})
EXTRACTED, AS_IS = "pass@1,extracted", "pass@1,create_test"
EXAMPLE = Example(
    "t/0",
    "from typing import List\n\n\ndef count(xs: List[int], n: int) -> int:\n"
    '    """ Count the xs that are at least n.\n    >>> count([1, 2], 2)\n    1\n    """\n',
    "    return sum(1 for x in xs if x >= n)\n",
    {
        "entry_point": "count",
        "test": "def check(candidate):\n    assert candidate([3, 3], 3) == 2\n    assert candidate([1], 2) == 0\n",
        "examples": [{"call": "count([1, 2], 2)", "expected": "1"}],
    },
)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1) as opened:
        yield opened


def judged(sandbox: Sandbox, *answers: str) -> list[Judgement]:
    return judge([EXAMPLE] * len(answers), answers, RUBRIC, checks.METRICS, sandbox)


def test_criteria_say_truthfully_whether_they_need_the_reference() -> None:
    assert {c.name for c in RUBRIC.criteria if c.needs_reference} == {"hidden_tests"}


@pytest.mark.parametrize(
    ("answer", "unmet"),
    [
        (EXAMPLE.target, set()),
        ("I do not know.", {"code_extracted", "parses", "defines_entry", "runs", "docstring_examples", "hidden_tests"}),
        (
            "    return sum(1 for x in xs if x >= n\n",
            {"parses", "defines_entry", "runs", "docstring_examples", "hidden_tests"},
        ),
        ("```python\ndel count\n```", {"runs", "docstring_examples", "hidden_tests"}),
        ("    return sum(1 for x in numbers)\n", {"runs", "docstring_examples", "hidden_tests"}),
        ("    while n: pass\n", {"runs", "docstring_examples", "hidden_tests"}),
        ("    return sum(1 for x in xs if x > n)\n", {"docstring_examples", "hidden_tests"}),
        ("    return 1\n", {"hidden_tests"}),
    ],
)
def test_each_fault_misses_its_criteria(sandbox: Sandbox, answer: str, unmet: set[str]) -> None:
    (judgement,) = judged(sandbox, answer)
    assert {name for name, met in judgement.criteria.items() if not met} == unmet
    assert judgement.metrics == {EXTRACTED: float(not unmet), AS_IS: float(not unmet)}
    assert (judgement.reward == 1) == (not unmet)


def test_under_the_sparse_rubric_guidance_is_the_same_and_all_tests_or_nothing_is_paid(sandbox: Sandbox) -> None:
    rubric = load_rubric(rubrics_path() / "humaneval-sparse.yaml", {c.name: c for c in checks.CHECKS})
    answers = [EXAMPLE.target, "    return sum(1 for x in xs if x > n)\n", "I do not know."]
    paid = judge([EXAMPLE] * 3, answers, rubric, checks.METRICS, sandbox)
    assert [j.reward for j in paid] == [j.metrics[EXTRACTED] for j in paid] == [1, 0, 0]
    for answer, sparse, dense in zip(answers, paid, judged(sandbox, *answers), strict=True):
        for level in ("criteria", "evidence", "reference"):
            words = [
                write_guidance(TEMPLATE, r, EXAMPLE, answer, j.verdicts, level, form=form)
                for r, j in ((RUBRIC, dense), (rubric, sparse))
                for form in ("prompt", "with_draft")
            ]
            assert words[:2] == words[2:]


def test_evidence_and_correction_of_a_failed_assertion(sandbox: Sandbox) -> None:
    (judgement,) = judged(sandbox, "    return sum(1 for x in xs if x > n)\n")
    hidden = [v for v in judgement.verdicts if v.criterion == "hidden_tests"]
    assert [v.met for v in hidden] == [False, True]
    assert hidden[0].evidence == "check(candidate): assert count([3, 3], 3) == 2: got 0"
    assert hidden[0].correction == "Use >= where the draft has >."
    assert [v.evidence for v in judgement.verdicts if v.criterion == "docstring_examples"] == [
        "count([1, 2], 2): got 0, expected 1"
    ]


def test_an_answer_with_prose_passes_only_where_it_is_extracted(sandbox: Sandbox) -> None:
    (judgement,) = judged(sandbox, f"Here you are:\n```python\ndef count(xs, n):\n{EXAMPLE.target}```\n")
    assert judgement.metrics == {EXTRACTED: 1.0, AS_IS: 0.0}


def test_a_function_without_examples_has_no_docstring_criterion(sandbox: Sandbox) -> None:
    example = Example(
        "t/1",
        'def f(x):\n    """ Add 1. """\n',
        "    return x + 1\n",
        {"entry_point": "f", "test": "assert f(1) == 2", "examples": []},
    )
    (judgement,) = judge([example], [example.target], RUBRIC, checks.METRICS, sandbox)
    assert "docstring_examples" not in judgement.criteria
    assert judgement.reward == 1


def test_what_the_sandbox_could_not_do_is_undecided(sandbox: Sandbox) -> None:
    info = {**EXAMPLE.info, "test": "import a_module_that_nobody_has\n" + EXAMPLE.info["test"]}
    (judgement,) = judge(
        [Example("t/2", EXAMPLE.prompt, EXAMPLE.target, info)], [EXAMPLE.target], RUBRIC, checks.METRICS, sandbox
    )
    assert judgement.criteria["hidden_tests"] is None
    assert judgement.metrics == {EXTRACTED: None, AS_IS: None}
    assert judgement.reward is None


def test_equal_programs_run_once() -> None:
    class Counting:
        jobs = 0

        def map(self, jobs: list) -> Iterator:
            self.jobs += len(jobs)
            with Sandbox(workers=1) as real:
                yield from real.map(jobs)

    counting = Counting()
    seen = checks.observe(
        [EXAMPLE] * 4, [EXAMPLE.target, EXAMPLE.target, "```\n" + EXAMPLE.target + "```", "prose."], counting
    )
    assert counting.jobs == 1
    assert [s.verdict and s.verdict.status for s in seen] == ["pass", "pass", "pass", None]


def test_guidance_deepens_with_the_hint_level_and_fits_into_the_body(sandbox: Sandbox) -> None:
    draft = "    return sum(1 for x in xs if x > n)\n"
    (judgement,) = judged(sandbox, draft)
    words = [
        write_guidance(TEMPLATE, RUBRIC, EXAMPLE, draft, judgement.verdicts, level)
        for level in ("criteria", "evidence", "reference")
    ]  # type: ignore[arg-type]
    assert words == [
        "The docstring examples hold. The hidden tests pass.",
        "The docstring examples hold. The hidden tests pass.\ncount([1, 2], 2): got 0, expected 1",
        "The docstring examples hold. The hidden tests pass.\nUse >= where the draft has >.",
    ]
    free = write_guidance(TEMPLATE, RUBRIC, EXAMPLE, draft, judgement.verdicts, "reference", reference_free=True)
    assert free == "The docstring examples hold.\ncount([1, 2], 2): got 0, expected 1"
    for shown in (draft, "no code at all\n\nnone", None):
        prompt = write_revision_prompt(TEMPLATE, EXAMPLE, words[2], shown)
        assert prompt.startswith(EXAMPLE.prompt)
        (again,) = judge([EXAMPLE], [prompt[len(EXAMPLE.prompt) :] + EXAMPLE.target], RUBRIC, checks.METRICS, sandbox)
        assert again.metrics[AS_IS] == 1


def test_a_chat_model_is_told_a_test_that_must_pass(sandbox: Sandbox) -> None:
    draft, shown = "    return sum(1 for x in xs if x > n)\n", "assert count([1, 2], 2) == 1"
    (judgement,) = judged(sandbox, draft)
    told = partial(write_guidance, TEMPLATE, RUBRIC, EXAMPLE, draft, judgement.verdicts, form="without_draft")
    asked = "The function must pass this test:\nassert count([3, 3], 3) == 2"
    assert told("criteria") == "Take care: an earlier attempt did not return what the examples in the docstring show."
    assert told("evidence") == asked
    assert told("reference") == f"{asked}\nHint: Use >= where an earlier attempt has >."
    assert told("reference", reference_free=True) == f"The function must pass this test:\n{shown}"
    (turn,) = write_revision(TEMPLATE, EXAMPLE, asked, draft, "without_draft")
    assert turn.text == f"{EXAMPLE.prompt.rstrip()}\n\n{asked}"
    request = write_revision(TEMPLATE, EXAMPLE, asked, draft, "with_draft")[-1].text
    assert request.startswith(f"That is not right. {asked}\n\nWrite a different function")


def tell(*verdicts: Verdict, rubric: Rubric = RUBRIC) -> str:
    return write_guidance(TEMPLATE, rubric, EXAMPLE, "", verdicts, form="without_draft")


def test_a_chat_model_is_told_one_test_never_all_or_the_first_cause() -> None:
    hidden = partial(Verdict, "hidden_tests", False)
    (sums, other, long) = (
        hidden("check(candidate): assert count([2, 3], 2) == 2: raised KeyError: got 1"),
        hidden("assert count([4], 4) > 0 or not count: got False"),
        hidden("assert count([4, …: got False"),
    )
    asked = "The function must pass this test:\nassert count([2, 3], 2) == 2"
    assert tell(sums, other, long) == asked
    assert tell(long, other) == "The function must pass this test:\nassert count([4], 4) > 0 or not count"
    fixed = replace(sums, correction="Use >= where the draft has >.")
    assert tell(fixed, other, long) == f"{asked}\nHint: Use >= where an earlier attempt has >."
    assert tell(long, hidden("not reached")) == (
        "Take care: an earlier attempt failed tests that are not shown here (assert count([4, …: got False)."
    )
    broken = Verdict("parses", False, "line 1: unmatched ']'")
    said = "Take care: an earlier attempt was not valid Python (line 1: unmatched ']')."
    assert tell(broken, hidden("there is no program that parses")) == said


def test_no_criterion_stands_in_a_conversation_as_it_is() -> None:
    """ "The hidden tests pass" would read as praise."""
    unmet = [Verdict(c.name, False) for c in RUBRIC.criteria]
    for one in (*([v] for v in unmet), unmet):
        said = tell(*one)
        assert said.endswith(".")
        assert not any(criterion.text in said for criterion in RUBRIC.criteria)
    foreign = Rubric("brief", [Criterion("brief", "Use at most 5 words.", RUBRIC.criteria[0].check)])
    said = tell(Verdict("brief", False, "9 words"), rubric=foreign)
    assert said == 'Take care: an earlier attempt did not keep to this: "Use at most 5 words." (9 words).'


def test_a_criterion_of_another_rubric_is_told_by_its_text_and_then_what_was_seen() -> None:
    verdicts = [
        Verdict("parses", False, "line 1: bad"),
        Verdict("runs", False, "no"),
        Verdict("hidden_tests", False, "got 0", "Use >=."),
    ]
    own = write_guidance(TEMPLATE, RUBRIC, EXAMPLE, "d", verdicts)
    brief = Criterion("brief", "Use at most 5 words.", RUBRIC.criteria[0].check)
    rubric = Rubric("more", (*RUBRIC.criteria, brief))
    assert own == "The code parses.\nUse >=."
    assert (
        write_guidance(TEMPLATE, rubric, EXAMPLE, "d", [*verdicts, Verdict("brief", False, "11 words")])
        == f"{own}\nUse at most 5 words (11 words)."
    )
    assert (
        write_guidance(TEMPLATE, rubric, EXAMPLE, "d", [Verdict("brief", False, "11 words")])
        == "Use at most 5 words (11 words)."
    )


def test_the_template_knows_the_texts_of_its_own_rubric() -> None:
    assert tuple(c.text for c in RUBRIC.criteria) == tuple(OWN)


def test_the_worlds_demonstrations_in_the_sandbox(sandbox: Sandbox) -> None:
    drawn = list(islice(make_demonstrations(21), 240))
    examples = [d.example for d in drawn]
    assert all(j.reward == 1 for j in judge(examples, [e.target for e in examples], RUBRIC, checks.METRICS, sandbox))
    planted = [d for d in drawn if d.example.info["planted"] and d.draft is None]
    wrong = judge([d.example for d in planted], [d.response for d in planted], RUBRIC, checks.METRICS, sandbox)
    assert len(planted) > 30
    assert all(j.metrics[AS_IS] == 0 for j in wrong)
    told = [next(v.correction for v in j.verdicts if v.correction) for j in wrong]
    assert all(told)


@pytest.mark.skipif(
    not os.environ.get("HERL_BENCH_DATA"), reason="HERL_BENCH_DATA names no folder with the benchmarks' files"
)
def test_every_canonical_solution_meets_its_criteria(sandbox: Sandbox) -> None:
    examples = data.read_humaneval(Path(os.environ["HERL_BENCH_DATA"]))
    judgements = judge(examples, [checks.gold(e) for e in examples], RUBRIC, checks.METRICS, sandbox)
    assert [e.id for e, j in zip(examples, judgements, strict=True) if j.reward != 1 or j.metrics[AS_IS] != 1] == []


@pytest.mark.skipif(
    not os.environ.get("HERL_BENCH_DATA"), reason="HERL_BENCH_DATA names no folder with the benchmarks' files"
)
def test_the_errata_are_what_the_canonical_solutions_fail(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    errata = dict(data.DOCSTRING_ERRATA)
    monkeypatch.setattr(data, "DOCSTRING_ERRATA", {})
    examples = [e for e in data.read_humaneval(Path(os.environ["HERL_BENCH_DATA"])) if e.info["examples"]]
    judgements = judge(examples, [checks.gold(e) for e in examples], RUBRIC, (), sandbox)
    failed = {}
    for example, judgement in zip(examples, judgements, strict=True):
        parts = [v.met for v in judgement.verdicts if v.criterion == "docstring_examples"]
        if not all(parts):
            failed[example.id] = tuple(i for i, met in enumerate(parts) if not met)
    assert failed == errata
