"""Judge an answer: what was found in its text, and what running it showed.

`observe` finds the program in each answer and runs each distinct one once, on two groups of tests: the docstring's own
examples, then the hidden tests. All checks and metrics read that one observation. An answer that does not parse never
reaches the sandbox. Where the sandbox itself failed (`infra`), or the tests use what cannot be told apart from the
program's own word (`refused`), the checks that need it are undecided, never unmet.

Left out: what a program prints is not judged, nor are style and speed.
"""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from herl_bench import Check, Example, Finding, Metric
from herl_bench_humaneval.code import Program, find_program, parse, parses, write_correction

LONGEST_SHOWN = 200
"""Characters of an assertion, and of what was got, that evidence shows."""
UNDECIDED = {"infra": "the sandbox failed", "refused": "the sandbox refuses these tests"}
BROKEN_OFF = ("timeout", "memory", "crash", "protocol", "violation")


@dataclass(frozen=True)
class Observation:
    """What is known of one answer.

    verdict: the sandbox's, of `program.source`; None where nothing was run.
    plain: the sandbox's, of prompt and answer put together as they are; None where that does not parse.
    """

    program: Program
    verdict: Any = None
    plain: Any = None

    @property
    def status(self) -> str:
        return self.verdict.status if self.verdict is not None else ""

    @property
    def integrity(self) -> str:
        """`shared` where either of the two was; empty where there is none."""
        kinds = {v.integrity for v in (self.verdict, self.plain) if v is not None and v.status not in UNDECIDED}
        return "shared" if "shared" in kinds else min(kinds, default="")


def observe(examples: Sequence[Example], responses: Sequence[str], sandbox: Any) -> list[Observation]:
    """One observation per answer; each distinct pair of program and tests is run once."""
    from herl_bench.sandbox import Job

    programs = [find_program(e.prompt, e.info["entry_point"], r) for e, r in zip(examples, responses, strict=True)]
    wanted: dict[tuple[str, int], int] = {}
    jobs: list[Job] = []
    tests = {id(e): _build_tests(e) for e in examples}

    def place(example: Example, source: str | None) -> int | None:
        if source is None:
            return None
        key = (source, hash((example.prompt, *tests[id(example)].values())))
        if key not in wanted:
            wanted[key] = len(jobs)
            jobs.append(Job(source, example.info["entry_point"], tests[id(example)]))
        return wanted[key]

    run = [place(e, p.source) for e, p in zip(examples, programs, strict=True)]
    joined = [e.prompt + r for e, r in zip(examples, responses, strict=True)]
    plain = [
        place(e, j if p.source == j or parses(j) else None) for e, j, p in zip(examples, joined, programs, strict=True)
    ]
    if jobs and sandbox is None:
        raise RuntimeError("HumanEval answers are run, and no sandbox was given")
    verdicts = list(sandbox.map(jobs)) if jobs else []
    return [
        Observation(p, None if i is None else verdicts[i], None if j is None else verdicts[j])
        for p, i, j in zip(programs, run, plain, strict=True)
    ]


def _build_tests(example: Example) -> dict[str, str]:
    shown = "".join(f"assert {e['call']} == {e['expected']}\n" for e in example.info["examples"])
    hidden = example.info.get("preamble", "") + example.info["test"]
    return {"examples": shown, "hidden": hidden} if shown else {"hidden": hidden}


# --------------------------------------------------------------------------------------------------------------- checks
def code_extracted(example: Example, seen: Observation) -> Finding:
    """There is Python code in the answer."""
    return (
        Finding(True)
        if seen.program.code is not None
        else Finding(False, seen.program.error or "no Python code in the answer")
    )


def code_parses(example: Example, seen: Observation) -> Finding:
    """That code, as the function's body or a whole program, parses."""
    if seen.program.source is not None:
        return Finding(True)
    return Finding(False, seen.program.error or "no Python code in the answer")


def defines_entry(example: Example, seen: Observation) -> Finding:
    """It defines the function that the problem asks for."""
    if seen.program.defined:
        return Finding(True)
    return Finding(False, f"no definition of {example.info['entry_point']} that parses")


def runs(example: Example, seen: Observation) -> Finding:
    """The program loads, and none of its own docstring's example calls raises, hangs or kills it."""
    stopped = _explain_no_run(seen)
    if stopped is not None:
        return stopped
    for result in _sort_results(seen.verdict, "examples"):
        if not result.passed and (_NOT_REACHED.match(result.evidence) or _RAISED.search(result.evidence)):
            return Finding(False, _cut(result.evidence))
    return Finding(True)


def docstring_examples(example: Example, seen: Observation) -> list[Finding]:
    """One finding per example in the docstring; none where the docstring has none."""
    parts = [f"example {i + 1}" for i in range(len(example.info["examples"]))]
    stopped = _explain_no_run(seen)
    if stopped is not None:
        return [_name_part(stopped, part) for part in parts]
    found = _sort_results(seen.verdict, "examples")
    findings = [
        Finding(r.passed, "" if r.passed else _cut(r.evidence), part=part)
        for r, part in zip(found, parts, strict=False)
    ]
    return [*findings, *(Finding(False, "not reached", part=part) for part in parts[len(findings) :])]


