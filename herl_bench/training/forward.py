"""Run models over (prompt, response) pairs: log-probs, values, predicted bonuses, each in (row, response position)
shape.

Prompts are padded on the left and responses on the right, so that the response positions form one block and only they
go through the head. Rows are sorted by length into micro-batches that are trimmed to their own longest row. Log-probs
are those of softmax(logits / temperature), the distribution that was sampled from.

Shapes: B rows of a micro-batch, W columns (prompt and response), T columns of the response block, V vocabulary, D
hidden width.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# Padded tokens per forward pass where `microbatch_tokens` is not set. A processor likes short passes: rows of like
# length share one, with little padding, and what they hold stays in its cache. A GPU likes few, wide ones.
CPU_TOKENS, GPU_TOKENS = 2048, 16384


@dataclass(frozen=True)
class Pair:
    """Token ids of a prompt and of what was written after it."""

    prompt: Sequence[int]
    response: Sequence[int]
    temperature: float = 1.0

    def __len__(self) -> int:
        return len(self.prompt) + len(self.response)


@dataclass(frozen=True)
class Packing:
    """How pairs become micro-batches: at most `max_tokens` padded tokens each, where."""

    max_tokens: int
    pad_id: int
    device: Any


@dataclass(frozen=True)
class MicroBatch:
    """rows_B: positions in the list it was packed from. inputs: what a model of transformers is called with, (B, W)
    each. start: the column where the response block begins."""

    rows_B: Tensor
    inputs: Mapping[str, Tensor]
    start: int
    response_BT: Tensor
    mask_BT: Tensor
    temperature_B: Tensor

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
    )


def compute_logprobs(model: nn.Module, batch: MicroBatch, with_entropy: bool = False) -> tuple[Tensor, Tensor | None]:
    """(log-prob of each response token, entropy of each position or None), both (B, T); meaningless on padding."""
    # The state before a token says how probable it is: one more position than the response has, without the last.
    logits_BTV = model(**batch.inputs, use_cache=False, logits_to_keep=batch.width + 1).logits[:, :-1].float()
    logp_BTV = torch.log_softmax(logits_BTV / batch.temperature_B[:, None, None], -1)
    logp_BT = logp_BTV.gather(-1, batch.response_BT[..., None])[..., 0]
    return logp_BT, -(logp_BTV.exp() * logp_BTV).sum(-1) if with_entropy else None


class Critic(nn.Module):
    """A copy of the policy's trunk with a scalar head that starts at zero, so that nothing is believed before something
    was learnt. extra: how many more inputs the head has beside the hidden state."""

    def __init__(self, policy_model: Any, extra: int = 0):
        super().__init__()
        self.trunk = copy.deepcopy(policy_model.base_model).requires_grad_(True)
        config = policy_model.config.get_text_config()
        self.head = nn.Linear(config.hidden_size + extra, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def _read(self, batch: MicroBatch) -> Tensor:
        hidden_BWD: Tensor = self.trunk(**batch.inputs, use_cache=False).last_hidden_state
        return hidden_BWD

    def forward(self, batch: MicroBatch) -> Tensor:
        """(B, T): values of the state before each response token."""
        hidden_BTD = self._read(batch)[:, batch.start - 1 : -1]
        values_BT: Tensor = self.head(hidden_BTD.to(self.head.weight.dtype))[..., 0].float()
        return values_BT

    def predict_last(self, batch: MicroBatch, extra_B: Tensor) -> Tensor:
        """(B,): of the state after the last response token, with `extra_B` as one more input."""
        hidden_BWD = self._read(batch)
        end_B = batch.start - 1 + batch.mask_BT.sum(1).long()
        hidden_BD = hidden_BWD[torch.arange(len(end_B), device=end_B.device), end_B]
        inputs_BD = torch.cat([hidden_BD, extra_B[:, None].to(hidden_BD.dtype)], -1)
        scores_B: Tensor = self.head(inputs_BD.to(self.head.weight.dtype))[:, 0].float()
        return scores_B
