"""All weights of a real model are trained: two steps of PPO and of HeRL, and the same bytes after a kill."""

import json

import pytest
from helpers.real_runs import SECONDS, hash_outcome, kill_after_checkpoint, read_steps, run_words

pytestmark = pytest.mark.long


def test_ppo_trains_and_its_rollouts_are_scored(smollm2_folder, runs, cli):
    done = cli(*run_words("ppo", smollm2_folder, runs), timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    run = runs / "gsm8k-ppo-s0"
    first, second, *_ = read_steps(run)
    assert first["kl"] == 0
    assert first["grad_norm"] > 0
    assert second["kl"] > 0
    scored = cli("score", run / "rollouts.jsonl", "--task", "gsm8k", "--allow_duplicates", "--format", "json")
    assert scored.returncode == 0, scored.stderr
    assert json.loads(scored.stdout)["responses"] == len((run / "rollouts.jsonl").read_text().splitlines())


def test_herl_killed_and_resumed_gives_the_same_bytes(smollm2_folder, runs, cli):
    whole, killed = runs / "whole" / "gsm8k-herl-s0", runs / "killed" / "gsm8k-herl-s0"
    done = cli(*run_words("herl", smollm2_folder, whole.parent), timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    first, second, *_ = read_steps(whole)
    assert first["revisions"] == second["revisions"] == 1
    assert second["kl"] > 0

    kill_after_checkpoint(run_words("herl", smollm2_folder, killed.parent, save_steps=1), killed)
    done = cli("run", "--resume", killed, timeout=SECONDS)
    assert done.returncode == 0, done.stderr
    assert read_steps(killed) == read_steps(whole)
    assert hash_outcome(killed) == hash_outcome(whole)
