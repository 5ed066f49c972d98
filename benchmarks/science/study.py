"""The study of HeRL against its peers: run its parts, collect them into `results/` (`archive.py`), fit the forecast
(`forecast.py`), and write `docs/results.md` with its pictures from the tables there.

    python benchmarks/science/study.py                                    run everything that is missing, part by part
    python benchmarks/science/study.py --parts rules-gsm8k,controls-bbh   run these parts
    python benchmarks/science/study.py --collect                          run nothing; read what is there
    python benchmarks/science/study.py --list                             the parts, and what they cost

`parts.py` says what a part is. Killed at any moment, the same command goes on. Collecting rewrites the results of every
part that has finished runs in --output_dir, unless those there hold more of them; parts that lie elsewhere keep theirs.

Left out: anything that decides what the numbers mean (`page.py`, by rules), and arms or statistics of its own: both are
`herl-bench compare`'s and `herl-bench probe`'s.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import evaluating
import forecast
import page
import pictures
import yaml
from archive import read_raw, read_tables, write_results
from collect import collect_runs, plan_part
from parts import PARTS, PASSES, PROBED, TUNED, Part, estimate_minutes, read_tuned
from tables import EDITION, choose_best

from herl_bench.comparison.forecast import PLACE
from herl_bench.comparison.probe_schema import PROBE
from herl_bench.errors import HerlBenchError
from herl_bench.experiment.grid import SweepPlan
from herl_bench.experiment.probe import METHOD_SETTINGS
from herl_bench.plugins import load_host
from herl_bench.report.drawing import to_png
from herl_bench.saving import write_whole

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
INTERRUPTED = 130
PROBE_SEED = 100
"""No run trains on the problems that are probed in the same order."""
SAMPLED_ITEMS = 500


@dataclass(frozen=True)
class Asked:
    """What every part is run with. results: where a study other than the committed one goes. more: further `--set` of
    `herl-bench compare`. items: problems of a probe."""

    output_dir: Path
    results: Path | None
    jobs: int | None
    seeds: str | None
    more: list[str]
    items: int = PROBED

    @property
    def tables(self) -> Path:
        return self.results or HERE / "results"

    def folder(self, part: Part) -> Path:
        return self.output_dir / part.folder

    def policy(self, part: Part) -> Path:
        """The folder of a part's own policy."""
        return self.output_dir / "policies" / part.name

    def build_grid(self, part: Part) -> dict[str, Any]:
        grid = part.build_grid()
        if part.policy:
            grid["settings"]["model"] = str(self.policy(part))
        return grid

    def plan(self, part: Part) -> SweepPlan:
        return plan_part(self.build_grid(part), self.more, self.seeds, self.folder(part))

    def probed(self, part: Part, arm: str) -> Path:
        """Where the probe of a cell goes."""
        return self.output_dir / "probes" / f"{part.name}-{arm}"

    def evaluations(self, part: Part) -> list[evaluating.Evaluation]:
        place = self.folder(part) / "runs"
        return evaluating.plan_evaluations(part.task, part.arms, part.seeds, place, self.output_dir / part.name)


def main() -> int:
    given, parts = read_arguments()
    if given.list:
        list_costs(parts)
        return 0
    asked = Asked(given.output_dir, given.results, given.jobs, given.seeds, given.more, given.items)
    failed, code = [], 0
    for part in parts:
        if not given.collect and code != INTERRUPTED:
            code = run(part, asked)
            failed += [part.name] if code else []
            collect([part], asked)
    if given.collect:
        collect(parts, asked)
    write_documents(asked)
    if failed:
        print(f"Not whole: {', '.join(failed)}", file=sys.stderr)
    return INTERRUPTED if code == INTERRUPTED else 1 if failed else 0


