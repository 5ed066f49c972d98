"""Loading policies: any causal LM of transformers, and one clear line for everything that is wrong with a path."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.checkpoints import save_llama, save_tokenizer
from transformers import (
    BertConfig,
    BertForMaskedLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    LlamaForSequenceClassification,
    ModernBertConfig,
    T5Config,
)

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
    config, weights = folder / "config.json", folder / "model.safetensors"
    if how == "no json":
        config.write_text("{")
    if how == "empty tokenizer":
        (folder / "tokenizer.json").write_text("{}")
    if how == "torn weights":
        weights.write_bytes(weights.read_bytes()[:-500])
    if how == "a shard is missing":
        model = LlamaForCausalLM.from_pretrained(folder)
        weights.unlink()
        model.save_pretrained(folder, max_shard_size="20KB")
        min(folder.glob("model-*.safetensors")).unlink()
    if how == "not a number":
        model = LlamaForCausalLM.from_pretrained(folder)
        model.model.norm.weight.data[3] = float("nan")
        model.save_pretrained(folder)
    if how == "generation config":
        (folder / "generation_config.json").write_text("{")
    if how == "no number":
        (folder / "generation_config.json").write_text('{"eos_token_id": [2, "<eos>"]}')
    if how == "other shapes":
        config.write_text(config.read_text().replace('"intermediate_size": 48', '"intermediate_size": 64'))
    if how == "few rows":
        save_llama(folder, 200)
    if how == "template":
        (folder / "chat_template.jinja").write_text("{{ raise_exception('roles must alternate') }}")
    tiny = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    if how == "encoder":
        BertForMaskedLM(BertConfig(vocab_size=300, initializer_range=0.3, **tiny)).save_pretrained(folder)
    if how == "another encoder":
        ModernBertConfig(**tiny).save_pretrained(folder)
    if how == "encoder-decoder":
        T5Config().save_pretrained(folder)
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
        ("no json", "config.json cannot be used: .* is not a valid JSON file: save the model's own"),
        ("empty tokenizer", "its tokenizer cannot be loaded: .*: save the model's own tokenizer there again"),
        ("torn weights", "its weights cannot be loaded .*: fetch or save it again"),
        ("a shard is missing", "No such file .*model-00001-of-.*: fetch or save it again"),
        ("not a number", "its weight model.norm.weight holds NaN or infinity: fetch it again"),
        ("generation config", "generation_config.json cannot be used: .* is not a valid JSON file: save"),
        ("no number", "generation_config.json cannot be used: eos_token_id '<eos>' is no token's number: save"),
        ("other shapes", "their shapes are not those that config.json says"),
        (
            "few rows",
            "its tokenizer has the token .* number 200, its embedding only 200 rows: save the tokenizer there",
        ),
        ("template", "its chat template cannot be used: .*roles must alternate: correct it, or delete it"),
        ("encoder", r"an encoder \(BertLMHeadModel\).*: name a model that writes from left to right"),
        ("another encoder", "its architecture 'modernbert' is no causal language model"),
        ("encoder-decoder", "its architecture 't5' is no causal language model"),
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


def test_a_name_that_speaks_of_chat_is_noticed_where_there_is_no_template(tmp_path: Path, caplog) -> None:
    load_policy(tiny_checkpoint(tmp_path / "small-base"))
    load_policy(tiny_checkpoint(tmp_path / "Other-Instruct", chat_template=True))
    assert caplog.text == ""
    load_policy(tiny_checkpoint(tmp_path / "Small-1B-Instruct"))
    assert "its name speaks of chat, but its tokenizer has no chat template" in caplog.text


# ------------------------------------------------------------------------------------------------------- special tokens
TURNS = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def save_turns(folder: Path, chat: str | None = TURNS) -> Path:
    """A checkpoint whose configs know the end of a text alone, as a base model's do, with tokens for turns."""
    names = {"eos_token": "<eos>", "pad_token": "<pad>"}
    tokenizer = save_tokenizer(folder, chat, **names)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    tokenizer.save_pretrained(folder)
    save_llama(folder, len(tokenizer), eos_token_id=tokenizer.eos_token_id)
    return folder


def test_weights_without_a_place_are_told_of(checkpoint: Path, caplog) -> None:
    config = checkpoint / "config.json"
    config.write_text(re.sub(r'"num_hidden_layers": \d+', '"num_hidden_layers": 1', config.read_text()))
    load_policy(checkpoint)
    (line,) = caplog.messages
    assert "weights in it have no place in a model of its config.json, model.layers.1." in line


def test_what_the_chat_template_puts_behind_an_answer_ends_a_response(tmp_path: Path) -> None:
    policy = load_policy(save_turns(tmp_path / "chat"))
    eos, end = policy.tokenizer.convert_tokens_to_ids(["<eos>", "<|im_end|>"])
    assert policy.list_ends() == [eos, end]
    policy.model.save_pretrained(tmp_path / "saved")  # other programs stop there too
    written = json.loads((tmp_path / "saved" / "generation_config.json").read_text())
    assert written["eos_token_id"] == [eos, end]
    assert load_policy(save_turns(tmp_path / "base", None)).list_ends() == [eos]
    questions = "{% if messages[-1]['role'] == 'assistant' %}{{ raise_exception('a question') }}{% endif %}" + TURNS
    assert load_policy(save_turns(tmp_path / "questions", questions)).list_ends() == [eos]


def test_padding_is_none_of_several_ends(tmp_path: Path) -> None:
    """As of Qwen2.5, whose padding is the end of a text."""
    folder = save_turns(tmp_path)
    config = json.loads((folder / "generation_config.json").read_text())
    pad = load_policy(folder).pad_id
    (folder / "generation_config.json").write_text(json.dumps({**config, "eos_token_id": [0, pad]}))
    policy = load_policy(folder)
    assert pad in policy.eos_ids
    assert policy.pad_id not in policy.eos_ids


def test_two_loads_give_the_same_grown_embedding(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path, eos_token="<eos>")
    save_llama(tmp_path, len(tokenizer))
    one, other = load_policy(tmp_path).model, load_policy(tmp_path).model
    assert one.get_input_embeddings().num_embeddings == len(tokenizer) + 1
    for weight, same in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(weight, same)
    rows = one.get_output_embeddings().weight
    torch.testing.assert_close(rows[-1], rows[:-1].mean(0))


# ------------------------------------------------------------------------------------------------- chat_template_kwargs
THINKING = TURNS + "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"


def test_the_chat_template_reads_what_it_is_told(tmp_path: Path) -> None:
    folder = save_turns(tmp_path, THINKING)
    asked = load_policy(folder, chat_template_kwargs={"enable_thinking": False})
    assert asked.reads("ab", "").endswith("assistant\n<think></think>")
    assert load_policy(folder).reads("ab", "").endswith("assistant\n")
    assert asked.identity != load_policy(folder).identity


@pytest.mark.parametrize(
    ("told", "chat", "message"),
    [
        ({"enable_thinkin": False}, THINKING, "the chat template of .* reads no 'enable_thinkin'"),
        ({"tokenize": True}, THINKING, "tokenize is set here already"),
        ({"enable_thinking": False}, None, "has no chat template: leave them out"),
    ],
)
def test_what_the_chat_template_cannot_be_told(tmp_path: Path, told: dict, chat: str | None, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_policy(save_turns(tmp_path, chat), chat_template_kwargs=told)


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
