"""A low-rank adapter of a real model is trained: two steps of PPO and of HeRL, the same bytes after a kill, and what it
left is evaluated."""

import pytest
from helpers.real_runs import SECONDS, hash_outcome, kill_after_checkpoint, read_steps, run_words

pytestmark = pytest.mark.long
# One step of the default rate moves so few weights less than float32 tells.
RANK = {"lora_rank": 16, "learning_rate": 1e-3}


def test_ppo_trains_and_its_run_is_evaluated(smollm2_folder, runs, cli):
    done = cli(*run_words("ppo", smollm2_folder, runs, **RANK), timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    run = runs / "gsm8k-ppo-s0"
    first, second, *_ = read_steps(run)
    assert first["kl"] == 0
    assert first["grad_norm"] > 0
    assert second["kl"] > 0
    assert (run / "final" / "adapter_config.json").is_file()
    small = ["--limit", "2", "--max_new_tokens", "8", "--data", "synthetic"]
    done = cli("eval", "--tasks", "gsm8k", "--model", run, *small, "--output_path", "after", timeout=SECONDS)
    assert done.returncode == 0, done.stderr


def test_herl_killed_and_resumed_gives_the_same_bytes(smollm2_folder, runs, cli):
    whole, killed = runs / "whole" / "gsm8k-herl-s0", runs / "killed" / "gsm8k-herl-s0"
    done = cli(*run_words("herl", smollm2_folder, whole.parent, **RANK), timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    first, second, *_ = read_steps(whole)
    assert first["revisions"] == second["revisions"] == 1
    assert second["kl"] > 0

    kill_after_checkpoint(run_words("herl", smollm2_folder, killed.parent, save_steps=1, **RANK), killed)
    done = cli("run", "--resume", killed, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert read_steps(killed) == read_steps(whole)
    assert hash_outcome(killed) == hash_outcome(whole)
