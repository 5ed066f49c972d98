"""What a person is told at the end of a run: the table before → after, what was spent, what went wrong.

The table is made from the results files under `eval/`, not from anything kept in memory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from herl_bench.train.training_run import TrainingRun


def show_outcome(run: TrainingRun) -> None:
    """The table at the end: before → after with standard errors, what was spent, the criteria that moved, where it all
    lies."""
    from rich.table import Table

    from herl_bench.cli.output import open_console
    from herl_bench.cli.score_tables import LEGEND, of_items, shown
    from herl_bench.evaluate.problems import describe_problems
    from herl_bench.evaluate.result_files import read_problems, read_summary
    from herl_bench.evaluate.tally import RATES, list_warnings

    before, after = (read_summary(run.files.evaluation(label)) for label in ("before", "after"))
    console = open_console(width=None if sys.stdout.isatty() else 100)
    items = of_items(len(run.data.eval), run.data.available)
    title = f"{run.task.name} · {run.method.name} · seed {run.seed} · {items} items of {run.data.source}"
    table = Table(title=title, caption=LEGEND)
    for column in ("", "before", "after", "change"):
        table.add_column(column, justify="left" if not column else "right")
    for group, indent in (("metrics", ""), ("planted", "  on problems: "), ("criteria", "  ")):
        for name, now in after[group].items():
            was = before[group].get(name, {"value": None})
            table.add_row(indent + name, shown(was, 3), shown(now, 3), _change(was["value"], now["value"]))
    for name, (label, _) in RATES.items():
        table.add_row(
            f"  {label}", *("unknown" if s.get(name) is None else f"{s[name]:.1%}" for s in (before, after)), ""
        )
    if any(s.get("undecided") for s in (before, after)):
        table.add_row("  undecided", *(f"{s.get('undecided', 0)} of {s['responses']}" for s in (before, after)), "")
    if any(s.get("shared") for s in (before, after)):
        table.add_row("  shared", *(f"{s.get('shared', 0)} of {s['responses']}" for s in (before, after)), "")
    console.print(table)
    budget = run.budget
    say = click.echo
    say(
        f"Spent {budget.spent:,} of {budget.tokens:,} generated tokens on {budget.rollouts:,} responses;"
        f" {budget.reward_calls:,} reward calls, {budget.optimizer_steps:,} optimiser steps. Evaluation is greedy and"
        " not charged."
    )
    if not budget.rollouts:
        say(
            f"Warning: nothing was trained: a step of answers of up to {run.max_new_tokens} tokens does not fit into"
            f" {budget.tokens:,}: raise --budget, or lower --set max_new_tokens."
        )
    say_if_worse(run, before["metrics"], after["metrics"], say)
    for line in (
        *list_warnings(after),
        *describe_problems(read_problems(run.files.evaluation("after")), after["responses"], run.rubric, run.metrics),
    ):
        say(f"Warning: after training, {line}.")
    if run.settings.model == "tiny" and run.data.source != "synthetic":
        say(
            "The embedded policy knows synthetic problems only. On real benchmark items it gets next to nothing right, "
            "so this run exercises the code and says nothing about the method: pass --model with a real model for that."
        )
    say("One seed cannot tell methods apart: compare several.")
    say(f"Everything is in {run.directory}")


def say_if_worse(
    run: TrainingRun, before: Mapping[str, Any], after: Mapping[str, Any], say: Callable[[str], None]
) -> None:
    """By more than a standard error in the primary metric: what a rate too high for the model looks like."""
    name = next(iter(after))
    was, now = before.get(name, {}), after[name]
    if was.get("value") is None or now.get("value") is None:
        return
    if was["value"] - now["value"] > max(was.get("stderr") or 0.0, now.get("stderr") or 0.0):
        rate = getattr(run.config, "learning_rate", None)
        hint = f": a lower learning rate may keep it (--set learning_rate={rate / 10:g}, now {rate:g})" if rate else ""
        say(f"Warning: it ended below where it began, {name} {was['value']:.3f} → {now['value']:.3f}{hint}.")


def _change(before: float | None, after: float | None) -> str:
    return "" if before is None or after is None else f"{after - before:+.3f}"
