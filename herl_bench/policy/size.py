"""How large a model is, read from its config.json alone: no weight is loaded or fetched."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from herl_bench.policy.checkpoint import find_checkpoint, load_config, making_model, quiet_transformers


@dataclass(frozen=True)
class ModelSize:
    """parameters: all, those that two parts share counted once. kv_heads, head_dim: of the keys and values. trunk:
    parameters without the head. lora: parameters that a LoRA of rank 1 on all linear layers of the trunk has, experts
    left out that are one tensor together. has_experts: are there such?"""

    parameters: int
    layers: int
    hidden: int
    vocab: int
    kv_heads: int
    head_dim: int
    intermediate: int = 0
    trunk: int = 0
    lora: int = 0
    has_experts: bool = False


def read_size(place: str | Path, trust_remote_code: bool = False) -> ModelSize:
    """Of the checkpoint folder or hub id. Raises `UsageError` as `load_policy` does, for what config.json tells."""
    with quiet_transformers():
        checkpoint = find_checkpoint(place)
        config = load_config(checkpoint, trust_remote_code=trust_remote_code)
        with making_model(checkpoint), torch.device("meta"):
            from transformers import AutoModelForCausalLM

            model = AutoModelForCausalLM.from_config(config, trust_remote_code=trust_remote_code)
    return measure(model)


def measure(model: nn.Module) -> ModelSize:
    """Of a model of transformers, its weights loaded or not."""
    config = model.config.get_text_config()  # type: ignore[operator, union-attr]
    trunk: nn.Module = model.base_model  # type: ignore[assignment]
    # Older architectures name neither: every head has keys of its own, and the heads share the hidden width.
    heads = getattr(config, "num_attention_heads", None) or 1
    linear = [m for m in trunk.modules() if isinstance(m, (nn.Linear, Conv1D))]
    return ModelSize(
        parameters=sum(p.numel() for p in model.parameters()),
        layers=config.num_hidden_layers,
        hidden=config.hidden_size,
        vocab=config.vocab_size,
        kv_heads=getattr(config, "num_key_value_heads", None) or heads,
        head_dim=getattr(config, "head_dim", None) or config.hidden_size // heads,
        intermediate=getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
        trunk=sum(p.numel() for p in trunk.parameters()),
        lora=sum(sum(m.weight.shape) for m in linear),
        has_experts=any(".experts." in name and p.dim() == 3 for name, p in trunk.named_parameters()),
    )
