"""The tester: holds the tests, calls the program, writes the verdict. The one process inside whose word counts.

Covers: one job after another; the job's wall clock; a candidate forked ahead, so that its set-up overlaps the job
before; how a program's process ended. Leaves out: what tests see and prove (`report.py`); dataset test code is trusted
not to attack the tester on purpose, and a worker is replaced after a number of jobs all the same.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import random
import signal
import socket
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

from . import frames, kernel, stdio
from .channel import Stop
from .program import Program
from .protocol import OUTPUT_CAP
from .recorder import EVIDENCE_CAP, catch
from .report import OWN_SEED, Report
from .rewrite import prepare
from .spawner import DESCRIPTOR, NUMBER, SECONDS, USED

MEGABYTE = 1 << 20
HOST_MESSAGE = 64 * MEGABYTE
SPAWNER_MESSAGE = 1 << 12
AGAIN_S = 0.25  # the alarm repeats, in case a test swallowed it
SLACK_S = 0.005  # of a timer
STUB = "def nothing(*args, **kwargs): raise NotImplementedError\nglobals().update(dict.fromkeys({names!r}, nothing))\n"
"""A program that does nothing, for the same tests."""

prepare_once = functools.lru_cache(maxsize=256)(prepare)


class Candidate(NamedTuple):
    """A process of the spawner's, by its number there."""

    number: int
    program: Program
    limits: dict[str, Any]


class Usage(NamedTuple):
    """How a candidate's process ended, and what it had used."""

    status: int
    peak_kb: int
    cpu_s: float


