"""What a person sees of a sweep: one line per running cell, redrawn in place on a terminal; elsewhere a line as each
starts and ends.

All of it goes to stderr, so that stdout holds the comparison alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any

from herl_bench.sweep.sweep import Cell, Progress, tokens_spent


class PlainFace:
    """For logs and pipes."""

    def __init__(self, cells: Sequence[Cell]):
        self.total = len(cells)
        self.started = time.monotonic()
        self.told: set[tuple[str, str]] = set()

    def __enter__(self) -> PlainFace:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def show(self, now: Progress) -> None:
        if now.kept:
            self.once("", f"{len(now.kept)} of {self.total} runs are there already")
        for cell in now.running:
            self.once(label(cell), "started")
        for cell in now.done:
            self.once(label(cell), f"done ({len(now.kept) + len(now.done)} of {self.total})", key="done")
        for ended in now.failed:
            if not now.stopping:
                self.once(label(ended.cell), f"failed: {ended.reason}", key="failed")

    def once(self, who: str, what: str, key: str = "") -> None:
        if (who, key or what) not in self.told:
            self.told.add((who, key or what))
            seconds = int(time.monotonic() - self.started)
            print(
                f"[{seconds // 60:3}:{seconds % 60:02}] {who}{': ' if who else ''}{what}", file=sys.stderr, flush=True
            )


class LiveFace(PlainFace):
    """A bar for each running cell, and one for them all."""

    def __init__(self, cells: Sequence[Cell]):
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

        super().__init__(cells)
        self.bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
        )
        self.rows: dict[Cell, Any] = {}
        self.budget = sum(cell.budget for cell in cells)
        self.all = self.bars.add_task("all", total=self.budget, note="")

    def __enter__(self) -> LiveFace:
        self.bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.bars.stop()

    def show(self, now: Progress) -> None:
        spent = sum(cell.budget for cell in (*now.kept, *now.done))
        for cell in list(self.rows):
            if cell not in now.running:
                self.bars.remove_task(self.rows.pop(cell))
        for cell in now.running:
            if cell not in self.rows:
                self.rows[cell] = self.bars.add_task(f"  {label(cell)}", total=cell.budget, note="")
            tokens = tokens_spent(cell.directory)
            spent += min(tokens, cell.budget)
            self.bars.update(
                self.rows[cell], completed=tokens, note=f"{tokens:,}/{cell.budget:,} tokens" if tokens else "starting"
            )
        note = f"{len(now.kept) + len(now.done)} of {self.total} runs done, {len(now.running)} running"
        if now.failed:
            note += f", {len(now.failed)} failed"
        self.bars.update(self.all, completed=spent, note=note + (", stopping" if now.stopping else ""))


def label(cell: Cell) -> str:
    return f"{cell.task} {cell.arm} seed {cell.seed}"


def open_face(cells: Sequence[Cell]) -> PlainFace:
    return LiveFace(cells) if sys.stderr.isatty() else PlainFace(cells)
