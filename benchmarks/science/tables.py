"""From a part's raw results to its table: the numbers that docs/results.md prints, and nothing else.

A table keeps its part's head (what was asked, how many runs are finished) and has per arm: score, tokens, a learning
curve at a few token counts, means over seeds. Left out: what a number means, and how it is written (`page.py`);
anything that is not in the raw results (`archive.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from herl_bench.comparison import statistics
from herl_bench.comparison.outcomes import estimate_by_kind, estimate_mean, estimate_score
from herl_bench.evaluation.scores import pass_at_k

GRID = 8
"""A learning curve is printed at so many token counts."""
ANSWER = {"gsm8k": "final_answer", "humaneval": "hidden_tests", "bbh": "right_answer"}
"""The criterion that says whether a response is right."""
CRITIC = (
    *("mae", "mae_constant", "mae_headroom", "explained_variance", "explained_variance_constant"),
    *("explained_variance_headroom", "spearman", "auroc", "ece", "bias", "drift"),
)
HEAD = ("part", "about", "command", "settings", "planned", "finished", "diverged", "budget", "arms")
SAMPLED_HEAD = ("task", "items", "seeds", "methods", "temperature", "n")
REFINED_HEAD = ("task", "items", "seeds", "rounds", "round", "runs")
DIGITS = 8
"""Fewer would round some of the page's numbers twice, to another last digit."""
Raw = Mapping[str, Any]
Row = dict[str, Any]


def tabulate(raw: Raw, part: Any) -> Row:
    """raw: what `study.py` collected of its part."""
    head = pick(raw, HEAD)
    if "policy" in raw:
        head["policy"] = pick(raw["policy"], ("changed",))
    if "n" in raw:
        return {**head, **pick(raw, SAMPLED_HEAD), "tokens": mean_tokens(raw), "passes": compare_passes(raw)}
    if "rounds" in raw:
        return {**head, **pick(raw, REFINED_HEAD)}
    return {**head, "tasks": [tabulate_task(task, raw, part) for task in raw["tasks"]]}


def tabulate_task(task: Raw, raw: Raw, part: Any) -> Row:
    families = task["before"]["families"] if part.view == "methods" else {}
    curve_tokens, held_tokens = choose_tokens(task, "curve"), choose_tokens(task, "held_out")
    groups: dict[str, list[Raw]] = {}
    for run in task["runs"]:
        groups.setdefault(run["arm"], []).append(run)
    return {
        **pick(task, ("task", "unequal", "notes", "target", "planted_families")),
        "before": {**pick(task["before"], ("metric", "planted", "plain", "reward")), "families": families},
        "curve_tokens": curve_tokens,
        "held_tokens": held_tokens,
        "ended": task["arms"][0]["held_out"][-1][1] if held_tokens else None,
        "under_the_best": compare_with_best(task, raw["arms"], part.chosen),
        "arms": [
            {
                **pick(arm, ("arm", "seeds", "tokens_to_target", "tokens_to_final")),
                "score": pick_interval(arm["score"]),
                "kinds": {kind: pick_interval(one) for kind, one in arm["kinds"].items()},
                "spent": pick(arm["spent"], ("tokens", "wall_s")),
                "repaired": measure_repair(task["task"], arm),
                "curve": interpolate(arm["curve"], curve_tokens),
                "reached": find_target(arm["curve"], task["target"]) if arm["curve"] else None,
                "held_out": interpolate(arm.get("held_out", ()), held_tokens),
                **average_runs(groups[arm["arm"]], families, raw["curve"]),
            }
            for arm in task["arms"]
        ],
        "contrasts": [
            {
                **pick(contrast, ("arm", "baseline", "seeds", "p_holm", "verdict")),
                "difference": pick_interval(contrast["difference"]),
                "hierarchical": pick_interval(contrast["hierarchical"]),
                "kinds": {kind: pick_interval(one) for kind, one in contrast["kinds"].items()},
            }
            for contrast in task["contrasts"]
        ],
    }


def pick(values: Raw, names: Iterable[str]) -> Row:
    return {name: values[name] for name in names if name in values}


def pick_interval(one: Raw) -> Row:
    return pick(one, ("value", "low", "high"))


def mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def round_all(value: Any, digits: int = DIGITS) -> Any:
    """With every number in it."""
    if isinstance(value, float):
        return round(value, digits)
    if isinstance(value, Mapping):
        return {str(name): round_all(one, digits) for name, one in value.items()}
    return [round_all(one, digits) for one in value] if isinstance(value, list | tuple) else value


# --------------------------------------------------------------------------------------------------------------- curves
def choose_tokens(task: Raw, name: str) -> list[int]:
    """Token counts that all arms of the task reached; none where no arm has such a curve, as in the older parts."""
    curves = [arm[name] for arm in task["arms"] if arm.get(name)]
    if not curves:
        return []
    stop = min(curve[-1][0] for curve in curves)
    if name == "held_out":
        return [round(stop * i / GRID) for i in range(GRID + 1)]
    start = max(curve[0][0] for curve in curves)
    return [round(start + (stop - start) * i / (GRID - 1)) for i in range(GRID)]


