"""A leaderboard entry as a folder that anybody can check: what a run says of itself, its evaluations with every response, and their hashes.

    BUNDLE/
      bundle.json      what is claimed (task, method, seed, base model, budget, scores) and the sha256 of every other file
      config.yaml manifest.json metrics.jsonl final/config.json    as in the run
      rubric.yaml      where the run's rubric was a file
      eval/before/ eval/after/                   as in the run: results and samples

`verify` believes none of them: it hashes the files, judges every response again, sums up anew, and compares each number with every place where it
stands. So an edited response is found by its score, or by its hash, and both need a forger who computes everything anew.

What it cannot catch: responses that no such policy wrote, if they are judged truthfully; a budget, seed, command or base model that was forged in
every file at once; reference answers, where the items' source is not at hand. For those an entry has to be run again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from herl_bench.compare.read import FinishedRun, read_run, spent
from herl_bench.errors import DataError, SaveError, UsageError
from herl_bench.evaluate.core import Tally
from herl_bench.evaluate.files import NAMESPACE, doc_of
from herl_bench.evaluate.rescore import Job, places_of, rescore
from herl_bench.evaluate.stored import Items
from herl_bench.saving import saving, write_whole
from herl_bench.settings import read_yaml
from herl_bench.types import Metric, Rubric, Task

CLAIMS = "bundle.json"
FORMAT = 1
CLOSE = 1e-9
MOST = 20
"""Problems that are named per kind and file; the rest are counted."""


@dataclass(frozen=True)
class Judge:
    """What responses are judged with. items: their source, or None to take the items from the bundle itself. jobs: processes."""

    task: Task
    rubric: Rubric
    metrics: tuple[Metric, ...]
    sandbox: Callable[..., Any] | None = None
    items: Callable[[], Items] | None = None
    jobs: int = 1


# -------------------------------------------------------------------------------------------------------------------- bundling
def make(run: Path, target: Path) -> Path:
    """Copy what an entry consists of. Raises `UsageError` for a run that has not ended, or a target that is not empty."""
    read = read_run(run)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is not an empty folder: name another one")
    files = ["config.yaml", "manifest.json", "metrics.jsonl", "final/config.json"]
    for label in ("before", "after"):
        files += [
            str(path.relative_to(run)) for kind in ("results_*.json", "samples_*.jsonl") for path in _newest(run / "eval" / label, kind)
        ]
    with saving(target):
        for name in files:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(run / name, target / name)
        rubric = Path(str(read.settings.get("rubric") or ""))
        if rubric.suffix in (".yaml", ".yml"):
            if not rubric.is_file():
                raise SaveError(f"the run's rubric {rubric} is gone: an entry cannot be verified without it")
            shutil.copyfile(rubric, target / "rubric.yaml")
            files.append("rubric.yaml")
    said = {"format": FORMAT, "entry": claims(read), "files": {name: _sha256(target / name) for name in sorted(files)}}
    write_whole(target / CLAIMS, json.dumps(said, indent=2, ensure_ascii=False) + "\n")
    return target


def claims(run: FinishedRun) -> dict[str, Any]:
    """What an entry says, all of it taken from the run's own files."""
    used = spent(run)
    return {
        "task": run.task,
        "method": run.method,
        "seed": run.seed,
        "model": run.settings["model"],
        "base_model": run.manifest["base_model"]["sha256"],
        "data": {"source": run.manifest["data"]["source"], "sha256": run.manifest["data"]["sha256"]},
        "budget": run.settings["budget"],
        "spent": {name: getattr(used, name) for name in ("tokens", "rollouts", "reward_calls", "optimizer_steps")},
        "scores": {label: getattr(run, label).summary["metrics"] for label in ("before", "after")},
    }


def _newest(folder: Path, pattern: str) -> list[Path]:
    return sorted(folder.glob(pattern))[-1:]


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


