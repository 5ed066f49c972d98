"""A run's configuration: from what was asked for to checked settings, and to the text of `config.yaml`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import yaml

from herl_bench.errors import UsageError
from herl_bench.experiment.resolve import find_checkpoint, is_embedded
from herl_bench.settings import RUN_SETTINGS, Settings, build
from herl_bench.training.rates import resolve_rates
from herl_bench.types import Method, Task

CALL_OPTIONS = ("output_dir", "config", "resume", "allow_changed", "progress")  # of `train`, besides settings


def build_settings(values: Mapping[str, Any], origin: Mapping[str, str]) -> Settings:
    """Checked settings of a run, with the paths in them absolute. Raises `UsageError`."""
    settings: Settings = build(Settings, values, origin)
    paths = {}
    for name in ("model", "data"):
        place = os.path.expanduser(getattr(settings, name))  # a shell does not do it inside of --set
        if os.path.exists(place) and place not in ("tiny", "auto", "synthetic", "hub"):
            paths[name] = os.path.abspath(place)
    if settings.rubric.endswith((".yaml", ".yml")):
        paths["rubric"] = os.path.abspath(os.path.expanduser(settings.rubric))
    return dataclasses.replace(settings, **paths)


def build_config(
    method: Method,
    values: Mapping[str, Any],
    origin: Mapping[str, str],
    model: str = "tiny",
    trust_remote_code: bool = False,
) -> Any:
    """The method's own configuration, checked; learning rates at `auto` suit the model. Raises `UsageError`."""
    also = RUN_SETTINGS if any(origin.values()) else (*RUN_SETTINGS, *CALL_OPTIONS)
    config = build(method.config, values, origin, also)
    if getattr(config, "merge", False) and not config.lora_rank:
        raise UsageError(f"{origin.get('merge', '')}merge=true: there is no adapter to merge: set lora_rank too")
    _check_max_kl(config, origin.get("max_kl", ""))

    def count_parameters() -> int | None:
        return None if is_embedded(model) else _count_parameters(find_checkpoint(None, model), trust_remote_code)

    return resolve_rates(config, count_parameters)


def _check_max_kl(config: Any, origin: str) -> None:
    """Raises `UsageError` where it was set and there is no KL to be measured."""
    kl, most = "kl_coef" if hasattr(config, "kl_coef") else "beta", getattr(config, "max_kl", None)
    if getattr(config, kl, 1) == 0 and most != getattr(type(config), "max_kl", None):
        what = f"max_kl={most} stops nothing with {kl}=0, where no KL to the starting policy is measured"
        raise UsageError(f"{origin}{what}: set {kl} above 0, or leave max_kl out")


@lru_cache(maxsize=8)  # a sweep asks once for each of its runs
def _count_parameters(place: str, trust_remote_code: bool) -> int:
    from herl_bench.policy.size import read_size

    return read_size(place, trust_remote_code).parameters


def format_config(settings: Settings, config: Any, task: Task, source: str) -> str:
    """A run's `config.yaml`: every setting, resolved. source: what `data` came to."""
    values = dataclasses.asdict(settings)
    values["rubric"] = values["rubric"] or task.rubric
    values["template"] = values["template"] or task.template
    values["data"] = source
    return yaml.safe_dump({**values, "set": dataclasses.asdict(config)}, sort_keys=False, allow_unicode=True)
