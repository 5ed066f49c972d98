"""How much memory is free, and what is made of it."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
import torch

from herl_bench.policy.capacity import (
    CACHE_BYTES,
    choose_cache_bytes,
    is_out_of_memory,
    read_free_bytes,
    read_group_bytes,
)
from herl_bench.policy.placement import CPU, FEW_PARAMETERS


def test_a_small_model_has_the_same_batches_on_every_machine() -> None:
    assert choose_cache_bytes(CPU, FEW_PARAMETERS - 1) == CACHE_BYTES


def test_a_larger_one_gets_a_share_of_what_is_free() -> None:
    share, free = choose_cache_bytes(CPU, FEW_PARAMETERS), read_free_bytes("cpu")
    assert share.bit_count() == 1
    assert free / 16 < share < free / 2  # what is free moves a little while this is asked


@pytest.mark.parametrize(
    ("files", "left"),
    [
        (("memory.max", "memory.current", "memory.stat", "inactive_file"), 150),
        (
            (
                "memory/memory.limit_in_bytes",
                "memory/memory.usage_in_bytes",
                "memory/memory.stat",
                "total_inactive_file",
            ),
            150,
        ),
    ],
)
def test_a_container_has_what_its_group_leaves_it(tmp_path: Path, files: tuple[str, ...], left: int) -> None:
    most, now, statistics, reclaimable = files
    for name, text in ((most, "1000\n"), (now, "900\n"), (statistics, f"anon 850\n{reclaimable} 50\n")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert read_group_bytes(tmp_path) == left
    (tmp_path / most).write_text("max\n")
    assert read_group_bytes(tmp_path) == psutil.virtual_memory().total


def test_running_out_is_told_from_other_errors() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
