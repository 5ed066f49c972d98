"""Programs that do nothing wrong get the verdict that they deserve, with evidence for every assertion."""

from __future__ import annotations

import os

import pytest

from herl_bench.sandbox import Job, Limits, Sandbox


def run(sandbox: Sandbox, code: str, entry: str, tests: str, **limits: float):
    return sandbox.check(Job(code, entry, {"tests": tests}, Limits(**limits) if limits else None))


PASSING = {
    "plain": ("def f(x): return x + 1", "assert f(1) == 2"),
    "check function": ("def f(x): return x + 1", "def check(candidate):\n    assert candidate(1) == 2\n"),
    "check called by the tests": ("def f(x): return x + 1", "def check(candidate):\n    assert candidate(1) == 2\ncheck(f)\n"),
    "helper of the program": ("def enc(s): return s[::-1]\ndef f(s): return s[::-1]", "assert f(enc('abc')) == 'abc'"),
    "named like a builtin": ("def sum(a, b): return a * b", "assert sum(3, 4) == 12"),
    "argument changed in place": ("def f(xs): xs.append(1)", "l = [0]\nf(l)\nassert l == [0, 1]"),
    "nested argument changed": ("def f(d): d['k'][0].add(7)", "inner = [set()]\nd = {'k': inner}\nf(d)\nassert inner == [{7}]"),
    "sorted in place": ("def f(xs): xs.sort(); return xs", "l = [3, 1, 2]\nassert f(l) == [1, 2, 3]\nassert l == [1, 2, 3]"),
    "callable argument": ("def f(g, x): return g(g(x))", "assert f(lambda v: v + 1, 2) == 4"),
    "callable that raises": (
        "def f(g):\n    try: return g(0)\n    except ZeroDivisionError: return 'caught'",
        "assert f(lambda v: 1 / v) == 'caught'",
    ),
    "callable that calls back": ("def f(g, n): return n if n > 5 else g(n + 1)", "assert f(lambda n: f(lambda m: m, n + 9), 0) == 10"),
    "builtin argument": ("def f(kind, xs): return [x for x in xs if isinstance(x, kind)]", "assert f(int, [1, 'a']) == [1]"),
    "returns a function": ("def f(n): return lambda x: x + n", "assert f(3)(4) == 7"),
    "generator": ("def f(n):\n    yield from range(n)", "assert list(f(3)) == [0, 1, 2]\nassert list(f(1000)) == list(range(1000))"),
    "endless generator": (
        "import itertools\ndef f(): return itertools.count(1)",
        "it = f()\nassert [next(it) for _ in range(5)] == [1, 2, 3, 4, 5]",
    ),
    "class": (
        "class f:\n    def __init__(self, n): self.n = n\n    def inc(self): self.n += 1; return self.n",
        "s = f(1)\nassert s.inc() == 2 and s.n == 2",
    ),
    "class with dunders": (
        "class f:\n    def __init__(self): self.xs = []\n    def add(self, x): self.xs.append(x)\n"
        "    def __len__(self): return len(self.xs)\n    def __iter__(self): return iter(self.xs)\n    def __getitem__(self, i): return self.xs[i]",
        "s = f()\ns.add(4)\ns.add(5)\nassert len(s) == 2\nassert list(s) == [4, 5]\nassert s[1] == 5\nassert 4 in s and 6 not in s",
    ),
    "linked objects": (
        "class Node:\n    def __init__(self, v): self.v = v; self.left = None\ndef f(n): return 0 if n is None else n.v + f(n.left)",
        "root = Node(1)\nroot.left = Node(2)\nassert f(root) == 3\nassert root.left.v == 2",
    ),
    "exception that is expected": (
        "def f(x):\n    if x < 0: raise ValueError('negative')\n    return x",
        "assert f(1) == 1\ntry:\n    f(-1)\nexcept ValueError as e:\n    assert 'neg' in str(e)\nelse:\n    assert False",
    ),
    "exception of its own": (
        "class Odd(Exception): pass\ndef f(x): raise Odd(x)",
        "caught = None\ntry:\n    f(3)\nexcept Odd as e:\n    caught = e.args\nassert caught == (3,)",
    ),
    "own class kept in a set": ("class P:\n    pass\ndef f(p): return p", "p = P()\nassert f(p) is p\nassert len({p, f(p)}) == 1"),
    "recursion": ("def r(n): return 0 if n == 0 else 1 + r(n - 1)\ndef f(): return r(900)", "assert f() == 900"),
    "threads": (
        "import threading\ndef f():\n    r = []\n    t = [threading.Thread(target=r.append, args=(i,)) for i in range(8)]\n"
        "    [x.start() for x in t]; [x.join() for x in t]\n    return sorted(r)",
        "assert f() == list(range(8))",
    ),
    "asyncio": ("import asyncio\nasync def g(): await asyncio.sleep(0.001); return 5\ndef f(): return asyncio.run(g())", "assert f() == 5"),
    "temporary files": (
        "import tempfile, os\ndef f():\n    with tempfile.TemporaryDirectory() as d:\n        open(os.path.join(d, 'x'), 'w').write('1')\n"
        "        return os.listdir(d)",
        "assert f() == ['x']",
    ),
    "many modules": (
        "import abc, array, bisect, calendar, cmath, collections, copy, csv, dataclasses, datetime, decimal, enum, fractions, functools, "
        "hashlib, heapq, io, itertools, json, math, operator, queue, random, re, statistics, string, struct, textwrap, time, typing, uuid\n"
        "def f(): return hashlib.md5(b'x').hexdigest()[:4]",
        "assert f() == '9dd4'",
    ),
    "named tuple": (
        "import collections\nP = collections.namedtuple('P', 'x y')\ndef f(): return P(1, 2)",
        "assert f() == (1, 2)\nassert f().y == 2",
    ),
    "dates and decimals": (
        "import datetime, decimal, fractions\ndef f(): return datetime.date(2024, 2, 29), decimal.Decimal('0.10'), fractions.Fraction(1, 3)",
        "import datetime\nfrom decimal import Decimal\nfrom fractions import Fraction\n"
        "assert f() == (datetime.date(2024, 2, 29), Decimal('0.1'), Fraction(1, 3))",
    ),
    "floats": (
        "def f(x): return x / 3",
        "import math\nassert abs(f(1.0) - 0.3333) < 1e-3\nassert math.isclose(f(9.0), 3.0)\nassert f(1.0) == 1 / 3",
    ),
    "loop over nothing else": ("def f(x): return x", "for i in range(50):\n    assert f(i) == i"),
    "module that the tests forgot to import": ("def f(x): return x ** 0.5", "assert math.isclose(f(4), 2)"),
    "dataclass": (
        "from dataclasses import dataclass\n@dataclass\nclass P:\n    x: int\ndef f(): return P(3)",
        "assert f().x == 3",
    ),
    "200 MB": ("def f():\n    x = bytearray(b'x') * (200 << 20)\n    return len(x)", "assert f() == 200 << 20"),
    "windows line ends": ("def f(x):\r\n    return x\r\n", "assert f(1) == 1\r\nassert f(2) == 2"),
}


