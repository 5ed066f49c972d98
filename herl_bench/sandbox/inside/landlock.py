"""Landlock: which paths a candidate may touch, enforced by the kernel below any mount trick. ctypes only.

Covers: read-only and writable trees, no execution, no devices, sockets or fifos; from ABI 4 no TCP, from ABI 6 no
abstract sockets and no signals to the outside. Leaves out: where the kernel has no Landlock, `read_abi()` is 0 and the
namespaces alone stand (the caller says so).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable, Sequence

from .kernel import Call, libc, make

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the same on every architecture
RULE_PATH_BENEATH = 1
WITHOUT_NAMESPACES = 6  # the ABI that keeps signals in, without which a program could kill others of the same user
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1, 2, 4, 8
MAKE_CHAR, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK = 1 << 6, 1 << 9, 1 << 10, 1 << 11
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
FIRST_RIGHTS = REFER - 1  # all that ABI 1 knows
SINCE = ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV))  # the ABI that added a right
NOT_FOR_SCRATCH = EXECUTE | MAKE_CHAR | MAKE_SOCK | MAKE_FIFO | MAKE_BLOCK | IOCTL_DEV

Rule = bytes
RULE = struct.Struct("=Qi")


def read_abi() -> int:
    version: int = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    return max(version, 0)


def list_rights(version: int) -> int:
    return FIRST_RIGHTS | sum(right for since, right in SINCE if version >= since)


def make_rule(path: str, rights: int) -> Rule:
    """Its descriptor stays open with the rule: a rule is about the inode, not the mount."""
    return RULE.pack(rights, os.open(path, os.O_PATH | os.O_CLOEXEC))


def allow_reading(paths: Iterable[str], more: int = 0) -> list[Rule]:
    """Reading and `more` for each path that exists and lies below none of the others, and writing to /dev/null."""
    real = {os.path.realpath(path) for path in paths if os.path.exists(path)}
    tops = [path for path in sorted(real) if not any(path.startswith(other + "/") for other in real)]
    rules = [make_rule(path, (READ_FILE | READ_DIR if os.path.isdir(path) else READ_FILE) | more) for path in tops]
    return [*rules, make_rule("/dev/null", READ_FILE | WRITE_FILE)]


def make_ruleset(version: int, rules: Sequence[Rule], scratch: str | None) -> int:
    """A descriptor of: what the rules allow, and anything but execution below `scratch`."""
    network, scope = 3 if version >= 4 else 0, 3 if version >= 6 else 0
    attributes = struct.pack("QQQ", list_rights(version), network, scope)
    size = ctypes.c_size_t(24 if version >= 6 else 16 if version >= 4 else 8)
    ruleset = make(Call("landlock_create", libc.syscall, (CREATE_RULESET, attributes, size, 0)))
    below = None if scratch is None else make_rule(scratch, list_rights(version) & ~NOT_FOR_SCRATCH)
    for rule in rules if below is None else [*rules, below]:
        make(Call("landlock_add", libc.syscall, (ADD_RULE, ruleset, RULE_PATH_BENEATH, rule, 0)))
    if below is not None:
        os.close(RULE.unpack(below)[1])
    return ruleset


def restrict(ruleset: int) -> Call:
    """From now on only what this ruleset allows; needs `forbid_new_privileges`."""
    return Call("landlock_restrict", libc.syscall, (RESTRICT_SELF, ruleset, 0))
