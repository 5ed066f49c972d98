"""Judge the stored responses of a bundle's evaluation again, and compare with everything that its files say of them:
each row with itself, rows with each other, responses with their verdicts, sums with responses.

Every function yields problems, each a line that begins with the file. Numbers are equal up to `CLOSE`. Left out: in
which process, and what else a bundle holds (`verification.py`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from herl_bench.comparison.finished_runs import FinishedRun, find_newest
from herl_bench.data.examples import digest_items
from herl_bench.evaluation import result_files
from herl_bench.evaluation.rescore import Job, find_places, rescore
from herl_bench.evaluation.result_files import NAMESPACE, criterion_column
from herl_bench.evaluation.scores import mean
from herl_bench.evaluation.stored_responses import Items
from herl_bench.evaluation.tally import Summary, Tally
from herl_bench.leaderboard.bundle import RESULTS, SAMPLES
from herl_bench.reading import read_json, read_rows
from herl_bench.runs import RunFiles
from herl_bench.types import Environment, Example, Metric

CLOSE = 1e-9
LATER: dict[str, Any] = {"undecided": 0, "shared": 0, "guides": []}
"""What older files do not have; they had none of any."""
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Referee:
    """What judges a bundle's responses again. environment: without a sandbox; open_sandbox: gives one per process, None
    where no code is run. items: their source, None to take them from the bundle itself. jobs: processes."""

    environment: Environment
    open_sandbox: Callable[..., Any] | None = None
    items: Callable[[], Items] | None = None
    jobs: int = 1


def rejudge(bundle: Path, label: str, referee: Referee, run: FinishedRun) -> Iterator[str]:
    """label: `before` or `after`."""
    folder, environment = RunFiles(bundle).evaluation(label), referee.environment
    path = find_newest(folder, SAMPLES)
    name, rows = str(path.relative_to(bundle)), list(read_rows(path))
    ours = {row["doc"]["id"]: row for row in rows if NAMESPACE in row}
    examples = [Example(**row["doc"]) for row in ours.values()]
    if run.settings["data"] == "synthetic" and run.manifest["data"]["sha256"] != {"eval": digest_items(examples)}:
        yield f"{name}: the items are not those of manifest.json (data.sha256.eval)"
    for row in rows:
        yield from _check_row(row, name)
    yield from _check_order(rows, name, environment.metrics)
    items = referee.items or partial(Items, "", ())
    _, places = find_places(path, items, own=referee.items is None, allow_duplicates=False)
    for example in (place.example for place in places):
        told = ours.get(example.id) if example is not None else None
        if example is not None and told is not None and told["doc"] != as_json(result_files.as_doc(example)):
            yield f"{name}: {example.id}: the problem or its reference answer is not the one of the source"
    tally = Tally(environment.rubric, environment.metrics)
    judged: dict[str, list[Row]] = {}
    for _, part, lines in rescore(Job(path, places, environment, referee.open_sandbox, rows=True), referee.jobs):
        tally.merge(part)
        for again in map(json.loads, lines):
            judged.setdefault(again["id"], []).append(again)
            yield from _compare_response(ours[again["id"]], again, name, evidence=referee.open_sandbox is None)
    for row in rows:
        yield from _check_columns(row, judged[row["doc"]["id"]], environment, name)
    path = find_newest(folder, RESULTS)
    results, name = read_json(path, strict=True), str(path.relative_to(bundle))
    summary = tally.summary()
    yield from _check_sums(results, name, environment, summary)
    yield from _check_facts(results, name, label, environment, run, rows, summary.items)


# ----------------------------------------------------------------------------------------------------------------- rows
def _check_row(row: Row, name: str) -> Iterator[str]:
    """What one row says twice."""
    doc, arguments = row["doc"], row["arguments"]["gen_args_0"]
    place = f"{name}: {doc['id']}"
    texts = {
        "doc_hash": json.dumps(doc, indent=2, ensure_ascii=False),
        "prompt_hash": arguments["arg_0"],
        "target_hash": row["target"],
    }  # lm-eval's own three
    for field, text in texts.items():
        if row[field] != hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest():
            yield f"{place}: {field} is not the hash of what stands there"
    if row["target"] != doc["target"]:
        yield f"{place}: target is not the one of its doc"
    if doc["prompt"].strip() not in arguments["arg_0"]:  # a chat template stands around it, and may strip it
        yield f"{place}: the prompt in its arguments is not the one of its doc"
    if row["filtered_resps"] != row["resps"][0]:
        yield f"{place}: filtered_resps are not its responses"
    if row.get(NAMESPACE, doc)["id"] != doc["id"]:
        yield f"{place}: {NAMESPACE}.id is another item's"


def _check_order(rows: Sequence[Row], name: str, metrics: Sequence[Metric]) -> Iterator[str]:
    """One row per item and filter, items in order, all generated in one way."""
    filters: dict[str, list[str]] = {}
    for row in rows:
        item = row["doc"]["id"]
        filters.setdefault(item, []).append(row["filter"])
        if type(row["doc_id"]) is not int or row["doc_id"] != len(filters) - 1:
            yield f"{name}: {item}: doc_id is {row['doc_id']!r}, its place is {len(filters) - 1}"
        if _read_generation(row) != _read_generation(rows[0]):
            yield f"{name}: {item}: its answer was generated in another way than the first"
    wanted = result_files.list_filters(metrics)
    for item, found in filters.items():
        if found != wanted:
            yield f"{name}: {item}: its rows have the filters {', '.join(map(str, found))}, not {', '.join(wanted)}"


def _read_generation(row: Row) -> Any:
    return row["arguments"]["gen_args_0"]["arg_1"]


def _compare_response(row: Row, again: Row, name: str, *, evidence: bool) -> Iterator[str]:
    """evidence: compare it too; a program's may hold what changes from run to run, such as addresses."""
    place, stored = f"{name}: {again['id']}", row[NAMESPACE]["responses"][again["sample"]]
    for key in [*again["metrics"], *(key for key in stored["metrics"] if key not in again["metrics"])]:
        if _differ(stored["metrics"].get(key), again["metrics"].get(key)):
            yield f"{place}: {key} is {stored['metrics'].get(key)}, re-scored {again['metrics'].get(key)}"
    if _differ(stored["reward"], again["reward"]):
        yield f"{place}: reward is {stored['reward']}, re-scored {again['reward']}"
    for key in ("extracted", "status", *["integrity"] * ("integrity" in stored), *["errors"] * evidence):
        if stored[key] != again[key]:
            yield f"{place}: {key} is {stored[key]!r}, re-scored {again[key]!r}"
    verdicts, judged = ([(v["criterion"], v["part"], v["met"]) for v in one["verdicts"]] for one in (stored, again))
    if verdicts != judged:
        yield f"{place}: the verdicts on its criteria are others when it is judged again"
    if evidence and verdicts == judged:
        stored_evidence = [v["evidence"] or v["error"] for v in stored["verdicts"]]
        if stored_evidence != [v["evidence"] for v in again["verdicts"]]:
            yield f"{place}: the evidence of its verdicts is another when it is judged again"


