"""A comparison of four runs, seconds each, for the tests of sweeps and for `benchmarks/kills.py`: its words, and what
of its outcome may not change."""

import json
from pathlib import Path
from typing import Any

SETTINGS = (
    "rollouts_per_step=16",
    "max_new_tokens=8",
    "save_steps=1",
    "eval_steps=1",
    "eval_items=8",
    "learning_rate=1e-3",
)
CELLS = [f"gsm8k-{method}-s{seed}" for method in ("herl", "ppo") for seed in (0, 1)]


def tiny_comparison(model: Path, budget: int = 400) -> list[str]:
    """What follows `herl-bench compare`; model: a checkpoint as from `tiny_checkpoint`."""
    small = [word for setting in SETTINGS for word in ("--set", setting)]
    fixed = ["--task", "gsm8k", "--methods", "ppo,herl", "--seeds", "2", "--budget", str(budget), "--data", "synthetic"]
    return [*fixed, "--model", str(model), *small]


def lasting(text: str) -> dict[str, Any]:
    """A `compare.json` without clocks, and without what names folders or the command."""
    data: dict[str, Any] = json.loads(text)
    del data["command"]
    for record in data["runs"]:
        del record["manifest"]["command"]
    for holder in (*data["runs"], *data["arm_scores"]):
        del holder["spent"]["wall_s"]
    return data
