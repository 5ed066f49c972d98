"""The tester: holds the tests, calls the program, writes the verdict. The one process inside whose word counts.

Covers: what the tests see of the program (the entry and names that nobody else defines; never builtins, never what the
tests import); one record per assert statement with evidence; the job's wall clock; a candidate forked ahead, so that
its set-up overlaps the job before. Leaves out: dataset test code is trusted not to attack the tester on purpose; a
worker is replaced after a number of jobs all the same.
"""

from __future__ import annotations

import builtins
import contextlib
import functools
import gc
import importlib
import json
import operator
import os
import random
import reprlib
import signal
import socket
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from . import codec, frames, kernel, stdio
from .program import Program, Remote, RemoteDressed, Stop, label, type_of
from .rewrite import RECORDER, Tests, prepare
from .spawner import DESCRIPTOR, NUMBER, SECONDS, USED

MEGABYTE = 1 << 20
HOST_MESSAGE = 64 * MEGABYTE
EVIDENCE_CAP = 400
OUTPUT_CAP = 64 << 10
AGAIN_S = 0.25  # the alarm repeats, in case a test swallowed it
SLACK_S = 0.005
OWN_SEED = random.seed

# Modules that dataset tests use without importing them, because the published solutions happen to import them. The
# tester's own are given.
STUB = "def nothing(*args, **kwargs): raise NotImplementedError\nglobals().update(dict.fromkeys({names!r}, nothing))\n"
"""A program that does nothing, for the same tests."""
KNOWN_MODULES = (
    "bisect cmath collections copy datetime decimal fractions functools heapq itertools json math operator os random re"
    " statistics string sys time typing"
)
COMPARISONS = {
    "Eq": ("==", operator.eq),
    "NotEq": ("!=", operator.ne),
    "Lt": ("<", operator.lt),
    "LtE": ("<=", operator.le),
    "Gt": (">", operator.gt),
    "GtE": (">=", operator.ge),
    "Is": ("is", operator.is_),
    "IsNot": ("is not", operator.is_not),
    "In": ("in", lambda left, right: left in right),
    "NotIn": ("not in", lambda left, right: left not in right),
}


