"""GRPO and RLOO by TRL's own trainers, on real (tiny, untrained) checkpoints: the right numbers reach TRL, and a run is
like any other."""

import itertools
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import toy_runs
from helpers.checkpoints import make_policy
from helpers.toy_runs import PARITY, Killed, assert_same, rows, train

from herl_bench.errors import DivergedError, UsageError
from herl_bench.policy.load import load_policy
from herl_bench.testing import tiny_checkpoint
from herl_bench.training.checkpoints import list_checkpoints
from herl_bench.training.config import GRPOConfig, PPOConfig, RLOOConfig, TRLConfig
from herl_bench.training.forward import Packing, compute_logprobs, pack_microbatches
from herl_bench.training.metrics import METRICS
from herl_bench.training.training_run import TrainingRun
from herl_bench.training.trl_methods import StepSource, _counts_padding, _divide

SMALL: dict[str, Any] = {
    "rollouts_per_step": 24,
    "num_generations": 4,
    "minibatch_size": 8,
    "learning_rate": 1e-3,
    "save_steps": 2,
}
CALLS_TRL = pytest.mark.filterwarnings(
    "ignore:.*gradient_checkpointing.*:FutureWarning"
)  # TRL asks by a name that goes away
KINDS = pytest.mark.parametrize("kind", [GRPOConfig, RLOOConfig], ids=["grpo", "rloo"])


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "llama")


def make_run(
    directory: Path, checkpoint: Path, config: TRLConfig | PPOConfig, budget: int = 600, **more: Any
) -> TrainingRun:
    return toy_runs.make_run(directory, checkpoint, config, budget, lively=True, **more)


def scores(run: TrainingRun, rollouts: Any) -> list[list[float]]:
    """The log-prob of each sampled token under the policy as it is, at the sampling temperature, by this project's own
    scoring."""
    found: list[list[float]] = [[] for _ in rollouts]
    with torch.no_grad():
        for batch in pack_microbatches([r.pair for r in rollouts], Packing(10_000, 0, "cpu")):
            logp, _ = compute_logprobs(run.policy.model, batch)
            for b, row in enumerate(batch.rows_B.tolist()):
                found[row] = logp[b][batch.mask_BT[b] > 0].tolist()
    return found


@CALLS_TRL
@KINDS
def test_trl_scores_what_was_sampled_at_the_temperature_it_was_sampled_at(
    tmp_path: Path, checkpoint: Path, kind: Any
) -> None:
    source = StepSource(make_run(tmp_path / "run", checkpoint, kind(**SMALL, temperature=0.7)))
    batch = next(iter(source))
    rollouts = source.rollouts
    source.trainer.model.train()  # TRL generates and scores in this mode only
    scored = source.trainer._generate_and_score_completions(batch)
    expected = scores(source.run, rollouts)
    for i, r in enumerate(rollouts):
        prompt, response = scored["prompt_mask"][i] > 0, scored["completion_mask"][i] > 0
        assert scored["prompt_ids"][i][prompt].tolist() == list(r.prompt_ids)
        assert scored["completion_ids"][i][response].tolist() == list(r.ids)
        if kind is GRPOConfig:
            assert scored["old_per_token_logps"][i][response].tolist() == pytest.approx(expected[i], abs=1e-5)
        else:
            assert scored["old_logps"][i].item() == pytest.approx(sum(expected[i]), abs=1e-4)


@CALLS_TRL
def test_advantages_by_hand(tmp_path: Path, checkpoint: Path) -> None:
    """Rewards .25 .5 1 none in a group. GRPO, unscaled: minus the mean .58333. RLOO: minus the mean of the others; no
    reward, no advantage."""
    for config, expected in (
        (GRPOConfig(**SMALL, beta=0, scale_rewards="none"), [-1 / 3, -1 / 12, 5 / 12, 0]),
        (RLOOConfig(**SMALL, beta=0, normalize_advantages=False), [-0.5, -0.125, 0.625, 0]),
    ):
        source = StepSource(make_run(tmp_path / type(config).__name__, checkpoint, config))
        next(iter(source))
        given = [0.25, 0.5, 1.0, None]
        source.rollouts = [
            replace(r, finish="eos", judgement=replace(r.judgement, reward=given[i % 4]))
            for i, r in enumerate(source.rollouts)
        ]
        source.trainer.hand_over(source.rollouts, 3)
        source.trainer.model.train()
        scored = source.trainer._generate_and_score_completions(
            [{"prompt": r.prompt, "rollout": r} for r in source.rollouts]
        )
        assert scored["advantages"].tolist() == pytest.approx(expected * 6, abs=1e-6)


