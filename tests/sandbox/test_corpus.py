"""Honest programs of every kind, and wrong variants of each: the sandbox says what plain `exec` of program and tests in
one namespace says, or that it refuses the tests. Never that an honest program is wrong; never that a wrong one
passes."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

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


def truths(cases: list[Case]) -> list[str]:
    told = json.dumps([[case.program, case.tests] for case in cases])
    done = subprocess.run(
        [sys.executable, str(TRUTH)], input=told, capture_output=True, text=True, timeout=600, check=True
    )
    return json.loads(done.stdout)


def verdicts(cases: list[Case]) -> list[Verdict]:
    with Sandbox(workers=1, limits=Limits(wall_s=3.0)) as sandbox:
        return list(sandbox.map(Job(case.program, case.entry, case.tests) for case in cases))


def told(verdict: Verdict) -> str:
    return (
        f"{verdict.status}: {verdict.detail} {[result.evidence for result in verdict.results if not result.passed][:3]}"
    )


def test_honest_programs_pass_or_their_tests_are_refused():
    cases = list(corpus())
    assert len(cases) >= 200
    assert [(case.name, why) for case, why in zip(cases, truths(cases), strict=True) if why] == []
    wrong = {
        case.name: told(verdict)
        for case, verdict in zip(cases, verdicts(cases), strict=True)
        if verdict.status != ("refused" if case.name.endswith("(refused)") else "pass")
    }
    assert wrong == {}


def test_wrong_variants_do_not_pass():
    cases = [variant for case in corpus() for variant in wrong_variants(case)]
    forged = [
        (case.name, why)
        for case, why, verdict in zip(cases, truths(cases), verdicts(cases), strict=True)
        if why and verdict.status == "pass"
    ]
    assert forged == []
