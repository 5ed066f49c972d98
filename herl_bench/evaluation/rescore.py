"""Judge a file of stored responses again, on several processes, in memory that does not grow with the responses.

The file is read twice. First in one go, which finds every row's item and everything that is wrong with the file before
anything is judged; all that is kept of a row is where it stands. Then in slices, by processes forked after that: each
reads its slices itself, judges them (in a sandbox of its own, where the task runs code) and gives back a `Tally`.

Left out: other machines than Linux, where fork is not safe to use.
"""

from __future__ import annotations

import json
import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from herl_bench.bounded import die_with_parent
from herl_bench.errors import DataError, HerlBenchError
from herl_bench.evaluation.judging import describe_row, judge_responses
from herl_bench.evaluation.scores import PASS_AT
from herl_bench.evaluation.stored_responses import ID_FIELDS, Items, Stored, parse_row, read_stored
from herl_bench.evaluation.tally import Tally
from herl_bench.policy.answerer import Answer
from herl_bench.types import Environment, Example

SLICE = 256  # responses that a process takes at once
WORTH_A_PROCESS = 512
"""So many responses are judged while a process starts; one that is run as a program takes far longer."""


class Place(NamedTuple):
    """Where a row stands, its number of responses, and its item; that is None where the row carries it itself."""

    line: int
    start: int
    size: int
    responses: int
    id: str
    example: Example | None


@dataclass
class Job:
    """What the processes inherit. open_sandbox: for a process, None where the task needs none; then the environment's
    is not used. rows: one JSON line per response, too? pass_at: the k of pass@k."""

    file: Path
    places: Sequence[Place]
    environment: Environment
    open_sandbox: Callable[[], AbstractContextManager[Any]] | None = None
    rows: bool = False
    pass_at: Sequence[int] = PASS_AT

    def judge_slice(self, bounds: tuple[int, int]) -> tuple[Tally, list[str]]:
        if self.open_sandbox is not None and self.environment.sandbox is None:
            sandbox = ExitStack().enter_context(self.open_sandbox())
            self.environment = replace(self.environment, sandbox=sandbox)
        places = self.places[slice(*bounds)]
        taken: list[tuple[int, Example, int, Answer]] = []
        with self.file.open("rb") as file:
            for place in places:
                file.seek(place.start)
                stored = parse_row(file.read(place.size), self.file, place.line, place.start)
                example = place.example or stored.own_example
                assert example is not None
                taken += [(place.line, example, sample, answer) for sample, answer in enumerate(stored.answers)]
        lines, examples, samples, answers = zip(*taken, strict=True)
        rows = judge_responses(self.environment, examples, answers, samples=samples)
        tally = Tally(self.environment.rubric, self.environment.metrics, self.pass_at)
        tally.add(rows)
        told = [describe_row(row, line=line) for row, line in zip(rows, lines, strict=True)] if self.rows else []
        return tally, [json.dumps(row, ensure_ascii=False) for row in told]


def find_places(
    file: Path, items: Callable[[], Items], *, own: bool, allow_duplicates: bool, name: str = ""
) -> tuple[str, list[Place]]:
    """Where the items come from, and the place of every row. own: take the items from the file where its first row
    carries its own. name: what the file is called in messages.

    Raises `DataError` that names file and line: broken rows, unknown ids, and, unless allowed, two answers to one item
    (of rollouts, many answers to one item are the rule).
    """
    places: list[Place] = []
    first: dict[str, int] = {}
    source: Items | None = None
    ids = True
    for row in read_stored(file, name):
        if not places:
            own, ids = own and row.own_example is not None, row.key is not None
            source = None if own else items()
        if row.key is None:
            if ids:
                needed = ", ".join(ID_FIELDS)
                raise DataError(f"{row.where}: no id: a row needs one of {needed}, a text or a whole number")
            if source is not None and len(places) == len(source.evaluation):
                raise _describe_uneven(name or file, source, "more")
            row = replace(row, key=len(places))
        example = source.find(row) if source else _read_own(row)
        if not allow_duplicates and not row.rollout and (before := first.setdefault(example.id, row.line)) != row.line:
            remedy = "keep one, or pass --allow_duplicates to score them all"
            raise DataError(f"{row.where}: {example.id} was answered already in line {before}: {remedy}")
        places.append(Place(row.line, row.start, row.size, len(row.answers), example.id, example if source else None))
    if not ids and source is not None and len(places) < len(source.evaluation):
        raise _describe_uneven(name or file, source, f"only {len(places)}")
    return source.name if source else "the file itself", places


def _describe_uneven(file: str | Path, source: Items, rows: str) -> DataError:
    rule = f"rows need one of {', '.join(ID_FIELDS)}; without any there is one row per item, in their order"
    counts = f"{source.name} has {len(source.evaluation)} items, the file {rows} rows"
    return DataError(f"{file}: no ids: {rule}, and {counts}")


def _read_own(row: Stored) -> Example:
    if row.own_example is None:
        whole = "its item is not whole in it, as in the rows before"
        raise DataError(f"{row.where}: {whole}: pass --data with where the items come from")
    return row.own_example


def rescore(job: Job, jobs: int) -> Iterator[tuple[int, Tally, list[str]]]:
    """(rows done, their tally, their JSON lines) of each slice, in the file's order."""
    global _job
    count, most = len(job.places), max(place.responses for place in job.places)
    responses = sum(place.responses for place in job.places)
    jobs = min(jobs, max(1, responses // (2 if job.open_sandbox else WORTH_A_PROCESS)))
    size = max(1, min(SLICE // most, -(-count // (4 * jobs))))
    slices = list(pairwise([*range(0, count, size), count]))
    if jobs == 1:
        with job.open_sandbox() if job.open_sandbox else nullcontext() as sandbox:
            here = replace(job, environment=replace(job.environment, sandbox=sandbox))
            yield from ((stop - start, *here.judge_slice((start, stop))) for start, stop in slices)
        return
    _job = job
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("fork"), _begin_process)
    try:
        for (start, stop), (tally, lines) in zip(slices, pool.map(_judge_slice, slices), strict=True):
            yield stop - start, tally, lines
    except BrokenProcessPool:
        what = "a process that judged it was killed, by the system's lack of memory perhaps"
        raise HerlBenchError(f"{job.file}: {what}: try fewer --jobs") from None
    finally:
        pool.shutdown(cancel_futures=True)
        _job = None


_job: Job | None = None


def _begin_process() -> None:
    """A forked process dies with its parent, and at once where its parent would end in order."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    die_with_parent()


def _judge_slice(bounds: tuple[int, int]) -> tuple[Tally, list[str]]:
    assert _job is not None
    return _job.judge_slice(bounds)
