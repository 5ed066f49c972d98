"""What a person is told at the end of a run: the table before → after, what was spent, what went wrong.

The table is made from the results files under `eval/`, not from anything kept in memory.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from herl_bench.training.training_run import TrainingRun


def show_outcome(run: TrainingRun) -> None:
    """The table, what was spent, what may be wrong with it, and where it all lies."""
    from herl_bench.evaluation.result_files import read_summary

    before, after = (read_summary(run.files.evaluation(label)) for label in ("before", "after"))
    _show_table(run, before, after)
    budget = run.budget
    spent = f"{budget.spent:,} of {budget.tokens:,} generated tokens on {budget.rollouts:,} responses"
    work = f"{budget.reward_calls:,} reward calls, {budget.optimizer_steps:,} optimiser steps"
    click.echo(f"Spent {spent}; {work}. Evaluation is greedy and not charged.")
    for warning in _list_warnings(run, before, after):
        click.echo(warning)
    click.echo("One seed cannot tell methods apart: compare several.")
    click.echo(f"Everything is in {run.directory}")


def _show_table(run: TrainingRun, before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Before → after with standard errors, and the criteria that moved."""
    from herl_bench.cli.output import open_console
    from herl_bench.cli.score_tables import format_items, format_score, make_score_table
    from herl_bench.evaluation.tally import RATES

    items = format_items(len(run.data.eval), run.data.available)
    title = f"{run.task.name} · {run.method.name} · seed {run.seed} · {items} items of {run.data.source}"
    table = make_score_table(title, "before", "after", "change")
    for group, indent in (("metrics", ""), ("planted", "  on problems: "), ("criteria", "  ")):
        for name, now in after[group].items():
            was = before[group].get(name, {"value": None})
            change = _change(was["value"], now["value"])
            table.add_row(indent + name, format_score(was, 3), format_score(now, 3), change)
    for name, (label, _) in RATES.items():
        rates = (summary.get(name) for summary in (before, after))
        table.add_row(f"  {label}", *("unknown" if rate is None else f"{rate:.1%}" for rate in rates), "")
    for name in ("undecided", "shared"):
        if any(summary.get(name) for summary in (before, after)):
            counts = (f"{summary.get(name, 0)} of {summary['responses']}" for summary in (before, after))
            table.add_row(f"  {name}", *counts, "")
    open_console(width=None if sys.stdout.isatty() else 100).print(table)


def _list_warnings(run: TrainingRun, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    from herl_bench.evaluation.problems import describe_problems
    from herl_bench.evaluation.result_files import read_problems
    from herl_bench.evaluation.tally import list_warnings

    if not run.budget.rollouts:
        # Whose steps have a size, and so did not fit; what a plugin's method does not sample for, it alone knows.
        why = f"method {run.method.name} sampled no responses"
        if hasattr(run.config, "rollouts_per_step"):
            why = f"a step of answers of up to {run.max_new_tokens} tokens does not fit into {run.budget.tokens:,}"
            why += ": raise --budget, or lower --set max_new_tokens"
        yield f"Warning: nothing was trained: {why}."
    yield from warn_if_worse(run, before["metrics"], after["metrics"])
    problems = read_problems(run.files.evaluation("after"))
    for line in (*list_warnings(after), *describe_problems(problems, after["responses"], run.environment)):
        yield f"Warning: after training, {line}."
    if run.settings.model == "tiny" and run.data.source != "synthetic":
        yield (
            "The embedded policy knows synthetic problems only. On real benchmark items it gets next to nothing right, "
            "so this run exercises the code and says nothing about the method: pass --model with a real model for that."
        )


def warn_if_worse(run: TrainingRun, before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[str]:
    """By more than a standard error in the primary metric: what a rate too high for the model looks like."""
    name = next(iter(after))
    was, now = before.get(name, {}), after[name]
    if was.get("value") is None or now.get("value") is None:
        return
    if was["value"] - now["value"] > max(was.get("stderr") or 0.0, now.get("stderr") or 0.0):
        rate = getattr(run.config, "learning_rate", None)
        hint = f": a lower learning rate may keep it (--set learning_rate={rate / 10:g}, now {rate:g})" if rate else ""
        yield f"Warning: it ended below where it began, {name} {was['value']:.3f} → {now['value']:.3f}{hint}."


def _change(before: float | None, after: float | None) -> str:
    return "" if before is None or after is None else f"{after - before:+.3f}"
