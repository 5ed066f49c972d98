"""The study of HeRL against its peers: run its parts, collect them into `results/` (`archive.py`), and write
`docs/results.md` from the tables there.

    python benchmarks/science/study.py                                   run everything that is missing, part by part
    python benchmarks/science/study.py --parts main-gsm8k,controls-bbh   run these parts
    python benchmarks/science/study.py --collect                         run nothing; read what is there
    python benchmarks/science/study.py --list                            the parts, and what they cost

A part is a grid of `herl-bench compare` (`grids/PART.yaml`), run with the settings that `tuned.yaml` holds for its
task; some evaluate what others trained (`evaluating.py`). Killed at any moment, the same command goes on. Parts of one
task share a folder, so that an arm that two of them have, with the same settings, is run once. Collecting rewrites the
results of every part that has finished runs in --output_dir, unless those there hold more of them; parts that lie
elsewhere keep theirs.

Left out: anything that decides what the numbers mean (`page.py`, by rules), and arms or statistics of its own: both are
`herl-bench compare`'s.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import evaluating
import page
import yaml
from archive import read_raw, read_tables, write_results
from collect import collect_runs, plan_part

from herl_bench.errors import HerlBenchError
from herl_bench.plugins import load_host
from herl_bench.saving import write_whole

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TASKS = ("gsm8k", "humaneval", "bbh")
INTERRUPTED = 130


@dataclass(frozen=True)
class Part:
    """name: of the results, and of the grid where that has no other name. baselines: arms that all others are
    compared with. view: which of `page.py`'s. tuned: takes `tuned.yaml`'s settings. alone: shares its folder, and so
    its runs, with no other part of its task. beside: the part whose folder it shares instead. policy: settings of
    `herl-bench warmstart` in which its own policy differs from the embedded one; none for that one itself."""

    name: str
    task: str
    baselines: tuple[str, ...] = ("ppo",)
    view: str = "methods"
    tuned: bool = True
    alone: bool = False
    beside: str = ""
    policy: str = ""

    @property
    def grid(self) -> Path:
        return HERE / "grids" / ("depth.yaml" if self.name.startswith("depth-") else f"{self.name}.yaml")

    @property
    def evaluates(self) -> bool:
        """Trains nothing."""
        return self.view in ("refined", "sampled")

    @property
    def folder(self) -> str:
        """Inside --output_dir."""
        return self.beside or (self.name if self.alone else self.task)

    @property
    def about(self) -> str:
        """The grid's own first line."""
        if not self.grid.is_file():
            return (
                f"PPO's passes per step and entropy bonus at the best setting of tune-{self.task}, which comes first. 5"
                " runs, about 8 CPU minutes."
            )
        return (
            self.grid.read_text(encoding="utf-8")
            .splitlines()[0]
            .removeprefix("#")
            .strip()
            .replace("SHARE", self.name.removeprefix("depth-"))
        )

    @property
    def command(self) -> str:
        return f"python benchmarks/science/study.py --parts {self.name}"

    @property
    def chosen(self) -> dict[str, Any]:
        """Of its task, out of `tuned.yaml`."""
        settings: dict[str, Any] = yaml.safe_load((HERE / "tuned.yaml").read_text(encoding="utf-8"))[self.task]
        return settings

    def settings(self) -> list[str]:
        """`--set` of `herl-bench compare`: what was tuned, as far as any of the part's methods has it."""
        if not self.tuned:
            return []
        grid, host = yaml.safe_load(self.grid.read_text(encoding="utf-8")), load_host()
        methods = grid.get("methods") or [arm["method"] for arm in grid["arms"].values()]
        known = {field.name for method in methods for field in fields(host.get("method", method).config)}
        return [f"{name}={value}" for name, value in self.chosen.items() if name in known]


