"""herl-bench: does hindsight-guided RL (HeRL) beat PPO on your task, at equal budget, and why?

What a plugin author needs is importable from here.
"""

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
    "SandboxProvider",
    "Split",
    "Task",
    "Verdict",
    "World",
    "answer_text",
    "hookimpl",
    "judge",
    "load_rubric",
]
