"""Whole training runs on the toy task with a checkpoint of a few thousand parameters, without the command line."""

import json
from pathlib import Path
from typing import Any

import torch

from herl_bench.budget import Budget
from herl_bench.builtin import herl_methods
from herl_bench.data.sources import open_data
from herl_bench.policy.load import load_policy
from herl_bench.settings import Settings
from herl_bench.testing import TOY_METRIC, TOY_RUBRIC, TOY_TASK, TOY_TEMPLATE
from herl_bench.training.config import PPOConfig, TRLConfig
from herl_bench.training.metrics import CLOCK
from herl_bench.training.rates import resolve_rates
from herl_bench.training.rollouts import Rollout
from herl_bench.training.training_run import TrainingRun
from herl_bench.types import Criterion, Environment, Example, Judgement, Rubric, Verdict

SMALL: dict[str, Any] = {"rollouts_per_step": 24, "minibatch_size": 8, "learning_rate": 1e-3, "save_steps": 2}
METHODS = {m.name: m for m in herl_methods()}
PARITY = Rubric(
    "parity",
    [
        Criterion("sum", "The characters' sum is even.", lambda example, response: sum(map(ord, response)) % 2 == 0),
        Criterion(
            "first", "The first character's code is even.", lambda example, response: ord(response[:1] or "a") % 2 == 0
        ),
    ],
)


def make_run(
    directory: Path,
    checkpoint: Path,
    config: PPOConfig | TRLConfig,
    budget: int = 700,
    lively: bool = False,
    **more: Any,
) -> TrainingRun:
    """lively: an untrained policy ends most responses itself and meets a criterion half of the time, so that revisions
    improve and advantages differ."""
    directory.mkdir(exist_ok=True)
    policy = load_policy(str(checkpoint))
    if lively:
        policy.model.generation_config.eos_token_id = list(range(2, 80))
    method = METHODS[type(config).__name__.removesuffix("Config").lower()]
    settings, rubric = Settings(task="toy", method=method.name), PARITY if lively else TOY_RUBRIC
    data = open_data(TOY_TASK, "synthetic", embedded=True, eval_items=8)
    return TrainingRun(
        directory,
        settings,
        Environment(TOY_TASK, rubric, TOY_TEMPLATE, [TOY_METRIC]),
        method,
        resolve_rates(config, lambda: None),
        data,
        policy,
        Budget(budget),
        **more,
    )


def train(run: TrainingRun) -> dict[str, torch.Tensor]:
    run.method.train(run)
    return run.policy.model.state_dict()


def rows(run: TrainingRun, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (run.directory / name).read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in (*CLOCK, "seconds")} for row in found]


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def make_rollout(name: str, reward: float | None, **more: Any) -> Rollout:
    a, b = 3, 4
    example = Example(name, f"{a}+{b}=", "7", {"terms": [a, b]})
    verdicts = (Verdict("number", True), Verdict("right", False, "not the sum", "count 4 up from 3"))
    given = {"kind": "plain", "finish": "eos", "temperature": 1.0, "ids": (5, 6), **more}
    given.setdefault("prompt_ids", (1,) if given["kind"] == "plain" else (1, 2))
    return Rollout(
        example=example, prompt=example.prompt, plain_ids=(1,), text="9", judgement=Judgement(verdicts, reward), **given
    )


class Killed(BaseException):
    pass
