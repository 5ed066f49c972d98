"""Run untrusted programs against tests, without an escape or a forged pass.

    with Sandbox(workers=2) as sandbox:
        verdict = sandbox.check(code, "assert f(1) == 2", "f")
        for verdict in sandbox.map(jobs): ...

`model.py` is the vocabulary, `forms.py` the forms of tests, `pool.py` the sandbox itself, `worker.py` one of its
workers, docs/sandbox.md the whole of it. Covered: isolation by namespaces, Landlock, seccomp and resource limits
(`launch.py`, `inside/`); tests in a process of their own, so that a program never holds expected values or a way to
report; evidence per assertion; timeouts; replaced workers; refusal where the machine cannot isolate (`probes.py`). Not
covered: GPUs, other systems than Linux, kernel bugs.
"""

from __future__ import annotations

from herl_bench.sandbox.forms import docstring_examples
from herl_bench.sandbox.model import Assertion, Job, Limits, Stdio, Verdict
from herl_bench.sandbox.pool import Sandbox

__all__ = ["Assertion", "Job", "Limits", "Sandbox", "Stdio", "Verdict", "docstring_examples"]
