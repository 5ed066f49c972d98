"""How a score is shown, wherever one stands: with its uncertainty, over how many of the items it is, what was
undecided, and why.

A score comes as a mapping with the fields of `Score`, as results files hold it; those of older versions lack some.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from herl_bench.evaluate.tally import Problem, Summary


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