class Tester:
    """spare: the candidate forked ahead. heard: the one that may be asked now."""

    def __init__(self, host: socket.socket, control: socket.socket):
        self.host = host
        self.control = control
        self.schedule = os.open("/proc/self/schedstat", os.O_RDONLY) if os.path.exists("/proc/self/schedstat") else -1
        self.spawned = 0
        self.spare: Candidate | None = None
        self.heard: Candidate | None = None
        self.began = self.waited_before = 0.0
        self.armed = False

    def serve(self) -> None:
        signal.signal(signal.SIGALRM, self.on_alarm)
        random.seed = self.seed
        while True:
            job = frames.receive(self.host, HOST_MESSAGE)
            frames.send(self.host, self.run(job))

    def seed(self, a: Any = None, version: int = 2) -> None:
        """`random.seed` for the tests: the program draws from a generator of its own, and they mean that one too."""
        OWN_SEED(a, version)
        if self.heard is not None and type(a) in (int, float, str, bytes, bytearray):
            self.heard.program.request("seed", (a, version))

    # ---- time
    def arm(self, seconds: float) -> None:
        self.began = time.monotonic()
        self.waited_before = self.read_waited()
        self.armed = True
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def disarm(self) -> None:
        self.armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    def on_alarm(self, number: int, frame: FrameType | None) -> None:
        """Time is up, unless the machine was busy elsewhere: what a program gets must not depend on its neighbours."""
        if not self.armed or self.heard is None:
            return
        program, limits = self.heard.program, self.heard.limits
        starved = self.read_waited() - self.waited_before
        starved += SECONDS.unpack(self.ask_spawner(b"w", self.heard.number))[0]
        left = self.began + limits["wall_s"] + min(starved, limits["busy_s"]) - time.monotonic()
        if left > SLACK_S and program.dead is None:
            signal.setitimer(signal.ITIMER_REAL, left)
            return
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        if program.waiting:
            program.stop("refused", "a thread of the tests waits until another one's call of the program is over")
        program.stop("timeout", f"no verdict within {limits['wall_s']:g} s")

    def read_waited(self) -> float:
        """Seconds that this process was ready to run and got no processor; 0 where the kernel does not count them."""
        try:
            return int(os.pread(self.schedule, 100, 0).split()[1]) / 1e9
        except OSError:
            return 0.0

    # ---- candidates
    def spawn(self, limits: dict[str, Any], files: tuple[int, ...] = ()) -> Candidate:
        """files: what a script gets as its descriptors 0 and 1."""
        ours, theirs = socket.socketpair()
        sent = b"".join(DESCRIPTOR.pack(descriptor) for descriptor in (theirs.fileno(), *files))
        self.control.sendmsg([b"s" + json.dumps(limits).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, sent)])
        theirs.close()
        self.spawned += 1
        return Candidate(self.spawned - 1, Program(ours, limits["message_mb"] * MEGABYTE), limits)

    def ask_spawner(self, request: bytes, number: int) -> bytes:
        self.control.send(NUMBER.pack(request, number))
        answer = self.control.recv(SPAWNER_MESSAGE)
        if not answer:
            os._exit(1)  # no spawner, no worker: the host makes a new one and tries the job again
        return answer

    def take_spare(self, limits: dict[str, Any]) -> Candidate:
        """The candidate's process that was forked ahead, where its limits fit; else a new one."""
        spare, self.spare = self.spare, None
        if spare is not None and spare.limits != limits:
            self.end(spare)
            spare = None
        return spare or self.spawn(limits)

    def greet(self, candidate: Candidate) -> dict[str, Any] | None:
        """None where the candidate is confined and ready for its code. Else it is over, and no program's doing."""
        try:
            greeting = candidate.program.receive()
        except Stop as why:
            greeting = ["", str(why)]
        if greeting[0] == "ready":
            return None
        self.end(candidate)
        return {"status": "infra", "detail": f"a candidate's process could not be confined: {greeting[1:]}"}

    def tell(self, candidate: Candidate, message: list[Any]) -> None:
        with contextlib.suppress(Stop):  # `program.dead` says why
            candidate.program.send(message)

    def hear(self, candidate: Candidate, work: Callable[[], None]) -> None:
        """The one place where a program is heard: what comes of it is said of the program, never ends the tester."""
        program, error = candidate.program, None
        if program.dead:
            return
        self.heard = candidate
        try:
            try:
                self.arm(candidate.limits["wall_s"])
                error = catch(work)
            finally:
                self.disarm()
        except Stop:
            self.disarm()  # the alarm may have come inside the other one
        self.heard = None
        if error is not None and program.dead is None:
            program.dead = ("protocol", f"what the program sent ended its tests: {type(error).__name__}")

    def end(self, candidate: Candidate) -> Usage:
        """Its process is over afterwards. Where it had ended already, `program.dead` says why from now on."""
        program = candidate.program
        ended_itself = program.dead is not None and program.dead[0] == "crash"
        usage = Usage(*USED.unpack(self.ask_spawner(b"e" if ended_itself else b"k", candidate.number)))
        program.stream.close()
        if ended_itself:
            program.dead = explain_death(usage, candidate.limits)
        return usage

    # ---- a job
    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """All sources of tests in one process, each stdio test in one of its own. A timeout ends the job."""
        sources = {name: tests for name, tests in job["tests"].items() if type(tests) is str}
        verdicts = []
        if sources or len(sources) == len(job["tests"]):
            verdicts.append(self.run_tests(job, sources))
        for name, cases in job["tests"].items():
            for index, (given, expected) in enumerate(cases if name not in sources else ()):
                row = (name, index, stdio.name_case(given))
                stopped = next((v["detail"] for v in verdicts if v.get("status") in ("timeout", "infra")), "")
                if stopped:
                    verdicts.append({"results": [(*row, False, f"not reached: {stopped}")]})
                else:
                    verdicts.append(self.run_script(job, row, given, expected.encode("utf-8", "surrogatepass")))
        return verdicts[0] if len(verdicts) == 1 else merge_verdicts(verdicts)

    def run_script(self, job: dict[str, Any], row: tuple[str, int, str], given: str, expected: bytes) -> dict[str, Any]:
        """row: the first parts of the verdict's one row."""
        began = time.monotonic()
        raised, code, why, output = "", -1, "", b""

        def wait() -> None:
            nonlocal raised, code
            raised, code = program.receive_end()

        def compare() -> None:
            nonlocal output, why
            output = stdio.read_output(files[1])
            why = stdio.find_difference(expected, output)

        with stdio.open_files(given) as files:
            candidate = self.spawn(job["limits"], files)
            unconfined, program = self.greet(candidate), candidate.program
            if unconfined:
                return unconfined
            self.tell(candidate, ["run", "" if job.get("stub") else job["code"]])
            self.hear(candidate, wait)
            usage = self.end(candidate)
            error = catch(compare)
        if program.dead and program.dead[0] == "crash" and os.WIFEXITED(usage.status):
            program.dead, code = None, os.WEXITSTATUS(usage.status)  # os._exit is one way to end a script
        if error is not None:
            why = f"its output cannot be compared: {type(error).__name__}"
        status, why = judge_script(program, raised, code, why)
        finished = status in ("pass", "fail")
        evidence = f"{row[2]}: {'raised ' if status == 'error' and raised else ''}{why}" if why else ""
        return {
            "status": status,
            "detail": "" if finished else why,
            "loaded": finished,
            "defined": finished,
            "results": [(*row, status == "pass", evidence[:EVIDENCE_CAP])],
            "integrity": "split",
            "stdout": (output[:OUTPUT_CAP].decode("utf-8", "replace") + "".join(program.output))[:OUTPUT_CAP],
            **spell_usage(usage, began),
        }

    def run_tests(self, job: dict[str, Any], sources: dict[str, str]) -> dict[str, Any]:
        began = time.monotonic()
        try:
            groups = {name: prepare_once(source) for name, source in sources.items()}
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return {"status": "refused", "detail": f"the tests do not parse: {str(error) or type(error).__name__}"}
        candidate = self.take_spare(job["limits"])
        unconfined = self.greet(candidate)
        if unconfined:
            return unconfined
        report = Report(candidate.program, job["entry"], groups)
        names = report.list_names()
        candidate.program.spelled = frozenset().union(*(tests.attributes for tests in groups.values()))
        self.tell(candidate, ["load", STUB.format(names=names) if job.get("stub") else job["code"], names])
        # Its set-up overlaps this job. Before the alarm is set, which must not cut a request in two.
        self.spare = self.spare or self.spawn(job["limits"])
        self.hear(candidate, lambda: report.examine(names))
        usage = self.end(candidate)
        return {**report.write_verdict(split=job.get("integrity") == "split"), **spell_usage(usage, began)}


