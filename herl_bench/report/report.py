"""The report of a comparison or of a single run: which charts, tables and lists stand on the page, and in which words.

A run is shown as a comparison of one: its own policy before training takes the baseline's place in the list of items,
and no sentence about methods is made of it. Everything on the page comes out of `compare.json` or the run's folder;
nothing is computed here that another page would compute anew.

Left out: the statistics and the verdict's rules (`stats.py`, `verdict.py`), and how a page is kept safe (`page.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from herl_bench.compare.analyse import describe_run
from herl_bench.compare.finished_runs import FinishedRun, Sample, read_run
from herl_bench.compare.schema import ArmScore, BandPoint, Comparison, Contrast, RunRecord, TaskItems, from_json
from herl_bench.compare.verdict import describe_aside
from herl_bench.errors import UsageError
from herl_bench.reading import UNREADABLE, read_text
from herl_bench.report import charts
from herl_bench.report.drawing import Drawing, Words, to_png
from herl_bench.report.page import Figure, figure, number, render, signed
from herl_bench.saving import write_whole


@dataclass(frozen=True)
class Pair:
    """Two responses to one item. group: what is compared. state: `fixed`, `broken`, `right` (both), `wrong` (both) or
    `undecided`."""

    task: str
    group: str
    seed: int
    item: int
    state: str
    left: str
    right: str
    left_missed: tuple[str, ...]
    right_missed: tuple[str, ...]


@dataclass(frozen=True)
class Report:
    """groups: names of the two sides of every `Pair.group`. items_note: what the list of items holds."""

    title: str
    kicker: str
    comparison: Comparison
    groups: Mapping[str, tuple[str, str]]
    pairs: tuple[Pair, ...]
    items_note: str


@dataclass(frozen=True)
class TaskView:
    """What the page shows of one task."""

    items: TaskItems
    arms: tuple[ArmScore, ...]
    contrasts: tuple[Contrast, ...]
    runs: tuple[RunRecord, ...]
    figures: Mapping[str, Figure]
    heat: Mapping[str, Figure]
    guided: Mapping[str, Figure]


# ----------------------------------------------------------------------------------------------------- what is reported
def of_comparison(comparison: Comparison) -> Report:
    """Every flip of every contrast is in the list of items."""
    pairs = tuple(
        Pair(
            contrast.task,
            f"{contrast.arm} against {contrast.baseline}",
            flip.seed,
            flip.item,
            "fixed" if flip.fixed else "broken",
            flip.baseline_response,
            flip.response,
            flip.baseline_missed,
            flip.missed,
        )
        for contrast in comparison.contrasts
        for flip in contrast.flips
    )
    groups = {f"{c.arm} against {c.baseline}": (c.baseline, c.arm) for c in comparison.contrasts}
    tasks, arms = ", ".join(t.task for t in comparison.tasks), " and ".join(a.name for a in comparison.arms)
    seeds = f"{len(comparison.seeds)} seed{'s' if len(comparison.seeds) != 1 else ''}"
    budget = f"{comparison.budget:,} generated tokens each" if comparison.budget else "unequal budgets"
    how = f"{seeds} · {budget}" if comparison.runs else "sets of answers to the same items"
    return Report(
        title=f"{arms} on {tasks}",
        kicker=f"{arms} on {tasks} · {how}",
        comparison=comparison,
        groups=groups,
        pairs=pairs,
        items_note=(
            f"Items that one of the two got right and the other wrong{', in the same seed' if comparison.runs else ''}."
        ),
    )


def of_run(run: FinishedRun) -> Report:
    """Every evaluated item before and after training is in the list of items."""
    comparison = describe_run(run)
    first = {sample.item.id: sample for sample in run.before.samples}
    pairs = tuple(
        Pair(
            run.task,
            "training",
            run.seed,
            i,
            _turn(first[now.item.id], now),
            first[now.item.id].response,
            now.response,
            _missed(first[now.item.id]),
            _missed(now),
        )
        for i, now in enumerate(run.after.samples)
        if now.item.id in first
    )
    return Report(
        title=f"{run.method} on {run.task}, seed {run.seed}",
        kicker=(
            f"{run.method} on {run.task} · seed {run.seed} · {comparison.budget:,} generated tokens · model"
            f" {run.settings['model']}"
        ),
        comparison=comparison,
        groups={"training": ("before training", "after training")},
        pairs=pairs,
        items_note="Every evaluated item, before and after training.",
    )


def of_folder(folder: Path) -> Report:
    """Of a comparison's folder, its compare.json, or a run's folder. Raises `UsageError`."""
    path = folder / "compare.json" if folder.is_dir() else folder
    if path.name == "compare.json" and path.is_file():
        return of_comparison(from_json(read_text(path, "the comparison"), str(path)))
    if not (folder / "config.yaml").is_file():
        raise UsageError(
            f"{folder}: neither a run nor a comparison: name a folder with a config.yaml or a compare.json"
        )
    run = read_run(folder)
    try:
        return of_run(run)
    except UNREADABLE as error:
        raise UsageError(f"{folder}: its files are not as a run writes them: {type(error).__name__}: {error}") from None


def _turn(before: Sample, after: Sample) -> str:
    if before.outcome is None or after.outcome is None:
        return "undecided"
    right = "right" if after.outcome >= 1 else "wrong"
    return "fixed" if after.outcome > before.outcome else "broken" if after.outcome < before.outcome else right


def _missed(sample: Sample) -> tuple[str, ...]:
    return tuple(name for name, met in sample.criteria.items() if met is False)


# ------------------------------------------------------------------------------------------------------------- the page
def to_html(report: Report) -> str:
    comparison = report.comparison
    return render(
        "report.html.j2",
        title=report.title,
        report=report,
        comparison=comparison,
        tasks=[_view(comparison, items) for items in comparison.tasks],
        positions=_positions(comparison),
        differences=_differences(comparison),
        aside=describe_aside,
        calibrated=any(run.calibration for run in comparison.runs),
        audited=any(run.audits for run in comparison.runs),
        texts={
            "items": {
                t.task: [{"id": i.id, "prompt": i.prompt, "target": i.target, "family": i.family} for i in t.items]
                for t in comparison.tasks
            },
            "groups": report.groups,
            "pairs": [vars(pair) for pair in report.pairs],
            "audits": list(_audits(comparison)),
        },
    )


def write_report(report: Report, path: Path) -> Path:
    write_whole(path, to_html(report))
    return path


def write_plots(report: Report, folder: Path) -> list[Path]:
    """The main plots as PNG: `differences.png`, where there is something to compare, and `TASK-PLOT.png`. Raises
    `UsageError` where matplotlib is missing."""
    written = []
    overview = _differences(report.comparison)
    if overview is not None:
        written.append(folder / "differences.png")
        to_png(_said(report.comparison, overview.wide), written[0])
    for items in report.comparison.tasks:
        view = _view(report.comparison, items)
        for name, drawing in _plots(view):
            path = folder / f"{items.task}-{name}.png"
            to_png(_said(report.comparison, drawing), path)
            written.append(path)
    return written


def _said(comparison: Comparison, drawing: Drawing) -> Drawing:
    """A plot goes about without its page: that the arms are not equal stands in it, and what differs in its label."""
    if not comparison.unequal:
        return drawing
    words = Words(0, drawing.height + 18, "Not a fair comparison: made with --allow_unequal", bold=True)
    label = f"{drawing.label}. Not a fair comparison: {'; '.join(comparison.unequal)}"
    return replace(drawing, height=drawing.height + 24, label=label, shapes=(*drawing.shapes, words))


def _differences(comparison: Comparison) -> Figure | None:
    """What the verdicts rest on: every contrast's difference with its interval, against 0."""
    place = _positions(comparison)
    several = len(comparison.tasks) > 1
    dots = [
        charts.Dot(
            f"{c.task}: {c.arm}" if several else c.arm,
            place[c.arm],
            c.difference.value,
            c.difference.low,
            c.difference.high,
        )
        for c in comparison.contrasts
        if c.difference.value is not None
    ]
    if not dots:
        return None
    metrics = {t.metric: _readable(t.metric) for t in comparison.tasks}
    less = {not t.higher_is_better for t in comparison.tasks}
    sides = ("less", "more") if len(less) > 1 else ("worse", "better") if less == {False} else ("better", "worse")
    said = "; ".join(f"{d.name} {signed(d.value)} ({signed(d.low)} to {signed(d.high)})" for d in dots)
    return figure(
        partial(
            charts.differences,
            dots,
            x_label=f"difference to {comparison.baseline}, {' or '.join(dict.fromkeys(metrics.values()))}",
            label=(
                f"Difference to {comparison.baseline}{' after training' if comparison.runs else ''}, with 95 %"
                f" intervals: {said}"
            ),
            sides=sides,
        )
    )


