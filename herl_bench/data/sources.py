"""Where a task's examples come from: its own files in a folder, the same from the hub, or a synthetic world.

The evaluation items are chosen once, by a seed that is nobody's training seed, so that every method and every seed
answers the same questions. Training items pass the leakage gate (`leakage.py`) first. What was read is told by sha256:
of the files that a task names (`Task.files`), else of the items themselves.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from herl_bench.data.examples import check_example, check_examples, digest_items, read_examples
from herl_bench.data.leakage import STREAM_CHECKED, Gate, check_leakage, normalize_prompt
from herl_bench.errors import DataError, HerlBenchError, UsageError
from herl_bench.saving import digest_file
from herl_bench.types import Example, Split, Task

FOLDER_VARIABLE = "HERL_BENCH_DATA"
EVAL_SEED = 990_001
EVAL_ITEMS = 200


@dataclass(frozen=True)
class Data:
    """One task's examples from one source.

    source: `synthetic`, `hub`, or the folder as the user named it.
    eval: the evaluation items, fixed and seeded, in the source's order.
    fingerprint: sha256 per file read (relative to the folder); of the items, by split, where the task names no files.
    gate: what the leakage gate checked and found.
    available: evaluation items before any limit; None in an endless world.
    """

    source: str
    task: str
    eval: tuple[Example, ...]
    fingerprint: Mapping[str, str]
    gate: Mapping[str, Any]
    embedded: bool
    _stream: Callable[[], Iterator[Example]] | None = field(repr=False, compare=False)
    available: int | None = None

    def train(self, start: int = 0) -> Iterator[Example]:
        """Training items from `start` on: endless, the same each time; a finite set is shuffled anew each epoch."""
        if self._stream is None:
            raise UsageError(f"{self.task}: the data was opened for evaluation only")
        for example in islice(self._stream(), start, None):
            check_example(example, f"{self.task} (train)")
            yield example


def open_data(
    task: Task,
    source: str = "auto",
    *,
    embedded: bool,
    seed: int = 0,
    eval_items: int | None = EVAL_ITEMS,
    difficulty: float | None = None,
) -> Data:
    """Open a source for training, and let it through the leakage gate.

    source: `auto` (synthetic for the embedded policy; else `HERL_BENCH_DATA`, else hub), `synthetic`, `hub`, a folder.
    seed: orders the training items; the evaluation items do not depend on it.
    eval_items: at most so many evaluation items; None for all of a finite set.
    difficulty: of the synthetic world, 0 to 1; None for the world's own.

    Raises `DataError` for a source that cannot be used and `LeakageError` where training and evaluation overlap.
    """
    place = resolve_source(task, source, embedded=embedded)
    evaluation, everything = _open_eval(task, place, embedded, eval_items, difficulty)
    if place == "synthetic":
        stream = partial(_stream_world, task, "train", seed, difficulty)
        gate = check_leakage(islice(stream(), STREAM_CHECKED), everything, endless=True)
        return replace(evaluation, gate=gate.outcome, _stream=partial(_skip_forbidden, stream, gate))
    training = _load(task, place, "train")
    # Against all evaluation items, not only those selected: on how many are evaluated, training must not depend.
    gate = check_leakage(training, everything, endless=False)
    kept = [e for i, e in enumerate(training) if i not in gate.dropped]
    return replace(
        evaluation,
        gate=gate.outcome,
        fingerprint={**_digest_split(task, place, "train", training), **evaluation.fingerprint},
        _stream=partial(_shuffle_endlessly, kept, f"{task.name}/{seed}"),
    )


def open_eval(
    task: Task,
    source: str = "auto",
    *,
    embedded: bool,
    eval_items: int | None = EVAL_ITEMS,
    difficulty: float | None = None,
) -> Data:
    """The evaluation items alone, the very ones of `open_data`; no training stream, and so no gate."""
    place = resolve_source(task, source, embedded=embedded)
    return _open_eval(task, place, embedded, eval_items, difficulty)[0]


def _open_eval(
    task: Task, place: str | Path, embedded: bool, items: int | None, difficulty: float | None
) -> tuple[Data, Sequence[Example]]:
    """The data without its training side, and all evaluation items that the source has; of a world, those chosen."""
    everything: Sequence[Example]
    if place == "synthetic":
        _check_count(items)
        stream = _stream_world(task, "eval", EVAL_SEED, difficulty)
        everything = chosen = tuple(islice(stream, EVAL_ITEMS if items is None else items))
        check_examples(chosen, f"{task.name} (eval)")
        digests, available = {"eval": digest_items(chosen)}, None
    else:
        everything = _load(task, place, "eval")
        chosen, available = select_items(everything, items), len(everything)
        digests = _digest_split(task, place, "eval", everything)
    return Data(str(place), task.name, chosen, digests, {}, embedded, None, available), everything


def _skip_forbidden(stream: Callable[[], Iterator[Example]], gate: Gate) -> Iterator[Example]:
    return (e for e in stream() if normalize_prompt(e.prompt) not in gate.forbidden)


def _shuffle_endlessly(examples: Sequence[Example], seed: str) -> Iterator[Example]:
    for epoch in itertools.count():
        order = list(examples)
        Random(f"{seed}/{epoch}").shuffle(order)
        yield from order


def draw_examples(
    task: Task, source: str, count: int, *, embedded: bool, seed: int | None, difficulty: float | None = None
) -> tuple[Example, ...]:
    """`count` training items, drawn by `seed` (None: anew each time), as few-shot examples before a question."""
    if count < 1:
        return ()
    place = resolve_source(task, source, embedded=embedded)
    rng = Random(seed)
    if place == "synthetic":
        return tuple(islice(_stream_world(task, "train", rng.randrange(2**31), difficulty), count))
    training = _load(task, place, "train")
    if count > len(training):
        raise UsageError(f"{count} few-shot examples are more than the {len(training)} training items of {task.name}")
    return tuple(rng.sample(training, count))


def restrict_problems(task: Task, problems: str | None) -> Task:
    """The task with only those problems of its synthetic world that have a planted misconception (`planted`), or none
    (`plain`), or with misconceptions of the kind that leaves one other move (`single`); None: all. Raises `UsageError`
    where the world has no such kinds."""
    if problems is None:
        return task
    world = task.world
    if world is None or not world.planted:
        lacking = "no synthetic world with planted misconceptions"
        raise UsageError(f"problems={problems}: {task.name} has {lacking}: leave it out")
    if problems == "single":
        if world.single is None:
            raise UsageError(f"problems=single: {task.name} has no such problems: leave it out")
        return replace(task, world=replace(world, examples=world.single))
    planted = problems == "planted"

    def stream_examples(split: Split, seed: int, difficulty: float) -> Iterator[Example]:
        return (e for e in world.examples(split, seed, difficulty) if bool(e.info.get("planted")) == planted)

    return replace(task, world=replace(world, examples=stream_examples, planted=world.planted if planted else ""))


def resolve_source(task: Task, source: str, *, embedded: bool) -> str | Path:
    """`synthetic`, `hub`, or the path of a folder that exists and holds something."""
    if source == "auto":
        published = task.read is not None or task.hub is not None
        own_world = (embedded or not published) and task.world is not None
        source = "synthetic" if own_world else get_named_folder(task) or "hub"
    if source == "synthetic":
        if task.world is None:
            instead = "pass --data with a folder of its files, or --data hub"
            raise DataError(f"task {task.name!r} has no synthetic world: {instead}")
        return "synthetic"
    if source == "hub":
        if task.hub is None:
            raise DataError(f"task {task.name!r} is on no hub: pass --data synthetic")
        return "hub"
    if task.read is None:
        raise DataError(f"task {task.name!r} reads no files: pass --data synthetic instead of {source!r}")
    return check_folder(source)


def get_named_folder(task: Task) -> str | None:
    """The folder that `HERL_BENCH_DATA` names, for a task that reads files."""
    return os.environ.get(FOLDER_VARIABLE) or None if task.read is not None else None


def check_folder(name: str | Path) -> Path:
    folder = Path(name).expanduser()
    if not folder.exists():
        raise DataError(f"no data folder {str(name)!r}: --data takes auto, synthetic, hub or a folder")
    if not folder.is_dir():
        raise DataError(f"the data folder {str(name)!r} is a file: name the folder that holds it")
    if not any(folder.iterdir()):
        raise DataError(f"the data folder {str(name)!r} is empty")
    return folder


def select_items(examples: Sequence[Example], count: int | None) -> tuple[Example, ...]:
    """At most `count` of `examples`, in their order. A smaller selection is part of every larger one."""
    _check_count(count)
    if count is None or count >= len(examples):
        return tuple(examples)
    order = list(range(len(examples)))
    Random(EVAL_SEED).shuffle(order)
    return tuple(examples[i] for i in sorted(order[:count]))


def _check_count(items: int | None) -> None:
    if items is not None and items < 1:
        raise UsageError(f"the number of evaluation items must be at least 1, not {items}")


def _stream_world(task: Task, split: Split, seed: int, difficulty: float | None) -> Iterator[Example]:
    assert task.world is not None, "resolve_source lets no task without a world be synthetic"
    if difficulty is not None and not 0 <= difficulty <= 1:
        raise UsageError(f"difficulty must be between 0 and 1, not {difficulty}")
    return task.world.examples(split, seed, task.world.difficulty if difficulty is None else difficulty)


# -------------------------------------------------------------------------------------------------- reading finite sets
def _load(task: Task, place: str | Path, split: Split) -> list[Example]:
    what = f"{task.name} ({split})"
    if isinstance(place, Path):
        assert task.read is not None
        examples = read_examples(partial(task.read, place, split), f"{what} in {place}")
    else:
        examples = _read_hub(task, split, what)
    if not examples:
        raise DataError(f"{what}: no items in {place}")
    check_examples(examples, what)
    return examples


def _read_hub(task: Task, split: Split, what: str) -> list[Example]:
    assert task.hub is not None
    try:
        return list(task.hub(split))
    except HerlBenchError:
        raise
    except Exception as error:  # the hub client's errors are many, and all mean that the items cannot be had
        reason = (str(error).strip().splitlines() or [""])[0][:200]
        instead = f"set {FOLDER_VARIABLE} or pass --data with a folder of its files, or --data synthetic"
        raise DataError(f"{what} cannot be read from the hub ({type(error).__name__}: {reason}): {instead}") from None


def _digest_split(task: Task, place: str | Path, split: Split, examples: Iterable[Example]) -> dict[str, str]:
    """sha256 of each file that the task says it read; else of the items."""
    if task.files is None or not isinstance(place, Path):
        return {split: digest_items(examples)}
    try:
        files = sorted(map(Path, task.files(place, split)))
        return {str(p.relative_to(place) if p.is_relative_to(place) else p): digest_file(p) for p in files}
    except OSError as error:
        raise DataError(f"{task.name} ({split}): Task.files names {error.filename}: {error.strerror}") from None
