"""`manifest.json`: what a reader needs to know to trust, or to repeat, a run."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herl_bench.data.examples import digest_items
from herl_bench.errors import UsageError
from herl_bench.locate import find_version
from herl_bench.plugins import Host
from herl_bench.rubric import digest_rubric
from herl_bench.types import HindsightTemplate

if TYPE_CHECKING:
    from herl_bench.training.training_run import TrainingRun

log = logging.getLogger("herl_bench")
LIBRARIES = "torch transformers tokenizers accelerate trl datasets numpy pluggy jinja2 bm25s"
TRAIN_HASHED = 200
"""Training items whose digest is kept: the first in the run's own order, which hangs on files, seed and reader."""
COMPARED: Mapping[str, Sequence[str]] = {
    "settings": (),
    "data": ("sha256", "items_sha256"),
    "base_model": ("sha256", "tokenizer_sha256"),
    "rubric": ("sha256",),
    "template": ("sha256",),
}
"""What a resumed run must find as it was; every entry of a part where none is named."""
NO_SETTINGS = {"model", "data", "rubric", "template", "budget", "report_to", "trust_remote_code", "device"}
"""What has a hash of its own or may be a path of this machine, the budget, and what no result hangs on."""
VERSIONS: Mapping[str, Sequence[str]] = {
    "herl_bench": (),
    "python": (),
    "libraries": (),
    "placement": ("device", "threads"),
}
"""What may differ with a note: the bytes may then too."""


def build_manifest(run: TrainingRun, host: Host, command: str) -> dict[str, Any]:
    """Versions, plugins, hardware, data, base model and command."""
    shared = {name: value for name, value in asdict(run.settings).items() if name not in NO_SETTINGS}
    return {
        "herl_bench": find_version("herl-bench"),
        "command": command,
        "python": platform.python_version(),
        "libraries": {name: version for name in LIBRARIES.split() if (version := find_version(name))},
        "plugins": [asdict(plugin) for plugin in host.plugins],
        "hardware": describe_hardware(),
        "placement": run.policy.placement.as_json(),
        "settings": {**shared, **asdict(run.config)},
        "data": {
            "source": run.data.source,
            "sha256": dict(run.data.fingerprint),
            "items_sha256": {
                "train": digest_items(islice(run.data.train(), TRAIN_HASHED)),
                "eval": digest_items(run.data.eval),
            },
            "eval_items": len(run.data.eval),
        },
        "leakage_gate": dict(run.data.gate),
        "base_model": {
            "name": run.settings.model,
            "sha256": digest_model(run.policy.model),
            "parameters": sum(p.numel() for p in run.policy.model.parameters()),
            "architecture": type(run.policy.model).__name__,
            "tokenizer_sha256": digest_tokenizer(run.policy.tokenizer),
        },
        "rubric": {"name": run.rubric.name, "sha256": digest_rubric(run.rubric)},
        "template": {"name": run.template.name, "sha256": digest_template(run.template)},
        "planted": (run.task.world.planted or None) if run.task.world and run.data.source == "synthetic" else None,
    }


def digest_template(template: HindsightTemplate) -> str:
    """sha256 over the texts of both forms."""
    turns = template.turns
    talk = [] if turns is None else [turns.guidance, turns.request, turns.problem]
    return _digest([template.guidance, template.prompt, *talk])


def describe_hardware() -> dict[str, Any]:
    import torch

    return {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def digest_model(model: Any) -> str:
    """sha256 over names and values of all weights: two runs that start from the same policy have the same."""
    import torch

    digest = hashlib.sha256()
    state: Mapping[str, Any] = model.state_dict()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.dim() else str(tensor.item()).encode())
    return digest.hexdigest()


def digest_tokenizer(tokenizer: Any) -> str:
    """sha256 over what turns text into tokens and back: vocabulary, rules, special tokens and chat template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
    return _digest([rules, tokenizer.special_tokens_map, tokenizer.chat_template])


def find_differences(
    old: Mapping[str, Any], new: Mapping[str, Any], compared: Mapping[str, Sequence[str]] = COMPARED
) -> list[dict[str, Any]]:
    """What a run was last made with and what is there now, where they differ: rows of `what`, `from`, `to`.

    A manifest of an older version names less, and is compared in that.
    """
    new = json.loads(json.dumps(new))
    was = _flatten(old, compared) | {row["what"]: row["to"] for row in old.get("changed", [])}
    kinds = {tuple(what.split(" ")[:2]) for what in was}
    now = {what: value for what, value in _flatten(new, compared).items() if tuple(what.split(" ")[:2]) in kinds}
    ours = {what: value for what, value in was.items() if what in now or what in _flatten(old, compared)}
    return [
        {"what": what, "from": ours.get(what), "to": now.get(what)}
        for what in dict.fromkeys([*ours, *now])
        if ours.get(what) != now.get(what)
    ]


def continue_manifest(run: TrainingRun, now: dict[str, Any], allow_changed: bool) -> dict[str, Any]:
    """The manifest of a resumed run: as it began, with what has changed since. now: as things are.

    Raises `UsageError` where something changed that the result hangs on, or its checkpoint is damaged.
    """
    from herl_bench.training.checkpoints import find_whole_checkpoint, parse_step

    place, checkpoint = run.files.manifest, find_whole_checkpoint(run.directory)
    try:
        began = json.loads(place.read_bytes())
        changed, versions = find_differences(began, now), find_differences(began, now, VERSIONS)
    except FileNotFoundError:
        if checkpoint is None or allow_changed:
            return now
        unknown = "so nobody knows what the run was begun with"
        raise UsageError(f"{place} is gone, {unknown}: put it back, or pass --allow_changed") from None
    except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
        if allow_changed:
            return now
        raise UsageError(f"{place} cannot be read: put it back, or pass --allow_changed to write it anew") from None
    if changed and not allow_changed:
        words = "; ".join(_describe_change(row) for row in changed)
        remedy = "put them back, or pass --allow_changed to go on all the same"
        raise UsageError(f"{run.directory} was begun with other things: {words}: {remedy}")
    for row in versions:
        effect = "its bytes may differ from those of one that never stopped"
        log.warning("note: since this run began, %s: %s", _describe_change(row), effect)
    changes = [{**row, "step": parse_step(checkpoint)} for row in (*changed, *versions)]
    return {**began, "changed": [*began.get("changed", []), *changes]} if changes else began


def _describe_change(row: Mapping[str, Any]) -> str:
    was, now = (f"{v[:12]}…" if isinstance(v, str) and len(v) == 64 else v for v in (row["from"], row["to"]))
    return f"{row['what']} was {was} and is {now}"


def _flatten(manifest: Mapping[str, Any], compared: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The compared parts of a manifest by their names, such as `data sha256 train.jsonl`."""
    flat: dict[str, Any] = {}
    for part, keys in compared.items():
        held = manifest.get(part)
        if not isinstance(held, Mapping):
            flat |= {} if held is None else {part: held}
            continue
        for key in [key for key in keys or held if key in held]:
            value = held[key]
            if isinstance(value, Mapping):
                flat |= {f"{part} {key} {name}": v for name, v in value.items()}
            else:
                flat[f"{part} {key}"] = value
    return flat


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def command_line() -> list[str]:
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
