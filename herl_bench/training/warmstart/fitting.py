"""Train a tiny policy from scratch on a task's demonstrations: the embedded policies come from here.

`warm_start` is the whole: rows (`demonstrations.py`), a tokenizer (`tokenizer.py`), a Llama, tried in `evaluation.py`.

TRL's `SFTTrainer` fits it, with three departures that make it fast on a CPU: the order of the rows is prepared here,
so that every micro-batch holds rows of nearly one length while every optimiser step mixes lengths; the head runs on
response tokens only; no attention mask is passed, because a causal model does not see padding on the right.

Left out: continuing from a checkpoint (it takes minutes), several processes.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from herl_bench.errors import SaveError
from herl_bench.locate import find_version
from herl_bench.policy.placement import Placement, choose_placement, refuse_several, use_threads
from herl_bench.policy.precision import autocast
from herl_bench.training.warmstart.config import WarmstartConfig, check_config, count_parameters, write_command
from herl_bench.training.warmstart.demonstrations import make_rows
from herl_bench.training.warmstart.evaluation import evaluate_policy
from herl_bench.training.warmstart.tokenizer import UNTRAINED, tokenize, train_tokenizer
from herl_bench.types import Environment

if TYPE_CHECKING:
    import torch

    from herl_bench.policy.load import Policy

VERSIONS = ("herl-bench", "torch", "transformers", "tokenizers", "trl")
HALF_PRECISION_FROM = 2_600_000
"""Bytes of float32 weights; three policies share a wheel of a few megabytes."""


@dataclass(frozen=True)
class _WarmStart:
    """What every step of one warm start works with. on_log: see `warm_start`."""

    environment: Environment
    config: WarmstartConfig
    output_dir: Path
    on_log: Callable[[Mapping[str, Any]], None]
    started: float
    placement: Placement


def warm_start(
    environment: Environment,
    output_dir: str | Path,
    config: WarmstartConfig,
    on_log: Callable[[Mapping[str, Any]], None] | None = None,
) -> dict[str, Any]:
    """Train, save a transformers checkpoint, evaluate what was saved; gives `warmstart.json`. Sets torch's global seed;
    the same config, machine and number of threads give the same weights. on_log: gets `step` and `loss` or `evaluation`
    (of `evaluate_policy`). Raises `UsageError` without a world, `SaveError` where `output_dir` cannot be written."""
    task, output_dir = environment.task, Path(output_dir)
    check_config(config, task)
    assert task.world is not None
    placement = choose_placement(config.device, config.dtype, count_parameters(config))
    refuse_several(placement)
    with _explain_os_errors(output_dir, "make this folder"):
        output_dir.mkdir(parents=True, exist_ok=True)
    work = _WarmStart(environment, config, output_dir, on_log or (lambda row: None), time.monotonic(), placement)
    with use_threads(config.threads or placement.threads):
        drafter = None
        if config.draft_steps:
            first = dataclasses.replace(config, steps=config.draft_steps, eval_steps=0)
            drafter = _make_policy(dataclasses.replace(work, config=first), None)
        policy = _save(_make_policy(work, drafter), work)
        evaluation = evaluate_policy(policy, environment, config.eval_examples)
        work.on_log({"step": config.steps, "evaluation": evaluation})
    planted = task.world.planted
    if config.planted_share < 1:
        planted = f"in {config.planted_share:.0%} of the plain demonstrations, {planted}"
    record = {
        "task": task.name,
        "command": write_command(task, config),
        "config": dataclasses.asdict(config),
        "parameters": sum(p.numel() for p in policy.model.parameters()),
        "planted": planted,
        "versions": {name: find_version(name) for name in VERSIONS},
        "minutes": round((time.monotonic() - work.started) / 60, 1),
        "evaluation": evaluation,
    }
    text = json.dumps(record, indent=2, ensure_ascii=False) + "\n"
    with _explain_os_errors(output_dir, "save the policy"):
        (output_dir / "warmstart.json").write_text(text, encoding="utf-8")
    return record


@contextmanager
def _explain_os_errors(output_dir: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SaveError(f"{output_dir}: cannot {what}: {error.strerror or error}") from None


def _make_policy(work: _WarmStart, drafter: Policy | None) -> Policy:
    config = work.config
    rows, skipped = make_rows(work.environment, config, drafter)
    tokenizer = train_tokenizer([row.prompt + row.response for row in rows[:4000]], config)
    data, too_long = tokenize(rows, tokenizer, config.max_length)
    seconds, vocab = time.monotonic() - work.started, len(tokenizer)
    counts = {"demonstrations": len(data), "skipped": skipped, "too_long": too_long, "vocab": vocab}
    work.on_log({"step": 0, **counts, "seconds": seconds})
    return _fit(work, data, tokenizer)


def order_rows(lengths: Sequence[int], config: WarmstartConfig) -> list[int]:
    """Which row comes when: every pass in a new order; micro-batches of rows of nearly one length, in random order."""
    rng = Random(f"{config.seed}/order")
    wanted = config.steps * config.batch_size
    order: list[int] = []
    while len(order) < wanted:
        epoch = list(range(len(lengths)))
        rng.shuffle(epoch)
        order += epoch
    window = 16 * config.batch_size
    grouped: list[int] = []
    for start in range(0, wanted, window):
        near = sorted(order[start : min(start + window, wanted)], key=lengths.__getitem__)
        micro = [near[k : k + config.micro_batch_size] for k in range(0, len(near), config.micro_batch_size)]
        rng.shuffle(micro)
        grouped += [i for batch in micro for i in batch]
    return grouped


# ------------------------------------------------------------------------------------------------------------- training
def _fit(work: _WarmStart, data: Any, tokenizer: Any) -> Policy:
    """A policy with fresh weights, trained on the rows. data: a dataset of `tokenize`."""
    import torch
    from huggingface_hub import constants
    from transformers import PrinterCallback, TrainerCallback

    constants.HF_HUB_DISABLE_TELEMETRY = True  # training here is nobody else's business
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    from herl_bench.policy.checkpoint import quiet_transformers
    from herl_bench.policy.load import Policy
    from herl_bench.training.warmstart.muon import MuonAndAdamW

    config, environment, placement = work.config, work.environment, work.placement
    torch.manual_seed(config.seed)
    model = _make_model(work, tokenizer)
    policy = Policy(model, tokenizer, environment.task.name, str(work.output_dir), placement=placement)

    class Reporter(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            if logs and "loss" in logs:
                times = {"steps": state.max_steps, "seconds": time.monotonic() - started}
                work.on_log({"step": state.global_step, "loss": float(logs["loss"]), **times})

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            every = config.eval_steps
            if every and state.global_step % every == 0 and state.global_step < state.max_steps:
                few = max(1, config.eval_examples // 3)
                work.on_log({"step": state.global_step, "evaluation": evaluate_policy(policy, environment, few)})

    lengths = data.data.column("input_ids").combine_chunks().value_lengths().to_pylist()
    optimizer = None  # the trainer makes its AdamW
    if config.optimizer == "muon":
        optimizer = MuonAndAdamW(model, config.learning_rate, config.muon_learning_rate, config.weight_decay)
    with quiet_transformers():
        trainer = _make_trainer_class(placement)(
            model=model,
            args=_make_arguments(work),
            train_dataset=data.select(order_rows(lengths, config)),
            processing_class=tokenizer,
            callbacks=[Reporter()],
            optimizers=(optimizer, None),
        )
        trainer.remove_callback(PrinterCallback)
        started = time.monotonic()
        trainer.train()
    model.eval()
    return policy


def _make_trainer_class(placement: Placement) -> Any:
    import torch
    from trl import SFTTrainer

    class ResponseOnly(SFTTrainer):
        """The parent's loss, mean NLL of response tokens, without a head over prompt and padding."""

        def compute_loss(
            self, model: Any, inputs: Any, return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> torch.Tensor:
            core = self.accelerator.unwrap_model(model)
            target_BT = inputs["labels"][:, 1:]
            mask_BT = target_BT != UNTRAINED
            with autocast(placement):
                hidden_BTD = core.base_model(inputs["input_ids"], use_cache=False).last_hidden_state[:, :-1]
                logits_NV = core.get_output_embeddings()(hidden_BTD[mask_BT])
            total = torch.nn.functional.cross_entropy(logits_NV.float(), target_BT[mask_BT], reduction="sum")
            return total / (mask_BT.sum() if num_items_in_batch is None else num_items_in_batch)

    return ResponseOnly


def _make_model(work: _WarmStart, tokenizer: Any) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    # On a CPU the fused attention's backward pass is slow in bfloat16.
    config, is_slow = work.config, work.placement.kind == "cpu" and work.placement.dtype == "bfloat16"
    attention: dict[str, Any] = {"attn_implementation": "eager" if is_slow else "sdpa"}
    specials: Any = {name: getattr(tokenizer, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    shape = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=config.hidden,
        intermediate_size=3 * config.hidden,
        num_hidden_layers=config.layers,
        num_attention_heads=config.heads,
        max_position_embeddings=config.max_positions,
        tie_word_embeddings=True,
        attention_dropout=0.0,
        **specials,
        **attention,
    )
    return LlamaForCausalLM(shape)


def _make_arguments(work: _WarmStart) -> Any:
    """TRL's settings for this configuration."""
    from trl import SFTConfig

    config = work.config

    # TRL's default is on; the old name is deprecated where the new one exists.
    names = ("activation_checkpointing", "gradient_checkpointing")
    no_checkpointing: Any = {next(name for name in names if name in SFTConfig.__dataclass_fields__): False}
    return SFTConfig(
        output_dir=str(work.output_dir),
        max_steps=config.steps,
        per_device_train_batch_size=config.micro_batch_size,
        gradient_accumulation_steps=config.batch_size // config.micro_batch_size,
        train_sampling_strategy="sequential",
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        warmup_steps=min(config.warmup_steps, config.steps // 10),
        weight_decay=config.weight_decay,
        adam_beta1=0.9,
        adam_beta2=0.98,
        max_grad_norm=1.0,
        optim="adamw_torch_fused",
        use_cpu=work.placement.kind == "cpu",
        bf16=False,
        **no_checkpointing,
        max_length=None,
        dataset_kwargs={"skip_prepare_dataset": True},
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        logging_steps=max(1, min(50, config.steps // 10)),
        seed=config.seed,
    )


def _save(policy: Policy, work: _WarmStart) -> Policy:
    """Write the checkpoint, in half precision where float32 would be large, and load it again as users will."""
    import torch

    from herl_bench.policy.checkpoint import quiet_transformers
    from herl_bench.policy.load import load_policy

    output_dir, small = work.output_dir, 4 * sum(p.numel() for p in policy.model.parameters()) <= HALF_PRECISION_FROM
    with _explain_os_errors(output_dir, "save the policy"), quiet_transformers():
        policy.model.to(torch.float32 if small else torch.float16).save_pretrained(output_dir)
        policy.tokenizer.save_pretrained(output_dir)
    return load_policy(output_dir, placement=work.placement)