PARTS = (
    *(
        Part(
            f"tune-{task}", task, ("ppo learning_rate=0.0003 rollouts_per_step=64",), "tuning", tuned=False, alone=True
        )
        for task in TASKS
    ),
    *(Part(f"tune-more-{task}", task, ("as-tuned",), "tuning", tuned=False, alone=True) for task in TASKS),
    *(Part(f"tune-herl-{task}", task, ("one-pass",), "tuning", tuned=False, alone=True) for task in TASKS),
    *(Part(f"main-{task}", task) for task in TASKS),
    *(Part(f"curves-{task}", task, view="curves", alone=True) for task in ("gsm8k", "bbh")),
    Part("curves-gsm8k-faster", "gsm8k", view="curves", tuned=False, beside="curves-gsm8k"),
    *(Part(f"controls-{task}", task, ("ppo", "herl"), view="variants") for task in ("bbh", "gsm8k", "humaneval")),
    *(
        Part(f"ablations-{what}", "gsm8k", ("ppo", "herl"), view="variants")
        for what in ("bonus", "training", "guidance")
    ),
    Part("ablations-training-bbh", "bbh", ("ppo", "herl"), view="variants"),
    Part("ablations-bonus-humaneval", "humaneval", ("ppo", "herl"), view="variants"),
    *(Part(f"sampled-{task}", task, view="sampled") for task in TASKS),
    Part("sampled-gsm8k-faster", "gsm8k", view="sampled", beside="curves-gsm8k"),
    *(Part(f"refine-{task}", task, view="refined") for task in ("bbh", "gsm8k")),
    *(Part(f"plain-{task}", task, alone=True) for task in ("gsm8k", "bbh")),
    Part(
        "controls-followed",
        "gsm8k",
        ("ppo", "herl"),
        view="variants",
        alone=True,
        policy="off_topic=0.2 schedule=cosine",
    ),
    *(
        Part(f"depth-{share}", "gsm8k", view="scores", alone=True, policy=f"planted_share={share / 100}")
        for share in (50, 70, 85)
    ),
    Part("reasoning_gym", "reasoning_gym", alone=True),
)


@dataclass(frozen=True)
class Asked:
    """What every part is run with. more: further `--set` of `herl-bench compare`."""

    output_dir: Path
    results: Path
    jobs: int | None
    seeds: str | None
    more: list[str]

    def build_grid(self, part: Part) -> dict[str, Any]:
        """Names and values of `herl-bench compare`'s options."""
        model = [f"model={self.policy(part)}"] if part.policy else []
        return {"grid_file": str(part.grid), "assignments": (*part.settings(), *model, *self.more), "seeds": self.seeds}

    def policy(self, part: Part) -> Path:
        """The folder of a part's own policy."""
        return self.output_dir / "policies" / part.name

    def folder(self, part: Part) -> Path:
        return self.output_dir / part.folder

    def evaluated(self, part: Part) -> tuple[dict[str, Any], Path, Path]:
        """What `evaluating.py` asks for: the part's file, where trained policies lie, where the evaluations go."""
        return (
            yaml.safe_load(part.grid.read_text(encoding="utf-8")),
            self.folder(part) / "runs",
            self.output_dir / part.name,
        )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--parts", default=",".join(part.name for part in PARTS), help="comma-separated; all if left out"
    )
    parser.add_argument("--output_dir", type=Path, default=Path("runs/science"), help="where the runs lie or go")
    parser.add_argument("--results", type=Path, help="where results and results.md go, instead of the committed ones")
    parser.add_argument("--jobs", type=int, help="runs at a time; one per processor if left out")
    parser.add_argument("--seeds", help="instead of the grids'; needs --results")
    parser.add_argument(
        "--set",
        dest="more",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="instead of the grids'; needs --results",
    )
    parser.add_argument("--collect", action="store_true", help="run nothing")
    parser.add_argument("--list", action="store_true", help="say what parts there are, and run nothing")
    given = parser.parse_args()
    known = {part.name: part for part in PARTS}
    names = [name.strip() for name in given.parts.split(",")]
    if unknown := [name for name in names if name not in known]:
        parser.error(f"no part {', '.join(unknown)}: choose from {', '.join(known)}")
    if (given.seeds or given.more) and not given.results:
        parser.error(
            "--seeds and --set make another study than the committed one: say with --results where its results go"
        )
    parts = [known[name] for name in names]
    if given.list:
        print("\n".join(f"{part.name:<20} {part.about}" for part in parts))
        return 0
    asked = Asked(given.output_dir, given.results or HERE / "results", given.jobs, given.seeds, given.more)
    failed, code = [], 0
    for part in parts:
        if not given.collect and code != INTERRUPTED:
            code = run(part, asked)
            failed += [part.name] if code else []
            collect([part], asked)
    if given.collect:
        collect(parts, asked)
    text = page.write_page(PARTS, read_tables(asked.results), HERE / "notes.md")
    write_whole((given.results or ROOT / "docs") / "results.md", text)
    if failed:
        print(f"Not whole: {', '.join(failed)}", file=sys.stderr)
    return INTERRUPTED if code == INTERRUPTED else 1 if failed else 0


