"""What became of each assert statement, with evidence: reached from the instrumented tests (`rewrite.py`) as `__hb__`.
Covers: one outcome per statement, words for what was compared or raised. Leaves out: the verdict (`report.py`)."""

from __future__ import annotations

import operator
import reprlib
import sys
from collections.abc import Callable
from typing import Any

from . import classes, remote
from .channel import Stop
from .program import Program
from .rewrite import Tests

EVIDENCE_CAP = 400
SOURCE_CAP = 120  # of a statement that is named beside what it raised
INTEGER_BITS = 400  # of the longest whole number that is written out: the time for that grows with its square
COMPARISONS = {
    "Eq": ("==", operator.eq),
    "NotEq": ("!=", operator.ne),
    "Lt": ("<", operator.lt),
    "LtE": ("<=", operator.le),
    "Gt": (">", operator.gt),
    "GtE": (">=", operator.ge),
    "Is": ("is", operator.is_),
    "IsNot": ("is not", operator.is_not),
    "In": ("in", lambda left, right: left in right),
    "NotIn": ("not in", lambda left, right: left not in right),
}


class _Short(reprlib.Repr):
    """A bounded repr that asks nothing of the program and never fails."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 6
        for kind in ["list", "tuple", "dict", "set", "frozenset", "deque", "array"]:
            setattr(self, f"max{kind}", 20)
        self.maxstring = self.maxother = 200

    def repr1(self, value: Any, level: int) -> str:
        if isinstance(value, remote.Remote):
            return f"<{remote.get_label(value)} of the program>"
        if isinstance(value, remote.RemoteDressed):
            value = classes.copy_plain(value)
        return super().repr1(value, level)

    def repr_instance(self, value: Any, level: int) -> str:
        try:
            return repr(value)[: self.maxother]
        except Exception:
            return f"<{type(value).__name__}>"  # without an address: the same program gets the same verdict

    def repr_int(self, value: int, level: int) -> str:
        bits = value.bit_length()
        return repr(value) if bits < INTEGER_BITS else f"<a whole number of {bits} bits>"


_SHORT = _Short()


def catch(work: Callable[[], Any]) -> BaseException | None:
    """What `work` raises, but for our own Stop: any exception, even a BaseException, may be of the program's choice."""
    try:
        work()
    except Stop:
        raise
    except BaseException as error:
        return error
    return None


class Outcome:
    """shared: it held only after the program had been asked to judge."""

    def __init__(self) -> None:
        self.reached = False
        self.passed = True
        self.shared = False
        self.evidence = ""


class Recorder:
    """failures: (statement, what it raised), of statements that are no assert."""

    Stop = Stop
    type_of = staticmethod(remote.find_type)

    def __init__(self, program: Program, tests: Tests):
        self.program = program
        self.tests = tests
        self.outcomes = [Outcome() for _ in tests.sites]
        self.failures: list[tuple[str, str]] = []
        self.missing_import = ""

    # ---- called by the tests
    def start(self, site: int) -> None:
        self.program.last_call = None
        self.program.bare = self.tests.sites[site].bare
        first, end = self.tests.sites[site].ahead
        self.program.upcoming = self.tests.calls[first:end]

    def compare(self, site: int, name: str, left: Any, right: Any) -> None:
        sign, function = COMPARISONS[name]
        self.record(site, bool(function(left, right)), lambda: self.describe_comparison(site, sign, left, right))

    def check(self, site: int, value: Any) -> None:
        self.record(site, bool(value), lambda: f"{self.name_subject(site)}: got {self.shorten(value)}")

    def report_error(self, site: int) -> None:
        error = sys.exc_info()[1]
        assert error is not None
        if self.failures and isinstance(error, NameError):  # what this line needs was never made
            text = self.failures[0][1]
        else:
            text = f"raised {self.program.describe(error, self.program.last_line)}"
        self.record(site, False, lambda: f"{self.name_call(site)}: {text}")

    def report_broken(self, statement: int, imports: bool) -> None:
        error = sys.exc_info()[1]
        assert error is not None
        self.program.stop_if_dead()
        if imports and isinstance(error, ImportError):
            self.missing_import = self.program.describe(error)
        source = self.tests.statements[statement]
        line = self.program.last_line if self.program.last_call is not None else None
        self.failures.append((source, f"`{source[:SOURCE_CAP]}` raised {self.program.describe(error, line)}"))

    # ---- in words
    def record(self, site: int, passed: bool, evidence: Callable[[], str]) -> None:
        self.program.stop_if_dead()
        outcome = self.outcomes[site]
        outcome.reached = True
        if outcome.passed and not passed:
            outcome.passed = False
            outcome.evidence = self.program.put_into_words(evidence)
        outcome.shared = outcome.shared or bool(self.program.shared)

    def describe_comparison(self, site: int, sign: str, left: Any, right: Any) -> str:
        expected = self.shorten(right) if sign == "==" else f"{sign} {self.shorten(right)}"
        return f"{self.name_subject(site)}: got {self.shorten(left)}, expected {expected}"

    def shorten(self, value: Any) -> str:
        fallback = f"<{type(value).__name__[:EVIDENCE_CAP]}>"
        return self.program.put_into_words(lambda: _SHORT.repr(value)[:EVIDENCE_CAP], fallback)

    def name_subject(self, site: int) -> str:
        """The call in words where the assertion is about one call, else the assertion itself."""
        return self.name_call(site) if self.tests.sites[site].left_call else self.name_assertion(site)

    def name_assertion(self, site: int) -> str:
        return self.tests.sites[site].source.removeprefix("assert ").strip()

    def name_call(self, site: int) -> str:
        """The last call in words; the assertion where there was none."""
        if self.program.last_call is None:
            return self.name_assertion(site)
        name, args, kwargs = self.program.last_call
        words = [self.shorten(self.program.decode_sent(argument)) for argument in args]
        words += [f"{key}={self.shorten(self.program.decode_sent(argument))}" for key, argument in kwargs.items()]
        return f"{name}({', '.join(words)})"[:EVIDENCE_CAP]
