"""Workers die, hosts die, many jobs run: what the pool does then."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from herl_bench.errors import NoSandbox, UsageError
from herl_bench.sandbox import Job, Limits, Sandbox, Stdio, attacks, probes
from herl_bench.sandbox.pool import AHEAD

HONEST = Job(attacks.HONEST, "add", {"test": attacks.TEST})


def descendants(root: int) -> set[int]:
    """Every process below `root`, whatever its namespace."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
    found = {root}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {root}


def alive(pids: set[int]) -> set[int]:
    found = set()
    for pid in pids:
        with contextlib.suppress(OSError):  # it ends while it is looked at
            if " Z " not in Path(f"/proc/{pid}/stat").read_text():
                found.add(pid)
    return found


def wait_until_gone(pids: set[int], seconds: float = 10.0) -> set[int]:
    end = time.monotonic() + seconds
    while (left := alive(pids)) and time.monotonic() < end:
        threading.Event().wait(0.02)
    return left


def test_order_is_kept_over_workers():
    jobs = (Job(f"def f(): return {i}", "f", {"t": f"assert f() == {i if i % 3 else -1}"}) for i in range(40))
    with Sandbox(workers=2) as sandbox:
        verdicts = list(sandbox.map(jobs))
    assert [verdict.status for verdict in verdicts] == ["pass" if i % 3 else "fail" for i in range(40)]


def test_map_reads_only_a_little_ahead(sandbox: Sandbox):
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield HONEST

    verdicts = sandbox.map(endless())
    assert [next(verdicts).status for _ in range(5)] == ["pass"] * 5
    verdicts.close()
    assert 5 < len(taken) <= 5 + AHEAD * sandbox.workers + 1


def test_many_threads_may_share_one(sandbox: Sandbox):
    with ThreadPoolExecutor(6) as threads:
        assert {verdict.status for verdict in threads.map(sandbox.check, [HONEST] * 24)} == {"pass"}


def test_a_killed_worker_is_replaced_and_its_job_tried_again():
    before = descendants(os.getpid())
    with Sandbox(workers=1) as sandbox:
        slow = sandbox.submit(
            Job("import time\ndef f():\n    time.sleep(0.4)\n    return 1", "f", {"t": "assert f() == 1"})
        )
        pids = descendants(os.getpid()) - before
        threading.Event().wait(0.1)
        for worker in list(sandbox._pool.running):
            worker.process.kill()
        assert slow.result().status == "pass"
        assert sandbox.check(HONEST).status == "pass"
        assert wait_until_gone(pids) == set()


@pytest.mark.parametrize("victim", ["tester", "spawner"])
def test_any_part_of_a_worker_may_die(victim: str):
    before = descendants(os.getpid())
    with Sandbox(workers=1) as sandbox:
        inside = sorted(pid for pid in descendants(os.getpid()) - before if is_python(pid))
        os.kill(inside[0] if victim == "tester" else inside[1], signal.SIGKILL)
        assert [verdict.status for verdict in sandbox.map([HONEST] * 3)] == ["pass"] * 3


def test_tests_that_kill_the_tester_are_refused(sandbox: Sandbox):
    verdict = sandbox.check(Job("def f(): return 1", "f", {"t": "import os\nos._exit(3)\nassert f() == 1"}))
    assert (verdict.status, verdict.detail) == ("refused", "the tests end the process that runs them")
    assert sandbox.check(HONEST).status == "pass"


def test_a_tester_that_cannot_even_notice_the_time_is_ended():
    """One long call that no alarm interrupts: many keys of the same hash."""
    flood = "def f(): return [i * (2 ** 61 - 1) for i in range(1, 60000)]"
    job = Job(flood, "f", {"t": "assert len(set(f())) == 1"}, Limits(wall_s=0.5))
    with Sandbox(workers=1) as sandbox:
        verdict = sandbox.check(job)
        assert (verdict.status, verdict.detail) == ("timeout", "the tests did not come to an end")
        assert sandbox.check(HONEST).status == "pass"


def test_tests_that_hang_are_stopped(sandbox: Sandbox):
    job = Job(
        "def f(): return 1",
        "f",
        {"t": "while True:\n    try:\n        while True: pass\n    except BaseException: pass"},
        Limits(wall_s=0.4),
    )
    assert sandbox.check(job).status == "timeout"
    assert sandbox.check(HONEST).status == "pass"


