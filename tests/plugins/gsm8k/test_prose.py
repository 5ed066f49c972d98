"""Calculations that are read in prose and LaTeX, and those of which nothing is said."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("herl_bench_gsm8k")
from herl_bench_gsm8k.prose import read_steps

RIGHT = {
    "16 - 3 = 13": "16 - 3=13",
    "16-3=13 eggs": "16 - 3=13",
    "3 apples + 4 apples = 7 apples": "3 + 4=7",
    "$18 × 2 = $36": "18 * 2=36",
    "$1,200 - $200 = $1,000": "1,200 - 200=1,000",
    "\\frac{48}{2} = 24": "48 / 2=24",
    "\\( 16 - 3 - 4 = 9 \\)": "16 - 3 - 4=9",
    "\\[ 9 \\times 2 = 18 \\]": "9 * 2=18",
    "\\[\n9 \\text{ eggs} \\times \\$2 \\text{ per egg}\n= \\boxed{\\$18}\n\\]": "9 * 2=18",
    "\\dfrac{12 \\text{ days}}{240 \\text{ minutes/day}} = \\frac{1}{20}": "12 / 240=1 / 20",
    "that leaves 20 - 5, which is 15": "20 - 5=15",
    "48 divided by 2 is 24": "48 / 2=24",
    "We subtract 16 - 3 to get 13": "16 - 3=13",
    "2 times 9 equals 18": "2 * 9=18",
    "16 minus 3 leaves 13": "16 - 3=13",
    "48/2=24 clips": "48 / 2=24",
    "**3 x 4 = 12**": "3 * 4=12",
    "50% of 36 = 18": "50% * 36=18",
    "2/3 of the 30 = 20": "2 / 3 * 30=20",
    "10/20 = 50%": "10 / 20=50%",
    "10 / 20 * 100% = 50%": "10 / 20 * 100%=50%",
    "9 eggs/day * $2/egg = $18/day": "9 * 2=18",
    "2 1/2 * 2 = 5": "(2 + 1/2) * 2=5",
    "2½ + 1 = 3.5": "(2 + 1/2) + 1=3.5",
    "4(7) - 10 = 18": "4 * 7 - 10=18",
    "(16 - 3) * 2 = 26": "(16 - 3) * 2=26",
    "She keeps 13 eggs (16 - 3 = 13).": "16 - 3=13",
    "$100 - $108 = -$8": "100 - 108=-8",
    "100 / 3 = 33.33": "100 / 3=33.33",
    "100 / 3 ≈ 33.3": "100 / 3=33.3",
    "Total = 5 * 3 = 15": "5 * 3=15",
    "Week 2 = 5 * 3 = 15": "5 * 3=15",
    "3 pm - 1 = 2 pm": "3 - 1=2",
    "1. 16 - 3 = 13": "16 - 3=13",
    "\\begin{align*}\n\\text{Left} &= 16 - 3 \\\\\n&= 13\n\\end{align*}": "16 - 3=13",
    "\\begin{aligned} 16 - 3 &= 13 \\\\[4pt] x &= 2 \\end{aligned}": "16 - 3=13",
    "2 · 9 = 18": "2 * 9=18",
    "₹150 + ₱225 = ₦375": "150 + 225=375",
    "- Day 2: 16 - 3 = 13": "16 - 3=13",
}
WRONG = {
    "16 - 3 = 12": "16 - 3=12",
    "3 apples + 4 apples = 8 apples": "3 + 4=8",
    "\\$9 + \\$10 = \\$29": "9 + 10=29",
    "\\frac{48}{2} = 25": "48 / 2=25",
    "that leaves 20 - 5, which is 16": "20 - 5=16",
    "3 plus 4 equals 8": "3 + 4=8",
    "48 quarts * 3.78 gallons/quart = 164.96 gallons": "48 * 3.78=164.96",
    "100 / 3 = 33": "100 / 3=33",
    "9 - 2/3 = 3/4 hours": "9 - 2 / 3=3 / 4",
    "she has 30 + 10 = 30 more than Ann": "30 + 10=30",
    "50% of 36 is 20": "50% * 36=20",
}
UNSAID = [
    "x = 5",
    "2x + 3 = 7",
    "3x - 5 = 16",
    "x + 56 = 86",
    "(x + 10) * 3/2 = 45",
    "Total - 5 + 3 = 10",
    "3 * price = 12",
    "f(3) = 4",
    "5 + 5",
    "1 foot = 12 inches",
    "1 hour + 30 minutes = 90 minutes",
    "2 hours * 3 = 360 minutes",
    "$5 - 50 cents = $4.50",
    "3 dozen * 2 = 72",
    "70 / 60 = 1 hour and 10 minutes",
    "12 / 5 = 2 remainder 2",
    "100 / 3 = 33 (rounded down)",
    "100 / 3 is about 33",
    "0.33 * 60 = 20",
    "25 / 1/3 = 75",
    "100 + 10% = 110",
    "80 - 20% = 64",
    "10:30 + 2 = 12:30",
    "11 am + 3 = 2 pm",
    "0900 - 0130 = 0730",
    "2:3 + 1 = 4",
    "1/2 = 8 eggs",
    "If 3/4 is 15",
    "half of 10 + 3 = 8",
    "the sum of 3 and 5 - 2 = 6",
    "24 eggs in 1 tray x 2 trays = 48 eggs",
    "5 + 3 is 2 more than 6",
    "The ages 20-5 is 16",
    "Step 1 - 16 - 3 = 13",
    "\\sqrt{16} + 2 = 6",
    "√16 + 2 = 6",
    "2^3 + 1 = 9",
    "2³ + 1 = 9",
    "5! + 1 = 121",
    "1 200 - 200 = 1 000",
    "12,5 + 1 = 13,5",
    "14, 400 / 80 = 180",
    "5 + 3 >= 9",
    "16 - 3 => 12",
    "20% * 20 = 20% * 20",
    "```python\nx = 5 + 3 = 9\n```",
    "9" * 60 + " + 1 = 2",
]


def said(text: str) -> list[tuple[str, bool]]:
    return [(f"{step.expression}={step.result}", step.right) for step in read_steps(text, 300)]


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_right(text: str) -> None:
    assert said(text) == [(RIGHT[text], True)]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong(text: str) -> None:
    assert said(text) == [(WRONG[text], False)]


@pytest.mark.parametrize("text", UNSAID)
def test_nothing_is_said_of_what_may_mean_something_else(text: str) -> None:
    assert said(text) == []


def test_each_side_of_a_chain_is_compared_with_the_next() -> None:
    assert said("2 * 3 = 6 + 4 = 10") == [("2 * 3=6", True), ("6 + 4=10", True)]
    assert said("2 * (3 + 4) = 2 * 7 = 15") == [("2 * (3 + 4)=2 * 7", True), ("2 * 7=15", False)]
    assert said("8 + 4 = 2 * 5 = 10") == [("8 + 4=2 * 5", False), ("2 * 5=10", True)]
    assert said("4 * 5 = 20 = 2 * 10") == [("4 * 5=20", True)]


def test_a_step_knows_where_its_line_begins() -> None:
    text = "She has 16.\n  16 - 3 = 13, 13 * 2 = 27\n```\n1+1=3\n```\n5 + 5\n= 11"
    assert [text[step.at : step.at + 6] for step in read_steps(text, 9) if step.at is not None] == [
        "  16 -",
        "  16 -",
        "= 11",
    ]


@pytest.mark.parametrize("unit", ["1 + ", "1 + 1 = ", "1+1=3\n", "1 apple and ", "(1 + ", "16 - 3 is 12 ", "1 to get "])
def test_time_and_steps_are_bounded(unit: str) -> None:
    before = time.process_time()
    steps = read_steps(unit * (400_000 // len(unit)), 300)
    assert len(steps) <= 300
    assert time.process_time() - before < 1
