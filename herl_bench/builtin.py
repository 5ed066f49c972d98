"""What the core itself contributes, through the same hooks as any plugin: the methods, the sandbox, the general checks."""

from __future__ import annotations

from collections.abc import Iterable

from herl_bench import rubric
from herl_bench.hookspecs import hookimpl
from herl_bench.types import Check


@hookimpl
def herl_checks() -> Iterable[Check]:
    return rubric.CHECKS