@pytest.mark.parametrize("name", PASSING)
def test_passes(sandbox: Sandbox, name: str):
    code, tests = PASSING[name]
    entry = "sum" if name == "named like a builtin" else "f"
    verdict = run(sandbox, code, entry, tests)
    assert verdict.status == "pass", (verdict.detail, [r.evidence for r in verdict.results if not r.passed])
    assert verdict.tests_passed == verdict.tests_total > 0
    assert verdict.integrity == "split"


def test_comparing_two_objects_of_the_program_is_marked(sandbox: Sandbox):
    code = "class P:\n    def __init__(self, x): self.x = x\n    def __eq__(self, o): return self.x == o.x\ndef f(): return P(3)"
    verdict = run(sandbox, code, "f", "assert f() == P(3)\nassert not f() == P(4)")
    assert (verdict.status, verdict.integrity) == ("pass", "shared")


def test_every_assertion_is_tried(sandbox: Sandbox):
    tests = "assert f(1) == 2\nassert f(2) == 5\nassert f('a') == 1\nassert f(3) == 4\n"
    verdict = run(sandbox, "def f(x):\n    return x + 1\n", "f", tests)
    assert verdict.status == "fail"
    assert [result.passed for result in verdict.results] == [True, False, False, True]
    assert verdict.results[1].evidence == "f(2): got 3, expected 5"
    assert verdict.results[2].evidence.startswith("f('a'): raised TypeError")
    assert "line 2" in verdict.results[2].evidence
    assert [result.source for result in verdict.results][1] == "assert f(2) == 5"
    assert (verdict.tests_passed, verdict.tests_total) == (2, 4)


