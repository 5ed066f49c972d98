"""How a score is shown, wherever one stands: with its uncertainty, over how many of the items it is, what was
undecided, and why.

A score comes as a mapping with the fields of `Score`, as results files hold it; those of older versions lack some.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from herl_bench.errors import HerlBenchError
from herl_bench.types import Metric, Rubric

if TYPE_CHECKING:
    from herl_bench.evaluate import Problem, Summary

SHOWN = 3
"""Kinds of errors that are told of."""


class PassAt(click.ParamType):
    name = "k,…"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        given = [part.strip() for part in str(value).split(",")]
        if not all(part.isascii() and part.isdigit() and len(part) < 7 and int(part) > 0 for part in given):
            self.fail(f"{value!r} is no list of whole numbers above 0, such as 5,20", param, ctx)
        return tuple(sorted(set(map(int, given))))


pass_at_option = click.option(
    "--pass_at", type=PassAt(), help="The k of pass@k, such as 5,20. Default: 10 and 100, where there are as many."
)
integrity_option = click.option(
    "--integrity",
    type=click.Choice(["shared", "split"]),
    help=(
        "shared also takes verdicts that the program's own objects had a word in, and counts them; split refuses them."
    ),
)


def interval(score: Mapping[str, Any]) -> tuple[float, float] | None:
    """95 % (Wilson) for a mean of zeros and ones, else None. Mean and standard error tell: only then is the variance n
    p (1 - p) / (n - 1)."""
    from herl_bench.compare.statistics import share_interval

    value, stderr, items = score.get("value"), score.get("stderr"), score.get("items") or 0
    if value is None or not 0 <= value <= 1 or not items or (items == 1 and value not in (0, 1)):
        return None
    if items > 1 and (stderr is None or abs(stderr - math.sqrt(value * (1 - value) / (items - 1))) > 1e-9):
        return None
    return share_interval(round(value * items), items)


def shown(score: Mapping[str, Any], digits: int = 4) -> str:
    if score.get("value") is None:
        return "–"
    value, stderr, bounds = score["value"], score.get("stderr"), interval(score)
    if bounds is not None:
        return f"{value:.{digits}f} [{bounds[0]:.{digits}f}, {bounds[1]:.{digits}f}]"
    return f"{value:.{digits}f}" + (f" ± {stderr:.{digits}f}" if stderr is not None else "")


LEGEND = "[ ]: 95 % interval (Wilson) of what is right or wrong; ±: standard error"


def of_items(items: int, available: int | None) -> str:
    return str(items) if available is None or items >= available else f"{items} of {available}"


def beside(score: Mapping[str, Any], of: int, shared: int = 0) -> str:
    """What must stand beside a score. of: all items. shared: responses that their own objects had a word in."""
    undecided = score.get("undecided") or 0
    return ", ".join([f"{undecided} of {of} undecided"] * bool(undecided) + [f"{shared} shared"] * bool(shared))


def as_json(summary: Summary, available: int | None, problems: Mapping[str, Problem]) -> dict[str, Any]:
    """A summary for `--format json`: every score with its `interval` where it has one."""
    whole = asdict(summary)
    for group in ("metrics", "criteria", "families", "planted"):
        whole[group] = {name: {**score, "interval": interval(score)} for name, score in whole[group].items()}
    return {**whole, "available": available, "problems": {kind: asdict(problem) for kind, problem in problems.items()}}


# ------------------------------------------------------------------------------------------------------ what went wrong
def told(problems: Mapping[str, Any], responses: int, rubric: Rubric, metrics: Sequence[Metric]) -> list[str]:
    """The most frequent errors: which metric or criterion, whose function, what it said, and how often. problems:
    `Problem`s as mappings."""
    from herl_bench.plain_text import flatten

    whose = {m.key: f"metric {m.key} ({_named(m.score)})" for m in metrics}
    whose |= {c.name: f"criterion {c.name} ({_named(c.check)})" for c in rubric.criteria}
    ranked = sorted(problems.items(), key=lambda pair: (-pair[1]["responses"], pair[0]))
    lines = []
    for kind, problem in ranked[:SHOWN]:
        where, _, what = problem["example"].partition(": ")
        if kind == where:
            what = f"{what} (and other messages)"
        lines.append(flatten(f"{whose.get(where, where)}: {what}, in {problem['responses']} of {responses} responses"))
    if len(ranked) > SHOWN:
        lines.append(f"and {len(ranked) - SHOWN} more kinds of errors")
    return lines


def _named(function: Any) -> str:
    plain = getattr(function, "func", function)
    return f"{getattr(plain, '__module__', '?')}.{getattr(plain, '__qualname__', type(plain).__name__)}"


def nothing_judged(summary: Mapping[str, Any], lines: Sequence[str], when: str = "") -> HerlBenchError | None:
    """The error to raise where every response has something undecided: a table of zeros is no result."""
    if not summary["responses"] or summary["error_rate"] < 1:
        return None
    why = f": {lines[0]}" if lines else ""
    return HerlBenchError(f"{when}none of the {summary['responses']} responses was given or could be judged{why}")


def check_evaluation(folder: Path, rubric: Rubric, metrics: Sequence[Metric], when: str) -> list[str]:
    """What went wrong in an evaluation of a run, in words. Raises `HerlBenchError` where nothing could be judged."""
    from herl_bench.evaluate import read_problems, read_summary

    summary = read_summary(folder)
    lines = told(read_problems(folder), summary["responses"], rubric, metrics)
    if error := nothing_judged(summary, lines, when):
        raise error
    return lines
