"""Toys for people who write plugins or methods: a task without data, and checkpoints of a few thousand parameters.

    from herl_bench.testing import TOY_TASK, tiny_checkpoint

    checkpoint = tiny_checkpoint(tmp_path / "model", "qwen2", chat_template=True)

The toy task asks for the sum of two numbers under 1,000. Its untrained checkpoints answer at random: enough to drive
every code path, never enough to measure anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

from herl_bench import types
from herl_bench.types import Criterion, Example, Finding, Split

CHAT_TEMPLATE = (
    "{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def read_answer(example: Example, response: str) -> str | None:
    match = re.search(r"\d+", response)
    return match[0] if match else None


def _has_number(example: Example, response: str) -> Finding:
    found = read_answer(example, response) is not None
    return Finding(found, "" if found else "no digit in the answer")


def _is_short(example: Example, response: str) -> Finding:
    return Finding(len(response) <= 4, f"{len(response)} characters")


def _is_right(example: Example, response: str) -> Finding:
    if read_answer(example, response) == example.target:
        return Finding(True)
    a, b = example.info["terms"]
    return Finding(False, "not the sum", f"count {b} up from {a}")


def _stream_examples(split: Split, seed: int, difficulty: float) -> Iterator[Example]:
    rng = Random(f"{split}/{seed}")
    while True:
        a, b = rng.randrange(1000), rng.randrange(1000)
        if ((a + b) % 5 == 0) == (split == "eval"):
            info = {"terms": [a, b], "family": "even" if b % 2 == 0 else "odd", "planted": b % 2 == 1}
            yield Example(f"toy/{split}/{a}+{b}", f"{a}+{b}=", str(a + b), info)


def _make_demonstrations(seed: int) -> Iterator[types.Demonstration]:
    rng = Random(seed)
    for example in _stream_examples("train", seed, 0.5):
        draft = str(rng.randrange(1999)) if rng.random() < 0.5 else None
        wrong = draft is None and example.info["planted"]
        yield types.Demonstration(example, "0" if wrong else example.target, draft)


PLANTED = "the sums of odd second terms are taught as 0"
TOY_RUBRIC = types.Rubric(
    "toy",
    (
        Criterion("number", "The answer is a number.", _has_number),
        Criterion("short", "The answer has at most four characters.", _is_short),
        Criterion("right", "The answer is the sum.", _is_right, weight=2.0, needs_reference=True),
    ),
)
TOY_TEMPLATE = types.HindsightTemplate(
    "toy",
    guidance="{% for v in unmet %}{{ v.text }}{% if v.correction %} {{ v.correction }}{% endif %} {% endfor %}",
    prompt="{% if draft is not none %}{{ draft }}? {% endif %}{{ guidance }} {{ example.prompt }}",
    turns=types.ChatTurns(
        guidance="Not so:{% for v in unmet %} {{ v.text }} {{ v.correction }}{% endfor %}",
        request="{% if draft is none %}An earlier answer is wrong. {% endif %}{{ guidance }} Answer again.",
    ),
)
TOY_METRIC = types.Metric(
    "exact_match",
    lambda example, response: float(read_answer(example, response) == example.target),
    id="toy/exact_match",
)
TOY_TASK = types.Task(
    name="toy",
    description="the sum of two numbers under 1,000",
    read=None,
    hub=None,
    splits={},
    gold=lambda example: example.target,
    extract=read_answer,
    rubric="toy",
    template="toy",
    metrics=("toy/exact_match",),
    world=types.World(_stream_examples, _make_demonstrations, PLANTED, max_new_tokens=6),
    instruction="Answer with a number.",
    max_new_tokens=6,
)


def tiny_checkpoint(
    folder: str | Path,
    architecture: str = "llama",
    *,
    chat_template: bool | str = False,
    seed: int = 0,
    hidden: int = 16,
) -> Path:
    """Make an untrained checkpoint (`llama` or `qwen2`) with a character tokenizer; gives its folder.

    chat_template: with a small one, or with this text.
    """
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    specials: dict[str, Any] = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {token: i for i, token in enumerate([*specials.values(), *alphabet])}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False, **specials)
    if chat_template:
        fast.chat_template = CHAT_TEMPLATE if chat_template is True else chat_template
    shape: dict[str, Any] = {
        "vocab_size": len(fast),
        "hidden_size": hidden,
        "intermediate_size": 2 * hidden,
        **dict.fromkeys(("num_hidden_layers", "num_attention_heads", "num_key_value_heads"), 2),
        "max_position_embeddings": 512,
        **{f"{name}_id": i for i, name in enumerate(specials)},
        "tie_word_embeddings": True,
    }
    llama = architecture == "llama"
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = LlamaForCausalLM(LlamaConfig(**shape)) if llama else Qwen2ForCausalLM(Qwen2Config(**shape))
    model.save_pretrained(folder)
    fast.save_pretrained(folder)
    return Path(folder)
