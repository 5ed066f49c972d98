"""Put results on disk so that nothing is lost: whole files or none, rows in one write, one clear line on failure."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from herl_bench.errors import SaveError

SUMS = "sums.json"
"""Beside files whose every bit counts: sha256 by file name."""


@contextmanager
def saving(path: Path) -> Iterator[None]:
    """Whatever goes wrong while writing is one line that names the file; what was written before stays."""
    try:
        yield
    except Exception as error:
        reason = _find_reason(error)
        if reason is None:
            raise
        raise SaveError(f"cannot write {path}: {reason}; what was saved before is whole") from None


def _find_reason(error: Exception) -> str | None:
    """Why a write failed, full disks in torch's and safetensors' own words too; None for any other error."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    if isinstance(error.__context__, OSError):  # torch's writer stumbles over the disk's error while it closes the file
        return error.__context__.strerror or str(error.__context__)
    if type(error).__name__ == "SafetensorError" or "inline_container" in str(error):
        return str(error).splitlines()[0].removeprefix("Error while serializing: I/O error: ")
    return None


def append_lines(path: Path, rows: Sequence[Mapping[str, Any]]) -> bytes:
    """Append JSON rows in one write; gives what was written."""
    text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
    encoded = text.encode("utf-8", "backslashreplace")  # a lone surrogate stays valid JSON
    with saving(path), open(path, "ab", buffering=0) as file:
        data = memoryview(encoded)
        while data:
            data = data[file.write(data) :]
    return encoded


def write_whole(path: Path, text: str) -> None:
    """Write beside and rename, so that a reader never sees half a file."""
    with writing(path) as write:
        write(text)


@contextmanager
def writing(path: Path) -> Iterator[Callable[[str], Any]]:
    """The same, piece by piece: what the block writes becomes the file at its end, and is gone if it raises."""
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
            sync(path.parent)
    except BaseException:
        with suppress(OSError):
            file.close()
        beside.unlink(missing_ok=True)
        raise


def sync(path: Path) -> None:
    """Have the disk hold a file's bytes, or a folder's entries, without which a renamed file may lose its new name."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot do this for folders
            raise
    finally:
        os.close(descriptor)


def cut(path: Path, size: int) -> None:
    """Drop what comes after `size` bytes. A shorter file stays: filling it up would make bytes that nobody wrote."""
    if measure_size(path) > size:
        with saving(path):
            os.truncate(path, size)


def measure_size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


# ------------------------------------------------------------------------------------------------------------ checksums
class Log:
    """A file that grows by whole rows, and knows its length and sha256 without reading itself again."""

    def __init__(self, path: Path):
        self.path = path
        self.size = 0
        self._sum = hashlib.sha256()
        self._known = False

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._read()
        written = append_lines(self.path, rows)
        self._sum.update(written)
        self.size += len(written)

    def cut(self, size: int) -> None:
        """Go on from the first `size` bytes."""
        cut(self.path, size)
        self._known = False

    def seal(self) -> dict[str, Any]:
        """Its length and sha256, once the disk has it."""
        self._read()
        if self.path.exists():
            with saving(self.path):
                sync(self.path)
        return {"bytes": self.size, "sha256": self._sum.hexdigest()}

    def _read(self) -> None:
        if not self._known:
            self._sum, self.size, self._known = digest_prefix(self.path), measure_size(self.path), True


def digest_prefix(path: Path, size: int | None = None) -> Any:
    """sha256 of a file's first `size` bytes, of all where None, of nothing where there is no file."""
    found = hashlib.sha256()
    if path.exists():
        with path.open("rb") as file:
            left = measure_size(path) if size is None else size
            while left and (piece := file.read(min(left, 1 << 20))):
                found.update(piece)
                left -= len(piece)
    return found


def digest_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_sums(folder: Path, **more: Any) -> None:
    """Put the sha256 of every file in `folder` beside them, and all of it on disk. more: to be kept with them."""
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.name != SUMS)
    for path in files:
        sync(path)
    sums = {"sha256": {path.name: digest_file(path) for path in files}, **more}
    write_whole(folder / SUMS, json.dumps(sums, indent=1) + "\n")


def read_sums(folder: Path) -> dict[str, Any]:
    """What `write_sums` wrote; empty where it never did. Raises `ValueError` where it cannot be read."""
    try:
        found = json.loads((folder / SUMS).read_bytes())
        if any(Path(name).name != name for name in found["sha256"]):
            raise ValueError
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError, TypeError, KeyError):
        raise ValueError(f"{SUMS} is damaged") from None
    return dict(found)


def find_damage(folder: Path) -> str:
    """The first file in `folder` that is not what was saved, in words; empty where all are whole, or without sums."""
    try:
        sums = read_sums(folder).get("sha256", {})
    except ValueError as error:
        return str(error)
    for name, wanted in sums.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        try:
            if digest_file(path) != wanted:
                return f"{name} is damaged: its sha256 is not the one that was saved with it"
        except OSError as error:
            return f"{name} cannot be read: {error.strerror}"
    return ""
