"""Is a comparison fair? Names every difference between arms that is not the one they are compared for.

Compared are: the base checkpoint's hash, the data that prompts come from, the seeds, the evaluation items, how their
answers were generated, device and precision, the budget, what was spent of it, and the optimiser steps that a step of
training takes. The method and its settings may differ, for that is what an arm is; its rubric too, since it is part of
the training reward. So where arms' settings ask for other numbers of optimiser steps, these are told in `notes` only;
and so are those of whole runs: at equal tokens, who answers more shortly takes more steps. Left out: versions of
libraries, which are ranges apart in `notes`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import Any

from herl_bench.comparison.finished_runs import FinishedRun

SPENT_WITHIN = 0.05
"""Share of the budget by which what two arms spent may differ."""


def find_differences(runs: Mapping[str, Sequence[FinishedRun]]) -> tuple[str, ...]:
    """One sentence per difference. runs: by arm, all of one task."""
    task = next(run.task for group in runs.values() for run in group)
    facts = {arm: [_collect_facts(run) for run in group] for arm, group in runs.items()}
    sentences = []
    for name in next(iter(facts.values()))[0]:
        values = {arm: list(dict.fromkeys(fact[name] for fact in group)) for arm, group in facts.items()}
        if len({value for group in values.values() for value in group}) > 1:
            each = "; ".join(f"{arm} has {' and '.join(map(_shorten, group))}" for arm, group in values.items())
            sentences.append(f"{task}: {name}: {each}")
    seeds = {arm: tuple(sorted(run.seed for run in group)) for arm, group in runs.items()}
    if len(set(seeds.values())) > 1:
        each = "; ".join(f"{arm} has {', '.join(map(str, own))}" for arm, own in seeds.items())
        sentences.append(f"{task}: seeds: {each}")
    return (*sentences, *_compare_spending(task, runs), *_compare_pace(task, runs))


def _collect_facts(run: FinishedRun) -> dict[str, Any]:
    """Hashable, by the name that the user reads."""
    manifest, settings, instruction = run.manifest, run.settings, run.settings.get("system_instruction")
    placement = manifest.get("placement") or {}
    return {
        "base checkpoint": manifest["base_model"]["sha256"],
        "prompts": (manifest["data"]["source"], *sorted(manifest["data"]["sha256"].items())),
        "difficulty": "the world's own" if settings.get("difficulty") is None else settings["difficulty"],
        "problems": settings.get("problems") or "all",
        "system instruction": "the task's own" if instruction is None else instruction,
        "variables of the chat template": json.dumps(settings.get("chat_template_kwargs") or {}, sort_keys=True),
        "thoughts": settings.get("think") or "drop",
        "integrity": settings.get("integrity") or "shared",
        "evaluation items": _digest_items(run),
        "primary metric": run.metric,
        "generation of the evaluated answers": tuple(sorted((k, str(v)) for k, v in run.after.generation.items())),
        "token budget": settings["budget"],
        "device": str(placement.get("device", "cpu")).partition(":")[0],  # which of several cards does not matter
        "precision": placement.get("dtype", "float32"),
    }


def _compare_spending(task: str, runs: Mapping[str, Sequence[FinishedRun]]) -> list[str]:
    budgets = [run.settings["budget"] for group in runs.values() for run in group]
    spent = {arm: [run.rows[-1]["tokens"] for run in group] for arm, group in runs.items()}
    everything = [tokens for group in spent.values() for tokens in group]
    if max(everything) - min(everything) <= SPENT_WITHIN * min(budgets):
        return []
    ranges = "; ".join(f"{arm} {min(group):,} to {max(group):,}" for arm, group in spent.items())
    return [f"{task}: tokens spent: {ranges}"]


def _compare_pace(task: str, runs: Mapping[str, Sequence[FinishedRun]]) -> list[str]:
    """Of arms whose settings ask for the same."""
    alike: dict[tuple[Any, ...], dict[str, float]] = {}
    for arm, group in runs.items():
        settings = group[0].settings.get("set") or {}
        passes = settings.get("num_ppo_epochs", settings.get("num_iterations"))  # as PPO and as TRL call it
        asked = (settings.get("rollouts_per_step"), settings.get("minibatch_size"), passes)
        if (pace := _measure_pace(group)) is not None:
            alike.setdefault(asked, {})[arm] = pace
    return [
        f"{task}: optimiser steps per step: {'; '.join(f'{arm} takes {pace:g}' for arm, pace in paces.items())}"
        for paces in alike.values()
        if len(set(paces.values())) > 1
    ]


def _measure_pace(runs: Sequence[FinishedRun]) -> float | None:
    """Optimiser steps of a step, the mean over runs of each one's median: the last step is smaller, and one without
    rewards has none. Left out are steps that a large move ended early: that is learning, not counting. None where no
    step is left."""
    medians = []
    for run in runs:
        pairs = pairwise(({"optimizer_steps": 0}, *run.rows))
        taken = [b["optimizer_steps"] - a["optimizer_steps"] for a, b in pairs if not b.get("early_stop")]
        medians += [median(taken)] if taken else []
    return fmean(medians) if medians else None


def note_steps(task: str, runs: Mapping[str, Sequence[FinishedRun]]) -> tuple[str, ...]:
    """Where arms took other numbers of optimiser steps, by more than a step's worth."""
    taken = {arm: fmean(run.rows[-1]["optimizer_steps"] for run in group) for arm, group in runs.items()}
    most = max(_measure_pace(group) or 0 for group in runs.values())
    if max(taken.values()) - min(taken.values()) <= most:
        return ()
    each = ", ".join(
        f"{arm} {taken[arm]:,.0f} in {fmean(len(run.rows) for run in group):,.0f} steps" for arm, group in runs.items()
    )
    return (f"{task}: at equal tokens the arms took different numbers of optimiser steps: {each}.",)


def _digest_items(run: FinishedRun) -> str:
    items = [(s.item.id, s.item.prompt, s.item.target) for s in run.after.samples]
    return f"{len(items)} items ({hashlib.sha256(repr(items).encode()).hexdigest()[:12]})"


def _shorten(value: Any) -> str:
    if isinstance(value, str):
        return value[:12] if len(value) == 64 else value
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        return ", ".join(map(_shorten, value))
    return str(value)


def note_versions(runs: Sequence[FinishedRun]) -> tuple[str, ...]:
    """What differs and need not matter: versions of the package and of its libraries."""
    made_with = [{**run.manifest["libraries"], "herl_bench": run.manifest["herl_bench"]} for run in runs]
    versions = {name: {str(one.get(name)) for one in made_with} for name in sorted(set[str]().union(*made_with))}
    differing = [(name, ", ".join(sorted(found))) for name, found in versions.items() if len(found) > 1]
    return tuple(f"The runs were made with different versions of {name}: {found}." for name, found in differing)
