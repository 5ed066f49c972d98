"""GSM8K's checks, metrics, template, reader and task, on small cases and (with HERL_BENCH_DATA) on every published
item."""

from __future__ import annotations

import json
import os
import re
from fractions import Fraction
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

from herl_bench import Example
from herl_bench.errors import DataError
from herl_bench.hindsight import HINT_LEVELS, find_first_error, write_guidance, write_revision, write_revision_prompt
from herl_bench.plugins import Host, load_host
from herl_bench.rubric import judge

pytest.importorskip("herl_bench_gsm8k")
from herl_bench_gsm8k import TASK, arithmetic, checks, data, template, world

REAL = os.environ.get("HERL_BENCH_DATA")
QUESTION = "Ann has 16 eggs. She eats 3 and sells the rest in 2 bags. How many per bag, with 1.5 put aside?"
ROW = {
    "question": QUESTION,
    "answer": (
        "Left are 16-3=<<16-3=13>>13.\nA bag has 13/2=<<13/2=6.5>>6.5.\nPut aside: 6.5-1.5=<<6.5-1.5=5>>5\n#### 5"
    ),
}
EXAMPLE = data.build_example(ROW, "train", 0, "here")


@pytest.fixture(scope="module")
def host() -> Host:
    host = load_host()
    host.collect_all()
    return host


def look(check: Any, response: str, example: Example = EXAMPLE) -> Any:
    return check(example, checks.parse(response))


# --------------------------------------------------------------------------------------------------------------- checks
def test_evidence_of_a_wrong_step() -> None:
    first, last = look(checks.steps_valid, "a <<16-3=12>>12 b <<12/2=5>>5\n#### 5")
    assert (first.met, first.evidence, first.part) == (False, "step 1: 16-3=12, should be 13", "step 1")
    assert (last.met, last.evidence) == (False, "step 2: 12/2 is not 5")


def test_steps_valid_does_not_apply_without_notes() -> None:
    assert look(checks.steps_valid, "It is 5.\n#### 5") == []


def test_quantities_name_the_step_without_its_result() -> None:
    findings = look(checks.quantities, "<<16-3=13>>13 and <<13*2=26>>26\n#### 26")
    assert [f.met for f in findings] == [True, False, False]
    assert [f.correction for f in findings[1:]] == ["step 2 should be 13/2", "step 3 should be 6.5-1.5"]


def test_quantities_count_in_words_too() -> None:
    assert [f.met for f in look(checks.quantities, "13 eggs are left, that makes 6.5 per bag, so 5.")] == [
        True,
        True,
        True,
    ]


def test_corrections_hide_the_final_answer() -> None:
    info = {
        "question": "Ten and 2?",
        "answer": "12",
        "steps": [["10+2", "12"], ["12*3", "36"], ["36-24", "12"], ["12", "12"], ["24-12+0", "12"]],
    }
    said = checks.write_corrections(Example("x", "", "", info))
    assert said == [
        "step 1 should be 10+2",
        "step 2 should be (step 1)*3",
        "step 3 should be 36-24",
        "",
        "step 5 should be 24-(step 1)+0",
    ]


@pytest.mark.parametrize(
    ("response", "met"),
    [
        ("so\n#### 5", True),
        ("#### 1,234.5\n\n", True),
        ("#### -3", True),
        ("#### $5", False),
        ("5", False),
        ("#### 5\nDone.", False),
        ("#### 5\n#### 6", False),
        ("", False),
    ],
)
def test_answer_format(response: str, met: bool) -> None:
    assert look(checks.answer_format, response).met is met


@pytest.mark.parametrize(
    ("response", "answer"),
    [
        ("#### 1,234", "1234"),
        ("#### $18.0", "18"),
        ("####−5", "-5"),
        ("-$7 is in \\boxed{-$7}", "-7"),
        ("The answer is 3. No, the answer is **42**.", "42"),
        ("#### 4\n#### 5", "4"),
        ("I have 3 eggs", "3"),
        ("I have eggs", None),
    ],
)
def test_extract(response: str, answer: str | None) -> None:
    assert TASK.extract(EXAMPLE, response) == answer


