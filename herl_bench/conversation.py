"""What a policy is asked: a text that it continues, or a conversation in which the next turn is its own.

A problem is a text. A revision is a text for a base model and a conversation for a model with a chat template.
Standard library only.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, Union


class Turn(NamedTuple):
    """What one side says; the policy is the assistant."""

    role: Literal["user", "assistant"]
    text: str


Conversation = tuple[Turn, ...]
Prompt = Union[str, Conversation]


def list_turns(prompt: Prompt) -> Conversation:
    """A text is what the user says."""
    return (Turn("user", prompt),) if isinstance(prompt, str) else prompt


def list_messages(prompt: Prompt, instruction: str = "") -> list[dict[str, Any]]:
    """As chat templates and servers read it; the instruction is the system turn."""
    system = [{"role": "system", "content": instruction}] if instruction else []
    return [*system, *({"role": role, "content": text} for role, text in list_turns(prompt))]


def put_before(prefix: str, prompt: Prompt) -> Prompt:
    """The prompt with `prefix` at its head: a conversation's first turn begins with it."""
    if isinstance(prompt, str):
        return prefix + prompt
    first, *others = prompt
    return (first._replace(text=prefix + first.text), *others)


def write_as_text(prompt: Prompt) -> str:
    """A conversation as one text: for files, and for chat templates that take no turn of the assistant's."""
    if isinstance(prompt, str):
        return prompt
    return "\n\n".join(text if role == "user" else f"You answered:\n\n{text}" for role, text in prompt)
