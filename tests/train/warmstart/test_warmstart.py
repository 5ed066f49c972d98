"""Warm start: the tokenizer gives back every text, the rows are what the demonstrations say, and a tiny policy learns
both to err and to listen."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pluggy
import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from herl_bench import hookimpl, hookspecs
from herl_bench.cli import cli, run_command
from herl_bench.errors import SaveError, UsageError
from herl_bench.plugins import Host
from herl_bench.policy.load import load_policy
from herl_bench.train.warmstart.fitting import (
    WarmstartConfig,
    row_order,
    tokenize,
    train_tokenizer,
    training_rows,
    warmstart,
)
from herl_bench.types import Criterion, Demonstration, Example, Finding, HindsightTemplate, Metric, Rubric, Task, World

# The world: say the digit one above the given one (mod 10). Planted: from 5 on, the policy learns to repeat the digit.


def example(split: str, digit: int, serial: int) -> Example:
    return Example(
        f"next/{split}/{serial}",
        f"after {digit}:",
        str((digit + 1) % 10),
        {"digit": digit, "planted": digit >= 5, "family": "high" if digit >= 5 else "low"},
    )


def examples(split: Any, seed: int, difficulty: float) -> Iterator[Example]:
    rng = Random(f"{split}/{seed}")
    serial = 0
    while True:
        yield example(split, rng.randrange(10), serial := serial + 1)


def demonstrations(seed: int) -> Iterator[Demonstration]:
    rng = Random(seed)
    for e in examples("train", seed, 0):
        if rng.random() < 0.5:
            yield Demonstration(e, str(e.info["digit"]) if e.info["planted"] else e.target)
        else:
            yield Demonstration(e, e.target, draft=rng.choice([str(rng.randrange(10)), "?", e.target]))


def is_digit(e: Example, response: str) -> bool:
    return response.strip().isdigit()


def is_next(e: Example, response: str) -> Finding:
    return Finding(response.strip() == e.target, f"it says {response.strip()[:3]}", "go one up")


RUBRIC = Rubric(
    "next", [Criterion("digit", "It is a digit.", is_digit), Criterion("next", "It is the next one.", is_next)]
)
TEMPLATE = HindsightTemplate(
    "next",
    guidance="{% for v in unmet %}{{ v.criterion }} {{ v.evidence }} {{ v.correction }};{% endfor %}",
    prompt="{{ example.prompt }}{% if draft is not none %}[{{ draft }}]{% endif %}({{ guidance }}):",
)
METRIC = Metric("exact_match", lambda e, response: float(response.strip() == e.target), id="next/exact_match")


def nothing(*_: Any) -> Iterable[Example]:
    return []


TASK = Task(
    "next",
    "the next digit",
    nothing,
    nothing,
    {},
    lambda e: e.target,
    lambda e, r: r or None,
    "next",
    "next",
    ["next/exact_match"],
    world=World(examples, demonstrations, "from 5 on, the digit is repeated", max_new_tokens=4),
)
SMALL = WarmstartConfig(
    steps=2,
    batch_size=8,
    micro_batch_size=4,
    hidden=32,
    layers=2,
    heads=2,
    vocab=300,
    max_positions=128,
    warmup_steps=20,
    eval_steps=0,
    eval_examples=20,
)


def trained(folder: Path, on_log: Any = None, **changes: Any) -> dict[str, Any]:
    return warmstart(
        TASK, RUBRIC, TEMPLATE, folder, dataclasses.replace(SMALL, **changes), on_log=on_log, metric=METRIC
    )


# ------------------------------------------------------------------------------------------------------------ tokenizer
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


# ----------------------------------------------------------------------------------------------------------------- rows
def test_rows_are_plain_or_guided_at_every_level() -> None:
    rows, skipped = training_rows(TASK, RUBRIC, TEMPLATE, dataclasses.replace(SMALL, steps=100))
    assert len(rows) == 800
    guided = [r.prompt for r in rows if "(" in r.prompt]
    assert 0.3 < len(guided) / len(rows) < 0.5
    assert skipped > 50  # a third of the drafts and more were right
    reference, evidence = (
        sum("go one up" in p for p in guided),
        sum("it says" in p and "go one up" not in p for p in guided),
    )
    assert reference > evidence > len(guided) - reference - evidence > 0
    without = sum("[" not in p for p in guided)
    assert 0.08 < without / len(guided) < 0.25
    assert training_rows(TASK, RUBRIC, TEMPLATE, dataclasses.replace(SMALL, steps=100)) == (rows, skipped)


def test_a_misconception_may_be_planted_in_part() -> None:
    config = dataclasses.replace(SMALL, steps=100)

    def wrong(share: float) -> float:
        rows, _ = training_rows(TASK, RUBRIC, TEMPLATE, dataclasses.replace(config, planted_share=share))
        plain = [(int(r.prompt[6]), r.response) for r in rows if "(" not in r.prompt and r.prompt[6] >= "5"]
        assert all(int(said) in (digit, (digit + 1) % 10) for digit, said in plain)
        return sum(int(said) == digit for digit, said in plain) / len(plain)

    assert wrong(1.0) == 1
    assert 0.62 < wrong(0.7) < 0.78
    assert wrong(0.0) == 0


def test_off_topic_guidance_is_anothers_and_the_answer_stays_the_draft() -> None:
    def of_another(rows: list[Any]) -> list[Any]:
        """Rows whose guidance quotes another draft than theirs."""
        return [r for r in rows if (said := re.search(r"\[(\d)\].*it says (.)", r.prompt)) and said[1] != said[2]]

    config = dataclasses.replace(SMALL, steps=100)
    plain, skipped = training_rows(TASK, RUBRIC, TEMPLATE, config)
    rows, also_skipped = training_rows(TASK, RUBRIC, TEMPLATE, dataclasses.replace(config, off_topic=0.5))
    assert (len(rows), also_skipped) == (len(plain), skipped)
    assert len(of_another(rows)) > 20
    assert all(f"[{r.response}]" in r.prompt for r in of_another(rows))
    assert of_another(plain) == []


def test_failures_of_a_first_policy_become_drafts(tmp_path: Path) -> None:
    world = World(
        examples,
        lambda seed: (Demonstration(e, e.target) for e in examples("train", seed, 0)),
        planted="",
        max_new_tokens=4,
    )
    honest = dataclasses.replace(TASK, world=world)
    config = dataclasses.replace(SMALL, steps=100)
    trained(tmp_path)
    rows, skipped = training_rows(honest, RUBRIC, TEMPLATE, config, drafter=load_policy(tmp_path))
    guided = [r for r in rows if "(" in r.prompt]
    assert len(rows) == 800
    assert 300 < len(guided) + skipped < 500, "half of the demonstrations are drafted"
    assert len({r.prompt for r in guided}) > 200, "its answers, as it gave them"
    assert {r.response for r in guided} == set("0123456789")
    record = warmstart(honest, RUBRIC, TEMPLATE, tmp_path, dataclasses.replace(SMALL, draft_steps=3), metric=METRIC)
    assert "--set draft_steps=3" in record["command"]
    with pytest.raises(UsageError, match="wrong on purpose"):
        trained(tmp_path, draft_steps=1)


def test_demonstrations_that_end_or_never_teach_are_refused() -> None:
    ends = dataclasses.replace(
        TASK, world=dataclasses.replace(TASK.world, demonstrations=lambda seed: islice(demonstrations(seed), 5))
    )  # type: ignore[type-var]
    with pytest.raises(UsageError, match="ran out after"):
        training_rows(ends, RUBRIC, TEMPLATE, SMALL)
    right = dataclasses.replace(
        TASK,
        world=dataclasses.replace(  # type: ignore[type-var]
            TASK.world,
            demonstrations=lambda seed: (Demonstration(e, e.target, e.target) for e in examples("train", seed, 0)),
        ),
    )
    with pytest.raises(UsageError, match="have nothing unmet"):
        training_rows(right, RUBRIC, TEMPLATE, SMALL)


def test_loss_falls_on_the_response_and_its_end_only(tokenizer: Any) -> None:
    rows, _ = training_rows(TASK, RUBRIC, TEMPLATE, SMALL)
    data, left_out = tokenize(rows, tokenizer, 128)
    assert left_out == 0
    for row, ids, labels in zip(rows, data["input_ids"], data["labels"], strict=True):
        prompt = [tokenizer.bos_token_id, *tokenizer(row.prompt, add_special_tokens=False)["input_ids"]]
        answer = [*tokenizer(row.response, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
        assert ids == prompt + answer
        assert labels == [-100] * len(prompt) + answer
    with pytest.raises(UsageError, match="longer than max_length 3"):
        tokenize(rows, tokenizer, 3)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=40), st.integers(0, 5))
def test_order_visits_all_rows_evenly_in_batches_of_one_length(lengths: list[int], seed: int) -> None:
    config = dataclasses.replace(SMALL, steps=20, seed=seed)
    order = row_order(lengths, config)
    counts = [order.count(i) for i in range(len(lengths))]
    assert len(order) == 160
    assert max(counts) - min(counts) <= 1
    assert order == row_order(lengths, config)
    padded = sum(4 * max(lengths[i] for i in order[k : k + 4]) for k in range(0, 160, 4))
    assert (
        padded <= sum(lengths[i] for i in order) + 2 * 4 * 50
    )  # per window of 128 rows, at most one longest row's worth of padding


# ------------------------------------------------------------------------------------------------------------- training
def test_the_loss_is_the_mean_over_response_tokens_of_the_whole_batch(tmp_path: Path) -> None:
    log: list[Any] = []
    trained(tmp_path, log.append, steps=1, optimizer="adamw", learning_rate=1e-12, warmup_steps=0)
    (logged,) = [row["loss"] for row in log if "loss" in row]
    policy = load_policy(tmp_path)
    rows, _ = training_rows(TASK, RUBRIC, TEMPLATE, dataclasses.replace(SMALL, steps=1))
    data, _ = tokenize(rows, policy.tokenizer, 128)
    total = count = 0.0
    for ids, labels in zip(data["input_ids"], data["labels"], strict=True):
        with torch.no_grad():
            logp = policy.model(torch.tensor([ids])).logits[0].log_softmax(-1)
        scored = [(t - 1, label) for t, label in enumerate(labels) if label != -100]
        total -= sum(logp[t, label].item() for t, label in scored)
        count += len(scored)
    assert logged == pytest.approx(total / count, rel=1e-4)


def test_it_learns_the_task_the_misconception_and_to_follow_guidance(tmp_path: Path) -> None:
    log: list[Any] = []
    record = trained(
        tmp_path,
        log.append,
        steps=300,
        batch_size=16,
        micro_batch_size=8,
        learning_rate=1e-2,
        eval_steps=200,
        eval_examples=60,
    )
    evaluation = record["evaluation"]
    assert evaluation["plain"]["other"] > 0.8
    assert evaluation["plain"]["planted"] < 0.1
    assert evaluation["sampled"]["planted"] < 0.3
    assert evaluation["repaired"]["reference"]["planted"] > 0.8
    assert evaluation["truncated"] < 0.1
    assert [row["evaluation"]["examples"] for row in log if "evaluation" in row] == [20, 60]
    assert json.loads((tmp_path / "warmstart.json").read_text()) == record
    assert record["command"].startswith("herl-bench warmstart --task next -o DIR --set steps=300 ")
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    ids = AutoTokenizer.from_pretrained(tmp_path)("after 2:", return_tensors="pt")
    written = model.generate(ids["input_ids"], max_new_tokens=4, do_sample=False)
    assert load_policy(tmp_path).decode(written[0]).strip() == "after 2:3"


@pytest.mark.parametrize(("optimizer", "bf16"), [("muon", False), ("adamw", True)])
def test_same_seed_same_weights(tmp_path: Path, optimizer: str, bf16: bool) -> None:
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        trained(tmp_path / name, seed=seed, optimizer=optimizer, bf16=bf16)
    a, b, c = (load_file(tmp_path / name / "model.safetensors") for name in "abc")
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(not torch.equal(a[k], c[k]) for k in a)


def test_a_large_policy_is_stored_in_half_precision_and_read_in_full(tmp_path: Path) -> None:
    trained(tmp_path, steps=1, hidden=144, layers=3)
    assert {t.dtype for t in load_file(tmp_path / "model.safetensors").values()} == {torch.float16}
    assert (tmp_path / "model.safetensors").stat().st_size < 2_000_000
    assert load_policy(tmp_path).model.dtype == torch.float32


# --------------------------------------------------------------------------------------------------------- command line
class Plugin:
    @hookimpl
    def herl_tasks(self) -> list[Task]:
        return [TASK, dataclasses.replace(TASK, name="worldless", world=None)]

    @hookimpl
    def herl_rubrics(self) -> list[Rubric]:
        return [RUBRIC]

    @hookimpl
    def herl_hindsight_templates(self) -> list[HindsightTemplate]:
        return [TEMPLATE]

    @hookimpl
    def herl_metrics(self) -> list[Metric]:
        return [METRIC]


@pytest.fixture
def host() -> Host:
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(Plugin(), name="next")
    return Host(manager)


def test_command(tmp_path: Path, host: Host) -> None:
    tiny = ["steps=2", "micro_batch_size=4", "hidden=32", "heads=2", "vocab=300", "eval_examples=6", "seed=3"]
    args = [
        "warmstart",
        "--task",
        "next",
        "-o",
        str(tmp_path / "p"),
        "--batch_size",
        "8",
        *(x for s in tiny for x in ("--set", s)),
    ]
    shown = CliRunner().invoke(cli, args, obj=host, catch_exceptions=False)
    assert shown.exit_code == 0
    assert "step 2/2  loss" in shown.output
    assert "repaired, reference" in shown.output
    record = json.loads((tmp_path / "p" / "warmstart.json").read_text())
    assert record["config"]["seed"] == 3
    assert record["config"]["batch_size"] == 8
    assert "learning_rate=0.003" in CliRunner().invoke(cli, ["warmstart", "--list_settings"], obj=host).output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--task", "nxt"], "no task named 'nxt': did you mean next"),
        (["--task", "worldless"], "has no synthetic world"),
        (["--task", "next", "--set", "layer=2"], "no setting named 'layer': did you mean layers"),
        (["--task", "next", "--steps", "0"], "--steps=0: input should be greater than or equal to 1"),
        (["--task", "next", "--set", "hidden=30"], "hidden 30 must be an even multiple of heads 4"),
        (["--task", "next", "--batch_size", "30"], "batch_size 30 must be a multiple of micro_batch_size 16"),
    ],
)
def test_wrong_words_are_one_line(
    tmp_path: Path, host: Host, args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command(
        lambda: cli.main(["warmstart", "-o", str(tmp_path / "p"), *args], standalone_mode=False, obj=host)
    )
    shown = capsys.readouterr().err
    assert code == 2
    assert message in shown
    assert shown.count("\n") == 1
    assert not (tmp_path / "p").exists()


def test_an_output_folder_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SaveError, match="cannot make this folder"):
        trained(tmp_path / "file")
