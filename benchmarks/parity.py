"""Gold answers, broken in known ways, scored by lm-eval's own tasks and by ours: where the two differ, and which is
right.

    HERL_BENCH_DATA=DIR python benchmarks/parity.py          writes docs/parity.md
    HERL_BENCH_DATA=DIR python benchmarks/parity.py --check  fails if docs/parity.md says something else

lm-eval's numbers come from lm-eval: its task files, read with local data in place of the hub's, and its own evaluator,
with a model that repeats given responses. Its `humaneval` loads the metric `code_eval` from the hub when it is
imported; here that name gives an object that runs the programs that lm-eval puts together in our sandbox. `score` is
also what the tests of item-by-item parity use.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from herl_bench_bbh.answers import read_options

from herl_bench.evaluation.judging import NO_TEMPLATE, judge_responses
from herl_bench.experiment.resolve import find_metrics, find_rubric, open_sandbox
from herl_bench.plugins import load_host
from herl_bench.types import Environment, Example, Task

ITEMS = {"gsm8k": 40, "bbh": 5, "humaneval": 16}  # per task, per BBH family, per task
FAMILIES = (
    "boolean_expressions",
    "date_understanding",
    "dyck_languages",
    "formal_fallacies",
    "navigate",
    "object_counting",
    "reasoning_about_colored_objects",
    "word_sorting",
)
PAGE = Path(__file__).parent.parent / "docs" / "parity.md"
STOCK = {
    "gsm8k": "gsm8k/gsm8k",
    "bbh_cot_fewshot": "bbh/cot_fewshot",
    "bbh_cot_zeroshot": "bbh/cot_zeroshot",
    "bbh_zeroshot": "bbh/zeroshot",
    "humaneval": "humaneval/humaneval",
}


@dataclass(frozen=True)
class Given:
    """A response to an item. doc: the published row, as lm-eval reads it."""

    example: Example
    doc: Mapping[str, Any]
    response: str


# ------------------------------------------------------------------------------------------------------- lm-eval's side
def score_theirs(stocks: Sequence[str], given: Sequence[Given]) -> list[dict[str, float]]:
    """What lm-eval's own tasks say of each response: `stock metric,filter` → value. All of one BBH family; `stocks`:
    keys of `STOCK`."""
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        import evaluate
        import lm_eval
        from lm_eval.tasks import TaskManager

        home, load = Path(str(lm_eval.__file__)).parent / "tasks", evaluate.load
        family = given[0].example.info.get("family")
        data = Path(folder) / "data.jsonl"
        data.write_text("".join(json.dumps({**g.doc, "response": g.response}) + "\n" for g in given))
        for stock in stocks:
            spec = {
                "include": f"{home / STOCK[stock]}{f'/{family}' if stock.startswith('bbh') else ''}.yaml",
                "task": f"stock_{stock}",
                "tag": None,
                "dataset_path": "json",
                "dataset_name": None,
                "num_fewshot": 0,
                "training_split": None,
                "fewshot_split": None,
                "dataset_kwargs": {"data_files": {"test": str(data)}, "cache_dir": folder},
            }
            (Path(folder) / f"{stock}.yaml").write_text(json.dumps(spec))  # JSON is YAML
        try:
            evaluate.load = lambda name: InOurSandbox()
            outcome = lm_eval.simple_evaluate(
                model=make_replay_lm(lambda doc: str(doc["response"])),
                tasks=[f"stock_{stock}" for stock in stocks],
                task_manager=TaskManager(include_defaults=False, include_path=[folder]),
                bootstrap_iters=0,
                confirm_run_unsafe_code=True,
            )
        finally:
            evaluate.load = load
    values: list[dict[str, float]] = [{} for _ in given]
    for stock in stocks:
        for row in outcome["samples"][f"stock_{stock}"]:
            values[row["doc_id"]] |= {
                f"{stock} {metric},{row['filter']}": float(row[metric]) for metric in row["metrics"]
            }
    return values


def make_replay_lm(answer: Callable[[Mapping[str, Any]], str]) -> Any:
    """A model for lm-eval that answers each document with what `answer` says."""
    from lm_eval.api.model import LM

    class ReplayLM(LM):  # type: ignore[misc]
        def generate_until(self, requests: list[Any], disable_tqdm: bool = False) -> list[str]:
            return [answer(request.doc) for request in requests]

        def loglikelihood(self, requests: list[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
            raise NotImplementedError("stored responses have no likelihoods")

        loglikelihood_rolling = loglikelihood

    return ReplayLM()


class InOurSandbox:
    """The part of `code_eval` that lm-eval's humaneval calls."""

    def compute(
        self, references: Sequence[str], predictions: Sequence[Sequence[str]], k: Sequence[int]
    ) -> tuple[dict[str, float], None]:
        from herl_bench.sandbox import Job

        ((program,),) = predictions
        test, entry = references[0], re.findall(r"check\((\w+)\)", references[0])
        if not entry:  # the trial that lm-eval makes when it is imported
            return {}, None
        (verdict,) = start_sandbox().map([Job(program, entry[-1], test.rpartition("\n")[0])])
        return {"pass@1": float(verdict.status == "pass")}, None