@pytest.mark.parametrize(
    "response",
    ["#### " + "9" * 9000, "<<1=" + "9" * 9000 + ">>", "<<" + "9*" * 9000 + "9=1>>", "9" * 9000, "<<1=1/" + "9" * 9000],
)
def test_a_hostile_response_is_judged_wrong_without_an_error(host: Host, response: str) -> None:
    (judgement,) = judge([EXAMPLE], [response], host.get("rubric", "gsm8k"), checks.METRICS)
    assert not judgement.errors
    assert set(judgement.metrics.values()) == {0.0}


def test_final_answer_does_not_say_what_is_right() -> None:
    assert look(checks.final_answer, "#### 5.0").met
    assert look(checks.final_answer, "#### 7").evidence == "the final answer is wrong"


def test_needs_reference_is_true_to_the_code(host: Host) -> None:
    other = Example("y", "other", "#### 9", {"question": "?", "answer": "9", "steps": [["4+5", "9"]]})
    assert {c.name: c.needs_reference for c in host.get("rubric", "gsm8k").criteria} == {
        "answer_format": False,
        "steps_valid": False,
        "quantities": True,
        "final_answer": True,
    }
    for demonstration in islice((d for d in world.make_demonstrations(3) if d.draft), 40):
        seen = checks.parse(demonstration.draft or "")
        for check in checks.CHECKS:
            if not check.needs_reference:
                assert check.function(demonstration.example, seen) == check.function(other, seen)


# -------------------------------------------------------------------------------------------------------------- metrics
RESPONSES = [
    "#### 5",
    "#### 5.",
    "#### 5.0",
    "####5",
    "#### $5",
    "The answer is 5.",
    "5",
    "five",
    "",
    "a 3\n#### 4\n#### 5",
    "#### 1,234",
    "$1,234.",
    "#### 1234",
    "1,234 dollars",
    "#### -5",
    "... 5 ...",
    "-$5.",
    "#### ,",
    "#### .",
    "so 12.\n#### 5 eggs",
    "$ 5",
    "#### 5\n\n$5.00",
]


def test_lm_eval_metrics_agree_item_by_item() -> None:
    """The filters and the metric of lm-eval's own gsm8k, taken from its task file and its registry."""
    lm_eval = pytest.importorskip("lm_eval")
    import yaml
    from lm_eval.api.metrics import exact_match_fn
    from lm_eval.filters.extraction import RegexFilter

    config = yaml.safe_load((Path(lm_eval.__file__).parent / "tasks" / "gsm8k" / "gsm8k.yaml").read_text())
    assert config["doc_to_text"].replace("{{question}}", QUESTION) == EXAMPLE.prompt
    options = {
        k: v
        for k, v in config["metric_list"][0].items()
        if k in ("ignore_case", "ignore_punctuation", "regexes_to_ignore")
    }
    worlds = [d.draft or d.response for d in islice(world.make_demonstrations(1), 100)]
    for target in (EXAMPLE.target, "x\n#### 1,234", "x\n#### -5"):
        example = Example("x", "", target, {"answer": "5"})
        for spec, metric in zip(config["filter_list"], checks.METRICS, strict=False):
            assert spec["name"] == metric.filter
            regex = RegexFilter(**{k: v for k, v in spec["filter"][0].items() if k != "function"})
            for response in RESPONSES + worlds:
                (prediction,) = regex.apply([[response]], [{}])[0]
                theirs = float(exact_match_fn(predictions=[prediction], references=[target], **options)["exact_match"])
                assert metric.score(example, response) == theirs, (spec["name"], response)


@pytest.mark.parametrize(
    "written", ["#### $18", "#### 18.0", "so it is 18.", "\\boxed{18}", "#### 18 dollars", "The answer is: $18.00"]
)
def test_robust_match_reads_numbers(written: str) -> None:
    example = Example("x", "", "#### 18", {"answer": "18"})
    assert checks.robust_match(example, checks.parse(written)) == 1.0
    assert checks.robust_match(example, checks.parse(written.replace("18", "81"))) == 0.0


