"""A causal language model with its tokenizer: text to token ids and back, and which ids end a response.

The one thing that is a stranger's program here is a tokenizer's chat template: it is rendered within bounds. Left out:
loading (`load.py`) and writing (`generation.py`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from herl_bench.answers import is_thought_tag
from herl_bench.bounded import Failed, TooMuch, run_bounded
from herl_bench.conversation import Prompt, list_messages, list_turns, put_before, write_as_text
from herl_bench.errors import UsageError
from herl_bench.plain_text import flatten
from herl_bench.policy.capacity import CACHE_BYTES

if TYPE_CHECKING:
    import torch

CHAT_SECONDS, CHAT_MEGABYTES = 10.0, 1024  # what rendering one batch of conversations may take
PROBE = "It is 42."


@dataclass
class LanguageModel:
    """A transformers model and its tokenizer. `name` is for tables and messages. chat_template_kwargs: variables that
    the chat template reads, such as Qwen3's `enable_thinking`."""

    model: Any
    tokenizer: Any
    name: str
    chat_template_kwargs: Mapping[str, Any] = field(default_factory=dict, kw_only=True)
    # What is worked out once per tokenizer, such as the text of every token; not part of what a model is.
    cache: dict[str, Any] = field(default_factory=dict, init=False, repr=False, compare=False)
    # What the keys and values of a batch may take; see `capacity.choose_cache_bytes`.
    cache_bytes: int = field(default=CACHE_BYTES, init=False, repr=False, compare=False)

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    @property
    def pad_id(self) -> int:
        return int(self.tokenizer.pad_token_id)

    @property
    def eos_ids(self) -> frozenset[int]:
        """Every token that ends a response: the tokenizer's EOS, and the generation config's, often several."""
        return frozenset(self.list_ends())

    def list_ends(self) -> list[int]:
        """The same in the generation config's order."""
        listed = self.model.generation_config.eos_token_id if self.model.generation_config else None
        several = listed if isinstance(listed, list) else [listed]
        return list(dict.fromkeys(int(i) for i in [*several, self.tokenizer.eos_token_id] if i is not None))

    def find_turn_end(self) -> int | None:
        """The special token that the chat template puts behind an answer, such as `<|im_end|>` or `<|eot_id|>`; None
        where it puts none. A generation config may not list it."""
        turns = [{"role": "user", "content": "What is it?"}, {"role": "assistant", "content": PROBE}]
        try:
            text = self.render_bounded(lambda: self._render(turns, add_generation_prompt=False))
        except UsageError:  # a template for questions alone
            return None
        behind = str(text).rpartition(PROBE)[2].lstrip()
        first = self.tokenizer(behind, add_special_tokens=False)["input_ids"][:1]
        return next((i for i in first if i in self.special_ids), None)

    @property
    def special_ids(self) -> frozenset[int]:
        added = self.tokenizer.added_tokens_decoder.items()
        return frozenset([*self.tokenizer.all_special_ids, *(i for i, token in added if token.special)])

    @property
    def max_length(self) -> int | None:
        """Prompt and response tokens together; None where the architecture sets no limit."""
        limit = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        return int(limit) if limit else None

    @property
    def chat(self) -> bool:
        return bool(self.tokenizer.chat_template)

    def encode(self, prompts: Sequence[Prompt], instruction: str = "") -> list[list[int]]:
        """Token ids of each prompt, ready to be continued.

        With a chat template: a conversation of `instruction` (as the system turn, or at the head of the user turn where
        the template has no system role) and the prompt's turns, up to where the assistant begins. A template that takes
        no turn of the assistant's gets them as one turn of the user's. What a turn says is text: a draft that spells a
        special token ends no turn. Without a chat template: BOS, if the tokenizer has it, and the plain text.
        """
        if not prompts:
            return []
        if self.chat:
            texts = self.render_bounded(lambda: [self._as_chat(prompt, instruction) for prompt in prompts])
            return [self._tokenize_chat(text) for text in texts]
        texts, bos = list(map(write_as_text, prompts)), self.tokenizer.bos_token_id
        rows: list[list[int]] = self.tokenizer(texts, add_special_tokens=False)["input_ids"]
        return rows if bos is None else [[bos, *row] for row in rows]

    def decode(self, ids: Sequence[int]) -> str:
        """Without special tokens; those that thoughts stand between are kept, by which an answer is told from them."""
        if "dropped" not in self.cache:
            names = self.tokenizer.added_tokens_decoder
            tags = frozenset(i for i in self.special_ids if i in names and is_thought_tag(str(names[i])))
            self.cache["dropped"] = self.special_ids - tags if tags else None
        dropped = self.cache["dropped"]
        kept = list(ids) if dropped is None else [i for i in ids if i not in dropped]
        how = {"skip_special_tokens": dropped is None, "clean_up_tokenization_spaces": False}
        return str(self.tokenizer.decode(kept, **how))

    def reads(self, prompt: Prompt, instruction: str) -> str:
        """The text of `encode`, without the BOS that it puts before a plain prompt."""
        return _spell(self._as_chat(prompt, instruction), self._spellings) if self.chat else write_as_text(prompt)

    def render_bounded(self, render: Callable[[], Any]) -> Any:
        """What `render` gives, which runs the chat template, within time and memory. Raises `UsageError`."""
        try:
            return run_bounded(render, seconds=CHAT_SECONDS, megabytes=CHAT_MEGABYTES)
        except TooMuch as error:
            raise UsageError(f"model {self.name}: its chat template takes {error}") from None
        except Failed as error:
            reason = flatten(str(error))[:300]
            remedy = "correct it, or delete it to have the model asked as a base model"
            raise UsageError(f"model {self.name}: its chat template cannot be used: {reason}: {remedy}") from None

    @property
    def _spellings(self) -> list[str]:
        """Of the special tokens, the longest first, so that none is taken for the beginning of another."""
        added = self.tokenizer.added_tokens_decoder.values()
        return sorted({token.content for token in added if token.special and token.content}, key=lambda t: (-len(t), t))

    def _tokenize_chat(self, text: str) -> list[int]:
        """Of `_as_chat`: the template's special tokens are tokens, those that a turn spells are characters."""
        spellings, ids = self._spellings, []
        for nth, piece in enumerate(_STANDING_IN.split(text)):
            given = {"add_special_tokens": False, "split_special_tokens": nth % 2 == 1}
            ids += self.tokenizer(_spell(piece, spellings), **given)["input_ids"] if piece else []
        return ids

    def _as_chat(self, prompt: Prompt, instruction: str) -> str:
        """A special token that a turn spells is one character that stands in for it; see `_spell`."""
        from jinja2 import TemplateError

        spellings = self._spellings
        turns = tuple(turn._replace(text=_stand_in(turn.text, spellings)) for turn in list_turns(prompt))
        if len(turns) > 1:
            try:
                text = self._with_instruction(turns, instruction)
                if _has_in_order(text, [_last_line(turn.text) for turn in turns]):
                    return text
            except TemplateError:  # "only user turns"
                pass
        return self._with_instruction(write_as_text(turns), instruction)

    def _with_instruction(self, prompt: Prompt, instruction: str) -> str:
        from jinja2 import TemplateError

        if instruction:
            try:
                text = self._render(list_messages(prompt, instruction))
                if instruction.strip() in text:  # some templates drop a system turn without a word
                    return text
            except TemplateError:  # "System role not supported"
                pass
            prompt = put_before(f"{instruction}\n\n", prompt)
        return self._render(list_messages(prompt))

    def _render(self, turns: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        how = {**self.chat_template_kwargs, "tokenize": False, "add_generation_prompt": add_generation_prompt}
        return str(self.tokenizer.apply_chat_template(turns, **how))


_FIRST_STAND_IN = 0xF0000  # of a private plane, whose characters mean nothing
_STANDING_IN = re.compile("([\U000f0000-\U000ffffd]+)")


def _stand_in(text: str, spellings: Sequence[str]) -> str:
    for nth, spelling in enumerate(spellings):
        text = text.replace(spelling, chr(_FIRST_STAND_IN + nth))
    return text


def _spell(text: str, spellings: Sequence[str]) -> str:
    for nth, spelling in enumerate(spellings):
        text = text.replace(chr(_FIRST_STAND_IN + nth), spelling)
    return text


def _has_in_order(text: str, parts: Sequence[str]) -> bool:
    """Some templates drop turns, or put them together in another order."""
    at = 0
    for part in parts:
        if (found := text.find(part, at)) < 0:
            return False
        at = found + len(part)
    return True


def _last_line(text: str) -> str:
    """Templates cut blanks off, and some a thought at the beginning."""
    return text.strip().rpartition("\n")[2].strip()
