"""Loading policies: any causal LM of transformers, and one clear line for everything that is wrong with a path."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.checkpoints import save_llama, save_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForSequenceClassification

from herl_bench.errors import UsageError
from herl_bench.policy.load import load_policy
from herl_bench.testing import tiny_checkpoint

CHAT = (
    "{% for m in messages %}{% if m.role == 'system' %}{{ SYSTEM }}{% endif %}"
    "<{{ m.role }}>{{ m.content }}{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    tokenizer = save_tokenizer(tmp_path, eos_token="<eos>", bos_token="<bos>", pad_token="<pad>")
    save_llama(tmp_path, len(tokenizer))
    return tmp_path


def test_plain_prompts_get_bos_and_no_instruction(checkpoint: Path) -> None:
    policy = load_policy(checkpoint)
    bos = policy.tokenizer.bos_token_id
    ids = policy.encode(["ab", "c"], instruction="Be brief.")
    assert [len(row) for row in ids] == [3, 2]
    assert all(row[0] == bos for row in ids)
    assert policy.decode(ids[0]) == "ab"
    assert policy.encode([]) == []


@pytest.mark.parametrize(
    ("on_system", "expected"),
    [
        ("", "<system>Be brief.<user>ab<assistant>"),
        ("{{ raise_exception('no system role') }}", "<user>Be brief.\n\nab<assistant>"),
    ],
)
def test_chat_template_is_applied_and_the_instruction_folded_where_it_must(
    tmp_path: Path, on_system: str, expected: str
) -> None:
    tokenizer = save_tokenizer(tmp_path, CHAT.replace("{{ SYSTEM }}", on_system), eos_token="<eos>", pad_token="<pad>")
    save_llama(tmp_path, len(tokenizer))
    policy = load_policy(tmp_path)
    assert policy.decode(policy.encode(["ab"], "Be brief.")[0]) == expected
    assert policy.decode(policy.encode(["ab"])[0]) == "<user>ab<assistant>"


def test_dropout_is_off_and_dtype_is_float32(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path, eos_token="<eos>")
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=16, n_layer=1, n_head=2, n_positions=32, dtype="float16")
    GPT2LMHeadModel(config).half().save_pretrained(tmp_path)
    policy = load_policy(tmp_path)
    assert policy.model.dtype == torch.float32
    policy.model.train()
    ids = torch.tensor([[5, 6, 7]])
    assert torch.equal(policy.model(ids).logits, policy.model(ids).logits)


def test_padding_is_never_eos(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path, eos_token="<eos>", pad_token="<eos>")
    save_llama(tmp_path, len(tokenizer))
    policy = load_policy(tmp_path)
    assert policy.pad_id not in policy.eos_ids
    assert policy.model.get_input_embeddings().num_embeddings == len(policy.tokenizer) == len(tokenizer) + 1
    assert policy.tokenizer.padding_side == "left"
    assert policy.model.config.pad_token_id == policy.pad_id


def test_spare_rows_and_unused_special_tokens_save_a_resize(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path / "a", eos_token="<eos>")
    save_llama(tmp_path / "a", len(tokenizer) + 7)
    roomy = load_policy(tmp_path / "a")
    assert roomy.pad_id == len(tokenizer)
    assert roomy.model.get_input_embeddings().num_embeddings == len(tokenizer) + 7
    tokenizer = save_tokenizer(tmp_path / "b", eos_token="<eos>", unk_token="<unk>")
    save_llama(tmp_path / "b", len(tokenizer))
    assert load_policy(tmp_path / "b").tokenizer.pad_token == "<unk>"


def test_name_of_a_run(checkpoint: Path) -> None:
    final = checkpoint / "my-run" / "final"
    load_policy(checkpoint).model.save_pretrained(final)
    load_policy(checkpoint).tokenizer.save_pretrained(final)
    assert load_policy(final).name == "my-run"
    with pytest.raises(UsageError, match=r"no config.json in it: did you mean .*my-run/final"):
        load_policy(final.parent)


def broken(folder: Path, how: str) -> str:
    if how == "file":
        return str(folder / "config.json")
    if how == "nowhere":
        return str(folder / "nowhere")
    if how == "hub":
        return "nobody/has-this-model"
    if how == "config":
        (folder / "config.json").unlink()
    if how == "bad config":
        (folder / "config.json").write_text('{"model_type": "perceptron"}')
    if how == "tokenizer":
        for path in folder.glob("tokenizer*"):
            path.unlink()
    if how == "bad tokenizer":
        (folder / "tokenizer.json").write_text("{")
    if how == "weights":
        (folder / "model.safetensors").unlink()
    if how == "bad weights":
        (folder / "model.safetensors").write_bytes(b"nothing")
    if how == "classifier":
        config = LlamaConfig.from_pretrained(folder)
        LlamaForSequenceClassification(config).save_pretrained(folder)
    return str(folder)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("file", "that is a file; give the checkpoint folder"),
        ("nowhere", "no such folder"),
        ("hub", "no such folder, and not in the local hub cache"),
        ("config", "no config.json in it"),
        ("bad config", "config.json cannot be used"),
        ("tokenizer", "no tokenizer in it"),
        ("bad tokenizer", "its tokenizer cannot be loaded"),
        ("weights", "its weights cannot be loaded"),
        ("bad weights", "its weights cannot be loaded"),
        ("classifier", "not a causal LM"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    checkpoint: Path, how: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    place = broken(checkpoint, how)
    with pytest.raises(UsageError, match=message) as caught:
        load_policy(place)
    assert "\n" not in str(caught.value)
    assert place in str(caught.value)


def test_a_model_whose_responses_could_not_end_is_refused(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path, pad_token="<pad>")
    save_llama(tmp_path, len(tokenizer))
    with pytest.raises(UsageError, match="no EOS token"):
        load_policy(tmp_path)


def test_the_package_knows_no_torch_until_it_is_used() -> None:
    code = "import herl_bench.policy, sys, json; print(json.dumps('torch' in sys.modules))"
    assert json.loads(subprocess.check_output([sys.executable, "-c", code])) is False


# --------------------------------------------------------------------------------------------- code that a model brings
@pytest.fixture(params=["known", "unknown"])
def bringing_code(request, tmp_path):
    """A checkpoint with a module of its own, which leaves a file when it runs; of an architecture that transformers
    knows, or not."""
    folder = tiny_checkpoint(tmp_path / "model")
    ran = tmp_path / "ran"
    (folder / f"own_{tmp_path.name}.py").write_text(
        f"open({str(ran)!r}, 'w').close()\nfrom transformers import LlamaConfig, LlamaForCausalLM\n\n\nclass"
        " Config(LlamaConfig):\n    model_type = 'own'\n\n\nclass Model(LlamaForCausalLM):\n    config_class ="
        " Config\n"
    )
    config = json.loads((folder / "config.json").read_text())
    config["auto_map"] = {
        "AutoConfig": f"own_{tmp_path.name}.Config",
        "AutoModelForCausalLM": f"own_{tmp_path.name}.Model",
    }
    config["model_type"] = "own" if request.param == "unknown" else config["model_type"]
    (folder / "config.json").write_text(json.dumps(config))
    return folder, ran, request.param


def test_a_models_own_code_runs_only_where_it_is_asked_for(bringing_code, monkeypatch):
    folder, ran, kind = bringing_code
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # transformers would ask
    if kind == "known":
        assert type(load_policy(folder).model).__name__ == "LlamaForCausalLM"
    else:
        with pytest.raises(
            UsageError, match=r"it brings Python code of its own \(auto_map\), which is not run .* --trust_remote_code"
        ):
            load_policy(folder)
    assert not ran.exists()
    assert type(load_policy(folder, trust_remote_code=True).model).__name__ == "Model"
    assert ran.exists()


def test_no_file_can_ask_for_a_models_own_code(tmp_path, capsys):
    from herl_bench.cli import main

    (tmp_path / "c.yaml").write_text("task: gsm8k\ntrust_remote_code: true\n")
    with pytest.raises(SystemExit) as left:
        main(["run", "--config", str(tmp_path / "c.yaml")])
    assert left.value.code == 2
    assert "trust_remote_code: no file can ask for that: pass --trust_remote_code" in capsys.readouterr().err