def test_robust_match_agrees_with_math_verify() -> None:
    math_verify = pytest.importorskip("math_verify")
    for written in ("$1,234", "1234.00", "-7", "$-7$", "0.5", "70000"):
        for target in ("1234", "-7", "0.5", "70000"):
            theirs = math_verify.verify(math_verify.parse(target), math_verify.parse(written))
            assert checks.robust_match(Example("x", "", "", {"answer": target}), checks.parse(written)) == theirs, (
                written,
                target,
            )


# ------------------------------------------------------------------------------------------------------------- guidance
def numbers(text: str) -> set[Fraction]:
    """All numbers but the labels of steps."""
    return {Fraction(n.replace(",", "")) for n in re.findall(arithmetic.NUMBER, re.sub(r"step \d+", "", text))}


def drafts(host: Host) -> list[tuple[Example, str]]:
    made = [(d.example, d.draft) for d in islice(world.make_demonstrations(2), 1500) if d.draft]
    if REAL:  # wrong operations, and answers of other items
        real = list(islice(TASK.splits["test"](Path(REAL)), 600))
        made += [(a, b.target) for a, b in pairwise(real)] + [(a, a.target.replace("+", "*")) for a in real]
    return made


def test_guidance_never_holds_the_final_answer(host: Host) -> None:
    rubric, seen = host.get("rubric", "gsm8k"), 0
    pairs = drafts(host)
    for (example, draft), judgement in zip(pairs, judge(*map(list, zip(*pairs, strict=True)), rubric), strict=True):  # type: ignore[arg-type]
        known = numbers(example.info["question"]) | numbers(draft)
        for level in HINT_LEVELS:
            given = (rubric, example, draft, judgement.verdicts, level)
            said = "\n".join(write_guidance(template.TEMPLATE, *given, form=form) for form in ("prompt", "with_draft"))
            assert Fraction(example.info["answer"]) not in numbers(said) - known, (example.id, level, said)
            seen += bool(said)
    assert seen > 1000


def test_guidance_by_hint_level(host: Host) -> None:
    rubric, draft = host.get("rubric", "gsm8k"), "<<16-3=12>>12, <<12/2=6>>6\n#### 6"
    verdicts = judge([EXAMPLE], [draft], rubric)[0].verdicts
    said = {level: write_guidance(template.TEMPLATE, rubric, EXAMPLE, draft, verdicts, level) for level in HINT_LEVELS}
    assert said["criteria"].startswith(
        "Met: answer format. Unmet: Every calculation <<expression=result>> is right; The solution"
    )
    assert "step 1: 16-3=12, should be 13; step 1 is not reached (a difference)" in said["evidence"]
    assert said["reference"].endswith(
        "step 1 should be 16-3; step 2 should be 13/2; step 3 should be 6.5-1.5; the final answer is wrong."
    )


