"""A leaderboard entry as a folder that anybody can check: what a run says of itself, its evaluations with every
response, and their hashes.

    BUNDLE/
      bundle.json      what is claimed (task, method, seed, base model, budget, scores) and the sha256 of every other file
      config.yaml manifest.json metrics.jsonl final/config.json    as in the run
      rubric.yaml      where the run's rubric was a file
      eval/before/ eval/after/                   as in the run: results and samples

It names a folder of the publisher's machine by its last part alone. `verify` believes none of them: it hashes the
files, judges every response again, sums up anew, and compares each number with every place where it stands. So an
edited response is found by its score, or by its hash, and both need a forger who computes everything anew.
`verify_apart` does so in a process with bounded time and memory, for whatever a stranger's files make happen.

What it cannot catch: responses that no such policy wrote, if they are judged truthfully; a budget, seed, command or
base model that was forged in every file at once; reference answers, where the items' source is not at hand. For those
an entry has to be run again.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from itertools import pairwise
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from herl_bench.bounded import lower_limit
from herl_bench.compare.finished_runs import FinishedRun, read_run, read_settings, spent
from herl_bench.data.examples import digest_items
from herl_bench.errors import HerlBenchError, NoSandbox, SaveError, UsageError
from herl_bench.evaluate.judging import NO_TEMPLATE
from herl_bench.evaluate.rescore import Job, find_places, rescore
from herl_bench.evaluate.result_files import (
    NAMESPACE,
    as_doc,
    criterion_column,
    generation_kwargs,
    list_filters,
    sanitize_name,
    scores_by_key,
)
from herl_bench.evaluate.stored_responses import Items
from herl_bench.evaluate.tally import Summary, Tally
from herl_bench.plain_text import flatten
from herl_bench.reading import UNREADABLE, read_json, read_rows
from herl_bench.rubric import digest_rubric
from herl_bench.saving import saving, write_whole
from herl_bench.types import Environment, Example, Metric, Rubric, Task

CLAIMS = "bundle.json"
FORMAT = 1
CLOSE = 1e-9
MOST = 20
"""Problems that are named per kind and file; the rest are counted."""
LONGEST = 400
"""Characters of a line that names a problem: what stands in a bundle may be of any length."""
PARTS = re.compile(
    r"config\.yaml|manifest\.json|metrics\.jsonl|rubric\.yaml|final/config\.json|eval/(before|after)/(results_[^/]*\.json|samples_[^/]*\.jsonl)"
)
SECONDS, MEMORY = 1800.0, 16 << 30
"""What verifying one entry may take: seconds, and bytes of address space in each of its processes."""
FOLDERS = re.compile(r"(?<![\w./:~])(?:~|\.\.)?/(?:[^\s/'\"]+/)+")
LATER = ("undecided", "shared")
"""Numbers that older files do not have; they had none of either."""
COUNTS = ("tokens", "rollouts", "reward_calls", "optimizer_steps")


@dataclass(frozen=True)
class Judge:
    """What responses are judged with. items: their source, or None to take the items from the bundle itself. jobs:
    processes."""

    task: Task
    rubric: Rubric
    metrics: tuple[Metric, ...]
    sandbox: Callable[..., Any] | None = None
    items: Callable[[], Items] | None = None
    jobs: int = 1


# ------------------------------------------------------------------------------------------------------------- bundling
def make(run: Path, target: Path) -> Path:
    """Copy what an entry consists of. Raises `UsageError` for a run that has not ended, or a target that is not
    empty."""
    read = read_run(run)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target} is not an empty folder: name another one")
    files = ["config.yaml", "manifest.json", "metrics.jsonl", "final/config.json"]
    for label in ("before", "after"):
        files += [
            str(path.relative_to(run))
            for kind in ("results_*.json", "samples_*.jsonl")
            for path in _newest(run / "eval" / label, kind)
        ]
    with saving(target):
        for name in files:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            _copied(run / name, target / name)
        rubric = Path(str(read.settings.get("rubric") or ""))
        if rubric.suffix in (".yaml", ".yml"):
            if not rubric.is_file():
                raise SaveError(f"the run's rubric {rubric} is gone: an entry cannot be verified without it")
            shutil.copyfile(rubric, target / "rubric.yaml")
            files.append("rubric.yaml")
    said = {
        "format": FORMAT,
        "entry": claims(read_run(target)),
        "files": {name: _sha256(target / name) for name in sorted(files)},
    }
    write_whole(target / CLAIMS, json.dumps(said, indent=2, ensure_ascii=False) + "\n")
    return target


def _copied(source: Path, target: Path) -> None:
    """As it is; but what names a folder of this machine does so by its last part. Prompts and answers are never
    touched."""
    if source.name == "config.yaml":
        import yaml

        write_whole(
            target, yaml.safe_dump(local_names(read_settings(source.parent)), sort_keys=False, allow_unicode=True)
        )
    elif source.name == "manifest.json":
        write_whole(
            target, json.dumps(local_names(read_json(source, strict=True)), indent=2, ensure_ascii=False) + "\n"
        )
    elif source.suffix == ".json" and source.name.startswith("results_"):
        said = read_json(source, strict=True)
        name = local_names(said["model_name"])
        said |= {"model_name": name, "model_name_sanitized": sanitize_name(name), "config": local_names(said["config"])}
        said[NAMESPACE] |= {
            key: local_names(said[NAMESPACE][key]) for key in ("data", "config") if key in said[NAMESPACE]
        }
        write_whole(target, json.dumps(said, indent=2, ensure_ascii=False) + "\n")
    else:
        shutil.copyfile(source, target)


def local_names(value: Any) -> Any:
    """Paths to folders of a machine by their last part alone, so that what is published tells nothing of where it was
    made."""
    if isinstance(value, str):
        return FOLDERS.sub("", value)
    if isinstance(value, Mapping):
        return {key: local_names(inner) for key, inner in value.items()}
    return [local_names(inner) for inner in value] if isinstance(value, (list, tuple)) else value


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
        "spent": {name: getattr(used, name) for name in COUNTS},
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


# ------------------------------------------------------------------------------------------------------------ verifying
def settings_of(bundle: Path) -> dict[str, Any]:
    """Its config.yaml. Raises `UsageError` for a folder that is no bundle."""
    if not (bundle / CLAIMS).is_file():
        raise UsageError(f"{bundle}: no {CLAIMS} there: name a folder that herl-bench leaderboard bundle wrote")
    if not (bundle / "config.yaml").is_file():
        raise UsageError(f"{bundle}: config.yaml is missing: without it nothing can be verified")
    return read_settings(bundle)


def verify_apart(
    bundle: Path, judge: Callable[[], Judge], seconds: float = SECONDS, memory: int = MEMORY
) -> tuple[list[str], bool]:
    """`verify` in a process of its own, and whether the items came from their source. judge: called there.

    A stranger's rubric may hold a pattern that never ends, and a stranger's file whatever fills a memory: time and
    memory are bounded, and running out of either is one problem more. Raises `HerlBenchError` for what is no fault of
    the bundle's, and `UsageError` for what is no bundle.
    """
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=_verify_here, args=(there, bundle, judge, memory))
    process.start()
    there.close()
    try:
        if not here.poll(seconds):
            return [
                f"verifying it took more than {seconds:g} seconds: a pattern that never ends, or too much of something"
            ], False
        said = json.loads(here.recv_bytes())
    except EOFError:
        process.join(10)
        code = process.exitcode or 0
        ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return [f"verifying it ended by {ended}, perhaps for lack of memory"], False
    finally:
        here.close()
        for end in (lambda: os.killpg(process.pid or 0, signal.SIGKILL), process.kill):
            with suppress(ProcessLookupError, PermissionError):
                end()
        process.join()
    if said["error"]:
        raise {2: UsageError, 3: NoSandbox}.get(said["code"], HerlBenchError)(said["error"])
    return said["problems"], said["items_checked"]


def _verify_here(answer: Connection, bundle: Path, judge: Callable[[], Judge], memory: int) -> None:
    os.setsid()  # so that whatever it starts ends with it
    lower_limit(resource.RLIMIT_AS, memory)
    said: dict[str, Any] = {"error": "", "code": 0, "problems": [], "items_checked": False}
    try:
        own = judge()
        said = {**said, "problems": verify(bundle, own), "items_checked": own.items is not None}
    except HerlBenchError as error:
        said = {**said, "error": _shortened(str(error)), "code": error.exit_code}
    except Exception as error:
        said["problems"] = [_shortened(f"cannot be verified: {type(error).__name__}: {error}")]
    answer.send_bytes(json.dumps(said).encode())


def verify(bundle: Path, judge: Judge) -> list[str]:
    """Everything that is wrong with the entry, each in one line that names file and place; empty where nothing is."""
    return [_shortened(inside(bundle, problem)) for problem in _problems(bundle, judge)]


def inside(bundle: Path, line: str) -> str:
    """The line without the way to the bundle, which stands before it."""
    return line.removeprefix(f"{bundle}: ").replace(f"{bundle}/", "")


def _problems(bundle: Path, judge: Judge) -> Iterator[str]:
    strange = list(_strange(bundle))
    yield from strange
    if strange:  # nothing is read through a link, or from what may never end
        return
    try:
        said = read_json(bundle / CLAIMS, strict=True)
        hashes, entry, version = dict(said["files"]), dict(said["entry"]), said.get("format")
    except (UsageError, *UNREADABLE) as error:
        yield f"{CLAIMS}: cannot be read: {type(error).__name__}: {error}"
        return
    if version != FORMAT:
        yield (
            f"{CLAIMS}: format is {version!r}, and this version of herl-bench reads {FORMAT}: verify it with the"
            " version that wrote it"
        )
        return
    yield from (f"{CLAIMS}: {name}: not part of an entry" for name in sorted(set(said) - {"format", "entry", "files"}))
    yield from _hashed(bundle, hashes)
    try:
        run = read_run(bundle)
    except UsageError as error:
        yield str(error)
        return
    yield from _guarded(CLAIMS, lambda: _claimed(entry, _plain(claims(run))))
    yield from _guarded("manifest.json, metrics.jsonl or config.yaml", lambda: _consistent(run, judge))
    for label in ("before", "after"):
        yield from _limited(_guarded(f"eval/{label}", partial(_rescored, bundle, label, judge, run)))


def _guarded(where: str, check: Callable[[], Iterator[str]]) -> Iterator[str]:
    """A forger's file may have any shape; one that a check cannot go through is a problem like others."""
    try:
        yield from check()
    except UsageError as error:
        yield str(error)
    except UNREADABLE as error:
        yield f"{where}: not as a run writes it: {type(error).__name__}: {error}"


