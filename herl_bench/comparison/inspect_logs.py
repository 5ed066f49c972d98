"""inspect_ai's logs as sets of answers: every epoch of a sample is one more answer to its item."""

from __future__ import annotations

import json
import math
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from herl_bench.comparison.answer_sets import AnswerSet, ItemAnswers
from herl_bench.errors import UsageError
from herl_bench.plain_text import flatten
from herl_bench.reading import RATIO, check_regular, measure_room, parse_json

DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, struct.error)
"""What Python's zipfile raises of an archive, besides."""
PARTS, PART = 200_000, 64 << 20
"""Of an archive: how many parts, and how many bytes in each."""
HEAD = 4096
"""Bytes of a file in which a log says that it is one."""
WORDS = {"C": 1.0, "P": 0.5, "I": 0.0, "N": 0.0, "yes": 1.0, "true": 1.0, "no": 0.0, "false": 0.0}
"""inspect's own `value_to_float`."""


def is_log(path: Path) -> bool:
    check_regular(path)
    with path.open("rb") as file:
        head = file.read(HEAD)
    return b'"eval"' in head and b'"version"' in head


def open_archive(path: Path) -> tuple[Mapping[str, Any], Iterator[Any]]:
    """The header of an `.eval` file, and its samples one by one."""
    check_regular(path)
    with zipfile.ZipFile(path) as archive:
        parts = [p for p in archive.infolist() if p.filename == "header.json" or p.filename.startswith("samples/")]
    if any(part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for part in parts):
        advice = f"inspect log convert {path} --to json --output-dir DIR"
        raise UsageError(f"{path}: packed in a way that Python's zipfile cannot open: {advice}")
    if len(parts) > PARTS or any(part.file_size > PART for part in parts):
        raise UsageError(f"{path}: more than {PARTS:,} samples, or one of more than {PART >> 20} MiB")
    if sum(part.file_size for part in parts) > measure_room(path):
        raise UsageError(f"{path}: unfolds to more than {RATIO} times its size: not read")

    def read(part: zipfile.ZipInfo) -> Any:
        with zipfile.ZipFile(path) as archive, archive.open(part) as file:
            return drop_nan(parse_json(file.read(PART), f"{path}: {part.filename}"))

    header = next((part for part in parts if part.filename == "header.json"), None)
    if header is None:
        raise UsageError(f"{path}: no header.json in it: the evaluation has not ended, or this is no log of inspect's")
    return read(header), (read(part) for part in parts if part is not header)


def read_log(path: Path, header: Mapping[str, Any], samples: Iterable[Any]) -> AnswerSet:
    if header.get("status", "success") != "success":
        status = flatten(str(header.get("status")))
        raise UsageError(f"{path}: its evaluation ended as {status}: only finished ones are paired")
    about = header["eval"]
    by_item: dict[str, list[Mapping[str, Any]]] = {}
    for sample in samples:
        by_item.setdefault(str(sample["id"]), []).append(sample)
    if not by_item:
        raise UsageError(f"{path}: no samples in it: evaluate with log_samples")
    items = [_read_item(path, name, group) for name, group in by_item.items()]
    keys = dict.fromkeys(key for item in items for key in item.values)
    config = {**(about.get("model_generate_config") or {})}
    seed = config.pop("seed", None)
    return AnswerSet(
        path,
        shorten_name(str(about["model"])),
        str(about["task"]),
        tuple(replace(item, values={key: item.values.get(key, (None,)) for key in keys}) for item in items),
        tuple(keys),
        {},
        str((about.get("dataset") or {}).get("name") or ""),
        config,
        seed,
    )


def _read_item(path: Path, name: str, group: Iterable[Mapping[str, Any]]) -> ItemAnswers:
    epochs = sorted(group, key=lambda sample: int(sample["epoch"]))
    if len({int(sample["epoch"]) for sample in epochs}) < len(epochs):
        raise UsageError(f"{path}: sample {flatten(name)}: an epoch of it stands there twice")
    scores = [dict(_read_scores(sample.get("scores") or {})) for sample in epochs]
    keys = dict.fromkeys(key for score in scores for key in score)
    first = epochs[0]
    prompt, target = _read_input(first["input"]), first.get("target", "")
    return ItemAnswers(
        {"id": name},
        prompt,
        target if isinstance(target, str) else json.dumps(target, ensure_ascii=False),
        (prompt,),
        {key: tuple(score.get(key) for score in scores) for key in keys},
        str((first.get("output") or {}).get("completion", "")),
    )


def _read_scores(scores: Mapping[str, Any]) -> Iterator[tuple[str, float | None]]:
    for scorer, score in scores.items():
        value = score["value"]
        named = {f"{scorer}/{key}": one for key, one in value.items()} if isinstance(value, dict) else {scorer: value}
        yield from ((key, _read_score(one)) for key, one in named.items())


def _read_score(value: Any) -> float | None:
    if isinstance(value, str):
        word = WORDS.get(value, WORDS.get(value.lower()))
        try:
            value = float(value) if word is None else word
        except ValueError:
            return None
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _read_input(value: Any) -> str:
    if isinstance(value, str):
        return value
    turns = []
    for turn in value:
        content = turn.get("content", "") if isinstance(turn, dict) else turn
        parts = content if isinstance(content, list) else [{"text": content}]
        turns.append("\n".join(str(part.get("text", "")) for part in parts if isinstance(part, dict)))
    return "\n\n".join(turns)


def drop_nan(value: Any) -> Any:
    """A document with None for every number that is not finite."""
    if isinstance(value, dict):
        return {key: drop_nan(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [drop_nan(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def shorten_name(model: str) -> str:
    """A path's last part; names as they are."""
    return Path(model).name if Path(model).is_absolute() else model