def test_evidence_shows_arguments_as_they_were_before_the_call(sandbox: Sandbox):
    verdict = run(sandbox, "def f(xs):\n    xs.clear()\n    return 0\n", "f", "l = [1, 2]\nassert f(l) == 2\n")
    assert verdict.results[0].evidence == "f([1, 2]): got 0, expected 2"


def test_a_loop_passes_only_if_every_run_passes(sandbox: Sandbox):
    verdict = run(sandbox, "def f(x): return x if x != 3 else 0", "f", "for i in range(6):\n    assert f(i) == i\n")
    assert [(r.passed, r.evidence) for r in verdict.results] == [(False, "f(3): got 0, expected 3")]


def test_groups_share_one_run(sandbox: Sandbox):
    job = Job(
        "n = 0\ndef f():\n    global n\n    n += 1\n    return n", "f", {"a": "assert f() == 1", "b": "assert f() == 2\nassert f() == 9"}
    )
    verdict = sandbox.check(job)
    assert [(r.group, r.index, r.passed) for r in verdict.results] == [("a", 0, True), ("b", 0, True), ("b", 1, False)]


def test_a_line_that_raises_does_not_hide_the_next_assertion(sandbox: Sandbox):
    tests = "a = f(0)\nassert a == 1\nassert f(2) == 0.5\n"
    verdict = run(sandbox, "def f(x): return 1 / x", "f", tests)
    assert [r.passed for r in verdict.results] == [False, True, False]
    assert "ZeroDivisionError" in verdict.results[0].evidence
    assert verdict.status == "fail"


def test_an_assertion_that_is_not_reached_does_not_pass(sandbox: Sandbox):
    verdict = run(sandbox, "def f(x): return []", "f", "assert f(0) == []\nfor x in f(1):\n    assert x > 0\n")
    assert [r.passed for r in verdict.results] == [True, False]
    assert verdict.results[1].evidence.startswith("not reached")


@pytest.mark.parametrize(
    ("code", "status", "loaded", "defined", "detail"),
    [
        ("def f(x: return", "error", False, False, "SyntaxError"),
        ("y = 1\nx = z\ndef f(x): return x", "error", False, False, "NameError: name 'z' is not defined (line 2)"),
        ("def g(x): return x", "error", True, False, "no function named f"),
        ("f = 3", "error", True, False, "no function named f"),
        ("import sys\nsys.exit(0)", "error", False, False, "SystemExit"),
        ("def f(x): return [0] * (1 << 40)", "memory", True, True, ""),
        ("def f(x):\n    while True: pass", "timeout", True, True, ""),
        ("import time\ndef f(x): time.sleep(60)", "timeout", True, True, "no verdict within 1 s"),
        ("while True: pass", "timeout", False, False, ""),
        ("import os\ndef f(x): os._exit(0)", "crash", True, True, "exit status 0"),
        ("import ctypes\ndef f(x): ctypes.string_at(0)", "crash", True, True, "SIGSEGV"),
        ("def f(x): return x + 1", "fail", True, True, ""),
        ("", "error", True, False, "no function named f"),
    ],
)
def test_other_ends(sandbox: Sandbox, code: str, status: str, loaded: bool, defined: bool, detail: str):
    verdict = run(sandbox, code, "f", "assert f(1) == 1\nassert f(2) == 2", wall_s=1.0, cpu_s=1)
    assert (verdict.status, verdict.loaded, verdict.defined) == (status, loaded, defined)
    assert detail in verdict.detail
    assert verdict.tests_passed == 0
    assert verdict.tests_total == 2


