"""Read files that strangers wrote: YAML, JSON and JSON lines, plain or gzipped.

Whatever a file holds, reading it ends, takes a bounded amount of memory, and runs nobody's code; what is wrong with it
is one line that names the file and, where there is one, the line. The limits are far above what honest files need:

* a YAML file: 256 KiB, 50 levels, 20,000 values with aliases followed; no key twice; tags of plain data alone;
* a JSON document: 256 MiB, 100 levels, whole numbers of up to 300 digits;
* a line of a JSONL file: 64 MiB; a `.gz` may unfold to 16 MiB, or 200 times its size where that is more.

Texts are UTF-8, with or without a byte-order mark. A date in YAML is text, as all else but numbers, true and false.
"""

from __future__ import annotations

import gzip
import json
import math
import os
import stat
import zlib
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from herl_bench.errors import DataError, UsageError
from herl_bench.plain_text import flatten

Written = TypeVar("Written")

MOST_TEXT = 1 << 28
MOST_YAML = 1 << 18
MOST_LINE = 1 << 26
MOST_UNFOLDED, RATIO = 1 << 24, 200
"""A gzipped file may hold MOST_UNFOLDED bytes, or RATIO times its own size where that is more."""
DEPTH = 100
YAML_DEPTH = 50
YAML_VALUES = 20_000
DIGITS = 300
"""More than a float can hold."""
LARGEST = 2 << 30
"""Bytes of a file of results. A run of a million responses stays under it."""
_SHAPE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError)
UNREADABLE = (*_SHAPE, OSError, RuntimeError, StopIteration, MemoryError)
"""What taking a file's JSON apart raises, which may have any shape."""


# ----------------------------------------------------------------------------------------------------------------- text
def read_text(
    path: str | Path, what: str = "the file", most: int = MOST_TEXT, kind: type[UsageError] = UsageError
) -> str:
    """The text of a file of at most `most` bytes. Raises `kind`, which says that `what` cannot be read."""
    try:
        with open(path, "rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise kind(f"{path}: cannot read {what}: {error.strerror or error}") from None
    except ValueError:  # a NUL in the name
        raise kind(f"{flatten(str(path))}: cannot read {what}: that is no file's name") from None
    if len(data) > most:
        raise kind(f"{path}: cannot read {what}: longer than {_format_size(most)}")
    return _decode(data, f"{path}: cannot read {what}", kind)


def _decode(data: bytes, where: str, kind: type[UsageError] = DataError) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise kind(f"{where}: not UTF-8 text (byte {error.start})") from None


def _format_size(count: int) -> str:
    return f"{count >> 20} MiB" if count >= 1 << 20 else f"{count >> 10} KiB"


# ----------------------------------------------------------------------------------------------------------------- YAML
def read_yaml(path: str | Path, what: str = "the file") -> Any:
    """The one document of a YAML file. Raises `UsageError`."""
    return parse_yaml(read_text(path, what, MOST_YAML), str(path))


def read_yaml_mapping(path: str | Path, what: str = "the file") -> dict[str, Any]:
    """The `key: value` lines of a YAML file. Raises `UsageError`."""
    document = read_yaml(path, what)
    if not isinstance(document, dict):
        raise UsageError(f"{path}: write one `key: value` per line; found {type(document).__name__}")
    return {str(key): value for key, value in document.items()}


def describe_invalid(error: Any) -> tuple[str, str]:
    """(the field, what is wrong with it) of the first fault that pydantic found; the field is empty for the whole."""
    first = error.errors()[0]
    return ".".join(map(str, first["loc"])), first["msg"][0].lower() + first["msg"][1:]


def parse_written(kind: type[Written], text: str, where: str, what: str) -> Written:
    """A dataclass that was written as JSON. Raises `UsageError` naming the field for what is no `what` that this
    version wrote."""
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        strange = f"{where}: not a {what} that this version can read"
        raise UsageError(f"{strange}: {place}: {first['msg']}") from None


def parse_yaml(text: str, where: str) -> Any:
    """Raises `UsageError` with `where`, line and column."""
    import yaml

    if len(text) > MOST_YAML:
        raise UsageError(f"{where}: not valid YAML: longer than {_format_size(MOST_YAML)}")
    try:
        return yaml.load(text, _make_loader())  # a subclass of SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = str(getattr(error, "problem", None) or error).splitlines()[0]
        raise UsageError(f"{where}: not valid YAML: {place}{flatten(problem)[:300]}") from None


@lru_cache(maxsize=1)
def _make_loader() -> Any:
    """The pure-Python safe loader, which counts while it composes."""
    import yaml

    core = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge")}

    def refuse(problem: str, mark: Any) -> Any:
        return yaml.constructor.ConstructorError(None, None, problem, mark)

    resolvers = yaml.SafeLoader.yaml_implicit_resolvers.items()
    implicit = {first: [(tag, seen) for tag, seen in found if tag in core] for first, found in resolvers}

    class Loader(yaml.SafeLoader):
        level = values = 0

        def __init__(self, stream: str):
            super().__init__(stream)
            self.yaml_implicit_resolvers = implicit
            self.sizes: dict[str, int] = {}

        def compose_node(self, parent: Any, index: Any) -> Any:
            event = self.peek_event()
            alias, anchor, before = isinstance(event, yaml.AliasEvent), event.anchor, self.values
            if alias and anchor in self.anchors and anchor not in self.sizes:
                raise refuse(f"the alias *{anchor} stands inside of what it names", event.start_mark)
            self.values += self.sizes.get(anchor, 1) if alias else 1
            self.level += 1
            if self.level > YAML_DEPTH:
                raise refuse(f"more than {YAML_DEPTH} levels deep", event.start_mark)
            if self.values > YAML_VALUES:
                raise refuse(f"more than {YAML_VALUES:,} values", event.start_mark)
            node = super().compose_node(parent, index)
            self.level -= 1
            if anchor is not None and not alias:
                self.sizes[anchor] = self.values - before
            return node

        def compose_mapping_node(self, anchor: Any) -> Any:
            node = super().compose_mapping_node(anchor)
            seen = set()
            for key, _ in node.value:
                name = (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else None
                if name is not None and name in seen:
                    raise refuse(f"the key {key.value!r} stands twice", key.start_mark)
                seen.add(name)
            return node

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            if node.tag not in core:
                raise refuse(f"the tag {node.tag!r} is not read here", node.start_mark)
            if node.tag.endswith((":int", ":float")) and len(node.value) > DIGITS:
                raise refuse(f"a number of more than {DIGITS} digits", node.start_mark)
            try:
                return super().construct_object(node, deep)
            except _SHAPE:
                raise refuse(f"{str(node.value)[:60]!r} is no {node.tag.rpartition(':')[2]}", node.start_mark) from None

    return Loader


# ----------------------------------------------------------------------------------------------------------------- JSON
def read_json(path: str | Path, *, strict: bool = False) -> Any:
    """The document of a JSON file. strict: as in `parse_json`, and of a regular file only. Raises `DataError`."""
    if strict:
        check_regular(path)
    return parse_json(read_text(path, "it", kind=DataError), str(path), strict=strict)


def parse_json(text: str | bytes, where: str, *, strict: bool = False) -> Any:
    """Raises `DataError` with `where`. strict: as we write files, without NaN or infinite numbers, and no key twice."""
    whole = text if isinstance(text, str) else _decode(text, where)
    try:
        value = json.loads(whole, **(_STRICT if strict else _USUAL))
    except RecursionError:
        raise DataError(f"{where}: JSON that is more than {DEPTH} levels deep") from None
    except json.JSONDecodeError as error:
        place = f"line {error.lineno} column {error.colno}" if error.lineno > 1 else f"column {error.colno}"
        raise DataError(f"{where}: not JSON, perhaps cut off: {error.msg}: {place}") from None
    except ValueError as error:
        raise DataError(f"{where}: not JSON: {error}") from None
    if whole.count("[") + whole.count("{") > DEPTH and isinstance(value, (dict, list)) and _is_deep(value):
        raise DataError(f"{where}: JSON that is more than {DEPTH} levels deep")
    return value


def check_regular(path: str | Path) -> None:
    """Raises `UsageError` for what is no file of bounded size: a pipe may never end, and a device neither."""
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST:
        raise UsageError(f"{path}: {'too large' if stat.S_ISREG(found.st_mode) else 'no regular file'}: not read")


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(DEPTH):
        containers = (outer.values() if isinstance(outer, dict) else outer for outer in level)
        level = [inner for values in containers for inner in values if isinstance(inner, (dict, list))]
    return bool(level)


def _parse_whole(digits: str) -> int:
    if len(digits) > DIGITS:
        raise ValueError(f"a number of more than {DIGITS} digits")
    return int(digits)


def _parse_finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:20]} is not finite")
    return value


