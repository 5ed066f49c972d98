"""What each criterion says of forty answers by two chat models, each read by a person, with names replaced.

`answers.jsonl`: 20 published problems, each with its worked solution and the greedy answers, at most 320 tokens
long, of Qwen2.5-Coder-0.5B-Instruct and SmolLM2-135M-Instruct. `calculations`: those of which something can be said,
each worked out by hand; `quantities`: is each result of the worked solution reached?
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from herl_bench import Example
from herl_bench.hindsight import write_guidance
from herl_bench.plugins import load_host
from herl_bench.rubric import judge

pytest.importorskip("herl_bench_gsm8k")
from herl_bench_gsm8k import checks, data, template

ROWS = [json.loads(line) for line in Path(__file__).with_name("answers.jsonl").read_text("utf-8").splitlines()]
ANSWERS = [(row, said) for row in ROWS for said in row["responses"]]


@pytest.mark.parametrize(("row", "said"), ANSWERS, ids=lambda part: part.get("model", ""))
def test_each_criterion_says_what_a_person_says(row: dict[str, Any], said: dict[str, Any]) -> None:
    example = data.build_example(row, "test", 0, "here")
    seen = checks.parse(said["response"])
    assert [[f"{step.expression} = {step.result}", step.right] for step in seen.steps] == said["calculations"]
    (judgement,) = judge([example], [said["response"]], load_host().get("rubric", "gsm8k"))
    met = {name: [v.met for v in judgement.verdicts if v.criterion == name] for name in judgement.criteria}
    assert met == {
        "answer_format": [said["answer_format"]],
        "quantities": said["quantities"],
        "final_answer": [said["final_answer"]],
        **({"steps_valid": [right for _, right in said["calculations"]]} if said["calculations"] else {}),
    }


def test_guidance_of_prose_names_the_calculation_and_never_the_final_answer() -> None:
    rubric, words = load_host().get("rubric", "gsm8k"), []
    for row, said in ANSWERS:
        example = data.build_example(row, "test", 0, "here")
        verdicts = judge([example], [said["response"]], rubric)[0].verdicts
        words.append(write_guidance(template.TEMPLATE, rubric, example, said["response"], verdicts, form="with_draft"))
        assert f"should be {example.info['answer']}." not in words[-1]
    assert any("8 + 16 + 64 = 108, should be 88" in said for said in words)
    assert any("9 + 10 is not 29" in said for said in words)


def test_notes_alone_count_where_there_are_any() -> None:
    seen = checks.parse("16 - 3 = 12, so <<16-3=13>>13 and 13 * 2 = 27")
    assert [(step.expression, step.right) for step in seen.steps] == [("16-3", True)]
    assert checks.parse("16 - 3 = 12, so 13 and 13 * 2 = 27").steps[0].right is False


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("16-3", " (a difference)"),
        ("16*2+3", " (a product and a sum)"),
        ("16+3+3", " (two sums)"),
        ("(16+3)/2-(-1)", " (a sum and a quotient and a difference)"),
        ("50%*16+1+2+3", " (a product and several sums)"),
        ("-13", ""),
    ],
)
def test_evidence_says_which_operations_a_missed_step_takes(expression: str, said: str) -> None:
    info = {"question": "…", "steps": [[expression, "13"], ["13*2", "26"]], "answer": "26"}
    found = checks.quantities(Example("it", "…", "#### 26", info), checks.parse("<<3*9=27>>\n#### 27"))
    assert [f.evidence for f in found] == [f"step 1 is not reached{said}", "step 2 is not reached (a product)"]
