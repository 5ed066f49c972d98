"""A dozen attacks that `herl-bench sandbox check` runs on the spot. The test suite has many more.

Each program would pass its test only if its attack worked: it defines the right `add` after it got through, or claims
to be right. One of each kind: files, processes, network, kernel, resources, forged results.
"""

from __future__ import annotations

from dataclasses import dataclass

from herl_bench.sandbox.model import Job, Limits, Verdict
from herl_bench.sandbox.pool import Sandbox

TEST = "assert add(1, 2) == 3\nassert add(-5, 5) == 0\nassert add('a', 'b') == 'ab'\n"
HONEST = "def add(a, b):\n    return a + b\n"
IF_IT_WORKS = """
def add(a, b):
    raise RuntimeError("held")

def got_through():
    global add
    def add(a, b):
        return a + b

"""
QUICK = Limits(wall_s=1.5, cpu_s=1, busy_s=2.0)


@dataclass(frozen=True)
class Attack:
    name: str
    code: str


def attempt(name: str, body: str) -> Attack:
    """An attack that says so itself when it got through."""
    indented = "\n".join(f"    {line}" for line in body.strip().splitlines())
    return Attack(
        name, f"{IF_IT_WORKS}try:\n{indented}\n    got_through()\nexcept Exception as error:\n    print(repr(error))\n"
    )


ATTACKS = (
    attempt("read a host file", "print(open('/etc/passwd').read())"),
    attempt(
        "read the processes",
        "import os\nif not [name for name in os.listdir('/proc') if name.isdigit()]: raise OSError",
    ),
    attempt("write to the interpreter", "import os\nopen(os.__file__, 'a').close()"),
    attempt("fork", "import os\nif os.fork() == 0: os._exit(0)"),
    attempt("run a program", "import os\nos.execv('/usr/bin/env', ['env'])"),
    attempt("connect", "import socket\nsocket.create_connection(('127.0.0.1', 80), 1)"),
    attempt("new user namespace", "import ctypes\nif ctypes.CDLL(None).unshare(0x10000000): raise OSError"),
    attempt("100 GB of memory", "block = bytearray(100 << 30)"),
    attempt(
        "fill the disk",
        "with open('fill', 'wb') as file:\n    for _ in range(64): file.write(bytes(1 << 20)); file.flush()",
    ),
    Attack("equal to everything", "class Any:\n    __eq__ = lambda *_: True\n\ndef add(a, b):\n    return Any()\n"),
    Attack("exit as if all were well", "import os\n\ndef add(a, b):\n    os._exit(0)\n"),
    Attack("run for ever", "def add(a, b):\n    while True:\n        pass\n"),
)


def run_attack(sandbox: Sandbox, attack: Attack, limits: Limits = QUICK) -> tuple[Verdict, bool]:
    """Run an attack, then an honest program. Did the sandbox refuse the one and pass the other?"""
    verdict = sandbox.check(Job(attack.code, "add", {"test": TEST}, limits))
    after = sandbox.check(Job(HONEST, "add", {"test": TEST}))
    return verdict, verdict.status not in ("pass", "infra") and after.status == "pass"
