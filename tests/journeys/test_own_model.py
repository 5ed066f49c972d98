"""A model of one's own: rates that suit it, an instruction of one's own, and a word where training made it worse."""

import dataclasses
import shutil
from types import SimpleNamespace

import pytest

from herl_bench.budget import Budget
from herl_bench.cli.outcome import warn_if_worse
from herl_bench.errors import UsageError
from herl_bench.evaluation.sampling import Sampling, resolve_sampling
from herl_bench.experiment.configuration import build_config
from herl_bench.plugins import load_host
from herl_bench.policy.load import load_policy
from herl_bench.settings import Settings
from herl_bench.testing import TOY_METRIC, TOY_RUBRIC, TOY_TASK, TOY_TEMPLATE, tiny_checkpoint
from herl_bench.training.training_run import TrainingRun
from herl_bench.types import Environment, Method

HOST = load_host()
RATES = ("learning_rate", "critic_learning_rate")


def rates(method, model, **given):
    config = build_config(HOST.get("method", method), given, {}, str(model))
    return [getattr(config, name) for name in RATES if hasattr(config, name)]


@pytest.fixture(scope="module")
def sized(tmp_path_factory):
    """Folders with the config.json of a Llama of so many million parameters, and no weights."""
    from transformers import LlamaConfig

    def make(millions, width):
        folder = tmp_path_factory.mktemp(f"m{millions}")
        layers = max(1, round(millions * 1e6 / (11 * width**2)))
        LlamaConfig(
            vocab_size=8, hidden_size=width, intermediate_size=7 * width // 3, num_hidden_layers=layers
        ).save_pretrained(folder)
        (folder / "tokenizer.json").touch()
        return folder

    return {millions: make(millions, width) for millions, width in ((1, 128), (500, 2048), (7000, 8192))}


@pytest.mark.parametrize(("method", "count"), [("ppo", 2), ("herl", 2), ("grpo", 1), ("rloo", 1)])
def test_learning_rates_suit_the_model(tmp_path, sized, method, count):
    (tmp_path / "warmstart.json").touch()
    assert rates(method, "tiny") == rates(method, tmp_path) == [3e-4] * count
    assert rates(method, sized[1]) == [1e-5, 1e-4][:count]
    assert rates(method, sized[500]) == [3e-6, 3e-5][:count]
    assert rates(method, sized[7000]) == [1e-6, 1e-5][:count]
    assert rates(method, sized[1], learning_rate=1e-6) == [1e-6, 1e-4][:count]
    assert rates(method, sized[1], learning_rate="auto") == rates(method, sized[1])


def test_of_a_run_its_final_policy_counts(tmp_path, sized):
    shutil.copytree(sized[500], tmp_path / "final")
    assert rates("ppo", tmp_path) == [3e-6, 3e-5]


def test_no_model_is_looked_at_where_every_rate_is_given():
    assert rates("ppo", "no/such", learning_rate=1e-6, critic_learning_rate=1e-5) == [1e-6, 1e-5]
    with pytest.raises(UsageError, match="model no/such: "):
        rates("ppo", "no/such", learning_rate=1e-6)


def test_a_preset_keeps_them_and_another_s_method_has_its_own(sized):
    assert rates("herl", sized[1], preset="paper")[0] == 1e-5
    kind = dataclasses.make_dataclass("Own", [("learning_rate", float, 0.5)], frozen=True)
    assert build_config(Method("own", kind, lambda run: None), {}, {}, "org/name").learning_rate == 0.5


@pytest.mark.parametrize("chat", [True, False])
@pytest.mark.parametrize("told", [None, "Only digits.", ""])
def test_training_asks_what_evaluation_asks(tmp_path, chat, told):
    policy = load_policy(tiny_checkpoint(tmp_path, "qwen2", chat_template=chat))
    data = SimpleNamespace(source="synthetic")
    run = TrainingRun(
        tmp_path,
        Settings(system_instruction=told),
        Environment(TOY_TASK, TOY_RUBRIC, TOY_TEMPLATE, (TOY_METRIC,)),
        None,
        None,
        data,
        policy,
        Budget(1),
    )
    how = resolve_sampling(Sampling(6, system_instruction=told), policy, TOY_TASK)
    (ids,) = run.encode(["1+2="])
    assert [ids] == policy.encode([how.prefix + "1+2="], how.instruction)
    text = policy.tokenizer.decode(ids)
    assert ("Only digits." in text) == bool(told)
    assert ("Answer with a number." in text) == (chat and told is None)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ((0.33, 0.03), (0.13, 0.02), True),
        ((0.33, 0.03), (0.31, 0.03), False),
        ((0.33, None), (0.30, None), True),
        ((0.33, 0.03), (0.40, 0.03), False),
        ((None, None), (0.1, 0.1), False),
    ],
)
def test_a_run_says_where_it_ended_below_its_beginning(before, after, said):
    run = SimpleNamespace(config=SimpleNamespace(learning_rate=3e-4))
    summaries = ({"m,none": dict(zip(("value", "stderr"), pair, strict=True))} for pair in (before, after))
    lines = list(warn_if_worse(run, *summaries))
    assert [line.startswith("Warning: it ended below where it began, m,none ") for line in lines] == [True] * said
    assert all("--set learning_rate=3e-05, now 0.0003" in line for line in lines)
