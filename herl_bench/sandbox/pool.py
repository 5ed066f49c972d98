"""`Sandbox`: a pool of workers on the host's side.

Covers: starting workers, one thread per worker that hands it jobs, deadlines, replacing a hung or dead worker and
trying its job once more; one job, many in order, and the same for asyncio. A worker's thread lives as long as the
worker does, because the kernel ties "die with the parent" to the thread. Leaves out: what happens inside a worker
(`inside/`).
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import functools
import os
import queue
import reprlib
import select
import shutil
import socket
import subprocess
import threading
import time
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any

from herl_bench.errors import NoSandbox, UsageError
from herl_bench.sandbox import forms, launch
from herl_bench.sandbox.inside import frames, landlock
from herl_bench.sandbox.model import Assertion, Job, Limits, Tests, Verdict

INTEGRITIES = ("shared", "split")
ISOLATIONS = ("auto", "namespaces", "landlock", "none")
GAPS = (
    "no scratch directory: a program that writes a file fails",
    "names, sizes and times of the host's files can be seen (stat), their contents cannot",
    "installed packages beside the interpreter's libraries can be read",
    "threads are bounded by memory_mb alone, and processes is always 1",
    "process numbers and the number of processors are the host's",
)
"""What isolation="landlock" leaves open that the namespaces close."""
UNSAFE = "HERL_ALLOW_UNSAFE_EXECUTION"
START_S = 60.0  # a starved machine is slow, not unsafe
GRACE_S = 1.8  # over the job's own time, which the tester enforces
REPLY_S = 10.0  # for an answer that has begun
JOBS_PER_WORKER = 5000  # then a fresh one, should the tests have left something behind in the tester
REPLY_LIMIT = 64 << 20
AHEAD = 32  # jobs per worker that `map` reads ahead: one slow program must not leave the other workers idle


LOST = "lost"  # of an answer that did not come; never a verdict's
WORKER_ENDS = "the worker ends, with a program of our own too"


def decided(status: str, detail: str) -> dict[str, Any]:
    """What the host says itself, in the form of a tester's answer."""
    return {"status": status, "detail": detail}


CLOSED = decided("infra", "the sandbox was closed")
READY = {
    "code": "def ready(): return 1",
    "entry": "ready",
    "tests": {"ready": "assert ready() == 1"},
    "limits": asdict(Limits()),
}
"""A job that fails only where the machine does."""

Task = tuple[dict[str, Any], Future[Verdict]]
EMPTY: Task = ({}, Future())  # stands for no task yet


class WorkerLost(Exception):
    """The worker died or does not answer."""


class Stuck(WorkerLost):
    """It does not answer because this job keeps its tester busy: the job's doing, so no second try."""


class Worker:
    """One process tree, inside bubblewrap unless the tier is another, and the socket to its tester."""

    def __init__(self, tier: str, packages: Sequence[launch.Package] = ()):
        self.isolated = tier == "namespaces"
        ours, theirs = socket.socketpair()
        try:
            root = launch.may_leave_root()
            if self.isolated:
                line = launch.command(find_bwrap(), theirs.fileno(), root, packages)
            elif tier == "landlock":
                line = launch.landlock_command(theirs.fileno(), root, packages)
            else:
                line = launch.unsafe_command(theirs.fileno(), packages)
            self.process = subprocess.Popen(
                line,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=launch.ENVIRONMENT,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the host, which then closes its workers
            )
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self.stream = ours
        self.jobs = 0
        try:
            ours.settimeout(START_S)
            frames.receive(ours, REPLY_LIMIT)
        except (frames.Closed, frames.BadFrame, OSError) as error:
            self.close()
            assert self.process.stderr is not None
            silence = (
                f"no answer within {START_S:g} s"
                if isinstance(error, TimeoutError)
                else f"no answer ({type(error).__name__})"
            )
            raise WorkerLost((self.said.strip().splitlines() or [silence])[-1]) from error
        self.clock = self.tester_clock()

    said = ""
    clock = -1
    begun: dict[str, Any] | None = None
    busy_before = 0.0

    def begin(self, job: dict[str, Any]) -> None:
        """Send a job ahead of `run`, which notices where that failed."""
        self.begun = job
        self.busy_before = self.tester_cpu()
        with contextlib.suppress(OSError, frames.Closed):
            self.stream.settimeout(REPLY_S)
            frames.send(self.stream, job)

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        self.jobs += 1
        if self.begun is not job:
            self.begin(job)
        try:
            runs = sum(1 if isinstance(tests, str) else len(tests) for tests in job["tests"].values()) or 1
            self.wait(job["limits"]["wall_s"] * runs, job["limits"]["busy_s"] * runs, self.busy_before)
            answer: dict[str, Any] = frames.receive(self.stream, REPLY_LIMIT)
            return answer
        except TimeoutError as error:
            raise WorkerLost("hung") from error
        except (frames.Closed, frames.BadFrame, OSError) as error:
            raise WorkerLost("died") from error

    def wait(self, wall_s: float, busy_s: float, busy_before: float) -> None:
        """Until the answer begins. The tester keeps the time itself; this is for one that cannot."""
        poll = select.poll()  # not select(), which fails for descriptors above 1023
        poll.register(self.stream, select.POLLIN)
        last = time.monotonic() + wall_s + busy_s + GRACE_S
        seconds = wall_s + GRACE_S
        while not poll.poll(seconds * 1000):
            if self.tester_cpu() - busy_before > wall_s:
                raise Stuck("hung")
            if time.monotonic() > last:
                raise WorkerLost("hung")
            seconds = 0.5

    def tester_clock(self) -> int:
        """A descriptor for the processor time of the tester, the first process below bubblewrap's own two; -1 where
        there is none."""
        pid = str(self.process.pid)
        try:
            for _ in range(2 if self.isolated else 0):
                pid = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
            return os.open(f"/proc/{pid}/schedstat", os.O_RDONLY)
        except (OSError, IndexError):
            return -1

    def tester_cpu(self) -> float:
        """Seconds of processor time of the tester."""
        try:
            return int(os.pread(self.clock, 100, 0).split()[0]) / 1e9
        except (OSError, IndexError):
            return 0.0

    def close(self) -> None:
        self.stream.close()
        with contextlib.suppress(OSError):
            os.close(self.clock)
        self.clock = -1
        with contextlib.suppress(OSError):
            self.process.kill()
        assert self.process.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            self.said = self.process.stderr.read(4096).decode("utf-8", "replace")
        self.process.stderr.close()
        self.process.wait()


