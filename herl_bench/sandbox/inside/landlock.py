"""Landlock: which paths a candidate may touch, enforced by the kernel below any mount trick. ctypes only.

Covers: read-only and writable trees, no execution, no devices, sockets or fifos; from ABI 4 no TCP, from ABI 6 no abstract sockets and
no signals to the outside. Leaves out: where the kernel has no Landlock, `abi()` is 0 and the namespaces alone stand (the caller says so).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable

from .kernel import checked, libc, no_new_privileges

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
RULE_PATH_BENEATH = 1
WITHOUT_NAMESPACES = 6  # the ABI from which it also keeps signals in, without which a program could kill others of the same user
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
MAKE_CHAR, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 10, 1 << 11
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
NOT_FOR_SCRATCH = EXECUTE | MAKE_CHAR | MAKE_SOCK | MAKE_FIFO | MAKE_BLOCK | IOCTL_DEV


def abi() -> int:
    version: int = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(version, 0)


def every_right(version: int) -> int:
    rights = (1 << 13) - 1
    return rights | (REFER if version >= 2 else 0) | (TRUNCATE if version >= 3 else 0) | (IOCTL_DEV if version >= 5 else 0)


def places(paths: Iterable[str], more: int = 0) -> list[tuple[int, int]]:
    """(descriptor, reading rights and `more`) of each path that exists, opened once for all candidates: a rule is about the inode, not the mount.

    What lies below another of the paths (`/lib`, a link to `/usr/lib`) needs no rule of its own.
    """
    real = {os.path.realpath(path) for path in paths if os.path.exists(path)}
    found = []
    for path in sorted(real):
        if not any(path.startswith(other + "/") for other in real):
            rights = READ_FILE | READ_DIR if os.path.isdir(path) else READ_FILE
            found.append((os.open(path, os.O_PATH | os.O_CLOEXEC), rights | more))
    return found


def restrict(version: int, readable: Iterable[tuple[int, int]], scratch: str | None) -> None:
    """From now on: what `readable` allows (see `places`), anything but execution below `scratch`, and writing to /dev/null."""
    network = 3 if version >= 4 else 0
    scope = 3 if version >= 6 else 0
    attributes = struct.pack("QQQ", every_right(version), network, scope)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    rules: int = checked(libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(size), ctypes.c_uint32(0)), "landlock_create")
    null = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
    writable = [(null, READ_FILE | WRITE_FILE)]
    if scratch is not None:
        writable.append((os.open(scratch, os.O_PATH | os.O_CLOEXEC), every_right(version) & ~NOT_FOR_SCRATCH))
    for place, rights in [*readable, *writable]:
        rule = struct.pack("=Qi", rights, place)
        checked(libc.syscall(ADD_RULE, ctypes.c_int(rules), RULE_PATH_BENEATH, rule, ctypes.c_uint32(0)), "landlock_add")
    no_new_privileges()
    checked(libc.syscall(RESTRICT_SELF, ctypes.c_int(rules), ctypes.c_uint32(0)), "landlock_restrict")
    for descriptor in (rules, *(place for place, _ in writable)):
        os.close(descriptor)
