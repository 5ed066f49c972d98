"""The same bytes from the same seed on an accelerator too, whose sums otherwise have whatever order is fastest.

On a CPU that is so anyway, for one number of threads. Left out: the same bytes on two kinds of accelerator.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from herl_bench.errors import UsageError

CUBLAS_WORKSPACES = (":4096:8", ":16:8")
"""Values of CUBLAS_WORKSPACE_CONFIG under which cuBLAS gives the same bits each time (PyTorch's notes on
reproducibility); the first is the faster one, for 24 MiB."""


@contextmanager
def compute_deterministically(wanted: bool) -> Iterator[None]:
    """Where wanted, let PyTorch take only operations that give the same bits each time, until the end of the block.

    Raises `UsageError` at one that has no such form, and where CUDA was used before without being told.
    """
    import torch

    if not wanted:
        yield
        return
    # cuBLAS reads it once, and PyTorch asks for one of the two values under which its sums have one order.
    if os.environ.get("CUBLAS_WORKSPACE_CONFIG") not in CUBLAS_WORKSPACES:
        if torch.cuda.is_initialized():
            raise UsageError(
                "deterministic=true: this process has used CUDA before: start another one with"
                f" CUBLAS_WORKSPACE_CONFIG={CUBLAS_WORKSPACES[0]}"
            )
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = CUBLAS_WORKSPACES[0]
    usual, warns = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    except RuntimeError as error:
        if "deterministic" not in str(error):
            raise
        what = str(error).partition(" does not have a deterministic")[0]
        raise UsageError(
            f"deterministic=true: {what[:100]} has no form that gives the same bits each time on this device: leave"
            " deterministic out, or name another device"
        ) from error
    finally:
        torch.use_deterministic_algorithms(usual, warn_only=warns)
