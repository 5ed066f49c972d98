"""Read answers that somebody evaluated, item by item, so that any two sets of them can be paired: no run, and no
training, need belong to them.

    what `herl-bench eval --log_samples` wrote     its folder, its `results_*.json`, or one `samples_*.jsonl`
    what lm-eval wrote with --log_samples          the same
    inspect_ai's logs                              `*.json`, and `*.eval` where its parts are stored or deflated

A folder may hold several tasks; of each the newest evaluation is taken, together with others of the same settings and
another seed, as further samples of each item. Left out: lm-eval's groups, and metrics that are no number per item
(perplexities over a corpus).
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from herl_bench.compare.finished_runs import Sample, counted, met_by_criterion, metric_key
from herl_bench.compare.schema import Item, TaskItems
from herl_bench.errors import UsageError
from herl_bench.evaluate.result_files import NAMESPACE
from herl_bench.plain_text import flatten
from herl_bench.reading import RATIO, UNREADABLE, check_regular, measure_room, parse_json, read_json, read_json_lines

KEYS = ("id", "doc_hash", "doc_id")
"""What items are known by, the surest first."""
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, struct.error)
"""What Python's zipfile raises of an archive, besides."""
PARTS, PART = 200_000, 64 << 20
"""Of an inspect archive: how many parts, and how many bytes in each."""
INSPECT_WORDS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
"""inspect's own `value_to_float`."""


@dataclass(frozen=True)
class Answered:
    """One item and what was answered to it. keys: by the names of `KEYS`. values: by metric, one per sample, None where
    undecided."""

    keys: Mapping[str, str]
    prompt: str
    target: str
    texts: tuple[str, ...]
    values: Mapping[str, tuple[float | None, ...]]
    response: str
    criteria: Mapping[str, bool | None] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)
    shared: int = 0


@dataclass(frozen=True)
class Answers:
    """All of one task. metrics: keys in the file's order; higher: which of them say whether more is better. settings,
    seed: of the sampling."""

    path: Path
    name: str
    task: str
    items: tuple[Answered, ...]
    metrics: tuple[str, ...]
    higher: Mapping[str, bool] = field(default_factory=dict)
    source: str = ""
    settings: Any = None
    seed: Any = None


# -------------------------------------------------------------------------------------------------------------- finding
def read_answers(place: Path) -> dict[str, Answers]:
    """By task. Raises `UsageError` for what is none of the above, in one line."""
    if not place.exists():
        raise UsageError(f"{place}: no such file or folder")
    found: dict[str, Answers] = {}
    try:
        for one in _in(place):
            before = found.get(one.task)
            found[one.task] = (
                one
                if before is None or before.settings != one.settings or before.seed == one.seed
                else _both(before, one)
            )
    except UsageError:
        raise
    except DAMAGED as error:
        raise UsageError(f"{place}: no zip archive, damaged or cut off: {flatten(str(error))[:200]}") from None
    except UNREADABLE as error:
        raise UsageError(
            f"{place}: cannot be read as answers: {type(error).__name__}: {flatten(str(error))[:200]}"
        ) from None
    if not found:
        raise UsageError(
            f"{place}: neither a run nor answers: name what herl-bench eval --log_samples, lm-eval --log_samples or"
            " inspect wrote"
        )
    return found


def holds_answers(place: Path) -> bool:
    """By the names in it; nothing is read."""
    patterns = ("results_*.json", "samples_*.jsonl", "*.eval")
    if place.is_dir():
        return any(next(place.glob(f"{depth}{pattern}"), None) for pattern in patterns for depth in ("", "*/"))
    return any(place.match(pattern) for pattern in patterns)


def _in(place: Path) -> Iterator[Answers]:
    if place.is_dir():
        inside = [place, *(sub for sub in sorted(place.iterdir()) if sub.is_dir() and not sub.is_symlink())]
        with_files = [(folder, files) for folder in inside if (files := list(_files(folder)))]
        if len(with_files) > 1:
            names = ", ".join(folder.name for folder, _ in with_files[:4])
            raise UsageError(
                f"{place}: it holds the answers of {len(with_files)} models ({names}, …): name one of these folders"
                " each"
            )
        for _, files in with_files:
            for path in files:
                yield from _of_file(path)
    else:
        yield from _of_file(place)


