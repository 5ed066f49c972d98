"""`manifest.json`: what a reader needs to know to trust, or to repeat, a run."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herl_bench.data.examples import digest_items
from herl_bench.locate import find_version
from herl_bench.plugins import Host
from herl_bench.rubric import digest_rubric

if TYPE_CHECKING:
    from herl_bench.train.training_run import TrainingRun

LIBRARIES = (
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "trl",
    "datasets",
    "numpy",
    "pluggy",
    "jinja2",
    "bm25s",
)
TRAIN_HASHED = 200
"""Training items whose digest is kept: the first in the run's own order, which hangs on every file, on the seed and on
the reader."""
COMPARED: Mapping[str, Sequence[str]] = {
    "settings": (),
    "data": ("sha256", "items_sha256"),
    "base_model": ("sha256", "tokenizer_sha256"),
    "rubric": ("sha256",),
    "template": ("sha256",),
}
"""What a resumed run must find as it was; every entry of a part where none is named."""
NO_SETTINGS = {"model", "data", "rubric", "template", "budget", "report_to", "trust_remote_code"}
VERSIONS: Mapping[str, Sequence[str]] = {"herl_bench": (), "python": (), "libraries": ()}
"""What may differ with a note: the bytes may then too."""


def manifest(run: TrainingRun, host: Host, command: list[str]) -> dict[str, Any]:
    """Versions, plugins, hardware, data, base model and command."""
    return {
        "herl_bench": find_version("herl-bench"),
        "command": shlex.join(command),
        "python": platform.python_version(),
        "libraries": {name: version for name in LIBRARIES if (version := find_version(name))},
        "plugins": [
            {"name": p.name, "distribution": p.distribution, "version": p.version, "error": p.error}
            for p in host.plugins
        ],
        "hardware": hardware(),
        "settings": _settings(run),
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
            "sha256": model_digest(run.policy.model),
            "parameters": sum(p.numel() for p in run.policy.model.parameters()),
            "architecture": type(run.policy.model).__name__,
            "tokenizer_sha256": tokenizer_digest(run.policy.tokenizer),
        },
        "rubric": {"name": run.rubric.name, "sha256": digest_rubric(run.rubric)},
        "template": {"name": run.template.name, "sha256": _sha([run.template.guidance, run.template.prompt])},
        "planted": (run.task.world.planted or None) if run.task.world and run.data.source == "synthetic" else None,
    }


def hardware() -> dict[str, Any]:
    import torch

    return {
        "machine": platform.machine(),
        "system": f"{platform.system()} {platform.release()}",
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpus": [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())],
    }


def model_digest(model: Any) -> str:
    """sha256 over names and values of all weights: two runs that start from the same policy have the same."""
    import torch

    digest = hashlib.sha256()
    state: Mapping[str, Any] = model.state_dict()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.view(torch.uint8).numpy().tobytes() if tensor.dim() else str(tensor.item()).encode())
    return digest.hexdigest()


def tokenizer_digest(tokenizer: Any) -> str:
    """sha256 over what turns text into tokens and back: vocabulary, rules, special tokens and chat template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else sorted(tokenizer.get_vocab().items())
    return _sha([rules, tokenizer.special_tokens_map, tokenizer.chat_template])


def differences(
    old: Mapping[str, Any], new: Mapping[str, Any], compared: Mapping[str, Sequence[str]] = COMPARED
) -> list[dict[str, Any]]:
    """What a run was last made with and what is there now, where they differ: rows of `what`, `from`, `to`.

    A manifest of an older version names less, and is compared in that.
    """
    new = json.loads(json.dumps(new))
    was = _entries(old, compared) | {row["what"]: row["to"] for row in old.get("changed", [])}
    kinds = {tuple(what.split(" ")[:2]) for what in was}
    now = {what: value for what, value in _entries(new, compared).items() if tuple(what.split(" ")[:2]) in kinds}
    ours = {what: value for what, value in was.items() if what in now or what in _entries(old, compared)}
    return [
        {"what": what, "from": ours.get(what), "to": now.get(what)}
        for what in dict.fromkeys([*ours, *now])
        if ours.get(what) != now.get(what)
    ]


def _entries(manifest: Mapping[str, Any], compared: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The compared parts of a manifest by their names, such as `data sha256 train.jsonl`."""
    flat: dict[str, Any] = {}
    for part, keys in compared.items():
        held = manifest.get(part)
        if not isinstance(held, Mapping):
            flat |= {} if held is None else {part: held}
            continue
        for key in [key for key in keys or held if key in held]:
            value = held[key]
            flat |= (
                {f"{part} {key} {name}": v for name, v in value.items()}
                if isinstance(value, Mapping)
                else {f"{part} {key}": value}
            )
    return flat


def _settings(run: TrainingRun) -> dict[str, Any]:
    """What the result hangs on besides the budget and what has a hash of its own; nothing that may be a path of this
    machine."""
    shared = {name: value for name, value in asdict(run.settings).items() if name not in NO_SETTINGS}
    return {**shared, **asdict(run.config)}


def _sha(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def command_line() -> list[str]:
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
