"""Honest programs of every kind, and wrong variants of each: the sandbox says what plain `exec` of program and tests in
one namespace says, or that it refuses the tests. Never that an honest program is wrong; never that a wrong one
passes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from herl_bench.sandbox import Job, Limits, Sandbox, Verdict

HERE = Path(__file__).parent
TRUTH = HERE.parent / "helpers" / "honest_truth.py"


class Case(NamedTuple):
    name: str
    entry: str
    program: str
    tests: str


def corpus() -> Iterator[Case]:
    """From honest/*.txt: `=== entry: title`, the program, `---`, the tests. A title ends in "(refused)" where the tests
    are."""
    for path in sorted((HERE / "honest").glob("*.txt")):
        for block in path.read_text("utf-8").split("=== ")[1:]:
            title, _, rest = block.partition("\n")
            program, _, tests = rest.partition("\n---\n")
            yield Case(f"{path.stem}: {title}", title.partition(":")[0], program, tests)


class _Negated(ast.NodeTransformer):
    def visit_Assert(self, node: ast.Assert) -> ast.Assert:
        node.test = ast.UnaryOp(ast.Not(), node.test)
        return node


class _Changed(ast.NodeTransformer):
    """The `number`-th constant is another one."""

    def __init__(self, number: int):
        self.number = number

    def visit_Constant(self, node: ast.Constant) -> ast.Constant:
        self.number -= 1
        if self.number or isinstance(node.value, bool) or not isinstance(node.value, int | float | str):
            return node
        return ast.Constant("another" if isinstance(node.value, str) else node.value + 1)


def changed(source: str, number: int) -> str:
    return ast.unparse(ast.fix_missing_locations(_Changed(number).visit(ast.parse(source))))


def wrong_variants(case: Case) -> Iterator[Case]:
    """Programs with another constant, and tests that expect something else. Some are right all the same; plain `exec`
    tells."""
    yield case._replace(
        name=f"{case.name} (negated)",
        tests=ast.unparse(ast.fix_missing_locations(_Negated().visit(ast.parse(case.tests)))),
    )
    for number in (1, 2, 4):
        yield case._replace(name=f"{case.name} (program, {number})", program=changed(case.program, number))
    for number in (3, 5, 8):
        yield case._replace(name=f"{case.name} (tests, {number})", tests=changed(case.tests, number))


def run_plainly(cases: list[Case]) -> list[str]:
    """What was raised by each, "" where program and tests came to their end."""
    done = subprocess.run(
        [sys.executable, str(TRUTH)],
        input=json.dumps([[case.program, case.tests] for case in cases]),
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    return json.loads(done.stdout)


def run_both(cases: list[Case]) -> Iterator[tuple[Case, str, Verdict]]:
    """Each case, what plain `exec` says, and the sandbox's verdict; both at the same time."""
    with ThreadPoolExecutor() as plain, Sandbox(workers=2, limits=Limits(wall_s=3.0, cpu_s=1)) as sandbox:
        truths = plain.submit(run_plainly, cases)
        verdicts = list(sandbox.map(Job(case.program, case.entry, case.tests) for case in cases))
        yield from zip(cases, truths.result(), verdicts, strict=True)


def describe(verdict: Verdict) -> str:
    missed = [result.evidence for result in verdict.results if not result.passed]
    return f"{verdict.status}: {verdict.detail} {missed[:3]}"


def test_honest_programs_pass_or_their_tests_are_refused():
    cases = list(corpus())
    assert len(cases) >= 200
    wrong = {}
    for case, raised, verdict in run_both(cases):
        assert not raised, (case.name, raised)
        if verdict.status != ("refused" if case.name.endswith("(refused)") else "pass"):
            wrong[case.name] = describe(verdict)
    assert wrong == {}


def find_forged(cases: list[Case]) -> list[tuple[str, str]]:
    return [(case.name, raised) for case, raised, verdict in run_both(cases) if raised and verdict.status == "pass"]


def test_a_wrong_variant_of_each_does_not_pass():
    """Another kind of variant for each program in turn."""
    assert find_forged([list(wrong_variants(case))[i % 7] for i, case in enumerate(corpus())]) == []


@pytest.mark.long
def test_no_wrong_variant_passes():
    assert find_forged([variant for case in corpus() for variant in wrong_variants(case)]) == []
