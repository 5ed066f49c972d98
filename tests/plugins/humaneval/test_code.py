"""Finding the program in an answer, and saying in words how it differs from a working one."""

from __future__ import annotations

import pytest
from herl_bench_humaneval.code import (
    find_fenced_blocks,
    find_program,
    find_syntax_error,
    leave_out_trials,
    write_correction,
)
from hypothesis import given
from hypothesis import strategies as st

PROMPT = (
    'from typing import List\n\n\ndef add(a: int, b: int) -> int:\n    """ Add a and b.\n    >>> add(1, 2)\n    3\n   '
    ' """\n'
)
FULL = "def add(a, b):\n    return a + b\n"


def run(source: str) -> int:
    scope: dict = {}
    exec(source, scope)
    return scope["add"](2, 3)


@pytest.mark.parametrize(
    "answer",
    [
        "    return a + b\n",
        "    total = a + b\n    return total",
        "return a + b",
        "total = a + b\n    return total\n",
        FULL,
        f"```python\n{FULL}```",
        f"```python\n{FULL}",
        "```\n    return a + b\n```",
        f"Sure! Here it is:\n\n```python\nfrom typing import List\n{FULL}\n```\nIt adds the two numbers.",
        f"You would call it like this:\n```python\nadd(1, 2)\n```\nwith\n```python\n{FULL}```\n",
        f"  1. First:\n\n     ```python\n     {FULL.replace(chr(10), chr(10) + '     ')}```\n",
        f"```python\n{FULL}```\nIts signature:\n```python\ndef add(a: int, b: int) -> int:\n    ...\n```",
        f"The function is short.\n\n{FULL}\nIt uses the operator for addition.",
        f"from __future__ import annotations\n{FULL}",
        "    return a + b\n\nThis adds them; isn't it nice?",
        "    return a + b\n\n\ndef other(:\n    pass",
    ],
)
def test_every_form_of_answer_gives_a_working_program(answer: str) -> None:
    program = find_program(PROMPT, "add", answer)
    assert program.source is not None
    assert program.defined
    assert run(program.source) == 5


@pytest.mark.parametrize(
    "code", ["def plus(a, b):\n    return a + b\n", "class Solution:\n    def add(self, a, b):\n        return a + b\n"]
)
def test_a_function_of_another_name_defines_nothing(code: str) -> None:
    assert not find_program(PROMPT, "add", code).defined
    assert not find_program(PROMPT, "add", f"```python\n{code}```").defined
    assert find_program(PROMPT, "add", "```python\ndef add(a, b):\n    pass\n```").defined


@pytest.mark.parametrize(
    "answer", ["", "  \n", "I am sorry, I cannot help with that.", "Add the two numbers: a and b."]
)
def test_prose_is_no_code(answer: str) -> None:
    assert find_program(PROMPT, "add", answer).code is None


@pytest.mark.parametrize(
    "answer", ["    return (a + b\n", f"```python\n{FULL.replace(':', '')}```", "    return a + b\0"]
)
def test_broken_code_is_code_that_does_not_parse(answer: str) -> None:
    program = find_program(PROMPT, "add", answer)
    assert program.code is not None
    assert program.source is None
    assert program.error


def test_line_numbers_count_in_the_answer() -> None:
    assert find_program(PROMPT, "add", "    c = a\n    return (c + b\n").error == "line 2: '(' was never closed"


def test_helper_functions_of_the_prompt_stay() -> None:
    prompt = 'def half(x):\n    return x // 2\n\n\ndef add(a, b):\n    """ Add. """\n'
    program = find_program(prompt, "add", "```python\ndef add(a, b):\n    return half(a + a) + b\n```")
    assert program.source is not None
    assert run(program.source) == 5


@given(st.text())
def test_no_answer_breaks_the_search(answer: str) -> None:
    program = find_program(PROMPT, "add", answer)
    assert program.source is None or compile(program.source, "answer", "exec", dont_inherit=True)


def test_deep_nesting_is_an_error_not_a_crash() -> None:
    assert find_program(PROMPT, "add", "    return " + "(" * 5000 + "1" + ")" * 5000).source is None


@pytest.mark.parametrize("end", ["```\nIt adds.\n```python\nprint(add(1, 2))\n```", "```", ""])
def test_a_fence_in_a_docstring_closes_no_block(end: str) -> None:
    code = 'def add(a, b):\n    """Add.\n\n    ```python\n    add(1, 2)\n    ```\n    """\n    return a + b\n'
    assert find_fenced_blocks(f"So:\n```python\n{code}{end}")[0] == code
    assert run(find_program(PROMPT, "add", f"So:\n```python\n{code}{end}").source or "") == 5


def test_a_string_left_open_ends_with_its_block() -> None:
    assert find_fenced_blocks('```\nx = """1\n```\nb\n```\ny = 2\n```\n') == ['x = """1\n', "y = 2\n"]


def test_blocks_of_an_answer_that_was_cut_off() -> None:
    assert find_fenced_blocks("a\n```py\nx = 1\n```\nb\n```\ny = 2") == ["x = 1\n", "y = 2"]


