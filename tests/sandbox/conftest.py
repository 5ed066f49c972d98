"""One warm sandbox for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from herl_bench.sandbox import Limits, Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=1, limits=Limits(wall_s=4.0, cpu_s=3)) as opened:
        yield opened
