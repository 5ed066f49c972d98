"""Our tasks inside lm-eval, where lm-eval calls us: what the files in `tasks/` refer to by `!function`.

lm-eval brings the model, the prompts go to it as they are, and every response is judged by the task's own rubric and
metrics, so that its results table has our metrics and one column per criterion. lm-eval knows one filter here, so a
metric's own filter is part of its column: `exact_match` under `strict-match` is the column `exact_match_strict_match`.

Items come from `--metadata '{"data_dir": "DIR"}'`, else `HERL_BENCH_DATA` (either may be `synthetic`), else the hub.

Left out: the task's instruction for chat models (lm-eval's `--system_instruction` is the place for it).
"""

from __future__ import annotations

import atexit
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from typing import Any

from herl_bench.errors import DataError
from herl_bench.evaluation.judging import NO_TEMPLATE, judge_responses
from herl_bench.evaluation.result_files import as_doc, criterion_column
from herl_bench.plugins import load_host
from herl_bench.types import Environment, Example, Metric, Task

log = logging.getLogger("herl_bench")


def name_column(metric: Metric) -> str:
    return metric.name if metric.filter == "none" else f"{metric.name}_{metric.filter.replace('-', '_')}"


_load_host = cache(load_host)


@cache
def find_environment(name: str) -> Environment:
    """A task with what it is judged by, as the host resolves it, without its sandbox."""
    host = _load_host()
    task: Task = host.get("task", name)
    metrics = tuple(host.get("metric", metric) for metric in task.metrics)
    return Environment(task, host.get("rubric", task.rubric), NO_TEMPLATE, metrics)


@cache
def _open_environment(name: str) -> Environment:
    """Its sandbox stays open: lm-eval judges one response at a time, and opening one is dearer than using it."""
    environment = find_environment(name)
    if not environment.task.needs_sandbox:
        return environment
    stack = ExitStack()
    atexit.register(stack.close)
    return replace(environment, sandbox=stack.enter_context(_load_host().get("sandbox", "default").open()))


SHOTS = 64


def offer_documents(name: str, *, shots: bool = False) -> Callable[..., dict[str, Any]]:
    """For `custom_dataset`: a function that gives the task's evaluation items as the split `test`.

    It takes lm-eval's metadata: `data_dir` (a folder, `synthetic` or `hub`; `data` is the same) and `family`, to take
    one family only. shots: also give `SHOTS` training items as the split `train`, for few-shot prompts.
    """

    def custom_dataset(data_dir: str = "", data: str = "", family: str = "", **metadata: Any) -> dict[str, Any]:
        from datasets import Dataset

        place = data_dir or data or "auto"
        items = _read_items(name, place)
        test = [e for e in items if not family or e.info["family"] == family]
        if not test:
            families = ", ".join(sorted({str(e.info["family"]) for e in items}))
            raise DataError(f"{place} has no items of {family}: it has {families}")
        splits = {"test": test, **({"train": _draw_training(name, place)} if shots else {})}
        # Text instead of a mapping, because a table would give every item the keys of all others.
        return {
            split: Dataset.from_list(
                [{**as_doc(e), "info": json.dumps(dict(e.info), ensure_ascii=False)} for e in examples]
            )
            for split, examples in splits.items()
        }

    return custom_dataset


@cache
def _read_items(name: str, place: str) -> tuple[Example, ...]:
    from herl_bench.data.sources import open_eval

    return open_eval(find_environment(name).task, place, embedded=False, eval_items=None).eval


def _draw_training(name: str, place: str) -> tuple[Example, ...]:
    """None where the training file is missing: without few-shot examples nobody needs it."""
    from herl_bench.data.sources import draw_examples

    try:
        return draw_examples(find_environment(name).task, place, SHOTS, embedded=False, seed=0)
    except DataError as error:
        log.warning("no few-shot examples: %s", error)
        return ()


def judge_results(name: str) -> Callable[[Mapping[str, Any], Sequence[Any]], dict[str, float]]:
    """For `process_results`: a function from an item and its response to one number per column.

    What could not be decided is left out; a metric of which more is better is 0: lm-eval's mean is over all items.
    """

    def process_results(doc: Mapping[str, Any], results: Sequence[Any]) -> dict[str, float]:
        environment = _open_environment(name)
        response = results[0] if isinstance(results[0], str) else results[0][0]
        example = Example(doc["id"], doc["prompt"], doc["target"], json.loads(doc["info"]))
        (row,) = judge_responses(environment, [example], [response])
        values: dict[str, float | None] = {}
        for metric in environment.metrics:
            value = row.judgement.metrics[metric.key]
            values[name_column(metric)] = 0.0 if value is None and metric.higher_is_better else value
        values |= {criterion_column(name): met for name, met in row.judgement.criteria.items()}
        return {key: float(value) for key, value in values.items() if value is not None}

    return process_results
