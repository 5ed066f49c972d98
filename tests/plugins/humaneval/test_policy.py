"""The embedded policy: small, and as good and as wrong as its record says."""

from __future__ import annotations

import json

from herl_bench_humaneval import POLICY, TEMPLATE, checks, herl_tasks

from herl_bench.locate import rubrics_path
from herl_bench.policy.load import load_policy
from herl_bench.rubric import load_rubric
from herl_bench.sandbox import Sandbox
from herl_bench.training.warmstart.evaluation import evaluate_policy
from herl_bench.types import Environment


def test_it_is_small_and_holds_the_command_that_made_it() -> None:
    assert sum(f.stat().st_size for f in POLICY.iterdir()) <= 2_600_000
    record = json.loads((POLICY / "warmstart.json").read_text(encoding="utf-8"))
    assert record["command"] in (POLICY.parents[1] / "README.md").read_text(encoding="utf-8").replace(
        "-o POLICY", "-o DIR"
    )


def test_plain_answers_fail_planted_families_and_guidance_repairs_them() -> None:
    (task,) = herl_tasks()
    rubric = load_rubric(rubrics_path() / "humaneval.yaml", {c.name: c for c in checks.CHECKS})
    with Sandbox(workers=1) as sandbox:
        environment = Environment(task, rubric, TEMPLATE, checks.METRICS, sandbox)
        found = evaluate_policy(load_policy(POLICY), environment, 80, ("reference",))
    assert found["plain"]["planted"] <= 0.05
    assert found["plain"]["other"] >= 0.6
    assert found["repaired"]["reference"]["planted"] >= 0.5
    assert found["truncated"] <= 0.05
