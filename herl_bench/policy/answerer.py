"""What answers prompts: a local policy and a server look alike, so that judging, writing and resuming are one code."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from herl_bench.conversation import Prompt


@dataclass(frozen=True)
class Answer:
    """One response.

    finish: `eos`, `stop` (a stop string; servers call both so) or `length` (cut off), or a server's own word; empty
    where unknown. tokens: how many were generated. dropped: prompt tokens that did not fit the model and were left out.
    error: why there is no response, in one line; then `text` is empty and says nothing about the model.
    """

    text: str
    finish: str = ""
    tokens: int = 0
    dropped: int = 0
    error: str = ""


@dataclass(frozen=True)
class ResolvedSampling:
    """How one model is asked on one task, as results files say it. prefix: stands before every prompt. seed,
    max_new_tokens: None where nothing was sampled, or nobody knows how."""

    max_new_tokens: int | None = None
    temperature: float = 0.0
    n: int = 1
    seed: int | None = None
    stop: Sequence[str] = ()
    instruction: str = ""
    num_fewshot: int = 0
    prefix: str = ""
    chat_template: str | None = None
    chat_template_kwargs: Mapping[str, Any] | None = None


def cut_at_stop(text: str, stop: Sequence[str]) -> str:
    """The text before whatever stop string comes first."""
    return text[: min((at for at in map(text.find, stop) if at >= 0), default=len(text))]


def ignore_count(more: int) -> None:
    """For whoever does not ask how far it has come."""


class Answerer(Protocol):
    """chat: does it end its own turn? It is told the task's instruction, and no stop strings. batch_size: prompts."""

    name: str
    batch_size: int

    @property
    def chat(self) -> bool: ...

    @property
    def identity(self) -> Mapping[str, Any]:
        """What tells this model from others, as JSON."""

    def reads(self, prompt: Prompt, instruction: str) -> str:
        """What the model is given of a prompt: by its chat template, or, of a server's chat, messages as JSON."""

    def answer(
        self,
        prompts: Sequence[Prompt],
        seeds: Sequence[int],
        sampling: ResolvedSampling,
        on_answers: Callable[[int], None] = ignore_count,
    ) -> list[Answer]:
        """One per prompt, in order. seeds: one per prompt, below 2**31. The same call gives the same answers.
        on_answers: told how many more are finished, as soon as they are."""
