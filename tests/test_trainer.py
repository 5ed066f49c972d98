"""The whole trainer on real (tiny, untrained) Llama and Qwen2 checkpoints."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from herl_bench.budget import Budget
from herl_bench.builtin import herl_methods
from herl_bench.data import open_data
from herl_bench.errors import DivergedError
from herl_bench.policy import load_policy
from herl_bench.runs import Run, checkpoints
from herl_bench.settings import Settings
from herl_bench.testing import TOY_METRIC, TOY_RUBRIC, TOY_TASK, TOY_TEMPLATE, tiny_checkpoint
from herl_bench.train.config import HeRLConfig, PPOConfig
from herl_bench.train.metrics import CLOCK, METRICS

SMALL: dict[str, Any] = {"rollouts_per_step": 24, "minibatch_size": 8, "learning_rate": 1e-3, "save_steps": 2}
METHODS = {m.name: m for m in herl_methods()}


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "llama")


def make_run(directory: Path, checkpoint: Path, config: PPOConfig, budget: int = 700, **more: Any) -> Run:
    directory.mkdir(exist_ok=True)
    method = METHODS["herl" if isinstance(config, HeRLConfig) else "ppo"]
    data = open_data(TOY_TASK, "synthetic", embedded=True, eval_items=8)
    return Run(
        directory, Settings(task="toy"), TOY_TASK, TOY_RUBRIC, TOY_TEMPLATE, [TOY_METRIC], method, config, data, load_policy(str(checkpoint)),
        Budget(budget), **more,
    )  # fmt: skip


def train(run: Run) -> dict[str, torch.Tensor]:
    run.method.train(run)
    return run.policy.model.state_dict()


def rows(run: Run, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (run.directory / name).read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in (*CLOCK, "seconds")} for row in found]


def assert_same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


def test_herl_with_hindsight_off_is_ppo_to_the_bit(tmp_path: Path, checkpoint: Path) -> None:
    ppo = make_run(tmp_path / "ppo", checkpoint, PPOConfig(**SMALL))
    herl = make_run(tmp_path / "herl", checkpoint, HeRLConfig(**SMALL, hindsight=False, bonus="none"))
    assert_same(train(ppo), train(herl))
    assert rows(ppo) == rows(herl)


def test_herl_learns_something_else_than_ppo(tmp_path: Path, checkpoint: Path) -> None:
    ppo = train(make_run(tmp_path / "ppo", checkpoint, PPOConfig(**SMALL)))
    herl = train(make_run(tmp_path / "herl", checkpoint, HeRLConfig(**SMALL)))
    assert any(not torch.equal(ppo[name], herl[name]) for name in ppo)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, checkpoint: Path) -> None:
    one, two = (make_run(tmp_path / name, checkpoint, HeRLConfig(**SMALL, guide_prob=0.3)) for name in ("one", "two"))
    assert_same(train(one), train(two))
    assert rows(one) == rows(two)
    assert rows(one, "rollouts.jsonl") == rows(two, "rollouts.jsonl")


class Killed(BaseException):
    pass


@pytest.mark.parametrize("step", [1, 3, 4])
def test_killed_at_any_step_and_resumed_gives_the_same_bytes(tmp_path: Path, checkpoint: Path, step: int) -> None:
    config = HeRLConfig(**SMALL, guide_prob=0.3)
    whole = make_run(tmp_path / "whole", checkpoint, config)
    expected = train(whole)

    def die(row: dict[str, Any], rollouts: Any) -> None:
        if row["step"] == step:
            raise Killed

    with pytest.raises(Killed):
        train(make_run(tmp_path / "cut", checkpoint, config, on_step=die))
    with open(tmp_path / "cut" / "metrics.jsonl", "a") as file:
        file.write('{"torn": ')
    resumed = make_run(tmp_path / "cut", checkpoint, config, resuming=True)
    assert_same(expected, train(resumed))
    assert rows(whole) == rows(resumed)
    assert rows(whole, "rollouts.jsonl") == rows(resumed, "rollouts.jsonl")


def test_an_interrupted_run_saves_a_checkpoint_and_goes_on(tmp_path: Path, checkpoint: Path) -> None:
    config = PPOConfig(**{**SMALL, "save_steps": 50})
    expected = train(make_run(tmp_path / "whole", checkpoint, config))
    run = make_run(tmp_path / "cut", checkpoint, config)

    def interrupt(row: dict[str, Any], rollouts: Any) -> None:
        run.interrupted = row["step"] == 1

    run.on_step = interrupt
    train(run)
    assert [p.name for p in checkpoints(run.directory)] == ["step-000001"]
    assert_same(expected, train(make_run(tmp_path / "cut", checkpoint, config, resuming=True)))


def test_the_budget_is_spent_and_kept(tmp_path: Path, checkpoint: Path) -> None:
    run = make_run(tmp_path / "run", checkpoint, HeRLConfig(**SMALL), budget=500)
    train(run)
    logged = rows(run, "rollouts.jsonl")
    assert run.budget.spent == sum(row["tokens"] for row in logged) == rows(run)[-1]["tokens"]
    assert {row["kind"] for row in logged} == {"plain", "revision"}
    assert 0.9 * 500 < run.budget.spent <= 500 + 6


def test_the_first_ratio_is_one_and_every_metric_is_documented(tmp_path: Path, checkpoint: Path) -> None:
    run = make_run(tmp_path / "run", checkpoint, HeRLConfig(**SMALL, num_ppo_epochs=2))
    train(run)
    for row in rows(run):
        assert row["ratio_first"] < 1e-4
        assert set(row) <= set(METRICS)


@pytest.mark.parametrize(
    "change",
    [
        {"off_policy": "shaped"},
        {"off_policy": "clipped_is", "train_context": "original"},
        {"train_context": "hindsight", "bonus": "measured"},
        {"revise": "best_of_group", "num_generations": 2},
        {"revise": "critic"},
        {"truncation": "mask", "entropy_coef": 0.01, "dual_clip": 3.0},
        {"cliprange_high": 0.28, "hint_level": "criteria", "gamma": 0.99, "lam": 0.95, "microbatch_tokens": 64},
    ],
    ids=lambda change: next(iter(change.values())),
)
def test_every_variant_trains_and_logs_finite_numbers(tmp_path: Path, checkpoint: Path, change: dict[str, Any]) -> None:
    run = make_run(tmp_path / "run", checkpoint, HeRLConfig(**{**SMALL, **change}), budget=400)
    before = {k: v.clone() for k, v in run.policy.model.state_dict().items()}
    after = train(run)
    assert all(torch.isfinite(v).all() for v in after.values())
    assert len(rows(run)) >= 2
    if change.get("truncation") != "mask":
        assert any(not torch.equal(before[k], after[k]) for k in before)


def test_micro_batches_do_not_change_what_is_learnt(tmp_path: Path, checkpoint: Path) -> None:
    small = train(make_run(tmp_path / "small", checkpoint, PPOConfig(**SMALL, microbatch_tokens=30), budget=150))
    large = train(make_run(tmp_path / "large", checkpoint, PPOConfig(**SMALL), budget=150))
    for name in small:
        torch.testing.assert_close(small[name], large[name], rtol=1e-3, atol=2e-5)


def test_nan_stops_the_run_with_a_checkpoint_and_a_sentence(tmp_path: Path, checkpoint: Path) -> None:
    run = make_run(tmp_path / "run", checkpoint, PPOConfig(**SMALL))
    with torch.no_grad():
        run.policy.model.get_input_embeddings().weight[5:] *= 1e30
    with pytest.raises(DivergedError, match=r"stopped at step \d: .*lower learning_rate"):
        train(run)
    assert list((run.directory / "checkpoints").glob("diverged-*/state.pt"))


def test_a_reward_that_cannot_be_computed_trains_nothing(tmp_path: Path, checkpoint: Path) -> None:
    def broken(example: Any, response: str) -> bool:
        raise RuntimeError("no oracle today")

    run = make_run(tmp_path / "run", checkpoint, PPOConfig(**SMALL), budget=200)
    run.rubric = replace(TOY_RUBRIC, criteria=tuple(replace(c, check=broken) for c in TOY_RUBRIC.criteria))
    before = {k: v.clone() for k, v in run.policy.model.state_dict().items()}
    assert_same(before, train(run))
    assert all(row["error_rate"] == 1 and row["rows"] == 0 for row in rows(run))


def test_qwen2_with_a_chat_template(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "qwen", "qwen2", chat_template=True)
    run = make_run(tmp_path / "run", checkpoint, HeRLConfig(**SMALL), budget=300)
    train(run)
    run.save_final()
    again = load_policy(str(run.directory / "final"))
    assert_same(run.policy.model.state_dict(), again.model.state_dict())
    assert (run.directory / "final" / "critic.safetensors").is_file()


def test_every_token_that_a_model_reads_or_learns_from_is_metered(tmp_path: Path, checkpoint: Path) -> None:
    """One PPO step over T tokens: sampling reads T, the policy, the starting policy, and the critic before and after its warm-up 4 T; the critic's
    warm-up, the policy and the critic learn from 3 T."""
    run = make_run(tmp_path / "run", checkpoint, PPOConfig(**SMALL), budget=100)
    train(run)
    (row,) = rows(run)
    tokens = sum(len(ids) for ids in run.policy.encode([r["prompt"] for r in rows(run, "rollouts.jsonl")], "")) + row["tokens"]
    assert row["rows"] == row["rollouts"]
    assert (row["forward_tokens"], row["trained_tokens"]) == (5 * tokens, 3 * tokens)