def _shortened(problem: str) -> str:
    """Without what moves a terminal's cursor, and not endless."""
    line = flatten(problem)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} …"


def _strange(bundle: Path) -> Iterator[str]:
    for path in sorted(bundle.rglob("*")):
        if path.is_symlink():
            yield f"{path.relative_to(bundle)}: a link: a bundle holds its files itself"
        elif not (path.is_file() or path.is_dir()):
            yield f"{path.relative_to(bundle)}: neither a file nor a folder"


def _hashed(bundle: Path, hashes: Mapping[str, str]) -> Iterator[str]:
    there = {str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()} - {CLAIMS}
    for name in sorted(hashes):
        if name not in there:
            yield f"{name}: missing"
        elif _sha256(bundle / name) != hashes[name]:
            yield f"{name}: changed since it was bundled (sha256 differs)"
        elif not PARTS.fullmatch(name):
            yield f"{name}: not part of a bundle, although {CLAIMS} lists it"
    for name in sorted(there - set(hashes)):
        yield f"{name}: not part of the bundle ({CLAIMS} does not list it)"
    for label in ("before", "after"):
        for pattern in ("results_*.json", "samples_*.jsonl"):
            if len(found := sorted(path.name for path in (bundle / "eval" / label).glob(pattern))) > 1:
                yield f"eval/{label}: one file of each kind, not {' and '.join(found)}"


