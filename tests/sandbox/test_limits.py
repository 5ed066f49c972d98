"""Every limit holds, and a program that stays below it is not disturbed: (limits, what fits, what does not, how that
ends)."""

from __future__ import annotations

from pathlib import Path

import pytest

from herl_bench.errors import UsageError
from herl_bench.sandbox import Job, Limits, Sandbox

FILL = "for i in range({n}):\n        with open(f'part{i}', 'wb') as file: file.write(bytes(1 << 20))"
THREADS = """import threading
    gate = threading.Event()
    threads = [threading.Thread(target=gate.wait) for _ in range({n})]
    try:
        for thread in threads: thread.start()
    finally: gate.set()"""
CASES = {
    "wall_s": (Limits(wall_s=0.6), "import time; time.sleep({n})", 0.05, 60, "timeout"),
    "cpu_s": (Limits(wall_s=20, cpu_s=1), "import time\n    while time.process_time() < {n}: pass", 0.1, 60, "timeout"),
    "memory_mb": (Limits(memory_mb=200), "block = bytearray({n} << 20)", 100, 220, "memory"),
    "scratch_mb": (Limits(scratch_mb=4), FILL, 3, 5, "fail"),
    "inodes": (Limits(inodes=50), "for i in range({n}): open(str(i), 'w').close()", 40, 60, "fail"),
    "threads": (Limits(threads=4), THREADS, 3, 4, "fail"),
    "open_files": (Limits(open_files=20), "import os; kept = [os.dup(0) for _ in range({n})]", 10, 20, "fail"),
    "file_mb": (Limits(file_mb=2), "open('one', 'wb').write(bytes({n} << 20))", 2, 3, "fail"),
    "message_mb": (Limits(message_mb=1), "return 'x' * ({n} << 10)", 1000, 1100, "fail"),
}


@pytest.mark.parametrize("name", CASES)
def test_limit(sandbox: Sandbox, name: str):
    limits, body, fits, too_much, end = CASES[name]
    for amount, status in ((fits, "pass"), (too_much, end)):
        verdict = sandbox.check(
            f"def f():\n    {body.replace('{n}', str(amount))}\n", "assert f() is not f", "f", limits
        )
        assert verdict.status == status, (amount, verdict)


def test_a_message_to_the_program_is_limited_too(sandbox: Sandbox):
    verdict = sandbox.check("def f(x): return 1", "assert f('x' * (2 << 20)) == 1", "f", Limits(message_mb=1))
    assert (verdict.status, verdict.detail) == ("refused", "the tests pass a value that is larger than message_mb")


FORKS = """import os, time
def f():
    made = 0
    try:
        while made < 50:
            if os.fork() == 0:
                time.sleep(600)
                os._exit(0)
            made += 1
    except BlockingIOError:
        pass
    return made
"""


@pytest.mark.parametrize("processes", [2, 6])
def test_processes_are_counted_and_end_with_the_run(sandbox: Sandbox, processes: int):
    verdict = sandbox.check(FORKS, f"assert f() == {processes - 1}", "f", Limits(processes=processes))
    assert verdict.status == "pass", verdict
    sandbox.check("def f(): return 1", "assert f() == 1", "f")  # the children of the one before have been reaped by now
    assert [path for path in Path("/proc").glob("[0-9]*/cmdline") if is_ours(path)] == []


def is_ours(cmdline: Path) -> bool:
    """A forked child of a program: a worker's process below the candidate, whose own parent is the spawner."""
    try:
        fields = (cmdline.parent / "status").read_text()
        numbers = next(line for line in fields.splitlines() if line.startswith("NSpid:")).split()
    except (OSError, StopIteration):
        return False
    return b"inside.main" in cmdline.read_bytes() and len(numbers) >= 5 and numbers[-1] != "1"


WITH_PROCESSES = {
    "subprocess": (
        "import subprocess, sys\ndef f(x):\n    done = subprocess.run([sys.executable, '-c', 'print(6 *"
        " int(input()))'], input=str(x), capture_output=True, text=True)\n    return int(done.stdout)"
    ),
    "shell pipe": (
        "import subprocess\ndef f(x):\n    return int(subprocess.run('seq 42 | tail -n 1', shell=True,"
        " capture_output=True, text=True, check=True).stdout) * x // 7"
    ),
    "fork and wait": (
        "import os\ndef f(x):\n    pid = os.fork()\n    if pid == 0: raise SystemExit(6 * x)\n"
        "    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"
    ),
    "multiprocessing": (
        "import multiprocessing\ndef six(x): return 6 * x\n"
        "def f(x):\n    with multiprocessing.Pool(2) as pool: return pool.map(six, [x])[0]"
    ),
}


@pytest.mark.parametrize("name", WITH_PROCESSES)
def test_honest_programs_with_processes(sandbox: Sandbox, name: str):
    verdict = sandbox.check(WITH_PROCESSES[name], "assert f(7) == 42", "f", Limits(processes=8, wall_s=10))
    assert verdict.status == "pass", verdict
    assert sandbox.check(WITH_PROCESSES[name], "assert f(7) == 42", "f").status == "fail"  # by default there is one


ESCAPES = {
    "new namespace by clone": (
        "import ctypes\nif ctypes.CDLL(None).syscall(56, 0x10000011, 0, 0, 0, 0) < 0: raise OSError"
    ),
    "new namespace by program": "import subprocess\nsubprocess.run(['unshare', '-U', 'true'], check=True)",
    "kill everybody else": "import os\nos.kill(-1, 9)\nraise OSError",
    "read the host by program": "import subprocess\nsubprocess.run(['cat', '/etc/passwd'], check=True)",
    "read the processes by program": (
        "import subprocess\nassert subprocess.run(['ps', 'ax'], check=True, capture_output=True).stdout"
    ),
    "run what was written": (
        "import os, shutil, subprocess\nshutil.copy('/usr/bin/true', 'x')\nos.chmod('x',"
        " 0o755)\nsubprocess.run(['./x'], check=True)"
    ),
    "listen": (
        "import subprocess, sys\nsubprocess.run([sys.executable, '-c', 'import socket; socket.socket()'], check=True)"
    ),
    "more processes than granted": (
        "import subprocess\nsubprocess.run('for i in 1 2 3 4 5 6; do sleep 9 & done; wait', shell=True, check=True,"
        " timeout=0.3)"
    ),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_processes_are_no_way_out(sandbox: Sandbox, name: str):
    body = ESCAPES[name].replace("\n", "\n    ")
    verdict = sandbox.check(
        f"def f():\n    {body}\n    return 'out'", "assert f() == 'out'", "f", Limits(processes=4, wall_s=2)
    )
    assert verdict.status not in ("pass", "infra"), verdict
    assert sandbox.check("def f(): return 1", "assert f() == 1", "f").status == "pass"


def test_processes_need_namespaces(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HERL_ALLOW_UNSAFE_EXECUTION", "1")
    with pytest.raises(UsageError, match="needs isolation='namespaces', not 'none'"):
        Sandbox(isolation="none").check("", "assert True", limits=Limits(processes=2))


def test_several_pools_at_once_do_not_share_their_counts():
    """Each candidate has a user namespace of its own, so one program's threads are not counted against another's."""
    code = f"def f():\n    {THREADS.replace('{n}', '20')}\n    return 1"
    job = Job(code, "f", "assert f() == 1", Limits(threads=24))
    with Sandbox(workers=1) as one, Sandbox(workers=1) as two:
        futures = [pool.submit(job) for _ in range(4) for pool in (one, two)]
        assert {future.result().status for future in futures} == {"pass"}