@functools.cache
def start_sandbox() -> Any:
    import atexit
    from contextlib import ExitStack

    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(open_sandbox(load_host(), load_host().get("task", "humaneval")))


# ------------------------------------------------------------------------------------------------------------- our side
def judge_ours(task: Task, given: Sequence[Given], metrics: Sequence[str] = ()) -> list[dict[str, float | None]]:
    """What we say of each response, by the same keys. metrics: ids, instead of the task's own."""
    host = load_host()
    chosen = [host.get("metric", name) for name in metrics] or find_metrics(host, task)
    examples, responses = [g.example for g in given], [g.response for g in given]
    opened = start_sandbox() if task.needs_sandbox else None
    environment = Environment(task, find_rubric(host, task), NO_TEMPLATE, chosen, opened)
    rows = judge_responses(environment, examples, responses)
    return [dict(row.judgement.metrics) for row in rows]


def read_items(name: str, folder: Path, count: int, family: str = "") -> list[tuple[Example, dict[str, Any]]]:
    """The first evaluation items, each with the row that lm-eval reads."""
    examples = [e for e in load_host().get("task", name).read(folder, "eval") if e.info.get("family", "") == family][
        :count
    ]
    if name == "gsm8k":
        return [(e, {"question": e.info["question"], "answer": e.target}) for e in examples]
    if name == "bbh":
        return [(e, {"input": e.info["input"], "target": e.target}) for e in examples]
    return [
        (
            e,
            {
                "task_id": e.id,
                "prompt": e.prompt,
                "entry_point": e.info["entry_point"],
                "canonical_solution": e.target,
                "test": e.info["test"],
            },
        )
        for e in examples
    ]


# ------------------------------------------------------------------------------------------------- the ways of breaking
Break = Callable[[Example], "str | None"]


def _break_number(form: str, plus: int = 0) -> Break:
    """{w}: the worked solution without its last line, {n}: the number, {m}: another one, {c}: with commas, where it has
    any."""

    def break_answer(example: Example) -> str | None:
        work, number = example.target.rpartition("\n#### ")[0], example.info["answer"]
        commas = f"{int(number):,}"
        if "{c}" in form and "," not in commas:
            return None
        return form.format(w=work, n=number, m=int(number) + 1, c=commas)

    return break_answer


