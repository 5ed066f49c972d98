"""The setting `deterministic`: only operations that give the same bits each time, and one line where there is none."""

import os

import pytest
import torch

import herl_bench as hb
from herl_bench.errors import UsageError
from herl_bench.policy.determinism import CUBLAS_WORKSPACES, compute_deterministically


def put_in_any_order() -> None:
    torch.zeros(3).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))


def test_an_operation_without_such_a_form_is_named_in_one_line(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    line = r"^deterministic=true: put_ has no form .* device$"
    with pytest.raises(UsageError, match=line), compute_deterministically(True):
        put_in_any_order()
    assert not torch.are_deterministic_algorithms_enabled()
    put_in_any_order()


def test_other_errors_stay_what_they_are(monkeypatch):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    with pytest.raises(RuntimeError, match="another"), compute_deterministically(True):
        raise RuntimeError("another")


def test_what_is_not_wanted_changes_nothing(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    with compute_deterministically(False):
        put_in_any_order()


@pytest.mark.parametrize(("set_already", "left"), [(None, CUBLAS_WORKSPACES[0]), (":16:8", ":16:8")])
def test_cublas_is_told_before_its_first_use(monkeypatch, set_already, left):
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", set_already or "")
    with compute_deterministically(True):
        assert torch.are_deterministic_algorithms_enabled()
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == left


def test_a_run_uses_nothing_else(tmp_path, monkeypatch, checkpoint):
    """It samples and trains through operations that have such a form, and leaves PyTorch as it was."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    seen = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", spy(torch.use_deterministic_algorithms, seen))
    small = {"rollouts_per_step": 8, "minibatch_size": 8, "max_new_tokens": 4, "eval_items": 2, "budget": 40}
    model = {"model": str(checkpoint), "data": "synthetic", "output_dir": tmp_path, "progress": False}
    hb.train(task="gsm8k", method="herl", deterministic=True, **model, **small)
    assert seen == [True, False]


def spy(function, seen):
    def call(mode, **more):
        seen.append(mode)
        function(mode, **more)

    return call
