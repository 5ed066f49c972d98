"""Verify a leaderboard entry with what its task, rubric and sandbox are called here."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

from herl_bench.data.sources import resolve_source
from herl_bench.evaluation.judging import NO_TEMPLATE
from herl_bench.evaluation.stored_responses import Items, open_items
from herl_bench.experiment.resolve import find_metrics, find_rubric, find_sandbox
from herl_bench.leaderboard.bundle import RUBRIC
from herl_bench.leaderboard.rejudging import Referee
from herl_bench.leaderboard.verification import SECONDS, read_claimed_settings, verify_bundle
from herl_bench.plugins import Host
from herl_bench.types import Environment, Think


def verify_entry(
    host: Host, bundle: Path, *, data: str | None = None, jobs: int | None = None, time_limit: float = SECONDS
) -> tuple[list[str], bool]:
    """What is wrong, a line each, and whether the items came from their source. data: where the items come from; the
    synthetic world for its own runs. jobs: processes; one per processor if left out. Errors: as `verify_bundle`."""
    return verify_bundle(bundle, partial(find_referee, host, bundle, data, jobs), time_limit)


def find_referee(host: Host, bundle: Path, data: str | None = None, jobs: int | None = None) -> Referee:
    settings = read_claimed_settings(bundle)
    task = host.get("task", str(settings.get("task")))
    own = bundle / RUBRIC
    rubric = find_rubric(host, task, str(own) if own.is_file() else str(settings.get("rubric") or ""))
    source = data or ("synthetic" if settings.get("data") == "synthetic" else None)
    items: Callable[[], Items] | None = None
    if source is not None:
        place = resolve_source(task, source, embedded=False)
        items = partial(open_items, task, place, seed=settings.get("seed", 0), difficulty=settings.get("difficulty"))
    integrity = str(settings.get("integrity") or "shared")
    open_sandbox = partial(find_sandbox(host, integrity=integrity), workers=1) if task.needs_sandbox else None
    think: Think = "keep" if settings.get("think") == "keep" else "drop"
    environment = Environment(task, rubric, NO_TEMPLATE, find_metrics(host, task), think=think)
    return Referee(environment, open_sandbox, items, jobs or len(os.sched_getaffinity(0)))
