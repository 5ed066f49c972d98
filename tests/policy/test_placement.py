"""Device, precision and threads: what there is of what was asked for, and one line for what there is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.checkpoints import save_llama, save_tokenizer

from herl_bench.errors import UsageError
from herl_bench.policy.load import load_policy
from herl_bench.policy.placement import (
    FEW_PARAMETERS,
    Placement,
    _choose_device,
    choose_placement,
    list_devices,
    use_threads,
)

THERE = ["cuda:0", "cuda:1", "cpu"]


@pytest.mark.parametrize(
    ("asked", "there", "found"),
    [
        ("auto", THERE, "cuda:0"),
        ("auto", ["mps", "cpu"], "mps"),
        ("auto", ["cpu"], "cpu"),
        ("cuda", THERE, "cuda:0"),
        ("cuda:1", THERE, "cuda:1"),
        ("cpu", THERE, "cpu"),
        ("mps", ["mps", "cpu"], "mps"),
    ],
)
def test_the_device_is_one_that_is_there(asked: str, there: list[str], found: str) -> None:
    assert _choose_device(asked, there) == found


@pytest.mark.parametrize(
    ("asked", "there", "answer"),
    [
        ("cuda", ["cpu"], "device=cuda: PyTorch finds none here: choose from auto, cpu"),
        ("cuda:2", THERE, "device=cuda:2: PyTorch finds none here: choose from auto, cuda:0, cuda:1, cpu"),
        ("mps", THERE, "PyTorch finds none here"),
        ("gpu", THERE, "device=gpu: choose from auto, cpu, cuda, cuda:N, mps"),
        ("cuda:x", THERE, "choose from auto, cpu, cuda, cuda:N, mps"),
    ],
)
def test_one_that_is_not_is_one_line(asked: str, there: list[str], answer: str) -> None:
    with pytest.raises(UsageError, match=answer):
        _choose_device(asked, there)


def test_the_processor_computes_in_float32_unless_told() -> None:
    assert list_devices()[-1] == "cpu"
    assert choose_placement("cpu").dtype == "float32"
    assert choose_placement("cpu", "bfloat16").dtype == "bfloat16"
    with pytest.raises(UsageError, match="dtype=float16: choose from auto, float32, bfloat16"):
        choose_placement("cpu", "float16")


def test_threads_suit_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    with use_threads(3):
        assert choose_placement("cpu", parameters=FEW_PARAMETERS - 1).threads == 1
        assert choose_placement("cpu", parameters=FEW_PARAMETERS).threads == 3
        assert choose_placement("cpu").threads == 3
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
        few = choose_placement("cpu", parameters=10)
        assert (few.threads, few.why) == (3, "OMP_NUM_THREADS")


def test_the_caller_s_threads_come_back() -> None:
    before = torch.get_num_threads()

    def work() -> None:
        with use_threads(before + 1):
            assert torch.get_num_threads() == before + 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        work()
    assert torch.get_num_threads() == before


def test_weights_are_in_the_placement_s_precision_unless_they_are_trained(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path, eos_token="<eos>", pad_token="<pad>")
    save_llama(tmp_path, len(tokenizer))
    half = Placement("cpu", "bfloat16")
    assert load_policy(tmp_path, placement=half).model.dtype == torch.bfloat16
    trained = load_policy(tmp_path, placement=half, master=True)
    assert trained.model.dtype == torch.float32
    assert trained.placement == half
    assert load_policy(tmp_path).model.dtype == torch.float32


NUMBERS = """
import herl_bench, json, os, sys
os.sched_setaffinity(0, map(int, sys.argv[2].split(",")))
few = dict(budget=500, rollouts_per_step=4, minibatch_size=4, eval_items=2, max_new_tokens=64)
run = herl_bench.train(task="gsm8k", output_dir=sys.argv[1], progress=False, device="cpu", **few)
rows = [{k: v for k, v in row.items() if not k.endswith("_s") and k != "seconds"} for row in run.metrics]
print(json.dumps([rows, run.manifest["placement"]]))
"""


@pytest.mark.long
@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity") or os.cpu_count() == 1, reason="needs two cores to choose from"
)
def test_an_embedded_run_gives_the_same_numbers_on_one_core_and_on_two(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
    cores = [str(core) for core in sorted(os.sched_getaffinity(0))[:2]]
    running = [
        subprocess.Popen(
            [sys.executable, "-c", NUMBERS, str(tmp_path / visible), visible],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for visible in (cores[0], ",".join(cores))
    ]
    one, two = (process.communicate()[0] for process in running)
    assert one == two
    assert '"threads": 1' in one
