"""Let a policy write: pure ancestral sampling (or greedy) for any causal language model of transformers, fast on a CPU.

Where it is faster than `model.generate`: prompts are sorted by length into batches, a prompt that occurs several times
is read once, finished rows leave the batch, the cache grows in place instead of being copied at every token, and only
the last position goes through the head. What it leaves out on purpose: top-p, top-k, penalties and beams. Log-probs are
later scored under softmax(logits / temperature), so responses must come from exactly that distribution.

How many rows are written at once is bounded by what their keys and values may take (`LanguageModel.cache_bytes`). Where
there is less memory than that, the rows are halved, and what was finished is kept.

Architectures whose caches cannot drop or repeat rows (recurrent states, for example) take the plain path: no sharing,
no leaving.

Shapes: U different prompts, R rows still in the batch, W columns of the widest prompt, M = W + max_new_tokens, V
vocabulary; in the cache, H heads, T positions, D width of a head.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

from herl_bench.answers import find_opening
from herl_bench.errors import HerlBenchError, UsageError
from herl_bench.policy.answerer import cut_at_stop
from herl_bench.policy.capacity import is_out_of_memory, release_memory
from herl_bench.policy.language_model import LanguageModel

# Finished rows are dropped once at most this share of the batch is still writing. Dropping copies the whole cache, and
# a finished row costs a forward pass per token until it goes: at 0.75 no more than a quarter of the work is for
# nothing, and each copy is of a batch that is smaller by a quarter at least.
LEAVE = 0.75

LONGEST_OPENING = 16  # tokens of `<think>` and the blanks behind it, where a prompt ends in it

MOST_ROWS = 256

# From here on, tokens are drawn on the CPU by where a uniform number falls among the summed probabilities: for 96 rows
# of 152k tokens `torch.multinomial` takes 0.4 s, nearly as long as a model of 0.5B parameters, the sums take a quarter.
LARGE_VOCABULARY = 16_384

log = logging.getLogger("herl_bench")

Finish = Literal["eos", "stop", "length"]
Forward = Callable[[Tensor, Tensor, Tensor, DynamicCache], Tensor]


@dataclass(frozen=True)
class Completion:
    """One response.

    ids: the generated token ids, with EOS if it was generated; with a stop string, up to the token that completed it.
    text: `ids` decoded without special tokens, cut before the stop string; after `<think>` if the prompt ends in it.
    finish: `eos`, `stop` (a stop string) or `length` (cut off by max_new_tokens).
    dropped: prompt tokens left out because prompt and response would not fit the model (see `fit_prompts`).
    """

    ids: tuple[int, ...]
    text: str
    finish: Finish
    dropped: int = 0


def fit_prompts(policy: LanguageModel, prompt_ids: Sequence[Sequence[int]], max_new_tokens: int) -> list[list[int]]:
    """The prompts as the model will read them: cut on the left (BOS is kept) to leave room for the response."""
    limit, bos = policy.max_length, policy.tokenizer.bos_token_id
    if limit is None:
        return [list(p) for p in prompt_ids]
    room = limit - max_new_tokens
    if room < 2:  # BOS and one token to answer to
        why = f"{policy.name} reads {limit} tokens in all"
        raise UsageError(f"max_new_tokens {max_new_tokens} leaves no room for a prompt: {why}")
    fitted = []
    for prompt in prompt_ids:
        kept = list(prompt[-room:])  # the end holds the question, and where the answer begins
        if len(prompt) > room and prompt[0] == bos:
            kept[0] = bos
        fitted.append(kept)
    return fitted


@torch.no_grad()
def generate(
    policy: LanguageModel,
    prompt_ids: Sequence[Sequence[int]],
    *,
    temperature: float,
    max_new_tokens: int,
    stop: Sequence[str] = (),
    generator: torch.Generator | None = None,
    on_completion: Callable[[int, Completion], None] | None = None,
) -> list[Completion]:
    """One `Completion` per prompt, in order; the same generator state gives the same responses.

    temperature: 0 takes the most probable token; otherwise every token is drawn from softmax(logits / temperature).
    on_completion: called with a prompt's position and its response as soon as that is finished.

    Raises `UsageError` where max_new_tokens leaves no room for a prompt, `ValueError` for an empty prompt or stop.
    """
    if not all(prompt_ids):
        raise ValueError("an empty prompt has nothing to continue: give at least BOS")
    if temperature < 0 or max_new_tokens < 1:
        given = f"{temperature} and {max_new_tokens}"
        raise ValueError(f"temperature must be at least 0 and max_new_tokens at least 1, not {given}")
    prompts = fit_prompts(policy, prompt_ids, max_new_tokens)
    dropped = [len(given) - len(kept) for given, kept in zip(prompt_ids, prompts, strict=True)]
    # Prompts of like length share a batch, for little padding; equal ones become neighbours, and are read once.
    order = sorted(range(len(prompts)), key=lambda i: (len(prompts[i]), prompts[i]))
    row_bytes = _measure_row(policy.model, max(map(len, prompts), default=1) + max_new_tokens)
    stops = _Stops(policy, stop)
    openings = [find_opening(policy.decode(prompt[-LONGEST_OPENING:])) for prompt in prompts]
    completions: dict[int, Completion] = {}

    def end(i: int, ids: list[int], finish: Finish) -> None:
        text = openings[i] + cut_at_stop(policy.decode(ids), stop)
        completions[i] = Completion(tuple(ids), text, finish, dropped[i])
        if on_completion is not None:
            on_completion(i, completions[i])

    def write(batch: Mapping[int, list[int]]) -> None:
        _write_batch(policy, batch, temperature, max_new_tokens, stops, generator, end)

    was_training = policy.model.training
    policy.model.eval()  # gradient checkpointing would switch the cache off
    try:
        while left := {i: prompts[i] for i in order if i not in completions}:
            _write_some(policy, left, row_bytes, generator, write)
    finally:
        policy.model.train(was_training)
    return [completions[i] for i in range(len(prompts))]


def _write_some(
    policy: LanguageModel,
    left: Mapping[int, list[int]],
    row_bytes: int,
    generator: torch.Generator | None,
    write: Callable[[Mapping[int, list[int]]], None],
) -> None:
    """Write a batch of what is left. Where the memory did not suffice, nothing but what that finished is written, the
    random state is what it was, and batches are half as large from now on."""
    batch = dict(islice(left.items(), max(1, min(MOST_ROWS, policy.cache_bytes // row_bytes))))
    state = generator.get_state() if generator is not None else None
    try:
        write(batch)
        return
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
    release_memory()
    if generator is not None and state is not None:
        generator.set_state(state)
    policy.cache_bytes = _halve_rows(policy, len(batch)) * row_bytes


def _halve_rows(policy: LanguageModel, rows: int) -> int:
    """How many rows to go on with. Raises `HerlBenchError` where one was too many."""
    if rows == 1:
        remedy = "set a smaller max_new_tokens, dtype=bfloat16, or another device"
        raise HerlBenchError(f"out of memory while {policy.name} wrote a single response: {remedy}")
    if "short_of_memory" not in policy.cache:
        policy.cache["short_of_memory"] = True
        what = f"out of memory while {policy.name} wrote {rows} responses at once"
        log.warning("warning: %s: going on with %d at most, and with fewer where need be", what, rows // 2)
    return rows // 2


@dataclass
class _Batch:
    """What is known of the rows while they are written. prompt_R: which prompt each row answers. mask_RM: what may be
    attended to, the columns of tokens to come included. position_R1: of the newest token, not counting padding."""

    prompt_R: list[int]
    logits_RV: Tensor
    mask_RM: Tensor
    position_R1: Tensor
    cache: DynamicCache
    width: int
    flexible: bool

    def select(self, rows: Tensor) -> None:
        """Keep these rows, or repeat them."""
        self.cache.batch_select_indices(rows)
        self.logits_RV, self.mask_RM = self.logits_RV[rows], self.mask_RM[rows]
        self.position_R1 = self.position_R1[rows]


def _read_prompts(
    policy: LanguageModel, prompts: Mapping[int, list[int]], max_new_tokens: int, forward: Forward
) -> _Batch:
    """A batch whose prompts were read, each different one once (they come sorted)."""
    rows, device = list(prompts.values()), policy.device
    cache = DynamicCache(config=policy.model.config)
    # Only plain layers: a sliding window drops what is behind it itself, and a recurrent state does not grow.
    cache.layers = [_GrowingLayer() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    flexible = all(type(layer) in (_GrowingLayer, DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers)
    is_new = [i == 0 or not flexible or row != rows[i - 1] for i, row in enumerate(rows)]
    unique = [row for row, new in zip(rows, is_new, strict=True) if new]
    # Padding stands on the left, so that every prompt ends in the same column and the next token continues it.
    ids_UW, mask_UW, position_UW = pad_left(policy, unique)
    mask_UM = torch.cat([mask_UW, mask_UW.new_zeros(len(unique), max_new_tokens)], 1)
    logits_UV = forward(ids_UW, mask_UW, position_UW, cache)
    batch = _Batch(list(prompts), logits_UV, mask_UM, position_UW[:, -1:], cache, ids_UW.shape[1], flexible)
    if len(unique) < len(rows):
        batch.select(torch.tensor(is_new, device=device).cumsum(0) - 1)
    return batch


def pad_left(policy: LanguageModel, rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor, Tensor]:
    """Token ids, what is no padding, and positions, each (rows, widest row), on the policy's device."""
    width = max(map(len, rows))
    ids_UW = torch.full((len(rows), width), policy.pad_id, dtype=torch.long)
    mask_UW = torch.zeros(len(rows), width, dtype=torch.long)
    for u, row in enumerate(rows):
        ids_UW[u, width - len(row) :] = torch.tensor(row)
        mask_UW[u, width - len(row) :] = 1
    mask_UW = mask_UW.to(policy.device)
    # A row's first token is at position 0 however much padding is before it; the padding's own number is not read.
    return ids_UW.to(policy.device), mask_UW, (mask_UW.cumsum(1) - 1).clamp(min=0)


