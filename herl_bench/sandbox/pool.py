"""`Sandbox`: a pool of workers on the host's side.

Covers: one thread per worker that starts it, hands it jobs, replaces it where it hung or died, and tries its job once
more; one job, many in order, and the same for asyncio. A worker's thread lives as long as the worker does, because the
kernel ties "die with the parent" to the thread. Leaves out: a worker by itself (`worker.py`), its inside (`inside/`).
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import os
import queue
import reprlib
import threading
import weakref
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Any

from herl_bench.errors import NoSandbox, UsageError
from herl_bench.sandbox.forms import group_tests
from herl_bench.sandbox.inside import landlock
from herl_bench.sandbox.launch import Package, find_bwrap, find_package
from herl_bench.sandbox.model import Assertion, Job, Limits, Tests, Verdict
from herl_bench.sandbox.probes import explain_failure, make_self_test
from herl_bench.sandbox.worker import Stuck, Worker, WorkerLost, as_message

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
JOBS_PER_WORKER = 5000  # then a fresh one, should the tests have left something behind in the tester
AHEAD = 32  # jobs per worker that `map` reads ahead: one slow program must not leave the other workers idle

LOST = "lost"  # of an answer that did not come; never a verdict's
HONEST = Job("def ready(): return 1", "ready", {"ready": "assert ready() == 1"})
"""It fails only where the machine does."""

Task = tuple[dict[str, Any], Future[Verdict]]
NO_TASK: Task = ({}, Future())  # stands for none yet; None is the end


def make_answer(status: str, detail: str) -> dict[str, Any]:
    """What the host says itself, in the form of a tester's answer."""
    return {"status": status, "detail": detail}


def make_message(job: Job, limits: Limits, integrity: str = "shared") -> dict[str, Any]:
    """A job as a worker reads it. UsageError where it has another form."""
    if not isinstance(job.code, str) or not isinstance(job.entry, str):
        raise UsageError(f"Job(code={reprlib.repr(job.code)}, entry={reprlib.repr(job.entry)}): both are text")
    tests = group_tests(job.tests)
    message = {"code": job.code, "entry": job.entry, "tests": tests, "limits": as_message(limits)}
    return {**message, "integrity": integrity}


CLOSED = make_answer("infra", "the sandbox was closed")
READY = make_message(HONEST, Limits())


def assign_processors(workers: int) -> list[set[int]]:
    """On which processors each worker runs: where there is one for every processor, its processes stay on it, and hand
    each other what they work on without waking another one; fewer workers may spread."""
    processors = sorted(os.sched_getaffinity(0))
    if workers < len(processors):
        return [set(processors)] * workers
    return [{processors[i % len(processors)]} for i in range(workers)]


async def iterate_async(jobs: Iterable[Job] | AsyncIterable[Job]) -> AsyncIterator[Job]:
    if isinstance(jobs, AsyncIterable):
        async for job in jobs:
            yield job
    else:
        for job in jobs:
            yield job


class _Seat:
    """A worker's thread and the worker that is there now; another one after it hung, died or did enough."""

    def __init__(self, pool: _Pool):
        self.pool = pool
        self.worker: Worker | None = None

    def serve(self, processors: set[int]) -> None:
        with contextlib.suppress(OSError):  # where the processors were taken away meanwhile
            os.sched_setaffinity(0, processors)  # of this thread, and so of the processes that it starts
        task = self.pool.next_task(block=True)
        while task is not None:
            job, future = task
            verdict: Verdict | BaseException
            try:
                verdict = to_verdict(self.attempt(job), self.pool.tier)
            except BaseException as error:
                self.leave()
                verdict = error
            task = self.pool.next_task(block=False)
            if task is not None and task is not NO_TASK and self.worker is not None:
                self.worker.begin(task[0])  # it works on while this thread hands out the verdict
            if isinstance(verdict, Verdict):
                future.set_result(verdict)
            else:
                future.set_exception(verdict)
            if task is NO_TASK:
                task = self.pool.next_task(block=True)
        self.leave()

    def attempt(self, job: dict[str, Any]) -> dict[str, Any]:
        """Run a job. Where its worker is lost with it, twice, or its tests refused for what a program may have made
        them do, they are run on a program of ours that does nothing: what they do then is their own doing."""
        answer = self.run_twice(job)
        lost = answer["status"] == LOST
        if not lost and not answer.get("unproven"):
            return answer
        alone = self.run_twice({**job, "code": "", "stub": True})
        if not lost:
            by_program = alone["status"] not in ("refused", LOST)
            blame = {"status": "protocol", "detail": f"by the program's doing, {answer['detail']}"}
            return {**answer, **blame} if by_program else answer
        if alone["status"] == LOST:
            if self.run_twice(READY)["status"] == "pass":
                return make_answer("refused", "the tests end the process that runs them")
            return make_answer("infra", "the worker ends, with a program of our own too")
        answer = self.run_once(job)
        if answer["status"] == LOST:
            return make_answer("crash", "the program ended the process that tests it, three times")
        return answer

    def run_twice(self, job: dict[str, Any]) -> dict[str, Any]:
        """An answer; after a first one that was our fault, one from a fresh worker."""
        answer = self.run_once(job)
        if answer["status"] not in (LOST, "infra") or self.pool.closing:
            return answer
        self.leave()
        return self.run_once(job)

    def run_once(self, job: dict[str, Any]) -> dict[str, Any]:
        if self.worker is not None and self.worker.jobs >= JOBS_PER_WORKER:
            self.leave()
        if self.pool.closing:
            return CLOSED
        try:
            self.worker = self.worker or self.start()
            return self.worker.run(job)
        except WorkerLost as why:
            if self.worker is None:
                raise NoSandbox(explain_failure(str(why), self.pool.tier)) from None
            self.leave()
            if self.pool.closing:
                return CLOSED
            if isinstance(why, Stuck):
                return make_answer("timeout", "the tests did not come to an end")
            return make_answer(LOST, str(why))

    def start(self) -> Worker:
        worker = Worker(self.pool.tier, self.pool.packages)
        self.pool.add(worker)
        if self.pool.proven:
            return worker
        # Before the first program: one of our own, which tries what must be impossible.
        try:
            answer = worker.run(make_self_test(self.pool.tier))
        except WorkerLost:
            return worker  # the job that it was started for will find out
        if answer["status"] == "fail":
            self.pool.drop(worker)
            raise NoSandbox(f"no safe sandbox here: {answer['results'][0][4]}")
        self.pool.proven = answer["status"] == "pass"
        return worker

    def leave(self) -> None:
        if self.worker is not None:
            self.pool.drop(self.worker)
        self.worker = None