class _Short(reprlib.Repr):
    """A bounded repr that asks nothing of the program and never fails."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 6
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = self.maxdeque = (
            self.maxarray
        ) = 20
        self.maxstring = self.maxother = 200

    def repr1(self, value: Any, level: int) -> str:
        if isinstance(value, Remote):
            return f"<{label(value)} of the program>"
        if isinstance(value, RemoteDressed):
            value = codec.plain(value)
        return super().repr1(value, level)

    def repr_instance(self, value: Any, level: int) -> str:
        try:
            return repr(value)[: self.maxother]
        except Exception:
            return f"<{type(value).__name__}>"  # without an address: the same program gets the same verdict

    def repr_int(self, value: int, level: int) -> str:
        return repr(value) if value.bit_length() < 400 else f"<a whole number of {value.bit_length()} bits>"


_SHORT = _Short()


def caught(work: Callable[[], Any]) -> BaseException | None:
    """What `work` raises, but for our own Stop. Any exception may be of the program's choice, and a BaseException as
    well."""
    try:
        work()
    except Stop:
        raise
    except BaseException as error:
        return error
    return None


class Outcome:
    """shared: it held only after the program had been asked to judge."""

    def __init__(self) -> None:
        self.reached = False
        self.passed = True
        self.shared = False
        self.evidence = ""


class Recorder:
    """Reached from the instrumented tests as `__hb__`. failures: (statement, what it raised)."""

    Stop = Stop
    type_of = staticmethod(type_of)

    def __init__(self, program: Program, tests: Tests, outcomes: list[Outcome]):
        self.program = program
        self.tests = tests
        self.outcomes = outcomes
        self.failures: list[tuple[str, str]] = []
        self.missing_import = ""

    def start(self, site: int) -> None:
        self.program.last_call = None
        self.program.bare = self.tests.sites[site].bare
        first, end = self.tests.sites[site].ahead
        self.program.upcoming = self.tests.calls[first:end] if first < end else ()

    def compare(self, site: int, name: str, left: Any, right: Any) -> None:
        sign, function = COMPARISONS[name]
        self.record(site, bool(function(left, right)), lambda: self.compared(site, sign, left, right))

    def truth(self, site: int, value: Any) -> None:
        self.record(site, bool(value), lambda: f"{self.subject(site)}: got {self.short(value)}")

    def compared(self, site: int, sign: str, left: Any, right: Any) -> str:
        expected = self.short(right) if sign == "==" else f"{sign} {self.short(right)}"
        return f"{self.subject(site)}: got {self.short(left)}, expected {expected}"

    def short(self, value: Any) -> str:
        return self.program.words(lambda: _SHORT.repr(value)[:EVIDENCE_CAP], f"<{type(value).__name__[:EVIDENCE_CAP]}>")

    def subject(self, site: int) -> str:
        """The call in words where the assertion is about one call, else the assertion itself."""
        call = self.program.last_call
        if call is None or not (self.tests.sites[site].left_call):
            return self.tests.sites[site].source.removeprefix("assert ").strip()
        return self.call_text(call)

    def call_text(self, call: tuple[str, list[Any], dict[str, Any]]) -> str:
        name, args, kwargs = call
        words = [self.short(self.program.decode_sent(argument)) for argument in args]
        words += [f"{key}={self.short(self.program.decode_sent(argument))}" for key, argument in kwargs.items()]
        return f"{name}({', '.join(words)})"[:EVIDENCE_CAP]

    def record(self, site: int, passed: bool, evidence: Any) -> None:
        if self.program.dead:
            raise Stop(self.program.dead[1])
        outcome = self.outcomes[site]
        outcome.reached = True
        if outcome.passed and not passed:
            outcome.passed = False
            outcome.evidence = self.program.words(evidence)
        outcome.shared = outcome.shared or bool(self.program.shared)

    def raised(self, site: int) -> None:
        error = sys.exc_info()[1]
        assert error is not None
        if self.failures and isinstance(error, NameError):  # what this line needs was never made
            text = self.failures[0][1]
        else:
            text = f"raised {self.program.error_text(error, self.program.last_line)}"
        self.record(site, False, lambda: f"{self.raiser(site)}: {text}")

    def raiser(self, site: int) -> str:
        call = self.program.last_call
        return self.tests.sites[site].source.removeprefix("assert ").strip() if call is None else self.call_text(call)

    def broken(self, statement: int, imports: bool) -> None:
        error = sys.exc_info()[1]
        assert error is not None
        if self.program.dead:
            raise Stop(self.program.dead[1])
        if imports and isinstance(error, ImportError):
            self.missing_import = self.program.error_text(error)
        source = self.tests.statements[statement]
        line = self.program.last_line if self.program.last_call is not None else None
        self.failures.append((source, f"`{source[:120]}` raised {self.program.error_text(error, line)}"))


@functools.lru_cache(maxsize=256)
def prepared(source: str) -> Tests:
    return prepare(source)


class Tester:
    def __init__(self, host: socket.socket, control: socket.socket, options: dict[str, Any]):
        self.host = host
        self.control = control
        self.options = options
        self.schedule = os.open("/proc/self/schedstat", os.O_RDONLY) if os.path.exists("/proc/self/schedstat") else -1
        self.spawned = 0
        self.spare: tuple[int, Program, dict[str, Any]] | None = None
        self.program: Program | None = None
        self.number = 0
        self.wall_s = self.busy_s = self.began = self.waited_before = 0.0
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
        if self.program is not None and type(a) in (int, float, str, bytes, bytearray):
            self.program.request("seed", (a, version))

    # ---- time
    def arm(self, number: int, seconds: float, busy: float) -> None:
        self.number = number
        self.wall_s, self.busy_s = seconds, busy
        self.began = time.monotonic()
        self.waited_before = self.waited()
        self.armed = True
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def on_alarm(self, number: int, frame: FrameType | None) -> None:
        """Time is up, unless the machine was busy with something else: what a program is granted must not depend on its
        neighbours."""
        if not self.armed or self.program is None:
            return
        starved = self.waited() - self.waited_before + SECONDS.unpack(self.ask(b"w", self.number))[0]
        left = self.began + self.wall_s + min(starved, self.busy_s) - time.monotonic()
        if left > SLACK_S and self.program.dead is None:
            signal.setitimer(signal.ITIMER_REAL, left)
            return
        signal.setitimer(signal.ITIMER_REAL, AGAIN_S)
        if self.program.waiting:
            self.program.stop("refused", "a thread of the tests waits until another one's call of the program is over")
        self.program.stop("timeout", f"no verdict within {self.wall_s:g} s")

    def waited(self) -> float:
        """Seconds that this process was ready to run and got no processor; 0 where the kernel does not count them."""
        try:
            return int(os.pread(self.schedule, 100, 0).split()[1]) / 1e9
        except OSError:
            return 0.0

    def disarm(self) -> None:
        self.armed = False
        signal.setitimer(signal.ITIMER_REAL, 0)

    # ---- candidates
    def spawn(self, limits: dict[str, Any], files: tuple[int, ...] = ()) -> tuple[int, Program, dict[str, Any]]:
        """files: what a script gets as its descriptors 0 and 1."""
        ours, theirs = socket.socketpair()
        sent = b"".join(DESCRIPTOR.pack(descriptor) for descriptor in (theirs.fileno(), *files))
        self.control.sendmsg([b"s" + json.dumps(limits).encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, sent)])
        theirs.close()
        self.spawned += 1
        return self.spawned - 1, Program(ours, limits["message_mb"] * MEGABYTE), limits

    def ask(self, what: bytes, number: int) -> bytes:
        self.control.send(NUMBER.pack(what, number))
        answer = self.control.recv(1 << 12)
        if not answer:
            os._exit(1)  # no spawner, no worker: the host makes a new one and tries the job again
        return answer

    def end(self, number: int, program: Program) -> tuple[int, int, float]:
        status, peak_kb, cpu_s = USED.unpack(
            self.ask(b"e" if program.dead and program.dead[0] == "crash" else b"k", number)
        )
        program.stream.close()
        return status, peak_kb, cpu_s

    def candidate(self, limits: dict[str, Any]) -> tuple[int, Program]:
        """A candidate's process that is ready for its code: the one forked ahead, where its limits fit."""
        if self.spare is not None and self.spare[2] != limits:
            self.end(*self.spare[:2])
            self.spare = None
        number, program, _ = self.spare or self.spawn(limits)
        self.spare = None
        return number, program

    # ---- a job
    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """All sources of tests in one process of the program, each stdio test in one of its own. A timeout ends the
        job."""
        sources = {name: tests for name, tests in job["tests"].items() if type(tests) is str}
        verdicts = []
        if sources or len(sources) == len(job["tests"]):
            verdicts.append(self.run_tests(job, sources))
        for name, cases in job["tests"].items():
            if name not in sources:
                for index, (given, expected) in enumerate(cases):
                    if verdicts and verdicts[-1]["status"] in ("timeout", "infra"):
                        why = f"not reached: {verdicts[-1]['detail']}"
                        verdicts.append({"results": [(name, index, stdio.title(given), False, why)]})
                    else:
                        verdicts.append(
                            self.run_script(job, name, index, given, expected.encode("utf-8", "surrogatepass"))
                        )
        return verdicts[0] if len(verdicts) == 1 else merged(verdicts)

    def run_script(self, job: dict[str, Any], name: str, index: int, given: str, expected: bytes) -> dict[str, Any]:
        began = time.monotonic()
        with stdio.files(given) as files:
            number, program, _ = self.spawn(job["limits"], files)
            unconfined = self.greet(number, program)
            if unconfined:
                return unconfined
            raised, code, why, output = "", -1, "", b""

            def work() -> None:
                nonlocal raised, code
                raised, code = program.ended()

            self.tell(program, ["run", "" if job.get("stub") else job["code"]])
            self.guarded(number, program, job["limits"], work)
            status, peak_kb, cpu_s = self.end(number, program)
            explain_death(program, status, cpu_s, job["limits"])
            if (
                program.dead and program.dead[0] == "crash" and os.WIFEXITED(status)
            ):  # os._exit is one way to end a script
                program.dead, code = None, os.WEXITSTATUS(status)

            def compare() -> None:
                nonlocal output, why
                output = stdio.read(files[1])
                why = stdio.difference(expected, output)

            error = caught(compare)
        if program.dead:
            ended, why = program.dead
        elif program.out_of_memory:
            ended, why = "memory", raised
        elif raised or code:
            ended, why = "error", raised or f"exit status {code}"
        elif error is not None:
            ended, why = "fail", f"its output cannot be compared: {type(error).__name__}"
        else:
            ended = "fail" if why else "pass"
        text = (
            f"{stdio.title(given)}: {'raised ' if ended == 'error' and not why.startswith('exit') else ''}{why}"
            if why
            else ""
        )
        finished = not program.dead and ended in ("pass", "fail")
        return {
            "status": ended,
            "detail": why if ended not in ("pass", "fail") else "",
            "loaded": finished,
            "defined": finished,
            "results": [(name, index, stdio.title(given), ended == "pass", text[:EVIDENCE_CAP])],
            "integrity": "split",
            "stdout": (output[:OUTPUT_CAP].decode("utf-8", "replace") + "".join(program.output))[:OUTPUT_CAP],
            "cpu_s": cpu_s,
            "peak_mb": peak_kb / 1024,
            "wall_s": time.monotonic() - began,
        }

    def run_tests(self, job: dict[str, Any], sources: dict[str, str]) -> dict[str, Any]:
        began = time.monotonic()
        try:
            groups = {name: prepared(source) for name, source in sources.items()}
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return {"status": "refused", "detail": f"the tests do not parse: {str(error) or type(error).__name__}"}
        number, program = self.candidate(job["limits"])
        unconfined = self.greet(number, program)
        if unconfined:
            return unconfined
        report = Report(job["entry"], groups)
        names = sorted(report.names())
        code = STUB.format(names=names) if job.get("stub") else job["code"]
        program.spelled = frozenset().union(*(tests.attributes for tests in groups.values()))
        self.tell(program, ["load", code, names])
        if (
            self.spare is None
        ):  # its set-up overlaps this job; before the alarm is set, which must not cut a request in two
            self.spare = self.spawn(job["limits"])
        self.guarded(number, program, job["limits"], lambda: report.examine(program, names))
        status, peak_kb, cpu_s = self.end(number, program)
        explain_death(program, status, cpu_s, job["limits"])
        verdict = report.verdict(program, split=job.get("integrity") == "split")
        verdict.update(cpu_s=cpu_s, peak_mb=peak_kb / 1024, wall_s=time.monotonic() - began)
        return verdict

    def tell(self, program: Program, message: list[Any]) -> None:
        with contextlib.suppress(Stop):  # `program.dead` says why
            program.send(message)

    def guarded(self, number: int, program: Program, limits: dict[str, Any], work: Callable[[], None]) -> None:
        """The one place where a program is heard: whatever comes of it is said of the program, and does not end the
        tester."""
        if program.dead:
            return
        self.program = program
        error = None
        try:
            try:
                self.arm(number, limits["wall_s"], limits["busy_s"])
                error = caught(work)
            finally:
                self.disarm()
        except Stop:
            self.disarm()  # the alarm may have come inside the other one
        self.program = None
        if error is not None:
            program.dead = program.dead or (
                "protocol",
                f"what the program sent ended its tests: {type(error).__name__}",
            )

    def greet(self, number: int, program: Program) -> dict[str, Any] | None:
        """None where the candidate's process is confined and ready for its code. Else it is over, and that is no
        program's doing."""
        try:
            ready = program.receive()
        except Stop as why:
            ready = ["", str(why)]
        if ready[0] == "ready":
            return None
        self.end(number, program)
        return {"status": "infra", "detail": f"a candidate's process could not be confined: {ready[1:]}"}