GSM8K: dict[str, tuple[Break, bool | None]] = {
    "as published": (lambda e: e.target, True),
    "a wrong number": (_break_number("{w}\n#### {m}"), False),
    "missing marker: the number in a sentence": (_break_number("{w}\nThe answer is {n}."), True),
    "`#### $18`": (_break_number("{w}\n#### ${n}"), True),
    "`#### 18.0`": (_break_number("{w}\n#### {n}.0"), True),
    "`#### 1,234`": (_break_number("{w}\n#### {c}"), True),
    "`#### 18.` (a full stop)": (_break_number("{w}\n#### {n}."), True),
    "`#### 18 dollars`": (_break_number("{w}\n#### {n} dollars"), True),
    "`#### **18**`": (_break_number("{w}\n#### **{n}**"), True),
    "a unicode minus: `#### −18` for 18": (_break_number("{w}\n#### −{n}"), False),
    "two answers, the gold one last": (_break_number("{w}\n#### {m}\n\nAnd then:\n#### {n}"), None),
    "two answers, the gold one first": (_break_number("{w}\n#### {n}\n\nAnd then:\n#### {m}"), None),
    "right, then another number in words that follow": (_break_number("{w}\n#### {n}\nI checked it 3 times."), True),
    "`#### 19 - 1 = 18`": (_break_number("{w}\n#### {m} - 1 = {n}"), True),
    "`#### 18/7`": (_break_number("{w}\n#### {n}/7"), False),
    "`#### 18 or 19`": (_break_number("{w}\n#### {n} or {m}"), False),
    "`\\boxed{18}`, then another number": (_break_number("{w}\n\\boxed{{{n}}}\nI checked it 3 times."), True),
    "another answer in `<think>`, then the right one": (
        _break_number("<think>\n#### {m}\n</think>\n{w}\n#### {n}"),
        True,
    ),
    "the right answer in a `<think>` that is never closed": (_break_number("<think>\n{w}\n#### {n}"), False),
    "empty": (lambda e: "", False),
}


def _find_wrong(example: Example) -> str:
    """Another allowed answer, or one that looks like it."""
    letters = [f"({letter})" for letter, _ in read_options(str(example.info["input"]))]
    pairs = (("True", "False"), ("Yes", "No"), ("yes", "no"), ("valid", "invalid"))
    swap = {a: b for pair in pairs for a, b in (pair, pair[::-1])}
    if letters:
        return next(letter for letter in letters if letter != example.target)
    if example.target in swap:
        return swap[example.target]
    return (
        str(int(example.target) + 1)
        if re.fullmatch(r"-?\d+", example.target)
        else " ".join([*example.target.split()[1:], "]"])
    )


def _fill(form: str) -> Break:
    return lambda e: form.format(a=e.target, b=_find_wrong(e))


def _fill_letter(form: str) -> Break:
    return lambda e: form.format(e.target.strip("()")) if re.fullmatch(r"\([A-Z]\)", e.target) else None


def _write_option(example: Example) -> str | None:
    texts = dict(read_options(str(example.info["input"])))
    return f"So the answer is {texts[example.target.strip('()')]}." if example.target.strip("()") in texts else None


BBH: dict[str, tuple[Break, bool | None]] = {
    "as asked for: `So the answer is (B).`": (_fill("So the answer is {a}."), True),
    "another answer": (_fill("So the answer is {b}."), False),
    "no full stop": (_fill("So the answer is {a}"), True),
    "capital: `The answer is (B).`": (_fill("The answer is {a}."), True),
    "`the answer is: (B).`": (_fill("So the answer is: {a}."), True),
    "`**(B)**`": (_fill("So the answer is **{a}**."), True),
    "a letter without parentheses: `B.`": (_fill_letter("So the answer is {}."), True),
    "the option's own words": (_write_option, True),
    "missing marker: the answer alone": (_fill("{a}"), True),
    "two answers, the right one last": (_fill("So the answer is {b}. Wait. So the answer is {a}."), True),
    "two answers, the wrong one last": (_fill("So the answer is {a}. Wait. So the answer is {b}."), False),
    "right, and the other one named after it": (_fill("So the answer is {a}.\nIt cannot be {b}."), True),
    "on the next line: `**Answer:**`": (_fill("**Answer:**\n\n{a}"), True),
    "both: `(A) or (B)`": (_fill("So the answer is {a} or {b}."), False),
    "another answer in `<think>`, then the right one": (
        _fill("<think>\nSo the answer is {b}.\n</think>\nSo the answer is {a}."),
        True,
    ),
    "the right answer in a `<think>` that is never closed": (_fill("<think>\nSo the answer is {a}."), False),
    "empty": (lambda e: "", False),
}


