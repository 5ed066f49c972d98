"""A small byte-level BPE tokenizer, trained on the rows of a warm start, and the rows as token ids."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Any

from herl_bench.errors import UsageError
from herl_bench.training.warmstart.config import WarmstartConfig
from herl_bench.training.warmstart.demonstrations import Row

SPECIALS = ("<pad>", "<bos>", "<eos>")
ISOLATED = r"<<|>>|\*\*|//|->|[=!<>+*/-]=|#+|\d|[-+*/=<>%^&|~#\n]"
"""Never merged with what stands beside them: single digits, operators, comment signs, line ends."""
TOKENIZED_AT_ONCE = 2048
"""What a tokenizer returns is a hundred times larger than the ids."""
UNTRAINED = -100
"""The label that torch's cross entropy leaves out."""


def train_tokenizer(texts: Sequence[str], config: WarmstartConfig) -> Any:
    """A byte-level BPE tokenizer: every text comes back as it was, and one that spells a special token is not one."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(ISOLATED), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    core.decoder = decoders.ByteLevel()
    known: Any = {"special_tokens": list(SPECIALS), "initial_alphabet": sorted(pre_tokenizers.ByteLevel.alphabet())}
    core.train_from_iterator(texts, trainers.BpeTrainer(vocab_size=config.vocab, show_progress=False, **known))
    pad, bos, eos = SPECIALS
    template = processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A $B", special_tokens=[(bos, 1)])
    core.post_processor = template
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=pad,
        bos_token=bos,
        eos_token=eos,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
        model_max_length=config.max_positions,
    )


def tokenize(rows: Sequence[Row], tokenizer: Any, max_length: int) -> tuple[Any, int]:
    """(a dataset with `input_ids` and `labels`, -100 on the prompt; how many rows were longer than `max_length`).
    Prompt and response are tokenised apart, as they are when a policy is sampled from."""
    import numpy as np
    import pyarrow as pa
    from datasets import Dataset

    bos, eos = tokenizer.bos_token_id, tokenizer.eos_token_id
    ids, labels, offsets = array("q"), array("q"), array("i", [0])
    for start in range(0, len(rows), TOKENIZED_AT_ONCE):
        some = rows[start : start + TOKENIZED_AT_ONCE]
        prompts = tokenizer([r.prompt for r in some], add_special_tokens=False)["input_ids"]
        responses = tokenizer([r.response for r in some], add_special_tokens=False)["input_ids"]
        for prompt, response in zip(prompts, responses, strict=True):
            if len(prompt) + len(response) + 2 <= max_length:
                ids.extend([bos, *prompt, *response, eos])
                labels.extend([UNTRAINED] * (1 + len(prompt)) + [*response, eos])
                offsets.append(len(ids))
    if len(offsets) == 1:
        raise UsageError(f"every demonstration is longer than max_length {max_length} tokens: raise it")
    columns = {
        name: pa.ListArray.from_arrays(np.frombuffer(offsets, np.int32), np.frombuffer(values, np.int64))
        for name, values in (("input_ids", ids), ("labels", labels))
    }
    return Dataset(pa.table(columns)), len(rows) - (len(offsets) - 1)
