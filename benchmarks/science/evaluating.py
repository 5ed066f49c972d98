"""The parts that evaluate what other parts trained, by `herl-bench eval` with other options than a run's own evaluation
has.

`refine-*`: self-improvement at test time. The base policy is improved without any training: best of revision.
`sampled-*`: several responses per problem at a temperature, for pass@1 and pass@k. Left out: sampling several
revisions; intervals and words (`page.py`).
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

ROUND = ("revised", "kept", "fixed", "broken", "tokens", "errors")


@dataclass(frozen=True)
class Evaluation:
    """policy: base, or the method that trained it. seed: of that training. way: a critique, or `sampled`. options: of
    `herl-bench eval`. model,
    directory: what is evaluated, and where the results go."""

    policy: str
    seed: int | None
    way: str
    options: tuple[str, ...]
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


def plan_evaluations(asked: Mapping[str, Any], runs: Path, directory: Path) -> list[Evaluation]:
    """asked: the part's file. runs: where the trained policies lie."""
    policies: list[tuple[str, int | None, str]] = [("base", None, "tiny")]
    policies += [
        (m, seed, str(runs / f"{asked['task']}-{m}-s{seed}")) for seed in asked["seeds"] for m in asked["methods"]
    ]
    ways = {
        critique: ("--refine", str(asked["rounds"]), "--critique", critique) for critique in asked.get("critiques", ())
    }
    if "n" in asked:
        ways["sampled"] = ("--temperature", str(asked["temperature"]), "--n", str(asked["n"]), "--log_samples")
    return [
        Evaluation(
            policy, seed, way, options, model, directory / f"{policy}{'' if seed is None else f'-s{seed}'}-{way}"
        )
        for policy, seed, model in policies
        for way, options in ways.items()
    ]


def run(asked: Mapping[str, Any], runs: Path, directory: Path) -> int:
    """Make the evaluations that are missing, one after the other. Gives 1 where a policy is not there, or the exit code
    of the first that fails."""
    failed = 0
    for one in plan_evaluations(asked, runs, directory):
        if one.model != "tiny" and not RunFiles(Path(one.model)).finished:
            print(f"{one.model} is not there yet: run the part that trains it first", file=sys.stderr)
            failed = 1
        elif one.find_results() is None:
            words = ["eval", "--tasks", asked["task"], "--model", one.model, "--limit", str(asked["items"])]
            words += [*one.options, "--output_path", str(one.directory)]
            code = subprocess.run([sys.executable, "-m", "herl_bench", *words], stdout=subprocess.DEVNULL).returncode
            if code:
                return code
    return failed


def collect_evaluations(asked: Mapping[str, Any], runs: Path, directory: Path) -> dict[str, Any] | None:
    """One row per evaluation that is there, and what they have in common."""
    every = plan_evaluations(asked, runs, directory)
    there = [
        (one, json.loads(place.read_text(encoding="utf-8"))["herl_bench"])
        for one in every
        if (place := one.find_results()) is not None
    ]
    if not there:
        return None
    head = {"planned": len(every), "finished": len(there), **{name: asked[name] for name in ("task", "items", "seeds")}}
    head["versions"] = {"herl_bench": there[0][1]["version"]}
    if "n" not in asked:
        return {
            **head,
            "rounds": asked["rounds"],
            "round": ("metric", *ROUND),
            "runs": [_keep_refined(asked["task"], *one) for one in there],
        }
    samples = [one.read_samples() for one, _ in there]
    planted = write_marks(row["doc"]["info"].get("planted") for row in samples[0])
    rows = [_keep_sampled(one, its) for (one, _), its in zip(there, samples, strict=True)]
    return {**head, **{name: asked[name] for name in ("methods", "temperature", "n")}, "planted": planted, "runs": rows}


def _keep_refined(task: str, one: Evaluation, ours: Mapping[str, Any]) -> dict[str, Any]:
    """After each round the primary metric, what was revised, fixed and broken, and the tokens."""
    rounds = [
        [round(next(iter(r["metrics"].values()))["value"], 5), *(r[name] for name in ROUND)]
        for r in ours["refined"][task]["rounds"]
    ]
    return {"policy": one.policy, "seed": one.seed, "critique": one.way, "rounds": rounds}


def _keep_sampled(one: Evaluation, samples: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """right: how many of a problem's responses are, by the primary metric; null where not every one could be judged."""
    responses = [row["herl_bench"]["responses"] for row in samples]
    outcomes = [[next(iter(r["metrics"].values())) for r in group] for group in responses]
    right = [None if None in values else round(sum(values)) for values in outcomes]
    return {
        "policy": one.policy,
        "seed": one.seed,
        "tokens": sum(r["tokens"] for group in responses for r in group),
        "right": right,
    }
