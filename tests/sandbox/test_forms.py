"""The forms in which tests come, and the ways to ask: source, lists, check functions, docstrings, stdin and stdout;
one, many, asyncio."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from herl_bench.errors import UsageError
from herl_bench.sandbox import Job, Limits, Sandbox, Stdio, docstring_examples
from herl_bench.sandbox.pool import AHEAD

ADD = "def add(a, b):\n    return a + b\n"


@pytest.mark.parametrize(
    "tests",
    [
        "assert add(1, 2) == 3\nassert add(2, 2) == 5",
        ["assert add(1, 2) == 3", "assert add(2, 2) == 5"],
        "def check(candidate):\n    assert candidate(1, 2) == 3\n    assert candidate(2, 2) == 5\n",
        {"tests": ["assert add(1, 2) == 3", "assert add(2, 2) == 5"]},
    ],
)
def test_every_form_gives_evidence_per_assertion(sandbox: Sandbox, tests: Any):
    for verdict in (sandbox.check(ADD, tests, "add"), sandbox.check(Job(ADD, "add", tests))):
        assert (verdict.status, verdict.tests_passed, verdict.tests_total) == ("fail", 1, 2)
        assert [(r.group, r.index, r.passed) for r in verdict.results] == [("tests", 0, True), ("tests", 1, False)]
        assert verdict.results[1].evidence == "add(2, 2): got 4, expected 5"


@pytest.mark.parametrize("wrong", [[], {"group": []}, [1], {"group": 3}, [Stdio("", ""), "assert True"], None])
def test_other_forms_are_refused(sandbox: Sandbox, wrong: Any):
    with pytest.raises(UsageError, match="a list of assertions, or a list of Stdio"):
        sandbox.check(ADD, wrong, "add")


DOCUMENTED = '''
def half(x):
    """Half of it.

    >>> half(4)
    2.0
    >>> y = half(3)
    >>> y
    1.5
    >>> [half(i)
    ...  for i in (2, 4)]
    [1.0, 2.0]
    >>> print(half(2), "km")
    1.0 km
    >>> half
    <function half>
    >>> half("a")
    Traceback (most recent call last):
        ...
    TypeError: no number
    """
    if isinstance(x, str):
        raise TypeError("no number")
    return x / {divisor}
'''


def test_docstring_examples(sandbox: Sandbox):
    source = docstring_examples(DOCUMENTED)
    verdict = sandbox.check(DOCUMENTED.replace("{divisor}", "2"), source, "half")
    assert [result.passed for result in verdict.results] == [
        True,
        True,
        True,
        True,
        False,
        True,
    ]  # a function's repr is not a literal
    verdict = sandbox.check(DOCUMENTED.replace("{divisor}", "4"), source, "half")
    assert [result.passed for result in verdict.results] == [False, False, False, False, False, True]
    assert verdict.results[0].evidence == "half(4): got 1.0, expected 2.0"
    verdict = sandbox.check("def half(x): return x / 2 if x != 'a' else 0", source, "half")
    assert "expected 'TypeError: no number'" in verdict.results[-1].evidence


def test_docstrings_without_examples_and_with_broken_ones():
    assert docstring_examples("def f():\n    '''Nothing to show.'''") == ""
    assert docstring_examples("Add.\n\n>>> add(1, 2)\n3\n") == "assert add(1, 2) == 3\n"
    with pytest.raises(UsageError, match="docstring example"):
        docstring_examples(">>> add(1,\n3\n")


# ----------------------------------------------------------------------------------------------------- stdin and stdout
SUM = "n = int(input())\nprint(sum(int(input()) for _ in range(n)))\n"


def test_stdio_evidence_per_test(sandbox: Sandbox):
    verdict = sandbox.check(
        SUM, [Stdio("2\n1\n3\n", "4\n"), Stdio("1\n5\n", "4\n"), Stdio("x", "0"), Stdio("0\n", "0")]
    )
    assert (verdict.status, verdict.tests_passed, verdict.tests_total, verdict.integrity) == ("fail", 2, 4, "split")
    assert [result.passed for result in verdict.results] == [True, False, False, True]
    assert verdict.results[1].evidence == "stdin '1\\n5\\n': expected '4', got '5'"
    assert "raised ValueError" in verdict.results[2].evidence
    assert "line 1" in verdict.results[2].evidence
    assert verdict.stdout.splitlines() == ["4", "5", "0"]


SCRIPTS = {
    "raw descriptors": "import os\nos.write(1, os.read(0, os.fstat(0).st_size))",
    "binary streams": "import sys\nsys.stdout.buffer.write(sys.stdin.buffer.read())",
    "open(0)": "print(open(0).read(), end='')",
    "lines": "import sys\nfor line in sys.stdin: sys.stdout.write(line)",
    "main guard": "def main(): print(input()); print(input())\nif __name__ == '__main__': main()",
    "exit": "import sys\nprint(input()); print(input()); sys.exit()",
    "hard exit": "import os\nos.write(1, os.read(0, 99))\nos._exit(0)",
    "exit as in a shell": (
        "def main():\n    print(input()); print(input())\n    exit(0)\nif __name__ == '__main__': main()"
    ),
    "output that is left open": (
        "import os\nout = os.fdopen(os.dup(1), 'w')\nfor _ in range(2): out.write(input() + '\\n')"
    ),
    "output behind another": (
        "import io, sys\nsys.stdout ="
        " io.StringIO()\nprint(input())\nprint(input())\nsys.__stdout__.write(sys.stdout.getvalue())"
    ),
    "output that is closed": "import sys\nprint(input()); print(input())\nsys.stdout.close()",
    "a finalizer at the end": "class A:\n    def __del__(self): print(rest)\na = A()\nprint(input())\nrest = input()",
    "its own name": "import os\nassert os.path.splitext(__file__)[1] == '.py'\nprint(input()); print(input())",
    "at exit": "import atexit\natexit.register(lambda: print('é 2'))\nprint(input())",
    "a thread goes on": (
        "import threading, time\ndef late():\n    time.sleep(0.05)\n    print('é"
        " 2')\nprint(input())\nthreading.Thread(target=late).start()"
    ),
    "trailing whitespace": "print(input() + '  \\t')\nprint(input() + '\\n\\n')",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_honest_scripts(sandbox: Sandbox, name: str):
    verdict = sandbox.check(SCRIPTS[name], [Stdio("1\né 2\n", "1\né 2\n")])
    assert verdict.status == "pass", verdict


@pytest.mark.parametrize(
    ("code", "status", "evidence"),
    [
        ("print(' 4')", "fail", "expected '4', got ' 4'"),
        ("print('4\\n5')", "fail", "line 2: expected nothing, got '5'"),
        ("pass", "fail", "expected '4', got nothing"),
        ("print(4.0)", "fail", "expected '4', got '4.0'"),
        ("print(4)\nraise SystemExit(3)", "error", "exit status 3"),
        ("print(4)\nimport os, sys\nsys.stdout.flush()\nos._exit(3)", "error", "exit status 3"),
        ("print(4)\n1 / 0", "error", "raised ZeroDivisionError: division by zero (line 2)"),
        ("def f(:", "error", "raised SyntaxError"),
        ("while True: pass", "timeout", "no verdict within 0.6 s"),
        ("x = [0] * (1 << 40)", "memory", "MemoryError"),
        ("import ctypes\nctypes.string_at(0)", "crash", "SIGSEGV"),
        ("print('x' * (20 << 20))", "error", "File too large"),
        ("import os\nos.write(3, b'\\0' * 9)", "protocol", "no proper message"),
    ],
)
def test_other_ends_of_scripts(sandbox: Sandbox, code: str, status: str, evidence: str):
    verdict = sandbox.check(code, [Stdio("", "4")], limits=Limits(wall_s=0.6))
    assert (verdict.status, verdict.tests_passed, verdict.tests_total) == (status, 0, 1), verdict
    assert evidence in verdict.results[0].evidence


FORGED = {
    "overwrites its input": "import os\nos.ftruncate(0, 0)\nos.write(0, b'4')",
    "claims that it ended well": (
        "import os, struct\nbody = b'[\"ended\", null, 0, \"\"]'\nos.write(3, struct.pack('=I', len(body)) + body)"
    ),
    "claims that it passed": (
        "import os, struct\nbody = b'{\"status\": \"pass\"}'\nos.write(3, struct.pack('=I', len(body)) + body)"
    ),
    "looks into every descriptor": (
        "import os\nfor fd in range(64):\n    try: print(os.pread(fd, 4096, 0).decode())\n    except OSError: pass"
    ),
    "all outputs": "import itertools\nfor i in range(9): print(i)",
}


@pytest.mark.parametrize("name", FORGED)
def test_output_is_not_forged(sandbox: Sandbox, name: str):
    verdict = sandbox.check(FORGED[name], [Stdio("", "3141")])
    assert verdict.status not in ("pass", "infra"), verdict


def test_scripts_start_afresh_and_a_timeout_ends_the_job(sandbox: Sandbox):
    leaves = "import os\nprint(os.path.exists('left'))\nopen('left', 'w').close()"
    assert sandbox.check(leaves, [Stdio("", "False")] * 3).status == "pass"
    sleeps = "import time\ntime.sleep(float(input()))"
    verdict = sandbox.check(sleeps, [Stdio("0", ""), Stdio("9", ""), Stdio("0", "")], limits=Limits(wall_s=0.5))
    assert (verdict.status, [result.passed for result in verdict.results]) == ("timeout", [True, False, False])
    assert verdict.results[2].evidence == "not reached: no verdict within 0.5 s"


def test_stdio_and_assertions_in_one_job(sandbox: Sandbox):
    code = "def f(x): return x + 1\nif __name__ == '__main__': print(f(int(input())))"
    verdict = sandbox.check(code, {"calls": "assert f(1) == 2\nassert f(1) == 3", "script": [Stdio("4", "5")]}, "f")
    assert [(r.group, r.passed) for r in verdict.results] == [("calls", True), ("calls", False), ("script", True)]
    assert (verdict.status, verdict.loaded, verdict.defined) == ("fail", True, True)


# -------------------------------------------------------------------------------------------------------------- asyncio
def test_asyncio(sandbox: Sandbox):
    taken = []

    async def jobs():
        for i in range(1000):
            taken.append(i)
            yield Job("def f(x): return x", "f", f"assert f({i}) == {i if i != 5 else 0}")

    async def first_seven():
        statuses = []
        verdicts = sandbox.amap(jobs())
        async for verdict in verdicts:
            statuses.append(verdict.status)
            if len(statuses) == 7:
                break
        await verdicts.aclose()
        ticks = asyncio.create_task(asyncio.sleep(0.01, "ticked"))  # the loop goes on while a program sleeps
        slow = await sandbox.acheck("import time\ndef f(): time.sleep(0.2)", "assert f() is None", "f")
        return statuses, slow.status, ticks.done()

    statuses, slow, ticked = asyncio.run(first_seven())
    assert statuses == ["pass"] * 5 + ["fail", "pass"]
    assert len(taken) <= 7 + AHEAD * sandbox.workers + 1
    assert (slow, ticked) == ("pass", True)
    assert asyncio.run(_all(sandbox, [Job(ADD, "add", "assert add(1, 1) == 2")] * 3)) == ["pass"] * 3


async def _all(sandbox: Sandbox, jobs: list[Job]) -> list[str]:
    return [verdict.status async for verdict in sandbox.amap(jobs)]


AHEAD_OF_TIME = {
    "calls come once and in order": (
        "seen = []\ndef f(x, y=0):\n    seen.append(x)\n    return [len(seen), x, y]",
        (
            "def check(candidate):\n    assert candidate(5) == [1, 5, 0]\n    assert candidate(6, y=2) == [2, 6, 2]\n  "
            "  assert True\n    assert sorted(candidate(-7)) == [-7, 0, 3]\n    assert len(candidate(8)) == 3\n   "
            " assert candidate(9)[0] == 5"
        ),
    ),
    "objects after plain data": (
        "n = 0\ndef f(x):\n    global n\n    n += 1\n    return x if x < 2 else (n + i for i in range(x))",
        (
            "assert f(0) == 0\nassert f(1) == 1\nassert list(f(2)) == [3, 4]\nassert f(1) == 1\nassert list(f(3)) =="
            " [5, 6, 7]\nassert f(0) == 0"
        ),
    ),
    "errors between": (
        "def f(x):\n    if x == 1: raise KeyError(x)\n    return x",
        "assert f(0) == 0\ntry:\n    f(1)\nexcept KeyError: pass\nassert f(2) == 2\nassert f(3) == 3",
    ),
    "a helper of the tests under a name": (
        "calls = []\ndef g(*x):\n    calls.append(x)\n    return len(calls)",
        "def f(x):\n    return g(x, x)\nassert f(1) == 1\nassert f(2) == 2\nassert g() == 3\nassert g(1) == 4",
    ),
    "a name that the check gives away": (
        "def f(x): return x",
        (
            "def check(candidate):\n    candidate = lambda x, f=candidate: f(x) + 1\n    assert candidate(1) == 2\n   "
            " assert candidate(2) == 3"
        ),
    ),
    "the tests' function, kept by the program": (
        (
            "kept = []\ndef f(x):\n    kept.append(x) if callable(x) else None\n    return kept[0](1) if kept and x =="
            " 3 else 0"
        ),
        "assert f(lambda x: x + 10) == 0\nassert f(1) == 0\nassert f(2) == 0\nassert f(3) == 11\nassert f(4) == 0",
    ),
    "more than a socket takes at once": (
        "def f(x): return x",
        "\n".join(f"assert f([{i}] + {list(range(2000))}) == [{i}] + {list(range(2000))}" for i in range(25)),
    ),
}


@pytest.mark.parametrize("name", AHEAD_OF_TIME)
def test_calls_are_made_as_the_tests_say_though_they_are_sent_ahead(sandbox: Sandbox, name: str):
    code, tests = AHEAD_OF_TIME[name]
    verdict = sandbox.check(code, tests, "g" if "def g" in code else "f")
    assert (verdict.status, verdict.integrity) == ("pass", "split"), verdict


@pytest.mark.parametrize(
    ("third", "status"),
    [("raise KeyError", "fail"), ("import os; os._exit(0)", "crash"), ("while True: pass", "timeout")],
)
def test_the_call_that_went_wrong_is_named_though_later_ones_were_sent(sandbox: Sandbox, third: str, status: str):
    code = f"def f(x):\n    if x == 3:\n        {third}\n    return x"
    verdict = sandbox.check(
        code, "\n".join(f"assert f({i}) == {i}" for i in range(1, 6)), "f", limits=Limits(wall_s=0.5, busy_s=0)
    )
    assert verdict.status == status
    passed = [result.passed for result in verdict.results]
    assert passed == [True, True, False, *([True] * 2 if status == "fail" else [False] * 2)]
    assert verdict.results[2].evidence.startswith("f(3): raised KeyError" if status == "fail" else "not reached: ")


def test_a_timeout_ends_the_job_however_many_inputs_remain(sandbox: Sandbox):
    verdict = sandbox.check(Job("while True: pass", "", [Stdio("1", "1")] * 4, Limits(wall_s=0.3, busy_s=0)))
    assert (verdict.status, verdict.tests_total) == ("timeout", 4)
    assert [row.evidence.partition(":")[0] for row in verdict.results] == ["stdin '1'", *["not reached"] * 3]


def test_rows_of_statements_that_raise_are_numbered_without_gaps(sandbox: Sandbox):
    verdict = sandbox.check("def f(): return 1", "assert f() == 1\na = 1 / 0\nb = 1 / 0\nc = 1 / 0", "f")
    assert [(row.index, row.passed) for row in verdict.results] == [(0, True), (1, False), (2, False), (3, False)]