@CALLS_TRL
def test_a_response_without_a_reward_has_no_part_in_the_loss(tmp_path: Path, checkpoint: Path) -> None:
    """Whatever the starting policy says of it, which the KL term would read."""
    source = StepSource(make_run(tmp_path / "run", checkpoint, GRPOConfig(**SMALL, beta=0.5)))
    next(iter(source))
    given = [0.25, 0.5, 1.0, None]
    source.rollouts = [
        replace(r, finish="eos", judgement=replace(r.judgement, reward=given[i % 4]))
        for i, r in enumerate(source.rollouts)
    ]
    source.trainer.hand_over(source.rollouts, 3)
    source.trainer.model.train()
    source.trainer.current_gradient_accumulation_steps = 1
    scored = source.trainer._generate_and_score_completions(
        [{"prompt": r.prompt, "rollout": r} for r in source.rollouts]
    )
    loss = source.trainer.compute_loss(source.trainer.model, scored).item()
    for row, counts in ((3, False), (0, True)):
        moved = scored["ref_per_token_logps"].clone()
        moved[row] -= 1
        other = source.trainer.compute_loss(source.trainer.model, {**scored, "ref_per_token_logps": moved}).item()
        assert (abs(other - loss) > 1e-4) is counts


@CALLS_TRL
def test_trimmed_minibatches_give_the_same_loss_and_the_first_ratio_is_one(tmp_path: Path, checkpoint: Path) -> None:
    source = StepSource(make_run(tmp_path / "run", checkpoint, GRPOConfig(**SMALL)))
    trainer, batch = source.trainer, next(iter(source))
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    minibatch = trainer._prepare_inputs(batch)
    whole = trainer._buffered_inputs[0]
    assert minibatch["completion_ids"].shape[1] == int(minibatch["completion_mask"].sum(1).max())
    assert minibatch["prompt_ids"].shape[1] == int(minibatch["prompt_mask"].sum(1).max())
    losses = [trainer.compute_loss(trainer.model, inputs) for inputs in (minibatch, whole)]
    assert losses[0].item() == pytest.approx(losses[1].item(), abs=1e-6)
    assert trainer._metrics["train"]["clip_ratio/region_mean"] == [0.0, 0.0]
    ids = torch.cat([minibatch["prompt_ids"], minibatch["completion_ids"]], 1)
    mask = torch.cat([minibatch["prompt_mask"], minibatch["completion_mask"]], 1)
    now, _, _ = trainer._get_per_token_logps_and_entropies(
        trainer.model, ids, mask, minibatch["completion_ids"].shape[1]
    )
    ratio = (now - minibatch["old_per_token_logps"]).exp()[minibatch["completion_mask"] > 0]
    assert (ratio - 1).abs().max() < 1e-4


@KINDS
def test_a_run_like_any_other(tmp_path: Path, checkpoint: Path, kind: Any) -> None:
    run = make_run(tmp_path / "run", checkpoint, kind(**SMALL, num_iterations=2))
    before = {k: v.clone() for k, v in run.policy.model.state_dict().items()}
    after = train(run)
    assert any(not torch.equal(before[k], after[k]) for k in before)
    assert all(torch.isfinite(v).all() for v in after.values())
    logged, responses = rows(run), rows(run, "rollouts.jsonl")
    assert len(logged) > 3
    assert all(set(row) <= set(METRICS) for row in logged)
    assert {"loss", "kl", "entropy", "grad_norm", "clip_fraction", "frac_reward_zero_std", "criteria"} <= set(logged[0])
    assert run.budget.spent == sum(row["tokens"] for row in responses) == logged[-1]["tokens"]
    assert 0.9 * 600 < run.budget.spent <= 600 + 4 * 6
    assert logged[0]["optimizer_steps"] == 2 * 3
    assert logged[-1]["rollouts"] == len(responses)
    run.save_final()
    assert_same(after, load_policy(str(run.directory / "final")).model.state_dict())


