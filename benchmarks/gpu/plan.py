"""What is measured, part by part, and with which settings. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

MODELS = ("SmolLM2-135M-Instruct", "Qwen2.5-Coder-0.5B-Instruct")
TASKS = ("humaneval", "gsm8k", "bbh")

SHARES: Mapping[str, float] = {"determinism": 1.0, "decode": 1.0, "memory": 2.0, "guidance": 2.5, "learning": 3.5}
"""Of the time, in this order."""

REHEARSED = {"determinism": 3, "decode": 2, "memory": 5, "learning": 2}
"""In a rehearsal, every so many of a part's measurements, which are of each kind."""

PRECISIONS = ("float32", "bfloat16")
FORMS = ("with_draft", "without_draft", "cut_draft")
ARMS = ",".join(["plain@0.7", *(f"{form}:evidence@0.7" for form in FORMS), "without_draft:evidence:other@0.7"])
"""The guidance gap: sampled anew, under the draft's own words in each form, and under another problem's words, all at
one temperature."""


@dataclass(frozen=True)
class Place:
    """models: path by name. work: folder for runs. tiny: a rehearsal."""

    models: Mapping[str, str]
    data: str
    work: Path
    tasks: Sequence[str] = TASKS
    tiny: bool = False


@dataclass(frozen=True)
class Measurement:
    """work: which function of `work.py` is told what. shares_time: leave as much time to each that is still to come."""

    name: str
    work: str
    told: Mapping[str, Any] = field(default_factory=dict)
    shares_time: bool = False


def plan_part(name: str, place: Place) -> list[Measurement]:
    measurements = PARTS[name](place)
    return measurements[:: REHEARSED.get(name, 1)] if place.tiny else measurements


# ---------------------------------------------------------------------------------------------------------------- parts
def plan_determinism(place: Place) -> list[Measurement]:
    """One seed twice: how far apart are the weights, and from which step on do responses differ? The first model."""
    name = next(iter(place.models))
    # Without a single reward nothing would move: the entropy bonus does, whatever the rewards are.
    told = {
        "settings": _train(place, name, "ppo", steps=4, rows=16, entropy_coef=0.01),
        "work": str(place.work / "determinism"),
    }
    return [
        Measurement(f"{name}, {precision}, {how}", "determinism", {**told, "dtype": precision, "deterministic": exact})
        for precision in PRECISIONS
        for how, exact in (("as it is", False), ("deterministic=true", True))
    ]


def plan_decode(place: Place) -> list[Measurement]:
    """Generated tokens per second by rows at once. No response ends before the last token."""
    widths, tokens = ((2,), 4) if place.tiny else ((1, 16, 64, 256), 128)
    return [
        Measurement(
            f"{name}, {precision}, {rows} rows",
            "decode",
            {"model": path, "dtype": precision, "rows": rows, "tokens": tokens},
        )
        for rows in reversed(widths)
        for precision in reversed(PRECISIONS)
        for name, path in place.models.items()
    ]


def plan_memory(place: Place) -> list[Measurement]:
    """Two steps of training: the peak of memory per parameter, and tokens per second while sampling and learning."""
    kinds = {"full": {}, "LoRA 16": {"lora_rank": 16}}
    return [
        Measurement(
            f"{name}, {method}, {kind}, {precision}",
            "train",
            {**_train(place, name, method, steps=2, rows=32, dtype=precision, **told), "label": "memory"},
        )
        for method in ("ppo", "herl", "grpo")
        for precision in reversed(PRECISIONS)
        for kind, told in kinds.items()
        for name in place.models
    ]


def plan_guidance(place: Place) -> list[Measurement]:
    """What guidance repairs and sampling anew does not, by `benchmarks/guidance/search.py`."""
    few = {"problems": 2, "failures": 2, "max_new_tokens": 8} if place.tiny else {"problems": 128, "failures": 96}
    return [
        Measurement(
            f"{name}, {task}",
            "guidance",
            {
                "model": place.models[name],
                "task": task,
                "data": place.data,
                "work": str(place.work / f"guidance-{name}-{task}"),
                "arms": ARMS,
                **few,
            },
            shares_time=True,
        )
        for task in place.tasks
        for name in place.models
    ]


def plan_learning(place: Place) -> list[Measurement]:
    """PPO, HeRL and GRPO of the last model on the same budget: trained on MBPP, evaluated on HumanEval."""
    name = list(place.models)[-1]
    told = {} if place.tiny else {"rollouts_per_step": 64, "eval_items": 164, "max_new_tokens": 224}
    return [
        Measurement(
            f"{name}, {method}",
            "train",
            {**_train(place, name, method, steps=2, rows=8, task=place.tasks[0], **told), "label": "learning"},
            shares_time=True,
        )
        for method in ("ppo", "herl", "grpo")
    ]


def plan_tokens(
    measurements: Sequence[Measurement], place: Place, memory: Mapping[str, Any], seconds: float
) -> list[Measurement]:
    """The same budget for every method: what the first one can spend in its share of the time, by the speed that was
    measured, less a third for loading and both evaluations. A part that was begun keeps its budget."""
    kept = place.work / "learning-budget"
    if place.tiny:
        return list(measurements)
    if not kept.is_file():
        model = list(place.models)[-1]
        speeds = [each["tokens_per_s"] for name, each in memory.items() if name.startswith(model) and "tokens" in each]
        speed = min(speeds, default=200.0)
        kept.write_text(str(max(5_000, round(speed * seconds / len(measurements) * 2 / 3, -3))), encoding="utf-8")
    budget = int(float(kept.read_text(encoding="utf-8")))
    return [replace(m, told={**m.told, "budget": budget}) for m in measurements]


PARTS = {
    "determinism": plan_determinism,
    "decode": plan_decode,
    "memory": plan_memory,
    "guidance": plan_guidance,
    "learning": plan_learning,
}


def _train(place: Place, name: str, method: str, steps: int, rows: int, task: str = "gsm8k", **settings: Any) -> Any:
    """Settings of `herl_bench.train` for so many steps of so many responses."""
    tokens = 128
    if place.tiny:
        steps, rows, tokens = 2, 8, 8
    return {
        "task": task,
        "method": method,
        "model": place.models[name],
        "data": place.data,
        "budget": steps * rows * tokens,
        "eval_items": 2 if place.tiny else 4,
        "rollouts_per_step": rows,
        "minibatch_size": rows,
        "max_new_tokens": tokens,
        **settings,
    }
