"""The hooks. A plugin is a module whose functions carry `@hookimpl`, named in the entry-point group `herl_bench`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

from herl_bench.types import Check, HindsightTemplate, Method, Metric, Rubric, SandboxProvider, Task

if TYPE_CHECKING:
    import click

GROUP = "herl_bench"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def herl_tasks() -> Iterable[Task]:  # type: ignore[empty-body]
    """Tasks: named sources of examples."""


@hookspec
def herl_rubrics() -> Iterable[Rubric | Path]:  # type: ignore[empty-body]
    """Rubrics: made in Python, or the paths of YAML files, which the host loads with every registered check."""


@hookspec
def herl_checks() -> Iterable[Check]:  # type: ignore[empty-body]
    """Checks that rubric files may name."""


@hookspec
def herl_hindsight_templates() -> Iterable[HindsightTemplate]:  # type: ignore[empty-body]
    """Templates that turn unmet verdicts into guidance."""


@hookspec
def herl_metrics() -> Iterable[Metric]:  # type: ignore[empty-body]
    """Metrics: what is reported, apart from the training reward."""


@hookspec
def herl_methods() -> Iterable[Method]:  # type: ignore[empty-body]
    """Training methods."""


@hookspec
def herl_sandboxes() -> Iterable[SandboxProvider]:  # type: ignore[empty-body]
    """Ways to run untrusted code."""


@hookspec
def herl_commands(cli: click.Group) -> None:
    """Add commands to the command line."""


@hookspec
def herl_rollouts_judged(run: Any, step: int, rollouts: Sequence[Any]) -> None:
    """Called after each iteration's rollouts were judged; observers must not change them."""


@hookspec
def herl_run_finished(run: Any) -> None:
    """Called once after the final evaluation was written."""
