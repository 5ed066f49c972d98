"""Where cells run: each in a process of its own, several at a time, on this machine or on a Ray cluster, so that
nothing that is finished is ever lost. A cell that fails is reported, and the others go on.

Cells on this machine die with the sweep (`PR_SET_PDEATHSIG`), and hold its lock while they live, so that two never
write one folder. On Ray each cell is a task that runs the same command on some node; the folder must then lie on
storage that all nodes see, which is also how a cell whose node was lost goes on elsewhere.

Left out: moving results between machines, and stopping a cell because another does better.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from herl_bench.errors import UsageError
from herl_bench.runs import RunFiles
from herl_bench.saving import saving, write_whole
from herl_bench.sweep.cells import Cell

POLL_S = 0.2
# prctl(PR_SET_PDEATHSIG, SIGKILL), then the program itself. Not between fork and exec: Ray's workers have threads that
# do not survive a fork.
DIE_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
LONGEST = 500
"""Characters of a cell's last words."""


@dataclass(frozen=True)
class CellEnd:
    """code: the process's exit code (negative: the signal that killed it). reason: its last words, where it failed."""

    cell: Cell
    code: int
    reason: str = ""


@dataclass(frozen=True)
class SweepState:
    """What an onlooker is told, several times a second."""

    waiting: Sequence[Cell]
    running: Sequence[Cell]
    kept: Sequence[Cell]
    done: Sequence[Cell]
    failed: Sequence[CellEnd]
    stopping: bool = False


def run_cells(
    cells: Sequence[Cell], pool: Pool, report: Callable[[SweepState], None], stopping: Callable[[], object]
) -> list[CellEnd]:
    """Run what is not finished; gives what failed. stopping: once true, nothing starts, and what runs is to end."""
    kept = tuple(cell for cell in cells if cell.files.finished)
    waiting = [cell for cell in cells if cell not in kept]
    running: list[Cell] = []
    done: list[Cell] = []
    failed: list[CellEnd] = []
    asked = False
    try:
        while running or (waiting and not stopping()):
            while waiting and pool.has_room() and not stopping():
                running.append(waiting.pop(0))
                pool.start(running[-1])
            if stopping() and not asked:
                asked = True
                pool.stop()
            for end in pool.collect():
                running.remove(end.cell)
                if end.code == 0 and end.cell.files.finished:
                    done.append(end.cell)
                else:
                    failed.append(end)
            report(SweepState(tuple(waiting), tuple(running), kept, tuple(done), tuple(failed), asked))
            time.sleep(POLL_S)
    finally:
        pool.close()
    return failed


# --------------------------------------------------------------------------------------------------- a cell's process
def build_command(cell: Cell) -> list[str]:
    """Python's arguments for the run, in a process that the kernel kills when its parent ends, however that ends."""
    words = ["-c", DIE_WITH_PARENT, "-m", "herl_bench", "run", "--resume", str(cell.directory.absolute())]
    return [*words, "--trust_remote_code"] if cell.trust_remote_code else words


def start_process(
    arguments: Sequence[str], log: IO[bytes], *, alone: bool = False, **options: Any
) -> subprocess.Popen[bytes]:
    """Python, writing all it says into the log. One thread per cell, because several cells share the processors; alone:
    as many as suit its model."""
    streams: Any = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": subprocess.STDOUT}
    environment = {**({} if alone else {"OMP_NUM_THREADS": "1"}), **os.environ}
    return subprocess.Popen([sys.executable, *arguments], env=environment, **streams, **options)


def find_last_words(log: Path, code: int) -> str:
    """The line with which a cell failed; empty for one that did not."""
    if code == 0:
        return ""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith("herl-bench: ") and not line.startswith("herl-bench: warning: ")]
    words = ours[-1].removeprefix("herl-bench: ") if ours else lines[-1] if lines else "it said nothing"
    return f"{words[:LONGEST]} (exit code {code})"


