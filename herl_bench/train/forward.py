"""Run models over (prompt, response) pairs: log-probs, values, predicted bonuses, each in (row, response position)
shape.

Prompts are padded on the left and responses on the right, so that the response positions form one block and only they
go through the head. Rows are sorted by length into micro-batches that are trimmed to their own longest row. Log-probs
are those of softmax(logits / temperature), the distribution that was sampled from.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Pair:
    """Token ids of a prompt and of what was written after it."""

    prompt: Sequence[int]
    response: Sequence[int]
    temperature: float = 1.0

    def __len__(self) -> int:
        return len(self.prompt) + len(self.response)


@dataclass(frozen=True)
class Packed:
    """A micro-batch. `rows` are positions in the list it was packed from; the response block starts at column
    `start`."""

    rows: Tensor
    input_ids: Tensor
    attention_mask: Tensor
    position_ids: Tensor
    start: int
    response_BT: Tensor
    mask_BT: Tensor
    temperature_B: Tensor

    @property
    def inputs(self) -> dict[str, Tensor]:
        return {"input_ids": self.input_ids, "attention_mask": self.attention_mask, "position_ids": self.position_ids}


def microbatches(
    pairs: Sequence[Pair], max_tokens: int, pad: int, device: Any, rows: Sequence[int] | None = None
) -> Iterator[Packed]:
    """Pack `pairs` (or those at `rows`) by length into batches of at most `max_tokens` padded tokens, at least one row
    each."""
    chosen = range(len(pairs)) if rows is None else rows
    order = sorted(chosen, key=lambda i: (len(pairs[i]), i))
    group: list[int] = []
    longest_prompt = longest_response = 0
    for i in order:
        p, r = max(longest_prompt, len(pairs[i].prompt)), max(longest_response, len(pairs[i].response))
        if group and (p + r) * (len(group) + 1) > max_tokens:
            yield _pack(pairs, group, pad, device)
            group, p, r = [], len(pairs[i].prompt), len(pairs[i].response)
        group.append(i)
        longest_prompt, longest_response = p, r
    if group:
        yield _pack(pairs, group, pad, device)


def _pack(pairs: Sequence[Pair], group: Sequence[int], pad: int, device: Any) -> Packed:
    start = max(len(pairs[i].prompt) for i in group)
    width = start + max(1, *(len(pairs[i].response) for i in group))
    ids = torch.full((len(group), width), pad, dtype=torch.long)
    attention = torch.zeros(len(group), width, dtype=torch.long)
    mask = torch.zeros(len(group), width - start)
    for b, i in enumerate(group):
        prompt, response = pairs[i].prompt, pairs[i].response
        left, right = start - len(prompt), start + len(response)
        ids[b, left:right] = torch.tensor([*prompt, *response], dtype=torch.long)
        attention[b, left:right] = 1
        mask[b, : len(response)] = 1
    positions = (attention.cumsum(1) - 1).clamp(min=0)
    return Packed(
        rows=torch.tensor(list(group), device=device),
        input_ids=ids.to(device),
        attention_mask=attention.to(device),
        position_ids=positions.to(device),
        start=start,
        response_BT=ids[:, start:].to(device),
        mask_BT=mask.to(device),
        temperature_B=torch.tensor([pairs[i].temperature for i in group], device=device),
    )


def logprobs(model: nn.Module, batch: Packed, with_entropy: bool = False) -> tuple[Tensor, Tensor | None]:
    """(log-prob of each response token, entropy of each position or None), both (B, T); values on padding are
    meaningless."""
    width = batch.response_BT.shape[1]
    logits_BTV = model(**batch.inputs, use_cache=False, logits_to_keep=width + 1).logits[:, :-1].float()
    logp_BTV = torch.log_softmax(logits_BTV / batch.temperature_B[:, None, None], -1)
    logp_BT = logp_BTV.gather(-1, batch.response_BT[..., None])[..., 0]
    return logp_BT, -(logp_BTV.exp() * logp_BTV).sum(-1) if with_entropy else None


class Critic(nn.Module):
    """A copy of the policy's trunk with a scalar head that starts at zero.

    `values` reads the state before every response token; `last` reads the state after the last one (with `extra_B` as
    one more input).
    """

    def __init__(self, policy_model: Any, extra: int = 0):
        super().__init__()
        self.trunk = copy.deepcopy(policy_model.base_model)
        self.trunk.requires_grad_(True)
        config = policy_model.config.get_text_config()
        self.head = nn.Linear(config.hidden_size + extra, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def _hidden(self, batch: Packed) -> Tensor:
        hidden: Tensor = self.trunk(**batch.inputs, use_cache=False).last_hidden_state
        return hidden

    def values(self, batch: Packed) -> Tensor:
        """(B, T)"""
        hidden_BTD = self._hidden(batch)[:, batch.start - 1 : -1]
        values: Tensor = self.head(hidden_BTD.to(self.head.weight.dtype))[..., 0].float()
        return values

    def last(self, batch: Packed, extra_B: Tensor) -> Tensor:
        """(B,)"""
        hidden_BTD = self._hidden(batch)
        end_B = batch.start - 1 + batch.mask_BT.sum(1).long()
        hidden_BD = hidden_BTD[torch.arange(len(end_B), device=end_B.device), end_B]
        scores: Tensor = self.head(
            torch.cat([hidden_BD, extra_B[:, None].to(hidden_BD.dtype)], -1).to(self.head.weight.dtype)
        )[:, 0].float()
        return scores

    def forward(self, batch: Packed) -> Tensor:
        return self.values(batch)