def read_arguments() -> tuple[argparse.Namespace, list[Part]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    every = ",".join(part.name for part in PARTS)
    parser.add_argument("--parts", default=every, help="comma-separated; all if left out")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/science"), help="where the runs lie or go")
    parser.add_argument("--results", type=Path, help="where results and pages go, instead of the committed ones")
    parser.add_argument("--jobs", type=int, help="runs at a time; one per processor if left out")
    parser.add_argument("--seeds", help="instead of the parts'; needs --results")
    parser.add_argument("--items", type=int, default=PROBED, help="problems of a probe; others need --results")
    more = {"action": "append", "default": [], "metavar": "KEY=VALUE"}
    parser.add_argument("--set", dest="more", help="instead of the parts'; needs --results", **more)
    parser.add_argument("--collect", action="store_true", help="run nothing")
    parser.add_argument("--list", action="store_true", help="say what parts there are, and run nothing")
    given = parser.parse_args()
    known = {part.name: part for part in PARTS}
    names = [name.strip() for name in given.parts.split(",")]
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no part {', '.join(unknown)}: choose from {', '.join(known)}")
    if (given.seeds or given.more or given.items != PROBED) and not given.results:
        another = "make another study than the committed one: say with --results where its results go"
        parser.error(f"--seeds, --items and --set {another}")
    return given, [known[name] for name in names]


def list_costs(parts: Sequence[Part]) -> None:
    done: set[tuple[str, str, str, int]] = set()
    total = 0.0
    print(f"{'part':<19} {'minutes':>7} {'so far':>7}")
    for part in parts:
        total += (minutes := estimate_minutes(part, done))
        print(f"{part.name:<19} {minutes:>7.1f} {total:>7.1f}  {part.what}, {part.task}: {', '.join(part.arms)}")


# ------------------------------------------------------------------------------------------------------------------ run
def run(part: Part, asked: Asked) -> int:
    print(f"{part.name}: {part.what}", file=sys.stderr)
    if part.samples:
        return evaluating.run(asked.evaluations(part), part.task, SAMPLED_ITEMS, part.samples)
    if part.policy and (code := warmstart(part, asked.policy(part))):
        return code
    try:
        codes = [call(words) for words in write_commands(part, asked)]
    except HerlBenchError as error:
        print(f"{part.name}: {error}", file=sys.stderr)
        return 2
    return INTERRUPTED if INTERRUPTED in codes else max(codes)


def write_commands(part: Part, asked: Asked) -> Iterator[list[str]]:
    """`herl-bench probe` for each cell that has none yet, and `herl-bench compare`."""
    for arm in part.cells:
        if find_probe(asked.probed(part, arm)) is None:
            yield write_probe(part, arm, asked)
    grid = asked.output_dir / "grids" / f"{part.name}.yaml"
    grid.parent.mkdir(parents=True, exist_ok=True)
    write_whole(grid, yaml.safe_dump(asked.build_grid(part), sort_keys=False))
    words = ["compare", "--grid", str(grid), "-o", str(asked.folder(part))]
    words += [word for assignment in asked.more for word in ("--set", assignment)]
    words += ["--seeds", asked.seeds] if asked.seeds else []
    yield words + (["--jobs", str(asked.jobs)] if asked.jobs else [])


def call(words: Sequence[str]) -> int:
    return subprocess.run([sys.executable, "-m", "herl_bench", *words]).returncode


def warmstart(part: Part, folder: Path) -> int:
    """Train the part's own policy, where it is not there: by the embedded policy's command and the part's settings
    after its own."""
    if (folder / "warmstart.json").is_file():
        return 0
    embedded = load_host().get("task", part.task).policy
    words = shlex.split(json.loads((embedded / "warmstart.json").read_text(encoding="utf-8"))["command"])
    words[words.index("DIR")] = str(folder)
    return call(words[1:] + [word for assignment in part.policy.split() for word in ("--set", assignment)])


def write_probe(part: Part, arm: str, asked: Asked) -> list[str]:
    """`herl-bench probe` of the starting policy, with the settings of an arm of HeRL as far as they matter to it."""
    settings = next(found.settings for found in asked.plan(part).arms if found.name == arm)
    level = settings.get("hint_level", "reference")
    words = ["probe", "--task", part.task, "--items", str(asked.items), "--seed", str(PROBE_SEED)]
    words += ["--arms", f"resample,again,{level},other", "--output_dir", str(asked.probed(part, arm))]
    words += ["--model", str(settings.get("model", "tiny")), "--data", str(settings["data"])]
    for name in (*METHOD_SETTINGS, "problems", "difficulty"):
        if name in settings:
            words += ["--set", f"{name}={settings[name]}"]
    return words


def find_probe(folder: Path) -> Path | None:
    return next(iter(sorted(folder.glob(f"*/{PROBE}"))), None)


# -------------------------------------------------------------------------------------------------------------- collect
def collect(parts: Sequence[Part], asked: Asked) -> None:
    """Rewrite the results of these parts; of one that holds more finished runs than its folder they are kept."""
    raw = read_raw(asked.tables)
    found = {part.name: new for part in parts if (new := collect_part(part, asked, raw.get(part.name)))}
    if not found:
        return
    write_results(asked.tables, {**raw, **found})
    for part in parts:
        if part.name.startswith("tune-") and asked.results is None and part.name in found:
            write_tuned(part, found[part.name])


def collect_part(part: Part, asked: Asked, kept: dict[str, Any] | None) -> dict[str, Any] | None:
    """kept: the part's results so far. None where there is nothing better."""
    try:
        if part.samples:
            found = evaluating.collect_evaluations(asked.evaluations(part), SAMPLED_ITEMS, part.samples)
        else:
            found = collect_runs(asked.plan(part), part.baselines)
    except HerlBenchError as error:
        print(f"{part.name}: not collected: {error}", file=sys.stderr)
        return None
    if found is None:
        return None
    if kept and kept["finished"] > found["finished"]:
        print(f"{part.name}: {kept['finished']} runs are kept; here are {found['finished']}", file=sys.stderr)
        return None
    head: dict[str, Any] = {"edition": EDITION, "part": part.name, "task": part.task, "folder": part.folder}
    head["command"] = part.command
    if part.policy:
        made = json.loads((asked.policy(part) / "warmstart.json").read_text(encoding="utf-8"))
        fields_kept = {name: made[name] for name in ("command", "versions", "minutes", "evaluation")}
        head["policy"] = {"changed": part.policy, **fields_kept}
    places = {arm: find_probe(asked.probed(part, arm)) for arm in part.cells}
    probes = {arm: json.loads(place.read_text(encoding="utf-8")) for arm, place in places.items() if place}
    print(f"{part.name}: {found['finished']} of {found['planned']} runs, {len(probes)} probes", file=sys.stderr)
    return {**head, **found, **({"probes": probes} if probes else {})}


def write_tuned(part: Part, found: dict[str, Any]) -> None:
    """What the tuning chose, once all of it is there."""
    if page.count_unfinished(found):
        return
    chosen = {}
    for method, arm in choose_best(found).items():
        names = ("rollouts_per_step", PASSES[method])
        chosen[method] = {name: found["arms"][arm][name] for name in names}
    head, _, _ = TUNED.read_text(encoding="utf-8").partition("\n\n")
    write_whole(TUNED, f"{head}\n\n{yaml.safe_dump({**read_tuned(), part.task: chosen}, sort_keys=False)}")


def write_documents(asked: Asked) -> None:
    """The forecast, the pictures and the page; nothing while there are no results."""
    tables = read_tables(asked.tables)
    if not tables:
        return
    made = forecast.write_forecast(read_raw(asked.tables), asked.results / PLACE.name if asked.results else PLACE)
    docs = asked.results or ROOT / "docs"
    charts = pictures.make_charts(tables, made)
    for name, chart in charts.items():
        to_png(chart, docs / "results" / f"{name}.png")
    write_whole(docs / "results.md", page.write_page(PARTS, tables, made, charts))


if __name__ == "__main__":
    sys.exit(main())
