"""Our policies for lm-eval: an lm-eval `LM` on our generation engine.

`PolicyLM` tokenises, truncates, stops and decodes as lm-eval's own `hf` model does, so that both give the same
likelihoods and, greedily, the same texts. It differs where our engine does: sampling is from the whole distribution at
the given temperature, so top-p, top-k, penalties and beams are refused rather than ignored; and a prompt and
continuation that several requests share is read once.

Left out: encoder-decoder models, images and audio, several processes, and chains of thought between thinking tokens.
This module imports lm-eval, which takes seconds: import it late.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, resolve_max_length

from herl_bench.errors import UsageError
from herl_bench.evaluation.sampling import SEEDS, Sampling
from herl_bench.policy.answerer import cut_at_stop
from herl_bench.policy.generation import Completion, generate, pad_left
from herl_bench.policy.load import Policy

MAX_GEN_TOKS = 256
TOKENS_AT_ONCE = 8192
LOGITS_AT_ONCE = 2**28
NEUTRAL = {
    **dict.fromkeys(("top_k", "min_p", "no_repeat_ngram_size"), 0),
    **dict.fromkeys(("top_p", "typical_p", "repetition_penalty", "num_beams", "length_penalty"), 1),
    "num_return_sequences": 1,
}
ONLY_WHEN_SAMPLING = {"top_p", "top_k", "min_p", "typical_p"}

log = logging.getLogger("herl_bench")


class PolicyLM(TemplateLM):  # type: ignore[misc]
    """A policy as lm-eval sees it. seed: of the sampling, where a task or `gen_kwargs` ask for it."""

    def __init__(self, policy: Policy, *, seed: int | None = SEEDS[2]):
        super().__init__()
        self.policy, self.tokenizer, self._device = policy, policy.tokenizer, policy.device
        self.finishes: dict[str, str] = {}  # how the response to a prompt ended; nothing of responses out of a cache
        self._generator = torch.Generator(device=policy.device)
        if seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(seed)

    # ---------------------------------------------------------------------------------------- tokens, as lm-eval's `hf`
    @property
    def eot_token_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        bos = self.tokenizer.bos_token_id
        return self.eot_token_id if bos is None else int(bos)

    @property
    def max_length(self) -> int:
        return int(resolve_max_length(self.policy.model.config, self.tokenizer))

    @property
    def tokenizer_name(self) -> str:
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def tok_encode(self, string: str, add_special_tokens: bool | None = None, **kwargs: Any) -> list[int]:
        """A text that begins with BOS gets no second one."""
        if add_special_tokens is None and string.startswith(self.tokenizer.decode(self.prefix_token_id)):
            add_special_tokens = False
        given = {} if add_special_tokens is None else {"add_special_tokens": add_special_tokens}
        return list(self.tokenizer.encode(string, **given))

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        from jinja2 import TemplateError

        def render(turns: list[dict[str, str]]) -> str:
            more: dict[str, Any] = dict(self.policy.chat_template_kwargs)
            more |= {
                "add_generation_prompt": add_generation_prompt,
                "continue_final_message": not add_generation_prompt,
            }
            return str(self.tokenizer.apply_chat_template(turns, tokenize=False, **more))

        def either() -> tuple[str, bool]:
            try:
                return render(chat_history), True
            except TemplateError:
                return render([turn for turn in chat_history if turn["role"] != "system"]), False

        text, whole = self.policy.render_bounded(either)
        if not whole:
            log.warning("the chat template takes no system turn: it is left out, as lm-eval does")
        return str(text)

    # ------------------------------------------------------------------------------------------------------- generation
    def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
        """Requests with the same settings are written together."""
        groups: dict[str, list[int]] = {}
        for i, request in enumerate(requests):
            groups.setdefault(json.dumps(request.args[1], sort_keys=True, default=str), []).append(i)
        texts: dict[int, str] = {}
        for group in groups.values():
            how = read_gen_kwargs(requests[group[0]].args[1], self.tokenizer.decode(self.eot_token_id))
            room, stop = self.max_length - how.max_new_tokens, how.stop or ()
            if room < 1:
                fault = f"max_gen_toks {how.max_new_tokens} leaves no room for a prompt"
                limit = f"{self.policy.name} reads {self.max_length} tokens in all"
                raise UsageError(f"{fault}: {limit}; pass --gen_kwargs max_gen_toks=N")
            prompts = [self.tok_encode(requests[i].args[0])[-room:] or [self.prefix_token_id] for i in group]

            def keep(at: int, completion: Completion, group: list[int] = group, stop: Sequence[str] = stop) -> None:
                text = cut_at_stop(self.tokenizer.decode(list(completion.ids), skip_special_tokens=True), stop)
                texts[group[at]] = text
                self.finishes[requests[group[at]].args[0]] = completion.finish
                self.cache_hook.add_partial("generate_until", requests[group[at]].args, text)

            generate(
                self.policy,
                prompts,
                temperature=how.temperature,
                max_new_tokens=how.max_new_tokens,
                stop=stop,
                generator=self._generator,
                on_completion=keep,
            )
        return [texts[i] for i in range(len(requests))]

    # ------------------------------------------------------------------------------------------------------ likelihoods
    def _loglikelihood_tokens(
        self, requests: Sequence[tuple[Any, list[int], list[int]]], **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """(sum of log-probs, would greedy decoding write it?) of each (key, context ids, continuation ids)."""
        rows: dict[tuple[int, ...], list[int]] = {}  # what the model reads, and whose requests it answers
        for i, (_, context, continuation) in enumerate(requests):
            if not continuation or len(continuation) > self.max_length:
                reader = f"a model that reads {self.max_length}"
                raise UsageError(f"a continuation of {len(continuation)} tokens cannot be scored by {reader}")
            # a context of spaces alone has become part of the continuation
            read = (context or [self.prefix_token_id]) + continuation
            rows.setdefault(tuple(read[-(self.max_length + 1) : -1]), []).append(i)
        found: dict[int, tuple[float, bool]] = {}
        with torch.inference_mode():
            for batch in self._fill_batches(rows, requests):
                keep = max(len(requests[i][2]) for row in batch for i in rows[row])
                for row, logp_TV in zip(batch, self._score_rows(batch, keep), strict=True):
                    for i in rows[row]:
                        key, _, continuation = requests[i]
                        tail_TV = logp_TV[-len(continuation) :]
                        ids_T = torch.tensor(continuation, device=logp_TV.device)
                        total = float(tail_TV.gather(1, ids_T[:, None]).sum())
                        found[i] = total, bool((tail_TV.argmax(-1) == ids_T).all())
                        if key is not None:
                            self.cache_hook.add_partial("loglikelihood", key, found[i])
        return [found[i] for i in range(len(requests))]

    def _fill_batches(
        self, rows: Mapping[tuple[int, ...], list[int]], requests: Sequence[tuple[Any, list[int], list[int]]]
    ) -> Any:
        """Rows of similar length, as many as fit; the longest first, so that memory runs out at once or never."""
        batch: list[tuple[int, ...]] = []
        keep, vocabulary = 0, self.policy.model.config.get_text_config().vocab_size
        for row in sorted(rows, key=lambda row: (-len(row), row)):
            longest = max(keep, *(len(requests[i][2]) for i in rows[row]))
            size = len(batch) + 1
            if batch and (size * len(batch[0]) > TOKENS_AT_ONCE or size * longest * vocabulary > LOGITS_AT_ONCE):
                yield batch
                batch, longest = [], max(len(requests[i][2]) for i in rows[row])
            batch.append(row)
            keep = longest
        if batch:
            yield batch

    def _score_rows(self, rows: Sequence[tuple[int, ...]], keep: int) -> torch.Tensor:
        """(B, T, V) over the last `keep` positions: with padding on the left, the same columns in every row."""
        ids_BT, mask_BT, positions_BT = pad_left(self.policy, rows)
        logits = self.policy.model(
            ids_BT, attention_mask=mask_BT, position_ids=positions_BT, use_cache=False, logits_to_keep=keep
        ).logits
        return torch.log_softmax(logits[:, -keep:].float(), -1)

    def loglikelihood_rolling(self, requests: list[Any], disable_tqdm: bool = False) -> list[float]:
        """The log-likelihood of whole texts; what exceeds the model's length is scored in windows, each token once."""
        from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

        windows, owner = [], []
        for i, request in enumerate(requests):
            ids = self.tok_encode(request.args[0])
            rolled = get_rolling_token_windows(ids, self.prefix_token_id, self.max_length, context_len=1)
            for window in map(make_disjoint_window, rolled):
                windows.append((None, *window))
                owner.append(i)
        totals = [0.0] * len(requests)
        for i, (value, _) in zip(owner, self._loglikelihood_tokens(windows), strict=True):
            totals[i] += value
        for request, total in zip(requests, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", request.args, total)
        return totals


def read_gen_kwargs(gen_kwargs: Mapping[str, Any], eos: str) -> Sampling:
    """lm-eval's generation settings as our engine's. Raises `UsageError` for what it cannot do."""
    kwargs = dict(normalize_gen_kwargs(dict(gen_kwargs), MAX_GEN_TOKS))
    until = handle_stop_sequences(kwargs.pop("until"), eos=eos)
    longest, sampling = int(kwargs.pop("max_gen_toks")), bool(kwargs.pop("do_sample"))
    temperature = float(kwargs.pop("temperature", 0.0))
    if sampling and temperature == 0:
        raise UsageError("do_sample=true needs a temperature above 0: pass --gen_kwargs do_sample=true,temperature=1.0")
    for name, value in kwargs.items():
        if value not in (None, NEUTRAL.get(name)) and (sampling or name not in ONLY_WHEN_SAMPLING):
            how = "responses are drawn from the whole distribution, by temperature alone"
            raise UsageError(f"{name}={value} is not supported: {how}")
    return Sampling(longest, temperature if sampling else 0.0, stop=tuple(s for s in until if s))
