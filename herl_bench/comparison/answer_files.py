"""Read answers that somebody evaluated, item by item: no run, and no training, need belong to them.

    what `herl-bench eval --log_samples` wrote     its folder, its `results_*.json`, or one `samples_*.jsonl`
    what lm-eval wrote with --log_samples          the same
    inspect_ai's logs                              `*.json`, and `*.eval` where its parts are stored or deflated

A folder may hold several tasks; of each the newest evaluation is taken, together with others of the same settings and
another seed, as further samples of each item. Left out: lm-eval's groups, and metrics that are no number per item
(perplexities over a corpus).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from herl_bench.comparison.answer_sets import AnswerSet, ItemAnswers
from herl_bench.comparison.finished_runs import read_criteria
from herl_bench.comparison.inspect_logs import DAMAGED, drop_nan, is_log, open_archive, read_log, shorten_name
from herl_bench.errors import UsageError
from herl_bench.evaluation.result_files import NAMESPACE
from herl_bench.plain_text import flatten
from herl_bench.reading import UNREADABLE, check_regular, read_json, read_json_lines

PATTERNS = ("results_*.json", "samples_*.jsonl", "*.eval")
Values = dict[str, tuple[float | None, ...]]
"""Of one item: by metric key, one per sample."""


def read_answers(place: Path) -> dict[str, AnswerSet]:
    """By task. Raises `UsageError` for what is none of the above, in one line."""
    if not place.exists():
        raise UsageError(f"{place}: no such file or folder")
    sets: dict[str, AnswerSet] = {}
    try:
        for path in _list_files(place):
            for one in _read_file(path):
                older = sets.get(one.task)
                is_other_seed = older and older.settings == one.settings and older.seed != one.seed
                sets[one.task] = _merge_seeds(older, one) if older and is_other_seed else one
    except UsageError:
        raise
    except DAMAGED as error:
        raise UsageError(f"{place}: no zip archive, damaged or cut off: {flatten(str(error))[:200]}") from None
    except UNREADABLE as error:
        why = f"{type(error).__name__}: {flatten(str(error))[:200]}"
        raise UsageError(f"{place}: cannot be read as answers: {why}") from None
    if not sets:
        known = "what herl-bench eval --log_samples, lm-eval --log_samples or inspect wrote"
        raise UsageError(f"{place}: neither a run nor answers: name {known}")
    return sets


def holds_answers(place: Path) -> bool:
    """By the names in it; nothing is read."""
    if place.is_dir():
        return any(next(place.glob(f"{depth}{pattern}"), None) for pattern in PATTERNS for depth in ("", "*/"))
    return any(place.match(pattern) for pattern in PATTERNS)


def _list_files(place: Path) -> list[Path]:
    """The files to read, oldest first."""
    if not place.is_dir():
        return [place]
    inside = [place, *(sub for sub in sorted(place.iterdir()) if sub.is_dir() and not sub.is_symlink())]
    with_files = [(folder, files) for folder in inside if (files := list(_list_folder(folder)))]
    if len(with_files) > 1:
        models = f"{len(with_files)} models ({', '.join(folder.name for folder, _ in with_files[:4])}, …)"
        raise UsageError(f"{place}: it holds the answers of {models}: name one of these folders each")
    return [path for _, files in with_files for path in files]


def _list_folder(folder: Path) -> Iterator[Path]:
    """Samples that stand in a results file come with it."""
    results = sorted(folder.glob("results_*.json"))
    stamps = {path.stem.removeprefix("results_") for path in results}
    yield from results
    yield from (path for path in sorted(folder.glob("samples_*.jsonl")) if path.stem.rpartition("_")[2] not in stamps)
    yield from sorted(folder.glob("*.eval"))
    yield from (path for path in sorted(folder.glob("*.json")) if path not in results and is_log(path))


def _read_file(path: Path) -> Iterator[AnswerSet]:
    if path.suffix == ".eval":
        yield read_log(path, *open_archive(path))
    elif path.suffix == ".jsonl":
        task, _, stamp = path.stem.removeprefix("samples_").rpartition("_")
        beside = path.with_name(f"results_{stamp}.json")
        yield _read_samples(path, task or path.stem, _read_loosely(beside) if task and beside.is_file() else {})
    elif path.suffix == ".json":
        document = _read_loosely(path)
        if isinstance(document, dict) and "eval" in document and "samples" in document:
            yield read_log(path, document, document["samples"] or ())
        elif isinstance(document, dict) and isinstance(document.get("results"), dict):
            yield from _read_results(path, document)
        else:
            raise UsageError(f"{path}: neither results of herl-bench or lm-eval nor a log of inspect's")
    else:
        raise UsageError(f"{path}: neither a run, nor a results_*.json, samples_*.jsonl, or inspect's .json or .eval")


def _read_results(path: Path, results: Mapping[str, Any]) -> Iterator[AnswerSet]:
    stamp = path.stem.removeprefix("results_")
    samples = {task: path.with_name(f"samples_{task}_{stamp}.jsonl") for task in results["results"]}
    if not any(place.is_file() for place in samples.values()):
        raise UsageError(f"{path}: no samples beside it: evaluate with --log_samples")
    for task, place in samples.items():
        if place.is_file():
            yield _read_samples(place, task, results)


def _read_loosely(path: Path) -> Any:
    """lm-eval writes NaN where a metric has none, and that is no number here either."""
    check_regular(path)
    return drop_nan(read_json(path))


def _merge_seeds(first: AnswerSet, second: AnswerSet) -> AnswerSet:
    """Two seeds of one evaluation: every item has the samples of both."""
    theirs = {tuple(one.keys.values()): one for one in second.items}
    if set(theirs) != {tuple(one.keys.values()) for one in first.items}:
        raise UsageError(f"{first.path} and {second.path} are of other items: name one of them")
    merged = []
    for one in first.items:
        other = theirs[tuple(one.keys.values())]
        values = {key: (*value, *other.values[key]) for key, value in one.values.items() if key in other.values}
        merged.append(replace(one, values=values, shared=one.shared + other.shared))
    return replace(first, items=tuple(merged), seed=second.seed)


# ------------------------------------------------------------------------------------------- ours and lm-eval's samples
def _read_samples(path: Path, task: str, results: Mapping[str, Any]) -> AnswerSet:
    rows, values = _gather_rows(path)
    items = tuple(_read_item(row, values[item]) for item, row in rows.items())
    ours = results.get(NAMESPACE, {}) if isinstance(results, dict) else {}
    primary = list((ours.get("summary", {}).get(task) or {}).get("metrics", ()))
    keys = dict.fromkeys([*primary, *(key for own in values.values() for key in own)])
    better = (results.get("higher_is_better") or {}).get(task) or {}
    config = results.get("config") or {}
    name = results.get("model_name") or config.get("model_args") or path.parent.name
    settings = ours.get("settings", {}).get(task) or {
        "gen_kwargs": config.get("gen_kwargs"),
        "num_fewshot": (results.get("n-shot") or {}).get(task),
    }
    seeds = [config.get(f"{kind}_seed") for kind in ("random", "numpy", "torch", "fewshot")]
    return AnswerSet(
        path,
        shorten_name(str(name)),
        task,
        items,
        tuple(key for key in keys if all(key in own for own in values.values())),
        {key: bool(better[metric]) for key in keys if (metric := key.rpartition(",")[0]) in better},
        str((ours.get("data", {}).get(task) or {}).get("source") or ""),
        {key: value for key, value in settings.items() if key != "seed"},
        settings.get("seed", seeds),
    )


def _gather_rows(path: Path) -> tuple[dict[str, dict[str, Any]], dict[str, Values]]:
    """By item: its first filter's row, and with it what is ours; and the values of all filters."""
    rows: dict[str, dict[str, Any]] = {}
    values: dict[str, Values] = {}
    seen: set[tuple[str, str]] = set()
    check_regular(path)
    for number, document in read_json_lines(path):
        try:
            row = drop_nan(document)
            item, filter_name = str(row["doc_id"]), str(row.get("filter", "none"))
            named = [name for name in row.get("metrics") or () if isinstance(row.get(name), (int, float, type(None)))]
        except UNREADABLE as error:
            why = f"{type(error).__name__}: {error}"
            raise UsageError(f"{path}:{number}: not a sample of lm-eval's form: {why}") from None
        if (item, filter_name) in seen:
            raise UsageError(f"{path}:{number}: item {item} ({filter_name}) stands there twice")
        seen.add((item, filter_name))
        rows[item] = {**row, **rows.get(item, {})}
        if NAMESPACE in row:
            rows[item][NAMESPACE] = row[NAMESPACE]
        values.setdefault(item, {}).update({f"{name},{filter_name}": (_check_number(row[name]),) for name in named})
    if not rows:
        raise UsageError(f"{path}: no samples in it")
    return rows, values


