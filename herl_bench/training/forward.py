"""Run models over (prompt, response) pairs: log-probs and values in (row, response position) shape, and the state at a
response's end.

Prompts are padded on the left and responses on the right, so that the response positions form one block and only they
go through the head. Rows are sorted by length into micro-batches that are trimmed to their own longest row. Log-probs
are those of softmax(logits / temperature), the distribution that was sampled from. A vocabulary is wide: a micro-batch
of more response positions than `Packing.logits_chunk` is scored a chunk at a time, forward and backward, so that no
more than one chunk × vocabulary is ever there.

Shapes: B rows of a micro-batch, W columns (prompt and response), T columns of the response block, V vocabulary, D
hidden width, N response positions of all rows, padding left out.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from herl_bench.errors import HerlBenchError
from herl_bench.policy import adapters
from herl_bench.policy.capacity import is_out_of_memory, release_memory

# Padded tokens per forward pass where `microbatch_tokens` is not set. A processor likes short passes: rows of like
# length share one, with little padding, and what they hold stays in its cache. A GPU likes few, wide ones.
CPU_TOKENS, GPU_TOKENS = 2048, 16384

# Logits per chunk where `logits_chunk` is not set: 128 MiB in float32, and a few times that while they are worked on.
MOST_LOGITS = 2**25

log = logging.getLogger("herl_bench")
Result = TypeVar("Result")


@dataclass(frozen=True)
class Pair:
    """Token ids of a prompt and of what was written after it."""

    prompt: Sequence[int]
    response: Sequence[int]
    temperature: float = 1.0

    def __len__(self) -> int:
        return len(self.prompt) + len(self.response)


@dataclass
class Packing:
    """How pairs become micro-batches and are read: at most `max_tokens` padded tokens each, where, with how many
    response positions over the vocabulary at once, in which precision. One for a whole run: what did not fit the
    memory once is halved for good."""

    max_tokens: int
    pad_id: int
    device: Any
    logits_chunk: int | None = None
    bfloat16: bool = False

    def autocast(self) -> torch.autocast:
        """Around every forward pass: what a policy and its critics read is rounded alike."""
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.bfloat16)

    def fit(self, pairs: Sequence[Pair], work: Callable[[], Result], undo: Callable[[], Any] = lambda: None) -> Result:
        """What `work` gives, which packs `pairs`; once more with half the micro-batch where the device has not the
        memory for it.

        undo: takes back what an attempt that failed left behind. Raises `HerlBenchError` where one row is too much.
        """
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            if self.max_tokens < 2 * min(map(len, pairs)):  # every row has a micro-batch of its own by now
                raise HerlBenchError(
                    "the device has not the memory to learn from one response at a time: set"
                    " gradient_checkpointing=true, lora_rank=16 or a smaller max_new_tokens"
                )
            undo()
            release_memory()
            self.max_tokens = min(self.max_tokens, sum(map(len, pairs))) // 2
            log.warning("out of memory: going on with microbatch_tokens=%d, the same gradient", self.max_tokens)


@dataclass(frozen=True)
class MicroBatch:
    """rows_B: positions in the list it was packed from. inputs: what a model of transformers is called with, (B, W)
    each. start: the column where the response block begins. packing: how it was made and is read."""

    rows_B: Tensor
    inputs: Mapping[str, Tensor]
    start: int
    response_BT: Tensor
    mask_BT: Tensor
    temperature_B: Tensor
    packing: Packing

    @property
    def width(self) -> int:
        return self.mask_BT.shape[1]


def pack_microbatches(
    pairs: Sequence[Pair], packing: Packing, rows: Sequence[int] | None = None
) -> Iterator[MicroBatch]:
    """Pack `pairs` (or those at `rows`) by length, at least one row each."""
    chosen = range(len(pairs)) if rows is None else rows
    group: list[int] = []
    longest_prompt = longest_response = 0
    for i in sorted(chosen, key=lambda i: (len(pairs[i]), i)):
        prompt, response = len(pairs[i].prompt), len(pairs[i].response)
        longest_prompt, longest_response = max(longest_prompt, prompt), max(longest_response, response)
        if group and (longest_prompt + longest_response) * (len(group) + 1) > packing.max_tokens:
            yield _pack(pairs, group, packing)
            group, longest_prompt, longest_response = [], prompt, response
        group.append(i)
    if group:
        yield _pack(pairs, group, packing)


def _pack(pairs: Sequence[Pair], group: Sequence[int], packing: Packing) -> MicroBatch:
    start = max(len(pairs[i].prompt) for i in group)
    width = start + max(1, *(len(pairs[i].response) for i in group))
    ids_BW = torch.full((len(group), width), packing.pad_id, dtype=torch.long)
    attention_BW = torch.zeros(len(group), width, dtype=torch.long)
    mask_BT = torch.zeros(len(group), width - start)
    for b, i in enumerate(group):
        prompt, response = pairs[i].prompt, pairs[i].response
        left, right = start - len(prompt), start + len(response)
        ids_BW[b, left:right] = torch.tensor([*prompt, *response], dtype=torch.long)
        attention_BW[b, left:right] = 1
        mask_BT[b, : len(response)] = 1
    # As in generation: a prompt's first token is at position 0, however much padding is before it.
    position_BW = (attention_BW.cumsum(1) - 1).clamp(min=0)
    inputs, device = {"input_ids": ids_BW, "attention_mask": attention_BW, "position_ids": position_BW}, packing.device
    return MicroBatch(
        rows_B=torch.tensor(list(group), device=device),
        inputs={name: tensor_BW.to(device) for name, tensor_BW in inputs.items()},
        start=start,
        response_BT=ids_BW[:, start:].to(device),
        mask_BT=mask_BT.to(device),
        temperature_B=torch.tensor([pairs[i].temperature for i in group], device=device),
        packing=packing,
    )


def compute_logprobs(model: Any, batch: MicroBatch, with_entropy: bool = False) -> tuple[Tensor, Tensor | None]:
    """(log-prob of each response token, entropy of each position or None), both (B, T); meaningless on padding."""
    chunk = batch.packing.logits_chunk or max(1, MOST_LOGITS // model.config.get_text_config().vocab_size)
    with batch.packing.autocast():
        if len(batch.rows_B) * (batch.width + 1) > chunk:
            return _compute_in_chunks(model, batch, with_entropy, chunk)
        # The state before a token says how probable it is: one more position than the response has, without the last.
        logits_BTV = model(**batch.inputs, use_cache=False, logits_to_keep=batch.width + 1).logits[:, :-1].float()
        return _score_tokens(logits_BTV, batch.response_BT, batch.temperature_B[:, None], with_entropy)


def _score_tokens(
    logits_BTV: Tensor, token_BT: Tensor, temperature_BT: Tensor, with_entropy: bool
) -> tuple[Tensor, Tensor | None]:
    logp_BTV = torch.log_softmax(logits_BTV / temperature_BT[..., None], -1)
    logp_BT = logp_BTV.gather(-1, token_BT[..., None])[..., 0]
    return logp_BT, -(logp_BTV.exp() * logp_BTV).sum(-1) if with_entropy else None


def _compute_in_chunks(model: Any, batch: MicroBatch, with_entropy: bool, chunk: int) -> tuple[Tensor, Tensor | None]:
    """As `compute_logprobs`, `chunk` positions at a time, whose logits the backward pass makes anew; 0 on padding."""
    read = model.get_decoder()(**batch.inputs, use_cache=False)
    hidden_BTD = read.last_hidden_state[:, batch.start - 1 : -1]
    real_BT = batch.mask_BT > 0
    temperature_BT = batch.temperature_B[:, None].expand_as(real_BT)

    def score(hidden_ND: Tensor, token_N: Tensor, temperature_N: Tensor) -> tuple[Tensor, ...]:
        logits_NV = _apply_head(model, type(read), hidden_ND[None])[0].float()
        scored = _score_tokens(logits_NV, token_N, temperature_N, with_entropy)
        return tuple(tensor_N for tensor_N in scored if tensor_N is not None)

    chunks = zip(*(each[real_BT].split(chunk) for each in (hidden_BTD, batch.response_BT, temperature_BT)), strict=True)
    parts = [checkpoint(score, *given, use_reentrant=False, preserve_rng_state=False) for given in chunks]
    joined = [torch.cat(each) for each in zip(*parts, strict=True)]
    logp_BT, *entropy_BT = (torch.zeros_like(batch.mask_BT).masked_scatter(real_BT, each_N) for each_N in joined)
    return logp_BT, entropy_BT[0] if with_entropy else None


def _apply_head(model: Any, kind: type, hidden_BTD: Tensor) -> Tensor:
    """Logits of hidden states by the model's own forward, which may scale or cap them: its trunk says no more than
    these. kind: of the trunk's output."""
    trunk, asked = model.get_decoder(), False

    def answer(*args: Any, **kwargs: Any) -> Any:
        nonlocal asked
        asked = True
        return kind(last_hidden_state=hidden_BTD)

    trunk.forward = answer  # of this object, before that of its class
    try:
        no_token = torch.zeros(1, 1, dtype=torch.long, device=hidden_BTD.device)
        logits_BTV: Tensor = model(input_ids=no_token, use_cache=False).logits
    finally:
        del trunk.forward
    if not asked:
        what = "does not let its log-probs be computed in chunks"
        raise HerlBenchError(f"{type(model).__name__} {what}: set logits_chunk=1000000 and a small microbatch_tokens")
    return logits_BTV