def _files(folder: Path) -> Iterator[Path]:
    """Oldest first; samples that stand in a results file come with it."""
    results = sorted(folder.glob("results_*.json"))
    stamps = {path.stem.removeprefix("results_") for path in results}
    yield from results
    yield from (path for path in sorted(folder.glob("samples_*.jsonl")) if path.stem.rpartition("_")[2] not in stamps)
    yield from sorted(folder.glob("*.eval"))
    yield from (path for path in sorted(folder.glob("*.json")) if path not in results and _is_inspect(path))


def _is_inspect(path: Path) -> bool:
    check_regular(path)
    with path.open("rb") as file:
        head = file.read(4096)
    return b'"eval"' in head and b'"version"' in head


def _of_file(path: Path) -> Iterator[Answers]:
    if path.suffix == ".eval":
        yield _of_inspect(path, *_unpacked(path))
    elif path.suffix == ".jsonl":
        task, _, stamp = path.stem.removeprefix("samples_").rpartition("_")
        beside = path.with_name(f"results_{stamp}.json")
        yield _of_samples(path, task or path.stem, read_json_loosely(beside) if task and beside.is_file() else {})
    elif path.suffix == ".json":
        said = read_json_loosely(path)
        if isinstance(said, dict) and "eval" in said and "samples" in said:
            yield _of_inspect(path, said, said["samples"] or ())
            return
        if not isinstance(said, dict) or not isinstance(said.get("results"), dict):
            raise UsageError(f"{path}: neither results of herl-bench or lm-eval nor a log of inspect's")
        tasks = {
            task: path.with_name(f"samples_{task}_{path.stem.removeprefix('results_')}.jsonl")
            for task in said["results"]
        }
        there = {task: samples for task, samples in tasks.items() if samples.is_file()}
        if not there:
            raise UsageError(f"{path}: no samples beside it: evaluate with --log_samples")
        for task, samples in there.items():
            yield _of_samples(samples, task, said)
    else:
        raise UsageError(f"{path}: neither a run, nor a results_*.json, samples_*.jsonl, or inspect's .json or .eval")


def read_json_loosely(path: Path) -> Any:
    """lm-eval writes NaN where a metric has none, and that is no number here either."""
    check_regular(path)
    return _without_nan(read_json(path))


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _finite_or_none(text: str) -> float | None:
    value = float(text)
    return value if math.isfinite(value) else None


def _both(first: Answers, second: Answers) -> Answers:
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
def _of_samples(path: Path, task: str, results: Mapping[str, Any]) -> Answers:
    rows: dict[str, dict[str, Any]] = {}
    seen: set[tuple[str, str]] = set()
    values: dict[str, dict[str, tuple[float | None, ...]]] = {}
    check_regular(path)
    for number, said in read_json_lines(path):
        try:
            row = _without_nan(said)
            item, filter_name = str(row["doc_id"]), str(row.get("filter", "none"))
            named = [name for name in row.get("metrics") or () if isinstance(row.get(name), (int, float, type(None)))]
        except UNREADABLE as error:
            raise UsageError(
                f"{path}:{number}: not a sample of lm-eval's form: {type(error).__name__}: {error}"
            ) from None
        if (item, filter_name) in seen:
            raise UsageError(f"{path}:{number}: item {item} ({filter_name}) stands there twice")
        seen.add((item, filter_name))
        rows[item] = {**row, **rows.get(item, {})}  # the first filter's row, and with it what is ours
        if NAMESPACE in row:
            rows[item][NAMESPACE] = row[NAMESPACE]
        own = values.setdefault(item, {})
        own |= {f"{name},{filter_name}": (None if row[name] is None else float(row[name]),) for name in named}
    if not rows:
        raise UsageError(f"{path}: no samples in it")
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
    return Answers(
        path,
        _short(str(name)),
        task,
        tuple(_sample(row, values[item]) for item, row in rows.items()),
        tuple(key for key in keys if all(key in own for own in values.values())),
        {key: bool(better[metric]) for key in keys if (metric := key.rpartition(",")[0]) in better},
        str((ours.get("data", {}).get(task) or {}).get("source") or ""),
        {key: value for key, value in settings.items() if key != "seed"},
        settings.get("seed", [config.get(f"{kind}_seed") for kind in ("random", "numpy", "torch", "fewshot")]),
    )