def test_a_chat_model_is_told_in_sentences_what_is_wrong(host: Host) -> None:
    rubric, draft = host.get("rubric", "gsm8k"), "One.\n<<16-3=12>>12, <<12/2=6>>6\n#### 6"
    verdicts = judge([EXAMPLE], [draft], rubric)[0].verdicts
    told = partial(write_guidance, template.TEMPLATE, rubric, EXAMPLE, draft, verdicts, form="with_draft")
    assert told("evidence") == (
        "A calculation is wrong: step 1: 16-3=12, should be 13. Quantities that are needed on the way to the answer are"
        " not reached: step 1 of a right solution (a difference); step 2 of a right solution (a quotient);"
        " step 3 of a right solution (a difference)."
        " The final answer is wrong."
    )
    assert "A right solution calculates 16-3, then 13/2, then 6.5-1.5. The final" in told("reference")
    assert not any(c.text in told("criteria") for c in rubric.criteria)
    unanswered = judge([EXAMPLE], ["16-3=13, so 13/2 = 6.5 and we take away one or two."], rubric)[0].verdicts
    said = write_guidance(template.TEMPLATE, rubric, EXAMPLE, "", unanswered, form="with_draft")
    assert (
        'The final answer is missing. The solution does not end as it was asked to: no last line "#### number".' in said
    )
    assert find_first_error(rubric, verdicts) == 5
    _, shown, request = write_revision(template.TEMPLATE, EXAMPLE, "x", draft, "cut_draft", 5)
    assert shown.text == "One."
    assert request.text.startswith("Up to here your solution was right. x\n")
    thought = f"<think>\n{draft}</think>\n{draft}"
    kept, dropped = (judge([EXAMPLE], [thought], rubric, think=think)[0].verdicts for think in ("keep", "drop"))
    assert find_first_error(rubric, kept) == thought.rindex("<<16")
    assert find_first_error(rubric, dropped) == len("\nOne.\n"), "a draft is shown without its thoughts"


def test_a_wrong_step_is_not_corrected_to_the_final_answer(host: Host) -> None:
    rubric, draft = host.get("rubric", "gsm8k"), "<<2+3=4>>4, <<4+1=5>>\n#### 9"
    said = write_guidance(template.TEMPLATE, rubric, EXAMPLE, draft, judge([EXAMPLE], [draft], rubric)[0].verdicts)
    assert "step 1: 2+3=4;" in said


def test_revision_prompt_with_and_without_draft() -> None:
    assert (
        write_revision_prompt(template.TEMPLATE, EXAMPLE, "Unmet: x.", "a\n#### 6\n")
        == f"Question: {QUESTION}\nDraft:\na\n#### 6\nUnmet: x.\nAnswer:"
    )
    assert (
        write_revision_prompt(template.TEMPLATE, EXAMPLE, "Unmet: x.", None)
        == f"Question: {QUESTION}\nAn earlier attempt. Unmet: x.\nAnswer:"
    )


# -------------------------------------------------------------------------------------------------------------- reading
def write(folder: Path, *lines: str) -> Path:
    (folder / "gsm8k").mkdir()
    (folder / "gsm8k" / "train.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_read(tmp_path: Path) -> None:
    (example,) = TASK.read(write(tmp_path, json.dumps(ROW)), "train")
    assert example == EXAMPLE
    assert (example.id, example.info["answer"], example.info["steps"][1]) == ("gsm8k/train/0", "5", ["13/2", "6.5"])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"answer": "#### 1"}', "`question` is missing"),
        ('{"question": "q", "answer": 3}', "`answer` is not text"),
        ('{"question": "q", "answer": "3"}', 'must end with a line "#### number"'),
        ("[1]", "not list"),
        ("{", "not JSON"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, line: str, said: str) -> None:
    with pytest.raises(DataError, match=rf"train\.jsonl:3: .*{re.escape(said)}"):
        TASK.read(write(tmp_path, json.dumps(ROW), "", line), "train")


def test_a_missing_file_is_named_with_its_source(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gsm8k/test\.jsonl is missing: get it with  curl .*/test\.jsonl"):
        TASK.read(tmp_path, "eval")


@pytest.mark.skipif(not REAL, reason="HERL_BENCH_DATA is not set")
@pytest.mark.parametrize(("split", "items"), [("train", 7473), ("test", 1319)])
def test_every_published_solution_meets_all_its_criteria(host: Host, split: str, items: int) -> None:
    examples = list(TASK.splits[split](Path(REAL or "")))
    judgements = judge(examples, [TASK.gold(e) for e in examples], host.get("rubric", "gsm8k"), checks.METRICS)
    failed = [(e.id, v) for e, j in zip(examples, judgements, strict=True) for v in j.verdicts if v.met is not True]
    assert (len(examples), failed) == (items, [])
    assert all(j.reward == 1 and set(j.metrics.values()) == {1.0} for j in judgements)