def _claimed(entry: Mapping[str, Any], actual: Mapping[str, Any], where: str = "entry") -> Iterator[str]:
    """Each value of bundle.json against the run's files."""
    for name in sorted({*entry, *actual}):
        here, there = entry.get(name), actual.get(name)
        if isinstance(here, dict) and isinstance(there, dict):
            yield from _claimed(here, there, f"{where}.{name}")
        elif json.dumps(here, sort_keys=True) != json.dumps(there, sort_keys=True):  # which tells 0 from false
            yield f"{CLAIMS}: {where}.{name} is {here!r}, the run's files say {there!r}"


def _consistent(run: FinishedRun, judge: Judge) -> Iterator[str]:
    """What one file of the run says against another."""
    manifest, settings, rows = run.manifest, run.settings, run.rows
    rubric = manifest.get("rubric")
    if rubric is not None and rubric != {"name": judge.rubric.name, "sha256": digest_rubric(judge.rubric)}:
        yield (
            f"manifest.json: the run was judged by another rubric than {judge.rubric.name} as it is here: its criteria"
            " differ"
        )
    items = manifest["data"].get("eval_items")
    if items != len(run.after.samples):
        yield f"manifest.json: data.eval_items is {items!r}, the samples are {len(run.after.samples)}"
    if manifest["base_model"].get("name") != settings["model"]:
        yield (
            f"manifest.json: base_model.name is {manifest['base_model'].get('name')!r}, config.yaml says"
            f" {settings['model']!r}"
        )
    if manifest["data"].get("source") != settings["data"]:
        yield f"manifest.json: data.source is {manifest['data'].get('source')!r}, config.yaml says {settings['data']!r}"
    for name in COUNTS:
        if not all(type(row[name]) is int and row[name] >= 0 for row in rows):
            yield f"metrics.jsonl: {name} is not a whole number in every step"
        elif any(later[name] < earlier[name] for earlier, later in pairwise(rows)):
            yield f"metrics.jsonl: {name} falls from one step to a later one"
    longest = int(run.after.generation["max_gen_toks"])
    lengths = [row["response_tokens"] for row in rows if "response_tokens" in row]
    if len(lengths) not in (0, len(rows)) or not all(
        type(length) in (int, float) and 0 <= length <= longest for length in lengths
    ):
        yield f"metrics.jsonl: response_tokens is not between 0 and {longest}, the longest answer, in every step"
    if rows[-1]["tokens"] > 1.1 * int(settings["budget"]) + longest:
        yield f"metrics.jsonl: {rows[-1]['tokens']:,} tokens were spent, config.yaml allows {settings['budget']:,}"


