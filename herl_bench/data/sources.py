"""Where examples come from, and the gate that keeps evaluation items out of training.

Three sources give the same task's examples: the benchmark's own published files in a folder, the same files from the
hub, and the task's synthetic world. The evaluation items are chosen once, by a seed that is nobody's training seed, so
that every method and every seed answers the same questions.

The leakage gate compares prompts, never answers. It uses two rules on words and signs in lower case:

* exact: a training prompt that equals an evaluation prompt stops the run;
* near: at least 80 % of an evaluation prompt's distinctive 13-grams occur in one training prompt. A 13-gram is
  distinctive if at most 20 training prompts contain it; more often it is a benchmark's boilerplate, such as a standard
  instruction or a shared table.

Published benchmarks do hold near items: BIG-Bench Hard asks three questions about one shuffling story, and two about
one causal story. Near training items are therefore dropped and counted, so that what is really trained on passes; where
they are more than 5 % of the training set, it is the wrong set and the run stops. Measured on the published files:
GSM8K 0 of 7,473 training items, MBPP against HumanEval 0 of 464, BIG-Bench Hard, whose plugin keeps the questions about
one story together, 13 of 5,244. Split item by item without that care, BIG-Bench Hard has 153 of 5,184, and 554 where
boilerplate counts too, so the gate tells siblings from shared wording.

A synthetic world makes endless items from templates, whose neighbours differ in a number or a name by design; there the
near rule only reports. The exact rule covers the first 2,000 training items at launch, and skips any later stray while
training.

Left out: overlap of answers, paraphrases, and anything a model saw before it came here.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

from herl_bench.errors import DataError, HerlBenchError, LeakageError, UsageError
from herl_bench.types import Example, Split, Task

ENVIRONMENT = "HERL_BENCH_DATA"
EVAL_SEED = 990_001
EVAL_ITEMS = 200
NGRAM = 13
NEAR = 0.8
BOILERPLATE = 20
MOST_DROPPED = 0.05
STREAM_CHECKED = 2_000


@dataclass(frozen=True)
class Data:
    """One task's examples from one source.

    source: `synthetic`, `hub`, or the folder as the user named it.
    eval: the evaluation items, fixed and seeded, in the source's order.
    fingerprint: sha256 per file that was read (relative to the folder); of the items themselves where no file was.
    gate: what the leakage gate checked and found.
    available: evaluation items before any limit; None in an endless world.
    """

    source: str
    task: str
    eval: tuple[Example, ...]
    fingerprint: Mapping[str, str]
    gate: Mapping[str, Any]
    embedded: bool
    _stream: Callable[[], Iterator[Example]] = field(repr=False, compare=False)
    available: int | None = None

    def train(self, start: int = 0) -> Iterator[Example]:
        """Training items from position `start` on: endless, the same each time; a finite set is shuffled anew each
        epoch."""
        return map(self._checked, islice(self._stream(), start, None))

    def _checked(self, example: Example) -> Example:
        check_example(example, f"{self.task} (train)")
        return example


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

    source: `auto` (the synthetic world for the embedded policy; else `HERL_BENCH_DATA`, else the hub), `synthetic`,
    `hub` or a folder.
    seed: orders the training items; the evaluation items do not depend on it.
    eval_items: at most so many evaluation items; None for all of a finite set.
    difficulty: of the synthetic world, 0 to 1; None for the world's own.

    Raises `DataError` for a source that cannot be used and `LeakageError` where training and evaluation overlap.
    """
    place = resolve_source(task, source, embedded=embedded)
    if place == "synthetic":
        chosen, fingerprint = _synthetic_eval(task, eval_items, difficulty)
        world, dial = task.world, _dial(task, difficulty)
        assert world is not None
        gate, forbidden, _ = check_leakage(
            islice(world.examples("train", seed, dial), STREAM_CHECKED), chosen, endless=True
        )

        def stream() -> Iterator[Example]:
            return (e for e in world.examples("train", seed, dial) if _normal(e.prompt) not in forbidden)

    else:
        everything, files = _load(task, place, "eval")
        chosen = select(everything, eval_items)
        training, more = _load(task, place, "train")
        # Against all evaluation items, not only those selected: what is trained on must not depend on how many are
        # evaluated.
        gate, _, dropped = check_leakage(training, everything, endless=False)
        kept = [e for i, e in enumerate(training) if i not in dropped]
        fingerprint = {**more, **files} or {"train": items_digest(training), "eval": items_digest(everything)}

        def stream() -> Iterator[Example]:
            epoch = 0
            while True:
                order = list(range(len(kept)))
                Random(f"{task.name}/{seed}/{epoch}").shuffle(order)
                yield from (kept[i] for i in order)
                epoch += 1

    return Data(
        str(place),
        task.name,
        chosen,
        fingerprint,
        gate,
        embedded,
        stream,
        None if place == "synthetic" else len(everything),
    )