class LocalPool:
    """Processes on this machine, at most `jobs` at a time. lock: a descriptor that they inherit and hold."""

    def __init__(self, jobs: int, lock: int):
        self.jobs, self.lock = jobs, lock
        self.processes: dict[Cell, subprocess.Popen[bytes]] = {}

    def has_room(self) -> bool:
        """Can another cell be started?"""
        return len(self.processes) < self.jobs

    def start(self, cell: Cell) -> None:
        with saving(cell.log), open(cell.log, "wb") as log:
            # of a process group of its own: Ctrl-C is the sweep's to pass on
            how: dict[str, Any] = {"alone": self.jobs == 1, "pass_fds": [self.lock], "process_group": 0}
            self.processes[cell] = start_process(build_command(cell), log, **how)

    def collect(self) -> list[CellEnd]:
        """The cells that ended since the last call."""
        ended = [(cell, code) for cell, process in self.processes.items() if (code := process.poll()) is not None]
        for cell, _ in ended:
            del self.processes[cell]
        return [CellEnd(cell, code, find_last_words(cell.log, code)) for cell, code in ended]

    def stop(self) -> None:
        """Ask what still runs to save a checkpoint and end."""
        for process in self.processes.values():
            process.send_signal(signal.SIGINT)

    def close(self) -> None:
        """End what still runs at once."""
        for process in self.processes.values():
            process.kill()
            process.wait()


# ------------------------------------------------------------------------------------------------------------------ Ray
class RayPool:
    """Tasks on a Ray cluster, each with a processor, and a GPU if it has any; run again if the node is lost."""

    def __init__(self, address: str, folder: Path):
        try:
            import ray
        except ImportError:
            raise UsageError("--ray needs the package ray: pip install 'herl-bench[ray]'") from None
        self.ray = ray
        try:
            ray.init(address=address, log_to_driver=False, ignore_reinit_error=True, logging_level="ERROR")
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UsageError(f"--ray {address}: no cluster answers there: {str(error).splitlines()[0]}") from None
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        self.remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=-1)(run_on_node)
        self.token = f"{os.getpid()}-{time.time_ns()}"
        write_whole(folder / ".sweep", self.token)
        self.folder = folder
        self.tasks: dict[Any, Cell] = {}

    def has_room(self) -> bool:
        return True  # Ray queues what does not fit

    def start(self, cell: Cell) -> None:
        places = [str(path.absolute()) for path in (cell.directory, cell.log, self.folder / ".sweep")]
        task = self.remote.options(name=f"herl-bench {cell.directory.name}")
        self.tasks[task.remote(build_command(cell), *places, self.token)] = cell

    def collect(self) -> list[CellEnd]:
        ready, _ = self.ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=0) if self.tasks else ([], [])
        ends = []
        for reference in ready:
            cell = self.tasks.pop(reference)
            try:
                code, reason = self.ray.get(reference)
            except Exception as error:  # whatever happened to the task, the other cells go on
                code, reason = 1, f"Ray: {str(error).strip().splitlines()[-1]}"
            ends.append(CellEnd(cell, code, reason))
        return ends

    def stop(self) -> None:
        for reference in self.tasks:
            self.ray.cancel(reference)

    def close(self) -> None:
        for reference in self.tasks:
            self.ray.cancel(reference, force=True)
        self.ray.shutdown()


def run_on_node(words: Sequence[str], directory: str, log: str, token_file: str, token: str) -> tuple[int, str]:
    """A Ray task: the cell's command, in a process that dies with this one. Gives exit code and last words."""
    seen = Path(token_file)
    if not seen.is_file() or seen.read_text(encoding="utf-8") != token:
        node = os.uname().nodename
        return 1, f"node {node} does not see {seen.parent}: choose an --output_dir on storage that all nodes share"
    if RunFiles(Path(directory)).finished:  # the node was lost between the cell's end and the report of it
        return 0, ""
    with open(log, "ab") as file:
        process = start_process(words, file)
        try:
            code = process.wait()
        except KeyboardInterrupt:  # how Ray cancels a task
            process.send_signal(signal.SIGINT)
            code = process.wait()
    return code, find_last_words(Path(log), code)


Pool = LocalPool | RayPool
