"""What kept responses from being judged, in words; and the line beyond which an evaluation is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from herl_bench.errors import HerlBenchError
from herl_bench.evaluation.result_files import read_problems, read_summary
from herl_bench.evaluation.tally import Problem, describe_cut
from herl_bench.plain_text import flatten
from herl_bench.types import Environment

TOLD = 3  # kinds of problems that are told of


def describe_problems(problems: Mapping[str, Problem], responses: int, environment: Environment) -> list[str]:
    """The most frequent: which metric or criterion, whose function, what it said, and how often."""
    whose = {m.key: f"metric {m.key} ({name_function(m.score)})" for m in environment.metrics}
    whose |= {c.name: f"criterion {c.name} ({name_function(c.check)})" for c in environment.rubric.criteria}
    ranked = sorted(problems.items(), key=lambda pair: (-pair[1].responses, pair[0]))
    lines = []
    for kind, problem in ranked[:TOLD]:
        where, _, what = problem.example.partition(": ")
        if kind == where:
            what = f"{what} (and other messages)"
        lines.append(flatten(f"{whose.get(where, where)}: {what}, in {problem.responses} of {responses} responses"))
    if len(ranked) > TOLD:
        lines.append(f"and {len(ranked) - TOLD} more kinds of errors")
    return lines


def name_function(function: Any) -> str:
    plain = getattr(function, "func", function)
    return f"{getattr(plain, '__module__', '?')}.{getattr(plain, '__qualname__', type(plain).__name__)}"


def find_nothing_judged(summary: Mapping[str, Any], lines: Sequence[str], when: str = "") -> HerlBenchError | None:
    """The error to raise where every response has something undecided: a table of zeros is no result."""
    if not summary["responses"] or summary["error_rate"] < 1:
        return None
    why = f": {lines[0]}" if lines else ""
    return HerlBenchError(f"{when}none of the {summary['responses']} responses was given or could be judged{why}")


def check_evaluation(folder: Path, environment: Environment, when: str) -> list[str]:
    """What went wrong in an evaluation of a run, in words. Raises `HerlBenchError` where nothing could be judged."""
    summary = read_summary(folder)
    lines = describe_problems(read_problems(folder), summary["responses"], environment)
    if error := find_nothing_judged(summary, lines, when):
        raise error
    return [*lines, *([describe_cut(summary["shortened"], summary["responses"])] if summary["shortened"] else [])]
