"""Reading HumanEval and MBPP, and the examples in docstrings."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest
from herl_bench_humaneval.code import parses
from herl_bench_humaneval.data import find_docstring_examples, read, read_humaneval, read_mbpp

from herl_bench.errors import DataError

DATA = os.environ.get("HERL_BENCH_DATA")
real = pytest.mark.skipif(not DATA, reason="HERL_BENCH_DATA names no folder with the benchmarks' files")

ROW = {
    "task_id": "HumanEval/0",
    "prompt": 'def f(x):\n    """ f(1) == 2 """\n',
    "entry_point": "f",
    "canonical_solution": "    return x + 1\n",
}
ROW = {**ROW, "test": "def check(candidate):\n    assert candidate(1) == 2\n"}
TASK = {
    "task_id": 600,
    "text": "Write a function to double a number.",
    "code": "import math\r\ndef helper(x):\r\n  return x\r\ndef twice(x, y=1):\r\n\treturn helper(x) * 2",
    "test_list": ["assert twice(2) == 4", "assert twice(0) == 0"],
    "test_setup_code": "",
    "challenge_test_list": ["assert twice(-1) == -2"],
}


def write(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return folder


@pytest.mark.parametrize("name", ["humaneval/HumanEval.jsonl", "humaneval/HumanEval.jsonl.gz"])
def test_a_row_of_humaneval(tmp_path: Path, name: str) -> None:
    (example,) = read(write(tmp_path, name, json.dumps(ROW) + "\n"), "eval")
    assert (example.id, example.target) == ("HumanEval/0", "    return x + 1\n")
    assert example.info["examples"] == [{"call": "f(1)", "expected": "2"}]


def test_a_row_of_mbpp_in_humanevals_format(tmp_path: Path) -> None:
    (example,) = read(write(tmp_path, "mbpp/mbpp.jsonl", json.dumps(TASK)), "train")
    assert (
        example.prompt
        == 'import math\n\n\ndef twice(x, y=1):\n    """ Write a function to double a number.\n    >>> twice(2)\n   '
        ' 4\n    """\n'
    )
    scope: dict = {}
    exec(example.prompt + example.target, scope)
    assert scope["twice"](4) == 8
    assert example.info["test"].count("assert") == 3


def test_missing_files_are_named_with_the_command_that_fetches_them(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"humaneval/HumanEval\.jsonl\.gz is missing: fetch it with `curl"):
        read_humaneval(tmp_path)
    with pytest.raises(DataError, match=r"mbpp/mbpp\.jsonl is missing"):
        read_mbpp(tmp_path)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{oops", "not JSON"),
        ("[1]", "an object is needed, not list"),
        (json.dumps({k: v for k, v in ROW.items() if k != "test"}), "the field 'test' is missing"),
        (json.dumps({**ROW, "prompt": 3}), "HumanEval"),
    ],
)
def test_a_bad_row_is_named_by_file_and_line(tmp_path: Path, line: str, said: str) -> None:
    write(tmp_path, "humaneval/HumanEval.jsonl", json.dumps(ROW) + "\n" + line + "\n")
    with pytest.raises(
        DataError, match=f"HumanEval.jsonl:2: .*{said}" if said != "HumanEval" else "HumanEval.jsonl:2: "
    ):
        read_humaneval(tmp_path)


def test_a_file_that_is_not_gzip_is_an_error_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "humaneval").mkdir()
    (tmp_path / "humaneval/HumanEval.jsonl.gz").write_bytes(b"plain")
    with pytest.raises(DataError, match=r"HumanEval.jsonl.gz:1: cannot be read"):
        read_humaneval(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (">>> f(1)\n    2", [("f(1)", "2")]),
        (">>> f([1])\n    [1,\n     2]\n\n    more", [("f([1])", "[1, 2]")]),
        ("f(1, 2) == 3\n    f(2, 2) == 4", [("f(1, 2)", "3"), ("f(2, 2)", "4")]),
        ("f('a)') => 'b'", [("f('a)')", "'b'")]),
        ("f(1) ➞ true", [("f(1)", "True")]),
        ("f(1) should return 16.", [("f(1)", "16")]),
        ("f(1)   # returns 'x'", [("f(1)", "'x'")]),
        ("For x = 1, y = [2] the output should be (3, 4)", []),
        ("For x = 1 the output should be (3, 4)", [("f(x = 1)", "(3, 4)")]),
        ("Input: 3\n    Output: [1, 2]\n    Explanation: no", [("f(3)", "[1, 2]")]),
        ("f(y) == 3", []),
        ("f(1) = 2 + 3", []),
        ("no example at all", []),
    ],
)
def test_notations_of_docstring_examples(text: str, expected: list[tuple[str, str]]) -> None:
    prompt = f'def f(x):\n    """ Do it.\n    {text}\n    """\n'
    assert [(e["call"], e["expected"]) for e in find_docstring_examples(prompt, "f")] == expected


@real
def test_the_published_files() -> None:
    assert DATA
    humaneval, mbpp = read_humaneval(Path(DATA)), read_mbpp(Path(DATA))
    assert (len(humaneval), len(mbpp), len(read(Path(DATA), "train"))) == (164, 974, 464)
    assert sum(bool(e.info["examples"]) for e in humaneval) >= 149
    assert all(parses(e.prompt + e.target) for e in humaneval + mbpp)
    assert all(json.loads(json.dumps(e.info)) == e.info for e in humaneval + mbpp)
    assert len({e.id for e in humaneval + mbpp}) == 164 + 974
