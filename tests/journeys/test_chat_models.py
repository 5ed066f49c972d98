"""Chat models of two architectures through `run`, `eval` and `score`, as a user types them."""

import json

import pytest

from herl_bench.testing import tiny_checkpoint


@pytest.mark.parametrize("architecture", ["llama", "qwen2"])
def test_a_chat_model_is_trained_evaluated_and_scored(cli, tmp_path, architecture):
    model = tiny_checkpoint(tmp_path / "model", architecture, chat_template=True)
    settings = ["rollouts_per_step=12", "max_new_tokens=8", "eval_items=6"]
    done = cli(
        "run", "--task", "gsm8k", "--method", "herl", "--model", model, "--data", "synthetic", "--budget", "400",
        *(word for setting in settings for word in ("--set", setting)),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "gsm8k-herl-s0"
    rows = [json.loads(line) for line in (run / "rollouts.jsonl").read_text().splitlines()]
    assert {row["kind"] for row in rows} == {"plain", "revision"}

    done = cli("eval", "--model", run, "--output_path", tmp_path / "out", "--log_samples", "--format", "json")
    assert done.returncode == 0, done.stderr
    evaluated = json.loads(done.stdout)["tasks"]["gsm8k"]
    (results,) = (tmp_path / "out").rglob("results_*.json")
    written = json.loads(results.read_text())
    assert written["chat_template"]
    assert "####" in written["system_instruction"]

    (samples,) = (tmp_path / "out").rglob("samples_*.jsonl")
    done = cli("score", samples, "--task", "gsm8k", "--data", "synthetic", "--format", "json")
    assert done.returncode == 0, done.stderr
    scored = json.loads(done.stdout)
    assert scored["items"] == 6
    for name, score in scored["metrics"].items():
        assert score["value"] == evaluated["metrics"][name]["value"]
