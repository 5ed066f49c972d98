"""Tables that a finished comparison comes to, as rows of plain values: for a terminal, a notebook, a page or pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from herl_bench.comparison.schema import Comparison
from herl_bench.evaluation.scores import mean


def list_scores(comparison: Comparison) -> list[dict[str, Any]]:
    """A row per task and arm. before, score: the primary metric before and after training; low, high: of its interval.
    gain: over what was before, with its interval. difference, its interval, p (corrected), beats, verdict: against the
    baseline. planted, plain: scores on these items apart. tokens_to_target, tokens_to_final: until the learning curve,
    and the accuracy on the evaluation items, have what the baseline's ended with. reward_growth: by how much reward
    minus metric grew in training: a rubric that is being gamed. What does not apply is None."""
    contrasts = {(contrast.task, contrast.arm): contrast for contrast in comparison.contrasts}
    rows = []
    for score in comparison.arm_scores:
        contrast = contrasts.get((score.task, score.arm))
        rows.append(
            {
                "task": score.task,
                "arm": score.arm,
                "seeds": len(score.seeds),
                "before": score.before.value,
                "score": score.score.value,
                "low": score.score.low,
                "high": score.score.high,
                "gain": score.gain.value,
                "gain_low": score.gain.low,
                "gain_high": score.gain.high,
                "difference": contrast and contrast.difference.value,
                "difference_low": contrast and contrast.difference.low,
                "difference_high": contrast and contrast.difference.high,
                "p": contrast and contrast.p_holm,
                "beats": contrast and contrast.improvement.value,
                "verdict": contrast and contrast.verdict.word,
                **{kind: score.kinds[kind].value if kind in score.kinds else None for kind in ("planted", "plain")},
                "tokens": score.spent and score.spent.tokens,
                "tokens_to_target": find_median(score.tokens_to_target),
                "tokens_to_final": score.tokens_to_final,
                "reward_growth": measure_reward_growth(comparison, score.task, score.arm),
                "undecided": score.undecided,
            }
        )
    return rows


def list_families(comparison: Comparison, task: str) -> list[dict[str, Any]]:
    """A row per family of problems: its name, whether a misconception was planted in it, the metric before training,
    and each arm's after it, means over seeds. Empty where items have no families, or nothing was trained."""
    (items,) = (one.items for one in comparison.tasks if one.task == task)
    planted = {item.family for item in items if item.planted}
    runs = [run for run in comparison.runs if run.task == task]
    by_arm = {arm.name: [run for run in runs if run.arm == arm.name] for arm in comparison.arms}
    return [
        {
            "family": name,
            "planted": name in planted,
            "before": mean(run.before.families[name].value for run in runs if name in run.before.families),
            **{arm: mean(run.after.families[name].value for run in group) for arm, group in by_arm.items() if group},
        }
        for name in (runs[0].after.families if runs else ())
        if all(name in run.after.families for run in runs)
    ]


def measure_reward_growth(comparison: Comparison, task: str, arm: str) -> float | None:
    """By how much reward minus metric grew in training, mean over seeds; None where nothing was trained."""
    runs = [run for run in comparison.runs if (run.task, run.arm) == (task, arm)]
    gaps = [(run.before.gap, run.after.gap) for run in runs]
    return mean(after - before for before, after in gaps if after is not None and before is not None)


def find_median(tokens: Sequence[int | None]) -> int | None:
    """Of tokens until something was reached; None, for a run that never got there, counts as later than any other."""
    ranked = sorted(tokens, key=lambda count: (count is None, count or 0))
    return ranked[len(ranked) // 2] if ranked else None