def hidden_tests(example: Example, seen: Observation) -> list[Finding]:
    """One finding per hidden assertion. The first that is unmet carries the correction."""
    stopped = _explain_no_run(seen)
    if stopped is not None:
        findings = [_name_part(stopped, "all tests")]
    else:
        found = _sort_results(seen.verdict, "hidden")
        findings = [
            Finding(r.passed, "" if r.passed else _describe_result(example, r), part=f"test {i + 1}")
            for i, r in enumerate(found)
        ]
        findings = findings or [Finding(False, "no test was reached", part="all tests")]
    first = next((i for i, f in enumerate(findings) if f.met is False), None)
    if first is not None and seen.program.source is not None and example.target:
        words = write_correction(seen.program.source, example.prompt + example.target, example.info["entry_point"])
        findings[first] = Finding(False, findings[first].evidence, words, findings[first].part)
    return findings


def _explain_no_run(seen: Observation) -> Finding | None:
    """The finding that stands for every test where the program did not get as far as the first call."""
    if seen.program.source is None:
        return Finding(False, "there is no program that parses")
    if seen.verdict.status in UNDECIDED:
        return Finding(None, f"{UNDECIDED[seen.verdict.status]}: {seen.verdict.detail}")
    if not seen.verdict.loaded:
        return Finding(False, f"at load: {_cut(seen.verdict.detail or seen.verdict.status)}")
    if not seen.verdict.defined:
        return Finding(False, "the program does not define the function")
    return None


def _name_part(finding: Finding, part: str) -> Finding:
    return Finding(finding.met, finding.evidence, finding.correction, part)


def _sort_results(verdict: Any, group: str) -> list[Any]:
    return sorted((r for r in verdict.results if r.group == group), key=lambda r: r.index)


_NOT_REACHED = re.compile(r"not reached")
_RAISED = re.compile(r"(?:^|: )raised \w")
_GOT = re.compile(r": (got .*?)(?:, expected .*)?$|: (raised .*)$", re.DOTALL)


def _describe_result(example: Example, result: Any) -> str:
    """`check(candidate): assert f(1) == 2: got 3`, as far as the assertion speaks for itself; else the call that the
    sandbox saw."""
    entry, place = example.info["entry_point"], "check(candidate): " if "def check(" in example.info["test"] else ""
    source = re.sub(r"\bcandidate\b", entry, " ".join(result.source.split()))
    tree, got = parse(source), _GOT.search(result.evidence)
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)} if tree else {""}
    if got is None or not names <= {entry, *vars(builtins)}:
        return place + _cut(result.evidence)
    return f"{place}{_cut(source)}: {_cut(got[1] or got[2])}"


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


CHECKS = (
    Check("humaneval.code_extracted", code_extracted, observe=observe),
    Check("humaneval.parses", code_parses, observe=observe),
    Check("humaneval.defines_entry", defines_entry, observe=observe),
    Check("humaneval.runs", runs, observe=observe),
    Check("humaneval.docstring_examples", docstring_examples, observe=observe),
    Check("humaneval.hidden_tests", hidden_tests, needs_reference=True, observe=observe),
)


# -------------------------------------------------------------------------------------------------------------- metrics
def passes_as_is(example: Example, seen: Observation) -> float:
    """lm-eval's number: 1 if the prompt and the answer, put together as they are, pass every hidden assertion."""
    return _passes(seen.plain)


def passes_extracted(example: Example, seen: Observation) -> float:
    """1 if the program found in the answer passes every hidden assertion. Differs from the former on answers with
    fences or prose."""
    return _passes(seen.verdict)


def _passes(verdict: Any) -> float:
    if verdict is None:
        return 0.0
    if verdict.status in UNDECIDED:
        raise RuntimeError(f"{UNDECIDED[verdict.status]}: {verdict.detail}")
    hidden = _sort_results(verdict, "hidden")
    return float(bool(hidden) and verdict.status not in BROKEN_OFF and all(r.passed for r in hidden))


METRICS = (
    Metric(
        "pass@1",
        passes_extracted,
        "extracted",
        observe,
        description="the program found in the answer passes all hidden tests",
        id="humaneval/pass@1_extracted",
    ),
    Metric(
        "pass@1",
        passes_as_is,
        "create_test",
        observe,
        description="prompt + answer passes all hidden tests, as lm-eval counts",
        id="humaneval/pass@1",
        whole=True,
    ),
)


def extract(example: Example, response: str) -> str | None:
    return find_program(example.prompt, example.info["entry_point"], response).code


def gold(example: Example) -> str:
    """The canonical solution, as the continuation of its prompt."""
    return example.target
