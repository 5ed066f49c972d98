"""Two optimisers as one: schedules reach both, also after accelerate has rebuilt the parameter groups."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from transformers import LlamaConfig, LlamaForCausalLM

from herl_bench.training.warmstart.muon import MuonAndAdamW


def changed_by_a_step(factor: float) -> dict[str, bool]:
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=20, tie_word_embeddings=True, **shape))
    optimizer = MuonAndAdamW(model, learning_rate=1e-3, muon_learning_rate=1e-2, weight_decay=0.1)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: factor)
    prepared = Accelerator(cpu=True).prepare(optimizer)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    ids = torch.arange(20)[None]
    model(ids, labels=ids).loss.backward()
    prepared.step()
    scheduler.step()
    prepared.zero_grad()
    assert all(p.grad is None for p in model.parameters())
    return {name: not torch.equal(p, before[name]) for name, p in model.named_parameters()}


def test_learning_rates_of_the_schedule_are_those_that_count() -> None:
    assert not any(changed_by_a_step(0.0).values())
    assert all(changed_by_a_step(1.0).values())


def test_the_embedding_is_not_orthogonalised() -> None:
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=20, hidden_size=16, intermediate_size=24, num_hidden_layers=2, num_attention_heads=2)
    )
    muon, adamw = (
        {id(p) for g in part.param_groups for p in g["params"]} for part in MuonAndAdamW(model, 1e-3, 1e-2, 0.0).parts
    )
    inner = {id(p) for name, p in model.named_parameters() if ".layers." in name and p.ndim == 2}
    assert muon == inner
    assert muon | adamw == {id(p) for p in model.parameters()}