def _rescored(bundle: Path, label: str, judge: Judge, run: FinishedRun) -> Iterator[str]:
    """Judge every response again, and compare with everything that was said of it."""
    path = _newest(bundle / "eval" / label, "samples_*.jsonl")[0]
    name = str(path.relative_to(bundle))
    stored = list(read_rows(path))
    ours = {row["doc"]["id"]: row for row in stored if NAMESPACE in row}
    own = [Example(**row["doc"]) for row in ours.values()]
    if run.settings["data"] == "synthetic" and run.manifest["data"]["sha256"] != {"eval": digest_items(own)}:
        yield f"{name}: the items are not those of manifest.json (data.sha256.eval)"
    for row in stored:
        yield from _row_alone(row, name)
    yield from _rows_together(stored, name, judge.metrics)
    _, places = find_places(
        path, judge.items or (lambda: Items("", ())), own=judge.items is None, allow_duplicates=False
    )
    for place in places:
        if (
            place.example is not None
            and (mine := ours.get(place.example.id)) is not None
            and mine["doc"] != _plain(as_doc(place.example))
        ):
            yield f"{name}: {place.example.id}: the problem or its reference answer is not the one of the source"
    tally = Tally(judge.rubric, judge.metrics)
    environment = Environment(judge.task, judge.rubric, NO_TEMPLATE, judge.metrics)
    job = Job(path, places, environment, judge.sandbox, rows=True)
    by_item: dict[str, list[Mapping[str, Any]]] = {}
    for _, part, lines in rescore(job, judge.jobs):
        tally.merge(part)
        for line in map(json.loads, lines):
            by_item.setdefault(line["id"], []).append(line)
            yield from _compared(ours[line["id"]], line, name, evidence=judge.sandbox is None)
    for row in stored:
        again = by_item[row["doc"]["id"]]
        for metric in judge.metrics:
            if row["filter"] == metric.filter:
                yield from _column(row, metric.name, [line["metrics"][metric.key] for line in again], name)
        for criterion in judge.rubric.criteria:
            if row["filter"] == "none":
                yield from _column(
                    row,
                    criterion_column(criterion.name),
                    [line["criteria"].get(criterion.name) for line in again],
                    name,
                )
    yield from _summed_up(bundle, label, judge, run, stored, tally.summary())


