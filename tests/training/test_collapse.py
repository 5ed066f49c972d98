"""A run that goes wrong in its first steps says so once, and which setting to lower."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.toy_runs import SMALL, make_run, rows, train

from herl_bench.comparison.finished_runs import Evaluation, FinishedRun
from herl_bench.comparison.notes import note_collapses
from herl_bench.testing import tiny_checkpoint
from herl_bench.training.collapse import FIRST_STEPS, find_collapse
from herl_bench.training.config import PPOConfig

SETTINGS = {"learning_rate": 3e-4, "num_ppo_epochs": 1}


def series(**columns: list[float]) -> list[dict[str, Any]]:
    length = max(map(len, columns.values()))
    return [
        {"step": i + 1, **{k: v[i] for k, v in columns.items() if i < len(v) and v[i] is not None}}
        for i in range(length)
    ]


def test_a_policy_that_runs_away_is_told_the_rate_to_try() -> None:
    said = find_collapse(series(kl=[0.0, 0.3, 1.9, 3.8]), SETTINGS)
    assert said == (
        "the policy is 1.9 nats per token away from where it began in step 3: lower learning_rate"
        " (--set learning_rate=1e-04, now 0.0003)"
    )
    assert find_collapse(series(kl=[0.0, 0.3, 1.9]), SETTINGS) == said
    assert find_collapse(series(kl=[0.0, 0.3]), SETTINGS) is None


def test_a_policy_that_moves_and_gets_worse_for_it_is_told_too() -> None:
    kl, reward = [0.0, 0.068, 0.064, 0.173], [0.45, 0.28, 0.31, 0.36]
    said = find_collapse(series(kl=kl, reward=reward), SETTINGS)
    assert said is not None
    assert said.startswith(
        "the policy is 0.17 nats per token away from where it began, and worse for it (reward 0.45, by now 0.32) in"
        " step 4: lower learning_rate"
    )


def test_several_passes_over_the_rollouts_are_named_too() -> None:
    told = find_collapse(series(kl=[2.0]), {"learning_rate": 1e-5, "num_ppo_epochs": 4})
    assert told is not None
    assert told.endswith("lower learning_rate (--set learning_rate=3e-06, now 1e-05) or num_ppo_epochs (now 4)")
    told = find_collapse(series(kl=[2.0]), {"num_iterations": 2})
    assert told is not None
    assert told.endswith(": lower learning_rate or num_iterations (now 2)")


@pytest.mark.parametrize(
    ("entropy", "step", "words"),
    [
        ([0.5, 0.4, 0.04, 0.03, 0.02], 5, "stopped exploring, its entropy fell from 0.5 to 0.02"),
        ([1.0, 0.5, 0.01, 0.6, 0.04, 0.04, 0.05], 7, "stopped exploring"),
        ([0.3, 0.9, 2.0, 2.2, 3.1], 5, "dissolves into noise, its entropy rose from 0.3 to 3.1"),
    ],
)
def test_entropy_that_falls_or_rises_and_stays(entropy: list[float], step: int, words: str) -> None:
    said = find_collapse(series(entropy=entropy), SETTINGS)
    assert said is not None
    assert words in said
    assert f" in step {step}: " in said


@pytest.mark.parametrize(
    "columns",
    [
        {},
        {"kl": [0.0, 0.07, 0.18, 0.36, 0.7, 1.0]},
        # GRPO on four prompts a step, of an embedded policy: sure of most of them, and of others not
        {"entropy": [0.0205, 0.004, 0.0304, 0.0072, 0.0444, 0.0052, 0.0055, 0.027, 0.0038, 0.002, 0.0175]},
        # HeRL on humaneval: far, and better for it; and rewards of few prompts, which jump
        {"kl": [0.0, 0.08, 0.18, 0.36], "reward": [0.64, 0.58, 0.59, 0.71]},
        {"kl": [0.0, 0.0, 0.0, 0.0, 0.09], "reward": [0.8, 0.2, 0.3, 0.2, 0.4]},
        {"kl": [0.0, 0.2, 0.2, 0.2], "reward": [0.06, 0.02, 0.02, 0.01]},
        {"kl": [0.0, 0.2, 0.2], "reward": [0.8, 0.2, 0.2]},
        {"kl": [0.0, 0.2, 0.2, 0.2, 0.2], "reward": [None, None, 0.8, 0.2, 0.2]},
        {"entropy": [0.4, 0.03, 0.03, 0.3, 0.02]},
        {"entropy": [0.5, 0.3, 0.2, 0.1, 0.06, 0.06]},
        {"entropy": [0.02, 0.2, 0.2, 0.4, 0.5]},
        {"entropy": [2.0, 2.9, 2.9, 2.9]},
        {"kl": [None, None], "entropy": [None, None]},
    ],
)
def test_learning_is_no_collapse(columns: dict[str, list[float]]) -> None:
    assert find_collapse(series(**columns) if columns else [], SETTINGS) is None


def test_only_the_first_steps_are_looked_at() -> None:
    assert find_collapse(series(kl=[0.1] * (FIRST_STEPS - 1) + [2.0]), SETTINGS) is not None
    assert find_collapse(series(kl=[0.1] * FIRST_STEPS + [2.0]), SETTINGS) is None


def test_a_run_says_it_once_and_its_page_again(tmp_path: Path) -> None:
    config = PPOConfig(**{**SMALL, "learning_rate": 0.1, "rollouts_per_step": 8, "max_kl": 100})
    run = make_run(tmp_path / "run", tiny_checkpoint(tmp_path / "m"), config, 160, lively=True)
    said: list[str] = []
    run.on_warning = said.append
    train(run)
    logged = rows(run)
    assert len(logged) > 3
    (sentence,) = said
    assert sentence == f"{find_collapse(logged, vars(run.config))}."
    assert "--set learning_rate=3e-02, now 0.1" in sentence
    nothing = Evaluation({}, (), {})
    settings = {"task": "toy", "method": "m", "seed": 3, "set": vars(run.config)}
    finished = FinishedRun(run.directory, settings, {}, "number", True, tuple(logged), nothing, nothing)
    calm = replace(finished, rows=tuple(logged[:1]))
    assert note_collapses([finished, calm]) == [f"m on toy, seed 3: {sentence}"]


def test_without_a_kl_a_reward_that_is_gone_is_told() -> None:
    rows = [{"step": i + 1, "reward": reward, "entropy": 0.04} for i, reward in enumerate([0.455, 0.0, 0.003, 0.0])]
    assert "(reward 0.46, by now 0.00) in step 4: lower learning_rate" in (find_collapse(rows, {}) or "")
    assert find_collapse(rows[:3], {}) is None
    assert find_collapse([row | {"kl": 0.0} for row in rows], {}) is None
