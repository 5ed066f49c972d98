"""Adapters on a real (tiny, untrained) Llama: which one is read, what is saved of them, and what they stand on."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import MambaConfig, MambaForCausalLM, MixtralConfig, MixtralForCausalLM

from herl_bench.errors import UsageError
from herl_bench.policy import adapters
from herl_bench.policy.load import Policy, load_policy
from herl_bench.policy.placement import Placement
from herl_bench.testing import tiny_checkpoint

IDS = torch.tensor([[1, 7, 8, 9, 10]])


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return tiny_checkpoint(tmp_path / "base")


def adapt(base: Path, *names: str) -> Policy:
    """A policy with adapters that were trained somewhere: each says something else."""
    policy = load_policy(base)
    for seed, name in enumerate(names):
        adapters.add_adapter(policy.model, name, 4, 32.0, seed)
        for weight in adapters.list_weights(policy.model, name).values():
            torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(seed))
    return policy


def save(policy: Policy, base: Path, folder: Path) -> Path:
    folder.mkdir(parents=True)
    adapters.save_adapter(policy.model, str(base), folder)
    policy.tokenizer.save_pretrained(folder)
    return folder


@torch.no_grad()
def read(model: Any) -> torch.Tensor:
    logits: torch.Tensor = model(IDS).logits
    return logits


def test_a_new_adapter_changes_nothing_and_is_all_that_is_trained(base: Path) -> None:
    policy = load_policy(base)
    before = read(policy.model)
    adapters.add_adapter(policy.model, adapters.POLICY, 2, 32.0, 0)
    assert torch.equal(read(policy.model), before)
    trained = {name for name, weight in policy.model.named_parameters() if weight.requires_grad}
    assert len(trained) == len(adapters.list_weights(policy.model)) > 0
    assert not any("lm_head" in name or "embed" in name for name in trained)


def test_one_adapter_is_read_at_a_time_and_none_is_the_base(base: Path) -> None:
    plain, model = read(load_policy(base).model), adapt(base, adapters.POLICY, adapters.VALUE).model
    policys = read(model)
    with adapters.use(model, adapters.VALUE):
        values = read(model)
        with adapters.use(model, adapters.VALUE):
            assert torch.equal(read(model), values)
        with adapters.use(model, None):
            assert torch.equal(read(model), plain)
        assert torch.equal(read(model), values)
    assert torch.equal(read(model), policys)
    assert not torch.equal(policys, values)
    assert not torch.equal(policys, plain)
    assert adapters.list_weights(model).keys() == adapters.list_weights(model, adapters.VALUE).keys()


def test_an_adapter_gets_its_gradient_after_another_one_was_read(base: Path) -> None:
    model = adapt(base, adapters.POLICY, adapters.VALUE).model
    loss = model(IDS).logits.square().sum()
    with adapters.use(model, adapters.VALUE):
        read(model)
    loss.backward()
    grads = {name: [w.grad for w in adapters.list_weights(model, name).values()] for name in ("default", "value")}
    assert all(grad is not None and grad.any() for grad in grads["default"])
    assert not any(grad is not None for grad in grads["value"])


def test_saved_and_loaded_on_its_base(base: Path, tmp_path: Path) -> None:
    policy = adapt(base, adapters.POLICY, adapters.VALUE)
    folder = save(policy, base, tmp_path / "run" / "final")
    assert not list(folder.glob("model*"))
    loaded = load_policy(folder)
    assert torch.equal(read(loaded.model), read(policy.model))
    assert (loaded.name, loaded.path) == ("run", str(folder))
    to_train = load_policy(folder, master=True)  # in its weights, where another adapter can stand on it
    assert not adapters.has_adapters(to_train.model)
    assert torch.allclose(read(to_train.model), read(policy.model), atol=1e-5)
    assert all(weight.requires_grad for weight in to_train.model.parameters())


def test_a_base_that_is_gone_or_changed_is_one_line(base: Path, tmp_path: Path) -> None:
    folder = save(adapt(base, adapters.POLICY), base, tmp_path / "final")
    other = load_policy(base)
    torch.nn.init.normal_(other.model.lm_head.weight)
    shutil.rmtree(base)
    with pytest.raises(UsageError, match=r"final: the base of its adapter cannot be had: model .*base: no such folder"):
        load_policy(folder)
    other.model.save_pretrained(base)
    other.tokenizer.save_pretrained(base)
    with pytest.raises(UsageError, match=r"final: its base .* has other weights .*: put that one back"):
        load_policy(folder)
    (folder / adapters.BASE).write_text("{")
    with pytest.raises(UsageError, match=r"base.json cannot be read"):
        load_policy(folder)


def test_an_adapter_on_a_model_with_another_one_in_its_weights(base: Path, tmp_path: Path) -> None:
    first = save(adapt(base, adapters.POLICY), base, tmp_path / "first")
    policy = load_policy(first, master=True)
    adapters.add_adapter(policy.model, adapters.POLICY, 2, 32.0, 1)
    for weight in adapters.list_weights(policy.model).values():
        torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(9))
    second = save(policy, first, tmp_path / "second")
    assert torch.equal(read(load_policy(second).model), read(policy.model))
    half = load_policy(second, placement=Placement(dtype="bfloat16")).model
    assert {weight.dtype for name, weight in half.named_parameters() if ".lora_" not in name} == {torch.bfloat16}
    with (first / adapters.CONFIG).open("a") as file:
        file.write(" ")
    with pytest.raises(UsageError, match=r"second: its base .*first has other weights"):
        load_policy(second)


def test_experts_are_adapted_and_merged_too() -> None:
    shape = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "num_local_experts": 2}
    model = MixtralForCausalLM(MixtralConfig(**shape, **heads)).eval()
    adapters.add_adapter(model, adapters.POLICY, 2, 32.0, 0)
    for weight in adapters.list_weights(model).values():
        torch.nn.init.normal_(weight, std=0.1, generator=torch.Generator().manual_seed(0))
    said = read(model)
    assert torch.allclose(read(adapters.merge(model)), said, atol=1e-4)


def test_an_architecture_without_adapters_is_one_line() -> None:
    model = MambaForCausalLM(MambaConfig(vocab_size=32, hidden_size=16, num_hidden_layers=1, state_size=4))
    with pytest.raises(UsageError, match=r"^peft cannot adapt a MambaForCausalLM: .*: train its weights"):
        adapters.add_adapter(model, adapters.POLICY, 2, 32.0, 0)


def test_the_hash_of_the_base_is_the_same_in_both_precisions_and_under_an_adapter(base: Path) -> None:
    model = load_policy(base).model
    assert adapters.digest_weights(model.bfloat16()) == adapters.digest_weights(adapt(base, adapters.POLICY).model)


def test_a_merged_model_is_an_ordinary_one(base: Path, tmp_path: Path) -> None:
    policy = adapt(base, adapters.POLICY, adapters.VALUE)
    said = read(policy.model)
    merged = adapters.merge(policy.model)
    merged.save_pretrained(tmp_path / "merged")
    policy.tokenizer.save_pretrained(tmp_path / "merged")
    assert not any("lora" in name for name in merged.state_dict())
    assert torch.allclose(read(load_policy(tmp_path / "merged").model), said, atol=1e-5)


def test_an_adapter_of_others_says_where_its_base_is(base: Path, tmp_path: Path) -> None:
    folder = save(adapt(base, adapters.POLICY), base, tmp_path / "final")
    (folder / adapters.BASE).unlink()
    assert adapters.find_base(folder) == adapters.Base(str(base))
    config = json.loads((folder / adapters.CONFIG).read_text())
    layers = {path.rpartition(".")[2] for path in config["target_modules"]}
    assert layers == {f"{name}_proj" for name in ("q", "k", "v", "o", "gate", "up", "down")}


def test_peft_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapters, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^lora_rank=8 needs peft: pip install 'herl-bench\[lora\]'$"):
        adapters.make_lora(8, 32.0)
