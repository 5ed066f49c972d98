"""Exact arithmetic, and when a result agrees with its calculation."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("herl_bench_gsm8k")
from herl_bench_gsm8k import arithmetic


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("16-3-4", 9),
        ("2+3*4", 14),
        ("(2+3)*4", 20),
        ("8/4/2", 1),
        (".5*10", 5),
        ("80,000*1.5", 120000),
        ("20%*50", 10),
        ("-(3-5)", 2),
        ("+8", 8),
        ("560//10", 56),
        ("1/3", Fraction(1, 3)),
    ],
)
def test_evaluate(expression: str, value: Any) -> None:
    assert arithmetic.evaluate(expression) == value


@pytest.mark.parametrize(
    "expression", ["", "1/0", "2**9", "x+1", "__import__('os')", "(1+2", "1+", "()", "9" * 300, "(" * 90]
)
def test_what_is_no_arithmetic_has_no_value(expression: str) -> None:
    assert arithmetic.evaluate(expression) is None


@given(
    st.recursive(
        st.integers(0, 99).map(str),
        lambda e: st.tuples(e, st.sampled_from("+-*/"), e).map(lambda t: f"({''.join(t)})"),
        max_leaves=8,
    )
)
def test_evaluate_agrees_with_python(expression: str) -> None:
    try:
        expected = eval(re.sub(r"\d+", r"Fraction(\g<0>)", expression))
    except ZeroDivisionError:
        expected = None
    assert arithmetic.evaluate(expression) == expected


@pytest.mark.parametrize(
    ("note", "right"),
    [
        ("100/3=33.33", True),
        ("2/3=.66", True),
        ("2/3=0.67", True),
        ("2/3=0.68", False),
        ("100/3=33", False),
        ("10/100=10%", True),
        ("20/100*100=20%", True),
        ("3/4=3/4", True),
        ("48/2=48/2", False),
        ("48/2=", False),
        ("25", False),
        ("3*4=$12", True),
    ],
)
def test_notes(note: str, right: bool) -> None:
    assert arithmetic.read_note(note).right is right
