"""What a learning rate at `auto` comes to, and that it may stand in files, flags and calls."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import pytest
import yaml

from herl_bench.errors import UsageError
from herl_bench.settings import build, parse_settings, setting
from herl_bench.training.config import GRPOConfig, HeRLConfig, PPOConfig
from herl_bench.training.rates import TABLE, choose_rate, list_rates, resolve_rates


def test_an_embedded_policy_learns_at_what_was_tuned_for_it() -> None:
    assert choose_rate("policy", None, lora=False) == choose_rate("critic", None, lora=True) == 3e-4


def test_larger_models_are_trained_more_carefully_and_adapters_less() -> None:
    sizes = (1, 134_515_008, 500_000_000, 1_999_999_999, 2_000_000_000, 70_000_000_000)
    assert [choose_rate("policy", size, lora=False) for size in sizes] == [1e-5, 1e-5, 3e-6, 3e-6, 1e-6, 1e-6]
    assert [choose_rate("policy", size, lora=True) for size in sizes] == [3e-5, 3e-5, 3e-5, 3e-5, 1e-5, 1e-5]
    for row in TABLE:
        for rates in (row.full, row.lora):
            assert rates["critic"] > rates["policy"]
        assert all(row.lora[learner] >= row.full[learner] for learner in row.full)


@dataclass(frozen=True)
class WithAdapter:
    lora_rank: int = 0
    learning_rate: float = setting("auto", "of the policy", auto="policy")
    head_rate: float = setting("auto", "of a head", auto="critic")
    temperature: float = setting("auto", "chosen elsewhere, and no rate", auto="form")
    other_rate: float = 0.5


def test_an_adapter_is_seen_and_other_numbers_stay() -> None:
    found = resolve_rates(WithAdapter(lora_rank=8), lambda: 3_000_000_000)
    assert list_rates(found) == {"learning_rate": 1e-5, "head_rate": 1e-4}
    assert (found.other_rate, found.lora_rank, found.temperature) == (0.5, 8, "auto")
    assert resolve_rates(WithAdapter(head_rate=0.1), lambda: 3_000_000_000) == WithAdapter(0, 1e-6, 0.1)
    assert resolve_rates(WithAdapter(), lambda: None) == WithAdapter(0, 3e-4, 3e-4)


def test_the_model_is_asked_only_where_a_rate_is_open() -> None:
    given = WithAdapter(0, 1.0, 2.0)
    assert resolve_rates(given, lambda: pytest.fail("nothing is open")) is given


@pytest.mark.parametrize("kind", [PPOConfig, HeRLConfig, GRPOConfig])
def test_auto_is_the_default_and_may_be_written(tmp_path, kind) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("set: {learning_rate: auto}\n")
    for request in (parse_settings({}, [], str(file)), parse_settings({}, ["learning_rate=auto"], None)):
        assert build(kind, request.method, request.origin) == build(kind, {}, {}) == kind()
    found = resolve_rates(kind(), lambda: 1)
    assert build(kind, yaml.safe_load(yaml.safe_dump(dataclasses.asdict(found))), {}) == found
    assert "auto" not in list_rates(found).values()


@pytest.mark.parametrize("value", ["fast", "Auto", True, -1, [1], None])
def test_what_is_neither_a_number_nor_auto_is_refused(value) -> None:
    with pytest.raises(UsageError, match=r"--set learning_rate=.*(, or auto|write a number)$"):
        build(PPOConfig, {"learning_rate": value}, {"learning_rate": "--set "})


def test_the_share_of_revisions_may_be_auto_and_stays_so_while_rates_are_found(tmp_path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text("set: {revise_fraction: auto}\n")
    for request in (parse_settings({}, [], str(file)), parse_settings({}, ["revise_fraction=auto"], None)):
        config = build(HeRLConfig, request.method, request.origin)
        assert resolve_rates(config, lambda: None).revise_fraction == "auto"
    assert build(HeRLConfig, {"revise_fraction": 0.2}, {}).revise_fraction == 0.2


@pytest.mark.parametrize("value", ["most", "Auto", 1, -0.1, True, None])
def test_a_share_that_is_none_is_refused(value) -> None:
    with pytest.raises(UsageError, match=r"^--set revise_fraction=.*(, or auto|write a number)$") as caught:
        build(HeRLConfig, {"revise_fraction": value}, {"revise_fraction": "--set "})
    assert "\n" not in str(caught.value)


def test_other_numbers_may_not_be_auto() -> None:
    with pytest.raises(UsageError, match=r"kl_coef=auto: input should be a valid number.*[^o]$"):
        build(PPOConfig, {"kl_coef": "auto"}, {})