def test_closing_leaves_no_process():
    sandbox = Sandbox(workers=2)
    before = descendants(os.getpid())
    list(sandbox.map([HONEST] * 4))
    ours = descendants(os.getpid()) - before
    assert len(ours) >= 6
    sandbox.close()
    assert wait_until_gone(ours) == set()
    assert sandbox.check(HONEST).status == "pass"  # a closed one starts again
    sandbox.close()


def test_closing_ends_running_and_waiting_jobs():
    sandbox = Sandbox(workers=1)
    sandbox.check(HONEST)
    hang = Job("import time\ndef add(a, b): time.sleep(600)", "add", {"test": attacks.TEST}, Limits(wall_s=600))
    futures = [sandbox.submit(hang) for _ in range(3)]
    sandbox.close()
    assert {future.result(10).status for future in futures} == {"infra"}


def test_a_forgotten_sandbox_is_cleaned_up():
    before = descendants(os.getpid())
    sandbox = Sandbox(workers=1)
    sandbox.check(HONEST)
    ours = descendants(os.getpid()) - before
    del sandbox
    assert wait_until_gone(ours) == set()


HOST = """
import sys
from herl_bench.sandbox import Job, Sandbox
sandbox = Sandbox(workers=2, isolation=sys.argv[1])
sandbox.check(Job("def f(): return 1", "f", {"t": "assert f() == 1"}))
hang = "while True: pass"
futures = [sandbox.submit(Job(hang, "f", {"t": "assert f() == 1"})) for _ in range(2)]
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize("isolation", ["namespaces", "landlock"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_host_leaves_no_process_mount_or_file(number: int, isolation: str, tmp_path: Path):
    if isolation == "landlock" and not (probe := probes.probe_worker("landlock")).ok:
        pytest.skip(probe.found)
    mounts = Path("/proc/self/mountinfo").read_text()
    line = [sys.executable, "-c", HOST, isolation]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    host = subprocess.Popen(
        line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment
    )
    assert host.stdin is not None
    assert host.stdout is not None
    assert host.stdout.readline() == b"ready\n"
    ours = descendants(host.pid)
    assert len(ours) >= (6 if isolation == "namespaces" else 3)
    host.send_signal(number)
    host.communicate(timeout=60)
    assert wait_until_gone(ours) == set()
    assert Path("/proc/self/mountinfo").read_text() == mounts
    assert list(tmp_path.iterdir()) == []


def test_a_forked_host_makes_workers_of_its_own_beside_threads_of_torch():
    code = """
        import os, sys, torch
        from herl_bench.sandbox import Job, Sandbox
        torch.set_num_threads(2)
        assert float((torch.ones(600, 600) @ torch.ones(600, 600)).sum()) == 600 ** 3  # its threads have started
        job = Job("def f(): return 1", "f", {"t": "assert f() == 1"})
        with Sandbox(workers=1) as sandbox:
            child = os.fork()
            if child == 0:
                status = sandbox.check(job).status
                sandbox.close()
                os._exit(0 if status == "pass" else 1)
            _, ended = os.waitpid(child, 0)
            print(ended, sandbox.check(job).status)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.stdout, done.stderr) == ("0 pass\n", "")


MIXED = [
    (HONEST, "pass"),
    (Job("import os\nos._exit(1)", "add", attacks.TEST), "crash"),
    (Job("def add(a, b): return {a: b}", "add", attacks.TEST), "fail"),
    (Job("1 / 0", "add", attacks.TEST), "error"),
    (Job("print(input())", "", [Stdio("4", "4")]), "pass"),
]


