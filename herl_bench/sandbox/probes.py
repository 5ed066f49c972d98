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
from dataclasses import asdict, dataclass
from typing import Any

TRY_S = 20


@dataclass(frozen=True)
class Probe:
    """needed: without it nothing runs."""

    name: str
    ok: bool
    found: str
    cure: str = ""
    needed: bool = True


def system() -> Probe:
    found = f"{sys.platform} {platform.release()} on {platform.machine()}"
    return Probe("linux", sys.platform == "linux", found, "run it on Linux, or in a Linux virtual machine")


def architecture() -> Probe:
    from herl_bench.sandbox.inside.syscalls import ARCHITECTURES

    machine = platform.machine()
    return Probe("architecture", machine in ARCHITECTURES, machine, f"a machine of {' or '.join(ARCHITECTURES)}")


def bubblewrap() -> Probe:
    path = shutil.which("bwrap")
    return Probe("bubblewrap", path is not None, path or "not found", "apt-get install bubblewrap")


def namespaces() -> Probe:
    from herl_bench.sandbox.inside.landlock import WITHOUT_NAMESPACES, abi
    from herl_bench.sandbox.launch import may_leave_root

    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return Probe("namespaces", False, "not tried: no bubblewrap", "apt-get install bubblewrap")
    user = [] if may_leave_root() else ["--unshare-user"]
    usual = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--ro-bind", "/", "/", "--proc", "/proc"]
    said = _try([bwrap, *user, *usual, "--", shutil.which("true") or "/bin/true"])
    cure = (
        "sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=15000"
        " kernel.apparmor_restrict_unprivileged_userns=0"
        if user
        else "this container forbids namespaces: start it with --security-opt seccomp=unconfined --cap-add SYS_ADMIN"
    )
    if abi() >= WITHOUT_NAMESPACES:
        cure += "; or ask for isolation='landlock', which is weaker"
    return Probe("namespaces", said is None, said or "user, pid, net, ipc, mount", cure)


def _try(line: list[str]) -> str | None:
    """None where the command works, else what it said."""
    try:
        done = subprocess.run(
            line, capture_output=True, text=True, timeout=TRY_S, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    return None if done.returncode == 0 else " ".join(done.stderr.split())[:200] or f"exit code {done.returncode}"


def landlock(tier: str = "namespaces") -> Probe:
    from herl_bench.sandbox.inside.landlock import WITHOUT_NAMESPACES, abi

    version = abi() if sys.platform == "linux" else 0
    found = f"ABI {version}" if version else "none"
    if tier == "landlock":
        return Probe(
            "landlock",
            version >= WITHOUT_NAMESPACES,
            found,
            f"a kernel from 6.12 on (ABI {WITHOUT_NAMESPACES}) with lsm=landlock",
        )
    return Probe(
        "landlock",
        version > 0,
        found,
        "a kernel from 5.13 on with lsm=landlock; the namespaces hold without it",
        needed=False,
    )


def worker(tier: str = "namespaces") -> Probe:
    """The whole way: a worker, a confined candidate, a verdict."""
    from herl_bench.errors import NoSandbox
    from herl_bench.sandbox.pool import Worker, WorkerLost

    try:
        lone = Worker(tier)
    except (WorkerLost, NoSandbox, OSError) as error:
        return Probe("worker", False, " ".join(str(error).split())[:200], "see the probes above")
    try:
        answer = lone.run(self_test(tier))
    except WorkerLost as error:
        return Probe("worker", False, str(error), "see the probes above")
    finally:
        lone.close()
    found = "a confined program ran" if answer["status"] == "pass" else answer["detail"] or answer["results"][0][4]
    return Probe("worker", answer["status"] == "pass", found, "see the probes above; if all are well, please report it")


def self_test(tier: str) -> dict[str, Any]:
    """A job, as it is sent to a worker."""
    from herl_bench.sandbox.model import Limits

    tests = {"self-test": f"assert inside({tier!r}) == []"}
    return {"code": SELF_TEST, "entry": "inside", "tests": tests, "limits": asdict(Limits())}


SELF_TEST = '''
import os, socket

def inside(tier):
    """What should be impossible and is not."""
    wrong = []
    if os.getuid() == 0: wrong.append("is root")
    for name, attempt in (
        ("reads /etc", lambda: os.listdir("/etc")), ("reads /proc", lambda: open("/proc/self/status")), ("forks", os.fork),
        ("writes to /", lambda: open("/planted", "w")), ("opens a socket", lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)),
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

PROBES: dict[str, tuple[Callable[[], Probe], ...]] = {
    "namespaces": (system, architecture, bubblewrap, namespaces, landlock, worker),
    "landlock": (system, architecture, functools.partial(landlock, "landlock"), functools.partial(worker, "landlock")),
}
"""Tier -> its probes, the whole way last."""


def failure(said: str, tier: str = "namespaces") -> str:
    """One line for NoSandbox: the first needed probe that fails, and its cure."""
    for probe in PROBES[tier][:-1]:
        result = probe()
        if not result.ok and result.needed:
            return complaint(result)
    return f"no safe sandbox here: the worker did not start: {said[:300]}"


def complaint(failed: Probe) -> str:
    return f"no safe sandbox here: {failed.name} ({failed.found}): {failed.cure}"
