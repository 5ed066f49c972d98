"""The filter, decided call by call, and the kernel's own numbers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from herl_bench.sandbox.inside import seccomp, syscalls

HEADERS = {
    "x86_64": ("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", r"#define __NR_(\w+) (\d+)"),
    "aarch64": ("/usr/include/asm-generic/unistd.h", r"#define __NR(?:3264)?_(\w+) (\d+)"),
}


@pytest.mark.parametrize("machine", syscalls.ARCHITECTURES)
def test_system_calls_have_the_kernels_numbers(machine: str):
    path, pattern = HEADERS[machine]
    if not Path(path).exists():
        pytest.skip("the kernel's headers are not installed")
    known = {name: int(number) for name, number in re.findall(pattern, Path(path).read_text())}
    known.setdefault("newfstatat", known.get("fstatat", -1))  # the generic table has one name for 32 and 64 bits
    _, table = syscalls.ARCHITECTURES[machine]
    assert {name: known.get(name) for name in table} == table


@pytest.mark.parametrize("own_files", [True, False])
@pytest.mark.parametrize("processes", [False, True])
@pytest.mark.parametrize("machine", syscalls.ARCHITECTURES)
def test_filter_programs_are_well_formed(machine: str, processes: bool, own_files: bool):
    """Every path through the filter ends in a decision, and decides as the allow-list says."""
    audit, names = syscalls.ARCHITECTURES[machine]
    assert len(set(names.values())) == len(names)
    code = seccomp.build_filter(machine, processes, own_files)
    assert len(code) % 8 == 0
    assert len(code) // 8 < 4096
    thread, fork = 0x3D0F00, 0x1200011
    number = names
    granted = {True: seccomp.ALLOW, False: seccomp.ERRNO | 1}
    expected = [
        (audit, number["read"], {}, seccomp.ALLOW),
        (audit, number["clone"], {0: thread}, seccomp.ALLOW),
        (audit, number["clone"], {0: fork}, granted[processes]),
        *(
            (audit, number["clone"], {0: fork | flag}, seccomp.ERRNO | 1)
            for flag in (0x20000, 0x10000000, 0x20000000, 0x40000000)
        ),
        *((audit, number[name], {}, granted[processes]) for name in ("execve", "kill", "wait4", "waitid", "setsid")),
        *((audit, number[name], {}, granted[own_files]) for name in ("fchmod", "fchmodat", "utimensat")),
        (audit, number["clone3"], {}, seccomp.ERRNO | 38),
        (audit, number["socketpair"], {0: 1}, seccomp.ALLOW),
        (audit, number["socketpair"], {0: 2}, seccomp.ERRNO | 1),
        (audit, number["prlimit64"], {2: 0}, seccomp.ALLOW),
        (audit, number["prlimit64"], {2: 1 << 32}, seccomp.ERRNO | 1),
        (audit, number["sendto"], {4: 0x7F00DEADBEEF}, seccomp.ERRNO | 1),
        (audit, number["ioctl"], {1: 0x5412}, seccomp.ERRNO | 25),
        (audit, number["prctl"], {0: 22}, seccomp.ERRNO | 1),
        (audit, number["fcntl"], {1: 3}, seccomp.ALLOW),
        (audit, number["fcntl"], {1: 5}, seccomp.ERRNO | 1),
        *((audit, number["fcntl"], {1: lock}, seccomp.ALLOW if processes else seccomp.ERRNO | 0) for lock in (6, 7)),
        (audit, number["futex"], {1: 128}, seccomp.ALLOW),
        (audit, number["futex"], {1: 1}, seccomp.ALLOW if processes else seccomp.ERRNO | 11),
        (audit, 500, {}, seccomp.ERRNO | 1),
        (0x40000003, number["read"], {}, seccomp.KILL),
    ]
    for arch, call, args, want in expected:
        assert decide(code, arch, call, args) == want, (call, args)
    listed = set(names.values())
    for call in range(600):
        if call not in listed:
            assert decide(code, audit, call, {}) == seccomp.ERRNO | 1


def decide(code: bytes, arch: int, number: int, args: dict[int, int]) -> int:
    """A classic-BPF interpreter for the instructions that the filter uses."""
    import struct

    data = struct.pack("=iIQ6Q", number, arch, 0, *[args.get(i, 0) for i in range(6)])
    program = [struct.unpack_from("HBBI", code, at) for at in range(0, len(code), 8)]
    at, value = 0, 0
    while True:
        kind, yes, no, operand = program[at]
        at += 1
        if kind == seccomp.RETURN:
            return operand
        if kind == seccomp.LOAD:
            (value,) = struct.unpack_from("=I", data, operand)
        elif kind == seccomp.JUMP:
            at += operand
        else:
            held = {
                seccomp.EQUAL: value == operand,
                seccomp.AT_LEAST: value >= operand,
                seccomp.ANY_BIT: bool(value & operand),
            }[kind]
            at += yes if held else no
