"""Run cells: many runs, each in a process of its own, several at a time, so that nothing that is finished is ever lost.

A cell's folder gets its `config.yaml` first, whole; then `herl-bench run --resume FOLDER` does the work, be it from
nothing or from the last checkpoint. So a sweep that was killed at any moment goes on with the same command: finished
cells are kept, begun ones resumed, and each ends with the bytes of a run that was never stopped. A cell that fails is
reported, and the others go on.

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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from herl_bench.errors import DataError, UsageError
from herl_bench.reading import parse_json, parse_yaml, read_text
from herl_bench.saving import saving, write_whole
from herl_bench.settings import with_defaults

POLL_S = 0.2
# prctl(PR_SET_PDEATHSIG, SIGKILL), then the program itself. Not between fork and exec: Ray's workers have threads that
# do not survive a fork.
DIE_WITH_PARENT = (
    "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
TAIL = 16_384
LONGEST = 500
"""Characters of a cell's last words."""


@dataclass(frozen=True)
class Cell:
    """One run to make. config: the text of its `config.yaml`. directory: where it lies."""

    task: str
    arm: str
    seed: int
    budget: int
    config: str
    directory: Path

    @property
    def log(self) -> Path:
        return self.directory.with_name(f"{self.directory.name}.log")


def finished(directory: Path) -> bool:
    """Both are written last and whole: the trained policy, then the evaluation of it."""
    return (directory / "final" / "config.json").is_file() and any(
        (directory / "eval" / "after").glob("results_*.json")
    )


def tokens_spent(directory: Path) -> int:
    """Of the run so far, out of the last whole row of its `metrics.jsonl`."""
    try:
        with open(directory / "metrics.jsonl", "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL))
            lines = file.read().split(b"\n")
        return int(parse_json(lines[-2], "metrics.jsonl")["tokens"]) if len(lines) > 1 else 0
    except (OSError, DataError, ValueError, KeyError, TypeError):
        return 0


# ----------------------------------------------------------------------------------------------------------- the folder
def prepare(cells: Sequence[Cell]) -> None:
    """Write every cell's configuration. Raises `UsageError` where a folder holds another run than the one asked for,
    naming the difference."""
    for cell in cells:
        place = cell.directory / "config.yaml"
        if place.is_file():
            if told := difference(read_text(place, "the configuration"), cell.config):
                raise UsageError(
                    f"{cell.directory} was made with {told}: choose another --output_dir, or ask for the same"
                )
        else:
            with saving(place):
                cell.directory.mkdir(parents=True, exist_ok=True)
            write_whole(place, cell.config)


def difference(there: str, wanted: str) -> str:
    """The first setting in which two configurations differ, in words; empty where they are the same."""
    old, new = (_flat(parse_yaml(text, "config.yaml") or {}) for text in (there, wanted))
    for name in dict.fromkeys([*new, *old]):
        if old.get(name) != new.get(name):
            return f"{name}={old.get(name)}, and this asks for {new.get(name)}"
    return ""


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    return {**{k: v for k, v in with_defaults(values).items() if k != "set"}, **(values.get("set") or {})}


# ------------------------------------------------------------------------------------------------------------ the cells
@dataclass(frozen=True)
class Ended:
    """code: the process's exit code (negative: the signal that killed it). reason: its last words, where it failed."""

    cell: Cell
    code: int
    reason: str = ""


class Pool(Protocol):
    """Where cells run."""

    def free(self) -> bool:
        """Can another cell be started?"""

    def start(self, cell: Cell) -> None: ...

    def ended(self) -> list[Ended]:
        """The cells that ended since the last call."""

    def stop(self) -> None:
        """Ask what still runs to save a checkpoint and end."""

    def close(self) -> None:
        """End what still runs at once."""


@dataclass(frozen=True)
class Progress:
    """What an onlooker is told, several times a second."""

    waiting: Sequence[Cell]
    running: Sequence[Cell]
    kept: Sequence[Cell]
    done: Sequence[Cell]
    failed: Sequence[Ended]
    stopping: bool = False


def run_cells(
    cells: Sequence[Cell], pool: Pool, report: Callable[[Progress], None], stopping: Callable[[], bool]
) -> list[Ended]:
    """Run every cell that is not finished; gives those that failed. stopping: once true, nothing more is started and
    what runs is asked to end."""
    kept = [cell for cell in cells if finished(cell.directory)]
    waiting = [cell for cell in cells if cell not in kept]
    running: list[Cell] = []
    done: list[Cell] = []
    failed: list[Ended] = []
    asked = False
    try:
        while running or (waiting and not stopping()):
            while waiting and pool.free() and not stopping():
                running.append(waiting.pop(0))
                pool.start(running[-1])
            if stopping() and not asked:
                asked = True
                pool.stop()
            for ended in pool.ended():
                running.remove(ended.cell)
                if ended.code == 0 and finished(ended.cell.directory):
                    done.append(ended.cell)
                else:
                    failed.append(ended)
            report(Progress(waiting, running, kept, done, failed, asked))
            time.sleep(POLL_S)
    finally:
        pool.close()
    return failed


def command(cell: Cell) -> list[str]:
    """Starts the run, in a process that the kernel kills when the one that started it ends, however that ends."""
    return [
        sys.executable,
        "-c",
        DIE_WITH_PARENT,
        "-m",
        "herl_bench",
        "run",
        "--resume",
        str(cell.directory.absolute()),
    ]


def environment() -> dict[str, str]:
    """One thread per cell: for small policies more threads only wait for each other, and results depend on their
    number."""
    return {**os.environ, "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS", "1")}


