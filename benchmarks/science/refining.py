"""Self-improvement at test time, as a part of the study: `herl-bench eval --refine` of the base policy and of policies that another part trained.

The base policy is improved without any training: best of revision. Left out: sampling several revisions.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from herl_bench.compare.sweep import finished

ROUND = ("revised", "kept", "fixed", "broken", "tokens", "errors")


@dataclass(frozen=True)
class Evaluation:
    """policy: base, or the method that trained it. seed: of that training. model, directory: what is evaluated, and where the results go."""

    policy: str
    seed: int | None
    critique: str
    model: str
    directory: Path

    def results(self) -> Path | None:
        return next(iter(sorted(self.directory.glob("*/results_*.json"))), None)


def evaluations(asked: Mapping[str, Any], runs: Path, directory: Path) -> list[Evaluation]:
    """asked: the part's file. runs: where the trained policies lie."""
    policies: list[tuple[str, int | None, str]] = [("base", None, "tiny")]
    policies += [(m, seed, str(runs / f"{asked['task']}-{m}-s{seed}")) for seed in asked["seeds"] for m in asked["methods"]]
    return [
        Evaluation(policy, seed, critique, model, directory / f"{policy}{'' if seed is None else f'-s{seed}'}-{critique}")
        for policy, seed, model in policies
        for critique in asked["critiques"]
    ]


def run(asked: Mapping[str, Any], runs: Path, directory: Path) -> int:
    """Make the evaluations that are missing, one after the other. Gives 1 where a policy is not there, or the exit code of the first that fails."""
    failed = 0
    for one in evaluations(asked, runs, directory):
        if one.model != "tiny" and not finished(Path(one.model)):
            print(f"{one.model} is not there yet: run part main-{asked['task']} first", file=sys.stderr)
            failed = 1
        elif one.results() is None:
            words = [
                "eval",
                "--tasks",
                asked["task"],
                "--model",
                one.model,
                "--limit",
                str(asked["items"]),
                "--refine",
                str(asked["rounds"]),
            ]
            words += ["--critique", one.critique, "--output_path", str(one.directory)]
            code = subprocess.run([sys.executable, "-m", "herl_bench", *words], stdout=subprocess.DEVNULL).returncode
            if code:
                return code
    return failed


def collected(asked: Mapping[str, Any], runs: Path, directory: Path) -> dict[str, Any] | None:
    """One row per evaluation that is there: after each round the primary metric, what was revised, fixed and broken, and the tokens."""
    every = evaluations(asked, runs, directory)
    rows, version = [], ""
    for one in every:
        if (place := one.results()) is not None:
            ours = json.loads(place.read_text(encoding="utf-8"))["herl_bench"]
            version, refined = ours["version"], ours["refined"][asked["task"]]
            rounds = [[round(next(iter(r["metrics"].values()))["value"], 5), *(r[name] for name in ROUND)] for r in refined["rounds"]]
            rows.append({"policy": one.policy, "seed": one.seed, "critique": one.critique, "rounds": rounds})
    if not rows:
        return None
    asked_for = {name: asked[name] for name in ("task", "items", "rounds", "seeds")}
    return {
        "planned": len(every),
        "finished": len(rows),
        **asked_for,
        "versions": {"herl_bench": version},
        "round": ("metric", *ROUND),
        "runs": rows,
    }