def _sample(row: Mapping[str, Any], values: dict[str, tuple[float | None, ...]]) -> Answered:
    doc = row["doc"] if isinstance(row.get("doc"), dict) else {}
    given = row.get("arguments")
    prompt = doc.get("prompt") or (given.get("gen_args_0", {}).get("arg_0") if isinstance(given, dict) else None) or ""
    responses = row[NAMESPACE]["responses"] if NAMESPACE in row else ()
    for key in {key for said in responses for key in said["metrics"]}:
        values[key] = tuple(_number_or_none(said["metrics"].get(key)) for said in responses)
    item = doc.get("id", doc.get("task_id"))
    keys = {"id": item, "doc_hash": row.get("doc_hash"), "doc_id": row["doc_id"]}
    answer = row.get("filtered_resps") or row.get("resps") or [""]
    info = doc["info"] if isinstance(doc.get("info"), dict) else {}
    return Answered(
        {name: str(value) for name, value in keys.items() if value is not None},
        str(prompt),
        str(row.get("target", "")),
        tuple(value for value in (*doc.values(), prompt) if isinstance(value, str)),
        values,
        _text(row["resps"] if responses else answer),
        met_by_criterion(responses[0]["verdicts"]) if responses else {},
        info,
        sum(said.get("integrity", "") == "shared" for said in responses),
    )


def _number_or_none(value: Any) -> float | None:
    if value is not None and not isinstance(value, (int, float)):
        raise TypeError(f"a metric is a number, not {type(value).__name__}")
    return None if value is None else float(value)


def _text(value: Any) -> str:
    while isinstance(value, list) and value:
        value = value[0]
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


# -------------------------------------------------------------------------------------------------------------- inspect
def _unpacked(path: Path) -> tuple[Mapping[str, Any], Iterator[Any]]:
    check_regular(path)
    with zipfile.ZipFile(path) as archive:
        parts = [
            part
            for part in archive.infolist()
            if part.filename == "header.json" or part.filename.startswith("samples/")
        ]
    if any(part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for part in parts):
        raise UsageError(
            f"{path}: packed in a way that Python's zipfile cannot open: inspect log convert {path} --to json"
            " --output-dir DIR"
        )
    if len(parts) > PARTS or any(part.file_size > PART for part in parts):
        raise UsageError(f"{path}: more than {PARTS:,} samples, or one of more than {PART >> 20} MiB")
    if sum(part.file_size for part in parts) > measure_room(path):
        raise UsageError(f"{path}: unfolds to more than {RATIO} times its size: not read")

    def read(part: zipfile.ZipInfo) -> Any:
        with zipfile.ZipFile(path) as archive, archive.open(part) as file:
            return _without_nan(parse_json(file.read(PART), f"{path}: {part.filename}"))

    header = next((part for part in parts if part.filename == "header.json"), None)
    if header is None:
        raise UsageError(f"{path}: no header.json in it: the evaluation has not ended, or this is no log of inspect's")
    return read(header), (read(part) for part in parts if part is not header)


def _of_inspect(path: Path, said: Mapping[str, Any], samples: Iterable[Any]) -> Answers:
    if said.get("status", "success") != "success":
        raise UsageError(
            f"{path}: its evaluation ended as {flatten(str(said.get('status')))}: only finished ones are paired"
        )
    about = said["eval"]
    by_item: dict[str, list[Mapping[str, Any]]] = {}
    for sample in samples:
        by_item.setdefault(str(sample["id"]), []).append(sample)
    if not by_item:
        raise UsageError(f"{path}: no samples in it: evaluate with log_samples")
    items = []
    for item, group in by_item.items():
        epochs = sorted(group, key=lambda sample: int(sample["epoch"]))
        if len({int(sample["epoch"]) for sample in epochs}) < len(epochs):
            raise UsageError(f"{path}: sample {flatten(item)}: an epoch of it stands there twice")
        scores = [dict(_inspect_scores(sample.get("scores") or {})) for sample in epochs]
        values = {
            key: tuple(score.get(key) for score in scores)
            for key in dict.fromkeys(key for score in scores for key in score)
        }
        first = epochs[0]
        prompt, target = _inspect_text(first["input"]), first.get("target", "")
        target = target if isinstance(target, str) else json.dumps(target, ensure_ascii=False)
        response = str((first.get("output") or {}).get("completion", ""))
        items.append(Answered({"id": item}, prompt, target, (prompt,), values, response))
    keys = dict.fromkeys(key for item in items for key in item.values)
    full = tuple(replace(item, values={key: item.values.get(key, (None,)) for key in keys}) for item in items)
    config = {**(about.get("model_generate_config") or {})}
    seed = config.pop("seed", None)
    return Answers(
        path,
        _short(str(about["model"])),
        str(about["task"]),
        full,
        tuple(keys),
        {},
        str((about.get("dataset") or {}).get("name") or ""),
        config,
        seed,
    )


