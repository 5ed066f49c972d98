"""What two instruct models answered to twenty of HumanEval's problems (greedy, at most 320 tokens), with functions and
people renamed: what each criterion must say was worked out by reading, and is what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from herl_bench_humaneval import checks, data

from herl_bench import Example
from herl_bench.locate import rubrics_path
from herl_bench.rubric import judge, load_rubric
from herl_bench.sandbox import Sandbox
from herl_bench.types import Judgement

RUBRIC = load_rubric(rubrics_path() / "humaneval.yaml", {c.name: c for c in checks.CHECKS})
IN_PARTS = ("docstring_examples", "hidden_tests")
PROBLEMS = [json.loads(line) for line in (Path(__file__).parent / "answers.jsonl").read_text().splitlines()]


def make_example(number: int, problem: dict[str, Any]) -> Example:
    entry = problem["entry_point"]
    examples = data.find_docstring_examples(problem["prompt"], entry)
    return Example(
        f"t/{number}", problem["prompt"], "", {"entry_point": entry, "test": problem["test"], "examples": examples}
    )


def say(judgement: Judgement) -> dict[str, Any]:
    """Of each criterion its verdict, and of those in parts one for each part."""
    said: dict[str, Any] = {name: [] for name in IN_PARTS}
    for verdict in judgement.verdicts:
        if verdict.criterion in IN_PARTS:
            said[verdict.criterion].append(verdict.met)
        else:
            said[verdict.criterion] = verdict.met
    return said


def test_every_criterion_says_what_a_reader_says() -> None:
    asked = [(make_example(i, problem), answer) for i, problem in enumerate(PROBLEMS) for answer in problem["answers"]]
    with Sandbox(workers=1) as sandbox:
        judged = judge([e for e, _ in asked], [a["response"] for _, a in asked], RUBRIC, checks.METRICS, sandbox)
    wrong = [
        (e.info["entry_point"], answer["model"], name, met, answer["criteria"][name])
        for (e, answer), judgement in zip(asked, judged, strict=True)
        for name, met in say(judgement).items()
        if met != answer["criteria"][name]
    ]
    assert wrong == []
    passed = [all(answer["criteria"]["hidden_tests"]) for _, answer in asked]
    assert [judgement.metrics["pass@1,extracted"] for judgement in judged] == list(map(float, passed))
    assert {
        model: sum(p for p, (_, a) in zip(passed, asked, strict=True) if a["model"] == model) for model in MODELS
    } == {"Qwen2.5-Coder-0.5B-Instruct": 12, "SmolLM2-135M-Instruct": 1}


MODELS = ("Qwen2.5-Coder-0.5B-Instruct", "SmolLM2-135M-Instruct")