def test_the_environment_does_not_say_the_precision(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    source = StepSource(make_run(tmp_path / "run", checkpoint, GRPOConfig(**SMALL)))
    assert source.trainer.accelerator.mixed_precision == "no"


def test_the_prompts_are_those_that_ppo_gets(tmp_path: Path, checkpoint: Path) -> None:
    peer = make_run(tmp_path / "grpo", checkpoint, GRPOConfig(**SMALL), budget=400)
    ppo = make_run(tmp_path / "ppo", checkpoint, PPOConfig(rollouts_per_step=24, num_generations=4), budget=400)
    train(peer)
    train(ppo)
    first, second = ([row["id"] for row in rows(run, "rollouts.jsonl")] for run in (peer, ppo))
    assert first[:48] == second[:48]
    # the very same responses too: nothing was learnt before the first step
    assert [r["response"] for r in rows(peer, "rollouts.jsonl")[:24]] == [
        r["response"] for r in rows(ppo, "rollouts.jsonl")[:24]
    ]


@KINDS
@pytest.mark.parametrize("step", [1, 3])
def test_killed_and_resumed_gives_the_same_bytes(tmp_path: Path, checkpoint: Path, kind: Any, step: int) -> None:
    whole = make_run(tmp_path / "whole", checkpoint, kind(**SMALL))
    # Where there is a checkpoint, it tells how many responses are drawn at once, whatever memory is free by now.
    cache_bytes = whole.policy.cache_bytes = 100_000 if step == 3 else whole.policy.cache_bytes
    expected = train(whole)

    def die(row: dict[str, Any], rollouts: Any) -> None:
        if row["step"] == step:
            raise Killed

    cut = make_run(tmp_path / "cut", checkpoint, kind(**SMALL), on_step=die)
    cut.policy.cache_bytes = cache_bytes
    with pytest.raises(Killed):
        train(cut)
    torch.rand(3)  # whatever else used torch's global random state
    resumed = make_run(tmp_path / "cut", checkpoint, kind(**SMALL), resuming=True)
    assert_same(expected, train(resumed))
    assert rows(whole) == rows(resumed)
    assert rows(whole, "rollouts.jsonl") == rows(resumed, "rollouts.jsonl")
    finished = make_run(tmp_path / "cut", checkpoint, kind(**SMALL), resuming=True)
    assert_same(expected, train(finished))


@KINDS
def test_with_lora_killed_and_resumed_gives_the_same_bytes(tmp_path: Path, checkpoint: Path, kind: Any) -> None:
    """And with gradient checkpointing, which changes none of them; the adapter is what is saved, and alone."""
    config = kind(**SMALL, lora_rank=2)
    expected = train(make_run(tmp_path / "whole", checkpoint, config, budget=400))

    def die(row: dict[str, Any], rollouts: Any) -> None:
        if row["step"] == 3:
            raise Killed

    saving = replace(config, gradient_checkpointing=True)
    with pytest.raises(Killed):
        train(make_run(tmp_path / "cut", checkpoint, saving, budget=400, on_step=die))
    resumed = make_run(tmp_path / "cut", checkpoint, saving, budget=400, resuming=True)
    assert_same(expected, train(resumed))
    began = load_policy(checkpoint).model.state_dict()
    assert_same(began, {n.replace(".base_layer", ""): w for n, w in expected.items() if ".lora_" not in n})
    resumed.save_final()
    assert (resumed.files.final / "adapter_model.safetensors").is_file()
    ids = torch.tensor([[1, 7, 8, 9]])
    with torch.no_grad():
        assert torch.equal(load_policy(resumed.files.final).model(ids).logits, resumed.policy.model(ids).logits)


def test_an_interrupted_run_saves_a_checkpoint(tmp_path: Path, checkpoint: Path) -> None:
    run = make_run(tmp_path / "run", checkpoint, GRPOConfig(**{**SMALL, "save_steps": 50}))

    def interrupt(row: dict[str, Any], rollouts: Any) -> None:
        run.interrupted = row["step"] == 2

    run.on_step = interrupt
    train(run)
    assert [p.name for p in list_checkpoints(run.directory)] == ["step-000002"]
    assert len(rows(run)) == 2


@KINDS
def test_nan_stops_the_run_before_it_reaches_the_weights(tmp_path: Path, checkpoint: Path, kind: Any) -> None:
    run = make_run(tmp_path / "run", checkpoint, kind(**SMALL))
    with torch.no_grad():
        run.policy.model.get_input_embeddings().weight[5:] *= 1e30
    with pytest.raises(DivergedError, match=r"stopped at step \d: .*lower learning_rate"):
        train(run)
    saved = torch.load(next((run.directory / "checkpoints").glob("diverged-*/state.pt")), weights_only=True)["state"][
        "policy"
    ]
    assert all(torch.isfinite(v).all() for v in saved.values())


def test_a_reward_that_cannot_be_computed_trains_nothing(tmp_path: Path, checkpoint: Path) -> None:
    def broken(example: Any, response: str) -> bool:
        raise RuntimeError("no oracle today")

    run = make_run(tmp_path / "run", checkpoint, GRPOConfig(**SMALL, beta=0), budget=200)
    run.environment = replace(
        run.environment, rubric=replace(PARITY, criteria=tuple(replace(c, check=broken) for c in PARITY.criteria))
    )
    before = {k: v.clone() for k, v in run.policy.model.state_dict().items()}
    assert_same(before, train(run))
    assert all(row["error_rate"] == 1 and row["rows"] == 0 for row in rows(run))


@pytest.mark.parametrize(("truncation", "rewards"), [("penalise", [0.0, 0.75]), ("mask", [None, 0.75])])
def test_truncated_responses_get_nothing(
    tmp_path: Path, checkpoint: Path, truncation: Any, rewards: list[float | None]
) -> None:
    source = StepSource(make_run(tmp_path / "run", checkpoint, GRPOConfig(**SMALL, truncation=truncation)))
    next(iter(source))
    assert {r.truncation for r in source.rollouts} == {truncation}
    cut, whole = (
        replace(source.rollouts[0], finish=how, judgement=replace(source.rollouts[0].judgement, reward=0.75))
        for how in ("length", "eos")
    )
    assert source.list_rewards([cut, whole]) == rewards


@CALLS_TRL
@KINDS
def test_minibatches_of_unlike_sizes_are_those_of_ppo(tmp_path: Path, checkpoint: Path, kind: Any) -> None:
    """24 rollouts by 10: three of 8. 20 by 8: three, of 7, 7 and 6."""
    for rollouts, size, sizes in ((24, 10, [8, 8, 8]), (20, 8, [7, 7, 6])):
        small = {**SMALL, "rollouts_per_step": rollouts, "minibatch_size": size}
        source = StepSource(make_run(tmp_path / f"run-{rollouts}", checkpoint, kind(**small)))
        source.trainer.model.train()
        drawn = []
        for i, batch in enumerate(itertools.islice(source, 3)):
            source.trainer._step = i
            drawn.append(source.trainer._prepare_inputs(batch)["completion_ids"])
        assert [len(ids) for ids in drawn] == sizes
        written = sorted(r.ids for r in source.rollouts)
        read = [
            tuple(ids[mask > 0].tolist())
            for part in source.trainer._buffered_inputs
            for ids, mask in zip(part["completion_ids"], part["completion_mask"], strict=True)
        ]
        assert sorted(read) == written


def test_minibatches_leave_no_rollout_out() -> None:
    scored = {"ids": torch.arange(20).view(10, 2), "tokens": torch.tensor(7.0), "images": None}
    parts = _divide(scored, 3)
    assert [len(part["ids"]) for part in parts] == [4, 3, 3]
    assert torch.equal(torch.cat([part["ids"] for part in parts]), scored["ids"])
    assert all(part["tokens"] == 7 and part["images"] is None for part in parts)


def test_a_model_that_counts_padding_is_refused(tmp_path: Path) -> None:
    assert not _counts_padding(make_policy(tmp_path / "llama", "llama"))
    assert _counts_padding(make_policy(tmp_path / "gpt2", "gpt2"))


def test_a_step_without_room_for_a_group_is_refused(tmp_path: Path, checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="rollouts_per_step=4 holds no group of num_generations=8"):
        train(make_run(tmp_path / "run", checkpoint, GRPOConfig(rollouts_per_step=4)))


def test_from_the_command_line(tmp_path: Path) -> None:
    """A chat model, real processes, and everything after training that reads the run directory."""
    model = tiny_checkpoint(tmp_path / "qwen", "qwen2", chat_template=True)
    words = ["rollouts_per_step=8", "num_generations=4", "max_new_tokens=8", "eval_items=4"]
    settings = [word for setting in words for word in ("--set", setting)]
    command = [
        sys.executable,
        "-m",
        "herl_bench",
        "run",
        "--task",
        "gsm8k",
        "--data",
        "synthetic",
        "--model",
        str(model),
        "--method",
        "rloo",
    ]
    done = subprocess.run(
        [*command, "--budget", "200", *settings], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    directory = tmp_path / "runs" / "gsm8k-rloo-s0"
    assert "gsm8k · rloo · seed 0" in done.stdout
    assert "Warning" not in done.stderr
    assert (directory / "final" / "model.safetensors").is_file()
    assert json.loads((directory / "manifest.json").read_text())["libraries"]["trl"]