def find_bwrap() -> str:
    path = shutil.which("bwrap")
    if path is None:
        raise NoSandbox("bubblewrap is not installed: apt-get install bubblewrap")
    return path


@functools.lru_cache
def as_message(limits: Limits) -> dict[str, Any]:
    return asdict(limits)


def places(workers: int) -> list[set[int]]:
    """On which processors each worker runs: where there is one for every processor, its processes stay on it, and hand
    each other what they work on without waking another one; fewer workers may spread."""
    processors = sorted(os.sched_getaffinity(0))
    if workers < len(processors):
        return [set(processors)] * workers
    return [{processors[i % len(processors)]} for i in range(workers)]


async def _each(jobs: Iterable[Job]) -> AsyncIterator[Job]:
    for job in jobs:
        yield job


class _Pool:
    """What the workers' threads share. They hold no reference to the `Sandbox`, so that a forgotten one can be
    collected."""

    def __init__(self, workers: int, tier: str, packages: Sequence[launch.Package]):
        self.tier = tier
        self.packages = packages
        self.proven = tier == "none"
        self.pid = os.getpid()
        self.tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self.closing = False
        self.changing = threading.Lock()
        self.running: set[Worker] = set()
        self.threads = [
            threading.Thread(target=self.serve, args=[place], name=f"sandbox-{i}", daemon=True)
            for i, place in enumerate(places(workers))
        ]
        for thread in self.threads:
            thread.start()

    def serve(self, place: set[int]) -> None:
        with contextlib.suppress(OSError):  # where the processors were taken away meanwhile
            os.sched_setaffinity(0, place)  # of this thread, and so of the processes that it starts
        worker: Worker | None = None
        task = self.next_task(block=True)
        while task is not None:
            job, future = task
            try:
                worker, verdict = self.attempt(worker, job)
                failure = None
            except BaseException as error:
                worker, failure = None, error
            try:
                task = self.next_task(block=False)
                if task is not None and worker is not None:
                    worker.begin(task[0])  # it works on while this thread hands out the verdict
            except queue.Empty:
                task = EMPTY
            if failure is None:
                future.set_result(verdict)
            else:
                future.set_exception(failure)
            if task is EMPTY:
                task = self.next_task(block=True)
        if worker is not None:
            self.drop(worker)

    def next_task(self, block: bool) -> Task | None:
        """The next job that nobody has called off, or None at the end. Raises `queue.Empty` rather than wait, unless it
        may block."""
        while True:
            task = self.tasks.get(block)
            if task is None or task[1].set_running_or_notify_cancel():
                return task

    def attempt(self, worker: Worker | None, job: dict[str, Any]) -> tuple[Worker | None, Verdict]:
        """Run a job. Where its worker is lost with it, twice, or the tests were refused for what a program may have
        made them do, the same tests are run on a program of ours that does nothing: what they do then is their own
        doing, and what they do not is the program's."""
        worker, answer = self.twice(worker, job)
        lost = answer["status"] == LOST
        if lost or answer.get("unproven"):
            worker, alone = self.twice(worker, {**job, "code": "", "stub": True})
            if lost and alone["status"] == LOST:
                worker, probe = self.twice(worker, READY)
                ready = probe["status"] == "pass"
                answer = (
                    decided("refused", "the tests end the process that runs them")
                    if ready
                    else decided("infra", WORKER_ENDS)
                )
            elif lost:
                worker, answer = self.once(worker, job)
                if answer["status"] == LOST:
                    answer = decided("crash", "the program ended the process that tests it, three times")
            elif alone["status"] not in ("refused", LOST):
                answer = {**answer, "status": "protocol", "detail": f"by the program's doing, {answer['detail']}"}
        return worker, to_verdict(answer, self.tier)

    def twice(self, worker: Worker | None, job: dict[str, Any]) -> tuple[Worker | None, dict[str, Any]]:
        """An answer; after a first one that was our fault, one from a fresh worker."""
        worker, answer = self.once(worker, job)
        if answer["status"] not in (LOST, "infra") or self.closing:
            return worker, answer
        if worker is not None:
            self.drop(worker)
        return self.once(None, job)

    def once(self, worker: Worker | None, job: dict[str, Any]) -> tuple[Worker | None, dict[str, Any]]:
        if worker is not None and worker.jobs >= JOBS_PER_WORKER:
            self.drop(worker)
            worker = None
        if self.closing:
            return worker, CLOSED
        try:
            worker = worker or self.start()
            return worker, worker.run(job)
        except WorkerLost as why:
            if worker is None:
                raise NoSandbox(self.explain(str(why))) from None
            self.drop(worker)
            if self.closing:
                return None, CLOSED
            return None, (
                decided("timeout", "the tests did not come to an end")
                if isinstance(why, Stuck)
                else decided(LOST, str(why))
            )

    def start(self) -> Worker:
        worker = Worker(self.tier, self.packages)
        with self.changing:
            self.running.add(worker)
            if self.closing:  # the loop in `close` came before this one was there
                worker.process.kill()
        if not self.proven:
            self.prove(worker)
        return worker

    def prove(self, worker: Worker) -> None:
        """Before the first program: one of our own, which tries what must be impossible."""
        from herl_bench.sandbox.probes import self_test

        try:
            answer = worker.run(self_test(self.tier))
        except WorkerLost:
            return  # the job that it was started for will find out
        if answer["status"] == "fail":
            self.drop(worker)
            raise NoSandbox(f"no safe sandbox here: {answer['results'][0][4]}")
        self.proven = answer["status"] == "pass"

    def drop(self, worker: Worker) -> None:
        with self.changing:
            self.running.discard(worker)
        worker.close()

    def explain(self, said: str) -> str:
        from herl_bench.sandbox.probes import failure

        return failure(said, self.tier) if self.tier != "none" else f"the worker did not start: {said}"

    def close(self) -> None:
        if self.closing or self.pid != os.getpid():  # a forked child must not touch its parent's workers
            return
        with self.changing:
            self.closing = True
            for worker in self.running:  # ends the jobs that still run
                worker.process.kill()
        for _ in self.threads:
            self.tasks.put(None)
        for thread in self.threads:
            if thread is not threading.current_thread():
                thread.join()