@pytest.mark.parametrize(
    ("draft", "solution", "told"),
    [
        ("return sum(1 for x in xs if x > n)", "return sum(1 for x in xs if x >= n)", "Use >= where the draft has >."),
        ("return min(xs)", "return max(xs)", "Use max where the draft has min."),
        ("return xs[::2]", "return xs[1::2]", "Use [1::2] where the draft has [::2]."),
        ("return sorted(xs)", "return sorted(xs, reverse=True)", "A working solution also uses reverse=True."),
        ("return abs(n)", "return n", "Leave out abs."),
        ("return n in xs", "return n not in xs", "Use not in where the draft has in."),
        ("return n % 3", "return n % 2", "Use 2 where the draft has 3."),
        (
            "return sum(values)",
            "return sum(xs) + n",
            "Use xs where the draft has values; a working solution also uses +.",
        ),
        ("return [y for y in xs if k < n]", "return [y for y in xs if y < n]", "k is not defined."),
        (
            "return n - len(xs)",
            "return len(xs) - n",
            "The right operators and calls are there, but in another order or on other values.",
        ),
    ],
)
def test_correction_names_what_differs(draft: str, solution: str, told: str) -> None:
    head = "def f(xs, n):\n    "
    assert write_correction(head + draft, head + solution, "f") == told


def test_a_draft_that_does_not_parse_has_no_correction() -> None:
    assert write_correction("def f(:", "def f(): return 1", "f") == ""


@pytest.mark.parametrize("depth", [50, 200, 400, 900, 3000])
def test_a_deeply_nested_draft_does_not_break_the_comparison(depth: int) -> None:
    draft = "def f(n):\n    return " + "n + " * depth + "n"
    assert isinstance(write_correction(draft, "def f(n):\n    return n", "f"), str)
    assert find_program('def f(n):\n    """ N. """\n', "f", draft).code is not None


WRONG = "def add(a, b):\n    return a - b\n"


@pytest.mark.parametrize(
    "answer",
    [
        f"<think>\n```python\n{WRONG}```\nno…\n</think>\n```python\n{FULL}```",
        f"<think>\n```python\n{WRONG}```\n</think>\n{FULL}",
        f"```python\n{WRONG}```\nthat is it.\n</think>\n```python\n{FULL}```",
        f"First try:\n```python\n{WRONG}```\nThat is wrong. Corrected:\n```python\n{FULL}```",
        f"```python\n{WRONG}```\nor rather\n```python\n{FULL}```\nwhich you call so:\n```python\nadd(1, 2)\n```",
        f"```python\n{WRONG}```\nno:\n```\n{FULL}```\nand without a colon it breaks:\n```\n{FULL.replace(':', '')}```",
        f"~~~python\n{WRONG}~~~\nno:\n~~~python\n{FULL}~~~",
        f"```python\nprint(3)\n```\n```python\n{FULL}```\n```js\nfunction add(a, b) {{ return a - b }}\n```",
        f"```python\n{WRONG}```\nbetter:\n```python\nasync def other(): pass\n{FULL}```",
        "    return a + b\n```\nThis adds them.",
        f"{FULL}```\n\nThis function adds `a` and `b`.",
        f"{FULL}\nprint(add(1, 2))\n# Output: 4\n```\n\nIt adds.",
        f"from typing import List\n\n{FULL}```\n\nCall it:\n\n```python\nadd(1, 2)\n```",
        f"Sure:\n{FULL}```\nor, in words: the sum.",
        "    return a + b\n```\n\nCall it:\n```python\nadd(1, 2)\n```",
        "<think>return a - b</think>    return a + b\n",
        "".join(f"```python\n{WRONG}```\n" for _ in range(99)) + f"```python\n{FULL}```",
    ],
)
def test_the_last_word_counts_and_no_thought_does(answer: str) -> None:
    program = find_program(PROMPT, "add", answer)
    assert program.source is not None
    assert run(program.source) == 5


@pytest.mark.parametrize(
    "answer", [f"<think>\n```python\n{FULL}```\nBut wait", f"{FULL}<think>is it?", "<reasoning>" + FULL]
)
def test_a_thought_that_was_never_closed_holds_no_program(answer: str) -> None:
    program = find_program(PROMPT, "add", answer)
    assert (program.code, program.source, program.error) == (None, None, "the thought was never closed")


@pytest.mark.parametrize(
    "answer", ["    return a + b if '<think>' else 0\n", '    tag = "</think>"\n    return a + b\n']
)
def test_a_tag_in_a_program_is_no_thought(answer: str) -> None:
    program = find_program(PROMPT, "add", answer)
    assert program.source is not None
    assert run(program.source) == 5


