"""Put results on disk so that nothing is lost: whole files or none, appended rows in one write, and one clear line when it cannot be done."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from herl_bench.errors import SaveError


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Whatever goes wrong while writing is one line that names the file; what was written before stays."""
    try:
        yield
    except OSError as error:
        raise SaveError(f"cannot write {path}: {error.strerror or error}; what was saved before is whole") from None
    except RuntimeError as error:  # torch's writer reports a full disk like this
        if "write" not in str(error) and "file" not in str(error):
            raise
        raise SaveError(f"cannot write {path}: {str(error).splitlines()[0]}; what was saved before is whole") from None


def append_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append JSON rows in one write, and put them on disk."""
    text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    with saving(path), open(path, "ab", buffering=0) as file:
        data = memoryview(text.encode("utf-8", "backslashreplace"))  # a lone surrogate stays valid JSON
        while data:
            data = data[file.write(data) :]


def write_whole(path: Path, text: str) -> None:
    """Write beside and rename, so that a reader never sees half a file."""
    beside = path.with_name(f".{path.name}.tmp")
    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(beside, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)


def cut(path: Path, size: int) -> None:
    if path.exists():
        with saving(path):
            os.truncate(path, size)


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