# -------------------------------------------------------------------------------------------------------------------- verifying
def settings_of(bundle: Path) -> dict[str, Any]:
    """Its config.yaml. Raises `UsageError` for a folder that is no bundle."""
    if not (bundle / CLAIMS).is_file():
        raise UsageError(f"{bundle}: no {CLAIMS} there: name a folder that herl-bench leaderboard bundle wrote")
    if not (bundle / "config.yaml").is_file():
        raise UsageError(f"{bundle}: config.yaml is missing: without it nothing can be verified")
    return read_yaml(str(bundle / "config.yaml"))


def verify(bundle: Path, judge: Judge) -> list[str]:
    """Everything that is wrong with the entry, each in one line that names file and place; empty where nothing is."""
    try:
        said = json.loads((bundle / CLAIMS).read_text(encoding="utf-8"))
        hashes, entry = dict(said["files"]), dict(said["entry"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{CLAIMS}: cannot be read: {type(error).__name__}: {error}"]
    found = list(_hashed(bundle, hashes))
    try:
        run = read_run(bundle)
    except UsageError as error:
        return [*found, str(error)]
    found += _claimed(entry, claims(run))
    found += _consistent(run)
    for label in ("before", "after"):
        found += _limited(list(_rescored(bundle, label, judge)))
    return found


def _hashed(bundle: Path, hashes: Mapping[str, str]) -> Iterator[str]:
    there = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()} - {CLAIMS}
    for name in sorted(hashes):
        if name not in there:
            yield f"{name}: missing"
        elif _sha256(bundle / name) != hashes[name]:
            yield f"{name}: changed since it was bundled (sha256 differs)"
    for name in sorted(there - set(hashes)):
        yield f"{name}: not part of the bundle ({CLAIMS} does not list it)"


def _claimed(entry: Mapping[str, Any], actual: Mapping[str, Any], where: str = "entry") -> Iterator[str]:
    """Each value of bundle.json against the run's files."""
    for name in sorted({*entry, *actual}):
        here, there = entry.get(name), actual.get(name)
        if isinstance(here, dict) and isinstance(there, dict):
            yield from _claimed(here, there, f"{where}.{name}")
        elif here != there:
            yield f"{CLAIMS}: {where}.{name} is {here!r}, the run's files say {there!r}"


def _consistent(run: FinishedRun) -> Iterator[str]:
    """What one file of the run says against another."""
    manifest, settings, rows = run.manifest, run.settings, run.rows
    items = manifest["data"].get("eval_items")
    if items != len(run.after.samples):
        yield f"manifest.json: data.eval_items is {items!r}, the samples are {len(run.after.samples)}"
    if manifest["base_model"].get("name") != settings["model"]:
        yield f"manifest.json: base_model.name is {manifest['base_model'].get('name')!r}, config.yaml says {settings['model']!r}"
    if manifest["data"].get("source") != settings["data"]:
        yield f"manifest.json: data.source is {manifest['data'].get('source')!r}, config.yaml says {settings['data']!r}"
    for name in ("tokens", "rollouts", "reward_calls", "optimizer_steps"):
        if any(later[name] < earlier[name] for earlier, later in pairwise(rows)):
            yield f"metrics.jsonl: {name} falls from one step to a later one"
    if [row["step"] for row in rows] != list(range(1, len(rows) + 1)):
        yield "metrics.jsonl: steps are missing or out of order"
    longest = max(float(row.get("response_tokens") or 0) for row in rows)
    if rows[-1]["tokens"] > 1.1 * int(settings["budget"]) + longest:
        yield f"metrics.jsonl: {rows[-1]['tokens']:,} tokens were spent, config.yaml allows {settings['budget']:,}"


def _rescored(bundle: Path, label: str, judge: Judge) -> Iterator[str]:
    """Judge every response again, and compare with everything that was said of it."""
    path = _newest(bundle / "eval" / label, "samples_*.jsonl")[0]
    name = str(path.relative_to(bundle))
    stored = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    ours = {row["doc"]["id"]: row for row in stored if NAMESPACE in row}
    for row in stored:
        yield from _hashes_of(row, name)
    try:
        _, places = places_of(path, judge.items or (lambda: Items("", ())), own=judge.items is None, allow_duplicates=False)
    except DataError as error:
        yield str(error)
        return
    for place in places:
        if place.example is not None and (row := ours.get(place.example.id)) is not None and row["doc"] != _plain(doc_of(place.example)):
            yield f"{name}: {place.example.id}: the problem or its reference answer is not the one of the source"
    tally = Tally(judge.rubric, judge.metrics)
    job = Job(path, places, judge.task, judge.rubric, judge.metrics, judge.sandbox, rows=True)
    by_item: dict[str, list[Mapping[str, float | None]]] = {}
    for _, part, lines in rescore(job, judge.jobs):
        tally.merge(part)
        for line in map(json.loads, lines):
            by_item.setdefault(line["id"], []).append(line["metrics"])
            yield from _compared(ours[line["id"]], line, name)
    for row in stored:
        for metric in judge.metrics:
            again = [value for m in by_item[row["doc"]["id"]] if (value := m[metric.key]) is not None]
            if (
                row["filter"] == metric.filter
                and metric.name in row
                and _differ(row[metric.name], sum(again) / len(again) if again else None)
            ):
                yield f"{name}: {row['doc']['id']}: column {metric.name} ({metric.filter}) is {row[metric.name]}, re-scored {again}"
    yield from _summed_up(bundle, label, judge.task.name, tally)


def _hashes_of(row: Mapping[str, Any], name: str) -> Iterator[str]:
    """lm-eval's own three hashes of a row."""
    doc = row["doc"]
    texts = {
        "doc_hash": json.dumps(doc, indent=2, ensure_ascii=False),
        "prompt_hash": row["arguments"]["gen_args_0"]["arg_0"],
        "target_hash": row["target"],
    }
    for field, text in texts.items():
        if row[field] != hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest():
            yield f"{name}: {doc['id']}: {field} is not the hash of what stands there"


def _compared(row: Mapping[str, Any], again: Mapping[str, Any], name: str) -> Iterator[str]:
    place, said = f"{name}: {again['id']}", row[NAMESPACE]["responses"][again["sample"]]
    for key, value in again["metrics"].items():
        if _differ(said["metrics"].get(key), value):
            yield f"{place}: {key} is {said['metrics'].get(key)}, re-scored {value}"
    if _differ(said["reward"], again["reward"]):
        yield f"{place}: reward is {said['reward']}, re-scored {again['reward']}"
    verdicts = [(v["criterion"], v["part"], v["met"]) for v in said["verdicts"]]
    if verdicts != [(v["criterion"], v["part"], v["met"]) for v in again["verdicts"]]:
        yield f"{place}: the verdicts on its criteria are others when it is judged again"


def _summed_up(bundle: Path, label: str, task: str, tally: Tally) -> Iterator[str]:
    path = _newest(bundle / "eval" / label, "results_*.json")[0]
    name, results, summary = str(path.relative_to(bundle)), json.loads(path.read_text(encoding="utf-8")), tally.summary()
    said = results[NAMESPACE]["summary"][task]
    groups = {"metrics": summary.metrics, "criteria": summary.criteria, "planted": summary.planted, "families": summary.families}
    for group, scores in groups.items():
        for key, score in scores.items():
            for field in ("value", "stderr", "items"):
                stood = (said.get(group) or {}).get(key, {}).get(field)
                if _differ(stood, getattr(score, field)):
                    yield f"{name}: {group} {key}: {field} is {stood}, from the responses {getattr(score, field)}"
    for key, score in summary.metrics.items():
        stood = results["results"][task].get(key)
        if _differ(None if stood == "N/A" else stood, score.value):
            yield f"{name}: results {key} is {stood}, from the responses {score.value}"
    if _differ(said["reward"]["value"], summary.reward.value):
        yield f"{name}: reward is {said['reward']['value']}, from the responses {summary.reward.value}"


def _plain(value: Any) -> Any:
    """As it comes back from a JSON file."""
    return json.loads(json.dumps(value))


def _differ(a: Any, b: Any) -> bool:
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return abs(a - b) > CLOSE
    return a is not b and a != b


def _limited(found: list[str]) -> list[str]:
    return found if len(found) <= MOST else [*found[:MOST], f"… and {len(found) - MOST} more like these"]
