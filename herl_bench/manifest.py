"""`manifest.json`: what a reader needs to know to trust, or to repeat, a run."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from herl_bench.plugins import Host
from herl_bench.rubric import rubric_digest

if TYPE_CHECKING:
    from herl_bench.runs import Run

LIBRARIES = ("torch", "transformers", "tokenizers", "accelerate", "trl", "datasets", "numpy", "pluggy", "jinja2", "bm25s")


def manifest(run: Run, host: Host, command: list[str]) -> dict[str, Any]:
    """Versions, plugins, hardware, data, base model and command."""
    return {
        "herl_bench": importlib.metadata.version("herl-bench"),
        "command": shlex.join(command),
        "python": platform.python_version(),
        "libraries": {name: version for name in LIBRARIES if (version := _version(name))},
        "plugins": [{"name": p.name, "distribution": p.distribution, "version": p.version, "error": p.error} for p in host.plugins],
        "hardware": hardware(),
        "data": {"source": run.data.source, "sha256": dict(run.data.fingerprint), "eval_items": len(run.data.eval)},
        "leakage_gate": dict(run.data.gate),
        "base_model": {
            "name": run.settings.model,
            "sha256": model_digest(run.policy.model),
            "parameters": sum(p.numel() for p in run.policy.model.parameters()),
            "architecture": type(run.policy.model).__name__,
        },
        "rubric": {"name": run.rubric.name, "sha256": rubric_digest(run.rubric)},
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


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def command_line() -> list[str]:
    return [Path(sys.argv[0]).name, *sys.argv[1:]]