TRIALS = [
    "assert add(1, 2) == 4",
    "print(add(1, 2, 3))",
    "print(add(1, 2))\nprint(add([2, 4,",
    "# Test cases\nprint(add(1,",
    "exit()",
    "if __name__ == '__main__':\n    print(add(*map(int, input().split())))",
    "a = int(input())\nprint(add(a, 2))",
    "for pair in [(1, 2), (3,)]:\n    print(add(*pair))",
    "def main():\n    print(add(1))\n\nmain()",
    "def test_add():\n    assert add(1, 2) == 4\n\ndef run_all():\n    test_add()\n\nrun_all()",
    "import unittest\n\nclass Test(unittest.TestCase):\n    wrong = add(1, 2) == 4\n\nunittest.main()",
    "import doctest\ndoctest.testmod(raise_on_error=True)",
    "with open('cases.txt') as cases:\n    print(add(*cases))",
    "try:\n    add(1)\nfinally:\n    raise SystemExit(add(1, 2))",
    "x = add('1', 2)",
    "print(\n    add(\n        1,\n    )\n)",
    "def second(a, b):\n    return add(a,",
]


@pytest.mark.parametrize("trial", TRIALS)
@pytest.mark.parametrize("form", ["```python\n{}\n{}\n```\nIt adds.", "```python\n{}\n{}", "{}\n{}"])
def test_what_only_tries_the_function_out_is_left_out(form: str, trial: str) -> None:
    """It may be wrong, wait for a terminal, end the process, or break off."""
    program = find_program(PROMPT, "add", form.format(FULL, trial))
    assert program.source is not None
    assert program.defined
    assert run(program.source) == 5


def test_a_body_s_trials_are_left_out_too() -> None:
    program = find_program(PROMPT, "add", "    return a + b\n\nprint(add(1))\n\ndef half(x):\n    return x / 2\n")
    assert program.source is not None
    assert run(program.source) == 5
    assert "def half" in program.source


@pytest.mark.parametrize(
    "rest",
    [
        "add = (lambda old: lambda a, b: old(a, b) + 1)(add)",
        "def wrap(old):\n    return lambda a, b: old(a, b) + 1\n\nadd = wrap(add)",
        "def plus(a, b):\n    return add(a, b) + 1\n\nadd, plus = (lambda f: lambda a, b: f(a, b) + 1)(add), add",
        "for _ in range(1):\n    add = (lambda old: lambda a, b: old(a, b) + 1)(add)",
        "print(1); ONE = 1",
        "add.calls = 0",
        "add.memo = {}\nfor i in range(3):\n    add.memo[i] = add(i, i)",
        "import sys\nsys.setrecursionlimit(2000)",
        "ONE: int = 1\nCASES = [(1, 2)]\n",
        "class Tester:\n    run = staticmethod(add)",
    ],
)
def test_what_the_function_is_made_of_stays(rest: str) -> None:
    """Lines of the answer keep their numbers, and nothing else changes."""
    source = f"{FULL}\n{rest}\n"
    assert leave_out_trials(source, "add") == source
    assert leave_out_trials(f"{source}print(add(1))\nX = 1\n", "add") == f"{source}\nX = 1\n"


@pytest.mark.parametrize(
    "source",
    [
        "print(add(1, 2))\n" + FULL,  # before the definition it is no trial of this function
        f"{FULL}print(add(1, 2)); ONE = 1\n",  # shares its line
        f"{FULL}\rprint(add(1, 2))\n",
        "print(add(1, 2))\n",
        "def add(:\n",
        "",
    ],
)
def test_what_is_not_sure_to_be_a_trial_stays(source: str) -> None:
    assert leave_out_trials(source, "add") == source


@pytest.mark.parametrize(
    "answer",
    [
        "```python\nfrom typing import List\n\ndef add(a, b):\n    total = a\n    if total >",
        "```python\nfrom typing import List\n\ndef add(a, b):\n    return (a +",
        '```python\nimport math\n\ndef add(a, b):\n    """ Add.\n\nof two',
        "```python\nimport math\n\ndef helper(a):\n    return a\n\ndef add(a, b",
    ],
)
def test_a_function_that_breaks_off_is_not_repaired(answer: str) -> None:
    """Nor is what stands before it taken for the answer."""
    program = find_program(PROMPT, "add", answer)
    assert program.code is not None
    assert program.source is None
    assert program.error


def test_trials_without_end_take_no_time() -> None:
    many = "".join(f"def f{i}(x):\n    return f{i + 1}(x)\n" for i in range(300))
    source = f"{FULL}{many}\ndef f300(x):\n    return add(x, x)\n" + "f0(1)\n" * 300
    assert "f0(1)" not in leave_out_trials(source, "add")


def test_a_number_of_thousands_of_digits_does_not_break_the_comparison() -> None:
    assert write_correction("def f(n):\n    return 0x" + "F" * 9000, "def f(n):\n    return n", "f") == ""
    assert write_correction("def f(n):\n    return n[0x" + "F" * 9000 + ":]", "def f(n):\n    return n", "f") == ""


def test_a_program_too_long_to_parse_is_none() -> None:
    assert find_syntax_error("x = 1\n" * 100_000) == "longer than 40,000 characters"