class _Pool:
    """What the workers' threads share. No reference to the `Sandbox`, so that a forgotten one can be collected."""

    def __init__(self, workers: int, tier: str, packages: Sequence[Package]):
        self.tier = tier
        self.packages = packages
        self.proven = tier == "none"
        self.pid = os.getpid()
        self.tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self.closing = False
        self.changing = threading.Lock()
        self.running: set[Worker] = set()
        self.threads = [
            threading.Thread(target=_Seat(self).serve, args=[processors], name=f"sandbox-{i}", daemon=True)
            for i, processors in enumerate(assign_processors(workers))
        ]
        for thread in self.threads:
            thread.start()

    def next_task(self, block: bool) -> Task | None:
        """The next job that nobody has called off, None at the end; NO_TASK rather than wait, unless it may block."""
        while True:
            try:
                task = self.tasks.get(block)
            except queue.Empty:
                return NO_TASK
            if task is None or task[1].set_running_or_notify_cancel():
                return task

    def add(self, worker: Worker) -> None:
        with self.changing:
            self.running.add(worker)
            if self.closing:  # the loop in `close` came before this one was there
                worker.process.kill()

    def drop(self, worker: Worker) -> None:
        with self.changing:
            self.running.discard(worker)
        worker.close()

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
    results = tuple(Assertion(*map(escape_surrogates, row)) for row in answer.get("results", ()))
    plain = {
        key: escape_surrogates(answer[key])
        for key in ("loaded", "defined", "integrity", "cpu_s", "wall_s", "peak_mb", "stdout", "detail")
        if key in answer
    }
    passed = sum(result.passed for result in results)
    return Verdict(answer["status"], results=results, tests_passed=passed, tests_total=len(results), tier=tier, **plain)


def escape_surrogates(value: Any) -> Any:
    """Half of a surrogate pair, which a program may print or raise, would fail whoever writes it to a file."""
    return value.encode("utf-8", "backslashreplace").decode() if type(value) is str and not value.isascii() else value


class Sandbox:
    """Runs untrusted programs against tests.

    workers: how many jobs run at the same time; each is one warm process tree of about 30 MB. isolation: "auto" or
    "namespaces" (both: full isolation or none of it runs), "landlock" (weaker, see `GAPS`; never chosen by itself),
    "none" (only with HERL_ALLOW_UNSAFE_EXECUTION=1: programs then have all the rights of the caller).
    integrity: "shared" also accepts what the program's own objects had to judge (`Verdict.integrity` says so); with
    "split" nothing passes by that: such an assertion does not hold, and where nothing else failed the verdict is
    "refused". limits: for jobs that bring none of their own. packages: names of installed packages that programs and
    tests may import ("numpy"), and of what those need. Raises NoSandbox at first use where this machine cannot isolate.

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
        self.packages = [find_package(name) for name in packages]
        self._pool: _Pool | None = None
        self._start = threading.Lock()
        self._finalizer: weakref.finalize[Any, Any] | None = None

    def __enter__(self) -> Sandbox:
        self.check(HONEST)
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
        """Verdicts in the order of the jobs, as they come; reads at most `AHEAD` jobs per worker ahead of the taken."""
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
            async for job in iterate_async(jobs):
                waiting.append(self.submit(job))
                if len(waiting) > AHEAD * self.workers:
                    yield await asyncio.wrap_future(waiting.popleft())
            while waiting:
                yield await asyncio.wrap_future(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()

    def submit(self, job: Job) -> Future[Verdict]:
        """The future gives the verdict (or raises NoSandbox). The queue has no end: `map` and `amap` keep it short."""
        future: Future[Verdict] = Future()
        limits = job.limits or self.limits
        if limits.processes > 1 and self.tier != "namespaces":
            raise UsageError(f"Limits(processes={limits.processes}) needs isolation='namespaces', not {self.tier!r}")
        message = make_message(job, limits, self.integrity)
        self._open_pool().tasks.put((message, future))
        return future

    def _open_pool(self) -> _Pool:
        with self._start:
            if self._pool is None or self._pool.pid != os.getpid():  # in a forked child: workers of its own
                if self.tier == "namespaces":
                    find_bwrap()
                needed = landlock.WITHOUT_NAMESPACES
                if self.tier == "landlock" and (abi := landlock.read_abi()) < needed:
                    raise NoSandbox(f"isolation='landlock' needs Landlock ABI {needed} (Linux 6.12), here is {abi}")
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
