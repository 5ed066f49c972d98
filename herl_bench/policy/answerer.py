"""What answers prompts: a local policy and a server look the same from here, so that judging, writing and resuming are
the same lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True)
class Answer:
    """One response.

    finish: `eos`, `stop` (a stop string; servers call both so) or `length` (cut off), or a server's own word; empty
    where unknown.
    tokens: how many were generated. dropped: prompt tokens that did not fit the model and were left out.
    error: why there is no response, in one line; then `text` is empty and says nothing about the model.
    """

    text: str
    finish: str = ""
    tokens: int = 0
    dropped: int = 0
    error: str = ""


class Answerer(Protocol):
    """chat: does it end its own turn? Then it is told the task's instruction, and gets no stop strings. batch_size:
    prompts at once."""

    name: str
    batch_size: int

    @property
    def chat(self) -> bool: ...

    @property
    def identity(self) -> Mapping[str, Any]:
        """What tells this model from others, as JSON."""

    def reads(self, prompt: str, instruction: str) -> str:
        """The text that the model is given of a prompt: its chat template applied, or, of a server's chat, the messages
        as JSON."""

    def answer(
        self,
        prompts: Sequence[str],
        *,
        instruction: str,
        stop: Sequence[str],
        temperature: float,
        max_new_tokens: int,
        seeds: Sequence[int],
    ) -> list[Answer]:
        """One answer per prompt, in order. `seeds`: one per prompt, below 2**31; the same call gives the same
        answers."""
