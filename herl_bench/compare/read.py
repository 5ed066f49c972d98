"""Read a finished run's folder into what a comparison needs of it: settings, manifest, learning curve, evaluations item by item, revisions; and
evaluations that no run belongs to.

Nothing here judges or compares. Left out: anything that the folder does not say, such as responses that no evaluation kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from herl_bench.compare.model import Audit, Calibration, Evaluated, Item, Point, Repair, Spent
from herl_bench.compare.sweep import finished
from herl_bench.errors import UsageError
from herl_bench.evaluate.core import Score
from herl_bench.evaluate.files import NAMESPACE, read_summary
from herl_bench.reading import json_lines, read_json
from herl_bench.settings import read_yaml
from herl_bench.types import Judgement, Verdict

CUT_OFF = ("timeout", "memory", "crash", "protocol", "violation")
"""How a program can end that did not end by itself, in the sandbox's words."""
AUDITS = 30
UNREADABLE = (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RuntimeError, StopIteration)
"""What reading a file raises whose JSON may have any shape."""


@dataclass(frozen=True)
class Sample:
    """The answer to one evaluation item. outcome: its primary metric. criteria: met, unmet, or undecided."""

    item: Item
    response: str
    outcome: float | None
    reward: float | None
    criteria: Mapping[str, bool | None]
    status: str


@dataclass(frozen=True)
class Evaluation:
    """One `eval/` folder. generation: how responses were generated, as the samples say."""

    summary: Mapping[str, Any]
    samples: tuple[Sample, ...]
    generation: Mapping[str, Any]


@dataclass(frozen=True)
class FinishedRun:
    """A run's folder, read. settings: its config.yaml; `set` holds the method's. metric: key of the primary one."""

    directory: Path
    settings: Mapping[str, Any]
    manifest: Mapping[str, Any]
    metric: str
    higher_is_better: bool
    rows: tuple[Mapping[str, Any], ...]
    before: Evaluation
    after: Evaluation

    @property
    def task(self) -> str:
        return str(self.settings["task"])

    @property
    def method(self) -> str:
        return str(self.settings["method"])

    @property
    def seed(self) -> int:
        return int(self.settings["seed"])


def read_run(directory: Path) -> FinishedRun:
    """Raises `UsageError` for a folder that is no run, or a run that has not ended, saying what to type."""
    if not (directory / "config.yaml").is_file():
        raise UsageError(f"{directory}: no config.yaml there: name the folder of a run")
    if not finished(directory):
        raise UsageError(f"the run {directory} has not ended: finish it with herl-bench run --resume {directory}")
    settings = read_yaml(str(directory / "config.yaml"))
    try:
        manifest = read_json(directory / "manifest.json", strict=True)
        rows = tuple(row for _, row in json_lines(directory / "metrics.jsonl", strict=True))
        task = str(settings["task"])
        metric, higher = _primary(read_json(_newest(directory / "eval" / "after", "results_*.json"), strict=True), task)
        before, after = (_of_run(directory / "eval" / name, metric) for name in ("before", "after"))
    except UNREADABLE as error:
        raise UsageError(f"{directory}: cannot be read as a run: {type(error).__name__}: {error}") from None
    if not rows:
        raise UsageError(f"{directory}: metrics.jsonl is empty: nothing was trained")
    return FinishedRun(directory, settings, manifest, metric, higher, rows, before, after)


def _newest(folder: Path, pattern: str) -> Path:
    return sorted(folder.glob(pattern))[-1]


def _primary(results: Mapping[str, Any], task: str) -> tuple[str, bool]:
    metric = str(next(iter(results[NAMESPACE]["summary"][task]["metrics"])))
    return metric, bool(results["higher_is_better"][task][metric.rpartition(",")[0]])


def _of_run(folder: Path, metric: str) -> Evaluation:
    return _evaluation(read_summary(folder), _newest(folder, "samples_*.jsonl"), metric)


def _evaluation(summary: Mapping[str, Any], path: Path, metric: str) -> Evaluation:
    name, _, filter_name = metric.rpartition(",")
    ours: dict[str, dict[str, Any]] = {}
    outcomes: dict[str, float | None] = {}
    generation: Mapping[str, Any] = {}
    for _, row in json_lines(path):
        item = row["doc"]["id"]
        generation = row["arguments"]["gen_args_0"]["arg_1"]
        if row["filter"] == filter_name:
            outcomes[item] = row[name]
        if NAMESPACE in row:
            ours[item] = row
    samples = tuple(_sample(row, outcomes[item]) for item, row in ours.items())
    return Evaluation(summary, samples, generation)


@dataclass(frozen=True)
class BareEvaluation:
    """One task of a `results_*.json` that `herl-bench eval` wrote outside of a run. settings: how it was sampled, and with which rubric."""

    path: Path
    task: str
    model: str
    source: str
    metric: str
    higher_is_better: bool
    settings: Mapping[str, Any]
    evaluation: Evaluation


