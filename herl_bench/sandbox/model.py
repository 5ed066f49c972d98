"""The sandbox's vocabulary: what goes in (`Job`, `Limits`) and what comes out (`Verdict`, `Assertion`). Frozen data, standard library only."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal

from herl_bench.errors import UsageError

Status = Literal["pass", "fail", "error", "timeout", "memory", "crash", "protocol", "violation", "infra"]


@dataclass(frozen=True)
class Limits:
    """What one job may use.

    wall_s: seconds for the whole job, from sending the code to the last assertion. cpu_s: seconds of processor time of the program.
    memory_mb: its address space. scratch_mb, inodes: its /tmp. threads: counts the main one. file_mb: its largest file.
    processes: 1; programs make threads, no processes. message_mb: the largest value that goes in or out in one piece.
    busy_s: at most so much is added to wall_s where the program had to wait for a processor, so that a verdict does not depend on what
        else the machine does; 0 for a strict wall clock.
    """

    wall_s: float = 5.0
    cpu_s: float = 4.0
    memory_mb: int = 512
    scratch_mb: int = 16
    inodes: int = 1000
    threads: int = 32
    open_files: int = 64
    file_mb: int = 16
    processes: int = 1
    message_mb: int = 8
    busy_s: float = 20.0

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise UsageError(f"Limits({item.name}={value!r}): a number is needed")
            if value < 0 or (value == 0 and item.name != "busy_s"):
                raise UsageError(f"Limits({item.name}={value!r}): a number above 0 is needed")
            if item.type == "int" and not isinstance(value, int):
                raise UsageError(f"Limits({item.name}={value!r}): a whole number is needed")
        if self.processes != 1:
            raise UsageError(f"Limits(processes={self.processes}): programs make threads, no processes; write processes=1")


@dataclass(frozen=True)
class Job:
    """One program to try.

    code: the whole program. entry: the function that the tests call, "" where there is none.
    tests: group name -> Python source: asserts that call the entry by name, or `def check(candidate): …`; set-up code may precede. A name
        that the tests read and that neither they, nor the builtins define is looked up in the program: helpers that must not be
        the program's own belong into the set-up code.
    limits: None for the sandbox's own.
    """

    code: str
    entry: str
    tests: Mapping[str, str]
    limits: Limits | None = None


@dataclass(frozen=True)
class Assertion:
    """What became of one assert statement (`index`-th of its group): passed only if every run of it passed.

    One that was never reached did not pass, and `evidence` says why; except in a branch (`if`, `except`, …) of tests that ran to their end.
    After the assert statements come the other statements of the tests that raised, if any.
    """

    group: str
    index: int
    source: str
    passed: bool
    evidence: str


@dataclass(frozen=True)
class Verdict:
    """
    status: pass · fail (an assertion) · error (the program does not load or lacks its entry) · timeout · memory · crash (its process
        ended) · protocol (its process sent garbage) · violation (a forbidden system call killed it) · infra (our fault: never a wrong answer).
    loaded: the program's body ran to its end. defined: its entry exists and can be called.
    integrity: "split" where the tests' process alone compared; "shared" where two of the program's own objects had to be compared by it.
    cpu_s, peak_mb: of the program's process. wall_s: of the whole job. stdout: with stderr, at most 64 KiB.
    """

    status: Status
    loaded: bool = False
    defined: bool = False
    results: tuple[Assertion, ...] = ()
    tests_passed: int = 0
    tests_total: int = 0
    integrity: Literal["split", "shared"] = "split"
    tier: str = "namespaces"
    cpu_s: float = 0.0
    wall_s: float = 0.0
    peak_mb: float = 0.0
    stdout: str = ""
    detail: str = ""
