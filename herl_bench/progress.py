"""What a person sees while a run goes on: a live display in a terminal or notebook, plain lines elsewhere, or nothing.

Displays are told of each step, each batch that an evaluation is through with, and of lines to say in between.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from herl_bench.train.training_run import TrainingRun


log = logging.getLogger("herl_bench")


class RunProgress:
    """Shows nothing."""

    def __init__(self, run: TrainingRun, on_finish: Callable[[TrainingRun], None] = lambda run: None):
        self.run = run
        self.on_finish = on_finish
        self.started = time.monotonic()
        self.first_tokens = run.budget.spent

    def __enter__(self) -> RunProgress:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def finish(self) -> None:
        """Called once the run has ended as it should; not where it was stopped."""
        self.on_finish(self.run)

    def say(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        log.warning("warning: %s", text)

    def on_step(self, row: dict[str, Any], rollouts: Sequence[Any]) -> None:
        pass

    def on_eval(self, label: str, done: int, total: int) -> None:
        pass

    def time_left(self, tokens: int) -> str:
        """As minutes:seconds, at the speed so far. tokens: spent by now."""
        spent = tokens - self.first_tokens
        if spent <= 0:
            return "?"
        seconds = max(0, int((self.run.budget.tokens - tokens) * (time.monotonic() - self.started) / spent))
        return f"{seconds // 60}:{seconds % 60:02d}"


class PlainProgress(RunProgress):
    """One line per step, for logs and pipes."""

    def say(self, text: str) -> None:
        print(text, flush=True)

    def warn(self, text: str) -> None:
        self.say(f"Warning: {text}")

    def on_step(self, row: dict[str, Any], rollouts: Sequence[Any]) -> None:
        self.say(self.describe_step(row))

    def describe_step(self, row: dict[str, Any]) -> str:
        parts = [f"step {row['step']}", f"tokens {row['tokens']:,}/{self.run.budget.tokens:,}"]
        parts += [f"{name} {row[name]:.3f}" for name in ("reward", "metric") if row.get(name) is not None]
        if row.get("revisions"):
            parts.append(f"revised {row['revisions']} (improved {row['revision_improved_rate'] or 0:.0%})")
        if row.get("kl") is not None:
            parts.append(f"kl {row['kl']:.4f}")
        parts += [f"{row['tokens_per_s']:,.0f} tok/s", f"ETA {self.time_left(row['tokens'])}"]
        return "  ".join(parts)


class LiveProgress(PlainProgress):
    """A budget bar, the newest numbers, and each criterion's pass rate, redrawn in place."""

    def __init__(self, run: TrainingRun, on_finish: Callable[[TrainingRun], None] = lambda run: None):
        super().__init__(run, on_finish)
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
        self.first_rates: dict[str, float | None] | None = None
        self.live = Live(self.bar, console=self.console, refresh_per_second=4)

    def __enter__(self) -> LiveProgress:
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

        spent = f"{row['tokens']:,}/{self.run.budget.tokens:,} tokens"
        speed = f"{row['tokens_per_s']:,.0f} tok/s  ETA {self.time_left(row['tokens'])}"
        self.bar.update(self.budget, completed=row["tokens"], note=f"{spent}  {speed}")
        names = ("reward", "metric", "kl", "revision_improved_rate")
        numbers = Table.grid(padding=(0, 2))
        numbers.add_row(
            f"step {row['step']}", *(f"{name} {row[name]:.3f}" for name in names if row.get(name) is not None)
        )
        self.first_rates = row["criteria"] if self.first_rates is None else self.first_rates
        criteria = Table.grid(padding=(0, 1))
        for name, rate in row["criteria"].items():
            if rate is not None:
                width = round(20 * rate)
                moved = _describe_move(self.first_rates.get(name), rate)
                criteria.add_row(name, "█" * width + "░" * (20 - width), f"{rate:.2f}", moved)
        self.live.update(Group(self.bar, numbers, criteria))


def _describe_move(before: float | None, now: float) -> str:
    return "" if before is None or abs(now - before) < 0.005 else f"{now - before:+.2f}"


def in_notebook() -> bool:
    """Is this a Jupyter kernel, whose output cells can be drawn in?"""
    shell = sys.modules.get("IPython")
    running = shell.get_ipython() if shell is not None else None
    return running is not None and hasattr(running, "kernel")


def is_drawable() -> bool:
    """Is stdout a terminal that has signs for bars? ASCII has none."""
    return sys.stdout.isatty() and sys.stdout.encoding.lower().startswith("utf")


def open_run_progress(
    run: TrainingRun, wanted: bool | None = None, on_finish: Callable[[TrainingRun], None] = lambda run: None
) -> RunProgress:
    """wanted: None for a display where one can be drawn, True for plain lines elsewhere, False for none.

    on_finish: called once the run has ended as it should; not where it was stopped.
    """
    if wanted is not False and (is_drawable() or in_notebook()):
        return LiveProgress(run, on_finish)
    return (PlainProgress if wanted else RunProgress)(run, on_finish)


@contextmanager
def open_bar(label: str, total: int, wanted: bool | None = None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr; gives a function that moves it on. wanted: None for one where it can be drawn, in a terminal or
    notebook."""
    from rich.console import Console
    from rich.progress import Progress

    shown = sys.stderr.isatty() or in_notebook() if wanted is None else wanted
    with Progress(console=Console(stderr=True), transient=True, disable=not shown) as bar:
        task = bar.add_task(label, total=total)
        yield lambda more: bar.advance(task, more)
