"""The door through which everything printed goes: stdout and stderr never fail.

A command's work must not be lost because nobody can be told of it. A terminal that is gone, a full disk, a reader that left (`| head`), a stream that
was closed from the start: what cannot be delivered is dropped, the work goes on, and the exit code tells of it in the end. Characters that the
terminal has no signs for are written as escapes.

It is the streams themselves that are exchanged, so that rich, click, warnings and a plugin's `print` all go through here.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import Any

READER_GONE = 141
"""As a shell shows a program that SIGPIPE ended."""


class Outlet(io.RawIOBase):
    """A file descriptor to which every write succeeds. lost: why something was not delivered, and nothing is any more."""

    def __init__(self, descriptor: int, lost: OSError | None = None):
        self.descriptor, self.lost = descriptor, lost

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
        return self.descriptor

    def isatty(self) -> bool:
        return self.lost is None and os.isatty(self.descriptor)

    def close(self) -> None:
        """It stays open, whoever closes it."""


class Display:
    """Both streams. kept: what a command says of its results in case that nobody could be told."""

    def __init__(self) -> None:
        while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # a file opened later must not become the one that is printed to
            pass
        os.close(descriptor)
        self.kept = ""
        self.outlets: dict[str, Outlet] = {}
        for number, name in ((1, "stdout"), (2, "stderr")):
            stream = getattr(sys, name)
            if stream is not None and stream is not getattr(sys, f"__{name}__"):
                continue  # whoever exchanged it before us, such as a test, knows what to do with it
            closed = OSError(errno.EBADF, "it is closed") if stream is None else None
            self.outlets[name] = Outlet(number, closed)
            if stream is not None:
                stream.flush()
            encoding = getattr(stream, "encoding", None) or "utf-8"
            setattr(sys, name, io.TextIOWrapper(self.outlets[name], encoding=encoding, errors="backslashreplace", write_through=True))

    def settled(self, code: int) -> int:
        """The exit code of a command that ended with `code`: a success that could not be shown is none."""
        lost = self.outlets["stdout"].lost if "stdout" in self.outlets else None
        if lost is None:
            return code
        gone = lost.errno == errno.EPIPE
        if self.kept or not gone:
            reason = "nobody reads it any more" if gone else lost.strerror
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
