"""GSM8K as published: `gsm8k/train.jsonl` and `gsm8k/test.jsonl` in a folder, or `openai/gsm8k` from the hub.

Training reads the train split, evaluation the test split. Nothing is filtered or corrected. The prompt is lm-eval's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

from herl_bench import Example
from herl_bench.errors import DataError
from herl_bench.reading import read_json_lines
from herl_bench.types import Split

from .arithmetic import NOTE, NUMBER

FILES: dict[Split, str] = {"train": "train", "eval": "test"}
SOURCE = "https://raw.githubusercontent.com/openai/grade-school-math/master/grade_school_math/data"


def list_files(directory: Path, split: Split) -> list[Path]:
    return [Path(directory) / "gsm8k" / f"{FILES[split]}.jsonl"]


def read(directory: Path, split: Split) -> Iterable[Example]:
    """The examples of one file, in its order. Raises `DataError` with file and line."""
    (path,), name = list_files(directory, split), FILES[split]
    if not path.is_file():
        raise DataError(f"{path} is missing: get it with  curl --create-dirs -o {path} {SOURCE}/{name}.jsonl")
    return [
        build_example(row, name, number, f"{path}:{line}") for number, (line, row) in enumerate(read_json_lines(path))
    ]


def build_example(row: Any, name: str, number: int, where: str) -> Example:
    """name: `train` or `test`; where: said in errors."""
    if not isinstance(row, dict):
        raise DataError(f"{where}: a row is an object with `question` and `answer`, not {type(row).__name__}")
    for key in ("question", "answer"):
        if not isinstance(row.get(key), str):
            raise DataError(f"{where}: `{key}` is {'missing' if key not in row else 'not text'}")
    question, solution = row["question"], row["answer"]
    final = re.search(rf"#### \$?(-?(?:{NUMBER}))\s*$", solution)
    if not final:
        raise DataError(f'{where}: `answer` must end with a line "#### number"')
    answer = Fraction(final[1].replace(",", ""))
    steps = [list(note.replace(" ", "").rpartition("=")[::2]) for note in NOTE.findall(solution)]
    info = {"question": question, "answer": _write_plainly(answer, final[1]), "steps": steps}
    return Example(f"gsm8k/{name}/{number}", f"Question: {question}\nAnswer:", solution, info)


def _write_plainly(value: Fraction, written: str) -> str:
    return str(value.numerator) if value.denominator == 1 else written.replace(",", "")


def read_hub(split: Split) -> list[Example]:
    """From the hub, through `datasets`, which keeps a copy."""
    from datasets import load_dataset

    name = FILES[split]
    rows = load_dataset("openai/gsm8k", "main", split=name)
    return [build_example(row, name, number, f"openai/gsm8k, {name}, row {number}") for number, row in enumerate(rows)]


SPLITS = {"train": partial(read, split="train"), "test": partial(read, split="eval")}
