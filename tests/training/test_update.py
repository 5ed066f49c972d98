"""What a strong PPO does, one by one, on a real (tiny, untrained) checkpoint."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.toy_runs import SMALL, make_run, rows, train

from herl_bench.errors import DivergedError, HerlBenchError
from herl_bench.testing import tiny_checkpoint
from herl_bench.training.config import HeRLConfig, PPOConfig
from herl_bench.training.herl import Learner
from herl_bench.training.rollouts import Assignment, Row, make_rows
from herl_bench.training.sampling import judge_rollouts, sample_rollouts
from herl_bench.training.training_run import TrainingRun
from herl_bench.training.update import ActorCritic, ScoredRows, compute_targets, draw_minibatches


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "llama")


def score_a_step(run: TrainingRun) -> tuple[ActorCritic, HeRLConfig, list[Row], ScoredRows]:
    """One step's rows, scored and not learnt from."""
    learner = Learner(run)
    assigned = [Assignment(e, e.prompt) for e in learner.examples.take(24)]
    drafts = sample_rollouts(run, learner.judging, assigned, learner.config.temperature, learner.streams["sampling"])
    rows = make_rows(judge_rollouts(run, learner.judging, drafts), learner.config)
    return learner.models, learner.config, rows, learner.models.score(rows)


def test_every_sampled_token_is_trained_on_the_end_included(tmp_path: Path, checkpoint: Path) -> None:
    run = make_run(tmp_path / "run", checkpoint, PPOConfig(**SMALL), lively=True)
    _, _, rows, scored = score_a_step(run)
    assert scored.mask_NT.sum(1).tolist() == [len(row.pair.response) for row in rows]
    assert run.policy.pad_id not in run.policy.eos_ids
    assert any(row.pair.response[-1] in run.policy.eos_ids for row in rows)


def test_returns_are_rewards_and_are_not_whitened(tmp_path: Path, checkpoint: Path) -> None:
    """Before the critic's warm-up and after it."""
    run = make_run(tmp_path / "run", checkpoint, PPOConfig(**SMALL), lively=True)
    models, config, rows, scored = score_a_step(run)
    for _ in range(2):
        targets = compute_targets(rows, scored, config)
        assert torch.equal(targets.on_mask_NT, scored.mask_NT)
        for i, row in enumerate(rows):
            returns = targets.return_NT[i][scored.mask_NT[i] > 0].tolist()
            assert returns == pytest.approx([row.reward] * len(row.pair.response), abs=1e-6)
        scored = models.warm_up(rows, scored, 3)


def test_advantages_are_whitened_over_the_whole_step(tmp_path: Path, checkpoint: Path) -> None:
    run = make_run(tmp_path / "run", checkpoint, PPOConfig(**SMALL), lively=True)
    models, config, rows, scored = score_a_step(run)
    scored = models.warm_up(rows, scored, 3)
    valid = compute_targets(rows, scored, config).advantage_NT[scored.mask_NT > 0]
    assert valid.mean().item() == pytest.approx(0, abs=1e-5)
    assert valid.std().item() == pytest.approx(1, abs=0.01)