def test_what_was_passed_before_the_end_is_kept(sandbox: Sandbox):
    verdict = run(sandbox, "def f(x):\n    while x: pass\n    return x", "f", "assert f(0) == 0\nassert f(1) == 1", wall_s=1.0, cpu_s=1)
    assert verdict.status == "timeout"
    assert [r.passed for r in verdict.results] == [True, False]


def test_waiting_for_a_processor_is_not_counted(sandbox: Sandbox):
    """Four programs that each need most of their wall clock in processor time, all at once on however few processors there are."""
    code = "import time\ndef f():\n    while time.process_time() < 0.5: pass\n    return 1"
    hungry = Limits(wall_s=0.8, busy_s=30.0)
    with Sandbox(workers=2 * (os.cpu_count() or 1)) as crowded:
        jobs = [Job(code, "f", {"t": "assert f() == 1"}, hungry)] * crowded.workers
        assert [verdict.status for verdict in crowded.map(jobs)] == ["pass"] * len(jobs)


def test_processor_time_is_limited_apart_from_the_wall_clock(sandbox: Sandbox):
    verdict = run(sandbox, "def f():\n    while True: pass", "f", "assert f() == 1", wall_s=20.0, cpu_s=1)
    assert verdict.status == "timeout"
    assert "processor time" in verdict.detail


def test_output_is_kept_up_to_a_cap(sandbox: Sandbox):
    verdict = run(sandbox, "import sys\ndef f():\n    print('hé')\n    print('err', file=sys.stderr)\n    return 1", "f", "assert f() == 1")
    assert verdict.stdout == "hé\nerr\n"
    verdict = run(sandbox, "def f():\n    for _ in range(200): print('x' * 10000)\n    return 1", "f", "assert f() == 1")
    assert verdict.status == "pass"
    assert len(verdict.stdout) <= 64 << 10


def test_same_verdict_every_time(sandbox: Sandbox):
    code = "import random\ndef f(): return [random.random(), list({'a', 'b', 'c', 'd'})]"
    first = run(sandbox, code, "f", "assert f() == 0").results
    assert all(run(sandbox, code, "f", "assert f() == 0").results == first for _ in range(3))
    with Sandbox(workers=1) as other:
        assert run(other, code, "f", "assert f() == 0").results == first


def test_tests_that_are_wrong_are_not_the_programs_fault(sandbox: Sandbox):
    assert run(sandbox, "def f(): return 1", "f", "assert f( == 1").status == "infra"
    verdict = run(sandbox, "def f(): return 1", "f", "import no_such_module_here\nassert f() == 1")
    assert verdict.status == "infra"
    assert "no_such_module_here" in verdict.detail
    assert run(sandbox, "def f(x): return 1", "f", "import io\nassert f(io.StringIO()) == 1").status == "infra"


def test_the_program_is_no_script(sandbox: Sandbox):
    assert run(sandbox, "def f(): return 1\nif __name__ == '__main__':\n    f = None", "f", "assert f() == 1").status == "pass"


def test_usage_of_resources_is_reported(sandbox: Sandbox):
    verdict = run(sandbox, "def f():\n    x = bytearray(b'x') * (100 << 20)\n    return sum(x[:1 << 22])", "f", "assert f() > 0")
    assert verdict.peak_mb > 100
    assert 0.01 < verdict.cpu_s < verdict.wall_s + 0.1
    assert verdict.tier == "namespaces"
