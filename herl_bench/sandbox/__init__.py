"""Run untrusted programs against tests, without an escape or a forged pass.

    with Sandbox(workers=2) as sandbox:
        for verdict in sandbox.map(jobs): ...

Covered: isolation by namespaces, Landlock, seccomp and resource limits (`launch.py`, `inside/`); tests in a process of their own, so that a
program never holds expected values or a way to report; evidence per assertion; timeouts; replaced workers; refusal where the machine
cannot isolate (`probes.py`). Not covered: GPUs, numpy inside, several processes per program, other systems than Linux, kernel bugs.
"""

from __future__ import annotations

from herl_bench.sandbox.model import Assertion, Job, Limits, Verdict
from herl_bench.sandbox.pool import Sandbox

__all__ = ["Assertion", "Job", "Limits", "Sandbox", "Verdict"]