def _build_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice[:60]!r} stands twice")
    return made


_USUAL: dict[str, Any] = {"parse_int": _parse_whole}
_FINITE = dict.fromkeys(("parse_float", "parse_constant"), _parse_finite)
_STRICT: dict[str, Any] = {**_USUAL, **_FINITE, "object_pairs_hook": _build_object}


# ----------------------------------------------------------------------------------------------------------- JSON lines
def read_json_lines(path: str | Path, *, strict: bool = False) -> Iterator[tuple[int, Any]]:
    """(number, value) of each line that is not blank, numbers from 1. Raises `DataError` with file and line."""
    for number, _, line in read_lines(path):
        yield number, parse_json(line, f"{path}:{number}", strict=strict)


def read_rows(path: str | Path) -> Iterator[dict[str, Any]]:
    """The rows of a regular JSONL file of ours: an object on each line, by `parse_json`'s strict rules."""
    check_regular(path)
    for number, row in read_json_lines(path, strict=True):
        if not isinstance(row, dict):
            raise UsageError(f"{path}:{number}: a row is a JSON object, not {type(row).__name__}")
        yield row


def read_lines(path: str | Path, name: str = "") -> Iterator[tuple[int, int, bytes]]:
    """(number, start, bytes) of each line that is not blank; a `.gz` is unfolded. name: what messages call the file."""
    number = start = 0
    name = name or str(path)
    try:
        with open(path, "rb") as file:
            folded = str(path).endswith(".gz")
            room = measure_room(path) if folded else None
            lines: Any = gzip.GzipFile(fileobj=file) if folded else file
            while line := lines.readline(MOST_LINE + 1):
                number += 1
                if len(line) > MOST_LINE:
                    raise DataError(f"{name}:{number}: a line of more than {_format_size(MOST_LINE)}")
                if room is not None and start + len(line) > room:
                    problem = f"unfolds to more than {RATIO} times its size: not read any further"
                    raise DataError(f"{name}:{number}: {problem}")
                if line.strip():
                    yield number, start, line
                start += len(line)
    except OSError as error:
        place = f"{name}:{number + 1}" if number or isinstance(error, gzip.BadGzipFile) else name
        raise DataError(f"{place}: cannot be read: {error.strerror or error}") from None
    except (EOFError, zlib.error) as error:
        raise DataError(f"{name}:{number + 1}: cannot be unfolded, damaged or cut off: {error}") from None


def measure_room(path: str | Path) -> int:
    """Bytes that a gzipped file may unfold to."""
    return max(MOST_UNFOLDED, RATIO * os.stat(path).st_size)
