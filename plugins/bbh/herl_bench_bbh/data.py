"""BIG-Bench Hard as published: `bbh/<subtask>.json` in a folder, or a mirror of it on the hub.

Only a test split is published. To train without seeing evaluation items, each subtask is split by a hash: an item
trains if the sha256 of its subtask and its *story*, read as a number, is not divisible by five (about 80 %). The story
is the item's text without what siblings ask differently about the same facts (the last question of a date, causal,
colored-objects or shuffling story, and the options), so that siblings and exact duplicates fall on the same side. The
split hangs on nothing else: no seed, no order, no file date.

Left out: corrections. The published targets are kept as they are; `answers` says by which rule the three odd ones are
read.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from herl_bench import Example
from herl_bench.errors import DataError
from herl_bench.reading import read_json
from herl_bench.types import Split

from .world import write_prompt

_SUBTASKS = """
boolean_expressions causal_judgement date_understanding disambiguation_qa dyck_languages formal_fallacies
geometric_shapes hyperbaton logical_deduction_five_objects logical_deduction_seven_objects
logical_deduction_three_objects movie_recommendation multistep_arithmetic_two navigate object_counting
penguins_in_a_table reasoning_about_colored_objects ruin_names salient_translation_error_detection snarks
sports_understanding temporal_sequences tracking_shuffled_objects_five_objects
tracking_shuffled_objects_seven_objects tracking_shuffled_objects_three_objects web_of_lies word_sorting
"""
SUBTASKS = tuple(re.findall(r"\w+", _SUBTASKS))
SOURCE = "https://raw.githubusercontent.com/suzgunmirac/BIG-Bench-Hard/main/bbh"
HUB = "lukaemon/bbh"
EVAL_SHARE = 5

_QUESTIONS = {
    "causal_judgement": r"[^.!?]*\?\s*$",
    "date_understanding": r"What is the date .*",
    "reasoning_about_colored_objects": r"(?:What|How many|Is|If I) .*",
    "tracking_shuffled_objects": r"At the end of the .*",
}


def extract_story(subtask: str, text: str) -> str:
    """The facts of an item, without what its siblings ask differently."""
    facts = text.partition("\nOptions:")[0]
    asks = _QUESTIONS.get(re.sub(r"_(?:three|five|seven)_objects$", "", subtask))
    shorter = re.sub(asks, "", facts, flags=re.DOTALL).strip() if asks else ""
    return " ".join((shorter if len(shorter.split()) > 3 else facts if len(facts.split()) > 12 else text).split())


def choose_side(subtask: str, text: str) -> Split:
    digest = hashlib.sha256(f"{subtask}\n{extract_story(subtask, text)}".encode()).hexdigest()
    return "eval" if int(digest, 16) % EVAL_SHARE == 0 else "train"


def list_files(directory: Path, split: Split) -> list[Path]:
    """Both sides of the hash split come from the same 27 files."""
    return [Path(directory) / "bbh" / f"{subtask}.json" for subtask in SUBTASKS]


def read(directory: Path, split: Split) -> Iterable[Example]:
    """The items of one side of the hash split, subtask by subtask, in the files' order. Raises `DataError` with file
    and item."""
    return [e for e in read_all(directory) if e.info["side"] == split]


def read_all(directory: Path) -> list[Example]:
    """All items of the 27 subtasks."""
    folder = Path(directory) / "bbh"
    if not folder.is_dir():
        raise DataError(
            f"{folder} is missing: it holds the 27 subtasks as <subtask>.json;"
            f" {_explain_download(folder, SUBTASKS[0])}, and so for each"
        )
    return [example for subtask in SUBTASKS for example in _read_subtask(folder / f"{subtask}.json", subtask)]


def _explain_download(folder: Path, subtask: str) -> str:
    return f"get one with  curl --create-dirs -o {folder}/{subtask}.json {SOURCE}/{subtask}.json"


def _read_subtask(path: Path, subtask: str) -> Iterator[Example]:
    if not path.is_file():
        raise DataError(f"{path} is missing: {_explain_download(path.parent, subtask)}")
    content = read_json(path)
    rows = content.get("examples") if isinstance(content, dict) else None
    if not isinstance(rows, list):
        raise DataError(f'{path}: this is not {{"examples": [{{"input", "target"}}, …]}}')
    for number, row in enumerate(rows):
        yield build_example(row, subtask, number, f"{path}, item {number}")


def build_example(row: Any, subtask: str, number: int, where: str) -> Example:
    """number: the item's place in its file, from 0; where: said in errors."""
    if not isinstance(row, dict):
        raise DataError(f"{where}: an item is an object with `input` and `target`, not {type(row).__name__}")
    for key in ("input", "target"):
        if not isinstance(row.get(key), str) or not row[key].strip():
            raise DataError(f"{where}: `{key}` is {'missing' if key not in row else 'empty or not text'}")
    info = {"input": row["input"], "family": subtask, "side": choose_side(subtask, row["input"])}
    return Example(f"bbh/{subtask}/{number}", write_prompt(row["input"]), row["target"], info)


def read_hub(split: Split) -> list[Example]:
    """From the hub, through `datasets`, which keeps a copy."""
    from datasets import load_dataset

    found = []
    for subtask in SUBTASKS:
        rows = load_dataset(HUB, subtask, split="test")
        found += [
            build_example(dict(row), subtask, number, f"{HUB}, {subtask}, row {number}")
            for number, row in enumerate(rows)
        ]
    return [e for e in found if e.info["side"] == split]


SPLITS = {"test": read_all}
__all__ = ["HUB", "SPLITS", "SUBTASKS", "build_example", "choose_side", "extract_story", "read", "read_all", "read_hub"]
