"""GGUF files, by transformers' own loader: which files are ones, and ordinary models made of what it reads.

The loader dequantises the weights, and marks the model as quantised all the same: such a one cannot be saved. So its
tensors move into a fresh model of the same config. It needs the package `gguf`, which is an extra.

Left out: files in several parts, weights that stay quantised, and models for more than text.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from herl_bench.errors import UsageError
from herl_bench.plain_text import flatten

MAGIC = b"GGUF"
TEXT_ENDS = ("<|endoftext|>", "<|end_of_text|>", "<eos>", "</s>", "<｜end▁of▁sentence｜>")
"""Tokens that end a text, of those that llama.cpp stops at by their names (`special_eog_ids` in src/llama-vocab.cpp): a
GGUF file names one EOS alone, which of a chat model is the end of a turn."""


def is_gguf(file: Path) -> bool:
    """By its name or by its first bytes."""
    if file.suffix.lower() == ".gguf":
        return True
    with file.open("rb") as opened:
        return opened.read(len(MAGIC)) == MAGIC


def check_gguf(file: Path, place: str) -> None:
    """Raises `UsageError` where it cannot be one, is a part of one, or the package that reads it is missing."""
    with file.open("rb") as opened:
        if opened.read(len(MAGIC)) != MAGIC:
            raise UsageError(
                f"model {place}: no GGUF file, for it does not begin with the letters GGUF: fetch it again"
            )
    if part := re.search(r"-(\d{5})-of-(\d{5})\.gguf$", file.name, re.IGNORECASE):
        what = f"part {int(part[1])} of {int(part[2])} of a GGUF file"
        raise UsageError(f"model {place}: {what}: join them with llama.cpp's llama-gguf-split --merge")
    if find_spec("gguf") is None:
        raise UsageError(f"model {place}: a GGUF file is read by the package gguf: pip install 'herl-bench[gguf]'")


def read_gguf_config(file: Path, place: str) -> Any:
    """The config that its metadata makes. Raises `UsageError`."""
    status = file.stat()
    return copy.deepcopy(_read_config(file, place, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=1)
def _read_config(file: Path, place: str, size: int, changed: int) -> Any:
    from transformers import AutoConfig

    try:
        with reading_gguf():
            config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
    except Exception as error:
        remedy = "fetch it again, or name the folder of the original checkpoint"
        what = f"transformers cannot read this GGUF file: {quote_first(error)}"
        raise UsageError(f"model {place}: {what}: {remedy}") from None
    config.__dict__.pop("_model_name_or_path", None)  # some file's title
    return config


def quote_first(error: Exception) -> str:
    """The first sentence of what an error says."""
    return flatten(str(error) or type(error).__name__).partition(". ")[0][:200].rstrip(".: ")


@contextmanager
def reading_gguf() -> Iterator[None]:
    """transformers parses the whole file for the config, the tokenizer and the weights, seconds each: once is enough.
    And it draws a bar of its own, which its switch for bars does not reach."""
    import gguf
    from transformers import modeling_gguf_pytorch_utils

    package: Any = gguf
    loader: Any = modeling_gguf_pytorch_utils
    reader, bar = package.GGUFReader, loader.tqdm
    package.GGUFReader, loader.tqdm = lru_cache(maxsize=1)(reader), partial(bar, disable=True)
    try:
        yield
    finally:
        package.GGUFReader, loader.tqdm = reader, bar


def make_ordinary(model: Any) -> Any:
    """The same weights in a model that can be trained and saved. Tensors are shared: nothing is copied."""
    from transformers import GenerationConfig

    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    ordinary = type(model).from_pretrained(None, config=config, state_dict=model.state_dict(), dtype=model.dtype)
    ends = {name: getattr(config, name, None) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    ordinary.generation_config = GenerationConfig(**ends)
    return ordinary
