"""What two instruct models answered to twenty of BIG-Bench Hard's items (greedy, at most 320 tokens), with people and
brands renamed: what each criterion must say was worked out by reading, and is what it says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from herl_bench_bbh import METRICS, checks, data

from herl_bench.locate import rubrics_path
from herl_bench.rubric import judge, load_rubric
from herl_bench.types import Judgement

RUBRIC = load_rubric(rubrics_path() / "bbh.yaml", {c.name: c for c in checks.CHECKS})
IN_PARTS = ("steps_valid", "steps_match")
ITEMS = [json.loads(line) for line in (Path(__file__).parent / "answers.jsonl").read_text().splitlines()]


def say(judgement: Judgement) -> dict[str, Any]:
    """Of each criterion its verdict, and of those in parts one for each part."""
    said: dict[str, Any] = {criterion.name: [] for criterion in RUBRIC.criteria}
    for verdict in judgement.verdicts:
        said[verdict.criterion] = verdict.met
        if verdict.criterion in IN_PARTS:
            said[verdict.criterion] = [v.met for v in judgement.verdicts if v.criterion == verdict.criterion]
    return said


def test_every_criterion_says_what_a_reader_says() -> None:
    asked = [
        (data.build_example(item, item["family"], i, "here"), answer)
        for i, item in enumerate(ITEMS)
        for answer in item["answers"]
    ]
    judged = judge([e for e, _ in asked], [a["response"] for _, a in asked], RUBRIC, METRICS, None)
    wrong = [
        (e.id, answer["model"], name, met, answer["criteria"].get(name))
        for (e, answer), judgement in zip(asked, judged, strict=True)
        for name, met in say(judgement).items()
        if met != answer["criteria"].get(name)
    ]
    assert wrong == []
    right = [float(answer["criteria"]["right_answer"]) for _, answer in asked]
    assert [judgement.metrics["robust_match,none"] for judgement in judged] == right
