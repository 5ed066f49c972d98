"""The tokenizer gives back every text, and rows become ids whose loss falls on the response."""

from __future__ import annotations

from typing import Any

import pytest
from helpers.next_digit import ENVIRONMENT, SMALL
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from herl_bench.errors import UsageError
from herl_bench.training.warmstart.demonstrations import make_rows
from herl_bench.training.warmstart.tokenizer import tokenize, train_tokenizer

TEXTS = ["Tom has 12+30=<<12+30=42>>42 apples.\n#### 42", "def f(x):\n    return x**2  # square\n"] * 20


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer(TEXTS, SMALL).save_pretrained(folder)
    return AutoTokenizer.from_pretrained(folder)


@given(st.one_of(st.text(), st.sampled_from(["<eos>", "a <pad>b", " ,. ' s", "x <bos><bos>", "\r\n\t ", "don 't . "])))
def test_every_text_comes_back(tokenizer: Any, text: str) -> None:
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert not {0, 1, 2} & set(ids)  # text is never a special token
    assert tokenizer.decode(ids) == text
    assert tokenizer(text)["input_ids"] == [tokenizer.bos_token_id, *ids]
    assert tokenizer.decode([tokenizer.bos_token_id, *ids, tokenizer.eos_token_id], skip_special_tokens=True) == text


def test_digits_operators_and_lines_stand_alone(tokenizer: Any) -> None:
    ids = tokenizer("Tom has 12+30=<<12+30=42>>42\n#### 42", add_special_tokens=False)["input_ids"]
    pieces = [tokenizer.decode([i]) for i in ids]
    assert all(len(p) == 1 or not any(c.isdigit() or c in "+=\n" for c in p) for p in pieces)
    assert {"<<", ">>", "####"} <= set(pieces)


def test_tokenizer_training_is_repeatable() -> None:
    first, second = (train_tokenizer(TEXTS, SMALL).backend_tokenizer.to_str() for _ in range(2))
    assert first == second


def test_loss_falls_on_the_response_and_its_end_only(tokenizer: Any) -> None:
    rows, _ = make_rows(ENVIRONMENT, SMALL)
    data, left_out = tokenize(rows, tokenizer, 128)
    assert left_out == 0
    for row, ids, labels in zip(rows, data["input_ids"], data["labels"], strict=True):
        prompt = [tokenizer.bos_token_id, *tokenizer(row.prompt, add_special_tokens=False)["input_ids"]]
        answer = [*tokenizer(row.response, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        assert ids == prompt + answer
        assert labels == [-100] * len(prompt) + answer
    with pytest.raises(UsageError, match="longer than max_length 3"):
        tokenize(rows, tokenizer, 3)