def _read_item(row: Mapping[str, Any], values: Values) -> ItemAnswers:
    """values: gets what our own rows say of every response."""
    doc = row["doc"] if isinstance(row.get("doc"), dict) else {}
    request = row.get("arguments")
    prompt = doc.get("prompt") or (request.get("gen_args_0", {}).get("arg_0") if isinstance(request, dict) else None)
    responses = row[NAMESPACE]["responses"] if NAMESPACE in row else ()
    for key in {key for response in responses for key in response["metrics"]}:
        values[key] = tuple(_check_number(response["metrics"].get(key)) for response in responses)
    keys = {"id": doc.get("id", doc.get("task_id")), "doc_hash": row.get("doc_hash"), "doc_id": row["doc_id"]}
    answer = row["resps"] if responses else row.get("filtered_resps") or row.get("resps") or [""]
    return ItemAnswers(
        {name: str(value) for name, value in keys.items() if value is not None},
        str(prompt or ""),
        str(row.get("target", "")),
        tuple(value for value in (*doc.values(), prompt or "") if isinstance(value, str)),
        values,
        _take_text(answer),
        read_criteria(responses[0]["verdicts"]) if responses else {},
        doc["info"] if isinstance(doc.get("info"), dict) else {},
        sum(response.get("integrity", "") == "shared" for response in responses),
    )


def _check_number(value: Any) -> float | None:
    if value is not None and not isinstance(value, (int, float)):
        raise TypeError(f"a metric is a number, not {type(value).__name__}")
    return None if value is None else float(value)


def _take_text(value: Any) -> str:
    while isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
