"""What starts a worker: the bubblewrap command line and the interpreter inside it (`worker.py` runs it).

Covers: the file tree that the worker sees (this interpreter, the system's libraries and programs, our own `inside`
modules, all read-only; no installed packages but those that were asked for; an empty /tmp; no /home, /etc, /sys, /var),
new namespaces, no network, no environment; the weaker tiers without bubblewrap. As root the worker leaves root for uid
65534 before any candidate runs: a user namespace alone leaves it the host's uid 0. Leaves out: `inside/spawner.py`.
"""

from __future__ import annotations

import compileall
import contextlib
import functools
import importlib.util
import json
import os
import shutil
import site
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from herl_bench.errors import NoSandbox, UsageError

INSIDE = Path(__file__).parent / "inside"
NOBODY = 65534
LIBRARIES = ("/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo")
PROGRAMS = ("/usr/bin", "/usr/local/bin")  # for programs that may start others
TOP_LEVEL = ("/bin", "/lib", "/lib32", "/lib64")
WORKER_TMP_BYTES = 1 << 20
PACKAGES = "/hb/packages"
ENVIRONMENT = {
    "PATH": "/usr/bin",
    "LANG": "C.UTF-8",
    "HOME": "/tmp",
    "TMPDIR": "/tmp",
    "PYTHONHASHSEED": "0",  # the same iteration order of sets in every run: verdicts must not depend on chance
    "PYTHONDONTWRITEBYTECODE": "1",
    "MALLOC_ARENA_MAX": "2",  # an arena per thread would eat the candidate's address space
    "OPENBLAS_NUM_THREADS": "1",
    "LD_BIND_NOW": "1",  # else every candidate resolves the same symbols again, each on a page of its own
}
START = "import sys; sys.path.insert(0, {home!r}); from inside.main import main; main()"


def find_bwrap() -> str:
    path = shutil.which("bwrap")
    if path is None:
        raise NoSandbox("bubblewrap is not installed: apt-get install bubblewrap")
    return path


def find_interpreter() -> tuple[str, list[str]]:
    """The base interpreter behind any virtual environment, and the trees it needs beside the system's libraries."""
    executable = os.path.realpath(sys.executable)
    prefixes = {os.path.realpath(sys.base_prefix), os.path.realpath(sys.base_exec_prefix)}
    return executable, sorted(prefixes - {"/usr", "/usr/local"})


def can_leave_root() -> bool:
    """Root that can become uid 65534. Root of a user namespace without it is an ordinary user outside, so here too."""
    if os.geteuid() != 0:
        return False
    ranges = [[int(word) for word in line.split()] for line in Path("/proc/self/uid_map").read_text().splitlines()]
    return any(first <= NOBODY < first + count for first, _, count in ranges)


class Package(NamedTuple):
    """An installed package that programs may import. places: its directory (or file), that of its shared libraries."""

    name: str
    places: tuple[str, ...]


def find_package(name: str) -> Package:
    """Found without importing it; UsageError where it is not installed."""
    try:
        spec = importlib.util.find_spec(name) if name.isidentifier() else None
    except (ImportError, ValueError):
        spec = None
    if spec is None or not (spec.submodule_search_locations or spec.origin):
        raise UsageError(
            f"packages={name!r}: no package of that name is installed here; pip install it, or leave it out"
        )
    place = os.path.realpath((spec.submodule_search_locations or [str(spec.origin)])[0])
    libraries = os.path.join(os.path.dirname(place), f"{name}.libs")
    return Package(name, (place, libraries) if os.path.isdir(libraries) else (place,))


def list_package_folders(prefixes: list[str]) -> list[str]:
    """Where the base interpreter keeps installed packages: hidden, for a benchmark's own tests may be among them."""
    folders = set(map(os.path.realpath, site.getsitepackages([*prefixes, sys.base_prefix, "/usr", "/usr/local"])))
    versions = ("python3", f"python{sys.version_info[0]}.{sys.version_info[1]}")
    folders |= {f"{prefix}/lib/{name}/dist-packages" for prefix in ("/usr", "/usr/local") for name in versions}
    trees = tuple(f"{tree}/" for tree in (*LIBRARIES, *prefixes))
    return sorted(folder for folder in folders if os.path.isdir(folder) and folder.startswith(trees))


