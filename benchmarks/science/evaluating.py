"""The parts that sample from what other parts trained: several responses per problem, by `herl-bench eval`.

Left out: intervals (`tables.py`) and words (`page.py`).
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collect import write_marks

from herl_bench.runs import RunFiles

TEMPERATURE = 1
"""That of training."""


@dataclass(frozen=True)
class Evaluation:
    """policy: base, or the arm that trained it. seed: of that training. model, directory: what is evaluated, and
    where the results go."""

    policy: str
    seed: int | None
    model: str
    directory: Path

    def find_results(self) -> Path | None:
        return self._find("results_*.json")

    def read_samples(self) -> list[dict[str, Any]]:
        """One per problem; what other filters made of the same responses has rows of its own, and is left out."""
        file = self._find("samples_*.jsonl")
        assert file is not None, f"{self.directory} has no samples"
        rows = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
        return [row for row in rows if "herl_bench" in row]

    def _find(self, pattern: str) -> Path | None:
        return next(iter(sorted(self.directory.glob(f"*/{pattern}"))), None)


def plan_evaluations(
    task: str, arms: Iterable[str], seeds: Iterable[int], runs: Path, directory: Path
) -> list[Evaluation]:
    """Of the base policy, and of each arm's with each seed. runs: where the trained policies lie."""
    base = Evaluation("base", None, "tiny", directory / "base")
    return [base] + [
        Evaluation(arm, seed, str(runs / f"{task}-{arm}-s{seed}"), directory / f"{arm}-s{seed}")
        for seed in seeds
        for arm in arms
    ]


def run(planned: Iterable[Evaluation], task: str, items: int, n: int) -> int:
    """Make the evaluations that are missing, one after the other. Gives 1 where a policy is not there, or the exit code
    of the first that fails."""
    failed = 0
    for one in planned:
        if one.model != "tiny" and not RunFiles(Path(one.model)).finished:
            print(f"{one.model} is not there yet: run the part that trains it first", file=sys.stderr)
            failed = 1
        elif one.find_results() is None:
            words = ["eval", "--tasks", task, "--model", one.model, "--limit", str(items), "--data", "synthetic"]
            words += ["--temperature", str(TEMPERATURE), "--n", str(n), "--log_samples"]
            words += ["--output_path", str(one.directory)]
            code = subprocess.run([sys.executable, "-m", "herl_bench", *words], stdout=subprocess.DEVNULL).returncode
            if code:
                return code
    return failed


def collect_evaluations(planned: Iterable[Evaluation], items: int, n: int) -> dict[str, Any] | None:
    """One row per evaluation that is there, and what they have in common."""
    every = list(planned)
    there = [one for one in every if one.find_results() is not None]
    if not there:
        return None
    samples = [one.read_samples() for one in there]
    return {
        "planned": len(every),
        "finished": len(there),
        "seeds": sorted({one.seed for one in every if one.seed is not None}),
        "items": items,
        "temperature": TEMPERATURE,
        "n": n,
        "planted": write_marks(row["doc"]["info"].get("planted") for row in samples[0]),
        "runs": [_keep_sampled(one, its) for one, its in zip(there, samples, strict=True)],
    }


def _keep_sampled(one: Evaluation, samples: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """right: how many of a problem's responses are, by the primary metric; null where not every one could be judged."""
    responses = [row["herl_bench"]["responses"] for row in samples]
    outcomes = [[next(iter(r["metrics"].values())) for r in group] for group in responses]
    right = [None if None in values else round(sum(values)) for values in outcomes]
    return {"policy": one.policy, "seed": one.seed, "right": right}
