"""What this machine can do, found out by trying: each probe is a real attempt, with the cure where it fails.

Covers: the system, bubblewrap, namespaces, the interpreter inside, Landlock, seccomp. Leaves out: the attacks that
`herl-bench sandbox check` runs afterwards (`attacks.py`).
"""

from __future__ import annotations

import functools
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from herl_bench.errors import NoSandbox
from herl_bench.sandbox.inside.landlock import WITHOUT_NAMESPACES, read_abi
from herl_bench.sandbox.inside.syscalls import ARCHITECTURES
from herl_bench.sandbox.launch import can_leave_root
from herl_bench.sandbox.model import Limits
from herl_bench.sandbox.worker import Worker, WorkerLost, as_message

TRY_S = 20
WORDS_CAP = 200  # of what a failed attempt said: one line
NO_BWRAP = "apt-get install bubblewrap"


@dataclass(frozen=True)
class Probe:
    """needed: without it nothing runs."""

    name: str
    ok: bool
    found: str
    cure: str = ""
    needed: bool = True


def probe_system() -> Probe:
    found = f"{sys.platform} {platform.release()} on {platform.machine()}"
    return Probe("linux", sys.platform == "linux", found, "run it on Linux, or in a Linux virtual machine")


def probe_architecture() -> Probe:
    machine = platform.machine()
    return Probe("architecture", machine in ARCHITECTURES, machine, f"a machine of {' or '.join(ARCHITECTURES)}")


def probe_bubblewrap() -> Probe:
    path = shutil.which("bwrap")
    return Probe("bubblewrap", path is not None, path or "not found", NO_BWRAP)


def probe_namespaces() -> Probe:
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return Probe("namespaces", False, "not tried: no bubblewrap", NO_BWRAP)
    user = [] if can_leave_root() else ["--unshare-user"]
    usual = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--ro-bind", "/", "/", "--proc", "/proc"]
    trouble = try_command([bwrap, *user, *usual, "--", shutil.which("true") or "/bin/true"])
    cure = (
        "sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000"
        " kernel.apparmor_restrict_unprivileged_userns=0"
        if user
        else "this container forbids namespaces: start it with --security-opt seccomp=unconfined --cap-add SYS_ADMIN"
    )
    if read_abi() >= WITHOUT_NAMESPACES:
        cure += "; or ask for isolation='landlock', which is weaker"
    return Probe("namespaces", not trouble, trouble or "user, pid, net, ipc, mount", cure)


def try_command(line: list[str]) -> str:
    """Empty where it works, else what it said."""
    try:
        done = subprocess.run(
            line, capture_output=True, text=True, timeout=TRY_S, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    if done.returncode == 0:
        return ""
    return " ".join(done.stderr.split())[:WORDS_CAP] or f"exit code {done.returncode}"


def probe_landlock(tier: str = "namespaces") -> Probe:
    version = read_abi() if sys.platform == "linux" else 0
    found = f"ABI {version}" if version else "none"
    if tier == "landlock":
        cure = f"a kernel from 6.12 on (ABI {WITHOUT_NAMESPACES}) with lsm=landlock"
        return Probe("landlock", version >= WITHOUT_NAMESPACES, found, cure)
    cure = "a kernel from 5.13 on with lsm=landlock; the namespaces hold without it"
    return Probe("landlock", version > 0, found, cure, needed=False)


def probe_worker(tier: str = "namespaces") -> Probe:
    """The whole way: a worker, a confined candidate, a verdict."""
    try:
        worker = Worker(tier)
    except (WorkerLost, NoSandbox, OSError) as error:
        return Probe("worker", False, " ".join(str(error).split())[:WORDS_CAP], "see the probes above")
    try:
        answer = worker.run(make_self_test(tier))
    except WorkerLost as error:
        return Probe("worker", False, str(error), "see the probes above")
    finally:
        worker.close()
    found = "a confined program ran" if answer["status"] == "pass" else answer["detail"] or answer["results"][0][4]
    return Probe("worker", answer["status"] == "pass", found, "see the probes above; if all are well, please report it")


def make_self_test(tier: str) -> dict[str, Any]:
    """A job, as it is sent to a worker."""
    tests = {"self-test": f"assert inside({tier!r}) == []"}
    return {"code": SELF_TEST, "entry": "inside", "tests": tests, "limits": as_message(Limits())}


SELF_TEST = '''
import os, socket

def inside(tier):
    """What should be impossible and is not."""
    wrong = []
    if os.getuid() == 0: wrong.append("is root")
    for name, attempt in (
        ("reads /etc", lambda: os.listdir("/etc")),
        ("reads /proc", lambda: open("/proc/self/status")),
        ("forks", os.fork),
        ("writes to /", lambda: open("/planted", "w")),
        ("opens a socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)),
        ("signals its parent", lambda: os.kill(os.getppid() or 1, 0)),
    ):
        try: attempt()
        except OSError: continue
        wrong.append(name)
    if tier == "namespaces":
        if os.getpid() != 1: wrong.append("shares its pid namespace")
        with open("scratch", "w") as file: file.write("x")
    return wrong
'''

MACHINE = (probe_system, probe_architecture)
PROBES: dict[str, tuple[Callable[[], Probe], ...]] = {
    "namespaces": (*MACHINE, probe_bubblewrap, probe_namespaces, probe_landlock, probe_worker),
    "landlock": (*MACHINE, *(functools.partial(probe, "landlock") for probe in (probe_landlock, probe_worker))),
}
"""Tier -> its probes, the whole way last."""


def explain_failure(last_words: str, tier: str) -> str:
    """One line for NoSandbox, of a worker that did not start: the first needed probe that fails and its cure."""
    for run_probe in PROBES.get(tier, ())[:-1]:
        probe = run_probe()
        if not probe.ok and probe.needed:
            return describe_failure(probe)
    unsafe = "no safe sandbox here: " if tier in PROBES else ""
    return f"{unsafe}the worker did not start: {last_words[:300]}"


def describe_failure(failed: Probe) -> str:
    return f"no safe sandbox here: {failed.name} ({failed.found}): {failed.cure}"
