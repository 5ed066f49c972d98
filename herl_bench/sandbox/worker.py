"""One worker, seen from the host: a process tree (tester, spawner, candidates) and the socket to its tester.

Covers: starting it, a job in and an answer out, a deadline for a tester that no longer keeps its own. Jobs and answers
are plain dictionaries, as `frames.py` sends them. Leaves out: which job goes to which worker, and what becomes of a job
whose worker is lost (`pool.py`); what happens inside (`inside/`).
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from herl_bench.sandbox.inside import frames
from herl_bench.sandbox.launch import ENVIRONMENT, Package, build_command
from herl_bench.sandbox.model import Limits

START_S = 60.0  # a starved machine is slow, not unsafe
GRACE_S = 1.8  # over the job's own time, which the tester enforces
REPLY_S = 10.0  # for an answer that has begun
LOOK_S = 0.5  # between two looks at a tester that is late
REPLY_LIMIT = 64 << 20
STDERR_CAP = 4096
BWRAP_PROCESSES = 2  # its own, above the tester


class WorkerLost(Exception):
    """The worker died or does not answer."""


class Stuck(WorkerLost):
    """It does not answer because this job keeps its tester busy: the job's doing, so no second try."""


@functools.lru_cache
def as_message(limits: Limits) -> dict[str, Any]:
    return asdict(limits)


class Worker:
    """Raises WorkerLost where it does not start, with its last words."""

    def __init__(self, tier: str, packages: Sequence[Package] = ()):
        self.jobs = 0
        self.begun: dict[str, Any] | None = None
        self.tester_cpu_before = 0.0
        self.last_words = ""
        self.clock = -1
        self.stream, theirs = socket.socketpair()
        try:
            self.process = subprocess.Popen(
                build_command(tier, theirs.fileno(), packages),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=ENVIRONMENT,
                cwd="/",
                start_new_session=True,  # Ctrl-C is for the host, which then closes its workers
            )
        except BaseException:
            self.stream.close()
            raise
        finally:
            theirs.close()
        try:
            self.stream.settimeout(START_S)
            frames.receive(self.stream, REPLY_LIMIT)
        except (frames.Closed, frames.BadFrame, OSError) as error:
            self.close()
            late = isinstance(error, TimeoutError)
            silence = f"no answer within {START_S:g} s" if late else f"no answer ({type(error).__name__})"
            raise WorkerLost((self.last_words.strip().splitlines() or [silence])[-1]) from error
        self.clock = self.open_tester_clock(BWRAP_PROCESSES if tier == "namespaces" else 0)

    def begin(self, job: dict[str, Any]) -> None:
        """Send a job ahead of `run`, which notices where that failed."""
        self.begun = job
        self.tester_cpu_before = self.read_tester_cpu()
        with contextlib.suppress(OSError, frames.Closed):
            self.stream.settimeout(REPLY_S)
            frames.send(self.stream, job)

    def run(self, job: dict[str, Any]) -> dict[str, Any]:
        """The tester's answer. Raises WorkerLost."""
        self.jobs += 1
        if self.begun is not job:
            self.begin(job)
        try:
            runs = sum(1 if isinstance(tests, str) else len(tests) for tests in job["tests"].values()) or 1
            self.wait(job["limits"]["wall_s"] * runs, job["limits"]["busy_s"] * runs)
            answer: dict[str, Any] = frames.receive(self.stream, REPLY_LIMIT)
            return answer
        except TimeoutError as error:
            raise WorkerLost("hung") from error
        except (frames.Closed, frames.BadFrame, OSError) as error:
            raise WorkerLost("died") from error

    def wait(self, wall_s: float, busy_s: float) -> None:
        """Until the answer begins. The tester keeps the time itself; this is for one that cannot."""
        poll = select.poll()  # not select(), which fails for descriptors above 1023
        poll.register(self.stream, select.POLLIN)
        last = time.monotonic() + wall_s + busy_s + GRACE_S
        seconds = wall_s + GRACE_S
        while not poll.poll(seconds * 1000):
            if self.read_tester_cpu() - self.tester_cpu_before > wall_s:
                raise Stuck("hung")
            if time.monotonic() > last:
                raise WorkerLost("hung")
            seconds = LOOK_S

    def open_tester_clock(self, processes_above: int) -> int:
        """A descriptor for the tester's processor time; -1 where there is none."""
        pid = str(self.process.pid)
        try:
            for _ in range(processes_above):
                pid = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0]
            return os.open(f"/proc/{pid}/schedstat", os.O_RDONLY)
        except (OSError, IndexError):
            return -1

    def read_tester_cpu(self) -> float:
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
            self.last_words = self.process.stderr.read(STDERR_CAP).decode("utf-8", "replace")
        self.process.stderr.close()
        self.process.wait()
