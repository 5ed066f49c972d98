"""What comes from a program is data: it cannot end, hang or fill the tester, have its tests refused, or judge itself
unseen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from helpers.protocol_fuzzer import fuzz, is_broken
from helpers.tester_attacks import JUDGED, OWN, RAW, TESTER

from herl_bench.errors import UsageError
from herl_bench.sandbox import Job, Limits, Sandbox, Stdio, probes

QUICK = Limits(wall_s=0.7, cpu_s=1, busy_s=0.7)
HONEST = Job("def root(x): return x", "root", "assert root(1) == 1")


@pytest.mark.parametrize("tier", ["namespaces", "landlock"])
def test_attacks_on_the_tester_are_verdicts_about_the_program(tier: str):
    if tier == "landlock" and not (probe := probes.probe_worker("landlock")).ok:
        pytest.skip(probe.found)
    jobs = [Job(code, "root", {"tests": tests}) for _, tests, code in TESTER]
    assert len(jobs) > 80
    with Sandbox(workers=4, isolation=tier, limits=QUICK) as sandbox:
        verdicts = dict(zip((name for name, _, _ in TESTER), sandbox.map(jobs), strict=True))
        assert {name: v for name, v in verdicts.items() if is_broken(v.status, v.detail)} == {}
        assert [v.status for v in sandbox.map([HONEST] * 4)] == ["pass"] * 4
    assert all(len(v.detail) < 1000 for v in verdicts.values())


def test_random_words_are_verdicts_about_the_program():
    with Sandbox(workers=2) as sandbox:
        statuses = {verdict.status for _, verdict in fuzz(sandbox, range(150))}
    assert statuses >= {"fail", "protocol", "error"}


def test_scripts_that_speak_the_protocol_are_judged_as_scripts(sandbox: Sandbox):
    ends = 'say("ended", error(["builtins.KeyError"], [thing(3)]), 0, "")\nwhile True: hear()'
    verdict = sandbox.check(RAW + ends, [Stdio("1", "2")], limits=QUICK)
    assert (verdict.status, verdict.detail) == ("error", "KeyError (line 1)")
    verdict = sandbox.check("print('ab\\n' * 5_000_000)", [Stdio("1", "2")])
    assert verdict.status in ("fail", "error"), verdict


@pytest.fixture(scope="module")
def split() -> Iterator[Sandbox]:
    with Sandbox(workers=1, integrity="split") as opened:
        yield opened


@pytest.mark.parametrize(("name", "tests", "code"), JUDGED, ids=[name for name, _, _ in JUDGED])
def test_what_a_program_judges_itself_is_marked(sandbox: Sandbox, split: Sandbox, name: str, tests: str, code: str):
    verdict = sandbox.check(code, tests, "root")
    assert (verdict.status, verdict.integrity) == ("pass", "shared"), verdict
    verdict = split.check(code, tests, "root")
    assert (verdict.status, verdict.integrity, verdict.tests_passed) == ("refused", "shared", 0)
    assert verdict.detail.startswith("integrity='split': the tests come down to")


@pytest.mark.parametrize(
    ("tests", "code"),
    [
        ("assert root(4) == 2\nassert root(4) is not None\nassert [root(4)] == [2]", "def root(x): return 2"),
        ("s = root()\ns.add(2)\nassert s.size == 1 and len(s.items) == 1\nassert s.last() is True",
         "class root:\n    def __init__(s): s.items = []; s.size = 0\n"
         "    def add(s, x): s.items.append(x); s.size += 1\n    last = lambda s: True"),
        ("assert is_two(2) is True\nassert not is_two(3)\nassert root(1) == 1",
         "def is_two(x): return x == 2\ndef root(x): return x"),
        ("assert root(2)(3) == 5\nassert root(0)(0) == 0", "def root(x): return lambda y: x + y"),
        ("with root(1) as x:\n    assert x == 1\n    raise ValueError\nassert root(1).x == 1",
         OWN + "P.__enter__ = lambda s: s.x\nP.__exit__ = lambda s, *a: True\ndef root(x): return P(x)"),
    ],
)  # fmt: skip
def test_what_the_tests_compare_themselves_is_not(split: Sandbox, tests: str, code: str):
    verdict = split.check(code, tests, "root")
    assert (verdict.status, verdict.integrity) == ("pass", "split"), verdict


def test_a_wrong_program_stays_wrong_where_only_split_counts(split: Sandbox):
    code = OWN + "P.__eq__ = lambda s, o: True\ndef root(x): return P(x) if x > 1 else 0"
    verdict = split.check(code, "assert root(1) == 1\nassert root(4) == root(2)", "root")
    assert (verdict.status, verdict.integrity) == ("fail", "shared")
    assert [row.passed for row in verdict.results] == [False, False]
    assert verdict.results[1].evidence.startswith("integrity='split'")


REFUSED = {
    "the tests do not parse": "assert root( == 1",
    "the tests need a module that is not here": "import no_such_module_here\nassert root(1) == 1",
    "derive a class": "class D(root): pass\nassert D(1)",
    "a value that cannot be sent: StringIO": "import io\nassert root(1) == 1\nassert root(io.StringIO()) == 1",
    "a value that cannot be sent: Mine": (
        "class Mine: pass\nassert root(1) == 1\nx = root(1)\nassert root([Mine(), x]) == 1"
    ),
    "a function of the tests returns a value that cannot be sent: Mine": (
        "class Mine: pass\nassert root(lambda: Mine()) == 1"
    ),
    "larger than message_mb": "assert root(1) == 1\nassert root('x' * (9 << 20)) == 1",
    "nested too deeply": "x = []\nfor _ in range(200): x = [x]\nassert root(1) == 1\nassert root(x) == 1",
    "the tests end the process that runs them": "import os\nassert root(1) == 1\nos._exit(3)",
}


@pytest.mark.parametrize("reason", REFUSED)
def test_tests_that_cannot_work_are_refused_whatever_the_program(sandbox: Sandbox, reason: str):
    codes = (
        "class root:\n    def __new__(c, x): return x() if callable(x) else x",
        "def root(x): return x() if callable(x) else 7",
    )
    for code in codes[: 1 if reason == "derive a class" else 2]:
        verdict = sandbox.check(code, REFUSED[reason], "root")
        assert verdict.status == "refused", verdict
        assert reason in verdict.detail


@pytest.mark.parametrize(
    "tests",
    [
        "assert root(4) == 2\nassert root('x' * root(5)) == 2",
        "assert root(4) == 2\nassert root(lambda x: 'x' * x) == 2",
    ],
)
def test_a_program_that_makes_the_tests_too_large_is_not_a_refusal(sandbox: Sandbox, tests: str):
    verdict = sandbox.check(
        "def root(x): return 9_000_000 if x == 5 else x(9_000_000) if callable(x) else 2", tests, "root"
    )
    assert verdict.status in ("protocol", "fail"), verdict


def test_a_program_that_ends_the_process_of_its_tests_is_told_from_tests_that_end_it(sandbox: Sandbox):
    """They end it for what the program answers: a program of ours, which answers nothing, does not."""
    verdict = sandbox.check(
        "def root(x): return 7", "import os\nif root(1) == 7: os._exit(1)\nassert root(1) == 1", "root"
    )
    assert (verdict.status, verdict.detail) == ("crash", "the program ended the process that tests it, three times")
    assert sandbox.check(HONEST).status == "pass"


def test_an_integrity_that_is_none(sandbox: Sandbox):
    with pytest.raises(UsageError, match="integrity='strict': choose from shared, split"):
        Sandbox(integrity="strict")
