"""What every example must be before anything is done with it, whoever made it: text and plain values that files can
hold, under an id of its own; and the digest that tells two sets of examples apart."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from herl_bench.errors import DataError
from herl_bench.types import Example


def read_examples(read: Callable[[], Iterable[Example]], what: str) -> list[Example]:
    """All examples of a reader; what the operating system says of a file becomes one line. Raises `DataError`."""
    try:
        return list(read())
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise DataError(f"cannot read {what}{where}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"cannot read {what}: not UTF-8 text (byte {error.start})") from None


def check_examples(examples: Iterable[Example], what: str) -> None:
    """Raises `DataError` for the first one that could not be written into a file, or whose id another has."""
    seen: set[str] = set()
    for example in examples:
        check_example(example, what)
        if example.id in seen:
            raise DataError(f"{what}: the id {example.id!r} occurs twice")
        seen.add(example.id)


def check_example(example: Example, what: str) -> None:
    """Raises `DataError` that names task, example and field where it could not be written. what: task and split."""
    if fault := find_fault(example):
        raise DataError(f"{what}: {example.id!r}: {fault}")


def find_fault(example: Example) -> str:
    """What keeps an example out of every file; empty for a sound one."""
    if not isinstance(example, Example):
        return f"not an Example, but {type(example).__name__}"
    for name in ("id", "prompt", "target"):
        if not isinstance(value := getattr(example, name), str):
            return f"{name} is a {name_type(value)}, not text: write str(…)"
    fault = _find_json_fault(example.info)
    if not fault:
        return ""
    keys = example.info if isinstance(example.info, Mapping) else ()
    key = next((key for key in keys if _find_json_fault({key: example.info[key]})), "")
    return f"info{f'[{key!r}]' if key != '' else ''} cannot be written as JSON: {fault}"


def _find_json_fault(info: Mapping[str, Any]) -> str:
    try:
        json.dumps(dict(info), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        return str(error) or type(error).__name__
    return ""


def name_type(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def digest_items(examples: Iterable[Example]) -> str:
    """sha256 over ids, prompts, targets and info, in order."""
    digest = hashlib.sha256()
    for e in examples:
        row = json.dumps([e.id, e.prompt, e.target, dict(e.info)], sort_keys=True, ensure_ascii=False, default=str)
        digest.update(row.encode() + b"\n")
    return digest.hexdigest()
