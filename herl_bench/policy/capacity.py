"""How much memory a device has free, and what running out of it looks like.

Left out: limits of control groups under macOS and Windows, which have none.
"""

from __future__ import annotations

import gc
from contextlib import suppress
from pathlib import Path

import psutil

from herl_bench.policy.placement import FEW_PARAMETERS, Placement

CACHE_BYTES = 2**30
"""What the keys and values of a small model's batch may take, on every machine: its responses are drawn batch by batch,
so that another number of rows gives other ones."""

CACHE_SHARE = 0.25
"""Of the free memory, for a larger model's: the rest is for gradients, optimisers and critics."""

CONTROL_GROUPS = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)
"""(most, now, statistics, what of them can be taken back at once) of this process's control group, version 2 and 1, as
a container shows them."""


def choose_cache_bytes(placement: Placement, parameters: int) -> int:
    """What the keys and values of a batch may take. A power of two, so that a device that has a little more or less
    free gives the same batches. To be asked once a model is loaded and before anything else is."""
    if parameters < FEW_PARAMETERS:
        return CACHE_BYTES
    return _round_down(int(CACHE_SHARE * read_free_bytes(placement.device)))


def read_free_bytes(device: str) -> int:
    """Of the device's memory, or the machine's for `cpu`. What PyTorch holds and does not use counts as free."""
    import torch

    kind = device.partition(":")[0]
    if kind == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    if kind == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return min(psutil.virtual_memory().available, read_group_bytes(Path("/sys/fs/cgroup")))


def read_group_bytes(folder: Path) -> int:
    """What the process's control group lets it take beside what it has; the machine's own memory without a limit."""
    total: int = psutil.virtual_memory().total
    for most, now, statistics, reclaimable in CONTROL_GROUPS:
        with suppress(OSError, ValueError, KeyError):  # `max` is no number: no limit
            limit, used = int((folder / most).read_text()), int((folder / now).read_text())
            lines = (folder / statistics).read_text().splitlines()
            return min(total, max(0, limit - used + int(dict(line.split() for line in lines)[reclaimable])))
    return total


def is_out_of_memory(error: BaseException) -> bool:
    """PyTorch has an exception of its own for accelerators; on a CPU it is a RuntimeError with these words."""
    import torch

    return isinstance(error, torch.OutOfMemoryError) or "DefaultCPUAllocator: can't allocate memory" in str(error)


def release_memory() -> None:
    """Give what a failed pass left behind back to the device. To be called outside of the `except` that caught it:
    inside, the traceback still holds the pass's tensors."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _round_down(size: int) -> int:
    return 1 << max(0, size.bit_length() - 1)
