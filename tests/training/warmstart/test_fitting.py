"""A tiny policy learns both to err and to listen, the same one from the same seed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.next_digit import ENVIRONMENT, SMALL, warm_start_small
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from herl_bench.errors import SaveError
from herl_bench.policy.load import load_policy
from herl_bench.training.warmstart.demonstrations import make_rows
from herl_bench.training.warmstart.fitting import order_rows
from herl_bench.training.warmstart.tokenizer import tokenize


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(0, 5))
def test_order_visits_all_rows_evenly_in_batches_of_one_length(lengths: list[int], seed: int) -> None:
    config = dataclasses.replace(SMALL, steps=20, seed=seed)
    order = order_rows(lengths, config)
    counts = [order.count(i) for i in range(len(lengths))]
    assert len(order) == 160
    assert max(counts) - min(counts) <= 1
    assert order == order_rows(lengths, config)
    padded = sum(4 * max(lengths[i] for i in order[k : k + 4]) for k in range(0, 160, 4))
    assert (
        padded <= sum(lengths[i] for i in order) + 2 * 4 * 50
    )  # per window of 128 rows, at most one longest row's worth of padding


def test_the_loss_is_the_mean_over_response_tokens_of_the_whole_batch(tmp_path: Path) -> None:
    log: list[Any] = []
    warm_start_small(tmp_path, log.append, steps=1, optimizer="adamw", learning_rate=1e-12, warmup_steps=0)
    (logged,) = [row["loss"] for row in log if "loss" in row]
    policy = load_policy(tmp_path)
    rows, _ = make_rows(ENVIRONMENT, dataclasses.replace(SMALL, steps=1))
    data, _ = tokenize(rows, policy.tokenizer, 128)
    total = count = 0.0
    for ids, labels in zip(data["input_ids"], data["labels"], strict=True):
        with torch.no_grad():
            logp = policy.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        scored = [(t - 1, label) for t, label in enumerate(labels) if label != -100]
        total -= sum(logp[t, label].item() for t, label in scored)
        count += len(scored)
    assert logged == pytest.approx(total / count, rel=1e-4)


def test_it_learns_the_task_the_misconception_and_to_follow_guidance(tmp_path: Path) -> None:
    log: list[Any] = []
    record = warm_start_small(
        tmp_path,
        log.append,
        steps=300,
        batch_size=16,
        micro_batch_size=8,
        learning_rate=1e-2,
        eval_steps=200,
        eval_examples=60,
    )
    evaluation = record["evaluation"]
    assert evaluation["plain"]["other"] > 0.8
    assert evaluation["plain"]["planted"] < 0.1
    assert evaluation["sampled"]["planted"] < 0.3
    assert evaluation["repaired"]["reference"]["planted"] > 0.8
    assert evaluation["truncated"] < 0.1
    assert [row["evaluation"]["examples"] for row in log if "evaluation" in row] == [20, 60]
    assert json.loads((tmp_path / "warmstart.json").read_text()) == record
    assert record["command"].startswith("herl-bench warmstart --task next -o DIR --set steps=300 ")
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = AutoTokenizer.from_pretrained(tmp_path)("after 2:", return_tensors="pt")
    written = model.generate(ids["input_ids"], max_new_tokens=4, do_sample=False)
    assert load_policy(tmp_path).decode(written[0]).strip() == "after 2:3"


@pytest.mark.parametrize(("optimizer", "bf16"), [("muon", False), ("adamw", True)])
def test_same_seed_same_weights(tmp_path: Path, optimizer: str, bf16: bool) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        warm_start_small(tmp_path / name, seed=seed, optimizer=optimizer, dtype="bfloat16" if bf16 else "float32")
    a, b, c = (load_file(tmp_path / name / "model.safetensors") for name in "abc")
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(not torch.equal(a[k], c[k]) for k in a)


def test_a_large_policy_is_stored_in_half_precision_and_read_in_full(tmp_path: Path) -> None:
    warm_start_small(tmp_path, steps=1, hidden=144, layers=3)
    assert {t.dtype for t in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}
    assert (tmp_path / "model.safetensors").stat().st_size < 2_000_000
    assert load_policy(tmp_path).model.dtype == torch.float32


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="cannot make this folder"):
        warm_start_small(tmp_path / "file")