def read_evaluations(folder: Path) -> list[BareEvaluation]:
    """Each task's newest evaluation in the folder; lm-eval's own tasks are left out. Raises `UsageError` for what cannot be read, or has no samples."""
    newest: dict[str, tuple[Path, dict[str, Any]]] = {}
    for path in sorted(folder.glob("results_*.json")):
        try:
            results = read_json(path)
            newest |= dict.fromkeys(results[NAMESPACE]["summary"], (path, results))
        except UNREADABLE as error:
            raise UsageError(f"{path}: not a results file that herl-bench wrote ({type(error).__name__}: {error})") from None
    found = []
    for task, (path, results) in newest.items():
        samples = path.with_name(f"samples_{task}_{path.stem.removeprefix('results_')}.jsonl")
        if not samples.is_file():
            raise UsageError(f"{path}: {task} has no samples beside it: evaluate with --log_samples")
        try:
            ours = results[NAMESPACE]
            metric, higher = _primary(results, task)
            settings = {**ours["settings"][task], "rubric": ours["rubric"][task]}
            evaluation = _evaluation(ours["summary"][task], samples, metric)
            found.append(
                BareEvaluation(
                    path, task, str(results["model_name"]), str(ours["data"][task]["source"]), metric, higher, settings, evaluation
                )
            )
        except UNREADABLE as error:
            raise UsageError(f"{path}: cannot be read as an evaluation of {task}: {type(error).__name__}: {error}") from None
    return found


def _sample(row: Mapping[str, Any], outcome: float | None) -> Sample:
    doc, said = row["doc"], row[NAMESPACE]["responses"][0]
    info = doc["info"]
    family, planted = info.get("family"), info.get("planted")
    item = Item(
        doc["id"], doc["prompt"], row["target"], None if family is None else str(family), None if planted is None else bool(planted)
    )
    status = said.get("status", "")
    return Sample(item, row["resps"][0][0], outcome, said["reward"], met_by_criterion(said["verdicts"]), status)


def met_by_criterion(verdicts: Sequence[Mapping[str, Any]]) -> dict[str, bool | None]:
    return Judgement(tuple(Verdict(v["criterion"], v["met"]) for v in verdicts), None).criteria


# ------------------------------------------------------------------------------------------------------------------ evaluations
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
    )


def co_failure(judged: Sequence[Mapping[str, bool | None]], criteria: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """`[a][b]`: responses that missed both; the diagonal: that missed a."""
    missed = [{name for name, met in one.items() if met is False} for one in judged]
    return tuple(tuple(sum(a in m and b in m for m in missed) for b in criteria) for a in criteria)


# --------------------------------------------------------------------------------------------------------------------- training
def spent(run: FinishedRun) -> Spent:
    """FLOPs: 2 N per token passed forward and 6 N per token trained on (Kaplan et al. 2020, section 2.1), N all parameters of the base model, also
    for the critics, which are copies of its trunk. Attention over the context is left out, as there. None where a method does not count them."""
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
            metric=row["metric"],
            metric_planted=row.get("metric_planted"),
            metric_plain=row.get("metric_plain"),
            gap=row.get("reward_metric_gap"),
            criteria=row["criteria"],
            kl=row.get("kl"),
            revisions=row.get("revisions", 0),
            revision_reward=row.get("revision_reward"),
            revision_metric=row.get("revision_solved_rate"),
            revision_improvement=row.get("revision_improvement"),
            revision_improved=row.get("revision_improved_rate"),
            guided_reward=row.get("guided_reward"),
            bonus=row.get("bonus"),
            eval_metric=(row.get("eval") or {}).get(run.metric),
        )
        for row in run.rows
    )


def held_out(run: FinishedRun) -> tuple[Point, ...]:
    """The primary metric of every evaluation that the run made, over tokens: before training, while it went on, after it; empty where none was made
    in between."""
    between = [Point(p.step, p.tokens, None, p.eval_metric) for p in curve(run)[:-1] if p.eval_metric is not None]
    first, last = (evaluation.summary["metrics"][run.metric]["value"] for evaluation in (run.before, run.after))
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
    """What revisions did to each criterion, and an even sample of them, whole; both empty for a run without any."""
    missed, fixed, met, broken = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    audits: list[Audit] = []
    drafts: dict[int, Mapping[str, Any]] = {}
    step = 0
    path = run.directory / "rollouts.jsonl"
    for _, row in json_lines(path, strict=True) if path.is_file() else ():
        if row["step"] != step:
            step, drafts = row["step"], {}
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
                step, row["id"], draft["prompt"], draft["response"], row["guidance"], row["response"], draft["reward"], row["reward"], mended, spoilt
            )
        )  # fmt: skip
    repairs = tuple(Repair(name, missed[name], fixed[name], met[name], broken[name]) for name in dict.fromkeys([*missed, *met]))
    return repairs, evenly(audits, AUDITS)


def evenly(audits: Sequence[Audit], count: int) -> tuple[Audit, ...]:
    """At most `count`, spread over the whole."""
    if len(audits) <= count:
        return tuple(audits)
    return tuple(audits[i * len(audits) // count] for i in range(count))