def open_eval(
    task: Task,
    source: str = "auto",
    *,
    embedded: bool,
    eval_items: int | None = EVAL_ITEMS,
    difficulty: float | None = None,
) -> Data:
    """The evaluation items alone, the very ones of `open_data`: nothing is trained on, so there is no gate and no
    training stream."""
    place = resolve_source(task, source, embedded=embedded)
    if place == "synthetic":
        chosen, fingerprint = _synthetic_eval(task, eval_items, difficulty)
        available = None
    else:
        everything, files = _load(task, place, "eval")
        chosen, fingerprint = select(everything, eval_items), files or {"eval": items_digest(everything)}
        available = len(everything)

    def stream() -> Iterator[Example]:
        raise UsageError(f"{task.name}: the data was opened for evaluation only")

    return Data(str(place), task.name, chosen, fingerprint, {}, embedded, stream, available)


def worked_examples(
    task: Task, source: str, count: int, *, embedded: bool, seed: int | None, difficulty: float | None = None
) -> tuple[Example, ...]:
    """`count` training items, drawn by `seed` (None: another draw each time), to stand as few-shot examples before a
    question."""
    if count < 1:
        return ()
    place = resolve_source(task, source, embedded=embedded)
    rng = Random(seed)
    if place == "synthetic":
        assert task.world is not None
        return tuple(islice(task.world.examples("train", rng.randrange(2**31), _dial(task, difficulty)), count))
    training, _ = _load(task, place, "train")
    if count > len(training):
        raise UsageError(f"{count} few-shot examples are more than the {len(training)} training items of {task.name}")
    return tuple(rng.sample(training, count))


def narrowed(task: Task, problems: str | None) -> Task:
    """The task with only those problems of its synthetic world that have a planted misconception (`planted`), or none
    (`plain`); None: all.

    Raises `UsageError` where nothing is planted, for then there are no such two kinds.
    """
    if problems is None:
        return task
    world = task.world
    if world is None or not world.planted:
        raise UsageError(
            f"problems={problems}: {task.name} has no synthetic world with planted misconceptions: leave it out"
        )

    def examples(split: Split, seed: int, difficulty: float) -> Iterator[Example]:
        return (
            e for e in world.examples(split, seed, difficulty) if bool(e.info.get("planted")) == (problems == "planted")
        )

    return replace(
        task, world=replace(world, examples=examples, planted=world.planted if problems == "planted" else "")
    )


def resolve_source(task: Task, source: str, *, embedded: bool) -> str | Path:
    """`synthetic`, `hub`, or the path of a folder that exists and holds something."""
    if source == "auto":
        published = task.read is not None or task.hub is not None
        source = "synthetic" if (embedded or not published) and task.world is not None else files_of(task) or "hub"
    if source == "synthetic":
        if task.world is None:
            raise DataError(
                f"task {task.name!r} has no synthetic world: pass --data with a folder of its files, or --data hub"
            )
        return "synthetic"
    if source == "hub":
        if task.hub is None:
            raise DataError(f"task {task.name!r} is on no hub: pass --data synthetic")
        return "hub"
    if task.read is None:
        raise DataError(f"task {task.name!r} reads no files: pass --data synthetic instead of {source!r}")
    return check_folder(source)


def files_of(task: Task) -> str | None:
    """The folder that `HERL_BENCH_DATA` names, for a task that reads files."""
    return os.environ.get(ENVIRONMENT) or None if task.read is not None else None


def check_folder(name: str | Path) -> Path:
    folder = Path(name).expanduser()
    if not folder.exists():
        raise DataError(f"no data folder {str(name)!r}: --data takes auto, synthetic, hub or a folder")
    if not folder.is_dir():
        raise DataError(f"the data folder {str(name)!r} is a file: name the folder that holds it")
    if not any(folder.iterdir()):
        raise DataError(f"the data folder {str(name)!r} is empty")
    return folder


