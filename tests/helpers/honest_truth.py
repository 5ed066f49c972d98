"""Runs programs and their tests as one namespace, by plain `exec`, and says which came to their end: what a sandbox has
to agree with.

Reads [[program, tests], …] as JSON from standard input, writes ["" or what was raised, …]. In a process of its own:
programs change a process.
"""

from __future__ import annotations

import contextlib
import io
import json
import signal
import sys
import types

SECONDS = 3.0
CPU_SECONDS = 0.5  # of a program without end; a busy machine makes none of the others that slow


def stop(*_: object) -> None:
    raise TimeoutError("too long")


def ends(program: str, tests: str) -> str:
    module = sys.modules["program"] = types.ModuleType("program")
    limit, hooks = sys.getrecursionlimit(), (sys.stdin, sys.stdout)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    signal.setitimer(signal.ITIMER_PROF, CPU_SECONDS)
    try:
        exec(compile(program, "<program>", "exec", dont_inherit=True), module.__dict__)
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(tests, "<tests>", "exec", dont_inherit=True), module.__dict__)
    except BaseException as error:
        return f"{type(error).__name__}: {error!s:.100}"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.setrecursionlimit(limit)
        sys.stdin, sys.stdout = hooks
    return ""


if __name__ == "__main__":
    for number in (signal.SIGALRM, signal.SIGPROF):
        signal.signal(number, stop)
    answers = [ends(program, tests) for program, tests in json.load(sys.stdin)]
    json.dump(answers, sys.stdout)
