"""herl-bench: does hindsight-guided RL (HeRL) beat PPO on your task, at equal budget, and why?

What a plugin author needs is importable from here; so is what runs an experiment: `train`, `evaluate`, `score`,
`compare`, `probe` and `load_run`, whose modules are imported only when one of them is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from herl_bench.answers import answer_text
from herl_bench.hookspecs import hookimpl
from herl_bench.rubric import judge, load_rubric
from herl_bench.types import (
    ChatTurns,
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
    from herl_bench.experiment.compare import compare
    from herl_bench.experiment.evaluate import evaluate
    from herl_bench.experiment.probe import probe
    from herl_bench.experiment.score import score
    from herl_bench.experiment.train import train
    from herl_bench.runs import Run, load_run

__version__ = "0.1.0"

__all__ = [
    "ChatTurns",
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
    "probe",
    "score",
    "train",
]

_CALLS = {
    "Run": "runs",
    "compare": "experiment.compare",
    "evaluate": "experiment.evaluate",
    "load_run": "runs",
    "probe": "experiment.probe",
    "score": "experiment.score",
    "train": "experiment.train",
}
"""What is imported at its first use, because that costs an import of torch or so, and where it lives."""


def __getattr__(name: str) -> Any:
    if name not in _CALLS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(importlib.import_module(f"{__name__}.{_CALLS[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, "errors", *(name for name in globals() if name.startswith("__"))})
