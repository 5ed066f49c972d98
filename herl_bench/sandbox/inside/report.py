"""From the tests' outcomes to the verdict: what the tests may see of the program, and what is said of it in the end.

Covers: names that the tests read and nobody else defines (never builtins, never what the tests import); one row per
assert statement; status and detail. Leaves out: processes and time (`tester.py`).
"""

from __future__ import annotations

import builtins
import importlib
import random
from typing import Any

from .program import Program
from .recorder import EVIDENCE_CAP, Recorder, catch
from .remote import Remote
from .rewrite import RECORDER, Tests

# Modules that dataset tests use without importing them, because the published solutions happen to import them. The
# tester's own are given.
MODULES = (
    "bisect cmath collections copy datetime decimal fractions functools heapq itertools json math operator os random"
    " re statistics string sys time typing"
)
KNOWN_MODULES = frozenset(MODULES.split())
OWN_SEED = random.seed  # before `tester.Tester.seed` takes its place

Row = tuple[str, int, str, bool, str]
"""(group, index, source, passed, evidence)"""


class Variables(dict[str, Any]):
    """The builtins, and what is no function or class among the program's names: each time as it then is."""

    def __init__(self, program: Program, names: frozenset[str]):
        super().__init__(vars(builtins))
        self.program, self.names = program, names

    def __missing__(self, name: str) -> Any:
        if name not in self.names:
            raise KeyError(name)
        return self.program.request("global", (name,))


class Report:
    """What is known of one job. recorders: by group; finished: the groups whose tests ran to their end."""

    def __init__(self, program: Program, entry: str, groups: dict[str, Tests]):
        self.program = program
        self.entry = entry
        self.groups = groups
        self.loaded = False
        self.defined = False
        self.finished: set[str] = set()
        self.recorders = {name: Recorder(program, tests) for name, tests in groups.items()}

    def list_names(self) -> list[str]:
        """What the program is asked for: the entry, and what the tests read and nobody else defines."""
        return sorted({name for tests in self.groups.values() for name in tests.free} | ({self.entry} - {""}))

    def examine(self, names: list[str]) -> None:
        found = self.program.receive_names(names)
        self.loaded = found is not None
        self.defined = found is not None and (not self.entry or callable(found.get(self.entry)))
        if found is not None and self.defined:
            for name, tests in self.groups.items():
                self.run(name, tests, found)

    def run(self, group: str, tests: Tests, found: dict[str, Any]) -> None:
        recorder = self.recorders[group]
        namespace = self.make_namespace(recorder, tests, found)
        OWN_SEED(0)
        what, error = "the tests", catch(lambda: exec(tests.code, namespace))
        if error is None and tests.has_check and not tests.calls_check:
            what, error = "check(candidate)", catch(lambda: namespace["check"](found.get(self.entry)))
        if error is not None:
            recorder.failures.append((what, f"{what.partition('(')[0]} raised {self.program.describe(error)}"))
        self.finished.add(group)

    def make_namespace(self, recorder: Recorder, tests: Tests, found: dict[str, Any]) -> dict[str, Any]:
        callables = {name for name, value in found.items() if isinstance(value, Remote | type)}
        variables = (tests.free & set(found)) - callables - KNOWN_MODULES - {self.entry}
        names = Variables(self.program, variables) if variables else dict(vars(builtins))
        namespace: dict[str, Any] = {"__name__": "tests", "__builtins__": names, RECORDER: recorder}
        for name in tests.free - variables:
            if name in KNOWN_MODULES:
                namespace[name] = importlib.import_module(name)
            elif name in found:
                namespace[name] = found[name]
        if self.entry:
            namespace[self.entry] = found.get(self.entry)
            namespace.setdefault("candidate", found.get(self.entry))
        return namespace

    # ---- the verdict
    def write_verdict(self, split: bool) -> dict[str, Any]:
        """split: what the program had to judge itself does not hold."""
        rows = self.list_rows()
        status, detail = self.find_status(all(row[3] for row in rows))
        status, detail = self.refuse_effects(status) or (status, detail)
        shared = self.program.shared
        if split and shared:
            why = f"integrity='split': the tests come down to what the program's own objects answer to {shared!r}"
            status, detail = ("refused", why) if status == "pass" else (status, detail)
            rows = self.list_rows(why)
        return {
            "status": status,
            "detail": detail,
            "loaded": self.loaded,
            "defined": self.defined,
            "results": rows,
            "integrity": "shared" if shared else "split",
            "stdout": "".join(self.program.output),
            "unproven": self.program.unproven,
        }

    def refuse_effects(self, status: str) -> tuple[str, str] | None:
        """A refusal where the tests do to their own process what an honest program may need done to its own."""
        replaces = next((tests.replaces for tests in self.groups.values() if tests.replaces), "")
        doubt = next((tests.doubt for tests in self.groups.values() if tests.doubt), "")
        why = f"replace {replaces}" if replaces else doubt
        if (status == "fail" and why) or (status == "pass" and replaces):
            return "refused", f"the tests {why}, which the program in its own process does not see"
        return None

    def find_status(self, all_passed: bool) -> tuple[str, str]:
        program, recorders = self.program, self.recorders.values()
        failed = "memory" if program.out_of_memory else "fail"
        if program.dead:
            return program.dead
        if not self.loaded:
            return "memory" if program.out_of_memory else "error", self.describe_load_error()
        if not self.defined:
            return "error", f"the program defines no function named {self.entry}"
        missing = next((recorder.missing_import for recorder in recorders if recorder.missing_import), "")
        if missing:
            return "refused", f"the tests need a module that is not here: {missing}"
        if not all_passed:
            return failed, next((recorder.failures[0][1] for recorder in recorders if recorder.failures), "")
        if self.entry and self.groups and not program.calls:
            return "fail", f"the tests never called {self.entry}"
        return "pass", ""

    def describe_load_error(self) -> str:
        return self.program.describe(self.program.load_error, self.program.last_line)

    def list_rows(self, refuses: str = "") -> list[Row]:
        return [row for group in self.groups for row in self.list_group_rows(group, refuses)]

    def list_group_rows(self, group: str, refuses: str) -> list[Row]:
        """Each assert, then each other statement that raised. refuses: why the program's word does not hold, or ""."""
        recorder, finished = self.recorders[group], group in self.finished
        sites, failures = recorder.tests.sites, recorder.failures
        why = self.explain_unreached(failures)
        rows: list[tuple[str, bool, str]] = []
        for site, outcome in zip(sites, recorder.outcomes, strict=True):
            passed, evidence = outcome.passed and outcome.reached, outcome.evidence
            if not outcome.reached:
                passed = finished and site.conditional and not failures
                evidence = "not reached, and need not be" if passed else f"not reached: {why}"
            if passed and outcome.shared and refuses:
                passed, evidence = False, refuses
            rows.append((site.source, passed, evidence))
        if not sites and not failures:
            rows.append(("check(candidate)", finished, "ran to its end" if finished else why))
        rows += [(source, False, text) for source, text in failures]
        return [(group, i, source, passed, text[:EVIDENCE_CAP]) for i, (source, passed, text) in enumerate(rows)]

    def explain_unreached(self, failures: list[tuple[str, str]]) -> str:
        if self.program.dead:
            return self.program.dead[1]
        if not self.loaded:
            return f"the program did not load: {self.describe_load_error()}"
        if not self.defined:
            return f"the program defines no function named {self.entry}"
        return failures[0][1] if failures else "its line was never run"