def _fence(text: str) -> str:
    return f"```python\n{text.rstrip()}\n```"


def _return_nothing(example: Example) -> str:
    indent = re.match(r"\s*", example.target)
    return f"{indent[0] if indent else '    '}return None\n"


HUMANEVAL: dict[str, tuple[Break, bool | None]] = {
    "the body alone, as published": (lambda e: e.target, True),
    "a body that returns nothing": (_return_nothing, False),
    "the whole function": (lambda e: e.prompt + e.target, True),
    "the whole function in fences": (lambda e: _fence(e.prompt + e.target), True),
    "the whole function in fences, prose around it": (
        lambda e: f"Here is the function:\n\n{_fence(e.prompt + e.target)}\n\nIt handles the empty case too.",
        True,
    ),
    "the body in fences, without the signature": (lambda e: _fence(e.target), True),
    "the body, then prose": (lambda e: f"{e.target.rstrip()}\n\nThis works for all inputs.", True),
    "a wrong function in fences, then the right one": (
        lambda e: f"{_fence(e.prompt + _return_nothing(e))}\nNo. Corrected:\n{_fence(e.prompt + e.target)}",
        True,
    ),
    "a wrong function in `<think>`, then the right one": (
        lambda e: f"<think>\n{_fence(e.prompt + _return_nothing(e))}\n</think>\n{_fence(e.prompt + e.target)}",
        True,
    ),
    "the right function in a `<think>` that is never closed": (
        lambda e: f"<think>\n{_fence(e.prompt + e.target)}",
        False,
    ),
    "a wrong function in fences": (lambda e: _fence(e.prompt + _return_nothing(e)), False),
    "empty": (lambda e: "", False),
}


# ------------------------------------------------------------------------------------------------------------- the page
def write_table(
    name: str, ways: Mapping[str, tuple[Break, bool | None]], theirs: Mapping[str, str], ours: str, folder: Path
) -> Iterator[str]:
    """One row per way: how many of the answers each metric calls right, in bold where that is wrong for some of them.

    theirs: lm-eval's metrics, as `score` names them, with our key of the same number. Raises `AssertionError` where the
    two differ.
    """
    task, stocks = load_host().get("task", name), list(dict.fromkeys(key.split()[0] for key in theirs))
    columns = [*theirs, ours]
    yield (
        f"| answer | is it right? | {' | '.join(f'`{key}`' for key in theirs)} | herl-bench `{ours}` | scored rightly"
        " by |"
    )
    yield "|---" * (len(columns) + 3) + "|"
    marked: dict[str, list[dict[str, float | None]]] = {way: [] for way in ways}
    for family in FAMILIES if name == "bbh" else ("",):
        source = read_items(name, folder, ITEMS[name], family)
        made = [
            (way, Given(e, doc, text))
            for way, (broken, _) in ways.items()
            for e, doc in source
            if (text := broken(e)) is not None
        ]
        given = [g for _, g in made]
        for (way, g), mine, their in zip(made, judge_ours(task, given), score_theirs(stocks, given), strict=True):
            for key, same in theirs.items():
                assert their[key] == mine[same], (key, g.response)
            marked[way].append({**their, ours: mine[ours]})
    for way, (_, right) in ways.items():
        rows = marked[way]
        counts = {column: sum(row[column] == 1 for row in rows) for column in columns}
        good = [column for column, count in counts.items() if right is not None and count == right * len(rows)]
        cells = [
            f"{count} of {len(rows)}" if column in good or right is None else f"**{count} of {len(rows)}**"
            for column, count in counts.items()
        ]
        names = ["herl-bench" if column == ours else column.rpartition(",")[2] for column in good]
        truth = {True: "yes", False: "no", None: "ambiguous"}[right]
        yield (
            f"| {way} | {truth} | {' | '.join(cells)} |"
            f" {'–' if right is None else 'all' if good == columns else ', '.join(names) or 'none'} |"
        )


