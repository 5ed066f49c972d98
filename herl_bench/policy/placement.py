"""Where a model computes, in which precision and with how many threads: chosen once, for everything of a run.

What `device` and `dtype` may say is what the command line and a configuration take; `choose_placement` makes of it what
there is. Left out: several devices for one model.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

from herl_bench.errors import UsageError

Precision = Literal["float32", "bfloat16"]

FEW_PARAMETERS = 4_000_000
"""Models under this compute on one thread: a second one cost a Llama of 3.7M twenty times the time of a decode step on
busy cores, and one of 28M five times (docs/configuration.md)."""


@dataclass(frozen=True)
class Placement:
    """device: as PyTorch names it, such as `cpu` or `cuda:0`. threads: of one operation on the CPU. why: so many."""

    device: str = "cpu"
    dtype: Precision = "float32"
    threads: int = 1
    why: str = ""

    @property
    def kind(self) -> str:
        """`cpu`, `cuda` or `mps`."""
        return self.device.partition(":")[0]

    @property
    def torch_dtype(self) -> Any:
        import torch

        return getattr(torch, self.dtype)

    def as_json(self) -> dict[str, Any]:
        return {"device": self.device, "dtype": self.dtype, "threads": self.threads, "threads_why": self.why}


CPU = Placement()


def choose_placement(device: str = "auto", dtype: str = "auto", parameters: int | None = None) -> Placement:
    """What there is here of what was asked for.

    device: `auto` (CUDA, else MPS, else the CPU), `cpu`, `cuda`, `cuda:N` or `mps`. dtype: `auto` (bfloat16 on a CUDA
    device that computes in it, else float32), `float32` or `bfloat16`. parameters: of the model, None where unknown;
    they choose the threads. Raises `UsageError` for a device that is not there, with what is.
    """
    place = _choose_device(device, list_devices())
    if dtype not in ("auto", "float32", "bfloat16"):
        raise UsageError(f"dtype={dtype}: choose from auto, float32, bfloat16")
    if dtype == "auto":
        dtype = "bfloat16" if place.startswith("cuda") and _computes_in_bfloat16(place) else "float32"
    threads, why = _choose_threads(parameters)
    precision: Precision = "bfloat16" if dtype == "bfloat16" else "float32"
    return Placement(place, precision, threads, why)


def list_devices() -> list[str]:
    """What PyTorch can compute on here, the best first; the CPU is always there."""
    import torch

    found = [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []
    return [*found, *(["mps"] if torch.backends.mps.is_available() else []), "cpu"]


def refuse_several(placement: Placement) -> None:
    """Before TRL trains: it takes all devices that it sees. Raises `UsageError` where it would see more than one."""
    if placement.kind == "cuda" and (count := len(list_devices()) - 1) > 1:
        seen = f"TRL trains on one CUDA device here, and sees {count}"
        raise UsageError(
            f"{seen}: make one visible, with CUDA_VISIBLE_DEVICES={placement.device[5:]} and --device cuda"
        )


@contextmanager
def use_threads(count: int) -> Iterator[None]:
    """Let PyTorch compute on so many threads; afterwards on as many as before, which belong to whoever calls."""
    import torch

    usual = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(usual)


def _choose_device(asked: str, there: list[str]) -> str:
    if asked == "auto":
        return there[0]
    if not re.fullmatch(r"cpu|mps|cuda(:\d+)?", asked):
        raise UsageError(f"device={asked}: choose from auto, cpu, cuda, cuda:N, mps")
    found = [name for name in there if name == asked or name.partition(":")[0] == asked]
    if not found:
        raise UsageError(f"device={asked}: PyTorch finds none here: choose from auto, {', '.join(there)}")
    return found[0]


def _computes_in_bfloat16(device: str) -> bool:
    import torch

    with torch.cuda.device(device):
        return torch.cuda.is_bf16_supported(including_emulation=False)


def _choose_threads(parameters: int | None) -> tuple[int, str]:
    """(threads, why so many)."""
    import torch

    if "OMP_NUM_THREADS" in os.environ:
        return torch.get_num_threads(), "OMP_NUM_THREADS"
    if parameters is not None and parameters < FEW_PARAMETERS:
        return 1, f"a model of {parameters:,} parameters is faster on one"
    return torch.get_num_threads(), "PyTorch's own number for these cores"
