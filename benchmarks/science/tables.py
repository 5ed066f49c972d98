"""From a part's raw results to its table: every arm's numbers over its seeds, as the page and its pictures take them.

Left out: what a number means, and how it is written (`page.py`); anything that is not in the raw results
(`archive.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from herl_bench.comparison.outcomes import estimate_by_kind, estimate_mean, estimate_score
from herl_bench.evaluation.scores import pass_at_k

EDITION = 2
"""Of the study: the first was made with steps of unequal length and with worlds in which one other move is left."""
ANSWER = {"gsm8k": "final_answer", "humaneval": "hidden_tests", "bbh": "right_answer"}
"""The criterion that says whether a response is right."""
HEAD = ("edition", "part", "task", "planned", "finished", "diverged", "budget", "seeds", "versions", "arms")
PROBED = ("drafts", "pass_at", "gaps", "settings", "items")
DIGITS = 8
"""Fewer would round some of the page's numbers twice, to another last digit."""
Raw = Mapping[str, Any]
Row = dict[str, Any]


def tabulate(raw: Raw) -> Row:
    """raw: what `study.py` collected of a part."""
    head = pick(raw, HEAD)
    if "policy" in raw:
        head["policy"] = pick(raw["policy"], ("changed", "minutes"))
    if "n" in raw:
        return {**head, **pick(raw, ("items", "temperature", "n")), "passes": compare_passes(raw)}
    probes = {arm: pick(probe, PROBED) for arm, probe in raw.get("probes", {}).items()}
    return {**head, **tabulate_task(raw["tasks"][0]), "probes": probes}


def tabulate_task(task: Raw) -> Row:
    return {
        **pick(task, ("unequal", "notes", "items")),
        "before": pick(task["before"], ("metric", "planted", "plain", "reward", "families")),
        "scores": {
            arm["arm"]: {
                **pick(arm, ("seeds", "tokens_to_final")),
                **pick_interval(arm["score"]),
                "kinds": {kind: pick_interval(one) for kind, one in arm["kinds"].items()},
                "spent": pick(arm["spent"], ("tokens", "optimizer_steps", "wall_s")),
                "repaired": measure_repair(task["task"], arm),
                "held_out": arm["held_out"],
            }
            for arm in task["arms"]
        },
        "contrasts": [
            {
                **pick(contrast, ("arm", "baseline", "seeds", "p_holm", "verdict")),
                **pick_interval(contrast["difference"]),
                "kinds": {kind: pick_interval(one) for kind, one in contrast["kinds"].items()},
            }
            for contrast in task["contrasts"]
        ],
    }


def pick(values: Raw, names: Iterable[str]) -> Row:
    return {name: values[name] for name in names if name in values}


def pick_interval(one: Raw) -> Row:
    return pick(one, ("value", "low", "high"))


def round_all(value: Any, digits: int = DIGITS) -> Any:
    """With every number in it."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, Mapping):
        return {str(name): round_all(one, digits) for name, one in value.items()}
    return [round_all(one, digits) for one in value] if isinstance(value, list | tuple) else value


def measure_repair(task: str, arm: Raw) -> float | None:
    """Of the revisions of a wrong answer in training, how many were right."""
    found = next((repair for repair in arm["repairs"] if repair["criterion"] == ANSWER.get(task)), None)
    return found["fixed"] / found["missed"] if found and found["missed"] else None


def choose_best(raw: Raw) -> dict[str, str]:
    """Of a tuning, by method the arm with the best score; the first of equals."""
    best: dict[str, Raw] = {}
    for arm in raw["tasks"][0]["arms"]:
        method = raw["arms"][arm["arm"]]["method"]
        if method not in best or arm["score"]["value"] > best[method]["score"]["value"]:
            best[method] = arm
    return {method: arm["arm"] for method, arm in best.items()}


def compare_passes(raw: Raw) -> dict[str, Row]:
    """By metric the intervals of base, ppo and herl, of HeRL's gain over PPO, and of that by kind of problem. Undecided
    problems are left out, and so are seeds that a method lacks."""
    n, runs = raw["n"], {(run["policy"], run["seed"]): run["right"] for run in raw["runs"]}
    seeds = [seed for seed in raw["seeds"] if ("ppo", seed) in runs and ("herl", seed) in runs]
    if not seeds or ("base", None) not in runs:
        return {}
    planted = [None if mark == "?" else mark == "1" for mark in raw["planted"]]
    stands: dict[str, Sequence[tuple[str, int | None]]] = {
        "base": [("base", None)],
        "ppo": [("ppo", seed) for seed in seeds],
        "herl": [("herl", seed) for seed in seeds],
    }
    out = {}
    for k in (1, n):
        has = {
            name: np.array([[np.nan if c is None else pass_at_k(n, c, k) for c in runs[one]] for one in its])
            for name, its in stands.items()
        }
        gain = has["herl"] - has["ppo"]
        found = {
            "base": estimate_mean(has["base"]),
            "ppo": estimate_score(has["ppo"]),
            "herl": estimate_score(has["herl"]),
            "gain": estimate_mean(gain),
        }
        found |= estimate_by_kind(gain, planted)
        out[f"pass@{k}"] = {name: pick_interval(asdict(one)) for name, one in found.items()}
    return out
