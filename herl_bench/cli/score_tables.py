"""How a score is shown, wherever one stands: with its uncertainty, over how many items, and what was undecided.

A score comes as a mapping with the fields of `Score`, as results files hold it; those of older versions lack some.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from herl_bench.cli.options import Parsed
from herl_bench.cli.output import open_console

if TYPE_CHECKING:
    from rich.table import Table

    from herl_bench.experiment.evaluate import Evaluation


def parse_pass_at(text: str) -> tuple[int, ...]:
    given = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 7 and int(part) > 0 for part in given):
        raise ValueError(f"{text!r} is no list of whole numbers above 0, such as 5,20")
    return tuple(sorted(set(map(int, given))))


PASS_AT_HELP = "The k of pass@k, such as 5,20. Default: 10 and 100, where there are as many."
INTEGRITY_HELP = (
    "shared also takes verdicts that the program's own objects had a word in, and counts them; split refuses them."
)
pass_at_option = click.option("--pass_at", type=Parsed("k,…", parse_pass_at), help=PASS_AT_HELP)
think_option = click.option(
    "--think",
    type=click.Choice(["keep", "drop"]),
    help="Judge a response with or without its thoughts (<think>…</think>). Default: as it was judged, else drop.",
)
integrity_option = click.option("--integrity", type=click.Choice(["shared", "split"]), help=INTEGRITY_HELP)


def find_interval(score: Mapping[str, Any]) -> tuple[float, float] | None:
    """95 % (Wilson) for a mean of zeros and ones, else None: only then is the variance n p (1 - p) / (n - 1)."""
    from herl_bench.comparison.statistics import share_interval

    value, stderr, items = score.get("value"), score.get("stderr"), score.get("items") or 0
    if value is None or not 0 <= value <= 1 or not items or (items == 1 and value not in (0, 1)):
        return None
    if items > 1 and (stderr is None or abs(stderr - math.sqrt(value * (1 - value) / (items - 1))) > 1e-9):
        return None
    return share_interval(round(value * items), items)


def format_score(score: Mapping[str, Any], digits: int = 4) -> str:
    if score.get("value") is None:
        return "–"
    value, stderr, bounds = score["value"], score.get("stderr"), find_interval(score)
    if bounds is not None:
        return f"{value:.{digits}f} [{bounds[0]:.{digits}f}, {bounds[1]:.{digits}f}]"
    return f"{value:.{digits}f}" + (f" ± {stderr:.{digits}f}" if stderr is not None else "")


LEGEND = "[ ]: 95 % interval (Wilson) of what is right or wrong; ±: standard error"


def format_items(items: int, available: int | None) -> str:
    return str(items) if available is None or items >= available else f"{items} of {available}"


def format_doubts(score: Mapping[str, Any], of: int, shared: int = 0) -> str:
    """What must stand beside a score. of: all items. shared: responses that their own objects had a word in."""
    undecided = score.get("undecided") or 0
    return ", ".join([f"{undecided} of {of} undecided"] * bool(undecided) + [f"{shared} shared"] * bool(shared))


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """For `--format json`: the summary, every score with its `interval` where it has one."""
    whole = asdict(evaluation.summary)
    for group in ("metrics", "criteria", "families", "planted"):
        whole[group] = {name: {**score, "interval": find_interval(score)} for name, score in whole[group].items()}
    problems = {kind: asdict(problem) for kind, problem in evaluation.problems.items()}
    return {**whole, "available": evaluation.available, "problems": problems}


# --------------------------------------------------------------------------------------------------------------- tables
def make_score_table(title: str, *columns: str) -> Table:
    """A column for names, each of which may take several lines and is never cut, and these."""
    from rich.table import Table

    table = Table(title=title, caption=LEGEND)
    table.add_column("", overflow="fold")
    for column in columns:
        table.add_column(column, justify="right")
    return table


def show_evaluations(evaluations: Mapping[str, Evaluation]) -> None:
    """One table each, by its title: metrics and criteria with their uncertainty and items, then what went wrong."""
    from herl_bench.evaluation.tally import RATES

    console = open_console(width=None if sys.stdout.isatty() else 100)
    for title, evaluation in evaluations.items():
        summary = evaluation.summary
        table = make_score_table(title, "value", "items")
        counts = {name: format_items(score.items, evaluation.available) for name, score in summary.metrics.items()}
        rows = [(name, score, counts[name], summary.shared) for name, score in summary.metrics.items()]
        rows += [(f"  {name}", score, str(score.items), 0) for name, score in summary.criteria.items()]
        sections = [rows]
        for label, group in (("on problems: ", summary.planted), ("", summary.families)):
            if len(group) > 1:
                sections.append([(f"  {label}{name}", score, str(score.items), 0) for name, score in group.items()])
        for section in sections:
            for name, score, items, shared in section:
                doubts = format_doubts(asdict(score), summary.items, shared)
                # rich makes the fourth column where it is needed
                table.add_row(name, format_score(asdict(score)), items, *[doubts] * bool(doubts))
            table.add_section()
        for name, (label, _) in RATES.items():
            rate = getattr(summary, name)
            table.add_row(f"  {label}", "unknown" if rate is None else f"{rate:.1%}", str(summary.responses))
        if summary.shortened:
            table.add_row("  prompts cut to fit the model", str(summary.shortened), str(summary.responses))
        console.print(table)


def warn_of_rates(evaluations: Iterable[Evaluation], others: Mapping[str, Mapping[str, Any]] | None = None) -> None:
    """A line on stderr for every rate above 5 %, and what kept responses from being judged. Raises `HerlBenchError`
    where none could be. others: rates of lm-eval's tasks, by name."""
    from herl_bench.evaluation.tally import list_warnings

    found = list(evaluations)
    lines = [(evaluation.task, line) for evaluation in found for line in evaluation.warnings]
    lines += [(name, line) for name, rates in (others or {}).items() for line in list_warnings(rates)]
    for name, line in lines:
        click.echo(f"herl-bench: warning: {name}: {line}", err=True)
    for evaluation in found:
        evaluation.check()
