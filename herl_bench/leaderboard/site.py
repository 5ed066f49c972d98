"""Publish a folder of bundles as a static site: `index.html` for all, a page per task, a page per entry. An entry that
is not sound is named with what is wrong, and not ranked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from herl_bench.comparison.finished_runs import FinishedRun, read_run
from herl_bench.comparison.run_records import measure_spending
from herl_bench.comparison.verdict import describe_aside
from herl_bench.errors import HerlBenchError, UsageError
from herl_bench.leaderboard.bundle import CLAIMS, strip_bundle, strip_folders
from herl_bench.leaderboard.entries import Entry, describe_run, describe_unreadable, drop_twins, shorten, walk_folders
from herl_bench.leaderboard.ranking import Table, rank_entries
from herl_bench.leaderboard.tables import place_rows, render_tables
from herl_bench.reading import UNREADABLE
from herl_bench.report.page import render
from herl_bench.saving import write_whole

Verify = Callable[[Path], tuple[list[str], bool]]


def build_site(folder: Path, site: Path, verify: Verify, metric: str | None = None) -> dict[Path, list[str]]:
    """What is wrong, by bundle, an entry's twin among it; empty where all are sound. verify: what is wrong with a
    bundle, as `verify_bundle` with its referee. Raises `UsageError` where there is no bundle."""
    bundles = find_bundles(folder)
    pages = {str(bundle): f"entry-{number}.html" for number, bundle in enumerate(bundles, 1)}
    refused: dict[Path, list[str]] = {}
    sound: dict[str, tuple[Entry, str]] = {}
    for bundle in bundles:
        try:
            problems, _ = verify(bundle)
        except HerlBenchError as error:  # one that cannot be begun with is refused like others; the rest is built
            problems = [strip_bundle(bundle, str(error))]
        try:
            if not problems:
                run = read_run(bundle, metric)
                sound[str(bundle)] = describe_run(run), _render_entry(run)
        except UsageError as error:
            problems = [shorten(strip_bundle(bundle, str(error)))]
        except UNREADABLE as error:
            problems = [shorten(describe_unreadable(error))]
        if problems:
            refused[bundle] = problems
    kept, twins = drop_twins([entry for entry, _ in sound.values()])
    refused |= {Path(bundle): [shorten(strip_bundle(Path(bundle), line))] for bundle, line in twins.items()}
    for entry in kept:
        write_whole(site / pages[entry.folder], sound[entry.folder][1])
    _write_tables(folder, site, rank_entries(kept), pages, refused)
    return refused


def find_bundles(folder: Path) -> list[Path]:
    """In order of name. Raises `UsageError` where there is none."""
    found = [place for place, names in walk_folders(folder) if CLAIMS in names]
    if not found:
        raise UsageError(f"{folder}: no bundle in it: make one with herl-bench leaderboard bundle RUN -o {folder}/NAME")
    return found


def _write_tables(
    folder: Path, site: Path, tables: Sequence[Table], pages: Mapping[str, str], refused: Mapping[Path, list[str]]
) -> None:
    """A page per task, and the index. pages: by bundle."""
    places = place_rows(tables)
    for task in dict.fromkeys(table.task for table in tables):
        same = [table for table in tables if table.task == task]
        write_whole(site / f"task-{task}.html", render_tables(task, same, places, links=pages, up="index.html"))
    lines = [(bundle.name, [line.replace(f"{folder}/", "") for line in refused[bundle]]) for bundle in sorted(refused)]
    named = [(name, strip_folders(problems)) for name, problems in lines]
    index = render_tables("Leaderboard", tables, places, links=pages, refused=named, pages=True)
    write_whole(site / "index.html", index)


def _render_entry(run: FinishedRun) -> str:
    before, after = run.before.summary, run.after.summary
    samples = [
        {
            **{name: getattr(sample.item, name) or "" for name in ("id", "prompt", "target", "family")},
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
