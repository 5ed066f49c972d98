"""The system-call filter: an allow-list, built here as classic BPF and loaded with prctl.

Covers: everything that is not listed gets EPERM; a call of another architecture's table kills the process. Of the
listed ones a few are narrowed by argument: `clone` only makes threads, `clone3` does not exist, `prlimit64` only asks,
`socketpair` is AF_UNIX only, `sendto` names no address, `prctl`, `ioctl`, `fcntl`, `setsockopt` and `getsockopt` know a
handful of requests, `futex` only a process's own. There is no fork, no exec, no socket, no kill, no mount, no
namespace; for programs that may make processes there are fork, exec and kill, the locks and futexes that processes
share, still no namespace. Leaves out: arguments behind pointers (paths), which BPF cannot see; Landlock and the mount
namespace are for those.
"""

from __future__ import annotations

import ctypes
import struct

from .kernel import Call, libc
from .syscalls import ARCHITECTURES, FILE_OWNERS, PROCESSES

Instruction = tuple[int, int, int, int]

LOAD, JUMP, EQUAL, AT_LEAST, ANY_BIT, RETURN = 0x20, 0x05, 0x15, 0x35, 0x45, 0x06
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
DONE, EPERM, EAGAIN, ENOTTY, ENOSYS = 0, 1, 11, 25, 38
NUMBER_AT, ARCH_AT, ARGUMENTS_AT = 0, 4, 16
FARTHEST = 256  # what a conditional jump skips at most: its operand is one byte
X32_BIT = 0x40000000
CLONE_THREAD, AF_UNIX = 0x10000, 1
CLONE_NEW_OR_STRANGE = 0x7E020000 | 0x8000 | 0x2000 | 0x800000  # any namespace; CLONE_PARENT, _PTRACE, _UNTRACED
PR_SET_NAME, PR_GET_NAME, PR_SET_VMA = 15, 16, 0x53564D41
TTY_AND_DESCRIPTOR_REQUESTS = (0x5401, 0x5451, 0x5450, 0x5421, 0x541B)  # TCGETS, FIOCLEX, FIONCLEX, FIONBIO, FIONREAD
DESCRIPTOR_REQUESTS = (0, 1, 2, 3, 4, 1030, 1031, 1032)  # F_DUPFD to F_SETFL, DUPFD_CLOEXEC, SETPIPE_SZ, GETPIPE_SZ
# SETLK, SETLKW. All programs have /dev/null open for writing: a lock on it would tell another one something. A process
# never waits for its own locks, so one that is alone is told that it has them. Nobody may ask for the locks that there
# are; and flock is not listed at all.
LOCK_REQUESTS = (6, 7)
FUTEX_PRIVATE = 128
SIZES_AND_TIMES = (2, 7, 8, 20, 21)  # SO_REUSEADDR, SNDBUF, RCVBUF, RCVTIMEO, SNDTIMEO; no filters, no credentials
KINDS_AND_ERRORS = (3, 4, 30, 38, 39)  # SO_TYPE, ERROR, ACCEPTCONN, PROTOCOL, DOMAIN; no pidfd of the other side
PR_SET_SECCOMP, MODE_FILTER = 22, 2


def give(action: int) -> Instruction:
    return (RETURN, 0, 0, action)


def load_low(argument: int) -> Instruction:
    return (LOAD, 0, 0, ARGUMENTS_AT + 8 * argument)


def load_high(argument: int) -> Instruction:
    return (LOAD, 0, 0, ARGUMENTS_AT + 8 * argument + 4)


