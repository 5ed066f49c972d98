"""What a run will need of memory: the parts by what is built, and what to set where there is not enough."""

from __future__ import annotations

import dataclasses

import pytest
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

from herl_bench.policy.placement import Placement
from herl_bench.policy.size import ModelSize, measure
from herl_bench.training.config import GRPOConfig, HeRLConfig, PPOConfig
from herl_bench.training.need import advise, describe_need, estimate_need

CPU, GPU = Placement("cpu"), Placement("cuda:0", "bfloat16")
SIZE = ModelSize(
    parameters=1_000_000,
    layers=4,
    hidden=64,
    vocab=1000,
    kv_heads=2,
    head_dim=16,
    intermediate=128,
    trunk=900_000,
    lora=3_000,
)


@pytest.fixture(scope="module")
def llama() -> LlamaForCausalLM:
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=100, tie_word_embeddings=True, **shape))


def test_a_size_is_what_the_model_has(llama: LlamaForCausalLM) -> None:
    size = measure(llama)
    assert size.parameters == size.trunk == sum(p.numel() for p in llama.parameters())
    assert (size.layers, size.hidden, size.vocab, size.kv_heads, size.head_dim) == (2, 32, 100, 2, 16)
    assert size.lora == 2 * (4 * (32 + 32) + 3 * (32 + 48))
    gpt2 = measure(GPT2LMHeadModel(GPT2Config(vocab_size=100, n_embd=32, n_layer=2, n_head=2)))  # without nn.Linear
    assert gpt2.lora == 2 * ((32 + 96) + (32 + 32) + 2 * (32 + 128))


def test_experts_that_are_one_tensor_are_told_apart(llama: LlamaForCausalLM) -> None:
    shape = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    mixtral = MixtralForCausalLM(MixtralConfig(vocab_size=100, num_local_experts=2, num_key_value_heads=2, **shape))
    assert measure(mixtral).has_experts
    assert not measure(llama).has_experts
    need = estimate_need(measure(mixtral), PPOConfig(lora_rank=8), CPU, 100, 50)
    assert describe_need(need, need.total, "cpu", "its experts").endswith(", without its experts")


@pytest.mark.parametrize(
    ("config", "critics", "reference"),
    [
        (PPOConfig(), 16 * 900_000, 4_000_000),
        (PPOConfig(kl_coef=0.0), 16 * 900_000, 0),
        (HeRLConfig(), 2 * 16 * 900_000, 4_000_000),
        (HeRLConfig(bonus="none"), 16 * 900_000, 4_000_000),
        (HeRLConfig(bonus="none", advantage="group"), 0, 4_000_000),
        (GRPOConfig(), 0, 4_000_000),
        (GRPOConfig(beta=0.0), 0, 0),
        (HeRLConfig(lora_rank=8), 2 * 16 * 8 * 3_000, 0),
    ],
)
def test_only_what_is_built_counts(config: PPOConfig, critics: int, reference: int) -> None:
    need = estimate_need(SIZE, config, CPU, 100, 50)
    assert (need.critics, need.reference) == (critics, reference)
    trained = 8 * 3_000 if config.lora_rank else 1_000_000
    assert (need.gradients, need.optimisers) == (4 * trained, 8 * trained)


def test_what_saves_memory_is_seen_to() -> None:
    plain = estimate_need(SIZE, PPOConfig(), CPU, 100, 50)
    assert estimate_need(SIZE, PPOConfig(gradient_checkpointing=True), CPU, 100, 50).activations < plain.activations
    assert estimate_need(SIZE, PPOConfig(microbatch_tokens=200), CPU, 100, 50).activations < plain.activations
    assert estimate_need(SIZE, PPOConfig(rollouts_per_step=8), CPU, 100, 50).cache == plain.cache // 4
    half = estimate_need(SIZE, PPOConfig(lora_rank=8), GPU, 100, 50)
    assert half.parameters == 2 * 1_000_000 + 4 * 8 * 3_000
    assert half.cache == plain.cache // 2 + 4 * 1_000_000  # evaluated before, beside weights in float32


def test_a_method_of_others_counts_what_every_training_has() -> None:
    @dataclasses.dataclass(frozen=True)
    class Config:
        steps: int = 3

    need = estimate_need(SIZE, Config(), CPU, 100, 50)
    assert (need.parameters, need.gradients, need.optimisers) == (4_000_000, 4_000_000, 8_000_000)
    assert (need.critics, need.reference) == (0, 0)


def test_the_line_says_the_share_and_a_warning_what_to_set() -> None:
    config = HeRLConfig()
    need = estimate_need(SIZE, config, CPU, 100, 50)
    line = describe_need(need, 2 * need.total, "cpu")
    assert line.startswith("Memory: about ")
    assert "50% of what this machine has free" in line
    assert "optimisers 8 MB" in line
    assert advise(need, need.total, config, CPU) == ""
    advice = advise(need, need.total - 1, config, CPU)
    assert "set lora_rank=16, gradient_checkpointing=true, dtype=bfloat16, bonus=none" in advice
    lean = HeRLConfig(lora_rank=8, gradient_checkpointing=True, bonus="none", microbatch_tokens=100)
    assert "lora_rank" not in advise(estimate_need(SIZE, lean, GPU, 100, 50), 1, lean, GPU)
