"""Done before the first fork: what every candidate does. The interpreter then has its caches filled and its bytecode
specialised, for which each candidate would otherwise write to, and so copy, pages of its own."""

from __future__ import annotations

import os
import socket

from . import frames
from .candidate import Server

REHEARSAL = """
from typing import Any, Dict, List, Optional, Tuple
import math

def entry(numbers: List[int], text: str = "abc") -> Tuple[Any, ...]:
    \"\"\"What a program of a benchmark looks like.\"\"\"
    seen: Dict[str, int] = {}
    result, total, i = [], 0, 0
    for index, value in enumerate(numbers):
        if value % 2 == 0 and index > 0 or not value:
            result.append(value ** 2)
        elif value != len(text):
            total += value
    for char in text.lower().split(" "):
        seen[char] = seen.get(char, 0) + 1
    while i < len(result):
        i += 1
    ordered = tuple(sorted([x + 1 for x in result], key=lambda x: -x))
    return ordered, total, "".join(reversed(text)), seen, max(total, i), [text[:1], True]

class Failure(Exception):
    def __init__(self, words):
        self.words = words

def fails(x):
    raise ValueError(f"{x} is wrong")
"""
REHEARSALS = 48  # the interpreter specialises a function's code in several steps, some of them after many calls
MESSAGE_LIMIT = 1 << 20


def rehearse() -> None:
    ours, theirs = socket.socketpair()
    for _ in range(REHEARSALS):
        server = Server(theirs)
        server.limit, server.owner = MESSAGE_LIMIT, os.getpid()
        server.load(REHEARSAL, ["entry", "fails", "missing"])
        frames.receive(ours, MESSAGE_LIMIT)
        for function, argument in ((0, [1, 2, 3, 4]), (1, {"t": ["a", 2.5, None]}), (1, {"d": [["key", {"s": [1]}]]})):
            frames.send(ours, ["do", "call", [{"r": function}, argument], {}])
            server.answer(server.receive())
            frames.receive(ours, MESSAGE_LIMIT)
    ours.close()
    theirs.close()
