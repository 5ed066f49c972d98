"""Judging beside the sampling gives what judging afterwards gives, sooner, and each response once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest

from herl_bench.plugins import load_host
from herl_bench.rubric import judge
from herl_bench.sandbox import Job, Sandbox, Verdict
from herl_bench.training.judging import Judging
from herl_bench.types import Environment

pytest.importorskip("herl_bench_humaneval")


class Counting(Sandbox):
    """A sandbox that remembers what it was asked to run."""

    def __init__(self) -> None:
        super().__init__(workers=2)
        self.asked: list[Job] = []

    def map(self, jobs: Iterable[Job]) -> Iterator[Verdict]:
        jobs = list(jobs)
        self.asked += jobs
        return super().map(jobs)


@pytest.fixture(scope="module")
def humaneval() -> tuple[Any, ...]:
    host = load_host()
    host.collect_all()
    task = host.get("task", "humaneval")
    examples = list(islice(task.world.examples("eval", 0, task.world.difficulty), 6))
    metrics = [host.get("metric", m) for m in task.metrics]
    environment = Environment(task, host.get("rubric", "humaneval"), host.get("template", "humaneval"), metrics)
    return environment, examples, [task.gold(e) for e in examples]


def test_responses_begun_early_are_judged_as_the_others_are(humaneval: tuple[Any, ...]) -> None:
    environment, examples, golds = humaneval
    responses = [*golds[:3], "    return None\n", "no code", golds[0]]
    with Counting() as sandbox:
        sandbox.asked.clear()
        judging = Judging(replace(environment, sandbox=sandbox))
        for i in (4, 2, 0):
            judging.begin(examples[i], responses[i])
        early = [future.result() for future in judging._begun.values()]  # before `finish` was called
        assert len(early) == 3
        assert sandbox.asked
        assert judging.finish(examples, responses) == judge(
            examples, responses, environment.rubric, environment.metrics, sandbox
        )


def test_equal_responses_are_run_once(humaneval: tuple[Any, ...]) -> None:
    environment, examples, golds = humaneval
    with Counting() as sandbox:
        sandbox.asked.clear()
        judging = Judging(replace(environment, sandbox=sandbox))
        judgements = judging.finish([examples[0]] * 4, [golds[0]] * 4)
        assert {j.reward for j in judgements} == {1.0}
        assert len(sandbox.asked) == len({job.code for job in sandbox.asked})


def test_without_a_sandbox_nothing_begins_early(humaneval: tuple[Any, ...]) -> None:
    environment, examples, _ = humaneval
    judging = Judging(environment)
    judging.begin(examples[0], "no code")
    assert judging.finish(examples[:1], ["no code"]) == judge(
        examples[:1], ["no code"], environment.rubric, environment.metrics
    )
