"""Read a finished run's folder into what a comparison needs of it: settings, manifest, learning curve, evaluations item
by item, revisions; and evaluations that no run belongs to.

Nothing here judges or compares. Left out: anything that the folder does not say, such as responses that no evaluation
kept.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from herl_bench.compare.schema import Audit, Calibration, Evaluated, Item, Point, Repair, Spent
from herl_bench.errors import UnknownName, UsageError
from herl_bench.evaluate.result_files import NAMESPACE, read_summary
from herl_bench.evaluate.scores import Score
from herl_bench.reading import UNREADABLE, check_regular, read_json, read_rows, read_yaml
from herl_bench.sweep.sweep import finished
from herl_bench.types import Judgement, Verdict

CUT_OFF = ("timeout", "memory", "crash", "protocol", "violation")
"""How a program can end that did not end by itself, in the sandbox's words."""
AUDITS = 30
MOST = 1e12
"""No outcome is larger; what is would make every mean endless."""


@dataclass(frozen=True)
class Sample:
    """The answer to one evaluation item. outcome: its metric, None where undecided. criteria: met, unmet, or undecided.

    integrity: how the verdict on a program was come by, in the sandbox's words; `shared` rests on the program's own
    comparison."""

    item: Item
    response: str
    outcome: float | None
    reward: float | None
    criteria: Mapping[str, bool | None]
    status: str
    integrity: str = ""


@dataclass(frozen=True)
class Evaluation:
    """One `eval/` folder. generation: how responses were generated, as the samples say."""

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
    """metric: NAME or NAME,FILTER; the task's first if left out. Raises `UsageError` for a folder that is no run, or a
    run that has not ended, saying what to type."""
    if not (directory / "config.yaml").is_file():
        raise UsageError(f"{directory}: no config.yaml there: name the folder of a run")
    if not finished(directory):
        raise UsageError(f"the run {directory} has not ended: finish it with herl-bench run --resume {directory}")
    try:
        settings = read_settings(directory)
        manifest = read_json(directory / "manifest.json", strict=True)
        log = directory / "metrics.jsonl"
        rows = tuple(read_rows(log)) if log.is_file() else ()
        if not rows:
            raise UsageError(f"{directory}: no metrics.jsonl, or an empty one: nothing was trained, or its log is lost")
        _in_order([row["step"] for row in rows], log)
        if any(later["tokens"] < earlier["tokens"] for earlier, later in pairwise(rows)):
            raise UsageError(f"{log}: tokens fall from one step to a later one: its numbers cannot be trusted")
        task, results = (
            str(settings["task"]),
            read_json(_newest(directory / "eval" / "after", "results_*.json"), strict=True),
        )
        first, _ = _primary(results, task)
        chosen = (
            first
            if metric is None
            else metric_key(metric, results[NAMESPACE]["summary"][task]["metrics"], str(directory))
        )
        before, after = (_of_run(directory / "eval" / name, chosen) for name in ("before", "after"))
        found = FinishedRun(
            directory, settings, manifest, chosen, _higher(results, task, chosen), rows, before, after, chosen == first
        )
        int(found.seed)
    except UNREADABLE as error:
        raise UsageError(f"{directory}: cannot be read as a run: {type(error).__name__}: {error}") from None
    return found


def _in_order(steps: Sequence[Any], path: Path) -> None:
    """Steps 1 to n, each once: a log that two processes wrote, or that lost a part, has others. Raises `UsageError`."""
    for expected, step in enumerate(steps, 1):
        if type(step) is not int or step != expected:
            twice = type(step) is int and 0 < step < expected
            what = (
                f"step {step} stands there twice"
                if twice
                else f"step {expected} is missing (step {step!r} follows on {expected - 1})"
            )
            raise UsageError(
                f"{path}: {what}: the log was written by two processes, or lost a part: its numbers cannot be trusted"
            )


def metric_key(wanted: str, known: Iterable[str], where: str) -> str:
    """The key `name,filter` that NAME or NAME,FILTER stands for. Raises `UsageError` with the choices, or the nearest
    names."""
    keys = list(known)
    if wanted in keys:
        return wanted
    same = [key for key in keys if key.rpartition(",")[0] == wanted]
    if len(same) > 1:
        raise UsageError(f"{where}: metric {wanted} stands for {' and '.join(same)}: name one of them")
    if not same:
        raise UsageError(f"{where}: {UnknownName('metric', wanted, keys)}")
    return same[0]