def _write_batch(
    policy: LanguageModel,
    prompts: Mapping[int, list[int]],
    temperature: float,
    max_new_tokens: int,
    stops: _Stops,
    generator: torch.Generator | None,
    end: Callable[[int, list[int], Finish], None],
) -> None:
    """`end` is called once for each prompt."""
    eos, forward = policy.eos_ids, _bind_forward(policy.model)
    batch = _read_prompts(policy, prompts, max_new_tokens, forward)
    written: dict[int, list[int]] = {i: [] for i in prompts}
    ended: set[int] = set()
    for step in range(max_new_tokens):
        # A finished row that has not left yet draws too: its token goes nowhere.
        next_R = _pick(batch.logits_RV, temperature, generator)
        writing = []  # rows of the tensors
        for r, (i, token) in enumerate(zip(batch.prompt_R, next_R.tolist(), strict=True)):
            if i in ended:
                continue
            written[i].append(token)
            finish: Finish | None = "eos" if token in eos else "stop" if stops.is_reached(written[i]) else None
            if finish is None and step + 1 == max_new_tokens:
                finish = "length"
            if finish is None:
                writing.append(r)
            else:
                ended.add(i)
                end(i, written[i], finish)
        if not writing:
            break
        if batch.flexible and len(writing) <= LEAVE * len(batch.prompt_R):
            kept = torch.tensor(writing, device=policy.device)
            batch.select(kept)
            next_R, batch.prompt_R = next_R[kept], [batch.prompt_R[r] for r in writing]
        batch.position_R1 = batch.position_R1 + 1
        column = batch.width + step
        batch.mask_RM[:, column] = 1
        batch.logits_RV = forward(next_R[:, None], batch.mask_RM[:, : column + 1], batch.position_R1, batch.cache)


