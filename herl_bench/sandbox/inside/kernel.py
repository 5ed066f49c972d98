"""Thin ctypes wrappers over Linux calls for confinement: namespaces, mounts, capabilities, resource limits, prctl.

Most functions give a `Call`, which `make` makes. A child that was just forked so only makes calls: what it would touch
to put them together, the kernel would have to copy for it. Leaves out: Landlock (`landlock.py`) and seccomp
(`seccomp.py`). Numbers are from the kernel's uapi headers and are the same on x86-64 and aarch64.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import struct
from typing import Any, NamedTuple

libc = ctypes.CDLL(None, use_errno=True)
libc_with_lock = ctypes.PyDLL(None)

CLONE_NEWNS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID = 0x20000, 0x8000000, 0x10000000, 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND = 1, 2, 4, 8, 32, 4096
MS_REC, MS_PRIVATE = 16384, 1 << 18
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_NO_NEW_PRIVS = 1, 4, 38
CAPABILITY_VERSION_3 = 0x20080522
USELESS = (  # to a program, and dear or dangerous to others
    *(resource.RLIMIT_CORE, resource.RLIMIT_MEMLOCK, resource.RLIMIT_MSGQUEUE),
    *(resource.RLIMIT_NICE, resource.RLIMIT_RTPRIO),
)


class Call(NamedTuple):
    """what: for the error's text. arguments: as ctypes objects, or bytes and None for pointers."""

    what: str
    function: Any
    arguments: tuple[Any, ...]


def make(*calls: Call) -> int:
    """Make them in order, up to the first that fails (OSError); the last one's result."""
    result = 0
    for what, function, arguments in calls:
        result = function(*arguments)
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def prctl(option: int, argument: int = 0) -> Call:
    arguments = (ctypes.c_ulong(argument), *[ctypes.c_ulong(0)] * 3)
    return Call(f"prctl {option}", libc.prctl, (ctypes.c_int(option), *arguments))


def unshare(flags: int) -> Call:
    return Call(f"unshare {flags:#x}", libc.unshare, (ctypes.c_int(flags),))


def setns(descriptor: int, kind: int) -> Call:
    return Call("setns", libc.setns, (ctypes.c_int(descriptor), ctypes.c_int(kind)))


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> Call:
    names = (source.encode(), target.encode(), kind.encode())
    return Call(f"mount {target}", libc.mount, (*names, ctypes.c_ulong(flags), options.encode() or None))


def make_read_only(path: str) -> Call:
    """Of a mount point; what else it forbids stays forbidden, as the kernel insists. Devices can still be written."""
    flags = os.statvfs(path).f_flag & (MS_NOSUID | MS_NODEV | MS_NOEXEC)
    return mount("none", path, "none", flags | MS_REMOUNT | MS_BIND | MS_RDONLY)


def change_directory(path: str) -> Call:
    return Call(f"chdir {path}", libc.chdir, (path.encode(),))


def die_with_parent() -> Call:
    return prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def forbid_new_privileges() -> Call:
    return prctl(PR_SET_NO_NEW_PRIVS, 1)


def map_own_user(uid: int, gid: int) -> None:
    """Inside a fresh user namespace: the one user that exists is ourselves, under the same number."""
    for path, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{path}", "wb", buffering=0) as file:
            file.write(text.encode())


def drop_to(uid: int) -> None:
    """Leave root for good. The capabilities go with the last zero uid."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    make(prctl(PR_SET_DUMPABLE, 1))  # setresuid clears it, and then /proc/self/uid_map would belong to root


def drop_capabilities() -> Call:
    """Permitted, effective, inheritable. Bounding only matters to an exec, which seccomp and no_new_privs rule out."""
    return Call("capset", libc.capset, (struct.pack("Ii", CAPABILITY_VERSION_3, 0), bytes(24)))


def fork() -> int:
    """os.fork() for one thread, without the interpreter's work after a fork, which touches (so copies) 80 pages."""
    return make(_FORK)


_FORK = Call("fork", libc_with_lock.fork, ())


def limit(kind: int, value: int) -> Call:
    return Call(f"setrlimit {kind}", libc.setrlimit, (ctypes.c_int(kind), struct.pack("QQ", value, value)))


def limit_resources(memory: int, cpu: int, file: int, tasks: int | None) -> list[Call]:
    """Bytes, seconds, bytes, a count of threads and processes of the user in this user namespace; None outside of one.
    The hard CPU limit is the soft one: the candidate is init of its pid namespace, which never gets SIGXCPU."""
    limits = [limit(resource.RLIMIT_AS, memory), limit(resource.RLIMIT_CPU, cpu), limit(resource.RLIMIT_FSIZE, file)]
    return limits if tasks is None else [*limits, limit(resource.RLIMIT_NPROC, tasks)]


def limit_descriptors(count: int) -> Call:
    return limit(resource.RLIMIT_NOFILE, count)


def limit_useless() -> list[Call]:
    """The same for every candidate, so the spawner does it once and they inherit it."""
    return [limit(kind, 0) for kind in USELESS]