@pytest.mark.parametrize("runs", [200, pytest.param(1000, marks=pytest.mark.long)])
def test_many_runs_leak_nothing(runs: int):
    """No descriptor, no process, no zombie, no memory: of the host's or of a worker's, after so many runs and after
    five times as many."""

    def state(before: set[int]) -> tuple[int, int, list[int], int]:
        """(the host's descriptors, processes, the most descriptors of one, MB in all)"""
        pids = sorted(descendants(os.getpid()) - before)
        mine = resident_mb(os.getpid()) + sum(resident_mb(pid) for pid in pids)
        return len(os.listdir("/proc/self/fd")), len(pids), max(descriptors(pid) for pid in pids), mine

    def run(count: int) -> None:
        jobs, expected = zip(*(MIXED * (count // len(MIXED))), strict=True)
        assert tuple(verdict.status for verdict in sandbox.map(jobs)) == expected

    before = descendants(os.getpid())
    with Sandbox(workers=2) as sandbox:
        run(runs)
        sandbox.check(HONEST)
        early = state(before)
        run(4 * runs)
        sandbox.check(HONEST)
        late = state(before)
    assert late[0] == early[0]
    assert abs(late[1] - early[1]) <= 4, "each worker has one candidate that waits, and up to two that are just dying"
    assert late[2] < 40
    assert late[3] < early[3] + 25


def descriptors(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))
    except OSError:
        return 0


def resident_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return 0.0


def test_a_part_that_hangs_is_replaced_and_its_job_tried_again():
    before = descendants(os.getpid())
    job = Job(attacks.HONEST, "add", attacks.TEST, Limits(wall_s=0.3, busy_s=0.1))
    with Sandbox(workers=1) as sandbox:
        for place in (0, 1):  # the tester, the spawner
            inside = sorted(pid for pid in descendants(os.getpid()) - before if is_python(pid))
            os.kill(inside[place], signal.SIGSTOP)
            assert sandbox.check(job).status == "pass"


def is_python(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:  # a candidate that has just died
        return False
    return b"bwrap" not in words[0] and any(b"inside.main" in word for word in words)


def test_a_tester_out_of_memory_spoils_nothing(sandbox: Sandbox):
    """It is the tests that need too much: infra, and the next job runs."""
    verdict = sandbox.check("def f(): return 1", "block = bytearray(2 << 30)\nassert f() == 1", "f")
    assert verdict.status == "fail"
    assert "MemoryError" in verdict.detail
    assert sandbox.check(HONEST).status == "pass"


def test_many_pools_at_once():
    pools = [Sandbox(workers=1) for _ in range(5)]
    with ThreadPoolExecutor(5) as threads:
        statuses = threads.map(lambda pool: [verdict.status for verdict in pool.map([HONEST] * 4)], pools)
        assert list(statuses) == [["pass"] * 4] * 5
    for pool in pools:
        pool.close()


def test_limits_of_one_job_are_its_own(sandbox: Sandbox):
    hungry = "def f():\n    x = bytearray(b'x') * (300 << 20)\n    return 1"
    statuses = [
        sandbox.check(Job(hungry, "f", {"t": "assert f() == 1"}, limits)).status
        for limits in (Limits(memory_mb=200), None, Limits(memory_mb=200))
    ]
    assert statuses == ["memory", "pass", "memory"]


@pytest.mark.parametrize(
    "wrong",
    [{"wall_s": 0}, {"wall_s": float("nan")}, {"memory_mb": 1.5}, {"threads": -1}, {"processes": 33}, {"cpu_s": True}],
)
def test_wrong_limits_are_named(wrong: dict[str, float]):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Limits(**wrong)  # type: ignore[arg-type]


def test_unsafe_execution_needs_an_explicit_wish(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("HERL_ALLOW_UNSAFE_EXECUTION", raising=False)
    with pytest.raises(NoSandbox, match="HERL_ALLOW_UNSAFE_EXECUTION=1"):
        Sandbox(isolation="none")
    monkeypatch.setenv("HERL_ALLOW_UNSAFE_EXECUTION", "1")
    with Sandbox(workers=1, isolation="none") as sandbox:
        verdict = sandbox.check(HONEST)
    assert (verdict.status, verdict.tier) == ("pass", "none")


def test_a_job_of_the_wrong_kind_is_named_and_harms_no_other(sandbox: Sandbox):
    futures = [sandbox.submit(HONEST)]
    for wrong in (
        Job(None, "add", "assert add(1, 2) == 3"),
        Job(b"", "add", ""),
        Job("", 3, ""),
        Job("", "", [Stdio(1, "")]),
    ):  # type: ignore[arg-type, list-item]
        with pytest.raises(UsageError, match=r"Job|tests of group"):
            sandbox.submit(wrong)
        futures.append(sandbox.submit(HONEST))
    assert [future.result().status for future in futures] == ["pass"] * 5


def test_wrong_arguments_are_named():
    with pytest.raises(UsageError, match="choose from auto, namespaces, landlock, none"):
        Sandbox(isolation="docker")
    with pytest.raises(UsageError, match="workers=0"):
        Sandbox(workers=0)