def select(examples: Sequence[Example], items: int | None) -> tuple[Example, ...]:
    """At most `items` of `examples`, in their order. A smaller selection is part of every larger one."""
    if items is not None and items < 1:
        raise UsageError(f"the number of evaluation items must be at least 1, not {items}")
    if items is None or items >= len(examples):
        return tuple(examples)
    order = list(range(len(examples)))
    Random(EVAL_SEED).shuffle(order)
    return tuple(examples[i] for i in sorted(order[:items]))


def _dial(task: Task, difficulty: float | None) -> float:
    assert task.world is not None
    if difficulty is None:
        return task.world.difficulty
    if not 0 <= difficulty <= 1:
        raise UsageError(f"difficulty must be between 0 and 1, not {difficulty}")
    return difficulty


def _synthetic_eval(
    task: Task, items: int | None, difficulty: float | None
) -> tuple[tuple[Example, ...], dict[str, str]]:
    if items is not None and items < 1:
        raise UsageError(f"the number of evaluation items must be at least 1, not {items}")
    assert task.world is not None
    stream = task.world.examples("eval", EVAL_SEED, _dial(task, difficulty))
    chosen = tuple(islice(stream, EVAL_ITEMS if items is None else items))
    _check_ids(task, "eval", chosen)
    return chosen, {"eval": items_digest(chosen)}


# -------------------------------------------------------------------------------------------------- reading finite sets
def _load(task: Task, place: str | Path, split: Split) -> tuple[list[Example], dict[str, str]]:
    if isinstance(place, Path):
        assert task.read is not None
        reader = partial(task.read, place, split)
        with _files_opened(place) as opened:
            examples = read_all(reader, f"{task.name} ({split}) in {place}")
        files = {str(path.relative_to(place)): _file_digest(path) for path in sorted(opened)}
    else:
        assert task.hub is not None
        try:
            examples, files = list(task.hub(split)), {}
        except HerlBenchError:
            raise
        except Exception as error:  # the hub client's errors are many, and all mean that the items cannot be had
            reason = (str(error).strip().splitlines() or [""])[0][:200]
            raise DataError(
                f"{task.name} ({split}) cannot be read from the hub ({type(error).__name__}: {reason}): "
                f"set {ENVIRONMENT} or pass --data with a folder of its files, or --data synthetic"
            ) from None
    if not examples:
        raise DataError(f"{task.name} ({split}): no items in {place}")
    _check_ids(task, split, examples)
    return examples, files