def last_words(log: Path, code: int) -> str:
    """The line with which a cell failed."""
    try:
        lines = [
            line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()
        ]
    except OSError:
        lines = []
    own = [line for line in lines if line.startswith("herl-bench: ") and not line.startswith("herl-bench: warning: ")]
    told = own[-1].removeprefix("herl-bench: ") if own else lines[-1] if lines else "it said nothing"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"{told[:LONGEST]} (exit code {code})"


class LocalPool:
    """Processes on this machine, at most `jobs` at a time. lock: a descriptor that they inherit and hold."""

    def __init__(self, jobs: int, lock: int):
        self.jobs, self.lock = jobs, lock
        self.processes: dict[Cell, subprocess.Popen[bytes]] = {}

    def free(self) -> bool:
        return len(self.processes) < self.jobs

    def start(self, cell: Cell) -> None:
        with saving(cell.log), open(cell.log, "wb") as log:
            self.processes[cell] = subprocess.Popen(
                command(cell),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(),
                pass_fds=[self.lock],
                process_group=0,  # Ctrl-C is the sweep's to pass on
            )

    def ended(self) -> list[Ended]:
        found = [(cell, code) for cell, process in self.processes.items() if (code := process.poll()) is not None]
        for cell, _ in found:
            del self.processes[cell]
        return [Ended(cell, code, "" if code == 0 else last_words(cell.log, code)) for cell, code in found]

    def stop(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGINT)

    def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()


class RayPool:
    """Tasks on a Ray cluster, one processor each, and one GPU each where the cluster has any. A task whose node is lost
    is run again elsewhere."""

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

    def free(self) -> bool:
        return True  # Ray queues what does not fit

    def start(self, cell: Cell) -> None:
        places = [str(path.absolute()) for path in (cell.directory, cell.log, self.folder / ".sweep")]
        reference = self.remote.options(name=f"herl-bench {cell.directory.name}").remote(
            command(cell)[1:], *places, self.token
        )
        self.tasks[reference] = cell

    def ended(self) -> list[Ended]:
        ready, _ = self.ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=0) if self.tasks else ([], [])
        out = []
        for reference in ready:
            cell = self.tasks.pop(reference)
            try:
                code, reason = self.ray.get(reference)
            except Exception as error:  # whatever happened to the task, the other cells go on
                code, reason = 1, f"Ray: {str(error).strip().splitlines()[-1]}"
            out.append(Ended(cell, code, reason))
        return out

    def stop(self) -> None:
        for reference in self.tasks:
            self.ray.cancel(reference)

    def close(self) -> None:
        for reference in self.tasks:
            self.ray.cancel(reference, force=True)
        self.ray.shutdown()


def run_on_node(words: Sequence[str], directory: str, log: str, token_file: str, token: str) -> tuple[int, str]:
    """What a Ray task does: the cell's command, in a process that dies with this one. Gives exit code and last
    words."""
    seen = Path(token_file)
    if not seen.is_file() or seen.read_text(encoding="utf-8") != token:
        return (
            1,
            (
                f"node {os.uname().nodename} does not see {seen.parent}: choose an --output_dir on storage that all"
                " nodes share"
            ),
        )
    if finished(Path(directory)):  # the node was lost between the cell's end and the report of it
        return 0, ""
    with open(log, "ab") as file:
        process = subprocess.Popen(
            [sys.executable, *words], stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT, env=environment()
        )
        try:
            code = process.wait()
        except KeyboardInterrupt:  # how Ray cancels a task
            process.send_signal(signal.SIGINT)
            code = process.wait()
    return code, "" if code == 0 else last_words(Path(log), code)
