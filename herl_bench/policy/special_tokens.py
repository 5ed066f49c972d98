"""Special tokens as everything here relies on them: padding that is no end, and every end that there is."""

from __future__ import annotations

from typing import Any

import torch

from herl_bench.errors import UsageError
from herl_bench.policy.language_model import LanguageModel


def check_vocabulary(policy: LanguageModel) -> None:
    """Raises `UsageError` where the tokenizer has a token that the embedding has no row for. Padding and the unknown
    token, which some tokenizers of transformers add by themselves, get one (see `ensure_padding`)."""
    rows, tokenizer = policy.model.get_input_embeddings().num_embeddings, policy.tokenizer
    nameless = (tokenizer.pad_token, tokenizer.unk_token)
    beyond = {token: i for token, i in tokenizer.get_vocab().items() if i >= rows and token not in nameless}
    if beyond:
        token, number = min(beyond.items(), key=lambda pair: pair[1])
        what = f"its tokenizer has the token {token!r} with the number {number:,}, its embedding only {rows:,} rows"
        raise UsageError(f"model {policy.name}: {what}: save the tokenizer there that belongs to these weights")


def complete_ends(policy: LanguageModel, names: tuple[str, ...] = ()) -> None:
    """Every end of a response into the generation config, which saved checkpoints have too: what the chat template puts
    after an answer, and special tokens of these names."""
    special = {str(token): i for i, token in policy.tokenizer.added_tokens_decoder.items() if token.special}
    found = [policy.find_turn_end() if policy.chat else None, *(special.get(name) for name in names)]
    if fresh := [i for i in dict.fromkeys(found) if i is not None and i not in policy.eos_ids]:
        policy.model.generation_config.eos_token_id = [*policy.list_ends(), *fresh]


def ensure_padding(policy: LanguageModel) -> None:
    """A padding token that is no EOS: trained on, EOS must mean the end and nothing else.

    An unused special token is taken where there is one; else one is added, and the embedding grows only if it has no
    spare row (many published models have). A grown row starts at the mean of the others: as improbable as any.
    """
    model, tokenizer, ends = policy.model, policy.tokenizer, policy.eos_ids
    if tokenizer.pad_token_id is None or tokenizer.pad_token_id in ends:
        taken = {tokenizer.bos_token, *tokenizer.convert_ids_to_tokens(sorted(ends))}
        special = [t for t in map(str, tokenizer.all_special_tokens) if t not in taken]
        added = [token for _, token in sorted(tokenizer.added_tokens_decoder.items()) if token.special]
        special += [token.content for token in added if token.content not in taken]
        spare = [t for t in special if "pad" in t.lower()]
        spare += [t for t in special if "unk" in t.lower() or "reserved" in t.lower()]
        if spare:
            tokenizer.pad_token = spare[0]
        else:
            fresh = next(name for name in ("<pad>", "<|pad|>", "<|padding|>") if name not in taken)
            tokenizer.add_special_tokens({"pad_token": fresh})
    if max(_list_nameless(tokenizer)) >= model.get_input_embeddings().num_embeddings:
        _grow_embedding(model, len(tokenizer))
    configs: list[Any] = [model.config, model.config.get_text_config(), model.generation_config]
    for config in filter(None, configs):
        config.pad_token_id = tokenizer.pad_token_id


def _list_nameless(tokenizer: Any) -> list[int]:
    """Padding, and the unknown token where text can turn into it: a tokenizer that knows every byte never says it."""
    unknown = tokenizer("\U0010fffd", add_special_tokens=False)["input_ids"]  # a character that nobody uses
    return [tokenizer.pad_token_id, *(i for i in unknown if i == tokenizer.unk_token_id)]


@torch.no_grad()
def _grow_embedding(model: Any, rows: int) -> None:
    """transformers' own way draws the new rows around the mean: two loads of one checkpoint would then differ. So
    would those in two precisions, if the mean were not of what both of them hold."""
    before = model.get_input_embeddings().num_embeddings
    model.resize_token_embeddings(rows, mean_resizing=False)
    for layer in filter(None, (model.get_input_embeddings(), model.get_output_embeddings())):
        for weight in filter(lambda each: each is not None, (layer.weight, getattr(layer, "bias", None))):
            weight[before:] = weight[:before].to(torch.bfloat16).float().mean(0)
