"""What a person sees while a run goes on: a live display in a terminal or notebook, plain lines elsewhere, or nothing.

Displays are told of each step, each response of an evaluation, and of lines to say in between.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from html import escape
from typing import TYPE_CHECKING, Any

from herl_bench.plain_text import neutralize

if TYPE_CHECKING:
    from herl_bench.sweep.cells import Cell
    from herl_bench.sweep.pools import SweepState
    from herl_bench.training.training_run import TrainingRun

log = logging.getLogger("herl_bench")
PAUSE = 30.0
"""Seconds between two lines that say how far the same thing has come."""


class RunProgress(AbstractContextManager["RunProgress"]):
    """Shows nothing."""

    def __init__(self, run: TrainingRun, on_finish: Callable[[TrainingRun], None] = lambda run: None):
        self.run, self.on_finish = run, on_finish
        self.first_step: tuple[float, int] | None = None  # when it began, and what was spent by then

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
        """Called as each step ends."""
        if self.first_step is None:
            seconds = sum((row.get("seconds") or {}).values())
            tokens = sum(len(rollout.ids) for rollout in rollouts) if seconds else 0
            self.first_step = time.monotonic() - seconds, row["tokens"] - tokens
        self.show_step(row)

    def show_step(self, row: dict[str, Any]) -> None:
        pass

    def on_eval(self, label: str, done: int, total: int) -> None:
        """Called as an evaluation begins, and with each response that is finished."""

    def time_left(self, tokens: int) -> str:
        """As minutes:seconds, at the speed since the first step began. tokens: spent by now."""
        began, before = self.first_step or (0.0, tokens)
        if tokens <= before:
            return "?"
        seconds = max(0, int((self.run.budget.tokens - tokens) * (time.monotonic() - began) / (tokens - before)))
        return f"{seconds // 60}:{seconds % 60:02d}"


class PlainProgress(RunProgress):
    """One line per step, and now and then one in an evaluation, for logs and pipes."""

    def __init__(self, run: TrainingRun, on_finish: Callable[[TrainingRun], None] = lambda run: None):
        super().__init__(run, on_finish)
        self.count = Count(self.say)

    def say(self, text: str) -> None:
        print(text, flush=True)

    def warn(self, text: str) -> None:
        self.say(f"Warning: {text}")

    def show_step(self, row: dict[str, Any]) -> None:
        self.say(self.describe_step(row))

    def on_eval(self, label: str, done: int, total: int) -> None:
        self.count.tell(f"evaluation {label}: {done} of {total}", done, total)

    def describe_step(self, row: dict[str, Any]) -> str:
        parts = [f"step {row['step']}", f"tokens {row['tokens']:,}/{self.run.budget.tokens:,}"]
        parts += [f"{name} {row[name]:.3f}" for name in ("reward", "metric") if row.get(name) is not None]
        if row.get("revisions"):
            parts.append(f"revised {row['revisions']} (improved {row['revision_improved_rate'] or 0:.0%})")
        if row.get("kl") is not None:
            parts.append(f"kl {row['kl']:.4f}")
        if row.get("tokens_per_s") is not None:
            parts.append(f"{row['tokens_per_s']:,.0f} tok/s")
        parts.append(f"ETA {self.time_left(row['tokens'])}")
        return "  ".join(parts)


class Count:
    """Says in a line how far something has come: at its beginning, and then at most every `PAUSE` seconds."""

    def __init__(self, say: Callable[[str], None]):
        self.say, self.said = say, 0.0

    def tell(self, text: str, done: int, total: int) -> None:
        now = time.monotonic()
        if done == 0 or (done < total and now - self.said >= PAUSE):
            self.said = now
            self.say(text)


class LiveProgress(PlainProgress):
    """A budget bar, the newest numbers, and each criterion's pass rate, redrawn in place."""

    def __init__(self, run: TrainingRun, on_finish: Callable[[TrainingRun], None] = lambda run: None):
        super().__init__(run, on_finish)
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn

        self.console = Console()
        columns = TextColumn("{task.description:<10}"), BarColumn(bar_width=None), TextColumn("{task.fields[note]}")
        self.bar = Progress(*columns, console=self.console, expand=True)
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
        note = f"{label} {done}/{total}"
        self.bar.update(self.evaluation, total=total, completed=done, visible=done < total, note=note)

    def show_step(self, row: dict[str, Any]) -> None:
        from rich.console import Group
        from rich.table import Table

        spent = f"{row['tokens']:,}/{self.run.budget.tokens:,} tokens"
        speed = f"{row.get('tokens_per_s') or 0:,.0f} tok/s  ETA {self.time_left(row['tokens'])}"
        self.bar.update(self.budget, completed=row["tokens"], note=f"{spent}  {speed}")
        names = ("reward", "metric", "kl", "revision_improved_rate")
        numbers = Table.grid(padding=(0, 2))
        known = [f"{name} {row[name]:.3f}" for name in names if row.get(name) is not None]
        numbers.add_row(f"step {row['step']}", *known)
        self.first_rates = row.get("criteria", {}) if self.first_rates is None else self.first_rates
        criteria = Table.grid(padding=(0, 1))
        for name, rate in row.get("criteria", {}).items():
            if rate is not None:
                width = round(20 * rate)
                moved = _describe_move(self.first_rates.get(name), rate)
                criteria.add_row(name, "█" * width + "░" * (20 - width), f"{rate:.2f}", moved)
        self.live.update(Group(self.bar, numbers, criteria))