def allow_values(argument: int, values: tuple[int, ...], otherwise: int = EPERM) -> list[Instruction]:
    """Allow when the argument's low 32 bits, which are all that the kernel reads of these, equal one of the values."""
    tests = [(EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
    return [load_low(argument), *tests, give(ERRNO | otherwise), give(ALLOW)]


def allow_null(argument: int) -> list[Instruction]:
    """Allow when the 64-bit pointer argument is null."""
    tests = [load_low(argument), (EQUAL, 0, 3, 0), load_high(argument), (EQUAL, 0, 1, 0)]
    return [*tests, give(ALLOW), give(ERRNO | EPERM)]


def decide_calls(names: dict[str, int], processes: bool) -> dict[int, list[Instruction]]:
    """Per system-call number, the instructions that decide it."""
    strange = (ANY_BIT, 1, 0, CLONE_NEW_OR_STRANGE)
    only_threads = [load_low(0), strange, (ANY_BIT, 1, 0, CLONE_THREAD), give(ERRNO | EPERM), give(ALLOW)]
    no_namespace = [load_low(0), (ANY_BIT, 0, 1, CLONE_NEW_OR_STRANGE), give(ERRNO | EPERM), give(ALLOW)]
    # Other programs have the same library's page, at which one could wait and the other wake. That nobody waited is a
    # legal answer to all of it.
    only_private = [load_low(1), (ANY_BIT, 1, 0, FUTEX_PRIVATE), give(ERRNO | EAGAIN), give(ALLOW)]
    first, second = LOCK_REQUESTS
    has_locks = [load_low(1), (EQUAL, 1, 0, first), (EQUAL, 0, 1, second), give(ERRNO | DONE)]
    shared_locks = allow_values(1, DESCRIPTOR_REQUESTS + LOCK_REQUESTS)
    narrowed = {
        "clone": no_namespace if processes else only_threads,
        "clone3": [give(ERRNO | ENOSYS)],  # glibc then falls back to clone, whose flags can be read
        "prlimit64": allow_null(2),
        "sendto": allow_null(4),
        "socketpair": allow_values(0, (AF_UNIX,)),
        "prctl": allow_values(0, (PR_SET_NAME, PR_GET_NAME, PR_SET_VMA)),
        "ioctl": allow_values(1, TTY_AND_DESCRIPTOR_REQUESTS, ENOTTY),
        "fcntl": shared_locks if processes else has_locks + allow_values(1, DESCRIPTOR_REQUESTS),
        "futex": [give(ALLOW)] if processes else only_private,
        "setsockopt": allow_values(2, SIZES_AND_TIMES),
        "getsockopt": allow_values(2, SIZES_AND_TIMES + KINDS_AND_ERRORS),
    }
    return {number: narrowed.get(name, [give(ALLOW)]) for name, number in names.items()}


def build_tree(intervals: list[tuple[int, list[Instruction]]]) -> list[Instruction]:
    """Balanced, over (first number, block): loading emulates each system call; a list costs 0.3 ms per candidate."""
    if len(intervals) == 1:
        return list(intervals[0][1])
    middle = len(intervals) // 2
    below, above = build_tree(intervals[:middle]), build_tree(intervals[middle:])
    pivot = intervals[middle][0]
    if len(below) < FARTHEST:
        return [(AT_LEAST, len(below), 0, pivot), *below, *above]
    return [(AT_LEAST, 0, 1, pivot), (JUMP, 0, 0, len(below)), *below, *above]


def build_filter(machine: str, processes: bool = False, own_files: bool = True) -> bytes:
    """The filter for `platform.machine()`; KeyError where there is no table. processes: fork, exec and kill are
    allowed, for a program in a pid namespace of its own. own_files: all that it can reach is its own or read-only."""
    audit, table = ARCHITECTURES[machine]
    without = (frozenset() if processes else PROCESSES) | (frozenset() if own_files else FILE_OWNERS)
    decided = decide_calls({name: number for name, number in table.items() if name not in without}, processes)
    intervals: list[tuple[int, list[Instruction]]] = []
    for number in range(max(decided) + 2):
        block = decided.get(number, [give(ERRNO | EPERM)])
        if not intervals or intervals[-1][1] != block:
            intervals.append((number, block))
    head: list[Instruction] = [(LOAD, 0, 0, ARCH_AT), (EQUAL, 1, 0, audit), give(KILL), (LOAD, 0, 0, NUMBER_AT)]
    if machine == "x86_64":
        head += [(AT_LEAST, 0, 1, X32_BIT), give(KILL)]
    return b"".join(struct.pack("HBBI", *instruction) for instruction in head + build_tree(intervals))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def load(code: bytes) -> Call:
    """Needs `forbid_new_privileges`."""
    program, zero = _Program(len(code) // 8, code), ctypes.c_ulong(0)
    arguments = (ctypes.c_int(PR_SET_SECCOMP), ctypes.c_ulong(MODE_FILTER), ctypes.byref(program), zero, zero)
    return Call("seccomp", libc.prctl, arguments)