def _pick(logits_RV: Tensor, temperature: float, generator: torch.Generator | None) -> Tensor:
    """(R,) token ids."""
    if temperature == 0:
        return logits_RV.argmax(-1)
    # In float32 whatever the model's precision is, as the log-probs will be scored.
    probs_RV = (logits_RV.float() / temperature).softmax(-1)
    if probs_RV.device.type != "cpu" or probs_RV.shape[1] < LARGE_VOCABULARY:
        return torch.multinomial(probs_RV, 1, generator=generator)[:, 0]
    sums_RV = probs_RV.cumsum(-1)
    drawn_R1 = torch.rand(len(sums_RV), 1, generator=generator) * sums_RV[:, -1:]
    return torch.searchsorted(sums_RV, drawn_R1, right=True)[:, 0].clamp(max=sums_RV.shape[1] - 1)


def _bind_forward(model: Any) -> Forward:
    """The model as a function to the logits of the last position; what an architecture does not take is not given."""
    known = inspect.signature(model.forward).parameters

    def forward(ids: Tensor, mask: Tensor, positions: Tensor, cache: DynamicCache) -> Tensor:
        arguments = {
            "attention_mask": mask,
            "position_ids": positions,
            "past_key_values": cache,
            "use_cache": True,
            "logits_to_keep": 1,
        }
        output = model(ids, **{name: value for name, value in arguments.items() if name in known})
        return output.logits[:, -1]  # type: ignore[no-any-return]

    if "past_key_values" not in known:
        what = "keeps no keys and values, which generation here relies on"
        raise UsageError(f"{type(model).__name__} {what}: choose another architecture")
    return forward


