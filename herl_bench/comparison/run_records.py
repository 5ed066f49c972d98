"""One finished run in a comparison's words: its spending, evaluations, revisions, and how good its bonus critic was."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from herl_bench.comparison.finished_runs import UNTRUSTED, Evaluation, FinishedRun, Sample, check_steps, read_criteria
from herl_bench.comparison.schema import Audit, Calibration, Evaluated, Repair, Spent
from herl_bench.errors import UsageError
from herl_bench.evaluation.scores import Score
from herl_bench.reading import UNREADABLE, read_rows
from herl_bench.runs import RunFiles

CUT_OFF = ("timeout", "memory", "crash", "protocol", "violation")
"""How a program can end that did not end by itself, in the sandbox's words."""
AUDITS = 30
"""Revisions that a record holds whole."""


def measure_spending(run: FinishedRun) -> Spent:
    """FLOPs: 2 N per token passed forward and 6 N per token trained on (Kaplan et al. 2020, section 2.1), N all
    parameters of the base model, also for the critics, which are copies of its trunk. Attention over the context is
    left out, as there. None where a method does not count them."""
    last, parameters = run.rows[-1], run.manifest["base_model"]["parameters"]
    forward, trained = last.get("forward_tokens"), last.get("trained_tokens")
    return Spent(
        **{name: last[name] for name in ("tokens", "rollouts", "reward_calls", "optimizer_steps")},
        wall_s=sum(sum(row["seconds"].values()) for row in run.rows),
        flops=None if not forward or not trained else float(parameters * (2 * forward + 6 * trained)),
    )


def describe_evaluation(evaluation: Evaluation, metric: str, criteria: Sequence[str]) -> Evaluated:
    """criteria: those that the co-failure matrix is over."""
    summary, samples = evaluation.summary, evaluation.samples
    kinds = ("metrics", "criteria", "planted", "families")
    groups: dict[str, Any] = {kind: {name: Score(**score) for name, score in summary[kind].items()} for kind in kinds}
    reward, primary = Score(**summary["reward"]), groups["metrics"][metric]
    endings = Counter(sample.status for sample in samples if sample.status in CUT_OFF)
    return Evaluated(
        **groups,
        **{name: summary[name] for name in ("unparsed", "truncated", "empty", "errors")},
        reward=reward,
        endings=dict(sorted(endings.items())),
        gap=None if reward.value is None or primary.value is None else reward.value - primary.value,
        outcomes=tuple(sample.outcome for sample in samples),
        co_failure=_count_co_failures(samples, criteria),
        undecided=sum(sample.outcome is None for sample in samples),
        shared=sum(sample.integrity == "shared" for sample in samples),
    )


def _count_co_failures(samples: Sequence[Sample], criteria: Sequence[str]) -> tuple[tuple[int, ...], ...]:
    """`[a][b]`: responses that missed both; the diagonal: that missed a."""
    missed = [sample.missed for sample in samples]
    return tuple(tuple(sum(a in names and b in names for names in missed) for b in criteria) for a in criteria)


def read_calibration(run: FinishedRun) -> Calibration | None:
    """Of the last step; None for a run without a bonus critic."""
    last = run.rows[-1]
    if "bonus_gate" not in last:
        return None
    names = ("mae", "mse", "mse_constant", "mse_headroom", "mse_line", "explained_variance", "spearman", "auroc")
    return Calibration(
        gate_open=bool(last["bonus_gate"]),
        judged=last["bonus_judged"],
        **{name: last.get(f"bonus_{name}") for name in names},
        reliability=tuple((guess, actual, count) for guess, actual, count in last.get("bonus_reliability", ())),
    )


# ------------------------------------------------------------------------------------------------------------ revisions
def read_revisions(run: FinishedRun) -> tuple[tuple[Repair, ...], tuple[Audit, ...]]:
    """What revisions did to each criterion, and an even sample of them, whole; empty if none. Raises `UsageError`."""
    missed, fixed, met, broken = Counter[str](), Counter[str](), Counter[str](), Counter[str]()
    audits: list[Audit] = []
    path = RunFiles(run.directory).rollouts
    try:
        for draft, revision in _pair_revisions(run):
            was, now = read_criteria(draft["verdicts"]), read_criteria(revision["verdicts"])
            decided = [name for name in was if was[name] is not None and now.get(name) is not None]
            missed.update(name for name in decided if not was[name])
            met.update(name for name in decided if was[name])
            audit = _audit(draft, revision, [name for name in decided if was[name] != now[name]], was)
            fixed.update(audit.fixed)
            broken.update(audit.broken)
            audits.append(audit)
    except UNREADABLE as error:
        raise UsageError(f"{path}: not as a run writes it: {type(error).__name__}: {error}") from None
    names = dict.fromkeys([*missed, *met])
    repairs = tuple(Repair(name, missed[name], fixed[name], met[name], broken[name]) for name in names)
    count = min(len(audits), AUDITS)
    return repairs, tuple(audits[i * len(audits) // count] for i in range(count))


def _pair_revisions(run: FinishedRun) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """(draft, revision), as `rollouts.jsonl` has them. Raises `UsageError` where steps are missing or there twice."""
    path = RunFiles(run.directory).rollouts
    drafts: dict[int, Mapping[str, Any]] = {}
    step, steps = 0, list[Any]()
    for row in read_rows(path) if path.is_file() else ():
        if row["step"] != step:
            steps.append(row["step"])
            step, drafts = row["step"], {}
        if row["index"] in drafts:
            raise UsageError(f"{path}: response {row['index']} of step {step} stands there twice: {UNTRUSTED}")
        drafts[row["index"]] = row
        if row["kind"] == "revision" and row["draft"] is not None:
            yield drafts[row["draft"]], row
    check_steps(steps, path)
    if steps and len(steps) != len(run.rows):
        differ = f"it has {len(steps)} steps, metrics.jsonl {len(run.rows)}"
        raise UsageError(f"{path}: {differ}: the log lost a part: {UNTRUSTED}")


def _audit(
    draft: Mapping[str, Any], revision: Mapping[str, Any], flipped: Sequence[str], was: Mapping[str, bool | None]
) -> Audit:
    return Audit(
        step=revision["step"],
        id=revision["id"],
        prompt=draft["prompt"],
        draft=draft["response"],
        guidance=revision["guidance"],
        revision=revision["response"],
        reward_before=draft["reward"],
        reward_after=revision["reward"],
        fixed=tuple(name for name in flipped if not was[name]),
        broken=tuple(name for name in flipped if was[name]),
    )