def interpolate(curve: Sequence[Sequence[float]], tokens: Sequence[int]) -> list[float]:
    if not curve:
        return []
    heights: list[float] = np.interp(tokens, [point[0] for point in curve], [point[1] for point in curve]).tolist()
    return heights


def find_target(curve: Sequence[Sequence[float]], target: float | None) -> int | None:
    """Tokens after which a mean learning curve is at the target and stays there on average."""
    if target is None:
        return None
    return statistics.tokens_to_target([int(point[0]) for point in curve], [point[1] for point in curve], target)


# ------------------------------------------------------------------------------------------------------ means over runs
def average_runs(runs: Sequence[Raw], families: Iterable[str], columns: Sequence[str]) -> Row:
    """Of one arm. reward, gap: after training. plain, with_bonus: the reward without and with the bonus, in the first
    and in the last quarter of the steps. critic: None without a bonus critic."""
    plain = [mean(average_quarter(run, columns.index("reward"), last) for run in runs) for last in (False, True)]
    bonus = [
        mean((average_quarter(run, columns.index("bonus"), last) or 0.0) * run["bonus_coef"] for run in runs)
        for last in (False, True)
    ]
    return {
        "families": {name: mean(run["after"]["families"].get(name) for run in runs) for name in families},
        "reward": mean(run["after"]["reward"] for run in runs),
        "gap": mean(run["after"]["reward"] - run["after"]["metric"] for run in runs),
        "plain": plain,
        "with_bonus": [(r or 0.0) + (b or 0.0) for r, b in zip(plain, bonus, strict=True)],
        "critic": average_critic(runs) if any(run["bonus"] for run in runs) else None,
    }


def average_quarter(run: Raw, column: int, last: bool) -> float | None:
    rows = run["curve"]
    size = max(1, len(rows) // 4)
    return mean(row[column] for row in (rows[-size:] if last else rows[:size]))


def average_critic(runs: Sequence[Raw]) -> Row:
    """gate_open: the share of steps. open_at_end: of so many runs."""
    return {
        **{name: mean(run["bonus"].get(f"bonus_{name}") for run in runs) for name in CRITIC},
        "gate_open": mean(mean(run["gate_open"]) for run in runs),
        "open_at_end": sum(bool(run["gate_open"][-1]) for run in runs),
        "runs": len(runs),
    }


def measure_repair(task: str, arm: Raw) -> float | None:
    """Of the revisions of a wrong answer, how many were right."""
    found = next((repair for repair in arm["repairs"] if repair["criterion"] == ANSWER.get(task)), None)
    return found["fixed"] / found["missed"] if found and found["missed"] else None


# ------------------------------------------------------------------------------------------------- intervals of our own
def compare_with_best(task: Raw, arms: Raw, chosen: Mapping[str, Any]) -> Row | None:
    """How far the chosen setting is from the best arm, on the same items of the one seed; None where no arm has it,
    zero where it is the best."""
    ranked = sorted(task["arms"], key=lambda arm: -arm["score"]["value"])
    own = [
        arm["arm"] for arm in ranked if all(chosen[k] == value for k, value in arms[arm["arm"]].items() if k in chosen)
    ]
    if not own:
        return None
    outcomes = {run["arm"]: run["outcomes"] for run in task["runs"]}
    pairs = [(a, b) for a, b in zip(outcomes[ranked[0]["arm"]], outcomes[own[0]], strict=True) if "?" not in (a, b)]
    gain = np.array([float(a) - float(b) for a, b in pairs])
    if not gain.any():
        return {"value": 0.0, "low": 0.0, "high": 0.0}
    low, high = statistics.mean_interval(gain)
    return {"value": float(gain.mean()), "low": low, "high": high}


def mean_tokens(raw: Raw) -> dict[str, float | None]:
    """By policy, of one evaluation of several responses per problem."""
    policies = ("base", *raw["methods"])
    return {policy: mean(run["tokens"] for run in raw["runs"] if run["policy"] == policy) for policy in policies}


def compare_passes(raw: Raw) -> dict[str, Row]:
    """By metric the intervals of base, ppo and herl (whatever arms stand for them), of HeRL's gain over PPO, and of
    that by kind of problem. Undecided problems are left out, and so are seeds that a method lacks."""
    n, runs = raw["n"], {(run["policy"], run["seed"]): run["right"] for run in raw["runs"]}
    ppo, herl = raw["methods"]
    seeds = [seed for seed in raw["seeds"] if (ppo, seed) in runs and (herl, seed) in runs]
    if not seeds or ("base", None) not in runs:
        return {}
    planted = [None if mark == "?" else mark == "1" for mark in raw["planted"]]
    stands = {
        "base": [("base", None)],
        "ppo": [(ppo, seed) for seed in seeds],
        "herl": [(herl, seed) for seed in seeds],
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
