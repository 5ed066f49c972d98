"""An evaluation that was killed goes on to the very files of one that was not."""

import fcntl
import importlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from herl_bench.cli import main
from herl_bench.testing import tiny_checkpoint

CLOCK = {"date", "total_evaluation_time_seconds"}


def arguments(model, out, *more):
    return [
        "eval",
        "--tasks",
        "gsm8k,bbh",
        "--model",
        str(model),
        "--data",
        "synthetic",
        "--limit",
        "40",
        "--max_new_tokens",
        "8",
        "--n",
        "2",
        "--temperature",
        "1",
        "--seed",
        "3",
        "--output_path",
        str(out),
        "--log_samples",
        *more,
    ]


def evaluate(capsys, *args):
    with pytest.raises(SystemExit) as left:
        main(list(args))
    err = capsys.readouterr().err
    assert left.value.code == 0, err
    return err


def written(out):
    """(results without the clock, bytes of each task's samples); nothing else may be there."""
    (results,) = out.rglob("results_*.json")
    samples = {p.name.split("_")[1]: p.read_bytes() for p in results.parent.glob("samples_*.jsonl")}
    assert len(list(results.parent.iterdir())) == 1 + len(samples)
    return {k: v for k, v in json.loads(results.read_text()).items() if k not in CLOCK}, samples


@pytest.fixture(scope="module")
def whole(checkpoint, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole")
    with pytest.raises(SystemExit):
        main(arguments(checkpoint, out))
    return written(out)


def part(out, task):
    return next(iter(out.rglob(f"samples_{task}_*.part")), None)


@pytest.mark.parametrize(("task", "torn"), [("gsm8k", False), ("bbh", True)])
def test_killed_at_a_batch_and_started_again(capsys, tmp_path, checkpoint, whole, task, torn):
    process = subprocess.Popen(
        [sys.executable, "-m", "herl_bench", *arguments(checkpoint, tmp_path)], stderr=subprocess.DEVNULL
    )
    lines = whole[1][task].count(b"\n") * 32 // 40  # of the first batch: 64 responses, two to an item
    while not ((found := part(tmp_path, task)) and found.read_bytes().count(b"\n") >= lines):
        assert process.poll() is None
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not list(tmp_path.rglob("results_*"))
    if torn:
        os.truncate(found, found.stat().st_size - 7)
    err = evaluate(capsys, *arguments(checkpoint, tmp_path))
    assert "items are in" in err
    assert written(tmp_path) == whole


def interrupted(capsys, monkeypatch, where, *args):
    """The command dies there; gives what it said on stderr."""

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        room, _, name = where.rpartition(".")
        patch.setattr(importlib.import_module(room), name, stop)
        with pytest.raises(SystemExit) as left:
            main(list(args))
    assert left.value.code == 130
    return capsys.readouterr().err


def test_with_all_samples_made_the_model_is_not_asked_again(capsys, tmp_path, checkpoint, whole, monkeypatch):
    interrupted(capsys, monkeypatch, "herl_bench.experiment.evaluate.write_results", *arguments(checkpoint, tmp_path))
    monkeypatch.setattr("herl_bench.policy.load.Policy.answer", lambda *_, **__: 1 / 0)
    err = evaluate(capsys, *arguments(checkpoint, tmp_path))
    assert err.count("40 of 40 items are in") == 2
    assert written(tmp_path) == whole


@pytest.mark.parametrize(
    "more",
    [["--seed", "4"], ["--temperature", "0.5"], ["--max_new_tokens", "7"], ["--limit", "5"], ["--n", "3"]],
    ids=lambda more: more[0],
)
def test_other_settings_never_take_over_samples(capsys, tmp_path, checkpoint, monkeypatch, more):
    args = arguments(checkpoint, tmp_path, "--tasks", "gsm8k", "--limit", "4")
    assert "items are in" not in interrupted(capsys, monkeypatch, "herl_bench.experiment.evaluate.write_results", *args)
    assert "items are in" not in interrupted(
        capsys, monkeypatch, "herl_bench.experiment.evaluate.write_results", *args, *more
    )
    assert len(list(tmp_path.rglob("*.part"))) == 2
    assert "4 of 4 items are in" in interrupted(
        capsys, monkeypatch, "herl_bench.experiment.evaluate.write_results", *args
    )


def test_another_checkpoint_never_takes_over_samples(capsys, tmp_path, checkpoint, monkeypatch):
    model = shutil.copytree(checkpoint, tmp_path / "model")
    args = arguments(model, tmp_path / "out", "--tasks", "gsm8k", "--limit", "4")
    interrupted(capsys, monkeypatch, "herl_bench.experiment.evaluate.write_results", *args)
    tiny_checkpoint(model, seed=1)
    assert "items are in" not in interrupted(capsys, monkeypatch, "herl_bench.experiment.evaluate.write_results", *args)


def test_two_at_once_are_kept_apart(capsys, tmp_path, checkpoint, monkeypatch):
    args = arguments(checkpoint, tmp_path, "--tasks", "gsm8k", "--limit", "4")
    interrupted(capsys, monkeypatch, "herl_bench.experiment.evaluate.write_results", *args)
    with part(tmp_path, "gsm8k").open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(SystemExit) as left:
            main(args)
    assert left.value.code == 2
    assert "another process is writing this very evaluation" in capsys.readouterr().err


def test_both_tasks_stand_in_one_results_file_that_lm_eval_prints(whole):
    from lm_eval.utils import make_table

    table = make_table({**whole[0], "date": 0})
    for words in ("|gsm8k", "|bbh", "|criterion_final_answer", "|exact_match"):
        assert words in table
    assert (
        list(whole[0]["n-samples"])
        == list(whole[0]["task_hashes"])
        == sorted(whole[1], reverse=True)
        == ["gsm8k", "bbh"]
    )