# ---------------------------------------------------------------------------------------------------------------- cache
class _GrowingLayer(DynamicLayer):
    """Keys and values in a buffer with spare room. The parent copies them all at every token, which takes longest."""

    _buffers: Sequence[Tensor] = ()  # keys and values, each (R, H, room, D)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        states = (key_states, value_states)
        old = self.get_seq_length()
        new = old + key_states.shape[-2]
        if not self._buffers or new > self._buffers[0].shape[-2]:
            # Half as much again, so that a response is copied a number of times that grows with the logarithm of its
            # length; 64 at least, so that a short one is never copied.
            room = new + max(64, new // 2)
            grown = [each.new_empty(*each.shape[:-2], room, each.shape[-1]) for each in states]
            for wide, narrow in zip(grown, self._buffers, strict=False):  # there is none at first
                wide[:, :, :old] = narrow[:, :, :old]
            self._buffers = grown
        for buffer_RHTD, each in zip(self._buffers, states, strict=True):
            buffer_RHTD[:, :, old:new] = each
        return self._show(new)

    def batch_select_indices(self, indices: Tensor) -> None:
        if length := self.get_seq_length():
            self._buffers = [buffer_RHTD[indices] for buffer_RHTD in self._buffers]
            self._show(length)

    def _show(self, length: int) -> tuple[Tensor, Tensor]:
        self.keys, self.values = keys, values = self._buffers[0][:, :, :length], self._buffers[1][:, :, :length]
        return keys, values


def _measure_row(model: Any, tokens: int) -> int:
    """Bytes of the keys and values of a row of that many tokens."""
    config = model.config.get_text_config()
    # Older architectures name neither: every head has keys of its own, and the heads share the hidden width.
    heads = getattr(config, "num_key_value_heads", None) or getattr(config, "num_attention_heads", 1)
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // getattr(config, "num_attention_heads", 1)
    return int(2 * config.num_hidden_layers * heads * head_dim * model.dtype.itemsize * tokens)


# --------------------------------------------------------------------------------------------------------- stop strings
class _Stops:
    """Finds out at which token a stop string is complete; decodes only after tokens that can complete one."""

    def __init__(self, policy: LanguageModel, stop: Sequence[str]):
        if not all(stop):
            raise ValueError("an empty stop string would end every response at once")
        self.policy, self.stop = policy, tuple(stop)
        # How many of the last tokens can hold a stop string: every token but the last may be a single byte of it, and
        # up to 8 special tokens (which decode to nothing) may stand in between.
        self.window = max((len(s.encode()) for s in stop), default=0) + 8
        ends = {s[-1] for s in stop}
        # A letter of several bytes, or a space that a tokenizer strips when it decodes one token alone, can be
        # completed by any token.
        self.completing = None if any(not c.isascii() or c == " " for c in ends) else self._find_tokens(ends)

    def _find_tokens(self, letters: set[str]) -> frozenset[int]:
        """The tokens whose text has one of the letters."""
        if not letters:
            return frozenset()
        cache = self.policy.cache
        if "pieces" not in cache:  # decoding a whole vocabulary takes longer than a short batch
            cache["pieces"] = [self.policy.decode([i]) for i in range(len(self.policy.tokenizer))]
        return frozenset(i for i, piece in enumerate(cache["pieces"]) if letters & set(piece))

    def is_reached(self, ids: list[int]) -> bool:
        if not self.stop or (self.completing is not None and ids[-1] not in self.completing):
            return False
        tail = self.policy.decode(ids[-self.window :])
        return any(s in tail for s in self.stop)
