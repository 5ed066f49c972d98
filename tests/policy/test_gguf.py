"""GGUF files: the same model as the one that was written, ordinary ever after, and one line for each that cannot be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers.gguf_files import make_llama, write_gguf
from transformers import AutoModelForCausalLM

from herl_bench.errors import UsageError
from herl_bench.policy.load import load_policy
from herl_bench.policy.size import read_size

IDS = torch.tensor([[5, 6, 7, 200]])


@pytest.mark.parametrize("tied", [True, False])
def test_it_is_the_model_that_was_written_and_an_ordinary_one(tmp_path: Path, capfd, tied: bool) -> None:
    torch.manual_seed(0)
    written = make_llama(tied)
    file = write_gguf(tmp_path / "small-chat.gguf", written)
    policy = load_policy(file)
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")  # no progress bar
    with torch.no_grad():
        torch.testing.assert_close(policy.model(IDS).logits[..., :260], written(IDS).logits)
    head, embedding = policy.model.get_output_embeddings().weight, policy.model.get_input_embeddings().weight
    assert (head is embedding) == tied
    assert policy.name == "small-chat"
    assert policy.identity["files"] == {file.name: [file.stat().st_size, file.stat().st_mtime_ns]}
    assert read_size(file).parameters == sum(p.numel() for p in written.parameters())

    folder = tmp_path / "saved"
    policy.model.save_pretrained(folder)
    policy.tokenizer.save_pretrained(folder)
    again = load_policy(folder)
    assert torch.equal(again.model(IDS).logits, policy.model(IDS).logits)
    assert again.encode(["Hi, 2 < 3\n"], "Be brief.") == policy.encode(["Hi, 2 < 3\n"], "Be brief.")
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    AutoModelForCausalLM.from_pretrained(folder)
    policy.model(IDS).logits.sum().backward()  # it can be trained


def test_every_end_of_its_chat_format_ends_a_response(tmp_path: Path) -> None:
    policy = load_policy(write_gguf(tmp_path / "small.gguf", make_llama()))
    assert policy.list_ends() == [2, 0]  # <|im_end|>, and the end of a text
    assert policy.model.generation_config.eos_token_id == [2, 0]
    assert policy.pad_id not in policy.eos_ids
    assert policy.decode([2, 70, 0]) == policy.decode([70])


def test_one_file_is_read_into_bfloat16(tmp_path: Path) -> None:
    from herl_bench.policy.placement import Placement

    file = write_gguf(tmp_path / "small.gguf", make_llama())
    assert load_policy(file, placement=Placement(dtype="bfloat16")).model.dtype == torch.bfloat16
    assert load_policy(file, placement=Placement(dtype="bfloat16"), master=True).model.dtype == torch.float32


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("nowhere", "no such file"),
        ("no gguf", "no GGUF file"),
        ("part", "part 1 of 2 of a GGUF file: join them with llama.cpp's llama-gguf-split"),
        ("truncated", "cannot (read this GGUF file|be loaded)"),
        ("torn header", "cannot read this GGUF file"),
        ("unknown", "GGUF model with architecture unheard is not supported yet: fetch it again, or name the folder"),
        ("without the package", r"read by the package gguf: pip install 'herl-bench\[gguf\]'"),
        ("folder", "did you mean .*small.gguf"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(tmp_path: Path, monkeypatch, how: str, message: str) -> None:
    file = write_gguf(tmp_path / "small.gguf", make_llama(), "unheard" if how == "unknown" else "llama")
    data, place = file.read_bytes(), file
    if how == "nowhere":
        place = tmp_path / "other.gguf"
    if how == "no gguf":
        file.write_bytes(b"not" + data)
    if how == "part":
        place = file.rename(tmp_path / "small-00001-of-00002.gguf")
    if how == "truncated":
        file.write_bytes(data[: len(data) - 5000])
    if how == "torn header":
        file.write_bytes(data[:300])
    if how == "without the package":
        monkeypatch.setattr("herl_bench.policy.gguf.find_spec", lambda name: None)
    if how == "folder":
        place = tmp_path
    with pytest.raises(UsageError, match=message) as caught:
        load_policy(place)
    assert "\n" not in str(caught.value)
    assert str(place) in str(caught.value)
