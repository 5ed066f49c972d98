"""`herl-bench run` as a user types it: real processes, an untrained Llama, the GSM8K task on its synthetic world."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.commands import run_command

from herl_bench.cli.score_tables import format_score
from herl_bench.evaluation.result_files import read_summary
from herl_bench.testing import tiny_checkpoint
from herl_bench.training.metrics import CLOCK

SETTINGS = ["rollouts_per_step=16", "max_new_tokens=12", "save_steps=2", "eval_items=12", "learning_rate=1e-3"]
SMALL = [word for setting in SETTINGS for word in ("--set", setting)]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "llama")


def command(*words: Any) -> list[str]:
    return [sys.executable, "-m", "herl_bench", *map(str, words)]


def start(model: Path, cwd: Path, budget: str = "1500") -> list[Any]:
    return [
        "run",
        "--task",
        "gsm8k",
        "--method",
        "herl",
        "--model",
        model,
        "--data",
        "synthetic",
        "--budget",
        budget,
        *SMALL,
    ]


def logged(directory: Path) -> tuple[list[Any], str]:
    rows = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k not in (*CLOCK, "seconds")} for row in rows], (
        directory / "rollouts.jsonl"
    ).read_text()


@pytest.fixture(scope="module")
def finished(model: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    cwd = tmp_path_factory.mktemp("whole")
    done = run_command(*start(model, cwd), cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd / "runs" / "gsm8k-herl-s0", done.stdout


def test_learning_rates_are_told_first_and_kept(finished: tuple[Path, str]):
    """One was given, the others suit a small model that no warm start made."""
    directory, shown = finished
    told = "Learning rates: learning_rate 0.001, critic_learning_rate 0.0001\n"
    assert told in shown[: shown.index("step 1 ")]
    settings = yaml.safe_load((directory / "config.yaml").read_text())["set"]
    assert [settings[f"{kind}learning_rate"] for kind in ("", "critic_")] == [1e-3, 1e-4]


def test_the_run_directory_holds_what_is_documented(finished: tuple[Path, str]):
    directory, _ = finished
    names = {str(p.relative_to(directory)) for p in directory.rglob("*") if "checkpoints" not in p.parts}
    assert {
        "config.yaml",
        "manifest.json",
        "metrics.jsonl",
        "report.html",
        "rollouts.jsonl",
        "final/model.safetensors",
        "final/critic.safetensors",
    } <= names
    assert {"eval/before", "eval/after"} <= names
    assert not [n for n in names if "tmp" in n or "part" in n]
    manifest = json.loads((directory / "manifest.json").read_text())
    assert manifest["leakage_gate"]
    assert len(manifest["base_model"]["sha256"]) == 64
    assert {p["distribution"] for p in manifest["plugins"]} >= {"herl-bench"}


def test_the_table_is_true_to_the_evaluation_files(finished: tuple[Path, str]):
    directory, out = finished
    after = read_summary(directory / "eval" / "after")
    for name, score in after["metrics"].items():
        (line,) = [row for row in out.splitlines() if name in row]
        assert format_score(score, 3) in line
    spent = logged(directory)[0][-1]["tokens"]
    assert f"Spent {spent:,} of 1,500 generated tokens" in out
    assert spent <= 1500 + 12


def test_its_config_starts_the_same_run(finished: tuple[Path, str], tmp_path: Path):
    directory, _ = finished
    done = run_command("run", "--config", directory / "config.yaml", "--output_dir", tmp_path / "again", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    again = tmp_path / "again" / "gsm8k-herl-s0"
    assert logged(again) == logged(directory)
    assert (again / "final" / "model.safetensors").read_bytes() == (
        directory / "final" / "model.safetensors"
    ).read_bytes()
    assert yaml.safe_load((again / "config.yaml").read_text()) == yaml.safe_load(
        (directory / "config.yaml").read_text()
    )


def wait_for(file: Path, lines: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and process.poll() is None:
        if file.exists() and file.read_text().count("\n") >= lines:
            return
        time.sleep(0.02)
    raise AssertionError(f"the run never logged {lines} steps: {process.communicate()}")


@pytest.mark.parametrize(
    ("how", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)], ids=["killed", "ctrl-c"]
)
def test_stopped_and_resumed_is_the_same_run(
    finished: tuple[Path, str], model: Path, tmp_path: Path, how: signal.Signals, code: int
):
    whole, _ = finished
    process = subprocess.Popen(
        command(*start(model, tmp_path)), cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    directory = tmp_path / "runs" / "gsm8k-herl-s0"
    wait_for(directory / "metrics.jsonl", 3, process)
    os.kill(process.pid, how)
    _, err = process.communicate(timeout=120)
    assert process.returncode == code
    if how == signal.SIGINT:
        assert f"herl-bench run --resume {directory.relative_to(tmp_path)}" in err
    done = run_command("run", "--resume", directory, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert logged(directory) == logged(whole)
    assert (directory / "final" / "model.safetensors").read_bytes() == (
        whole / "final" / "model.safetensors"
    ).read_bytes()


def test_resume_takes_a_larger_budget_and_nothing_else(finished: tuple[Path, str], tmp_path: Path):
    directory = Path(shutil.copytree(finished[0], tmp_path / "copy"))
    refused = run_command("run", "--resume", directory, "--seed", 3, cwd=tmp_path)
    assert refused.returncode == 2
    assert "leave out --seed" in refused.stderr
    before = logged(directory)[0]
    done = run_command("run", "--resume", directory, "--budget", "1800", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    after = logged(directory)[0]
    assert after[: len(before)] == before
    assert after[-1]["tokens"] > before[-1]["tokens"]
