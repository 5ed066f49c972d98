"""How a cell's process is started, and what is told of its end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from herl_bench.sweep.cells import Cell
from herl_bench.sweep.pools import CellEnd, LocalPool, SweepState, build_command, find_last_words, run_cells


@pytest.mark.parametrize(
    ("log", "code", "words"),
    [
        ("fine\n", 0, ""),
        ("", 1, "it said nothing (exit code 1)"),
        ("one\nTypeError: two\n\n", 1, "TypeError: two (exit code 1)"),
        ("herl-bench: no such task\nlast\n", 2, "no such task (exit code 2)"),
        ("herl-bench: warning: a plugin\nlast\n", 1, "last (exit code 1)"),
        ("x" * 2000, 1, f"{'x' * 500} (exit code 1)"),
        ("whatever\n", -9, "killed by SIGKILL"),
    ],
)
def test_a_cell_ends_with_its_last_words(tmp_path: Path, log: str, code: int, words: str):
    path = tmp_path / "cell.log"
    path.write_text(log)
    assert find_last_words(path, code) == words
    assert find_last_words(tmp_path / "none.log", 3) == "it said nothing (exit code 3)"


def test_only_who_asks_for_it_runs_a_models_own_code(tmp_path: Path):
    cell = Cell("gsm8k", "ppo", 0, 1, "", tmp_path / "run")
    assert build_command(cell)[-1] == str(tmp_path / "run")
    assert build_command(Cell("gsm8k", "ppo", 0, 1, "", tmp_path / "run", True))[-1] == "--trust_remote_code"


def test_a_cell_that_cannot_run_fails_and_the_others_go_on(tmp_path: Path):
    cells = [Cell("gsm8k", arm, 0, 1, "", tmp_path / arm) for arm in ("a", "b")]
    seen: list[SweepState] = []
    with open(tmp_path / "lock", "w") as lock:
        ends = run_cells(cells, LocalPool(1, lock.fileno()), seen.append, lambda: False)
    assert [end.cell.arm for end in ends] == ["a", "b"]
    assert all("no config.yaml there: name the folder of a run (exit code 2)" in end.reason for end in ends)
    assert len(seen[0].running) == 1
    assert isinstance(seen[-1].failed[0], CellEnd)


def test_cells_die_with_the_process_that_started_them(tmp_path: Path):
    """The kernel kills a process started by `DIE_WITH_PARENT` however its parent ends."""
    code = (
        "import subprocess, sys; from herl_bench.sweep.pools import DIE_WITH_PARENT\n"
        "child = subprocess.Popen([sys.executable, '-c', DIE_WITH_PARENT, '-c', 'import time; time.sleep(600)'])\n"
        "print(child.pid, flush=True); child.wait()"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    deadline = time.monotonic() + 60
    program = b"import time; time.sleep(600)"  # what it replaces itself by, alone
    while Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")[1:3] != [b"-c", program]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    parent.send_signal(signal.SIGKILL)
    parent.communicate(timeout=60)
    while is_alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """A zombie that nobody has asked after yet is dead."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (ProcessLookupError, FileNotFoundError):
        return False
