"""How well GSM8K's calculations are read where they are written as prose: published solutions without their notes.

    HERL_BENCH_DATA=DIR python benchmarks/reading.py FILE --output benchmarks/results/reading.json

FILE: `example_model_solutions.jsonl` of https://github.com/openai/grade-school-math, 4 × 1,319 solutions of the test
problems by GPT-3, with calculator notes, each marked right or wrong by its final answer.

Of every solution the notes `<<expression=result>>` are cut out, and what is left is read. The gold solutions are right,
so each step called wrong there is a mistake of ours. Of GPT-3's solutions with the right final answer nearly none
should be called wrong, and those are counted apart whose notes are all right. How many of the solutions with a wrong
note are still found says how much the reading sees. `quantities` is compared with what it says of the notes.
"""

from __future__ import annotations

import argparse
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from herl_bench_gsm8k import arithmetic, checks, data

from herl_bench import Example
from herl_bench.types import Split


def strip_notes(solution: str) -> str:
    return re.sub(r"<<[^<>\n]*>>", "", solution)


def is_wrong(note: arithmetic.Step) -> bool:
    """By more than floating point: GPT-3's calculator gave 10/100*38=3.8000000000000003."""
    if note.right or note.expected is None or note.value is None:
        return not note.right
    return abs(note.expected - note.value) * 10**6 > abs(note.expected)


def count_gold(examples: list[Example], shown: list[str]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for example in examples:
        noted, read = checks.parse(example.target), checks.parse(strip_notes(example.target))
        if arithmetic.NOTE.search(example.target):
            counts["notes"] += len(noted.steps)
            counts["notes called wrong"] += sum(not step.right for step in noted.steps)
        counts["steps read"] += len(read.steps)
        wrong = [step for step in read.steps if not step.right]
        counts["steps called wrong"] += len(wrong)
        counts["solutions called wrong"] += bool(wrong)
        counts["quantities"] += len(example.info["steps"])
        counts["quantities reached"] += sum(f.met is True for f in checks.quantities(example, read))
        shown += [f"{example.id}: {step.expression}={step.result} in {example.target!r}" for step in wrong]
    return {"solutions": len(examples), **counts}


def read_solutions(path: Path, examples: list[Example]) -> Iterator[tuple[str, Example, str, bool]]:
    """(model, example, solution, is its final answer right?) of each solution by GPT-3."""
    known = {_tidy(example.info["question"]): example for example in examples}
    for line in path.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        for model in ("6b_finetuning", "6b_verification", "175b_finetuning", "175b_verification"):
            yield model, known[_tidy(row["question"])], row[model]["solution"], row[model]["is_correct"]


def _tidy(question: str) -> str:
    return re.sub(r"\W+", "", question)


def count_gpt3(path: Path, examples: list[Example], shown: list[str]) -> dict[str, Any]:
    counts: Counter[str] = Counter()
    for model, example, solution, is_correct in read_solutions(path, examples):
        noted, read = checks.parse(solution), checks.parse(strip_notes(solution))
        counts["solutions"] += 1
        counts["notes"] += len(noted.steps)
        counts["steps read"] += len(read.steps)
        wrong = [step for step in read.steps if not step.right]
        has_wrong_note = any(is_wrong(step) for step in noted.steps)
        counts["right final answer"] += is_correct
        counts["right final answer, called wrong"] += is_correct and bool(wrong)
        counts["right final answer, notes right"] += is_correct and not has_wrong_note
        counts["right final answer, notes right, called wrong"] += is_correct and not has_wrong_note and bool(wrong)
        counts["notes right"] += not has_wrong_note
        counts["notes right, called wrong"] += not has_wrong_note and bool(wrong)
        counts["wrong note"] += has_wrong_note
        counts["wrong note, called wrong"] += has_wrong_note and bool(wrong)
        if noted.steps:
            pairs = zip(checks.quantities(example, noted), checks.quantities(example, read), strict=True)
            for by_notes, by_prose in pairs:
                counts[f"quantity {_say(by_notes.met)} by notes, {_say(by_prose.met)} by prose"] += 1
        if is_correct:
            shown += [f"{model} {example.id}: {step.expression} = {step.result} in {solution!r}" for step in wrong]
    return dict(counts)


def _say(met: bool | None) -> str:
    return "reached" if met else "missed"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("solutions", type=Path, help="example_model_solutions.jsonl of openai/grade-school-math")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--show", action="store_true", help="print every step that is called wrong in a right solution")
    options = parser.parse_args()
    directory, shown = Path(os.environ["HERL_BENCH_DATA"]), list[str]()
    splits: dict[Split, list[Example]] = {"train": [], "eval": []}
    for split in splits:
        splits[split] = list(data.read(directory, split))
    result = {
        "command": "HERL_BENCH_DATA=DIR python benchmarks/reading.py FILE --output benchmarks/results/reading.json",
        **{f"gold, {data.FILES[split]}": count_gold(examples, shown) for split, examples in splits.items()},
        "GPT-3": count_gpt3(options.solutions, splits["eval"], shown),
    }
    text = json.dumps(result, indent=2)
    print(*(shown if options.show else ()), text, sep="\n")
    if options.output:
        options.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
