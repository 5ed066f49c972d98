"""herl-bench: does hindsight-guided RL (HeRL) beat PPO on your task, at equal budget, and why?

What a plugin author needs is importable from here; so is what runs an experiment: `train`, `evaluate`, `score`,
`compare` and `load_run`, whose modules are imported only when one of them is first used.
"""

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

from herl_bench.answers import answer_text
from herl_bench.hookspecs import hookimpl
from herl_bench.rubric import judge, load_rubric
from herl_bench.types import (
    Check,
    Criterion,
    Demonstration,
    Example,
    Finding,
    HindsightTemplate,
    Method,
    Metric,
    Rubric,
    SandboxProvider,
    Split,
    Task,
    Verdict,
    World,
)

if TYPE_CHECKING:
    from herl_bench.experiment.comparison import compare
    from herl_bench.experiment.evaluation import evaluate
    from herl_bench.experiment.scoring import score
    from herl_bench.experiment.training import train
    from herl_bench.runs import Run, load_run

__version__ = "0.1.0"

__all__ = [
    "Check",
    "Criterion",
    "Demonstration",
    "Example",
    "Finding",
    "HindsightTemplate",
    "Method",
    "Metric",
    "Rubric",
    "Run",
    "SandboxProvider",
    "Split",
    "Task",
    "Verdict",
    "World",
    "answer_text",
    "compare",
    "evaluate",
    "hookimpl",
    "judge",
    "load_rubric",
    "load_run",
    "score",
    "train",
]

_CALLS = {
    "Run": "runs",
    "compare": "experiment.comparison",
    "evaluate": "experiment.evaluation",
    "load_run": "runs",
    "score": "experiment.scoring",
    "train": "experiment.training",
}
"""What is imported at its first use, because that costs an import of torch or so, and where it lives."""


class _Face(ModuleType):
    """`train`, `evaluate` and `compare` are calls here, and subpackages have these names too. Importing a subpackage
    sets it on this package; it must not take the call's place."""

    def __getattr__(self, name: str) -> Any:
        if name not in _CALLS:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        found = getattr(importlib.import_module(f"{__name__}.{_CALLS[name]}"), name)
        setattr(self, name, found)
        return found

    def __dir__(self) -> list[str]:
        return sorted({*__all__, "errors", *(name for name in vars(self) if name.startswith("__"))})

    def __setattr__(self, name: str, value: Any) -> None:
        if not (name in _CALLS and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Face