def _row_alone(row: Mapping[str, Any], name: str) -> Iterator[str]:
    """What one row says twice."""
    doc, given = row["doc"], row["arguments"]["gen_args_0"]
    place = f"{name}: {doc['id']}"
    yield from _hashes_of(row, name)
    if row["target"] != doc["target"]:
        yield f"{place}: target is not the one of its doc"
    if doc["prompt"].strip() not in given["arg_0"]:  # a chat template stands around it, and may strip it
        yield f"{place}: the prompt in its arguments is not the one of its doc"
    if row["filtered_resps"] != row["resps"][0]:
        yield f"{place}: filtered_resps are not its responses"
    if row.get(NAMESPACE, doc)["id"] != doc["id"]:
        yield f"{place}: {NAMESPACE}.id is another item's"


def _rows_together(stored: Sequence[Mapping[str, Any]], name: str, metrics: Sequence[Metric]) -> Iterator[str]:
    """One row per item and filter, items in order, all generated in one way."""
    filters: dict[str, list[str]] = {}
    for row in stored:
        item = row["doc"]["id"]
        filters.setdefault(item, []).append(row["filter"])
        if type(row["doc_id"]) is not int or row["doc_id"] != len(filters) - 1:
            yield f"{name}: {item}: doc_id is {row['doc_id']!r}, its place is {len(filters) - 1}"
        if row["arguments"]["gen_args_0"]["arg_1"] != stored[0]["arguments"]["gen_args_0"]["arg_1"]:
            yield f"{name}: {item}: its answer was generated in another way than the first"
    wanted = list_filters(metrics)
    for item, own in filters.items():
        if own != wanted:
            yield f"{name}: {item}: its rows have the filters {', '.join(map(str, own))}, not {', '.join(wanted)}"


def _column(row: Mapping[str, Any], column: str, again: Sequence[float | bool | None], name: str) -> Iterator[str]:
    decided = [float(value) for value in again if value is not None]
    mean = sum(decided) / len(decided) if decided else None
    if column not in row or _differ(row[column], mean):
        yield f"{name}: {row['doc']['id']}: column {column} ({row['filter']}) is {row.get(column)}, re-scored {mean}"


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


def _compared(row: Mapping[str, Any], again: Mapping[str, Any], name: str, *, evidence: bool) -> Iterator[str]:
    """evidence: compare it too; a program's may hold what changes from run to run, such as addresses."""
    place, said = f"{name}: {again['id']}", row[NAMESPACE]["responses"][again["sample"]]
    for key in [*again["metrics"], *(key for key in said["metrics"] if key not in again["metrics"])]:
        if _differ(said["metrics"].get(key), again["metrics"].get(key)):
            yield f"{place}: {key} is {said['metrics'].get(key)}, re-scored {again['metrics'].get(key)}"
    if _differ(said["reward"], again["reward"]):
        yield f"{place}: reward is {said['reward']}, re-scored {again['reward']}"
    for key in (
        "extracted",
        "status",
        *(["integrity"] if "integrity" in said else []),
        *(["errors"] if evidence else []),
    ):
        if said[key] != again[key]:
            yield f"{place}: {key} is {said[key]!r}, re-scored {again[key]!r}"
    verdicts, judged = ([(v["criterion"], v["part"], v["met"]) for v in one["verdicts"]] for one in (said, again))
    if verdicts != judged:
        yield f"{place}: the verdicts on its criteria are others when it is judged again"
    elif evidence and [v["evidence"] or v["error"] for v in said["verdicts"]] != [
        v["evidence"] for v in again["verdicts"]
    ]:
        yield f"{place}: the evidence of its verdicts is another when it is judged again"


