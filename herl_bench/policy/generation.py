"""Let a policy write: pure ancestral sampling (or greedy) for any causal language model of transformers, fast on a CPU.

Where it is faster than `model.generate`: prompts are sorted by length into batches, a prompt that occurs several times
is read once, finished rows leave the batch, the cache grows in place instead of being copied at every token, and only
the last position goes through the head. What it leaves out on purpose: top-p, top-k, penalties and beams. Log-probs are
later scored under softmax(logits / temperature), so responses must come from exactly that distribution.

Architectures whose caches cannot drop or repeat rows (recurrent states, for example) take the plain path: no sharing,
no leaving.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from herl_bench.errors import UsageError
from herl_bench.policy.language_model import LanguageModel

LEAVE = 0.75
"""Finished rows are dropped from the batch once at most this share of it is still writing (dropping copies the
cache)."""

CACHE_BYTES = 2**30
"""What the keys and values of one batch may take where no batch size is given."""

log = logging.getLogger("herl_bench")

Finish = Literal["eos", "stop", "length"]


@dataclass(frozen=True)
class Completion:
    """One response.

    ids: the generated token ids, EOS included if it was generated; with a stop string, up to the token that completed
    it.
    text: `ids` decoded without special tokens, cut before the stop string.
    finish: `eos`, `stop` (a stop string) or `length` (cut off by max_new_tokens).
    dropped: prompt tokens that had to be left out because prompt and response would not fit the model (see
    `fit_prompts`).
    """

    ids: tuple[int, ...]
    text: str
    finish: Finish
    dropped: int = 0


def fit_prompts(
    policy: LanguageModel, prompt_ids: Sequence[Sequence[int]], max_new_tokens: int
) -> tuple[list[list[int]], list[int]]:
    """The prompts as the model will read them, and how many tokens each lost on the left (BOS is kept) to leave room
    for the response."""
    limit, bos = policy.max_length, policy.tokenizer.bos_token_id
    if limit is None:
        return [list(p) for p in prompt_ids], [0] * len(prompt_ids)
    room = limit - max_new_tokens
    if room < 2:
        raise UsageError(
            f"max_new_tokens {max_new_tokens} leaves no room for a prompt: {policy.name} reads {limit} tokens in all"
        )
    fitted = []
    for prompt in prompt_ids:
        kept = list(prompt) if len(prompt) <= room else list(prompt[-room:])
        if len(prompt) > room and prompt[0] == bos:
            kept[0] = bos
        fitted.append(kept)
    return fitted, [len(p) - len(f) for p, f in zip(prompt_ids, fitted, strict=True)]


def generate(
    policy: LanguageModel,
    prompt_ids: Sequence[Sequence[int]],
    *,
    temperature: float,
    max_new_tokens: int,
    stop: Sequence[str] = (),
    generator: torch.Generator | None = None,
    batch_size: int | None = None,
    on_completion: Callable[[int, Completion], None] | None = None,
) -> list[Completion]:
    """One `Completion` per prompt, in order; the same generator state gives the same responses.

    temperature: 0 takes the most probable token; otherwise every token is drawn from softmax(logits / temperature).
    batch_size: rows at once; None takes as many (at most 256) as keep keys and values within `CACHE_BYTES`.
    on_completion: called with a prompt's position and its response as soon as that is finished, while others are still
    being written.

    Raises `UsageError` where max_new_tokens leaves no room for a prompt, `ValueError` for an empty prompt or stop
    string.
    """
    if not all(prompt_ids):
        raise ValueError("an empty prompt has nothing to continue: give at least BOS")
    if temperature < 0 or max_new_tokens < 1:
        raise ValueError(
            f"temperature must be at least 0 and max_new_tokens at least 1, not {temperature} and {max_new_tokens}"
        )
    prompts, dropped = fit_prompts(policy, prompt_ids, max_new_tokens)
    if any(dropped):
        log.warning(
            "%d of %d prompts were cut on the left: prompt and response together exceed the %s tokens that %s reads",
            sum(map(bool, dropped)),
            len(prompts),
            policy.max_length,
            policy.name,
        )
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), prompts[i]))  # equal prompts become neighbours
    rows = batch_size or _rows_at_once(policy.model, max(map(len, prompts), default=1) + max_new_tokens)
    stops = _Stops(policy, stop)
    done: dict[int, Completion] = {}

    def end(i: int, ids: list[int], finish: Finish) -> None:
        done[i] = Completion(tuple(ids), stops.cut(policy.decode(ids)), finish, dropped[i])
        if on_completion is not None:
            on_completion(i, done[i])

    with _evaluating(policy.model), torch.no_grad():
        for start in range(0, len(order), rows):
            batch = {i: prompts[i] for i in order[start : start + rows]}
            _decode_batch(policy, batch, temperature, max_new_tokens, stops, generator, end)
    return [done[i] for i in range(len(prompts))]


def _decode_batch(
    policy: LanguageModel,
    batch: Mapping[int, list[int]],
    temperature: float,
    max_new_tokens: int,
    stops: _Stops,
    generator: torch.Generator | None,
    end: Callable[[int, list[int], Finish], None],
) -> None:
    """`end` is called once for each prompt."""
    model, device, eos = policy.model, policy.device, policy.eos_ids
    prompts = list(batch.values())
    cache = _new_cache(model.config)
    flexible = all(type(layer) in (_GrowingLayer, DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers)
    unique = [p for i, p in enumerate(prompts) if i == 0 or p != prompts[i - 1]] if flexible else prompts
    forward = _forward(model)

    width = max(map(len, unique))
    ids = torch.full((len(unique), width), policy.pad_id, dtype=torch.long)
    mask = torch.zeros(len(unique), width + max_new_tokens, dtype=torch.long)
    for b, prompt in enumerate(unique):
        ids[b, width - len(prompt) :] = torch.tensor(prompt)
        mask[b, width - len(prompt) :] = 1
    ids, mask = ids.to(device), mask.to(device)
    positions = (mask[:, :width].cumsum(1) - 1).clamp(min=0)
    logits_RV = forward(ids, mask[:, :width], positions, cache)
    position_R1 = positions[:, -1:]
    if len(unique) < len(prompts):
        same = [prompts[i] != prompts[i - 1] for i in range(1, len(prompts))]
        source = torch.tensor([0, *same], device=device).cumsum(0)
        cache.batch_select_indices(source)
        logits_RV, mask, position_R1 = logits_RV[source], mask[source], position_R1[source]

    written: dict[int, list[int]] = {i: [] for i in batch}
    rows = list(batch)  # which prompt each row of the tensors belongs to
    ended: set[int] = set()
    for step in range(max_new_tokens):
        next_R = _pick(logits_RV, temperature, generator)
        writing = []  # rows of the tensors
        for r, (i, token) in enumerate(zip(rows, next_R.tolist(), strict=True)):
            if i in ended:
                continue
            written[i].append(token)
            finish: Finish | None = "eos" if token in eos else "stop" if stops.reached(written[i]) else None
            if finish is None and step + 1 == max_new_tokens:
                finish = "length"
            if finish is None:
                writing.append(r)
            else:
                ended.add(i)
                end(i, written[i], finish)
        if not writing:
            break
        if flexible and len(writing) <= LEAVE * len(rows):
            keep = torch.tensor(writing, device=device)
            cache.batch_select_indices(keep)
            next_R, mask, position_R1 = next_R[keep], mask[keep], position_R1[keep]
            rows = [rows[r] for r in writing]
        position_R1 = position_R1 + 1
        mask[:, width + step] = 1
        logits_RV = forward(next_R[:, None], mask[:, : width + step + 1], position_R1, cache)


def _pick(logits_RV: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    if temperature == 0:
        return logits_RV.argmax(-1)
    return torch.multinomial((logits_RV.float() / temperature).softmax(-1), 1, generator=generator)[:, 0]


def _forward(model: Any) -> Callable[[Tensor, Tensor, Tensor, DynamicCache], Tensor]:
    """The model as a function to the logits of the last position; what an architecture does not take is not given."""
    known = inspect.signature(model.forward).parameters

    def forward(ids: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache) -> Tensor:
        given = {
            "attention_mask": mask,
            "position_ids": positions,
            "past_key_values": cache,
            "use_cache": True,
            "logits_to_keep": 1,
        }
        logits: Tensor = model(ids, **{k: v for k, v in given.items() if k in known}).logits[:, -1]
        return logits

    if "past_key_values" not in known:
        raise UsageError(
            f"{type(model).__name__} keeps no keys and values, which generation here relies on: choose another"
            " architecture"
        )
    return forward


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    training = model.training
    model.eval()  # gradient checkpointing would switch the cache off
    try:
        yield
    finally:
        model.train(training)


# ---------------------------------------------------------------------------------------------------------------- cache
class _GrowingLayer(DynamicLayer):
    """Keys and values in a buffer with spare room. The parent class copies them all at every token, most of the time of
    a tiny model."""

    _buffers: tuple[Tensor, Tensor] | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        old = self.get_seq_length()
        new = old + key_states.shape[-2]
        if self._buffers is None or new > self._buffers[0].shape[-2]:
            room = new + max(64, new // 2)
            grown = (_with_room(key_states, room), _with_room(value_states, room))
            if self._buffers is not None:
                for wide, narrow in zip(grown, self._buffers, strict=True):
                    wide[:, :, :old] = narrow[:, :, :old]
            self._buffers = grown
        keys, values = self._buffers
        keys[:, :, old:new], values[:, :, old:new] = key_states, value_states
        self.keys, self.values = keys[:, :, :new], values[:, :, :new]
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        length = self.get_seq_length()
        if self._buffers is not None and length:
            self._buffers = (self._buffers[0][indices], self._buffers[1][indices])
            self.keys, self.values = self._buffers[0][:, :, :length], self._buffers[1][:, :, :length]


def _with_room(states: Tensor, room: int) -> Tensor:
    return states.new_empty(*states.shape[:-2], room, states.shape[-1])


def _new_cache(config: Any) -> DynamicCache:
    cache = DynamicCache(config=config)
    cache.layers = [_GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    return cache


def _rows_at_once(model: Any, tokens: int) -> int:
    config = model.config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or getattr(config, "num_attention_heads", 1)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // getattr(config, "num_attention_heads", 1)
    row = 2 * config.num_hidden_layers * heads * head_dim * model.dtype.itemsize * tokens
    return max(1, min(256, CACHE_BYTES // row))


# --------------------------------------------------------------------------------------------------------- stop strings
class _Stops:
    """Finds out at which token a stop string is complete; decodes only after tokens that can complete one."""

    def __init__(self, policy: LanguageModel, stop: Sequence[str]):
        if not all(stop):
            raise ValueError("an empty stop string would end every response at once")
        self.policy, self.stop = policy, tuple(stop)
        # Every token but the last may be a single byte, and special tokens (which decode to nothing) may stand in
        # between.
        self.window = max((len(s.encode()) for s in stop), default=0) + 8
        ends = {s[-1] for s in stop}
        # A letter of several bytes, or a space that a tokenizer strips when it decodes one token alone, can be
        # completed by any token.
        self.completing = None if any(not c.isascii() or c == " " for c in ends) else self._tokens_with(ends)

    def _tokens_with(self, ends: set[str]) -> frozenset[int]:
        cache, tokenizer = self.policy.cache, self.policy.tokenizer
        if not ends:
            return frozenset()
        if "pieces" not in cache:
            cache["pieces"] = [self.policy.decode([i]) for i in range(len(tokenizer))]
        return frozenset(i for i, piece in enumerate(cache["pieces"]) if ends & set(piece))

    def reached(self, ids: list[int]) -> bool:
        if not self.stop or (self.completing is not None and ids[-1] not in self.completing):
            return False
        tail = self.policy.decode(ids[-self.window :])
        return any(s in tail for s in self.stop)

    def cut(self, text: str) -> str:
        return text[: min((at for at in (text.find(s) for s in self.stop) if at >= 0), default=len(text))]
