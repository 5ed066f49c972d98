"""Policies: load a model with its tokenizer, let it write, and train the tiny embedded ones from scratch.

Names are imported when they are first used, so that `import herl_bench.policy` knows nothing of torch.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from herl_bench.policy.generate import Completion, fit_prompts, generate
    from herl_bench.policy.load import Policy, load_policy
    from herl_bench.policy.warmstart import WarmstartConfig, warmstart

_HOME = {
    "Completion": "generate",
    "fit_prompts": "generate",
    "generate": "generate",
    "Policy": "load",
    "load_policy": "load",
    "WarmstartConfig": "warmstart",
    "warmstart": "warmstart",
}
__all__ = ["Completion", "Policy", "WarmstartConfig", "fit_prompts", "generate", "load_policy", "warmstart"]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


class _Package(ModuleType):
    """Two functions share their names with the modules they live in; here the names mean the functions.

    The import system binds every imported submodule to its name in the package, which would hide the function.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, getattr(value, name) if name in _HOME and isinstance(value, ModuleType) else value)


sys.modules[__name__].__class__ = _Package