def _readable(metric: str) -> str:
    return metric.split(",")[0].replace("_", " ")


def _plots(view: TaskView) -> Iterator[tuple[str, Drawing]]:
    yield from ((name, shown.wide) for name, shown in view.figures.items())
    yield from ((f"criteria-{arm}", shown.wide) for arm, shown in view.heat.items())


def _positions(comparison: Comparison) -> dict[str, int]:
    """Arm → place, which is its colour, dash and mark everywhere."""
    return {arm.name: place for place, arm in enumerate(comparison.arms)}


def _audits(comparison: Comparison) -> Iterator[dict[str, Any]]:
    for run in comparison.runs:
        for audit in run.audits:
            before, after = audit.reward_before, audit.reward_after
            state = (
                "undecided"
                if before is None or after is None
                else "improved"
                if after > before
                else "worse"
                if after < before
                else "same"
            )
            yield {
                "task": run.task,
                "arm": run.arm,
                "seed": run.seed,
                "step": audit.step,
                "id": audit.id,
                "prompt": audit.prompt,
                "state": state,
                "draft": audit.draft,
                "guidance": audit.guidance,
                "revision": audit.revision,
                "before": before,
                "after": after,
                "fixed": audit.fixed,
                "broken": audit.broken,
            }


def _view(comparison: Comparison, items: TaskItems) -> TaskView:
    arms = tuple(a for a in comparison.arm_scores if a.task == items.task)
    runs = tuple(r for r in comparison.runs if r.task == items.task)
    place = _positions(comparison)
    metric = _readable(items.metric)
    figures: dict[str, Figure] = {}
    dots = [
        charts.Dot(a.arm, place[a.arm], a.score.value, a.score.low, a.score.high, a.before.value)
        for a in arms
        if a.score.value is not None
    ]
    if dots:
        said = "; ".join(f"{d.name} {number(d.value)}" for d in dots)
        when = " after training" if runs else ""
        figures["scores"] = figure(
            partial(charts.scores, dots, x_label=metric, label=f"{metric}{when} on {items.task}: {said}")
        )
    curves = [charts.Curve(a.arm, place[a.arm], [_four(p) for p in a.curve]) for a in arms if a.curve]
    if curves:
        said = "; ".join(f"{c.name} from {number(c.points[0][1])} to {number(c.points[-1][1])}" for c in curves)
        target = next((a.target for a in arms if a.target is not None), None) if len(arms) > 1 else None
        label = f"{metric} of sampled responses over generated tokens on {items.task}: {said}"
        figures["curves"] = figure(
            partial(charts.learning_curves, curves, y_label=f"{metric}, as sampled", label=label, target=target)
        )
    held = [charts.Curve(a.arm, place[a.arm], [_four(p) for p in a.held_out]) for a in arms if a.held_out]
    if held:
        said = "; ".join(f"{c.name} from {number(c.points[0][1])} to {number(c.points[-1][1])}" for c in held)
        label = f"{metric} on the evaluation items over generated tokens on {items.task}: {said}"
        figures["held-out"] = figure(partial(charts.learning_curves, held, y_label=f"{metric}, evaluated", label=label))
    bins = [(a.arm, place[a.arm], _bins(runs, a.arm)) for a in arms]
    if any(found for _, _, found in bins):
        shown = [(arm, position, found) for arm, position, found in bins if found]
        label = (
            f"Predicted against measured improvement of revisions on {items.task}; the numbers are in the table below"
        )
        figures["calibration"] = figure(partial(charts.calibration, shown, label=label))
    return TaskView(
        items=items,
        arms=arms,
        contrasts=tuple(c for c in comparison.contrasts if c.task == items.task),
        runs=runs,
        figures=figures,
        heat={a.arm: _heat(a, place[a.arm]) for a in arms if a.criteria_curves},
        guided={a.arm: _guided(a, place[a.arm]) for a in arms if a.plain_vs_guided},
    )


