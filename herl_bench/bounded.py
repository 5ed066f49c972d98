"""Forked processes that cannot run away: `run_bounded` makes something in one, within bounds of processor time and
memory, such as what a stranger's template can make endless; other forked processes of ours begin with the rest."""

from __future__ import annotations

import ctypes
import gc
import json
import math
import os
import resource
import select
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PAGE = os.sysconf("SC_PAGE_SIZE")
PR_SET_PDEATHSIG = 1
PATIENCE = 30
"""Seconds by the clock for each second of processor time: the machine may be busy."""


class TooMuch(Exception):
    """It took more than it may; the message says of what."""


class Failed(Exception):
    """It raised; the message says what."""


def run_bounded(make: Callable[[], Any], *, seconds: float, megabytes: int, most: int = 1 << 28) -> Any:
    """What `make()`, called in a forked process, gives as JSON of at most `most` bytes. seconds: of processor time.
    megabytes: beyond what this process holds. Raises `TooMuch`, or `Failed` with what `make` raised."""
    mine, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(mine)
        _work_and_exit(make, theirs, seconds, megabytes)
    os.close(theirs)
    try:
        data = _receive(mine, time.monotonic() + PATIENCE * max(1.0, seconds), most)
    finally:
        os.close(mine)
        os.kill(child, signal.SIGKILL)  # it has said all it has to say
        os.waitpid(child, 0)
    if not data.endswith(b"\n"):
        raise TooMuch(f"more than {seconds:g} s of processor time or {megabytes} MiB of memory")
    outcome = json.loads(data)
    if "error" in outcome:
        raise Failed(outcome["error"])
    return outcome["value"]


def _work_and_exit(make: Callable[[], Any], write: int, seconds: float, megabytes: int) -> None:
    try:
        gc.disable()  # a collection would touch, and so copy, the parent's memory
        die_with_parent()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGXCPU, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        held = int(Path("/proc/self/statm").read_text().split()[0]) * PAGE
        lower_limit(resource.RLIMIT_CPU, math.ceil(seconds))
        lower_limit(resource.RLIMIT_AS, held + (megabytes << 20))
        try:
            outcome = {"value": make()}
        except (MemoryError, RecursionError):
            raise
        except Exception as error:
            outcome = {"error": f"{type(error).__name__}: {error}"[:2000]}
        data = memoryview(json.dumps(outcome).encode() + b"\n")
        while data:
            data = data[os.write(write, data) :]
    finally:
        os._exit(0)


def lower_limit(kind: int, limit: int) -> None:
    """Set the soft limit of a `resource.RLIMIT_…`, under the hard one."""
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def die_with_parent() -> None:
    """Have the kernel kill this process when the thread that started it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _receive(pipe: int, deadline: float, most: int) -> bytes:
    data = bytearray()
    while len(data) <= most:
        ready, _, _ = select.select([pipe], [], [], max(0.0, deadline - time.monotonic()))
        if not ready or not (piece := os.read(pipe, 1 << 16)):
            return bytes(data)
        data += piece
    return b""
