"""The sandbox's frozen data: what goes in (`Job`, `Stdio`, `Limits`), what comes out (`Verdict`, `Assertion`)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Literal, Union

from herl_bench.errors import UsageError

Status = Literal["pass", "fail", "error", "timeout", "memory", "crash", "protocol", "violation", "refused", "infra"]


@dataclass(frozen=True)
class Limits:
    """What one run of a program may use: all assertions of a job are one run, each stdio test is another.

    wall_s: seconds from sending the code to the last assertion, or the program's end. cpu_s: of processor time.
    memory_mb: address space. scratch_mb, inodes: its /tmp. threads: counts the main one. open_files: descriptors, its
        own three and the sandbox's one included. file_mb: its largest file, standard output among them.
    processes: 1 for a program that makes threads only. With more it may fork and run other programs; then threads and
        processes count together, at most `processes` at once; cpu_s and memory_mb are for each. None outlives the run.
    message_mb: the largest value that goes in or out in one piece.
    busy_s: at most so much is added to wall_s where the program had to wait for a processor, so that a verdict does not
        depend on what else the machine does; 0 for a strict wall clock.
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
        if self.processes > max(1, self.threads):
            raise UsageError(
                f"Limits(processes={self.processes}): threads={self.threads} counts processes too; raise it as far"
            )


@dataclass(frozen=True)
class Stdio:
    """A test of a whole program, run as a script: what it reads and what it must print. The program has to exit with
    status 0, and its standard output to equal `stdout` but for whitespace at the ends of lines and empty lines at the
    end. Nothing else is forgiven: no numbers that are nearly equal, no other order of lines."""

    stdin: str
    stdout: str


Tests = Union[str, Sequence[str], Sequence[Stdio], Mapping[str, Union[str, Sequence[str], Sequence[Stdio]]]]


@dataclass(frozen=True)
class Job:
    """One program to try.

    code: the whole program. entry: the function that the tests call, "" where there is none.
    tests: Python source (asserts that call the entry by name, or `def check(candidate): …`; set-up code may precede), a
        list of such lines, a list of `Stdio`, or several of these by group name; `docstring_examples` makes source of a
        docstring. A name that the tests read and that neither they nor the builtins define is looked up in the program:
        helpers that must not be the program's own belong into the set-up code.
    limits: None for the sandbox's own.
    """

    code: str
    entry: str
    tests: Tests
    limits: Limits | None = None


@dataclass(frozen=True)
class Assertion:
    """What became of an assert statement or stdio test (`index`-th of its group): passed only if its every run passed.
    One that was never reached did not pass, and `evidence` says why; except in a branch (`if`, `except`, …) of tests
    that ran to their end. After the assert statements come the other statements of the tests that raised, if any."""

    group: str
    index: int
    source: str
    passed: bool
    evidence: str


@dataclass(frozen=True)
class Verdict:
    """status: pass · fail (an assertion, or wrong output) · error (the program does not load, lacks its entry, or as a
        script ends with an exception or another exit status than 0) · timeout · memory · crash (its process was ended)
        · protocol (its process sent garbage) · violation (a forbidden system call killed it) · refused (the tests use
        what cannot work across two processes, or would pass by the program's own judgement where only "split" is
        accepted; `detail` says what: never a wrong answer, never a right one) · infra (our failure, in a second worker
        too; no program can cause it).
    loaded: the program's body ran to its end. defined: its entry can be called. (Scripts: every run ended by itself.)
    integrity: "split" where the tests' process alone compared; "shared" once an object of the program's was given a
        value by an operator or a comparison, or by any other question but a call of what the tests name, and answered
        no more than yes or no.
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