class NotebookProgress(PlainProgress):
    """What was said, a bar, and the newest step in a line, redrawn in place in the output of a cell."""

    def __enter__(self) -> NotebookProgress:
        self.said: list[str] = []
        self.draw = open_cell()
        return self

    def say(self, text: str) -> None:
        self.said.append(text)
        self._draw("")

    def on_eval(self, label: str, done: int, total: int) -> None:
        self._draw(f"evaluation {label}: {done} of {total}")

    def show_step(self, row: dict[str, Any]) -> None:
        self._draw(self.describe_step(row))

    def _draw(self, line: str) -> None:
        self.draw("\n".join([*self.said, line]), self.run.budget.spent, self.run.budget.tokens)


def open_cell() -> Callable[[str, int, int], None]:
    """A place in the output of a notebook's cell; gives a function that draws lines and a bar there."""
    from IPython.display import display

    place = display({"text/html": ""}, raw=True, display_id=True)

    def draw(text: str, done: int, total: int) -> None:
        lines = escape(neutralize(text)).replace("\n", "<br>")
        page = f'<div>{lines}<br><progress value="{done}" max="{total}"></progress></div>'
        place.update({"text/html": page}, raw=True)

    return draw


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
    if wanted is not False and in_notebook():
        return NotebookProgress(run, on_finish)
    if wanted is not False and is_drawable():
        return LiveProgress(run, on_finish)
    return (PlainProgress if wanted else RunProgress)(run, on_finish)


def announce(text: str, wanted: Any = None) -> None:
    """A line before there is a run to show. wanted: as of `open_run_progress`, or what opens a display of its own."""
    if wanted or (wanted is None and (in_notebook() or is_drawable())):
        print(text, flush=True)


@contextmanager
def open_bar(label: str, total: int, wanted: bool | None = None) -> Iterator[Callable[[int], None]]:
    """A bar on stderr; gives a function that moves it on. wanted: None for one in a terminal or notebook alone, True
    for lines elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    done = 0

    def advance(more: int) -> None:
        nonlocal done
        done += more
        tell(f"{label}: {done} of {total}", done, total)

    if wanted is not False and in_notebook():
        tell = open_cell()
        yield advance
    elif wanted and not sys.stderr.isatty():
        tell = Count(lambda line: print(line, file=sys.stderr, flush=True)).tell
        yield advance
    else:
        shown = wanted is not False and sys.stderr.isatty()
        with Progress(console=Console(stderr=True), transient=True, disable=not shown) as bar:
            task = bar.add_task(label, total=total)
            yield lambda more: bar.advance(task, more)


# -------------------------------------------------------------------------------------------------------------- a sweep
class SweepProgress(AbstractContextManager["SweepProgress"]):
    """Shows nothing. What the others show goes to stderr, for stdout is the comparison's alone."""

    def __init__(self, cells: Sequence[Cell]):
        self.cells = cells

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, state: SweepState) -> None:
        pass


class PlainSweepProgress(SweepProgress):
    """A line as each cell starts and ends, for logs and pipes."""

    def __init__(self, cells: Sequence[Cell]):
        super().__init__(cells)
        self.started = time.monotonic()
        self.shown: set[tuple[str, str]] = set()

    def show(self, state: SweepState) -> None:
        if state.kept:
            self.say_once("", f"{len(state.kept)} of {len(self.cells)} runs are there already")
        for cell in state.running:
            self.say_once(f"{cell.name}: ", "started")
        ended = len(state.kept) + len(state.done)
        for cell in state.done:
            self.say_once(f"{cell.name}: ", f"done ({ended} of {len(self.cells)})", key="done")
        for end in () if state.stopping else state.failed:
            self.say_once(f"{end.cell.name}: ", f"failed: {end.reason}", key="failed")

    def say_once(self, who: str, what: str, key: str = "") -> None:
        if (who, key or what) not in self.shown:
            self.shown.add((who, key or what))
            minutes, seconds = divmod(int(time.monotonic() - self.started), 60)
            print(f"[{minutes:3}:{seconds:02}] {who}{what}", file=sys.stderr, flush=True)


class LiveSweepProgress(SweepProgress):
    """A bar for each running cell, and one for them all, redrawn in place."""

    def __init__(self, cells: Sequence[Cell]):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        super().__init__(cells)
        note = TextColumn("{task.fields[note]}")
        columns = TextColumn("{task.description}"), BarColumn(), note, TimeElapsedColumn()
        self.bars = Progress(*columns, console=Console(stderr=True))
        self.rows: dict[Cell, Any] = {}
        self.all = self.bars.add_task("all", total=sum(cell.budget for cell in cells), note="")

    def __enter__(self) -> LiveSweepProgress:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def show(self, state: SweepState) -> None:
        from herl_bench.sweep.cells import count_tokens

        spent = sum(cell.budget for cell in (*state.kept, *state.done))
        for cell in [cell for cell in self.rows if cell not in state.running]:
            self.bars.remove_task(self.rows.pop(cell))
        for cell in state.running:
            if cell not in self.rows:
                self.rows[cell] = self.bars.add_task(f"  {cell.name}", total=cell.budget, note="")
            tokens = count_tokens(cell)
            spent += min(tokens, cell.budget)
            note = f"{tokens:,}/{cell.budget:,} tokens" if tokens else "starting"
            self.bars.update(self.rows[cell], completed=tokens, note=note)
        note = f"{len(state.kept) + len(state.done)} of {len(self.cells)} runs done, {len(state.running)} running"
        note += f", {len(state.failed)} failed" if state.failed else ""
        self.bars.update(self.all, completed=spent, note=note + (", stopping" if state.stopping else ""))


def open_sweep_progress(cells: Sequence[Cell], wanted: bool | None = None) -> SweepProgress:
    """wanted: as for a run."""
    if wanted is False:
        return SweepProgress(cells)
    if sys.stderr.isatty() or in_notebook():
        return LiveSweepProgress(cells)
    return PlainSweepProgress(cells) if wanted else SweepProgress(cells)
