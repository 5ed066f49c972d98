"""Where a GSM8K response gives its final answer, and that metric, criterion and `unparsed` read the same one."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest

from herl_bench import Example
from herl_bench.hindsight import write_guidance
from herl_bench.plugins import load_host
from herl_bench.rubric import judge

pytest.importorskip("herl_bench_gsm8k")
from herl_bench_gsm8k import TASK, checks, template

RIGHT = {
    "18": [
        "#### 18",
        "####18",
        "####\n18",
        "#### $18",
        "#### €18",
        "#### 18 €",
        "#### 18.00",
        "#### = 18",
        "#### ~18",
        "#### (18)",
        "#### +18",
        "#### x = 18",
        "#### 9*2=18",
        "#### 9 * 2 = 18",
        "#### **18**",
        "#### 18 dollars",
        "#### \\boxed{18}",
        "#### The answer is 18",
        "#### Total: $18",
        "#### $9 \\times 2 = 18$",
        "#### 18\nI checked it 3 times.",
        "\\boxed{18}",
        "\\fbox{18}",
        "\\boxed{\\text{18}}",
        "\\boxed{\\text{18}} which is 2 more than 16.",
        "\\fbox{18} which is 2 more than 16.",
        "$\\boxed{\\$18}$",
        "\\boxed{x = 18}",
        "\\boxed{18 \\text{ eggs}}",
        "\\boxed{\\boxed{18}} and 16",
        "\\boxed{16} no, \\boxed{18}",
        "<answer>18</answer> (5 eggs are left)",
        "<answer>\n18\n</answer> 5 left",
        "<answer>Ann has 18 eggs</answer> of 20",
        "<ANSWER>$18</ANSWER> 3",
        "The answer is x = 18, which is 2 more than 16.",
        "The answer is 18, which is 2 more than 16.",
        "The answer is: 18. That is 2 more than 16.",
        "**Answer:** 18 (2 more than 16)",
        "**Answer:**\n18\n\n2 more than 16",
        "**Final answer**: $18$, not 3",
        "The final answer is \\(18\\), not 16.",
        "The answer is 16. Wait. The answer is 18, since 9 * 2 = 18.",
        "The answer is 18. I hope this answer is helpful in 2 ways!",
        "The answer was 18, 2 more.",
        "Answer = 18; 2 more.",
        "The answer is about 18 eggs, 3 each.",
        "The answer should be 18 and no more than 20",
        "The answer equals 18, 2 more than 16",
        "The answer would be 18; 2 more",
        "#### Step 1: 9*2\nso\n#### Step 2\nThe answer is 18, not 2.",
        "So she makes $18.",
        "9*2=<<9*2=18>>18",
        "She makes 9 × 2 = 18 dollars",
        "16, no: 18",
        "<think>#### 20\nNo, 9*2 = 18.</think>\n#### 18",
        "<think>\nThe answer is 20.\n</think>\nThe answer is 18",
        "maybe 20</think>\n18",
        "The answer is 1.8e1.",
        "#### 1. Find the eggs\n16 - 7 = 9\n\n#### 2. Find the **money**\n9 * 2 = 18\n\n**Answer:** $18",
        "#### 36/2",
    ],
    "70000": [
        "\\boxed{70{,}000}",
        "#### 70{,}000",
        "#### 70 000",
        "#### 70,000",
        "The profit is $70{,}000$.",
        "#### 70 thousand",
        "#### 70k",
        "The answer is 7e4.",
        "#### 7 × 10^4",
        "#### $70'000",
        "#### 70\u202f000",
        "\\boxed{\\$70{,}000}",
        "<answer>70,000.00</answer>",
    ],
    "5/2": [
        "#### 5/2",
        "#### 2.5",
        "#### 2 1/2",
        "\\boxed{\\frac{5}{2}}",
        "The answer is 2½ cups.",
        "#### $2\\frac{1}{2}$",
        "It is 5/2.",
        "#### 2 and 1/2",
    ],
    "-5": ["#### -5", "#### −5", "#### -$5", "The answer is -5 degrees.", "\\boxed{-5}", "#### $-5", "It is -5."],
}
WRONG = {
    "5": [
        "#### 5/2",
        "#### 5.5",
        "#### 5 or 6",
        "#### 5 - 3",
        "#### 5:3",
        "#### 5,5",
        "#### 5²",
        "#### 5e2",
        "#### 5%  of 100",
        "#### 5 hours and 20 minutes",
        "#### 15",
        "#### -5",
        "The answer is not 5.",
        "The answer is either 4 or 5.",
        "So 10 - 5",
        "So 4 or 5.",
        "\\boxed{5, 6}".replace(", ", ","),
    ],
    "1": [
        "So the answer is 1/2.",
        "#### 1e3",
        "#### 1 000",
        "#### 1.5",
        "#### 1:2",
        "#### 1/3",
        "The answer is 1,5.",
        "#### 1½",
    ],
    "2": [
        "The answer is 2 1/2.",
        "#### 9 * 2",
        "#### 2½",
        "#### 2 dozen",
        "#### 2 thousand",
        "The answer is 9 * 2.",
        "#### 2\\frac{1}{2}",
        "\\boxed{\\frac{1}{2}}",
        "So it is 1/2",
    ],
    "0": ["The profit is $70{,}000$.", "#### 0.5", "", "none", "#### .5", "#### 1 000"],
    "70": ["#### 70 000", "#### 70,000", "#### 70{,}000", "#### 70k", "#### 70'000"],
    "9": ["#### 9 * 2 = 18", "#### 9*2", "#### 9 eggs * 2 = 18", "The answer is 9 + 9 = 18.", "#### 9 x 2"],
    "18": [
        "<think>\nFirst, 9*2 = 18. The answer is 18? But wait, maybe the",
        "<think>\nThe answer is 18? Let me check... no, it is 21.\n</think>\nThe result: 21",
        "#### 18 = 19",
        "#### 18\n<think>or is it",
        "<think>#### 18</think>",
        "18?</think>\n#### 20",
        "#### 18.5",
        "#### 180",
    ],
}


def judged(gold: str, responses: Sequence[str]) -> list[tuple[float | None, bool | None, str | None]]:
    example = Example("x", "Question: ?\nAnswer:", f"#### {gold}", {"question": "?", "answer": gold, "steps": []})
    judgements = judge([example] * len(responses), responses, load_host().get("rubric", "gsm8k"), checks.METRICS)
    assert [j.errors for j in judgements] == [()] * len(responses)
    return [
        (j.metrics["robust_match,numeric"], j.criteria["final_answer"], TASK.extract(example, r))
        for j, r in zip(judgements, responses, strict=True)
    ]


@pytest.mark.parametrize("gold", RIGHT)
def test_right_answers_however_written(gold: str) -> None:
    answers = dict(zip(RIGHT[gold], judged(gold, RIGHT[gold]), strict=True))
    assert {r: a for r, a in answers.items() if a != (1.0, True, str(Fraction(gold)))} == {}


@pytest.mark.parametrize("gold", WRONG)
def test_wrong_answers_that_look_right(gold: str) -> None:
    answers = dict(zip(WRONG[gold], judged(gold, WRONG[gold]), strict=True))
    assert {r: a for r, a in answers.items() if a[:2] != (0.0, False) or a[2] == gold} == {}


@pytest.mark.parametrize(
    "response", ["<think>9*2 = 18.\n#### 18", "<think>a</think>#### 18<think>", "#### 18 <reasoning>so"]
)
def test_a_thought_that_was_never_closed_has_no_answer(response: str) -> None:
    example = Example("x", "", "", {"question": "?", "answer": "18", "steps": [["9*2", "18"]]})
    (judgement,) = judge([example], [response], load_host().get("rubric", "gsm8k"), checks.METRICS)
    assert judgement.reward == 0
    assert TASK.extract(example, response) is None
    told = {v.criterion: v.evidence for v in judgement.verdicts}
    assert told["answer_format"] == told["final_answer"] == "the thought was never closed"


def test_notes_of_a_thought_are_no_steps() -> None:
    example = Example("x", "", "", {"question": "?", "answer": "18", "steps": [["9*2", "18"]]})
    assert checks.steps_valid(example, checks.parse("<think><<1+1=3>></think><<9*2=18>>18\n#### 18")) == [
        checks.Finding(True, part="step 1")
    ]


def test_lm_evals_metrics_see_the_response_as_it_is() -> None:
    example = Example("x", "", "#### 18", {"answer": "18"})
    thought = "<think>#### 20</think>#### 18"
    assert (checks.strict_match(example, thought), checks.flexible_extract(example, thought)) == (0.0, 1.0)


def test_a_criterion_of_another_rubric_is_told_by_its_text_and_then_what_was_seen() -> None:
    from herl_bench.rubric import CHECKS
    from herl_bench.types import Criterion, Rubric, Verdict

    rubric = Rubric(
        "terse",
        [
            Criterion("final_answer", "The final answer is right.", checks.final_answer),
            Criterion("brief", "Use at most 5 words.", CHECKS[2].function),
            Criterion("polite", "Begin with the word Answer.", CHECKS[0].function),
            Criterion("last", "Name the number!", checks.final_answer),
        ],
    )
    verdicts = [
        Verdict("final_answer", False, "the final answer is wrong"),
        Verdict("brief", False, "11 words"),
        Verdict("polite", False),
        Verdict("last", False, "no final answer"),
    ]
    example = Example("x", "", "", {"answer": "18"})
    said = {
        level: write_guidance(template.TEMPLATE, rubric, example, "d", verdicts, level)
        for level in ("criteria", "reference")
    }  # type: ignore[arg-type]
    assert (
        said["criteria"]
        == "Unmet: The final answer is right; Use at most 5 words; Begin with the word Answer; Name the number!."
    )
    assert (
        said["reference"]
        == "Unmet: the final answer is wrong; Use at most 5 words (11 words); Begin with the word Answer; Name the"
        " number! (no final answer)."
    )


def test_the_template_knows_the_texts_of_its_own_rubric() -> None:
    assert tuple(c.text for c in load_host().get("rubric", "gsm8k").criteria) == template.OWN