def run(part: Part, asked: Asked) -> int:
    print(f"{part.name}: {part.about}", file=sys.stderr)
    if part.evaluates:
        return evaluating.run(*asked.evaluated(part))
    if not part.grid.is_file() and not write_second_grid(part, read_tables(asked.results).get(f"tune-{part.task}", {})):
        return 1
    if part.policy and (code := warmstart(part, asked.policy(part))):
        return code
    given = asked.build_grid(part)
    words = [sys.executable, "-m", "herl_bench", "compare", "--grid", given["grid_file"], "-o", str(asked.folder(part))]
    words += [word for assignment in given["assignments"] for word in ("--set", assignment)]
    words += ["--seeds", asked.seeds] if asked.seeds else []
    words += ["--jobs", str(asked.jobs)] if asked.jobs else []
    return subprocess.run(words).returncode


def write_second_grid(part: Part, tuned: dict[str, Any]) -> bool:
    """The grid of the second round of tuning, out of the finished first: its best setting with more passes per step,
    and with an entropy bonus."""
    if not tuned or page.count_unfinished(tuned):
        print(f"{part.name}: run part tune-{part.task} first, all of it", file=sys.stderr)
        return False
    best = max(tuned["tasks"][0]["arms"], key=lambda arm: arm["score"]["value"])["arm"]
    settings = {name: tuned["arms"][best][name] for name in ("learning_rate", "rollouts_per_step")}
    more = {
        "as-tuned": {},
        "two-passes": {"num_ppo_epochs": 2},
        "four-passes": {"num_ppo_epochs": 4},
        "low-entropy": {"entropy_coef": 0.003},
        "high-entropy": {"entropy_coef": 0.01},
    }
    arms = {word: {"method": "ppo", **settings, **change} for word, change in more.items()}
    grid = {
        "tasks": [part.task],
        "arms": arms,
        "seeds": [100],
        "settings": {"budget": "100k", "eval_items": 500},
        "baseline": "as-tuned",
    }
    write_whole(
        part.grid,
        f"# {part.about}\n# Written by study.py from the tuning's results.\n{yaml.safe_dump(grid, sort_keys=False)}",
    )
    return True


def warmstart(part: Part, folder: Path) -> int:
    """Train the part's own policy, where it is not there: by the embedded policy's command and the part's settings
    after its own."""
    if (folder / "warmstart.json").is_file():
        return 0
    embedded = load_host().get("task", part.task).policy
    words = shlex.split(json.loads((embedded / "warmstart.json").read_text(encoding="utf-8"))["command"])
    words[words.index("DIR")] = str(folder)
    words += [word for assignment in part.policy.split() for word in ("--set", assignment)]
    return subprocess.run([sys.executable, "-m", "herl_bench", *words[1:]]).returncode


def collect(parts: Sequence[Part], asked: Asked) -> None:
    """Rewrite the results of these parts; of one that holds more finished runs than its folder they are kept."""
    raw = read_raw(asked.results)
    found = {part.name: new for part in parts if (new := collect_part(part, asked, raw.get(part.name)))}
    if found:
        write_results(asked.results, {**raw, **found}, {part.name: part for part in PARTS})


def collect_part(part: Part, asked: Asked, kept: dict[str, Any] | None) -> dict[str, Any] | None:
    """kept: the part's results so far. None where there is nothing better."""
    if not part.grid.is_file():
        return None
    try:
        if part.evaluates:
            found = evaluating.collect_evaluations(*asked.evaluated(part))
        else:
            found = collect_runs(plan_part(asked.build_grid(part), asked.folder(part)), part.baselines)
    except HerlBenchError as error:
        print(f"{part.name}: not collected: {error}", file=sys.stderr)
        return None
    if found is None:
        return None
    if kept and kept["finished"] > found["finished"]:
        print(f"{part.name}: {kept['finished']} runs are kept; here are {found['finished']}", file=sys.stderr)
        return None
    head: dict[str, Any] = {"part": part.name, "about": part.about, "command": part.command}
    head["settings"] = [] if part.evaluates else [*part.settings(), *asked.more]
    if part.policy:
        made = json.loads((asked.policy(part) / "warmstart.json").read_text(encoding="utf-8"))
        fields_kept = {name: made[name] for name in ("command", "versions", "minutes", "evaluation")}
        head["policy"] = {"changed": part.policy, **fields_kept}
    print(f"{part.name}: {found['finished']} of {found['planned']} runs", file=sys.stderr)
    return {**head, **found}


if __name__ == "__main__":
    sys.exit(main())