def _inspect_scores(scores: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    for scorer, score in scores.items():
        value = score["value"]
        named = (
            {f"{scorer}/{key}": inner for key, inner in value.items()} if isinstance(value, dict) else {scorer: value}
        )
        yield from ((key, _inspect_number(inner)) for key, inner in named.items())


def _inspect_number(value: Any) -> float | None:
    if isinstance(value, str):
        word = INSPECT_WORDS.get(value, INSPECT_WORDS.get(value.lower()))
        try:
            return word if word is not None else _finite_or_none(value)
        except ValueError:
            return None
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _inspect_text(given: Any) -> str:
    if isinstance(given, str):
        return given
    turns = [turn.get("content", "") if isinstance(turn, dict) else turn for turn in given]
    return "\n\n".join(_inspect_content(turn) for turn in turns)


def _inspect_content(content: Any) -> str:
    if isinstance(content, list):
        return "\n".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return str(content)


def _short(model: str) -> str:
    """A path's last part; names as they are."""
    return Path(model).name if Path(model).is_absolute() else model


# -------------------------------------------------------------------------------------------------------------- pairing
@dataclass(frozen=True)
class Paired:
    """The sets' answers to the same items, in one order. samples: by arm. repeats: samples of each item, by arm.
    answers: of all items; undecided,
    shared: of these. by: what items were known by. left_out: items that not every set has."""

    items: TaskItems
    samples: Mapping[str, tuple[Sample, ...]]
    repeats: Mapping[str, int]
    answers: Mapping[str, int]
    undecided: Mapping[str, int]
    shared: Mapping[str, int]
    by: str
    left_out: int
    notes: tuple[str, ...] = ()


def pair(sets: Mapping[str, Answers], metrics: Sequence[str] = (), *, allow_unequal: bool = False) -> Paired:
    """sets: by arm, of one task; the first is the baseline. metrics: NAME[,FILTER] for all, or one for each.

    Raises `UsageError` where the items differ, saying how many, or the metric is not the same and none was named.
    """
    chosen = _metrics(sets, metrics)
    by, keys = _key(sets)
    wanted = [key for key in keys[next(iter(sets))] if all(key in mine for mine in keys.values())]
    counts = {arm: len(mine) for arm, mine in keys.items()}
    left_out = max(counts.values()) - len(wanted)
    if left_out and not allow_unequal:
        told = "; ".join(f"{arm} has {count:,}" for arm, count in counts.items())
        raise UsageError(
            f"{', '.join(str(one.path) for one in sets.values())}: not the same items: {len(wanted):,} are in all by"
            f" {by} ({told}): evaluate on the same ones, or pass --allow_unequal to compare those that are in all"
        )
    if len(wanted) < 2:
        raise UsageError(
            f"{', '.join(str(one.path) for one in sets.values())}: they share {len(wanted)} items by {by}: nothing to"
            " compare"
        )
    first, one = next(iter(sets)), next(iter(sets.values()))
    others = [arm for arm in sets if arm != first]
    strange = [key for key in wanted if not all(_same(keys[first][key], keys[arm][key]) for arm in others)]
    if strange:
        raise UsageError(
            f"{', '.join(str(one.path) for one in sets.values())}: {len(strange):,} of {len(wanted):,} items have the"
            f" same {by} and are other questions or have another reference answer, {flatten(strange[0])[:60]} first:"
            " these are not the same items"
        )
    higher = {sets[arm].higher.get(chosen[arm]) for arm in sets} - {None}
    if len(higher) > 1:
        raise UsageError(
            f"{chosen[first]}: more is better in one of the files and worse in another: name another --metric"
        )
    more = higher != {False}
    criteria = [
        name for name in keys[first][wanted[0]].criteria if all(name in keys[arm][wanted[0]].criteria for arm in sets)
    ]
    items = tuple(_item(keys[first][key], key) for key in wanted)
    notes = () if higher else (f"No file says whether more {chosen[first]} is better: it was taken to be.",)
    return Paired(
        TaskItems(
            one.task,
            " and ".join(dict.fromkeys(chosen.values())),
            more,
            one.source or "its own source",
            items,
            tuple(criteria),
        ),
        {
            arm: tuple(
                _answer(keys[arm][key], item, chosen[arm], more) for key, item in zip(wanted, items, strict=True)
            )
            for arm in sets
        },
        {arm: max(len(keys[arm][key].values[chosen[arm]]) for key in wanted) for arm in sets},
        {arm: sum(len(keys[arm][key].values[chosen[arm]]) for key in wanted) for arm in sets},
        {arm: sum(keys[arm][key].values[chosen[arm]].count(None) for key in wanted) for arm in sets},
        {arm: sum(keys[arm][key].shared for key in wanted) for arm in sets},
        by,
        left_out,
        notes,
    )


def _metrics(sets: Mapping[str, Answers], wanted: Sequence[str]) -> dict[str, str]:
    """By arm."""
    if wanted:
        if len(wanted) not in (1, len(sets)):
            raise UsageError(
                f"--metric was given {len(wanted)} times for {len(sets)} sets of answers: name one for all, or one for"
                " each in order"
            )
        each = list(wanted) * (len(sets) if len(wanted) == 1 else 1)
        return {
            arm: metric_key(name, sets[arm].metrics, str(sets[arm].path))
            for (arm, name) in zip(sets, each, strict=True)
        }
    first = {arm: one.metrics[0] if one.metrics else "" for arm, one in sets.items()}
    if not all(first.values()):
        raise UsageError(
            f"{next(str(sets[arm].path) for arm, name in first.items() if not name)}: no metric has a number for every"
            " item"
        )
    if len(set(first.values())) == 1:
        return first
    common = [key for key in next(iter(sets.values())).metrics if all(key in one.metrics for one in sets.values())]
    if len(common) == 1:
        return dict.fromkeys(sets, common[0])
    told = "; ".join(f"{arm} has {', '.join(one.metrics)}" for arm, one in sets.items())
    raise UsageError(f"which metric? {told}: pass --metric NAME[,FILTER], or one --metric for each in order")


def _key(sets: Mapping[str, Answers]) -> tuple[str, dict[str, dict[str, Answered]]]:
    """The surest kind of key that is in every row and gives the most items in common; and the items by it."""
    best: tuple[int, str, dict[str, dict[str, Answered]]] | None = None
    for name in KEYS:
        if all(name in item.keys for one in sets.values() for item in one.items):
            keyed = {arm: {item.keys[name]: item for item in one.items} for arm, one in sets.items()}
            if any(len(keyed[arm]) < len(one.items) for arm, one in sets.items()):
                continue  # twins: not what tells items apart
            common = len(set.intersection(*(set(mine) for mine in keyed.values())))
            if best is None or common > best[0]:
                best = common, name, keyed
    if best is None:
        raise UsageError(
            f"{', '.join(str(one.path) for one in sets.values())}: their items have no kind of key in common"
            f" ({', '.join(KEYS)})"
        )
    return best[1:]


def _same(a: Answered, b: Answered) -> bool:
    """The same question: equal hashes, or a longer text of one in the other's; and, of two files of one form, the same
    reference answer."""
    hashes = a.keys.get("doc_hash"), b.keys.get("doc_hash")
    if hashes[0] is not None and hashes[0] == hashes[1]:
        return True
    if a.prompt == b.prompt:
        return a.target == b.target
    ours, theirs = (["".join(text.split()) for text in one.texts] for one in (a, b))
    return any(len(text) >= 12 and text in other for text in ours for other in theirs) or any(
        len(text) >= 12 and text in other for text in theirs for other in ours
    )


def _item(answered: Answered, key: str) -> Item:
    family, planted = answered.info.get("family"), answered.info.get("planted")
    return Item(
        answered.keys.get("id", key),
        answered.prompt,
        answered.target,
        None if family is None else str(family),
        None if planted is None else bool(planted),
    )


def _answer(answered: Answered, item: Item, metric: str, higher: bool) -> Sample:
    values = [value for one in answered.values[metric] if (value := counted(one, higher)) is not None]
    outcome = math.fsum(values) / len(values) if values else None
    return Sample(item, answered.response, outcome, None, answered.criteria, "")
