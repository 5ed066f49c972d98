"""A run's folder is one process's at a time: a lock that says who holds it, and that no death leaves behind.

The kernel keeps the lock (`flock`), so a holder that is killed holds nothing. What the file says of its holder is for
people, with one exception: on a file system without `flock` a holder on this machine counts as dead once its process is
gone, and one on another machine has to be believed; of several that begin in the same moment the last gets the folder.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from herl_bench.errors import UsageError
from herl_bench.saving import saving

NAME = ".lock"
DYING_S = 10.0
"""How long a holder that is dead may take to let go."""
PATIENCE_S = 2.0
"""How long one that lives is waited for: it may just have been killed, and not have died yet."""
POLL_S = 0.05
MOMENT_S = 0.3
WITHOUT_FLOCK = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


@contextmanager
def lock_folder(folder: Path, who: str = "run") -> Iterator[int]:
    """Hold `folder` for the block; gives the lock's descriptor, for child processes to hold too. Raises `UsageError`
    with the holder (`who`), its process, machine and time where it keeps the folder; then nothing was written."""
    path, started = folder / NAME, time.monotonic()
    while (descriptor := _try_to_lock(path)) is None:
        holder = _read_holder(path)
        if time.monotonic() - started > (DYING_S if _is_gone(holder) else PATIENCE_S):
            raise UsageError(f"another {who} is writing into {folder}: {_describe_holder(holder, path)}")
        time.sleep(POLL_S)
    try:
        yield descriptor
    finally:
        with suppress(OSError):
            path.unlink()  # while it is still held: whoever opened it meanwhile sees that it is no longer the one
        os.close(descriptor)


def _try_to_lock(path: Path) -> int | None:
    """The locked file's descriptor; None while somebody else has it."""
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        # Not the same file: its holder left, and took it along.
        if _flock(descriptor, path) and _is_same_file(descriptor, path):
            return descriptor
    except BaseException:
        os.close(descriptor)
        raise
    os.close(descriptor)
    return None


def _flock(descriptor: int, path: Path) -> bool:
    since = datetime.now(UTC).isoformat(timespec="seconds")
    me = {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "born": _read_birth()}
    supported = True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        supported = error.errno not in WITHOUT_FLOCK
        if supported or not _is_gone(_read_holder(path)):
            return False
    with saving(path):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(me).encode() + b"\n", 0)
    if not supported:
        time.sleep(MOMENT_S)
    return supported or _read_holder(path) == me


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _read_holder(path: Path) -> dict[str, Any]:
    """Whom the file names; empty where it names nobody, or is garbage."""
    try:
        with path.open("rb") as file:
            found = json.loads(file.read(1000))
        return found if isinstance(found["pid"], int) and isinstance(found["host"], str) else {}
    except (OSError, ValueError, RecursionError, TypeError, LookupError):
        return {}


def _is_gone(holder: dict[str, Any]) -> bool:
    """Is it known that the holder no longer runs? A number that another process has since got is told by its birth."""
    if not holder:
        return True
    if holder["host"] != socket.gethostname():
        return False
    born = _read_birth(holder["pid"])
    if born is not None:
        return holder.get("born") not in (None, born)
    try:
        os.kill(holder["pid"], 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False
    return Path("/proc/self/stat").exists()  # without a beginning although it is there: a zombie


def _read_birth(pid: int | str = "self") -> int | None:
    """When a process began, in clock ticks since the machine's start; None where that is unknown, or of a zombie."""
    try:
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else int(rest[18])


def _describe_holder(holder: dict[str, Any], path: Path) -> str:
    if not holder:
        return f"{path} is locked: wait for whoever holds it"
    since = holder.get("since", "an unknown time")
    words = f"process {holder['pid']} on {holder['host']}, since {since}: wait for it, or stop it"
    return words if holder["host"] == socket.gethostname() else f"{words}; if it is over, delete {path}"