def _four(point: BandPoint) -> tuple[float, float, float, float]:
    return point.tokens, point.mean, point.low, point.high


def _heat(arm: ArmScore, position: int) -> Figure:
    rows = [(name, [(p.tokens, p.mean) for p in points]) for name, points in arm.criteria_curves.items()]
    said = "; ".join(f"{name} from {number(p[0][1], 2)} to {number(p[-1][1], 2)}" for name, p in rows if p)
    return figure(
        partial(
            charts.heat_map,
            rows,
            position=position,
            label=f"Pass rate of each criterion in training, {arm.arm}: {said}",
        )
    )


def _guided(arm: ArmScore, position: int) -> Figure:
    curves = [
        charts.Curve(
            name,
            position,
            [(tokens, pair[i], pair[i], pair[i]) for tokens, *pair in arm.plain_vs_guided],
            look=position + 2 * i,
        )
        for i, name in enumerate(("without guidance", "revised under guidance"))
    ]
    last = arm.plain_vs_guided[-1]
    label = (
        f"{arm.arm} in training, plain responses and revisions under guidance; at the end {number(last[1])} and"
        f" {number(last[2])}"
    )
    return figure(partial(charts.learning_curves, curves, y_label="primary metric, as sampled", label=label))


def _bins(runs: Sequence[RunRecord], arm: str) -> list[tuple[float, float, int]]:
    return [b for run in runs if run.arm == arm and run.calibration for b in run.calibration.reliability]