def judge_script(program: Program, raised: str, code: int, difference: str) -> tuple[str, str]:
    """(status, why)"""
    if program.dead:
        return program.dead
    if program.out_of_memory:
        return "memory", raised
    if raised or code:
        return "error", raised or f"exit status {code}"
    return "fail" if difference else "pass", difference


def spell_usage(usage: Usage, began: float) -> dict[str, float]:
    return {"cpu_s": usage.cpu_s, "peak_mb": usage.peak_kb / 1024, "wall_s": time.monotonic() - began}


def merge_verdicts(verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    """Of several runs: the first that is neither pass nor refusal, then a refusal; an infra before all others."""
    ran = [verdict for verdict in verdicts if "status" in verdict]
    order = {"infra": 0, "refused": 2, "pass": 3}
    first = min(ran, key=lambda verdict: order.get(verdict["status"], 1))
    return {
        **first,
        **{name: all(verdict.get(name, False) for verdict in ran) for name in ("loaded", "defined")},
        **{name: sum(verdict.get(name, 0.0) for verdict in ran) for name in ("cpu_s", "wall_s")},
        "peak_mb": max(verdict.get("peak_mb", 0.0) for verdict in ran),
        "results": [row for verdict in verdicts for row in verdict.get("results", ())],
        "integrity": "shared" if any(verdict.get("integrity") == "shared" for verdict in ran) else "split",
        "stdout": "".join(verdict.get("stdout", "") for verdict in ran)[:OUTPUT_CAP],
    }


def explain_death(usage: Usage, limits: dict[str, Any]) -> tuple[str, str]:
    """(status, detail) of a process that ended itself: our own kill comes after the tests, or a stop with a reason."""
    if not os.WIFSIGNALED(usage.status):
        return "crash", f"the program ended its process (exit status {os.waitstatus_to_exitcode(usage.status)})"
    name = name_signal(os.WTERMSIG(usage.status))
    # The kernel's clock for this limit counts ticks, and may run ahead of the one that is reported.
    if name == "SIGKILL" and usage.cpu_s >= limits["cpu_s"] / 2:
        return "timeout", f"more than {limits['cpu_s']:g} s of processor time"
    return "violation" if name == "SIGSYS" else "crash", f"the program's process was ended by {name}"


def name_signal(number: int) -> str:
    is_named = number in signal.valid_signals() and number < signal.SIGRTMIN
    return signal.Signals(number).name if is_named else f"signal {number}"


def main(host: socket.socket, control: socket.socket) -> None:
    kernel.make(kernel.die_with_parent())
    gc.collect()
    gc.freeze()
    frames.send(host, {"hello": 1})
    null = os.open(os.devnull, os.O_WRONLY)
    for standard in (1, 2):  # the tests' own prints; and nobody reads stderr once the worker has started
        os.dup2(null, standard)
    try:
        Tester(host, control).serve()
    except frames.Closed:
        os._exit(0)