def to_verdict(answer: dict[str, Any], tier: str) -> Verdict:
    results = tuple(Assertion(*map(writable, row)) for row in answer.get("results", ()))
    plain = {
        key: writable(answer[key])
        for key in ("loaded", "defined", "integrity", "cpu_s", "wall_s", "peak_mb", "stdout", "detail")
        if key in answer
    }
    passed = sum(result.passed for result in results)
    return Verdict(answer["status"], results=results, tests_passed=passed, tests_total=len(results), tier=tier, **plain)


def writable(value: Any) -> Any:
    """Half of a surrogate pair, which a program may print or raise, would fail whoever writes it to a file."""
    return value.encode("utf-8", "backslashreplace").decode() if type(value) is str and not value.isascii() else value


class Sandbox:
    """Runs untrusted programs against tests.

    workers: how many jobs run at the same time; each is one warm process tree of about 30 MB. isolation: "auto" or
    "namespaces" (both: full isolation or none of it runs), "landlock" (weaker, see `GAPS`; never chosen by itself),
    "none" (only with HERL_ALLOW_UNSAFE_EXECUTION=1: programs then have all the rights of the caller).
    integrity: "shared" also accepts what the program's own objects had to judge (`Verdict.integrity` says so); with
    "split" nothing passes by
    that: such an assertion does not hold, and where nothing else failed the verdict is "refused".
    limits: for jobs that bring none of their own. packages: names of installed packages that programs and tests may
    import ("numpy"); what they depend on is named too. Raises NoSandbox at the first use where this machine cannot
    isolate.

    >>> with Sandbox(workers=1) as sandbox:
    ...     sandbox.check("def f(x): return x + 1", "assert f(1) == 2", "f").status
    'pass'
    """

    def __init__(
        self,
        workers: int = 2,
        isolation: str = "auto",
        limits: Limits = Limits(),  # noqa: B008 (frozen)
        packages: Sequence[str] = (),
        integrity: str = "shared",
    ):
        if isolation not in ISOLATIONS:
            raise UsageError(f"isolation={isolation!r}: choose from {', '.join(ISOLATIONS)}")
        if integrity not in INTEGRITIES:
            raise UsageError(f"integrity={integrity!r}: choose from {', '.join(INTEGRITIES)}")
        if isinstance(packages, str):
            raise UsageError(f"packages={packages!r}: write a tuple of names, ({packages!r},)")
        if isolation == "none" and os.environ.get(UNSAFE) != "1":
            raise NoSandbox(
                f"isolation='none' runs untrusted programs with all your rights: set {UNSAFE}=1 if you mean it"
            )
        if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
            raise UsageError(f"workers={workers!r}: a whole number above 0 is needed")
        self.workers = workers
        self.tier = "namespaces" if isolation == "auto" else isolation
        self.limits = limits
        self.integrity = integrity
        self.packages = [launch.package(name) for name in packages]
        self._pool: _Pool | None = None
        self._start = threading.Lock()
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def __enter__(self) -> Sandbox:
        self.check("def ready(): return 1", "assert ready() == 1", "ready")
        return self

    def __exit__(self, *raised: object) -> None:
        self.close()

    def check(self, code: str | Job, tests: Tests = "", entry: str = "", limits: Limits | None = None) -> Verdict:
        """Run one program, given in parts as for `Job`, or as a job."""
        return self.submit(code if isinstance(code, Job) else Job(code, entry, tests, limits)).result()

    async def acheck(
        self, code: str | Job, tests: Tests = "", entry: str = "", limits: Limits | None = None
    ) -> Verdict:
        """`check` for asyncio."""
        job = code if isinstance(code, Job) else Job(code, entry, tests, limits)
        return await asyncio.wrap_future(self.submit(job))

    def map(self, jobs: Iterable[Job]) -> Iterator[Verdict]:
        """Verdicts in the order of the jobs, as they come; reads at most `AHEAD` jobs per worker ahead of what was
        taken."""
        waiting: collections.deque[Future[Verdict]] = collections.deque()
        try:
            for job in jobs:
                waiting.append(self.submit(job))
                if len(waiting) > AHEAD * self.workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()

    async def amap(self, jobs: Iterable[Job] | AsyncIterable[Job]) -> AsyncIterator[Verdict]:
        """`map` for asyncio: the same order, and as few jobs ahead."""
        waiting: collections.deque[Future[Verdict]] = collections.deque()
        try:
            async for job in jobs if isinstance(jobs, AsyncIterable) else _each(jobs):
                waiting.append(self.submit(job))
                if len(waiting) > AHEAD * self.workers:
                    yield await asyncio.wrap_future(waiting.popleft())
            while waiting:
                yield await asyncio.wrap_future(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()

    def submit(self, job: Job) -> Future[Verdict]:
        """Start a job; the future gives its verdict (or raises NoSandbox). The queue has no end: `map` and `amap` keep
        it short."""
        future: Future[Verdict] = Future()
        limits = job.limits or self.limits
        if not isinstance(job.code, str) or not isinstance(job.entry, str):
            raise UsageError(f"Job(code={reprlib.repr(job.code)}, entry={reprlib.repr(job.entry)}): both are text")
        if limits.processes > 1 and self.tier != "namespaces":
            raise UsageError(f"Limits(processes={limits.processes}) needs isolation='namespaces', not {self.tier!r}")
        message = {"code": job.code, "entry": job.entry, "tests": forms.groups(job.tests), "limits": as_message(limits)}
        message["integrity"] = self.integrity
        self._ready_pool().tasks.put((message, future))
        return future

    def _ready_pool(self) -> _Pool:
        with self._start:
            if self._pool is None or self._pool.pid != os.getpid():  # in a forked child: workers of its own
                if self.tier == "namespaces":
                    find_bwrap()
                if self.tier == "landlock" and landlock.abi() < landlock.WITHOUT_NAMESPACES:
                    raise NoSandbox(
                        f"isolation='landlock' needs Landlock ABI {landlock.WITHOUT_NAMESPACES} (Linux 6.12), here is"
                        f" {landlock.abi()}"
                    )
                self._pool = _Pool(self.workers, self.tier, self.packages)
                self._finalizer = weakref.finalize(self, self._pool.close)
            return self._pool

    def close(self) -> None:
        """End the workers. The sandbox may be used again; it then starts new ones."""
        with self._start:
            pool, self._pool = self._pool, None
        if pool is not None:
            if self._finalizer is not None:
                self._finalizer.detach()
            pool.close()