def read_ends(model: Any, batch: MicroBatch) -> Tensor:
    """(B, D): the last hidden state at each response's last token."""
    with batch.packing.autocast():
        return _take_ends(model.get_decoder()(**batch.inputs, use_cache=False).last_hidden_state, batch)


@contextmanager
def watching_ends(model: Any, batch: MicroBatch) -> Iterator[list[Tensor]]:
    """Around `compute_logprobs`: a list that then holds what `read_ends` gives, at no cost."""
    ends: list[Tensor] = []

    def keep(trunk: Any, given: Any, output: Any) -> None:
        if not ends:  # the head's chunks ask the trunk too, and get what they gave it
            ends.append(_take_ends(output.last_hidden_state, batch))

    watch = model.get_decoder().register_forward_hook(keep)
    try:
        yield ends
    finally:
        watch.remove()


def _take_ends(hidden_BWD: Tensor, batch: MicroBatch) -> Tensor:
    end_B = batch.start - 1 + batch.mask_BT.sum(1).long()
    return hidden_BWD[torch.arange(len(end_B), device=end_B.device), end_B].float()


def recompute_layers(model: Any) -> None:
    """While `learning`, keep one state per layer for the backward pass and compute the rest again."""
    # transformers called it `gradient_checkpointing_enable` first.
    enable = getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable
    enable({"use_reentrant": False})
    model.disable_input_require_grads()  # which only the other kind of checkpointing wants


