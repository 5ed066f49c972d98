"""PPO and HeRL on the embedded policies, at the same budget of generated tokens: what the README's table is made of.

    python benchmarks/embedded.py --seeds 1 --budget 100k --output_dir runs/embedded    run what is missing, in turn
    python benchmarks/embedded.py --output_dir runs/embedded --collect                  only write what is there

Each cell is one `herl-bench run` in a process of its own. The results file holds, per run, the evaluation before and
after, what was spent, and the command. It says nothing about significance: with so few seeds nothing can be said.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from herl_bench.runs import Run, RunFiles

TASKS, METHODS = ("gsm8k", "humaneval", "bbh"), ("ppo", "herl")
RESULTS = Path(__file__).parent / "results" / "embedded.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", type=int, default=1, help="seeds 0 to N-1")
    parser.add_argument("--budget", default="100k")
    parser.add_argument("--output_dir", type=Path, required=True)
    parser.add_argument("--collect", action="store_true", help="run nothing")
    given = parser.parse_args()
    cells = [
        (task, method, seed) for task in given.tasks.split(",") for seed in range(given.seeds) for method in METHODS
    ]
    for task, method, seed in cells:
        files = RunFiles(given.output_dir / f"{task}-{method}-s{seed}")
        if not given.collect and not files.finished:
            subprocess.run(build_command(task, method, seed, given.budget, given.output_dir), check=True)
    found = [read_result(given.output_dir / f"{task}-{method}-s{seed}") for task, method, seed in cells]
    RESULTS.parent.mkdir(exist_ok=True)
    how = {
        "command": (
            " ".join(
                ["OMP_NUM_THREADS=1" if os.environ.get("OMP_NUM_THREADS") == "1" else "", "python", *sys.argv]
            ).strip()
        )
    }
    RESULTS.write_text(json.dumps({**how, "runs": found}, indent=1) + "\n", encoding="utf-8")
    print(write_table(found))


def build_command(task: str, method: str, seed: int, budget: str, output_dir: Path) -> list[str]:
    words = [
        "run",
        "--task",
        task,
        "--method",
        method,
        "--budget",
        budget,
        "--seed",
        str(seed),
        "--output_dir",
        str(output_dir),
    ]
    return [sys.executable, "-m", "herl_bench", *words]


def read_result(directory: Path) -> dict[str, Any]:
    run = Run(directory)
    manifest, last = run.manifest, run.metrics[-1]
    task, method, seed = directory.name.rsplit("-", 2)
    kept = ("metrics", "planted", "criteria", "unparsed", "truncated", "empty", "errors", "items")
    return {
        "task": task,
        "method": method,
        "seed": int(seed.removeprefix("s")),
        **{name: {k: run.evaluation(name).summary[k] for k in kept} for name in ("before", "after")},
        "spent": {k: last[k] for k in ("tokens", "rollouts", "reward_calls", "optimizer_steps", "step")},
        "bonus_gate": last.get("bonus_gate"),
        "base_model_sha256": manifest["base_model"]["sha256"],
        "libraries": manifest["libraries"],
    }


def write_table(found: list[dict[str, Any]]) -> str:
    """Markdown: the primary metric, all problems and planted ones."""
    lines = ["| task | method | before | after | planted, before → after | tokens |", "|---|---|---|---|---|---|"]
    for run in found:
        primary = next(iter(run["after"]["metrics"]))
        before, after = (
            (run[when]["metrics"][primary], run[when]["planted"]["planted"]) for when in ("before", "after")
        )
        lines.append(
            f"| {run['task']} | {run['method']} | {before[0]['value']:.3f} ± {before[0]['stderr']:.3f} |"
            f" {after[0]['value']:.3f} ± {after[0]['stderr']:.3f} | {before[1]['value']:.2f} → {after[1]['value']:.2f}"
            f" | {run['spent']['tokens']:,} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
