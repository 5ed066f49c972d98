"""What a person sees of a run: a live display in a terminal, plain lines elsewhere, and a table at the end.

The table is made from the results files under `eval/`, not from anything kept in memory.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from herl_bench.train.training_run import TrainingRun


class PlainFace:
    """One line per step, for logs and pipes."""

    def __init__(self, run: TrainingRun):
        self.run = run
        self.started = time.monotonic()
        self.first_tokens = run.budget.spent

    def __enter__(self) -> PlainFace:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def say(self, text: str) -> None:
        click.echo(text)

    def on_step(self, row: dict[str, Any], rollouts: Sequence[Any]) -> None:
        self.say(self.line(row))

    def on_eval(self, label: str, done: int, total: int) -> None:
        pass

    def line(self, row: dict[str, Any]) -> str:
        parts = [f"step {row['step']}", f"tokens {row['tokens']:,}/{self.run.budget.tokens:,}"]
        parts += [f"{name} {row[name]:.3f}" for name in ("reward", "metric") if row.get(name) is not None]
        if row.get("revisions"):
            parts.append(f"revised {row['revisions']} (improved {row['revision_improved_rate'] or 0:.0%})")
        if row.get("kl") is not None:
            parts.append(f"kl {row['kl']:.4f}")
        parts += [f"{row['tokens_per_s']:,.0f} tok/s", f"ETA {self.eta(row['tokens'])}"]
        return "  ".join(parts)

    def eta(self, tokens: int) -> str:
        spent = tokens - self.first_tokens
        if spent <= 0:
            return "?"
        seconds = int((self.run.budget.tokens - tokens) * (time.monotonic() - self.started) / spent)
        return f"{max(0, seconds) // 60}:{max(0, seconds) % 60:02d}"


class LiveFace(PlainFace):
    """A budget bar, the newest numbers, and each criterion's pass rate, redrawn in place."""

    def __init__(self, run: TrainingRun):
        super().__init__(run)
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn

        self.console = Console()
        self.bar = Progress(
            TextColumn("{task.description:<10}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[note]}"),
            console=self.console,
            expand=True,
        )
        self.budget = self.bar.add_task("budget", total=run.budget.tokens, completed=run.budget.spent, note="")
        self.evaluation = self.bar.add_task("evaluation", total=1, visible=False, note="")
        self.rows: list[dict[str, Any]] = []
        self.live = Live(self.bar, console=self.console, refresh_per_second=4)

    def __enter__(self) -> LiveFace:
        self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.live.stop()

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)

    def on_eval(self, label: str, done: int, total: int) -> None:
        self.bar.update(
            self.evaluation, total=total, completed=done, visible=done < total, note=f"{label} {done}/{total}"
        )

    def on_step(self, row: dict[str, Any], rollouts: Sequence[Any]) -> None:
        from rich.console import Group
        from rich.table import Table

        self.rows.append(row)
        note = (
            f"{row['tokens']:,}/{self.run.budget.tokens:,} tokens  {row['tokens_per_s']:,.0f} tok/s  ETA"
            f" {self.eta(row['tokens'])}"
        )
        self.bar.update(self.budget, completed=row["tokens"], note=note)
        numbers = Table.grid(padding=(0, 2))
        numbers.add_row(
            f"step {row['step']}",
            *(
                f"{name} {row[name]:.3f}"
                for name in ("reward", "metric", "kl", "revision_improved_rate")
                if row.get(name) is not None
            ),
        )
        criteria = Table.grid(padding=(0, 1))
        first = self.rows[0]["criteria"]
        for name, rate in row["criteria"].items():
            if rate is not None:
                width = round(20 * rate)
                criteria.add_row(name, "█" * width + "░" * (20 - width), f"{rate:.2f}", _moved(first.get(name), rate))
        self.live.update(Group(self.bar, numbers, criteria))


def _moved(before: float | None, now: float) -> str:
    return "" if before is None or abs(now - before) < 0.005 else f"{now - before:+.2f}"


def open_face(run: TrainingRun) -> PlainFace:
    drawable = sys.stdout.isatty() and sys.stdout.encoding.lower().startswith("utf")  # bars are not in ASCII
    return LiveFace(run) if drawable else PlainFace(run)


def show_outcome(run: TrainingRun) -> None:
    """The table at the end: before → after with standard errors, what was spent, the criteria that moved, where it all
    lies."""
    from rich.table import Table

    from herl_bench.cli.output import open_console
    from herl_bench.cli.score_tables import LEGEND, of_items, shown, told
    from herl_bench.evaluate.result_files import read_problems, read_summary
    from herl_bench.evaluate.tally import RATES, list_warnings

    before, after = read_summary(run.directory / "eval" / "before"), read_summary(run.directory / "eval" / "after")
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
        *told(read_problems(run.directory / "eval" / "after"), after["responses"], run.rubric, run.metrics),
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