def _check_columns(row: Row, judged: Sequence[Row], environment: Environment, name: str) -> Iterator[str]:
    """The means that stand in a row. judged: its item's responses."""
    metrics = [metric for metric in environment.metrics if metric.filter == row["filter"]]
    columns = {metric.name: [again["metrics"][metric.key] for again in judged] for metric in metrics}
    if row["filter"] == "none":
        names = [criterion.name for criterion in environment.rubric.criteria]
        columns |= {criterion_column(name): [again["criteria"].get(name) for again in judged] for name in names}
    for column, values in columns.items():
        right = mean(values)
        if column not in row or _differ(row[column], right):
            place = f"{name}: {row['doc']['id']}: column {column} ({row['filter']})"
            yield f"{place} is {row.get(column)}, re-scored {right}"


# ----------------------------------------------------------------------------------------------------------------- sums
def _check_sums(results: Any, name: str, environment: Environment, summary: Summary) -> Iterator[str]:
    task, again = environment.task.name, asdict(summary)
    again.pop("shortened")  # the samples do not say
    again["guides"] = list(again["guides"])  # as JSON reads it
    stored = results[NAMESPACE]["summary"][task]
    yield from _compare_sums(stored, again, name)
    if list(stored["metrics"]) != list(again["metrics"]):
        yield f"{name}: metrics are in another order than the task's: the first one ranks"
    scores, right_scores = results["results"][task], result_files.scores_by_key(summary)
    for key, number in right_scores.items():
        if _differ(scores.get(key), number):
            yield f"{name}: results {key} is {scores.get(key)}, from the responses {number}"
    for key in scores:
        if "," in key and key not in right_scores:
            yield f"{name}: results {key}: no metric of the task"


def _compare_sums(stored: Row, again: Row, name: str, *where: str) -> Iterator[str]:
    """Every number of a summary, and none that its responses do not give."""
    for key in [*again, *(key for key in stored if key not in again and key != "shortened")]:
        number, right = stored.get(key, LATER.get(key)), again.get(key)
        if isinstance(number, dict) and isinstance(right, dict):
            yield from _compare_sums(number, right, name, *where, key)
        elif _differ(number, right):
            yield f"{name}: {' '.join(where)}{': ' if where else ''}{key} is {number}, from the responses {right}"


def _check_facts(
    results: Any, name: str, label: str, environment: Environment, run: FinishedRun, rows: Sequence[Row], items: int
) -> Iterator[str]:
    """What a results file says besides its numbers. items: how many were judged."""
    task, rubric, ours = environment.task.name, environment.rubric, results[NAMESPACE]
    better = {metric.name: metric.higher_is_better for metric in environment.metrics}
    better |= {criterion_column(criterion.name): True for criterion in rubric.criteria}
    hashes = "".join(row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in rows)  # as lm-eval has it
    facts = {
        "sample_len": (results["results"][task]["sample_len"], items),
        "n-samples.effective": (results["n-samples"][task]["effective"], items),
        "higher_is_better": (results["higher_is_better"][task], better),
        "task_hashes": (results["task_hashes"][task], hashlib.sha256(hashes.encode()).hexdigest()),
        "model_name": (results["model_name"], run.settings["model"]),
        f"{NAMESPACE}.rubric": (ours["rubric"][task], rubric.name),
        f"{NAMESPACE}.config.label": (ours["config"]["label"], label),
        f"{NAMESPACE}.settings": (result_files.generation_kwargs(ours["settings"][task]), _read_generation(rows[0])),
    }
    for key, (stored, right) in facts.items():
        if stored != right:
            yield f"{name}: {key} is {stored!r}, the other files say {right!r}"


def as_json(value: Any) -> Any:
    """As it comes back from a JSON file."""
    return json.loads(json.dumps(value))


def _differ(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is not b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return not abs(a - b) <= CLOSE  # NaN is not close to anything
    return bool(a != b)
