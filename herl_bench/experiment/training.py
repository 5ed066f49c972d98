"""`hb.train`: train a policy on a task with a method, and evaluate it before and after."""

from __future__ import annotations

from typing import Any

from herl_bench.runs import Run


def train(**settings: Any) -> Run:
    raise NotImplementedError
