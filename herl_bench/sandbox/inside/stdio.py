"""Whole programs, run as scripts: input in, output out, one process per test. The tester's side.

The input and the output are anonymous files that the tester makes: the program gets them as its descriptors 0 and 1,
and the tester reads the output from its own once the program has ended, so the program's word is asked for nothing but
why it failed. Leaves out: interactive programs, and standard error, which is only kept for people to read.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

SHOWN = 120


@contextlib.contextmanager
def open_files(stdin: str) -> Iterator[tuple[int, int]]:
    """Descriptors of a file that holds the input and of an empty one for the output."""
    source, sink = os.memfd_create("stdin"), os.memfd_create("stdout")
    try:
        with open(source, "wb", closefd=False) as file:
            file.write(stdin.encode("utf-8", "surrogatepass"))
        os.lseek(source, 0, os.SEEK_SET)
        yield source, sink
    finally:
        os.close(source)
        os.close(sink)


def read_output(descriptor: int) -> bytes:
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0)


def split_lines(output: bytes) -> list[bytes]:
    """Without whitespace at the ends of lines and empty lines at the end."""
    found = [line.rstrip() for line in output.split(b"\n")]
    while found and not found[-1]:
        found.pop()
    return found


def find_difference(expected: bytes, got: bytes) -> str:
    """Empty where the output is as expected, else the first line that differs: `expected '4', got '5'`."""
    want, have = split_lines(expected), split_lines(got)
    for number in range(max(len(want), len(have))):
        pair = [shorten(side[number]) if number < len(side) else "nothing" for side in (want, have)]
        if want[number : number + 1] != have[number : number + 1]:
            where = f"line {number + 1}: " if len(want) > 1 or len(have) > 1 else ""
            return f"{where}expected {pair[0]}, got {pair[1]}"
    return ""


def shorten(line: bytes) -> str:
    text = repr(line.decode("utf-8", "replace"))
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def name_case(stdin: str) -> str:
    return f"stdin {shorten(stdin.encode('utf-8', 'surrogatepass'))}"