def _summed_up(
    bundle: Path, label: str, judge: Judge, run: FinishedRun, stored: Sequence[Mapping[str, Any]], summary: Summary
) -> Iterator[str]:
    path = _newest(bundle / "eval" / label, "results_*.json")[0]
    name, task, results = str(path.relative_to(bundle)), judge.task.name, read_json(path, strict=True)
    ours = results[NAMESPACE]
    said, again = ours["summary"][task], asdict(summary)
    again.pop("shortened")  # the samples do not say
    yield from _sums(said, again, name)
    if list(said["metrics"]) != list(again["metrics"]):
        yield f"{name}: metrics are in another order than the task's: the first one ranks"
    scores, right_scores = results["results"][task], scores_by_key(summary)
    for key, number in right_scores.items():
        if _differ(scores.get(key), number):
            yield f"{name}: results {key} is {scores.get(key)}, from the responses {number}"
    yield from (
        f"{name}: results {key}: no metric of the task" for key in scores if "," in key and key not in right_scores
    )
    better = {m.name: m.higher_is_better for m in judge.metrics} | {
        criterion_column(c.name): True for c in judge.rubric.criteria
    }
    facts = {
        "sample_len": (scores["sample_len"], summary.items),
        "n-samples.effective": (results["n-samples"][task]["effective"], summary.items),
        "higher_is_better": (results["higher_is_better"][task], better),
        "task_hashes": (results["task_hashes"][task], _hash_of_hashes(stored)),
        "model_name": (results["model_name"], run.settings["model"]),
        f"{NAMESPACE}.rubric": (ours["rubric"][task], judge.rubric.name),
        f"{NAMESPACE}.config.label": (ours["config"]["label"], label),
        f"{NAMESPACE}.settings": (
            generation_kwargs(ours["settings"][task]),
            stored[0]["arguments"]["gen_args_0"]["arg_1"],
        ),
    }
    for key, (stood, right) in facts.items():
        if stood != right:
            yield f"{name}: {key} is {stood!r}, the other files say {right!r}"


def _sums(said: Mapping[str, Any], again: Mapping[str, Any], name: str, *where: str) -> Iterator[str]:
    """Every number of a summary, and none that its responses do not give."""
    for key in [*again, *(key for key in said if key not in again and key != "shortened")]:
        stood, right = said.get(key, 0 if key in LATER else None), again.get(key)
        if isinstance(stood, dict) and isinstance(right, dict):
            yield from _sums(stood, right, name, *where, key)
        elif _differ(stood, right):
            yield f"{name}: {' '.join(where)}{': ' if where else ''}{key} is {stood}, from the responses {right}"


def _hash_of_hashes(stored: Sequence[Mapping[str, Any]]) -> str:
    """lm-eval's, over all rows in order."""
    return hashlib.sha256(
        "".join(row["doc_hash"] + row["prompt_hash"] + row["target_hash"] for row in stored).encode()
    ).hexdigest()


def _plain(value: Any) -> Any:
    """As it comes back from a JSON file."""
    return json.loads(json.dumps(value))


def _differ(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is not b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return not abs(a - b) <= CLOSE  # NaN is not close to anything
    return bool(a != b)


def _limited(problems: Iterator[str]) -> list[str]:
    found = list(problems)
    return found if len(found) <= MOST else [*found[:MOST], f"… and {len(found) - MOST} more like these"]