def merged(verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    """One verdict of several runs: the first that is neither a pass nor a refusal, then a refusal; an infra before all
    others."""
    ran = [verdict for verdict in verdicts if "status" in verdict]
    last = {"infra": 0, "refused": 2, "pass": 3}
    first = min(ran, key=lambda verdict: last.get(verdict["status"], 1))
    return {
        **first,
        "loaded": all(verdict.get("loaded", False) for verdict in ran),
        "defined": all(verdict.get("defined", False) for verdict in ran),
        "results": [row for verdict in verdicts for row in verdict.get("results", ())],
        "integrity": "shared" if any(verdict.get("integrity") == "shared" for verdict in ran) else "split",
        "stdout": "".join(verdict.get("stdout", "") for verdict in ran)[:OUTPUT_CAP],
        "cpu_s": sum(verdict.get("cpu_s", 0.0) for verdict in ran),
        "wall_s": sum(verdict.get("wall_s", 0.0) for verdict in ran),
        "peak_mb": max(verdict.get("peak_mb", 0.0) for verdict in ran),
    }


def explain_death(program: Program, status: int, cpu_s: float, limits: dict[str, Any]) -> None:
    """Turn "the process ended" into why. Our own kill comes only after the tests are over, or after a stop that has its
    reason already."""
    if program.dead is None or program.dead[0] != "crash":
        return
    if not os.WIFSIGNALED(status):
        program.dead = ("crash", f"the program ended its process (exit status {os.waitstatus_to_exitcode(status)})")
        return
    number = os.WTERMSIG(status)
    name = (
        signal.Signals(number).name
        if number in signal.valid_signals() and number < signal.SIGRTMIN
        else f"signal {number}"
    )
    if (
        name == "SIGKILL" and cpu_s >= limits["cpu_s"] / 2
    ):  # the kernel's clock for this limit counts ticks, and may run ahead
        program.dead = ("timeout", f"more than {limits['cpu_s']:g} s of processor time")
    else:
        program.dead = ("violation" if name == "SIGSYS" else "crash", f"the program's process was ended by {name}")


class Variables(dict[str, Any]):
    """The builtins, and what is no function or class among the program's names: each time as it then is."""

    def __init__(self, program: Program, names: set[str]):
        super().__init__(vars(builtins))
        self.program, self.names = program, names

    def __missing__(self, name: str) -> Any:
        if name not in self.names:
            raise KeyError(name)
        return self.program.request("global", (name,))


class Report:
    """What is known of one job."""

    def __init__(self, entry: str, groups: dict[str, Tests]):
        self.entry = entry
        self.groups = groups
        self.loaded = False
        self.defined = False
        self.outcomes = {name: [Outcome() for _ in tests.sites] for name, tests in groups.items()}
        self.finished: dict[str, bool] = {}
        self.recorders: dict[str, Recorder] = {}

    def names(self) -> set[str]:
        """What the program is asked for: the entry, and what the tests read and nobody else defines."""
        return {name for tests in self.groups.values() for name in tests.free} | ({self.entry} - {""})

    def examine(self, program: Program, names: list[str]) -> None:
        found = program.loaded(names)
        self.loaded = found is not None
        self.defined = found is not None and (not self.entry or callable(found.get(self.entry)))
        if found is not None and self.defined:
            for name, tests in self.groups.items():
                self.run(program, name, tests, found)

    def run(self, program: Program, name: str, tests: Tests, found: dict[str, Any]) -> None:
        recorder = self.recorders[name] = Recorder(program, tests, self.outcomes[name])
        fixed = {self.entry, *KNOWN_MODULES.split()}
        variables = {free for free in tests.free & set(found) - fixed if not isinstance(found[free], Remote | type)}
        names = Variables(program, variables) if variables else dict(vars(builtins))
        namespace: dict[str, Any] = {"__name__": "tests", "__builtins__": names, RECORDER: recorder}
        for free in tests.free - variables:
            if free in KNOWN_MODULES.split():
                namespace[free] = importlib.import_module(free)
            elif free in found:
                namespace[free] = found[free]
        entry = found.get(self.entry)
        if self.entry:
            namespace[self.entry] = entry
            namespace.setdefault("candidate", entry)
        OWN_SEED(0)
        what, error = "the tests", caught(lambda: exec(tests.code, namespace))
        if error is None and tests.has_check and not tests.calls_check:
            what, error = "check(candidate)", caught(lambda: namespace["check"](entry))
        if error is not None:
            recorder.failures.append((what, f"{what.partition('(')[0]} raised {program.error_text(error)}"))
        self.finished[name] = True

    def verdict(self, program: Program, split: bool = False) -> dict[str, Any]:
        """split: what the program had to judge itself does not hold."""
        results = [row for name in self.groups for row in self.rows(program, name)]
        status, detail = self.status(program, all(row[3] for row in results))
        status, detail = self.undone(status) or (status, detail)
        if split and program.shared:
            why = (
                f"integrity='split': the tests come down to what the program's own objects answer to {program.shared!r}"
            )
            status, detail = ("refused", why) if status == "pass" else (status, detail)
            results = [row for name in self.groups for row in self.rows(program, name, why)]
        return {
            "status": status,
            "detail": detail,
            "loaded": self.loaded,
            "defined": self.defined,
            "results": results,
            "integrity": "shared" if program.shared else "split",
            "stdout": "".join(program.output),
            "unproven": program.unproven,
        }

    def undone(self, status: str) -> tuple[str, str] | None:
        """A refusal where the tests do something to their own process that an honest program may need done to its
        own."""
        replaces = next((tests.replaces for tests in self.groups.values() if tests.replaces), "")
        doubt = next((tests.doubt for tests in self.groups.values() if tests.doubt), "")
        why = f"replace {replaces}" if replaces else doubt
        if (status == "fail" and why) or (status == "pass" and replaces):
            return "refused", f"the tests {why}, which the program in its own process does not see"
        return None

    def status(self, program: Program, all_passed: bool) -> tuple[str, str]:
        missing = next((recorder.missing_import for recorder in self.recorders.values() if recorder.missing_import), "")
        if program.dead:
            return program.dead
        if not self.loaded:
            return "memory" if program.out_of_memory else "error", program.error_text(
                program.load_error, program.last_line
            )
        if not self.defined:
            return "error", f"the program defines no function named {self.entry}"
        if missing:
            return "refused", f"the tests need a module that is not here: {missing}"
        if all_passed and self.entry and self.groups and not program.calls:
            return "fail", f"the tests never called {self.entry}"
        if all_passed:
            return "pass", ""
        first = next((r.failures[0][1] for r in self.recorders.values() if r.failures), "")
        return "memory" if program.out_of_memory else "fail", first

    def rows(self, program: Program, group: str, refuses: str = "") -> list[tuple[str, int, str, bool, str]]:
        """(group, index, source, passed, evidence) for each assert statement, then for each other statement that
        raised. refuses: why what the program had to judge does not hold, "" where it does."""
        tests, finished = self.groups[group], self.finished.get(group, False)
        recorder = self.recorders.get(group)
        failures = recorder.failures if recorder else []
        why = self.reason(program, failures)
        rows: list[tuple[str, int, str, bool, str]] = []
        for site, outcome in zip(tests.sites, self.outcomes[group], strict=True):
            passed, evidence = outcome.passed and outcome.reached, outcome.evidence
            if not outcome.reached:
                passed = finished and site.conditional and not failures
                evidence = "not reached, and need not be" if passed else f"not reached: {why}"
            if passed and outcome.shared and refuses:
                passed, evidence = False, refuses
            rows.append((group, len(rows), site.source, passed, evidence[:EVIDENCE_CAP]))
        if not tests.sites and finished and not failures:
            rows.append((group, 0, "check(candidate)", True, "ran to its end"))
        elif not tests.sites and not failures:
            rows.append((group, 0, "check(candidate)", False, why[:EVIDENCE_CAP]))
        rows.extend(
            (group, len(rows) + i, source, False, text[:EVIDENCE_CAP]) for i, (source, text) in enumerate(failures)
        )
        return rows

    def reason(self, program: Program, failures: list[tuple[str, str]]) -> str:
        if program.dead:
            return program.dead[1]
        if not self.loaded:
            return f"the program did not load: {program.error_text(program.load_error, program.last_line)}"
        if not self.defined:
            return f"the program defines no function named {self.entry}"
        return failures[0][1] if failures else "its line was never run"


def main(host: socket.socket, control: socket.socket, options: dict[str, Any]) -> None:
    kernel.make(kernel.die_with_parent())
    gc.collect()
    gc.freeze()
    frames.send(host, {"hello": 1})
    null = os.open(os.devnull, os.O_WRONLY)
    for standard in (1, 2):  # the tests' own prints; and nobody reads stderr once the worker has started
        os.dup2(null, standard)
    try:
        Tester(host, control, options).serve()
    except frames.Closed:
        os._exit(0)
