"""The budget: what a method may spend, in generated tokens, and what it did spend."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from herl_bench.errors import UsageError

_UNITS = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}


def parse_tokens(text: str, name: str = "--budget") -> int:
    """`200k`, `1.5M` or `20000`. name: what was given it. Raises `UsageError` for what is no positive number."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?|\.\d+)([kKmMbB]?)", text.strip().replace("_", "").replace(",", ""))
    amount = float(match[1]) * _UNITS[match[2].lower()] if match else 0.0
    tokens = round(amount) if math.isfinite(amount) else 0
    if tokens < 1:
        raise UsageError(f"{name} {text}: write a positive number of generated tokens, such as 200k or 1.5M")
    return tokens


@dataclass
class Budget:
    """tokens: the limit. spent: every generated token, drafts and revisions alike, but no evaluation's, same for all.
    forward_tokens, trained_tokens: tokens, prompts included, that any of the models (policy, starting policy, critics)
    read without a gradient, and with one; what the estimate of floating-point operations is made of."""

    tokens: int
    spent: int = 0
    rollouts: int = 0
    reward_calls: int = 0
    optimizer_steps: int = 0
    forward_tokens: int = 0
    trained_tokens: int = 0

    def charge(self, tokens: int, rollouts: int) -> None:
        self.spent += tokens
        self.rollouts += rollouts

    @property
    def left(self) -> int:
        return max(0, self.tokens - self.spent)

    def affordable(self, rollouts: int, longest: int) -> int:
        """How many of `rollouts` the rest pays for, at the mean length so far, or at `longest` tokens at first."""
        each = self.spent / self.rollouts if self.rollouts else longest
        return min(rollouts, int(self.left / max(1.0, each)))

    def state_dict(self) -> dict[str, int]:
        return asdict(self)

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """The limit stays as it is, so that a run can be resumed with a larger one."""
        vars(self).update({name: state[name] for name in vars(self) if name != "tokens"})