@functools.cache
def compile_inside() -> None:
    """Workers import these from a read-only tree; without cached bytecode each start would compile them again."""
    with contextlib.suppress(OSError):
        compileall.compile_dir(INSIDE, quiet=2)


def build_command(tier: str, descriptor: int, packages: Sequence[Package] = ()) -> list[str]:
    """A worker's command line. descriptor: of its tester's socket. Without namespaces it sees the host's tree, of which
    Landlock lets it read what bubblewrap would show. "none" isolates nothing: programs have the caller's rights."""
    compile_inside()
    drop_to = NOBODY if tier != "none" and can_leave_root() else 0
    if tier == "namespaces":
        inside = start_interpreter(tier, "/hb", descriptor, drop_to, packages, [PACKAGES], [PACKAGES])
        return [*enter_namespaces(drop_to > 0, packages), *inside]
    places = [place for package in packages for place in package.places]
    paths = sorted({os.path.dirname(package.places[0]) for package in packages})
    return start_interpreter(tier, str(INSIDE.parent), descriptor, drop_to, packages, paths, places)


def enter_namespaces(root: bool, packages: Sequence[Package]) -> list[str]:
    """bubblewrap and its options. root: it starts as root, which the worker then leaves by itself."""
    executable, prefixes = find_interpreter()
    line = [find_bwrap(), "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"]
    line += ["--cap-drop", "ALL"]
    line += ["--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"] if root else ["--unshare-user"]
    if not root and os.geteuid() == 0:
        line += ["--uid", str(NOBODY), "--gid", str(NOBODY)]
    line += ["--die-with-parent", "--new-session", "--hostname", "sandbox", "--clearenv"]
    for name, value in ENVIRONMENT.items():
        line += ["--setenv", name, value]
    made = {"/"}
    trees = [*LIBRARIES, *PROGRAMS, *prefixes]
    for path in [*trees, executable]:
        if os.path.exists(path) and not any(path.startswith(tree + "/") for tree in trees):
            line += [*make_parents(path, made), "--ro-bind", path, path]
    for path in list_package_folders(prefixes):
        line += ["--size", "4096", "--tmpfs", path, "--remount-ro", path]
    for path in TOP_LEVEL:
        if os.path.islink(path):
            line += ["--symlink", os.readlink(path), path]
        elif os.path.isdir(path):
            line += ["--ro-bind", path, path]
    line += ["--proc", "/proc", "--dev", "/dev", "--perms", "1777", "--size", str(WORKER_TMP_BYTES), "--tmpfs", "/tmp"]
    line += ["--perms", "0755", "--dir", "/hb", "--ro-bind", str(INSIDE), "/hb/inside"]
    line += ["--perms", "0755", "--dir", PACKAGES]
    for package in packages:
        for place in package.places:
            line += ["--ro-bind", place, f"{PACKAGES}/{os.path.basename(place)}"]
    return [*line, "--remount-ro", "/", "--chdir", "/tmp", "--"]


def make_parents(path: str, made: set[str]) -> list[str]:
    """bubblewrap makes missing parents with mode 0700, which would shut out uid 65534."""
    missing = [str(parent) for parent in reversed(Path(path).parents) if str(parent) not in made]
    made.update(missing)
    return [word for parent in missing for word in ("--perms", "0755", "--dir", parent)]


def start_interpreter(
    tier: str,
    home: str,
    descriptor: int,
    drop_to: int,
    packages: Sequence[Package],
    paths: list[str],
    places: list[str],
) -> list[str]:
    """home: of `inside`; packages: to import before the first fork; paths: where from; places: what may be read."""
    executable, prefixes = find_interpreter()
    libraries = [*LIBRARIES, *(path for path in TOP_LEVEL if path != "/bin")]
    options = {
        "tier": tier,
        "drop_to": drop_to,
        "readable": [*libraries, *prefixes, *places, "/dev/urandom"],
        "programs": [*PROGRAMS, "/bin", executable],
        "packages": [package.name for package in packages],
        "paths": paths,
    }
    # -s -P -S and a cleared environment, not -I, which would ignore PYTHONHASHSEED
    return [executable, "-s", "-P", "-S", "-c", START.format(home=home), str(descriptor), json.dumps(options)]
