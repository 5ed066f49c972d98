"""Read a finished run's folder into what a comparison needs of it: settings, manifest, learning curve, and evaluations
item by item; and evaluations that no run belongs to.

Nothing here judges or compares. Left out: anything that the folder does not say, such as responses that no evaluation
kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from herl_bench.comparison.schema import Item
from herl_bench.errors import UnknownName, UsageError
from herl_bench.evaluation.result_files import NAMESPACE, read_summary
from herl_bench.evaluation.scores import fill_undecided, mean_and_stderr
from herl_bench.reading import UNREADABLE, read_json, read_rows
from herl_bench.runs import RunFiles, read_config
from herl_bench.types import Judgement, Verdict

MOST = 1e12
"""No outcome is larger; what is would make every mean endless."""
UNTRUSTED = "its numbers cannot be trusted"


@dataclass(frozen=True)
class Sample:
    """The answer to one evaluation item. outcome: its metric, None where undecided. criteria: met, unmet, or undecided.
    integrity: of a verdict on a program, in the sandbox's words; `shared` rests on the program's own comparison."""

    item: Item
    response: str
    outcome: float | None
    reward: float | None
    criteria: Mapping[str, bool | None]
    status: str
    integrity: str = ""

    @property
    def missed(self) -> tuple[str, ...]:
        """The criteria that it does not meet; those that could not be decided are no part of it."""
        return tuple(name for name, met in self.criteria.items() if met is False)


@dataclass(frozen=True)
class Evaluation:
    """One evaluation's summary and samples. generation: how responses were generated, as the samples say."""

    summary: Mapping[str, Any]
    samples: tuple[Sample, ...]
    generation: Mapping[str, Any]


@dataclass(frozen=True)
class FinishedRun:
    """A run's folder, read. settings: its config.yaml; `set` holds the method's. metric: key of the one that is
    compared; primary: it is the task's first, which the learning curve is of."""

    directory: Path
    settings: Mapping[str, Any]
    manifest: Mapping[str, Any]
    metric: str
    higher_is_better: bool
    rows: tuple[Mapping[str, Any], ...]
    before: Evaluation
    after: Evaluation
    primary: bool = True

    @property
    def task(self) -> str:
        return str(self.settings["task"])

    @property
    def method(self) -> str:
        return str(self.settings["method"])

    @property
    def seed(self) -> int:
        return int(self.settings["seed"])


def read_run(directory: Path, metric: str | None = None) -> FinishedRun:
    """metric: NAME or NAME,FILTER; the task's first if left out. Raises `UsageError` where none is, or unfinished."""
    files = RunFiles(directory)
    if not files.exists:
        raise UsageError(f"{directory}: no config.yaml there: name the folder of a run")
    if not files.finished:
        raise UsageError(f"the run {directory} has not ended: finish it with herl-bench run --resume {directory}")
    try:
        run = _read_run(files, metric)
        int(run.seed)
        return run
    except UNREADABLE as error:
        raise UsageError(f"{directory}: cannot be read as a run: {type(error).__name__}: {error}") from None


def _read_run(files: RunFiles, metric: str | None) -> FinishedRun:
    settings, manifest = read_config(files.directory), read_json(files.manifest, strict=True)
    rows = tuple(read_rows(files.metrics)) if files.metrics.is_file() else ()
    if not rows:
        lost = "nothing was trained, or its log is lost"
        raise UsageError(f"{files.directory}: no metrics.jsonl, or an empty one: {lost}")
    check_steps([row["step"] for row in rows], files.metrics)
    if any(later["tokens"] < earlier["tokens"] for earlier, later in pairwise(rows)):
        raise UsageError(f"{files.metrics}: tokens fall from one step to a later one: {UNTRUSTED}")
    task = str(settings["task"])
    results = read_json(find_newest(files.evaluation("after"), "results_*.json"), strict=True)
    first, key, higher = _find_metrics(results, task, metric, files.directory)
    folders = map(files.evaluation, ("before", "after"))
    before, after = (_read_samples(read_summary(one), find_newest(one, "samples_*.jsonl"), key) for one in folders)
    return FinishedRun(files.directory, settings, manifest, key, higher, rows, before, after, key == first)


def check_steps(steps: Sequence[Any], path: Path) -> None:
    """Steps 1 to n, each once: a log that two processes wrote, or that lost a part, has others. Raises `UsageError`."""
    for expected, step in enumerate(steps, 1):
        if type(step) is not int or step != expected:
            problem = f"step {expected} is missing (step {step!r} follows on {expected - 1})"
            if type(step) is int and 0 < step < expected:
                problem = f"step {step} stands there twice"
            raise UsageError(f"{path}: {problem}: the log was written by two processes, or lost a part: {UNTRUSTED}")


# -------------------------------------------------------------------------------------------------------------- metrics
def find_metric_key(wanted: str, known: Iterable[str], where: str) -> str:
    """The key that NAME or NAME,FILTER stands for. Raises `UsageError` with the choices, or the nearest names."""
    keys = list(known)
    if wanted in keys:
        return wanted
    same = [key for key in keys if key.rpartition(",")[0] == wanted]
    if len(same) > 1:
        raise UsageError(f"{where}: metric {wanted} stands for {' and '.join(same)}: name one of them")
    if not same:
        raise UsageError(f"{where}: {UnknownName('metric', wanted, keys)}")
    return same[0]


