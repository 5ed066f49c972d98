"""What can be set on a warm start, and how a configuration is written as the command that repeats it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from herl_bench.errors import UsageError
from herl_bench.settings import setting
from herl_bench.types import Task


@dataclass(frozen=True)
class WarmstartConfig:
    """What can be set on a warm start. The defaults give about 0.7 million parameters."""

    steps: int = setting(1200, "optimiser steps", ge=1)
    batch_size: int = setting(64, "demonstrations per optimiser step", ge=1)
    micro_batch_size: int = setting(16, "demonstrations per forward pass; changes speed, not the gradient", ge=1)
    learning_rate: float = setting(3e-3, "AdamW's peak", gt=0)
    optimizer: Literal["muon", "adamw"] = setting(
        "muon", "Muon for the blocks' matrices and AdamW for the rest, which needs fewer steps; or AdamW for all"
    )
    muon_learning_rate: float = setting(0.02, "Muon's peak", gt=0)
    schedule: Literal["cosine", "constant"] = setting(
        "cosine", "of both learning rates: up to the peak in warmup_steps, down on a cosine; or always at the peak"
    )
    warmup_steps: int = setting(100, "of the cosine schedule, at most a tenth of all steps", ge=0)
    weight_decay: float = setting(0.01, "AdamW's", ge=0)
    hidden: int = setting(128, "width of the model", ge=8)
    layers: int = setting(3, "blocks", ge=1)
    heads: int = setting(4, "attention heads", ge=1)
    vocab: int = setting(512, "size of the tokenizer, special tokens included", ge=259)
    max_positions: int = setting(2048, "longest prompt and response together that the model reads", ge=16)
    max_length: int = setting(1024, "longer demonstrations (in tokens) are left out", ge=8)
    demonstrations: int = setting(
        0, "distinct ones, shuffled anew at each pass; 0: as many as rows, up to 20,000 where judging runs code", ge=0
    )
    draft_steps: int = setting(
        0, "of a first policy, whose failures become drafts of plain demonstrations where nothing is planted", ge=0
    )
    off_topic: float = setting(
        0.0, "share of guided demonstrations with another problem's guidance and the draft as answer", ge=0, le=0.5
    )
    planted_share: float = setting(
        1.0, "share of plain demonstrations that show a planted misconception; the others are right", ge=0, le=1
    )
    eval_steps: int = setting(300, "evaluate every so many steps (a third of the examples); 0: only at the end", ge=0)
    eval_examples: int = setting(300, "examples of the final evaluation", ge=1)
    seed: int = setting(0, "of demonstrations, initial weights and order", ge=0)
    device: str = setting("auto", "auto (an accelerator where there is one), cpu, cuda, cuda:N or mps")
    dtype: Literal["auto", "float32", "bfloat16"] = setting(
        "auto",
        "of matrix products; bfloat16 is twice as fast on CPUs that have it (avx512_bf16, amx), slower on others; auto:"
        " where a CUDA device has it",
    )
    threads: int = setting(0, "CPU threads; 0: by the model's size, or OMP_NUM_THREADS", ge=0)


def check_config(config: WarmstartConfig, task: Task) -> None:
    """Raises `UsageError` for settings that contradict each other, or that the task's world cannot follow."""
    if task.world is None:
        raise UsageError(f"task {task.name!r} has no synthetic world, so there are no demonstrations to learn from")
    if config.batch_size % config.micro_batch_size:
        whole = f"a multiple of micro_batch_size {config.micro_batch_size}"
        raise UsageError(f"batch_size {config.batch_size} must be {whole}")
    if config.draft_steps and task.world.planted:
        planted = f"the plain demonstrations of {task.name!r} are wrong on purpose"
        raise UsageError(f"draft_steps: {planted}, so they revise nothing")
    if config.hidden % (2 * config.heads):
        raise UsageError(f"hidden {config.hidden} must be an even multiple of heads {config.heads}")


def count_parameters(config: WarmstartConfig) -> int:
    """Of the model: its embeddings, and in each block four matrices of the attention and three of the MLP."""
    return config.vocab * config.hidden + config.layers * (4 + 3 * 3) * config.hidden**2


def write_command(task: Task, config: WarmstartConfig) -> str:
    """The command that makes this policy again."""
    values = [(f.name, getattr(config, f.name), f.default) for f in dataclasses.fields(config)]
    changed = [f"--set {name}={value}" for name, value, default in values if value != default]
    return " ".join([f"herl-bench warmstart --task {task.name} -o DIR", *changed])
