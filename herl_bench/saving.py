"""Put results on disk so that nothing is lost: whole files or none, appended rows in one write, and one clear line when it cannot be done."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from herl_bench.errors import SaveError


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Whatever goes wrong while writing is one line that names the file; what was written before stays."""
    try:
        yield
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise SaveError(f"cannot write {path}: {reason}; what was saved before is whole") from None


def _reason(error: Exception) -> str | None:
    """Why a write failed; None for any other error. torch's and safetensors' writers report a full disk in their own ways."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error.__context__, OSError):  # torch's writer stumbles over the disk's error while it closes the file
        return error.__context__.strerror or str(error.__context__)
    if type(error).__name__ == "SafetensorError" or "inline_container" in str(error):
        return str(error).splitlines()[0].removeprefix("Error while serializing: I/O error: ")
    return None


def append_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Append JSON rows in one write, and put them on disk."""
    text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    with saving(path), open(path, "ab", buffering=0) as file:
        data = memoryview(text.encode("utf-8", "backslashreplace"))  # a lone surrogate stays valid JSON
        while data:
            data = data[file.write(data) :]


def write_whole(path: Path, text: str) -> None:
    """Write beside and rename, so that a reader never sees half a file."""
    with writing(path) as write:
        write(text)


@contextmanager
def writing(path: Path) -> Iterator[Callable[[str], Any]]:
    """The same, piece by piece: what the block writes with the function it gets becomes the file at its end, and is gone if it raises."""
    beside = path.with_name(f".{path.name}.tmp")

    def write(text: str) -> None:
        with saving(path):
            file.write(text)

    with saving(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(beside, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 (closed below)
    try:
        yield write
        with saving(path):
            file.flush()
            os.fsync(file.fileno())
            file.close()
            os.replace(beside, path)
    except BaseException:
        with suppress(OSError):
            file.close()
        beside.unlink(missing_ok=True)
        raise


def cut(path: Path, size: int) -> None:
    if path.exists():
        with saving(path):
            os.truncate(path, size)


def size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0