def read_all(read: Callable[[], Iterable[Example]], what: str) -> list[Example]:
    """All examples of a reader; what the operating system says of a file becomes one line."""
    try:
        return list(read())
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        raise DataError(f"cannot read {what}{where}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"cannot read {what}: not UTF-8 text (byte {error.start})") from None


def _check_ids(task: Task, split: str, examples: Collection[Example]) -> None:
    seen: set[str] = set()
    for example in examples:
        check_example(example, f"{task.name} ({split})")
        if example.id in seen:
            raise DataError(f"{task.name} ({split}): the id {example.id!r} occurs twice")
        seen.add(example.id)


def check_example(example: Example, what: str) -> None:
    """Raises `DataError` that names task, example and field where something could not be written into a file later.
    what: task and split."""
    if said := unfit(example):
        raise DataError(f"{what}: {example.id!r}: {said}")


def unfit(example: Example) -> str:
    """What keeps an example out of every file; empty for a sound one."""
    if not isinstance(example, Example):
        return f"not an Example, but {type(example).__name__}"
    for name in ("id", "prompt", "target"):
        if not isinstance(value := getattr(example, name), str):
            return f"{name} is a {kind_of(value)}, not text: write str(…)"
    try:
        json.dumps(dict(example.info), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        field = (
            next((key for key in example.info if not _plain({key: example.info[key]})), "")
            if isinstance(example.info, Mapping)
            else ""
        )
        return f"info{f'[{field!r}]' if field != '' else ''} cannot be written as JSON: {error}"
    return ""


def _plain(value: Any) -> bool:
    try:
        json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        return False
    return True


def kind_of(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


_watched: list[tuple[Path, set[Path]]] = []


def _note_opened(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _watched and isinstance(arguments[0], (str, os.PathLike)):
        folder, opened = _watched[-1]
        path = Path(arguments[0])
        if path.is_relative_to(folder) and path.is_file():
            opened.add(path)


@contextmanager
def _files_opened(folder: Path) -> Iterator[set[Path]]:
    """The files below `folder` that are opened inside the block.

    Readers belong to plugins and open what they like; the interpreter's audit events see each file without their help.
    """
    if not getattr(_files_opened, "installed", False):
        sys.addaudithook(_note_opened)
        _files_opened.installed = True  # type: ignore[attr-defined]
    opened: set[Path] = set()
    _watched.append((folder, opened))
    try:
        yield opened
    finally:
        _watched.pop()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def items_digest(examples: Iterable[Example]) -> str:
    """sha256 over ids, prompts, targets and info, in order."""
    digest = hashlib.sha256()
    for e in examples:
        row = json.dumps([e.id, e.prompt, e.target, dict(e.info)], sort_keys=True, ensure_ascii=False, default=str)
        digest.update(row.encode() + b"\n")
    return digest.hexdigest()


# --------------------------------------------------------------------------------------------------------- leakage gate
_TOKEN = re.compile(r"\w+|[^\w\s]")


def _normal(prompt: str) -> str:
    return " ".join(_TOKEN.findall(prompt.lower()))


def _grams(prompt: str, n: int) -> set[tuple[str, ...]]:
    tokens = _TOKEN.findall(prompt.lower())
    return {tuple(tokens[i : i + n]) for i in range(max(1, len(tokens) - n + 1))}


def check_leakage(
    training: Iterable[Example], evaluation: Sequence[Example], *, endless: bool
) -> tuple[dict[str, Any], frozenset[str], frozenset[int]]:
    """Compare prompts. Gives the outcome for the manifest, the normalised evaluation prompts, and which training items
    to drop.

    endless: `training` is the start of a synthetic stream: near items are counted but not dropped.
    Raises `LeakageError` naming the first pairs of ids, and how many there are.
    """
    training = list(training)
    prompts = {_normal(e.prompt): e.id for e in evaluation}
    same = [(e.id, twin) for e in training if (twin := prompts.get(_normal(e.prompt))) is not None]
    if same:
        (first, twin), *others = same
        named = ", ".join(f"{a} that of {b}" for a, b in others[:3]) + (", …" if len(others) > 3 else "")
        more = f", and {len(others)} more have one's ({named})" if others else ""
        raise LeakageError(
            f"training item {first} has the same prompt as evaluation item {twin}{more}: training must never see"
            " evaluation items"
        )
    near, worst = _near(training, evaluation)
    if not endless and len(near) > MOST_DROPPED * len(training):
        index, (score, twin) = max(near.items(), key=lambda pair: pair[1][0])
        raise LeakageError(
            f"{len(near)} of {len(training)} training items nearly repeat an evaluation item (e.g. {training[index].id}"
            f" has {score:.0%} of {twin}): more than {MOST_DROPPED:.0%} means that this is not a training split"
        )
    dropped = frozenset() if endless else frozenset(near)
    gate = {
        "train_checked": len(training),
        "eval_checked": len(evaluation),
        "ngram": NGRAM,
        "threshold": NEAR,
        "boilerplate": BOILERPLATE,
        "exact": 0,
        "near": len(near),
        "near_eval": len({twin for _, twin in near.values()}),
        "dropped": len(dropped),
        "worst": worst,
    }
    return gate, frozenset(prompts), dropped


def _near(
    training: Sequence[Example], evaluation: Sequence[Example]
) -> tuple[dict[int, tuple[float, str]], dict[str, Any] | None]:
    """Training index → (share, evaluation id) for items at or above the threshold; and the largest share that stays
    below it."""
    holders: dict[tuple[str, ...], list[int]] = defaultdict(list)
    wanted = [_grams(e.prompt, NGRAM) for e in evaluation]
    for i, grams in enumerate(wanted):
        for gram in grams:
            holders[gram].append(i)
    shared = [[gram for gram in _grams(e.prompt, NGRAM) if gram in holders] for e in training]
    frequency = Counter(gram for common in shared for gram in common)
    distinctive = [sum(frequency[gram] <= BOILERPLATE for gram in grams) for grams in wanted]
    near: dict[int, tuple[float, str]] = {}
    worst: tuple[float, str, str] | None = None
    for j, common in enumerate(shared):
        hits = Counter(i for gram in common if frequency[gram] <= BOILERPLATE for i in holders[gram])
        for i, count in hits.items():
            share = count / distinctive[i]
            if share >= NEAR:
                near[j] = max(near.get(j, (0.0, "")), (share, evaluation[i].id))
            elif worst is None or share > worst[0]:
                worst = (share, training[j].id, evaluation[i].id)
    return near, worst and {"share": round(worst[0], 4), "train": worst[1], "eval": worst[2]}
