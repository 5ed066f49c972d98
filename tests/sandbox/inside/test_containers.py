"""How one side's container takes over the other's changes."""

from __future__ import annotations

from typing import Any

from helpers.plain_values import same, values
from hypothesis import given, settings

from herl_bench.sandbox.inside import containers


@given(values, values)
@settings(max_examples=200, deadline=None, derandomize=True)
def test_absorbed_containers_are_equal(old: Any, new: Any):
    if type(old) in containers.MUTABLE and type(old) is type(new):
        containers.absorb(old, new)
        assert same(list(old), list(new)) or isinstance(old, set)


def test_absorbing_keeps_inner_identity():
    inner: list[int] = [1]
    old = {"k": inner, "gone": 2}
    containers.absorb(old, {"k": [1, 2], "new": 3})
    assert old == {"k": [1, 2], "new": 3}
    assert old["k"] is inner
