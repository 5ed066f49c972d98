"""What the page of a comparison or of a single run holds, read from `compare.json` or from the run's folder.

A run is shown as a comparison of one: its own policy before training takes the baseline's place in the list of items,
and no sentence about methods is made of it. Nothing is computed here that another page would compute anew.

Left out: how it is written down (`report.py`), and which charts it makes (`figures.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from herl_bench.comparison.analyse import summarize_run
from herl_bench.comparison.finished_runs import FinishedRun, Sample, read_run
from herl_bench.comparison.probe_schema import PROBE
from herl_bench.comparison.schema import Comparison, Contrast, from_json
from herl_bench.errors import UsageError
from herl_bench.reading import UNREADABLE, read_text
from herl_bench.runs import CONFIG, RunFiles

COMPARISON = "compare.json"


@dataclass(frozen=True)
class Pair:
    """Two responses to one item. state: `fixed`, `broken`, `right` (both), `wrong` (both) or `undecided`."""

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
class Contents:
    """groups: names of the two sides of every `Pair.group`. items_note: what the list of items holds."""

    title: str
    kicker: str
    comparison: Comparison
    groups: Mapping[str, tuple[str, str]]
    pairs: tuple[Pair, ...]
    items_note: str


def read_contents(folder: Path) -> Contents:
    """Of a comparison's folder, its compare.json, or a run's folder. Raises `UsageError`."""
    path = folder / COMPARISON if folder.is_dir() else folder
    if path.name == COMPARISON and path.is_file():
        return describe_comparison(from_json(read_text(path, "the comparison"), str(path)))
    if not RunFiles(folder).exists:
        known = f"name a folder with a {CONFIG}, a {COMPARISON} or a {PROBE}"
        raise UsageError(f"{folder}: neither a run nor a comparison: {known}")
    run = read_run(folder)
    try:
        return describe_run(run)
    except UNREADABLE as error:
        raise UsageError(f"{folder}: its files are not as a run writes them: {type(error).__name__}: {error}") from None


def describe_comparison(comparison: Comparison) -> Contents:
    """Every flip of every contrast is in the list of items."""
    tasks, arms = ", ".join(t.task for t in comparison.tasks), " and ".join(a.name for a in comparison.arms)
    seeds = f"{len(comparison.seeds)} seed{'s' if len(comparison.seeds) != 1 else ''}"
    budget = f"{comparison.budget:,} generated tokens each" if comparison.budget else "unequal budgets"
    how = f"{seeds} · {budget}" if comparison.runs else "sets of answers to the same items"
    when = ", in the same seed" if comparison.runs else ""
    return Contents(
        title=f"{arms} on {tasks}",
        kicker=f"{arms} on {tasks} · {how}",
        comparison=comparison,
        groups={_name_group(contrast): (contrast.baseline, contrast.arm) for contrast in comparison.contrasts},
        pairs=tuple(pair for contrast in comparison.contrasts for pair in _pair_flips(contrast)),
        items_note=f"Items that one of the two got right and the other wrong{when}.",
    )


def _pair_flips(contrast: Contrast) -> Iterator[Pair]:
    for flip in contrast.flips:
        state = "fixed" if flip.fixed else "broken"
        sides = flip.baseline_response, flip.response, flip.baseline_missed, flip.missed
        yield Pair(contrast.task, _name_group(contrast), flip.seed, flip.item, state, *sides)


def _name_group(contrast: Contrast) -> str:
    return f"{contrast.arm} against {contrast.baseline}"


def describe_run(run: FinishedRun) -> Contents:
    """Every evaluated item before and after training is in the list of items."""
    comparison = summarize_run(run)
    before = {sample.item.id: sample for sample in run.before.samples}
    after = [(place, sample) for place, sample in enumerate(run.after.samples) if sample.item.id in before]
    budget = f"{comparison.budget:,} generated tokens"
    return Contents(
        title=f"{run.method} on {run.task}, seed {run.seed}",
        kicker=f"{run.method} on {run.task} · seed {run.seed} · {budget} · model {run.settings['model']}",
        comparison=comparison,
        groups={"training": ("before training", "after training")},
        pairs=tuple(_pair_samples(run, place, before[sample.item.id], sample) for place, sample in after),
        items_note="Every evaluated item, before and after training.",
    )


def _pair_samples(run: FinishedRun, place: int, before: Sample, after: Sample) -> Pair:
    sides = before.response, after.response, before.missed, after.missed
    return Pair(run.task, "training", run.seed, place, _name_change(before.outcome, after.outcome), *sides)


def _name_change(before: float | None, after: float | None) -> str:
    if before is None or after is None:
        return "undecided"
    if after == before:
        return "right" if after >= 1 else "wrong"
    return "fixed" if after > before else "broken"
