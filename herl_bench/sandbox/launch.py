"""How a worker is started: the bubblewrap command line and the interpreter inside it.

Covers: the file tree that the worker sees (this interpreter, the system's libraries, our own `inside` modules, all read-only; an empty
/tmp; no /home, /etc, /sys, /var), new namespaces, no network, no environment. As root the worker leaves root for uid 65534 before any
candidate runs: a user namespace alone would leave it the host's uid 0. Leaves out: what each candidate loses on top (`inside/spawner.py`).
"""

from __future__ import annotations

import compileall
import contextlib
import functools
import json
import os
import sys
from pathlib import Path

INSIDE = Path(__file__).parent / "inside"
NOBODY = 65534
LIBRARIES = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo")
TOP_LEVEL = ("/lib", "/lib32", "/lib64")
WORKER_TMP_BYTES = 1 << 20
ENVIRONMENT = {
    "PATH": "/usr/bin",
    "LANG": "C.UTF-8",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "PYTHONHASHSEED": "0",  # the same iteration order of sets in every run: verdicts must not depend on chance
    "PYTHONDONTWRITEBYTECODE": "1",
    "MALLOC_ARENA_MAX": "2",  # an arena per thread would eat the candidate's address space
    "OPENBLAS_NUM_THREADS": "1",
}
START = "import sys; sys.path.insert(0, {home!r}); from inside.main import main; main()"


def interpreter() -> tuple[str, list[str]]:
    """The base interpreter behind any virtual environment, and the trees that it needs beside the system's libraries."""
    executable = os.path.realpath(sys.executable)
    prefixes = {os.path.realpath(sys.base_prefix), os.path.realpath(sys.base_exec_prefix)}
    return executable, sorted(prefix for prefix in prefixes if prefix not in ("/usr", "/usr/local"))


@functools.cache
def compile_inside() -> None:
    """Workers import these modules from a read-only tree; without cached bytecode each start would compile them again."""
    with contextlib.suppress(OSError):
        compileall.compile_dir(INSIDE, quiet=2)


def command(bwrap: str, descriptor: int, root: bool) -> list[str]:
    compile_inside()
    executable, prefixes = interpreter()
    line = [bwrap, "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    line += ["--cap-drop", "ALL"]
    line += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if root else ["--unshare-user"]
    line += ["--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"]
    for name, value in ENVIRONMENT.items():
        line += ["--setenv", name, value]
    made = {"/"}
    for path in [*LIBRARIES, *prefixes, executable]:
        if os.path.exists(path) and not any(path.startswith(prefix + "/") for prefix in [*LIBRARIES, *prefixes]):
            line += [*_parents(path, made), "--ro-bind", path, path]
    for path in TOP_LEVEL:
        if os.path.islink(path):
            line += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            line += ["--ro-bind", path, path]
    line += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", str(WORKER_TMP_BYTES), "--tmpfs", "/tmp"]
    line += ["--perms", "0755", "--dir", "/hb", "--ro-bind", str(INSIDE), "/hb/inside", "--remount-ro", "/", "--chdir", "/tmp", "--"]
    return line + python(executable, "/hb", descriptor, drop_to=NOBODY if root else 0, isolated=True)


def unsafe_command(descriptor: int) -> list[str]:
    """No isolation at all: the programs run with the rights of whoever calls."""
    return python(os.path.realpath(sys.executable), str(INSIDE.parent), descriptor, drop_to=0, isolated=False)


def python(executable: str, home: str, descriptor: int, drop_to: int, isolated: bool) -> list[str]:
    _, prefixes = interpreter()
    readable = [*LIBRARIES, *TOP_LEVEL, *prefixes, "/dev/urandom"]
    options = json.dumps({"readable": readable, "drop_to": drop_to, "isolated": isolated})
    # -s -P -S and a cleared environment, not -I, which would ignore PYTHONHASHSEED
    return [executable, "-s", "-P", "-S", "-c", START.format(home=home), str(descriptor), options]


def _parents(path: str, made: set[str]) -> list[str]:
    """bubblewrap makes missing parents with mode 0700, which would shut out uid 65534."""
    words = []
    for parent in reversed(Path(path).parents):
        if str(parent) not in made:
            made.add(str(parent))
            words += ["--perms", "0755", "--dir", str(parent)]
    return words
