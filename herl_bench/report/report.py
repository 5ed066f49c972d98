"""Write the report of a comparison or of a single run: one HTML page, or its main plots as images.

    write_report(Path("runs/gsm8k-herl-s0"))      # runs/gsm8k-herl-s0/report.html

Left out: what the page holds (`contents.py`), the verdict's rules (`herl_bench.compare`), its safety (`page.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from herl_bench.comparison.schema import ArmScore, Audit, Comparison, Contrast, RunRecord, TaskItems
from herl_bench.comparison.verdict import describe_aside
from herl_bench.errors import describe_error
from herl_bench.report.contents import Contents, read_contents
from herl_bench.report.drawing import Chart, to_png
from herl_bench.report.figures import place_arms, plot_criteria, plot_guided, plot_overview, plot_task
from herl_bench.report.page import render
from herl_bench.report.probe import find_probe, plot_probe, probe_to_html, read_probe
from herl_bench.runs import RunFiles
from herl_bench.saving import write_whole

log = logging.getLogger("herl_bench")
UNFAIR = "Not a fair comparison"


@dataclass(frozen=True)
class TaskView:
    """What the page shows of one task. heat, guided: by arm."""

    items: TaskItems
    arms: tuple[ArmScore, ...]
    contrasts: tuple[Contrast, ...]
    runs: tuple[RunRecord, ...]
    figures: Mapping[str, Chart]
    heat: Mapping[str, Chart]
    guided: Mapping[str, Chart]


def write_report(folder: Path, target: Path | None = None) -> Path:
    """The page of the run, comparison or probe in `folder` (or of its compare.json or probe.json), as `report.html`
    there or as `target`; gives where it is. Raises `UsageError`, `SaveError`."""
    path = target or RunFiles(folder if folder.is_dir() else folder.parent).report
    probe = find_probe(folder)
    write_whole(path, probe_to_html(read_probe(probe)) if probe else to_html(read_contents(folder)))
    return path


def try_report(folder: Path) -> None:
    """`write_report`, but whatever goes wrong is one warning, and `herl-bench report` makes the page again."""
    try:
        write_report(folder)
    except Exception as error:
        log.warning("warning: no report of %s: %s; everything else there is whole", folder, describe_error(error))


def write_plots(folder: Path, target: Path | None = None) -> list[Path]:
    """The main plots as PNG in `target` (`plots/` in the folder): `differences.png`, where anything differs, and
    `TASK-PLOT.png`. As it goes about without its page, inequality of arms stands under each, and what in its title."""
    place = target or (folder if folder.is_dir() else folder.parent) / "plots"
    if probe := find_probe(folder):
        charts = plot_probe(read_probe(probe))
        for name, chart in charts.items():
            to_png(chart, place / f"{name}.png")
        return [place / f"{name}.png" for name in charts]
    comparison = read_contents(folder).comparison
    charts = {"differences": overview} if (overview := plot_overview(comparison)) else {}
    for view in _view_tasks(comparison):
        task = view.items.task
        charts |= {f"{task}-{name}": chart for name, chart in view.figures.items()}
        charts |= {f"{task}-criteria-{arm}": chart for arm, chart in view.heat.items()}
    unequal = "; ".join(comparison.unequal)
    under, beside = (f"{UNFAIR}: made with --allow_unequal", f". {UNFAIR}: {unequal}") if unequal else ("", "")
    for name, chart in charts.items():
        to_png(Chart(chart.label + beside, chart.draw), place / f"{name}.png", under)
    return [place / f"{name}.png" for name in charts]


def to_html(contents: Contents) -> str:
    comparison = contents.comparison
    return render(
        "report.html.j2",
        title=contents.title,
        report=contents,
        comparison=comparison,
        tasks=list(_view_tasks(comparison)),
        positions=place_arms(comparison),
        differences=plot_overview(comparison),
        aside=describe_aside,
        calibrated=any(run.calibration for run in comparison.runs),
        audited=any(run.audits for run in comparison.runs),
        texts={
            "items": {
                t.task: [{"id": i.id, "prompt": i.prompt, "target": i.target, "family": i.family} for i in t.items]
                for t in comparison.tasks
            },
            "groups": contents.groups,
            "pairs": [vars(pair) for pair in contents.pairs],
            "audits": [_describe_audit(run, audit) for run in comparison.runs for audit in run.audits],
        },
    )


def _view_tasks(comparison: Comparison) -> Iterator[TaskView]:
    places = place_arms(comparison)
    for items in comparison.tasks:
        arms = tuple(arm for arm in comparison.arm_scores if arm.task == items.task)
        runs = tuple(run for run in comparison.runs if run.task == items.task)
        yield TaskView(
            items=items,
            arms=arms,
            contrasts=tuple(c for c in comparison.contrasts if c.task == items.task),
            runs=runs,
            figures=plot_task(items, arms, runs, places),
            heat={arm.arm: plot_criteria(arm, places[arm.arm]) for arm in arms if arm.criteria_curves},
            guided={arm.arm: plot_guided(arm, places[arm.arm]) for arm in arms if arm.plain_vs_guided},
        )


def _describe_audit(run: RunRecord, audit: Audit) -> dict[str, Any]:
    """In the words of `page.js`."""
    before, after = audit.reward_before, audit.reward_after
    if before is None or after is None:
        state = "undecided"
    else:
        state = "improved" if after > before else "worse" if after < before else "same"
    words = {key: value for key, value in asdict(audit).items() if not key.startswith("reward_")}
    place = {"task": run.task, "arm": run.arm, "seed": run.seed}
    return {**place, **words, "state": state, "before": before, "after": after}
