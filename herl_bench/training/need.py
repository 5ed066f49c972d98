"""What a run will need of its device's memory, told before anything is loaded: from the model's config.json and the
run's settings alone.

What is held all the while (weights, gradients, optimisers, critics, the starting policy) is exact. On top comes the
larger of what sampling takes for keys and values and what learning takes for a micro-batch's activations, and these are
estimates. Per token and block of a transformer of today (RMSNorm, gated MLP, fused attention), PyTorch keeps for the
backward pass 8 numbers per unit of width, 4 per unit of the MLP, and each key and value twice (counted with
`saved_tensors_hooks` on Llama and Qwen2); under autocast most of them are halves, beside a half of every weight.

Left out: the program itself, with PyTorch some 0.5 GB of the machine's memory; what an allocator loses to gaps;
adapters on experts (LoRA).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from herl_bench.policy.placement import Placement
from herl_bench.policy.size import ModelSize
from herl_bench.training.forward import CPU_TOKENS, GPU_TOKENS, MOST_LOGITS

LOGITS_COPIES = 4
"""Float32 copies of them: as they come, as log-probs, and the gradients of both."""


@dataclass(frozen=True)
class Need:
    """Bytes. The last two come one after the other."""

    parameters: int
    gradients: int
    optimisers: int
    critics: int
    reference: int
    activations: int
    cache: int

    @property
    def total(self) -> int:
        *held, activations, cache = asdict(self).values()
        return int(sum(held) + max(activations, cache))


def estimate_need(size: ModelSize, config: Any, placement: Placement, prompt: int, response: int) -> Need:
    """config: a method's; what a built-in method has no setting for counts as nothing. prompt, response: tokens."""
    rank, is_half = getattr(config, "lora_rank", 0), placement.dtype == "bfloat16"
    trained, trunk = (rank * size.lora,) * 2 if rank else (size.parameters, size.trunk)
    critics = hasattr(config, "critic_learning_rate") and getattr(config, "advantage", "critic") == "critic"
    judges = getattr(config, "hindsight", False) and getattr(config, "bonus", "none") in ("critic", "shuffled")
    has_reference = getattr(config, "kl_coef", getattr(config, "beta", 0)) > 0 and not rank
    rounded = 2 * size.parameters if is_half else 0  # while it is evaluated, or read under autocast
    rows = getattr(config, "rollouts_per_step", 1)
    number = 2 if is_half else 4
    row_cache = 2 * size.layers * size.kv_heads * size.head_dim * number * (prompt + response)
    return Need(
        parameters=(2 if rank and is_half else 4) * size.parameters + 4 * (trained if rank else 0),
        gradients=4 * trained,
        optimisers=8 * trained,
        critics=16 * trunk * (critics + judges),
        reference=4 * size.parameters if has_reference else 0,
        activations=(0 if rank else rounded) + _estimate_activations(size, config, placement, prompt + response),
        # The evaluation before training still has float32 weights, which an adapter's base does without later.
        cache=(2 if rank else 1) * rounded + row_cache * rows,
    )


def _estimate_activations(size: ModelSize, config: Any, placement: Placement, row: int) -> int:
    """Bytes of a micro-batch's forward and backward pass, logits included."""
    usual = CPU_TOKENS if placement.kind == "cpu" else GPU_TOKENS
    minibatch = getattr(config, "minibatch_size", 1) * row
    tokens = max(row, min(getattr(config, "microbatch_tokens", None) or usual, minibatch))
    keys = 2 * size.kv_heads * size.head_dim
    if placement.dtype == "bfloat16":
        block = 30 * size.hidden + 2 * keys + 8 * size.intermediate
    else:
        block = 4 * (8 * size.hidden + keys + 4 * size.intermediate)
    kept = size.layers * block
    if getattr(config, "gradient_checkpointing", False):
        kept = size.layers * 4 * size.hidden + block
    chunk = getattr(config, "logits_chunk", None)
    logits = min(chunk * size.vocab if chunk else MOST_LOGITS, tokens * size.vocab)
    return tokens * kept + LOGITS_COPIES * 4 * logits


def describe_need(need: Need, free: int, device: str, without: str = "") -> str:
    """A line: what of what is free, and its parts. without: what is not among them."""
    parts = [f"{name} {_show(count)}" for name, count in asdict(need).items() if count]
    parts += [f"without {without}"] if without else []
    where = "this machine" if device == "cpu" else device
    share = need.total / max(1, free)
    return (
        f"Memory: about {_show(need.total)}, {share:.0%} of what {where} has free ({_show(free)}): {', '.join(parts)}"
    )


def advise(need: Need, free: int, config: Any, placement: Placement) -> str:
    """What to set where the memory will not do; empty where it will, or where nothing is left to set."""
    if need.total <= free:
        return ""
    remedies = {
        "lora_rank=16": getattr(config, "lora_rank", 1) == 0,
        "gradient_checkpointing=true": not getattr(config, "gradient_checkpointing", True),
        "dtype=bfloat16": placement.dtype == "float32",
        "bonus=none": getattr(config, "bonus", "none") in ("critic", "shuffled"),
        "a smaller microbatch_tokens": need.activations > need.cache and hasattr(config, "microbatch_tokens"),
        "a smaller rollouts_per_step": need.cache > need.activations,
    }
    what = ", ".join(name for name, helps in remedies.items() if helps) or "a smaller max_new_tokens"
    return f"the run needs about {_show(need.total)} of memory and {_show(free)} is free: set {what}"


def _show(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"