def read_settings(directory: Path) -> dict[str, Any]:
    """A run's `config.yaml`. Raises `UsageError`."""
    check_regular(directory / "config.yaml")
    settings = read_yaml(directory / "config.yaml", "the configuration")
    if not isinstance(settings, dict):
        raise UsageError(f"{directory}/config.yaml: it holds {type(settings).__name__}, not `key: value` lines")
    return {str(key): value for key, value in settings.items()}


def _newest(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[-1]


def _primary(results: Mapping[str, Any], task: str) -> tuple[str, bool]:
    metric = str(next(iter(results[NAMESPACE]["summary"][task]["metrics"])))
    return metric, _higher(results, task, metric)


def _higher(results: Mapping[str, Any], task: str, metric: str) -> bool:
    return bool(results["higher_is_better"][task][metric.rpartition(",")[0]])


def _of_run(folder: Path, metric: str) -> Evaluation:
    return _evaluation(read_summary(folder), _newest(folder, "samples_*.jsonl"), metric)


def _evaluation(summary: Mapping[str, Any], path: Path, metric: str) -> Evaluation:
    name, _, filter_name = metric.rpartition(",")
    ours: dict[str, dict[str, Any]] = {}
    outcomes: dict[str, float | None] = {}
    generation: Mapping[str, Any] = {}
    for row in read_rows(path):
        item = row["doc"]["id"]
        generation = row["arguments"]["gen_args_0"]["arg_1"]
        if row["filter"] == filter_name:
            outcomes[item] = _outcome(row[name])
        if NAMESPACE in row:
            ours[item] = row
    samples = tuple(_sample(row, outcomes[item]) for item, row in ours.items())
    return Evaluation(summary, samples, generation)


def _outcome(value: Any) -> float | None:
    if value is None:
        return None
    if not isinstance(value, (int, float)) or abs(value) > MOST:
        raise ValueError(f"an outcome is a number or null, not {str(value)[:40]!r}")
    return float(value)


@dataclass(frozen=True)
class BareEvaluation:
    """One task of a `results_*.json` that `herl-bench eval` wrote outside of a run. settings: how it was sampled, and
    with which rubric."""

    path: Path
    task: str
    model: str
    source: str
    metric: str
    higher_is_better: bool
    settings: Mapping[str, Any]
    evaluation: Evaluation


def read_evaluations(folder: Path, metric: str | None = None) -> tuple[list[BareEvaluation], list[str]]:
    """Each task's newest evaluation in the folder; and a line for each results file, or task of one, that is left out,
    lm-eval's own among them."""
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
            left_out.append(
                f"{path}: {', '.join(theirs)}: of lm-eval's own tasks, which are not ranked here: herl-bench compare"
                " pairs two such files"
            )
    found = []
    for task, (path, results) in newest.items():
        try:
            found.append(_bare(path, task, results, metric))
        except UsageError as error:
            left_out.append(str(error))
        except UNREADABLE as error:
            left_out.append(f"{path}: cannot be read as an evaluation of {task}: {type(error).__name__}: {error}")
    return found, left_out


def _bare(path: Path, task: str, results: Mapping[str, Any], metric: str | None) -> BareEvaluation:
    samples = path.with_name(f"samples_{task}_{path.stem.removeprefix('results_')}.jsonl")
    if not samples.is_file():
        raise UsageError(f"{path}: {task} has no samples beside it: evaluate with --log_samples")
    ours = results[NAMESPACE]
    chosen = (
        _primary(results, task)[0]
        if metric is None
        else metric_key(metric, ours["summary"][task]["metrics"], str(path))
    )
    return BareEvaluation(
        path,
        task,
        str(results["model_name"]),
        str(ours["data"][task]["source"]),
        chosen,
        _higher(results, task, chosen),
        {**ours["settings"][task], "rubric": ours["rubric"][task]},
        _evaluation(ours["summary"][task], samples, chosen),
    )


def _sample(row: Mapping[str, Any], outcome: float | None) -> Sample:
    doc, said = row["doc"], row[NAMESPACE]["responses"][0]
    info = doc["info"]
    family, planted = info.get("family"), info.get("planted")
    item = Item(
        str(doc["id"]),
        str(doc["prompt"]),
        str(row["target"]),
        None if family is None else str(family),
        None if planted is None else bool(planted),
    )
    criteria = met_by_criterion(said["verdicts"])
    return Sample(
        item,
        str(row["resps"][0][0]),
        outcome,
        said["reward"],
        criteria,
        said.get("status", ""),
        said.get("integrity", ""),
    )


def met_by_criterion(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, bool | None]:
    return Judgement(tuple(Verdict(v["criterion"], v["met"]) for v in verdicts), None).criteria


# ---------------------------------------------------------------------------------------------------------- evaluations
def counted(outcome: float | None, higher_is_better: bool) -> float | None:
    """What an answer counts in every mean, interval, test and rank: undecided is wrong. Where less is better there is
    no worst value, so it is left out."""
    return 0.0 if outcome is None and higher_is_better else outcome


def mean_outcome(which: Evaluation, higher_is_better: bool) -> float | None:
    known = [value for s in which.samples if (value := counted(s.outcome, higher_is_better)) is not None]
    return math.fsum(known) / len(known) if known else None


def evaluated(run: FinishedRun, which: Evaluation, criteria: Sequence[str]) -> Evaluated:
    """An evaluation in the comparison's words. criteria: those that the co-failure matrix is over."""
    summary = which.summary
    metrics = {name: Score(**score) for name, score in summary["metrics"].items()}
    reward = Score(**summary["reward"])
    primary = metrics[run.metric]
    endings = Counter(s.status for s in which.samples if s.status in CUT_OFF)
    return Evaluated(
        metrics=metrics,
        reward=reward,
        criteria={name: Score(**score) for name, score in summary["criteria"].items()},
        planted={name: Score(**score) for name, score in summary["planted"].items()},
        families={name: Score(**score) for name, score in summary["families"].items()},
        unparsed=summary["unparsed"],
        truncated=summary["truncated"],
        empty=summary["empty"],
        errors=summary["errors"],
        endings=dict(sorted(endings.items())),
        gap=None if reward.value is None or primary.value is None else reward.value - primary.value,
        outcomes=tuple(s.outcome for s in which.samples),
        co_failure=co_failure([s.criteria for s in which.samples], criteria),
        undecided=sum(s.outcome is None for s in which.samples),
        shared=sum(s.integrity == "shared" for s in which.samples),
    )


def co_failure(judged: Sequence[Mapping[str, bool | None]], criteria: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """`[a][b]`: responses that missed both; the diagonal: that missed a."""
    missed = [{name for name, met in one.items() if met is False} for one in judged]
    return tuple(tuple(sum(a in m and b in m for m in missed) for b in criteria) for a in criteria)


# ------------------------------------------------------------------------------------------------------------- training
def spent(run: FinishedRun) -> Spent:
    """FLOPs: 2 N per token passed forward and 6 N per token trained on (Kaplan et al. 2020, section 2.1), N all
    parameters of the base model, also for the critics, which are copies of its trunk. Attention over the context is
    left out, as there. None where a method does not count them."""
    last, parameters = run.rows[-1], run.manifest["base_model"]["parameters"]
    read, learnt = last.get("forward_tokens"), last.get("trained_tokens")
    return Spent(
        tokens=last["tokens"],
        rollouts=last["rollouts"],
        reward_calls=last["reward_calls"],
        optimizer_steps=last["optimizer_steps"],
        wall_s=sum(sum(row["seconds"].values()) for row in run.rows),
        flops=None if not read or not learnt else float(parameters * (2 * read + 6 * learnt)),
    )


def curve(run: FinishedRun) -> tuple[Point, ...]:
    return tuple(
        Point(
            step=row["step"],
            tokens=row["tokens"],
            reward=row["reward"],
            metric=row["metric"] if run.primary else None,
            metric_planted=row.get("metric_planted") if run.primary else None,
            metric_plain=row.get("metric_plain") if run.primary else None,
            gap=row.get("reward_metric_gap"),
            criteria=row["criteria"],
            kl=row.get("kl"),
            revisions=row.get("revisions", 0),
            revision_reward=row.get("revision_reward"),
            revision_metric=row.get("revision_solved_rate") if run.primary else None,
            revision_improvement=row.get("revision_improvement"),
            revision_improved=row.get("revision_improved_rate"),
            guided_reward=row.get("guided_reward"),
            bonus=row.get("bonus"),
            eval_metric=(row.get("eval") or {}).get(run.metric),
        )
        for row in run.rows
    )


def held_out(run: FinishedRun) -> tuple[Point, ...]:
    """The primary metric of every evaluation that the run made, over tokens: before training, while it went on, after
    it; empty where none was made in between."""
    between = [Point(p.step, p.tokens, None, p.eval_metric) for p in curve(run)[:-1] if p.eval_metric is not None]
    first, last = (mean_outcome(evaluation, run.higher_is_better) for evaluation in (run.before, run.after))
    ends = Point(0, 0, None, first), Point(run.rows[-1]["step"], run.rows[-1]["tokens"], None, last)
    return (ends[0], *between, ends[1]) if between else ()


def calibration(run: FinishedRun) -> Calibration | None:
    """Of the last step; None for a run without a bonus critic."""
    last = run.rows[-1]
    if "bonus_gate" not in last:
        return None
    names = ("mae", "mse", "mse_constant", "mse_headroom", "explained_variance", "spearman", "auroc")
    return Calibration(
        gate_open=bool(last["bonus_gate"]),
        judged=last["bonus_judged"],
        **{name: last.get(f"bonus_{name}") for name in names},
        reliability=tuple((guess, actual, count) for guess, actual, count in last.get("bonus_reliability", ())),
    )


def revisions(run: FinishedRun) -> tuple[tuple[Repair, ...], tuple[Audit, ...]]:
    """What revisions did to each criterion, and an even sample of them, whole; both empty for a run without any. Raises
    `UsageError`."""
    try:
        return _revisions(run.directory / "rollouts.jsonl", len(run.rows))
    except UNREADABLE as error:
        raise UsageError(
            f"{run.directory}/rollouts.jsonl: not as a run writes it: {type(error).__name__}: {error}"
        ) from None


def _revisions(path: Path, count: int) -> tuple[tuple[Repair, ...], tuple[Audit, ...]]:
    """count: of steps."""
    missed, fixed, met, broken = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    audits: list[Audit] = []
    drafts: dict[int, Mapping[str, Any]] = {}
    step, steps = 0, list[Any]()
    for row in read_rows(path) if path.is_file() else ():
        if row["step"] != step:
            steps.append(row["step"])
            step, drafts = row["step"], {}
        if row["index"] in drafts:
            raise UsageError(
                f"{path}: response {row['index']} of step {step} stands there twice: its numbers cannot be trusted"
            )
        drafts[row["index"]] = row
        if row["kind"] != "revision" or row["draft"] is None:
            continue
        draft = drafts[row["draft"]]
        was, now = met_by_criterion(draft["verdicts"]), met_by_criterion(row["verdicts"])
        both = [name for name in was if was[name] is not None and now.get(name) is not None]
        missed.update(name for name in both if not was[name])
        met.update(name for name in both if was[name])
        mended = tuple(name for name in both if not was[name] and now[name])
        spoilt = tuple(name for name in both if was[name] and not now[name])
        fixed.update(mended)
        broken.update(spoilt)
        audits.append(
            Audit(
                step,
                row["id"],
                draft["prompt"],
                draft["response"],
                row["guidance"],
                row["response"],
                draft["reward"],
                row["reward"],
                mended,
                spoilt,
            )
        )
    _in_order(steps, path)
    if steps and len(steps) != count:
        raise UsageError(
            f"{path}: it has {len(steps)} steps, metrics.jsonl {count}: the log lost a part: its numbers cannot be"
            " trusted"
        )
    repairs = tuple(
        Repair(name, missed[name], fixed[name], met[name], broken[name]) for name in dict.fromkeys([*missed, *met])
    )
    return repairs, evenly(audits, AUDITS)


def evenly(audits: Sequence[Audit], count: int) -> tuple[Audit, ...]:
    """At most `count`, spread over the whole."""
    if len(audits) <= count:
        return tuple(audits)
    return tuple(audits[i * len(audits) // count] for i in range(count))
