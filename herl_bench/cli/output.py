"""The door through which everything printed goes: stdout and stderr never fail.

A command's work must not be lost because nobody can be told of it. A terminal that is gone, a full disk, a reader that
left (`| head`), a stream that was closed from the start: what cannot be delivered is dropped, the work goes on, and the
exit code tells of it in the end. Characters that the terminal has no signs for are written as escapes.

It is the streams themselves that are exchanged, so that rich, click, warnings and a plugin's `print` all go through
here. Tables and JSON have a door of their own, which also keeps a stranger's words from posing as ours.
"""

from __future__ import annotations

import errno
import io
import json
import os
import re
import select
import sys
from typing import TYPE_CHECKING, Any

import click

from herl_bench.plain_text import escape_json, neutralize

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_RETURN = re.compile("(\r)")
_DRAWING = re.compile("(\r|\x1b\\[[0-9;?]*[A-HJKmhl])")  # what rich and progress bars move the cursor with
READER_GONE = 141  # as a shell shows a program that SIGPIPE ended


class Outlet(io.RawIOBase):
    """A file descriptor (-1: of a closed stream) to which every write succeeds. lost: why nothing is delivered now."""

    def __init__(self, descriptor: int):
        self.descriptor = descriptor
        self.lost: OSError | None = None

    def write(self, data: Any) -> int:
        left = memoryview(data).cast("B")
        while left and self.lost is None:
            try:
                left = left[os.write(self.descriptor, left) :]
            except BlockingIOError:  # a pipe that somebody made non-blocking is full
                select.select([], [self.descriptor], [], 1.0)
            except OSError as error:
                self.lost = error
        return len(data)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        if self.descriptor < 0:
            raise io.UnsupportedOperation("the stream is closed")
        return self.descriptor

    def isatty(self) -> bool:
        return self.lost is None and self.descriptor >= 0 and os.isatty(self.descriptor)

    def close(self) -> None:
        """It stays open, whoever closes it."""


class Stream(io.TextIOWrapper):
    """What is printed can colour and, on a terminal, draw; it cannot set a title, fill a clipboard or turn a line."""

    def write(self, text: str) -> int:
        if (harmless := neutralize(text)) != text:
            drawing = _DRAWING if self.isatty() or "FORCE_COLOR" in os.environ else _RETURN
            harmless = "".join(piece if i % 2 else neutralize(piece) for i, piece in enumerate(drawing.split(text)))
        super().write(harmless)
        return len(text)


class Display:
    """Both streams. kept: what a command says of its results in case that nobody could be told."""

    def __init__(self) -> None:
        # a file opened later must not become the one that is printed to
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
            pass
        os.close(descriptor)
        self.kept = ""
        self.outlets: dict[str, Outlet] = {}
        for number, name in ((1, "stdout"), (2, "stderr")):
            stream = getattr(sys, name)
            if stream is not None and stream is not getattr(sys, f"__{name}__"):
                continue  # whoever exchanged it before us, such as a test, knows what to do with it
            self.outlets[name] = Outlet(-1 if stream is None else number)
            encoding = getattr(stream, "encoding", None) or "utf-8"
            stream = Stream(self.outlets[name], encoding=encoding, errors="backslashreplace", write_through=True)  # type: ignore[arg-type]
            setattr(sys, name, stream)

    def settle(self, code: int) -> int:
        """The exit code of a command that ended with `code`: a success that could not be shown is none."""
        lost = self.outlets["stdout"].lost if "stdout" in self.outlets else None
        if lost is None:
            return code
        gone = lost.errno == errno.EPIPE
        if self.kept or not gone:
            known = {errno.EPIPE: "nobody reads it any more", errno.EBADF: "it is closed"}
            reason = known.get(lost.errno or 0, lost.strerror)
            print(f"herl-bench: stdout: {reason}" + (f"; {self.kept}" if self.kept else ""), file=sys.stderr)
        return code or (READER_GONE if gone else 1)


DISPLAY: Display | None = None


def open_display() -> Display:
    """Exchange the streams, once per process."""
    global DISPLAY
    DISPLAY = DISPLAY or Display()
    return DISPLAY


def keep(text: str) -> None:
    """What to say of the results if stdout is lost."""
    if DISPLAY is not None:
        DISPLAY.kept = text


# ------------------------------------------------------------------------------------------------------ tables and JSON
def say_json(value: Any) -> None:
    """On stdout, indented."""
    click.echo(escape_json(json.dumps(value, ensure_ascii=False, indent=2)))


def open_console(*, stderr: bool = False, width: int | None = None) -> Console:
    """rich's console, to which words are words: no control characters, no `[markup]`, no `:emoji:`."""
    from rich.console import Console

    class Door(Console):
        def render_str(self, text: str, **how: Any) -> Any:
            return super().render_str(neutralize(text), **{**how, "markup": False, "emoji": False, "highlight": False})

    return Door(stderr=stderr, width=width, markup=False, emoji=False, highlight=False, soft_wrap=False)


def show_table(console: Console, table: Table) -> None:
    """With rows and columns exchanged where it fits the screen only then: half a number is none."""
    from rich.table import Table

    def fits(shown: Table) -> bool:
        return console.measure(shown, options=console.options.update_width(10_000)).maximum <= console.width

    names, *rest = table.columns
    turned = Table(title=table.title, caption=table.caption)
    turned.add_column(names.header)
    for name in names.cells:
        turned.add_column(name, justify="right")
    for column in rest:
        turned.add_row(column.header, *column.cells)
    console.print(turned if fits(turned) and not fits(table) else table)