def write_page(folder: Path) -> str:
    gsm8k = {f"gsm8k exact_match,{name}": f"exact_match,{name}" for name in ("strict-match", "flexible-extract")}
    bbh = {
        "bbh_cot_fewshot exact_match,get-answer": "exact_match,get-answer",
        **{
            f"bbh_cot_zeroshot exact_match,{name}": f"exact_match,{name}"
            for name in ("flexible-extract", "strict-match")
        },
    }
    lines = [
        "# Where lm-eval and herl-bench differ, and which is right",
        "",
        (
            "Gold answers of the published items, as they are and broken in known ways, scored by lm-eval's own task"
            " files and evaluator and by"
        ),
        (
            "herl-bench. A cell says how many of the answers were called right; bold means that some were scored"
            " wrongly. Under lm-eval's own names"
        ),
        (
            "(`exact_match` with its filters, `pass@1,create_test`) herl-bench gives lm-eval's number for every one of"
            " these answers, wrong where it"
        ),
        (
            "is wrong, so that numbers can be compared with published ones. Its robust metric stands beside them under"
            " another name."
        ),
        "",
        (
            "lm-eval's metrics look at the whole response as it is. The robust metric, the rubric's criteria and the"
            " share of unparsed answers have one"
        ),
        (
            "reading in common: text in `<think>` is not the answer, a thought that is never closed has none, and a"
            " number or an option may be written in"
        ),
        (
            "any usual way. They are computed in time that grows with the length of the response; a program of more"
            " than 40,000 characters is not run."
        ),
        "",
        (
            "Made by `HERL_BENCH_DATA=DIR python benchmarks/parity.py`; a test compares this page with what the script"
            " says."
        ),
        "",
        f"## GSM8K: {ITEMS['gsm8k']} test items",
        *write_table("gsm8k", GSM8K, gsm8k, "robust_match,numeric", folder),
        "",
        (
            "Strict wants a digit right after `#### `, and takes the first such; it reads no sign but `-`. Flexible"
            " takes the last number of the whole"
        ),
        (
            "text, whatever it belongs to, and overlooks a minus that is not a hyphen. Neither takes `18.0` for `18`."
            " Of two `####` lines herl-bench"
        ),
        (
            "takes the first, as strict does: what follows a finished answer is most often another question that a base"
            " model makes up."
        ),
        "",
        f"## BIG-Bench Hard: {ITEMS['bbh']} items of each of {len(FAMILIES)} subtasks",
        *write_table("bbh", BBH, bbh, "robust_match,none", folder),
        "",
        (
            "The strict filters drop the last character of the line, whatever it is, and take the first answer given;"
            " flexible takes the last option"
        ),
        (
            "letter, yes or no, number or bracket anywhere in the text, and the given words in the order of where each"
            " stands last. herl-bench takes"
        ),
        (
            "the last answer that is given as one; an answer alone, to a prompt that asks to think step by step, counts"
            " as unparsed."
        ),
        "",
        f"## HumanEval: {ITEMS['humaneval']} problems",
        *write_table(
            "humaneval", HUMANEVAL, {"humaneval pass@1,create_test": "pass@1,create_test"}, "pass@1,extracted", folder
        ),
        "",
        "lm-eval runs the prompt and the answer put together: fences and prose are then syntax errors.",
        "",
    ]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="compare with docs/parity.md instead of writing it")
    check = parser.parse_args().check
    logging.disable(logging.WARNING)
    made = write_page(Path(os.environ["HERL_BENCH_DATA"]))
    if check:
        same = PAGE.read_text(encoding="utf-8") == made
        print("docs/parity.md is up to date" if same else "docs/parity.md differs: run benchmarks/parity.py")
        return 0 if same else 1
    PAGE.write_text(made, encoding="utf-8")
    print(f"wrote {PAGE}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