@contextmanager
def learning(model: Any) -> Iterator[None]:
    """Around forward and backward passes that accumulate a gradient. A layer saves memory only while it says that it is
    in training; nothing else here ever says so, dropouts least of all."""
    saving = [module for module in model.modules() if getattr(module, "gradient_checkpointing", False)]
    for module in saving:
        module.training = True
    try:
        yield
    finally:
        for module in saving:
            module.training = False


@dataclass(frozen=True)
class Lora:
    """How adapters are made: see `training/config.py`."""

    rank: int
    alpha: float
    seed: int

    def add(self, model: Any, name: str) -> dict[str, nn.Parameter]:
        """A new adapter of that name; gives its weights. Each has a seed of its own, whichever others there are."""
        place = (adapters.POLICY, adapters.VALUE).index(name)
        adapters.add_adapter(model, name, self.rank, self.alpha, self.seed * 1000 + place)
        return adapters.list_weights(model, name)


class Critic(nn.Module):
    """The policy's trunk with a scalar head that starts at zero, so that nothing is believed before something was
    learnt. The trunk is a copy, or, with `lora`, the policy's own under an adapter."""

    def __init__(self, policy_model: Any, lora: Lora | None = None):
        super().__init__()
        if lora is None:
            self.trunk = copy.deepcopy(policy_model.base_model).requires_grad_(True)
        else:
            weights = lora.add(policy_model, adapters.VALUE)
            self.adapter = nn.ParameterDict({path.replace(".", "/"): weight for path, weight in weights.items()})
        # In a tuple the policy is no part of this module: what is trained here is the adapter alone.
        self.reads = (self.trunk if lora is None else policy_model,)
        config = policy_model.config.get_text_config()
        self.head = nn.Linear(config.hidden_size, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @contextmanager
    def learning(self) -> Iterator[None]:
        """As `learning`; the adapter stays in use until the backward pass is through."""
        with adapters.use(self.reads[0], adapters.VALUE), learning(self.reads[0]):
            yield

    def forward(self, batch: MicroBatch) -> Tensor:
        """(B, T): values of the state before each response token."""
        (model,) = self.reads
        with adapters.use(model, adapters.VALUE), batch.packing.autocast():
            hidden_BWD = model.base_model(**batch.inputs, use_cache=False).last_hidden_state
        hidden_BTD = hidden_BWD[:, batch.start - 1 : -1]
        values_BT: Tensor = self.head(hidden_BTD.to(self.head.weight.dtype))[..., 0].float()
        return values_BT
