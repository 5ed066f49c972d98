"""Tiny untrained models of several architectures, with byte-level tokenizers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers import models as token_models
from transformers import (
    FalconH1Config,
    FalconH1ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from herl_bench.policy.load import Policy


def save_tokenizer(folder: Path, chat: str | None = None, **special: str) -> PreTrainedTokenizerFast:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    names = sorted(set(special.values()))
    core = Tokenizer(token_models.BPE({t: i for i, t in enumerate([*names, *alphabet])}, []))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, clean_up_tokenization_spaces=False, **special)
    tokenizer.chat_template = chat
    tokenizer.save_pretrained(folder)
    return tokenizer


def save_llama(folder: Path, vocab: int, **more: object) -> None:
    torch.manual_seed(0)
    shape = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "max_position_embeddings": 96,
    }
    LlamaForCausalLM(LlamaConfig(vocab_size=vocab, **(shape | more))).save_pretrained(folder)


SHAPE = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def models(vocab: int) -> dict[str, Any]:
    torch.manual_seed(0)
    common = SHAPE | {"vocab_size": vocab, "max_position_embeddings": 128, "initializer_range": 0.3}
    mamba = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_ssm": 64, "mamba_d_state": 8, "mamba_n_groups": 1}
    return {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**common)),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**common)),
        "sliding": lambda: MistralForCausalLM(MistralConfig(**common, sliding_window=6)),
        "gpt2": lambda: GPT2LMHeadModel(
            GPT2Config(vocab_size=vocab, n_embd=32, n_layer=2, n_head=4, n_positions=128, initializer_range=0.3)
        ),
        "recurrent": lambda: FalconH1ForCausalLM(FalconH1Config(**common, **mamba)),
    }


def make_policy(folder: Path, kind: str = "llama") -> Policy:
    tokenizer = save_tokenizer(folder, eos_token="<eos>", bos_token="<bos>", pad_token="<pad>")
    model = models(len(tokenizer))[kind]().eval()
    for config in (model.config, model.generation_config):
        config.eos_token_id, config.bos_token_id, config.pad_token_id = (
            tokenizer.eos_token_id, tokenizer.bos_token_id, tokenizer.pad_token_id,
        )  # fmt: skip
    return Policy(model, tokenizer, kind, str(folder))
