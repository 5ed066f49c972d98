"""Chat models of two architectures through `run`, `eval` and `score`, as a user types them."""

import json

import pytest
import torch
from helpers.gguf_files import CHATML, make_llama, write_gguf
from transformers import AutoModelForCausalLM

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


def test_a_gguf_file_is_trained_with_variables_of_its_chat_template(cli, tmp_path):
    torch.manual_seed(0)
    template = CHATML + "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    file = write_gguf(tmp_path / "small.gguf", make_llama(), chat=template)
    words = ["--set", "max_new_tokens=4", "--set", "eval_items=4", "--set", "rollouts_per_step=8"]
    words += ["--chat_template_kwargs", "{enable_thinking: false}"]
    start = ["run", "--task", "gsm8k", "--method", "ppo", "--data", "synthetic", "--budget"]
    done = cli(*start, "40", "--model", file, *words)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no bar of a loader's
    run = tmp_path / "runs" / "gsm8k-ppo-s0"
    assert "chat_template_kwargs:\n  enable_thinking: false" in (run / "config.yaml").read_text()
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["settings"]["chat_template_kwargs"] == {"enable_thinking": False}
    assert manifest["base_model"]["architecture"] == "LlamaForCausalLM"
    AutoModelForCausalLM.from_pretrained(run / "final")
    (samples,) = (run / "eval" / "after").glob("samples_*.jsonl")
    asked = json.loads(samples.read_text().splitlines()[0])["arguments"]["gen_args_0"]["arg_0"]
    assert asked.endswith("<|im_start|>assistant\n<think></think>")

    done = cli("run", "--resume", run, "--budget", "80")  # the same file makes the same model
    assert done.returncode == 0, done.stderr
    done = cli("eval", "--model", run, "--write_out", "--limit", "1", "--format", "json")
    assert "assistant\n<think></think>" in done.stderr
    told = json.loads(max((run / "eval" / "final").glob("results_*.json")).read_text())["herl_bench"]["settings"]
    assert told["gsm8k"]["chat_template_kwargs"] == {"enable_thinking": False}
    done = cli(*start, "40", "--model", file, "--chat_template_kwargs", "{enable_thinkin: false}")
    assert done.returncode == 2
    assert "reads no 'enable_thinkin'" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
