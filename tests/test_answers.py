"""What a response answers: its text without thoughts, and a number as people write one."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from herl_bench import answer_text
from herl_bench.answers import find_opening, last_number, leading_number, show_response


@pytest.mark.parametrize(
    ("response", "text"),
    [
        ("no thought", "no thought"),
        ("", ""),
        ("<think>a</think>b", "b"),
        ("<think>\na\n</think>\n\nb", "\n\nb"),
        ("<THINK>a</Think >b", "b"),
        ("<thinking>a</thinking>b", "b"),
        ("<thought>a</thought>b", "b"),
        ("<reasoning>a</reasoning><answer>b</answer>", "<answer>b</answer>"),
        ('<think duration="3">a</think>b', "b"),
        ("[THINK]a[/THINK]b", "b"),
        ("x<think>a</think>y<think>b</think>z", "xyz"),
        ("opened by the template</think>b", "b"),
        ("a</think>b</think>c", "c"),
        ("<think>a<think>b</think>c</think>d", "d"),
        ("<think>a <reasoning>b</reasoning> c</think>d", "d"),
        ("<think></think>", ""),
        ("<think>a", None),
        ("#### 18\n<think>is that so?", None),
        ("<think>a</think>b<think>c", None),
        ("<think>a</reasoning>#### 18", None),
        ('the tag "<think>" is spoken of', 'the tag "<think>" is spoken of'),
        ("return text.split('</think>')[1]", "return text.split('</think>')[1]"),
        ("I `<think>` so", "I `<think>` so"),
        ("<thinker>a", "<thinker>a"),
        ("a < think > b", "a < think > b"),
    ],
)
def test_answer_text(response: str, text: str | None) -> None:
    assert answer_text(response) == text


@pytest.mark.parametrize("response", ["<think>a</think>b", "a</think>b", "b", "<think>b", "b\n<think>c"])
def test_show_response(response: str) -> None:
    assert show_response(response, "keep") == response
    shown = show_response(response, "drop")
    assert answer_text(shown) == answer_text(response)
    assert shown in ("b", "<think>")  # of a thought that was never closed its tag alone


@given(
    st.lists(st.sampled_from(["<think>", "</think>", "<reasoning>", "</reasoning>", "a", "\n", '"']), max_size=9).map(
        "".join
    )
)
def test_what_is_left_has_no_thoughts_left(response: str) -> None:
    text = answer_text(response)
    assert text is None or "<think>" not in text or '"' in text
    left = iter(response)
    assert text is None or all(sign in left for sign in text)  # nothing is added, and the order stays


NUMBERS = {
    "18": 18,
    "18.": 18,
    "18.0": 18,
    "018": 18,
    "+18": 18,
    "-18": -18,
    "- 18": -18,
    "−18": -18,
    "$18": 18,
    "$ 18": 18,
    "-$18": -18,
    "$-18": -18,
    "18$": 18,
    "€18": 18,
    "18 €": 18,
    "£18.50": Fraction(37, 2),
    "US$18": 18,
    "18%": 18,
    "18 %": 18,
    "~18": 18,
    "≈ 18": 18,
    "about 18": 18,
    "approximately 18.": 18,
    "(18)": 18,
    "[18]": 18,
    '"18"': 18,
    "18!": 18,
    "18 dollars": 18,
    "18 (5 eggs are left)": 18,
    "18, which is 2 more than 16": 18,
    "18; 16 + 2 = 18": 18,
    "18kg": 18,
    "18th": 18,
    "18/day": 18,
    "18 per day": 18,
    "1,234": 1234,
    "1,234,567.50": Fraction(2469135, 2),
    "70{,}000": 70000,
    "70 000": 70000,
    "70\u202f000": 70000,
    "70\u00a0000": 70000,
    "1 234 567": 1234567,
    "70'000": 70000,
    "70_000": 70000,
    "70 thousand": 70000,
    "18k": 18000,
    "1.5 million": 1500000,
    "2 dozen eggs": 24,
    "1e3": 1000,
    "1.5E3": 1500,
    "2e-1": Fraction(1, 5),
    "2 × 10^3": 2000,
    "2 \\times 10^{3}": 2000,
    "2*10**3": 2000,
    "5/2": Fraction(5, 2),
    "36/2": 18,
    "2 1/2": Fraction(5, 2),
    "2½": Fraction(5, 2),
    "½": Fraction(1, 2),
    "18 and a half": Fraction(37, 2),
    "-1/2": Fraction(-1, 2),
    ".5": Fraction(1, 2),
    "-.5": Fraction(-1, 2),
    "\\frac{5}{2}": Fraction(5, 2),
    "\\dfrac52": Fraction(5, 2),
    "2\\frac{1}{2}": Fraction(5, 2),
    "\\text{18}": 18,
    "\\mathbf{18}": 18,
    "\\textbf{18} eggs": 18,
    "\\(18\\)": 18,
    "\\[ 18 \\]": 18,
    "$$18$$": 18,
    "$\\$18$": 18,
    "18\\%": 18,
    "18\\text{ eggs}": 18,
    "**18**": 18,
    "__18__": 18,
    "`18`": 18,
    "<b>18</b>": 18,
    "\\boxed{18}": 18,
    "= 18": 18,
    "x = 18": 18,
    "Total = $18": 18,
    "9*2=18": 18,
    "9 * 2 = 18": 18,
    "9 × 2 = 18 eggs": 18,
    "(9 + 9) = 18": 18,
    "9 eggs * $2/egg = $18": 18,
    "20 - 2 = 18, so 18": 18,
    "3 * 3 * 2 = 9 * 2 = 18": 18,
    "18 = 9 * 2": 18,
    "9*2=<<9*2=18>>18": 18,
    "18 since 16 + 2 = 18": 18,
    "x = 18, which is 2 more than 16 = 4 * 4": 18,
    "a total of 18": 18,
    "minus 18": -18,
    "negative 18": -18,
    "10^3": 1000,
    "$10^{3}$": 1000,
    "3M": 3000000,
    "1 lakh": 100000,
    "<18>": 18,
    "18, 2 more than 16": 18,
    "１８": 18,
    "10:00": 10,
    "18 to be exact": 18,
    "18 of the 24": 18,
    "18; 9 eggs at $2": 18,
    "₦18": 18,
}
NO_NUMBER = [
    "18 ± 1",
    "18 +/- 1",
    "18 \\pm 1",
    "18, 19",
    "(18, 19)",
    "18, 19 or 20",
    "1 8",
    "$1 00",
    "17-19",
    "5 minus 3",
    "2**3",
    "10³",
    "6 x 7",
    "9 * 2",
    "9*2",
    "9 x 2",
    "9×2",
    "20 - 2",
    "16 + 2",
    "9*2=",
    "18 or 20",
    "18 eggs or 20",
    "18 or maybe 20",
    "3-4",
    "3 – 4",
    "3 to 4",
    "3:2",
    "10:30",
    "18,50",
    "1.234.567",
    "1,00,000",
    "1,2,3",
    "18²",
    "2^5",
    "10**3",
    "50% of 36",
    "3/4 of 24",
    "3 hours and 20 minutes",
    "2 hours 30 minutes",
    "5 feet 6 inches",
    "18 and 20",
    "1/0",
    "2 1/0",
    "5/2/3",
    "not 18",
    "less than 18",
    "more than 18",
    "at least 18",
    "either 18 or 20",
    "between 3 and 5",
    "> 18",
    "≤ 18",
    "9" * 51,
    "9" * 5000,
    "0x12",
    "18 + 2 eggs",
    "18 / 2 * 2",
    "18; 20",
    "18 | 20",
    "18 \\lor 20",
    "18..20",
    "18 != 20",
    "18 < 20",
    "18 plus 2",
    "18 eggs times 2",
    "18 divided by 2",
    "18 squared",
    "9·2",
]
NO_BEGINNING = ["", "eggs", "Ann has 18", "clear: nothing", "...", "####", "$", "="]


def test_numbers_in_usual_notation() -> None:
    assert {written: leading_number(written) for written in NUMBERS} == {
        written: (True, value) for written, value in NUMBERS.items()
    }


def test_what_begins_like_a_number_and_is_none() -> None:
    assert {written: leading_number(written) for written in NO_NUMBER} == dict.fromkeys(NO_NUMBER, (True, None))


def test_what_does_not_begin_with_a_number() -> None:
    assert {text: leading_number(text) for text in NO_BEGINNING} == dict.fromkeys(NO_BEGINNING, (False, None))


LAST = {
    "So she makes $18.": 18,
    "3 eggs, then 18": 18,
    "The profit is $70{,}000$.": 70000,
    "That is 5/2": Fraction(5, 2),
    "She had 70 000.": 70000,
    "In all 2 1/2 cups": Fraction(5, 2),
    "16-3=13": 13,
    "x -5": -5,
    "It costs -$5.": -5,
    "a 1e3": 1000,
    "2½ cups": Fraction(5, 2),
    "": None,
    "none": None,
    "so 9 * 2": None,
    "so 9*2 eggs": None,
    "3-4": None,
    "18 or 20": None,
    "1.234.567": None,
    "3:2": None,
    "9" * 60: None,
    "about 18 eggs" + " and so on" * 99: 18,
}


def test_the_last_number() -> None:
    assert {text: last_number(text) for text in LAST} == LAST


@given(st.text(alphabet="0123456789 ,.'$€%/*+-=()[]{}\\^~:xeEkadnor½²×−<>", max_size=60))
def test_any_text_is_read(text: str) -> None:
    begins, value = leading_number(text)
    assert value is None or begins
    assert last_number(text) is None or any(sign.isdigit() or sign in "½" for sign in text)


@given(
    st.integers(-(10**12), 10**12),
    st.sampled_from(["{:,}", "{}", "${}", "{}.00", "{} eggs", "x = {}", "\\text{{{}}}", "**{}**", "{:_}"]),
)
def test_whole_numbers_come_back(number: int, form: str) -> None:
    assert leading_number(form.format(number)) == (True, number)
    assert last_number(form.format(number)) == number


@pytest.mark.parametrize(
    ("prompt", "opening"),
    [
        ("<assistant><think>\n", "<think>"),
        ("[/INST][THINK]", "[THINK]"),
        ("<think>\n\n</think>\n\n", ""),
        ("Do not <think> of it. <assistant>", ""),
        ('Write "<think>"', ""),
        ("", ""),
    ],
)
def test_a_prompt_that_has_the_response_begin_as_a_thought(prompt: str, opening: str) -> None:
    assert find_opening(prompt) == opening
