"""Learning rates that suit a model: what a setting that is left at `auto` comes to.

The embedded policies, and others that `herl-bench warmstart` made, learn at what was tuned for them. Any other model's
rate goes by its number of parameters, and by whether its own weights are trained or an adapter's (LoRA). The steps of
the table are what is published for models of that size; docs/configuration.md names each source. They are starting
points: a batch, a task and a budget have their say in the best rate, and none of them is read here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple, get_args

AUTO = "auto"
Learner = Literal["policy", "critic"]
"""Whose rate it is. A field says so by `setting(AUTO, …, auto=LEARNER)`; critics begin at nothing and go faster."""


class Rates(NamedTuple):
    """Of a model with fewer parameters than `below`. full: all weights are trained; lora: an adapter's are."""

    below: float
    full: dict[Learner, float]
    lora: dict[Learner, float]


EMBEDDED = 3e-4
"""Tuned for policies of under a million parameters (docs/results.md), policy and critics alike."""
TABLE = (
    Rates(3e8, full={"policy": 1e-5, "critic": 1e-4}, lora={"policy": 3e-5, "critic": 1e-4}),
    Rates(2e9, full={"policy": 3e-6, "critic": 3e-5}, lora={"policy": 3e-5, "critic": 1e-4}),
    Rates(float("inf"), full={"policy": 1e-6, "critic": 1e-5}, lora={"policy": 1e-5, "critic": 1e-4}),
)


def choose_rate(learner: Learner, parameters: int | None, lora: bool) -> float:
    """parameters: of the model; None for an embedded policy."""
    if parameters is None:
        return EMBEDDED
    row = next(row for row in TABLE if parameters < row.below)
    return (row.lora if lora else row.full)[learner]


def list_rates(config: Any) -> dict[str, Any]:
    """The rates of a method's configuration by the names of their settings, `auto` where they are not chosen yet."""
    learning = (field for field in dataclasses.fields(config) if field.metadata.get("auto") in get_args(Learner))
    return {field.name: getattr(config, field.name) for field in learning}


def resolve_rates(config: Any, count_parameters: Callable[[], int | None]) -> Any:
    """The configuration with a number for each rate that stands at `auto`. count_parameters: of the model that will be
    trained, None for an embedded policy; called only where it matters."""
    names = [name for name, rate in list_rates(config).items() if rate == AUTO]
    if not names:
        return config
    parameters, lora = count_parameters(), getattr(config, "lora_rank", 0) > 0
    learners = {field.name: field.metadata["auto"] for field in dataclasses.fields(config) if field.name in names}
    chosen = {name: choose_rate(learner, parameters, lora) for name, learner in learners.items()}
    return dataclasses.replace(config, **chosen)