def test_the_critics_warm_up_leaves_the_policy_alone(tmp_path: Path, checkpoint: Path) -> None:
    models, _, rows, scored = score_a_step(make_run(tmp_path / "run", checkpoint, PPOConfig(**SMALL), lively=True))
    policy, critic = ([p.clone() for p in model.parameters()] for model in (models.policy.model, models.critic))
    assert not scored.value_NT.any()  # it begins at nothing
    scored = models.warm_up(rows, scored, 3)
    assert all(torch.equal(a, b) for a, b in zip(policy, models.policy.model.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(critic, models.critic.parameters(), strict=True))
    assert scored.value_NT.any()


def test_the_optimiser_and_no_dropout(tmp_path: Path, checkpoint: Path) -> None:
    models, *_ = score_a_step(make_run(tmp_path / "run", checkpoint, PPOConfig(**SMALL)))
    assert {(g["eps"], g["weight_decay"]) for g in models.optimizer.param_groups} == {(1e-5, 0.0)}
    assert not any(
        m.training for model in (models.policy.model, models.critic, models.reference) for m in model.modules()
    )


def test_the_gradient_is_clipped(tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(tmp_path / "run", checkpoint, PPOConfig(**SMALL, max_grad_norm=0.01), lively=True)
    models, config, rows, scored = score_a_step(run)
    norms: list[float] = []
    step = models.optimizer.step

    def watched() -> None:
        for model in (models.policy.model, models.critic):
            norms.append(sum(float(p.grad.square().sum()) for p in model.parameters() if p.grad is not None) ** 0.5)
        step()

    monkeypatch.setattr(models.optimizer, "step", watched)
    scored = models.warm_up(rows, scored, 3)
    stats = models.update(rows, scored, compute_targets(rows, scored, config), step=1, minibatches=3)
    assert stats["grad_norm"] > 0.01
    assert len(norms) == 2 * (3 + 3)  # the critic's warm-up and the epoch
    assert all(norm < 0.0101 for norm in norms)


def test_each_epoch_is_shuffled_anew_and_leaves_no_row_out() -> None:
    generator = torch.Generator().manual_seed(0)
    one, two = (torch.cat(draw_minibatches(24, 3, generator)).tolist() for _ in range(2))
    assert sorted(one) == sorted(two) == list(range(24))
    assert one != two


@pytest.mark.parametrize(
    ("rows", "minibatches", "sizes"), [(43, 1, [43]), (43, 2, [22, 21]), (31, 4, [8, 8, 8, 7]), (2, 3, [1, 1])]
)
def test_minibatches_are_as_many_as_planned_and_as_equal_as_can_be(
    rows: int, minibatches: int, sizes: list[int]
) -> None:
    drawn = draw_minibatches(rows, minibatches, torch.Generator().manual_seed(0))
    assert [len(chosen) for chosen in drawn] == sizes
    assert sorted(torch.cat(drawn).tolist()) == list(range(rows))


def test_a_full_step_is_divided_as_it_always_was() -> None:
    one, two = (torch.Generator().manual_seed(0) for _ in range(2))
    assert all(map(torch.equal, draw_minibatches(32, 4, one), torch.randperm(32, generator=two).split(8)))


@pytest.mark.parametrize("lost", ["on-policy", "off-policy"])
def test_a_token_that_was_lost_owns_neither_the_gradient_nor_the_reported_kl(
    tmp_path: Path, checkpoint: Path, lost: str
) -> None:
    """The starting policy finds one token of one row e^60 times as likely. With that row on-policy it counts in `kl`
    and, beyond max_kl, ends the run; off-policy it counts in a metric of its own and ends nothing."""
    run = make_run(tmp_path / "run", checkpoint, PPOConfig(**SMALL, kl_coef=0.5, max_kl=0.01), lively=True)
    models, config, rows, scored = score_a_step(run)
    long = max(range(len(rows)), key=lambda i: len(rows[i].pair.response))
    scored.reference_NT[long, 0] = scored.old_NT[long, 0] + 60
    if lost == "on-policy":
        with pytest.raises(DivergedError, match=r"KL to the starting policy is 0\.\d+ nats per token \(max_kl=0.01\)"):
            models.update(rows, scored, compute_targets(rows, scored, config), step=1, minibatches=1)
        return
    rows[long] = replace(rows[long], behaviour=rows[long].pair)
    stats = models.update(rows, scored, compute_targets(rows, scored, config), step=1, minibatches=1)
    assert stats["kl"] == pytest.approx(0, abs=1e-6)
    assert stats["kl_off_policy"] == pytest.approx(10 / len(rows[long].pair.response), rel=1e-4)
    assert stats["grad_norm"] < 100


def imitate(run: TrainingRun, spent: float, likelier: float) -> float:
    """The loss of one update on a step whose every second row is a revision under the plain prompt. spent: share of the
    budget. likelier: in nats, by guidance, each of its tokens."""
    models, config, rows, scored = score_a_step(run)
    rows = [replace(row, behaviour=row.pair) if i % 2 else row for i, row in enumerate(rows)]
    scored.behaviour_NT[:] = scored.old_NT + likelier
    run.budget.spent = int(spent * run.budget.tokens)
    return models.update(rows, scored, compute_targets(rows, scored, config), step=1, minibatches=1)["loss"]


def test_what_an_imitated_row_weighs(tmp_path: Path, checkpoint: Path) -> None:
    """By the loss, which is linear in the weight: none, all, half by the setting, half by the budget, half by what
    guidance did, and all but no more where it did much."""

    def loss(name: str, spent: float = 0.0, likelier: float = 0.0, **change: Any) -> float:
        config = HeRLConfig(**SMALL, kl_coef=0.0, bonus="none", **change)
        run = make_run(tmp_path / name, checkpoint, config, lively=True)
        return imitate(run, spent, likelier)

    none, whole = loss("none", imitation_coef=0.0), loss("whole")
    assert abs(whole - none) > 0.01
    half = pytest.approx((none + whole) / 2, abs=1e-5)
    assert loss("half", imitation_coef=0.5) == half
    assert loss("midway", spent=0.4, imitation_end=0.8) == half
    assert loss("over", spent=0.9, imitation_end=0.8) == pytest.approx(none, abs=1e-6)
    assert loss("nothing", likelier=-1.0, imitation_tokens="guided") == pytest.approx(none, abs=1e-6)
    assert loss("guided", likelier=0.5, imitation_tokens="guided") == half
    assert loss("much", likelier=7.0, imitation_tokens="guided") == pytest.approx(whole, abs=1e-6)


def test_without_off_policy_rows_there_is_no_metric_of_them(tmp_path: Path, checkpoint: Path) -> None:
    models, config, rows, scored = score_a_step(make_run(tmp_path / "run", checkpoint, PPOConfig(**SMALL), lively=True))
    stats = models.update(rows, scored, compute_targets(rows, scored, config), step=1, minibatches=1)
    assert "kl" in stats
    assert "kl_off_policy" not in stats


def test_too_large_a_move_ends_the_epochs(tmp_path: Path, checkpoint: Path) -> None:
    config = PPOConfig(**{**SMALL, "learning_rate": 0.03}, num_ppo_epochs=4, target_kl=1e-6)
    run = make_run(tmp_path / "run", checkpoint, config, budget=150, lively=True)
    train(run)
    first = rows(run)[0]
    assert first["early_stop"] == 1
    assert first["optimizer_steps"] < 4 * 3


def test_a_policy_that_is_not_the_same_twice_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    run = make_run(tmp_path / "run", checkpoint, PPOConfig(**SMALL))
    run.policy.model.get_input_embeddings().register_forward_hook(
        lambda module, given, out: torch.nn.functional.dropout(out, 0.3)
    )
    with pytest.raises(HerlBenchError, match="the ratio of the first minibatch is off 1"):
        train(run)
    assert run.budget.optimizer_steps == 0  # before anything was learnt from it