def _find_metrics(results: Mapping[str, Any], task: str, wanted: str | None, where: Path) -> tuple[str, str, bool]:
    """Keys of the task's first metric, and of the one that is wanted; and whether more of that is better."""
    keys = list(results[NAMESPACE]["summary"][task]["metrics"])
    key = keys[0] if wanted is None else find_metric_key(wanted, keys, str(where))
    return keys[0], key, bool(results["higher_is_better"][task][key.rpartition(",")[0]])


# -------------------------------------------------------------------------------------------------------------- samples
def average_outcome(evaluation: Evaluation, higher_is_better: bool) -> float | None:
    """With undecided answers counted as wrong; None where nothing was decided and less is better."""
    outcomes = [sample.outcome for sample in evaluation.samples]
    return mean_and_stderr(fill_undecided(outcomes, higher_is_better)).value


def find_newest(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[-1]


def _read_samples(summary: Mapping[str, Any], path: Path, metric: str) -> Evaluation:
    name, _, filter_name = metric.rpartition(",")
    rows: dict[str, dict[str, Any]] = {}
    outcomes: dict[str, float | None] = {}
    generation: Mapping[str, Any] = {}
    for row in read_rows(path):
        item = row["doc"]["id"]
        generation = row["arguments"]["gen_args_0"]["arg_1"]
        if row["filter"] == filter_name:
            outcomes[item] = _check_outcome(row[name])
        if NAMESPACE in row:
            rows[item] = row
    return Evaluation(summary, tuple(_read_sample(row, outcomes[item]) for item, row in rows.items()), generation)


def _check_outcome(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, (int, float)) or abs(value) > MOST:
        raise ValueError(f"an outcome is a number or null, not {str(value)[:40]!r}")
    return float(value)


def _read_sample(row: Mapping[str, Any], outcome: float | None) -> Sample:
    doc, judged = row["doc"], row[NAMESPACE]["responses"][0]
    return Sample(
        describe_item(str(doc["id"]), str(doc["prompt"]), str(row["target"]), doc["info"]),
        str(row["resps"][0][0]),
        outcome,
        judged["reward"],
        read_criteria(judged["verdicts"]),
        judged.get("status", ""),
        judged.get("integrity", ""),
    )


def describe_item(name: str, prompt: str, target: str, info: Mapping[str, Any]) -> Item:
    family, planted = info.get("family"), info.get("planted")
    kind = None if family is None else str(family), None if planted is None else bool(planted)
    return Item(name, prompt, target, *kind)


def read_criteria(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, bool | None]:
    return Judgement(tuple(Verdict(v["criterion"], v["met"]) for v in verdicts), None).criteria


# ---------------------------------------------------------------------------------------- evaluations outside of runs
@dataclass(frozen=True)
class BareEvaluation:
    """A task of a `results_*.json` that `herl-bench eval` wrote outside of a run. settings: of sampling; its rubric."""

    path: Path
    task: str
    model: str
    source: str
    metric: str
    higher_is_better: bool
    settings: Mapping[str, Any]
    evaluation: Evaluation


def read_evaluations(folder: Path, metric: str | None = None) -> tuple[list[BareEvaluation], list[str]]:
    """Each task's newest evaluation; and a line for each results file or task left out, lm-eval's own among them."""
    newest: dict[str, tuple[Path, dict[str, Any]]] = {}
    left_out: list[str] = []
    for path in sorted(folder.glob("results_*.json")):
        try:
            results = read_json(path, strict=True)
            ours, every = set(results.get(NAMESPACE, {}).get("summary", ())), list(results["results"])
        except (UsageError, *UNREADABLE) as error:
            left_out.append(f"{path}: not a results file that herl-bench wrote ({type(error).__name__}: {error})")
            continue
        newest |= dict.fromkeys(sorted(ours), (path, results))
        if theirs := [task for task in every if task not in ours]:
            why = "of lm-eval's own tasks, which are not ranked here: herl-bench compare pairs two such files"
            left_out.append(f"{path}: {', '.join(theirs)}: {why}")
    found = []
    for task, (path, results) in newest.items():
        try:
            found.append(_read_bare(path, task, results, metric))
        except UsageError as error:
            left_out.append(str(error))
        except UNREADABLE as error:
            left_out.append(f"{path}: cannot be read as an evaluation of {task}: {type(error).__name__}: {error}")
    return found, left_out


def _read_bare(path: Path, task: str, results: Mapping[str, Any], metric: str | None) -> BareEvaluation:
    samples = path.with_name(f"samples_{task}_{path.stem.removeprefix('results_')}.jsonl")
    if not samples.is_file():
        raise UsageError(f"{path}: {task} has no samples beside it: evaluate with --log_samples")
    ours, (_, key, higher) = results[NAMESPACE], _find_metrics(results, task, metric, path)
    source, settings = str(ours["data"][task]["source"]), {**ours["settings"][task], "rubric": ours["rubric"][task]}
    evaluation = _read_samples(ours["summary"][task], samples, key)
    return BareEvaluation(path, task, str(results["model_name"]), source, key, higher, settings, evaluation)
