"""Load any causal language model of transformers as a policy: a checkpoint folder, a GGUF file or a hub id.

What is made sure of here: one device and one precision, dropout off everywhere (log-probs must not depend on the
weather), padding on the left with a token that is not EOS, no randomly initialised weights, and one clear line for
everything that can be wrong with a model, before it is asked anything. Left out: weights that stay quantised, and
encoder-decoder models.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from herl_bench.conversation import Prompt
from herl_bench.errors import UsageError
from herl_bench.policy import adapters
from herl_bench.policy.answerer import Answer, ResolvedSampling, ignore_count
from herl_bench.policy.capacity import choose_cache_bytes
from herl_bench.policy.checkpoint import (
    Checkpoint,
    check_sums,
    explain,
    find_checkpoint,
    load_config,
    making_model,
    quiet_transformers,
)
from herl_bench.policy.generation import generate
from herl_bench.policy.gguf import TEXT_ENDS, make_ordinary, reading_gguf
from herl_bench.policy.language_model import LanguageModel
from herl_bench.policy.placement import CPU, Placement
from herl_bench.policy.special_tokens import check_vocabulary, complete_ends, ensure_padding

RESERVED = ("conversation", "messages", "tokenize", "add_generation_prompt", "chat_template", "continue_final_message")

log = logging.getLogger("herl_bench")


@dataclass
class Policy(LanguageModel):
    """A language model that answers, `batch_size` prompts at once. `path` is what it was loaded from."""

    path: str
    batch_size: int = 64
    placement: Placement = CPU

    @property
    def identity(self) -> dict[str, Any]:
        """The checkpoint's files with sizes and times of change, which are cheap to find, or the hub's revision."""
        place = Path(self.path)
        files = [path for path in [place, *sorted(place.glob("*"))] if path.is_file()]
        return {
            "path": self.path,
            "files": {path.name: [path.stat().st_size, path.stat().st_mtime_ns] for path in files},
            "revision": getattr(self.model.config, "_commit_hash", None),
            "dtype": str(self.model.dtype),
            "device": self.placement.kind,
            **({"chat_template_kwargs": dict(self.chat_template_kwargs)} if self.chat_template_kwargs else {}),
        }

    def answer(
        self,
        prompts: Sequence[Prompt],
        seeds: Sequence[int],
        sampling: ResolvedSampling,
        on_answers: Callable[[int], None] = ignore_count,
    ) -> list[Answer]:
        """The batch is sampled as one, from one random state made of all its seeds."""
        # By a hash, because the seeds of two batches may differ in a single place.
        state = int.from_bytes(hashlib.sha256(repr(list(seeds)).encode()).digest()[:8], "big", signed=True)
        written = generate(
            self,
            self.encode(prompts, sampling.instruction),
            temperature=sampling.temperature,
            max_new_tokens=sampling.max_new_tokens or 0,
            stop=sampling.stop,
            generator=torch.Generator(device=self.device).manual_seed(state),
            on_completion=lambda *_: on_answers(1),
        )
        return [Answer(c.text, c.finish, len(c.ids), c.dropped) for c in written]


def load_policy(
    path_or_id: str | Path,
    *,
    placement: Placement | None = None,
    master: bool = False,
    trust_remote_code: bool = False,
    chat_template_kwargs: Mapping[str, Any] | None = None,
) -> Policy:
    """A policy from a checkpoint folder, a GGUF file or a hub id, on the CPU in float32 if nothing else is said.

    master: its weights will be trained, and are float32 whatever precision is computed in. trust_remote_code: run
    Python code that comes with the model; else one that needs it is refused. chat_template_kwargs: see `Policy`.

    Raises `UsageError` where the place, its config, its weights, its tokenizer or its chat template cannot be used.
    """
    checkpoint, placement = find_checkpoint(path_or_id), placement or CPU
    check_sums(checkpoint)
    if checkpoint.base:
        known: Any = {"trust_remote_code": trust_remote_code, "chat_template_kwargs": chat_template_kwargs}
        return _load_adapted(checkpoint, checkpoint.base, placement=placement, master=master, **known)
    dtype = torch.float32 if master else placement.torch_dtype
    with quiet_transformers():
        config = load_config(checkpoint, trust_remote_code=trust_remote_code)
        _switch_off_dropout_fields(config)
        with reading_gguf() if checkpoint.gguf else nullcontext():
            tokenizer = _load_tokenizer(checkpoint, trust_remote_code)
            model = _load_model(checkpoint, config, dtype, trust_remote_code)
        told = dict(chat_template_kwargs or {})
        policy = Policy(
            model, tokenizer, checkpoint.place, checkpoint.path, placement=placement, chat_template_kwargs=told
        )
        _check_chat_template(policy, checkpoint.name)
        check_vocabulary(policy)
        complete_ends(policy, TEXT_ENDS if checkpoint.gguf else ())
        ensure_padding(policy)
    _switch_off_dropout_modules(model)
    model.eval().to(placement.device)
    policy.cache_bytes = choose_cache_bytes(placement, sum(p.numel() for p in model.parameters()))
    policy.name = checkpoint.name
    return policy


def _load_adapted(
    checkpoint: Checkpoint, base: adapters.Base, *, placement: Placement, master: bool, **known: Any
) -> Policy:
    """A base with the adapter on it; to be trained further, with the adapter in its weights."""
    adapters.require_peft(f"model {checkpoint.place} is an adapter, and")
    try:
        is_adapted = find_checkpoint(base.model).base is not None  # whose adapter was in its weights in training
        policy = load_policy(base.model, placement=placement, master=master or is_adapted, **known)
    except UsageError as error:
        raise UsageError(f"model {checkpoint.place}: the base of its adapter cannot be had: {error}") from None
    adapters.check_base(policy.model, checkpoint.source, base)
    if is_adapted and not master:
        adapters.round_weights(policy.model, placement.torch_dtype)
    with quiet_transformers(), explain(checkpoint, "its adapter cannot be loaded"):
        adapters.load_adapter(policy.model, checkpoint.source)
    if master:  # on the CPU, so that every device gets the same weights
        adapters.merge(policy.model.to("cpu")).to(placement.device)
    policy.model.eval()
    policy.name, policy.path = checkpoint.name, checkpoint.path
    return policy


# ----------------------------------------------------------------------------------------------------------- its pieces
def _load_tokenizer(checkpoint: Checkpoint, trust: bool) -> Any:
    from transformers import AutoTokenizer

    remedy = "save the model's own tokenizer there again"
    with explain(checkpoint, "its tokenizer cannot be loaded", () if checkpoint.folder else OSError, remedy):
        tokenizer = AutoTokenizer.from_pretrained(
            checkpoint.source, padding_side="left", trust_remote_code=trust, **checkpoint.options
        )
    if not len(tokenizer):
        raise UsageError(f"model {checkpoint.place}: its tokenizer has no token at all: {remedy}")
    if tokenizer.eos_token_id is None:
        lacks = "its tokenizer has no EOS token, so a response could never end"
        raise UsageError(f"model {checkpoint.place}: {lacks}: set eos_token")
    return tokenizer


def _load_model(checkpoint: Checkpoint, config: Any, dtype: torch.dtype, trust: bool) -> Any:
    from transformers import AutoModelForCausalLM, GenerationConfig

    file, remedy = "generation_config.json", "save the model's own there again, or delete it"
    if checkpoint.folder and not checkpoint.gguf and (checkpoint.folder / file).exists():
        # transformers goes on without one that it cannot read, and the model's other ends are lost.
        with explain(checkpoint, f"{file} cannot be used", remedy=remedy):
            _check_ends(GenerationConfig.from_pretrained(checkpoint.source).eos_token_id)
    with making_model(checkpoint):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            checkpoint.source,
            config=config,
            dtype=dtype,
            output_loading_info=True,
            trust_remote_code=trust,
            **checkpoint.options,
        )
        model, info = loaded
    if missing := sorted(info["missing_keys"]):
        lacks = f"{len(missing)} weights are not in the checkpoint, {missing[0]} among them"
        raise UsageError(f"model {checkpoint.place}: {lacks}: not a causal LM?")
    if unused := sorted(info["unexpected_keys"]):
        what = f"{len(unused)} weights in it have no place in a model of its config.json, {unused[0]} among them"
        log.warning("warning: model %s: %s: they are left out", checkpoint.place, what)
    _check_weights(checkpoint, model)
    if checkpoint.gguf:
        with making_model(checkpoint):
            return make_ordinary(model)
    return model


# --------------------------------------------------------------------------------------------------- what can be wrong
def _check_ends(eos: Any) -> None:
    for end in eos if isinstance(eos, list) else [eos]:
        if end is not None and type(end) is not int:
            raise ValueError(f"eos_token_id {end!r} is no token's number")


@torch.no_grad()
def _check_weights(checkpoint: Checkpoint, model: Any) -> None:
    """Numbers, all of them, and of a model that reads from left to right."""
    for name, weight in model.named_parameters():
        if not weight.sum(dtype=torch.float32).isfinite():  # NaN and infinity stay in a sum
            what = f"its weight {name} holds NaN or infinity"
            raise UsageError(f"model {checkpoint.place}: {what}: fetch it again, or save it in float32 or bfloat16")
    if getattr(model.config, "is_decoder", None) is False:  # as encoders' configs say, and those of some decoders
        ids = torch.tensor([[1, 2], [1, 3]], device=model.device)
        first, second = model(ids).logits[:, 0].float()
        if not torch.allclose(first, second, rtol=0, atol=1e-2 * float(first.std())):  # rounding is far under that
            what = f"an encoder ({type(model).__name__}): what comes later changes what it says of what comes first"
            raise UsageError(f"model {checkpoint.place}: {what}: name a model that writes from left to right")


def _check_chat_template(policy: Policy, name: str) -> None:
    """Raises `UsageError` where it cannot be rendered, or does not read what it is told. name: the model's own."""
    template = policy.tokenizer.chat_template
    for variable in policy.chat_template_kwargs:
        if variable in RESERVED:
            raise UsageError(f"chat_template_kwargs: {variable} is set here already: leave it out")
        if not policy.chat:
            raise UsageError(f"chat_template_kwargs: model {policy.name} has no chat template: leave them out")
        if not re.search(rf"\b{re.escape(variable)}\b", str(template)):
            what = f"the chat template of {policy.name} reads no {variable!r}"
            raise UsageError(f"chat_template_kwargs: {what}: look into it for what it reads")
    if policy.chat:
        policy.render_bounded(lambda: policy.reads("What is it?", "Be brief."))
    elif re.search(r"(?i)(?<![a-z])(instruct|chat)(?![a-z])", name):
        what = "its name speaks of chat, but its tokenizer has no chat template"
        log.warning("warning: model %s: %s: it is asked as a base model", policy.name, what)


# -------------------------------------------------------------------------------------------------------------- dropout
def _switch_off_dropout_fields(config: Any) -> None:
    for part in {id(c): c for c in (config, config.get_text_config())}.values():
        for name, value in vars(part).items():
            if isinstance(value, float) and ("dropout" in name or name.endswith(("_drop", "_pdrop"))):
                setattr(part, name, 0.0)


def _switch_off_dropout_modules(model: Any) -> None:
    for module in model.modules():
        for name in ("p", "dropout", "attention_dropout", "hidden_dropout"):
            if isinstance(vars(module).get(name), float) and (name != "p" or "Dropout" in type(module).__name__):
                setattr(module, name, 0.0)
