"""Publish a folder of bundles as a static site: `index.html` for all, a page per task, a page per entry. An entry that
is not sound is named with what is wrong, and not ranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from herl_bench.compare.finished_runs import FinishedRun, read_run
from herl_bench.compare.run_records import measure_spending
from herl_bench.compare.verdict import describe_aside
from herl_bench.errors import HerlBenchError, UsageError
from herl_bench.leaderboard.bundle import CLAIMS, strip_bundle, strip_folders
from herl_bench.leaderboard.entries import Entry, describe_run, describe_unreadable, drop_twins, shorten, walk_folders
from herl_bench.leaderboard.ranking import rank_entries
from herl_bench.leaderboard.tables import place_rows, render_tables
from herl_bench.reading import UNREADABLE
from herl_bench.report.page import render
from herl_bench.saving import write_whole

Verify = Callable[[Path], tuple[list[str], bool]]


def build_site(folder: Path, site: Path, verify: Verify, metric: str | None = None) -> dict[Path, list[str]]:
    """verify: what is wrong with a bundle, as `verify_bundle` with its referee.

    Gives what is wrong by bundle, an entry's twin among it; empty where all are sound. Raises `UsageError` where there
    is no bundle.
    """
    bundles = find_bundles(folder)
    refused: dict[Path, list[str]] = {}
    for bundle in bundles:
        try:
            problems, _ = verify(bundle)
        except HerlBenchError as error:  # one that cannot be begun with is refused like others; the rest is built
            problems = [strip_bundle(bundle, str(error))]
        if problems:
            refused[bundle] = problems
    return _write_site(folder, bundles, site, refused, metric)


def find_bundles(folder: Path) -> list[Path]:
    """In order of name. Raises `UsageError` where there is none."""
    found = [place for place, names in walk_folders(folder) if CLAIMS in names]
    if not found:
        raise UsageError(f"{folder}: no bundle in it: make one with herl-bench leaderboard bundle RUN -o {folder}/NAME")
    return found


def _write_site(
    folder: Path, bundles: Sequence[Path], site: Path, refused: Mapping[Path, list[str]], metric: str | None
) -> dict[Path, list[str]]:
    refused, pages = dict(refused), {str(bundle): f"entry-{number}.html" for number, bundle in enumerate(bundles, 1)}
    sound: dict[str, tuple[Entry, str]] = {}
    for bundle in bundles:
        if bundle not in refused:
            try:
                run = read_run(bundle, metric)
                sound[str(bundle)] = describe_run(run), _render_entry(run)
            except UsageError as error:
                refused[bundle] = [shorten(strip_bundle(bundle, str(error)))]
            except UNREADABLE as error:
                refused[bundle] = [shorten(describe_unreadable(error))]
    kept, twins = drop_twins([entry for entry, _ in sound.values()])
    refused |= {Path(bundle): [shorten(strip_bundle(Path(bundle), line))] for bundle, line in twins.items()}
    for entry in kept:
        write_whole(site / pages[entry.folder], sound[entry.folder][1])
    tables = rank_entries(kept)
    places = place_rows(tables)
    for task in dict.fromkeys(table.task for table in tables):
        same = [table for table in tables if table.task == task]
        write_whole(site / f"task-{task}.html", render_tables(task, same, places, links=pages, up="index.html"))
    named = [
        (bundle.name, strip_folders([line.replace(f"{folder}/", "") for line in problems]))
        for bundle, problems in sorted(refused.items())
    ]
    index = render_tables("Leaderboard", tables, places, links=pages, refused=named, pages=True)
    write_whole(site / "index.html", index)
    return refused


def _render_entry(run: FinishedRun) -> str:
    before, after = run.before.summary, run.after.summary
    samples = [
        {
            "id": sample.item.id,
            "prompt": sample.item.prompt,
            "target": sample.item.target,
            "family": sample.item.family or "",
            "seed": run.seed,
            "response": sample.response,
            "missed": sample.missed,
            "state": "undecided" if sample.outcome is None else "met" if sample.outcome >= 1 else "missed",
        }
        for sample in run.after.samples
    ]
    undecided = sum(sample.outcome is None for sample in run.after.samples)
    shared = sum(sample.integrity == "shared" for sample in run.after.samples)
    return render(
        "entry.html.j2",
        title=f"{run.method} on {run.task}, seed {run.seed}",
        run=replace(run, settings=strip_folders(run.settings), manifest=strip_folders(run.manifest)),
        used=measure_spending(run),
        beside=describe_aside(undecided, shared, len(run.after.samples)),
        scores=[(key, before["metrics"].get(key), score) for key, score in after["metrics"].items()],
        criteria=[(key, before["criteria"].get(key), score) for key, score in after["criteria"].items()],
        texts={"samples": samples},
    )
