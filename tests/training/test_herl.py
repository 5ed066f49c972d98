"""The whole trainer on real (tiny, untrained) Llama and Qwen2 checkpoints. With hindsight off, HeRL is PPO to the
bit."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.chat_templates import SMOLLM2
from helpers.toy_runs import SMALL, Killed, assert_same, make_run, rows, train

from herl_bench.errors import DivergedError
from herl_bench.policy.generation import Completion
from herl_bench.policy.load import load_policy
from herl_bench.policy.placement import Placement
from herl_bench.policy.precision import evaluate_in
from herl_bench.testing import TOY_RUBRIC, tiny_checkpoint
from herl_bench.training import sampling
from herl_bench.training.checkpoints import list_checkpoints
from herl_bench.training.config import HeRLConfig, PPOConfig
from herl_bench.training.forward import Pair
from herl_bench.training.herl import Learner
from herl_bench.training.metrics import METRICS
from herl_bench.training.rollouts import Rollout, Row, make_rows
from herl_bench.training.update import ActorCritic, ScoredRows


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_checkpoint(tmp_path_factory.mktemp("model") / "llama")


def test_herl_with_hindsight_off_is_ppo_to_the_bit(tmp_path: Path, checkpoint: Path) -> None:
    ppo = make_run(tmp_path / "ppo", checkpoint, PPOConfig(**SMALL), lively=True)
    off = HeRLConfig(**SMALL, hindsight=False, bonus="none", revise_fraction="auto")
    herl = make_run(tmp_path / "herl", checkpoint, off, lively=True)
    assert_same(train(ppo), train(herl))
    assert rows(ppo) == rows(herl)


def test_herl_learns_something_else_than_ppo(tmp_path: Path, checkpoint: Path) -> None:
    ppo = train(make_run(tmp_path / "ppo", checkpoint, PPOConfig(**SMALL), lively=True))
    herl = train(make_run(tmp_path / "herl", checkpoint, HeRLConfig(**SMALL), lively=True))
    assert any(not torch.equal(ppo[name], herl[name]) for name in ppo)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, checkpoint: Path) -> None:
    one, two = (
        make_run(tmp_path / name, checkpoint, HeRLConfig(**SMALL, guide_prob=0.3), lively=True)
        for name in ("one", "two")
    )
    assert_same(train(one), train(two))
    assert rows(one) == rows(two)
    assert rows(one, "rollouts.jsonl") == rows(two, "rollouts.jsonl")


@pytest.mark.parametrize("step", [1, 3, 4])
def test_killed_at_any_step_and_resumed_gives_the_same_bytes(tmp_path: Path, checkpoint: Path, step: int) -> None:
    config = HeRLConfig(**SMALL, guide_prob=0.3)
    whole = make_run(tmp_path / "whole", checkpoint, config, lively=True)
    # Where there is a checkpoint, it tells how many responses are drawn at once, whatever memory is free by now.
    cache_bytes = whole.policy.cache_bytes = 100_000 if step == 3 else whole.policy.cache_bytes
    expected = train(whole)

    def die(row: dict[str, Any], rollouts: Any) -> None:
        if row["step"] == step:
            raise Killed

    cut = make_run(tmp_path / "cut", checkpoint, config, on_step=die, lively=True)
    cut.policy.cache_bytes = cache_bytes
    with pytest.raises(Killed):
        train(cut)
    with open(tmp_path / "cut" / "metrics.jsonl", "a") as file:
        file.write('{"torn": ')
    resumed = make_run(tmp_path / "cut", checkpoint, config, resuming=True, lively=True)
    assert_same(expected, train(resumed))
    assert rows(whole) == rows(resumed)
    assert rows(whole, "rollouts.jsonl") == rows(resumed, "rollouts.jsonl")


def test_an_interrupted_run_saves_a_checkpoint_and_goes_on(tmp_path: Path, checkpoint: Path) -> None:
    config = PPOConfig(**{**SMALL, "save_steps": 50})
    expected = train(make_run(tmp_path / "whole", checkpoint, config, lively=True))
    run = make_run(tmp_path / "cut", checkpoint, config, lively=True)

    def interrupt(row: dict[str, Any], rollouts: Any) -> None:
        run.interrupted = row["step"] == 1

    run.on_step = interrupt
    train(run)
    assert [p.name for p in list_checkpoints(run.directory)] == ["step-000001"]
    assert_same(expected, train(make_run(tmp_path / "cut", checkpoint, config, resuming=True, lively=True)))


def test_the_budget_is_spent_and_kept(tmp_path: Path, checkpoint: Path) -> None:
    run = make_run(tmp_path / "run", checkpoint, HeRLConfig(**SMALL), budget=500)
    train(run)
    logged = rows(run, "rollouts.jsonl")
    assert run.budget.spent == sum(row["tokens"] for row in logged) == rows(run)[-1]["tokens"]
    assert {row["kind"] for row in logged} == {"plain", "revision"}
    assert 0.9 * 500 < run.budget.spent <= 500 + 6


def test_the_first_ratio_is_one_and_every_metric_is_documented(tmp_path: Path, checkpoint: Path) -> None:
    run = make_run(tmp_path / "run", checkpoint, HeRLConfig(**SMALL, num_ppo_epochs=2), lively=True)
    train(run)
    for row in rows(run):
        assert row["ratio_first"] < 1e-4
        assert set(row) <= set(METRICS)


@pytest.mark.parametrize(
    "change",
    [
        {"off_policy": "shaped"},
        {"off_policy": "clipped_is", "train_context": "original"},
        {"train_context": "hindsight", "bonus": "measured"},
        {"revise": "best_of_group", "num_generations": 2},
        {"revise": "critic"},
        {"truncation": "mask", "entropy_coef": 0.01, "dual_clip": 3.0},
        {"cliprange_high": 0.28, "hint_level": "criteria", "gamma": 0.99, "lam": 0.95, "microbatch_tokens": 64},
    ],
    ids=lambda change: next(iter(change.values())),
)
def test_every_variant_trains_and_logs_finite_numbers(tmp_path: Path, checkpoint: Path, change: dict[str, Any]) -> None:
    run = make_run(tmp_path / "run", checkpoint, HeRLConfig(**{**SMALL, **change}), budget=400, lively=True)
    before = {k: v.clone() for k, v in run.policy.model.state_dict().items()}
    after = train(run)
    assert all(torch.isfinite(v).all() for v in after.values())
    assert len(rows(run)) >= 2
    assert any(row["off_policy_rows"] for row in rows(run)) == (change.get("train_context") != "hindsight")
    if change.get("truncation") != "mask":
        assert any(not torch.equal(before[k], after[k]) for k in before)


def test_micro_batches_do_not_change_what_is_learnt(tmp_path: Path, checkpoint: Path) -> None:
    small = train(
        make_run(tmp_path / "small", checkpoint, PPOConfig(**SMALL, microbatch_tokens=30), budget=150, lively=True)
    )
    large = train(make_run(tmp_path / "large", checkpoint, PPOConfig(**SMALL), budget=150, lively=True))
    for name in small:
        torch.testing.assert_close(small[name], large[name], rtol=1e-3, atol=2e-5)


def test_nan_stops_the_run_with_a_checkpoint_and_a_sentence(tmp_path: Path, checkpoint: Path) -> None:
    run = make_run(tmp_path / "run", checkpoint, PPOConfig(**SMALL))
    with torch.no_grad():
        run.policy.model.get_input_embeddings().weight[5:] *= 1e30
    with pytest.raises(DivergedError, match=r"stopped at step \d: .*lower learning_rate"):
        train(run)
    assert list((run.directory / "checkpoints").glob("diverged-*/state.pt"))


def test_a_reward_that_cannot_be_computed_trains_nothing(tmp_path: Path, checkpoint: Path) -> None:
    def broken(example: Any, response: str) -> bool:
        raise RuntimeError("no oracle today")

    run = make_run(tmp_path / "run", checkpoint, PPOConfig(**SMALL), budget=200)
    run.environment = replace(
        run.environment,
        rubric=replace(TOY_RUBRIC, criteria=tuple(replace(c, check=broken) for c in TOY_RUBRIC.criteria)),
    )
    before = {k: v.clone() for k, v in run.policy.model.state_dict().items()}
    assert_same(before, train(run))
    assert all(row["error_rate"] == 1 and row["rows"] == 0 for row in rows(run))


def test_qwen2_with_a_chat_template(tmp_path: Path) -> None:
    checkpoint = tiny_checkpoint(tmp_path / "qwen", "qwen2", chat_template=True)
    run = make_run(tmp_path / "run", checkpoint, HeRLConfig(**SMALL), budget=300)
    train(run)
    run.save_final()
    again = load_policy(str(run.directory / "final"))
    assert_same(run.policy.model.state_dict(), again.model.state_dict())
    assert (run.directory / "final" / "critic.safetensors").is_file()


def test_every_token_that_a_model_reads_or_learns_from_is_metered(tmp_path: Path, checkpoint: Path) -> None:
    """One PPO step over T tokens: sampling reads T, the policy, the starting policy, and the critic before and after
    its warm-up 4 T; the critic's warm-up, the policy and the critic learn from 3 T."""
    run = make_run(tmp_path / "run", checkpoint, PPOConfig(**SMALL), budget=100)
    train(run)
    (row,) = rows(run)
    tokens = (
        sum(len(ids) for ids in run.policy.encode([r["prompt"] for r in rows(run, "rollouts.jsonl")], ""))
        + row["tokens"]
    )
    assert row["rows"] == row["rollouts"]
    assert (row["forward_tokens"], row["trained_tokens"]) == (5 * tokens, 3 * tokens)


# ---------------------------------------------------------------------------------------------------------- all of HeRL
@pytest.mark.parametrize("form", ["auto", "with_draft"])
def test_a_chat_model_revises_in_a_conversation_and_learns_the_plain_prompt(tmp_path: Path, form: Any) -> None:
    model = tiny_checkpoint(tmp_path / "model", chat_template=SMOLLM2)
    seen: list[Rollout] = []
    config = HeRLConfig(**SMALL, revise_form=form, guide_prob=0.3)
    run = make_run(tmp_path / "run", model, config, 400, lively=True, on_step=lambda row, some: seen.extend(some))
    train(run)
    assert {r.kind for r in seen} == {"plain", "guided", "revision"}
    for rollout in seen:
        prompt, plain = run.encode([rollout.prompt, rollout.example.prompt])
        assert (rollout.prompt_ids, rollout.plain_ids) == (tuple(prompt), tuple(plain))
        assert rollout.temperature == (0.7 if rollout.kind == "revision" else 1.0)
        if rollout.kind != "plain":
            turns = 3 if form == "with_draft" and rollout.kind == "revision" else 1
            assert [t.role for t in rollout.prompt] == ["user", "assistant", "user"][:turns]
            text = run.policy.decode(prompt)
            assert text.startswith("<|im_start|>system\nAnswer with a number.<|im_end|>\n<|im_start|>user\n")
            assert rollout.guidance in text
    learnt = [row for row in make_rows(seen, run.config) if row.off_policy]
    assert learnt
    assert all(row.pair.prompt in {r.plain_ids for r in seen} for row in learnt)


def test_revisions_keep_their_token_ids_and_are_scored_at_their_own_temperature(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[Completion] = []
    inner = sampling.generate
    monkeypatch.setattr(sampling, "generate", lambda *a, **k: written.extend(new := inner(*a, **k)) or new)
    run = make_run(
        tmp_path / "run",
        checkpoint,
        HeRLConfig(**SMALL, off_policy="shaped", revision_temperature=0.6),
        budget=160,
        lively=True,
    )
    kept: list[tuple[list[Row], ScoredRows, dict[str, torch.Tensor]]] = []
    score = ActorCritic.score

    def watched(models: ActorCritic, rows: list[Row]) -> ScoredRows:
        weights = {k: v.clone() for k, v in models.policy.model.state_dict().items()}
        kept.append((rows, score(models, rows), weights))
        return kept[-1][1]

    monkeypatch.setattr(ActorCritic, "score", watched)
    train(run)
    ids = {w.ids for w in written}
    policy = load_policy(str(checkpoint))
    assert any(
        list(i) != policy.encode([policy.decode(i)])[0][1:] for i in ids
    )  # encoding the text again would give other ids
    off = 0
    for trained, scored, weights in kept:
        policy.model.load_state_dict(weights)
        for i, row in enumerate(trained):
            assert tuple(row.pair.response) in ids
            if row.behaviour is None:
                continue
            off += 1
            assert (row.behaviour.temperature, row.pair.temperature) == (0.6, 1.0)
            alone = torch.tensor([[*row.behaviour.prompt, *row.behaviour.response]])
            with torch.no_grad():
                logp = torch.log_softmax(policy.model(alone).logits[0] / 0.6, -1)
            start, n = len(row.behaviour.prompt), len(row.behaviour.response)
            expected = [float(logp[start - 1 + t, token]) for t, token in enumerate(row.behaviour.response)]
            assert scored.behaviour_NT[i, :n].tolist() == pytest.approx(expected, abs=1e-5)
    assert off


@pytest.mark.parametrize(
    "change",
    [
        dict(HeRLConfig.presets["paper"], num_generations=4),
        {"guidance": "shuffled"},
        {"guidance": "none", "bonus": "none"},
        {"bonus": "constant", "bonus_coef": 0.5},
        {"bonus": "shuffled", "bonus_gate": False, "bonus_coef": 0.5},
        {"guide_prob": 0.5, "guide_from": "similar"},
        {"revise_fraction": "auto"},
        dict(HeRLConfig.presets["paper"], num_generations=4, revise_fraction="auto"),
    ],
    ids=[
        "paper",
        "shuffled guidance",
        "no guidance",
        "constant",
        "shuffled bonus",
        "similar",
        "auto",
        "paper with auto",
    ],
)
def test_presets_and_controls_are_killed_and_resumed_to_the_same_bytes(
    tmp_path: Path, checkpoint: Path, change: dict[str, Any]
) -> None:
    config = HeRLConfig(**{**SMALL, **change})
    whole = make_run(tmp_path / "whole", checkpoint, config, budget=450, lively=True)
    expected = train(whole)

    def die(row: dict[str, Any], rollouts: Any) -> None:
        if row["step"] == 3:
            raise Killed

    with pytest.raises(Killed):
        train(make_run(tmp_path / "cut", checkpoint, config, budget=450, lively=True, on_step=die))
    resumed = make_run(tmp_path / "cut", checkpoint, config, budget=450, lively=True, resuming=True)
    assert_same(expected, train(resumed))
    assert rows(whole) == rows(resumed)
    logged, responses = rows(whole), rows(whole, "rollouts.jsonl")
    revisions = [r for r in responses if r["kind"] == "revision"]
    assert revisions
    if change.get("advantage") == "group":
        assert not {"value_loss", "value_mean", "explained_variance"} & set(logged[0])
        assert all(row["off_policy_rows"] == 0 for row in logged)
        assert any(r["bonus"] < 0 for r in responses)
    if change.get("guidance") == "none":
        assert {r["guidance"] for r in revisions} == {""}
        assert all(row["off_policy_rows"] == 0 for row in logged)
    if change.get("bonus") == "constant":
        second = [r for r in responses if r["step"] == 2 and r["kind"] == "plain"]
        improvements = [r["reward"] - r["baseline"] for r in revisions if r["step"] == 1]
        usual = max(0.0, sum(improvements) / len(improvements))
        assert [r["bonus"] for r in second] == pytest.approx([min(usual, 1 - r["reward"]) for r in second])
    if change.get("guide_prob"):
        assert any(r["kind"] == "guided" for r in responses)
    retries = [r for r in responses if r["kind"] == "retry"]
    if change.get("revise_fraction") == "auto":
        drafts = {(r["step"], r["index"]): r for r in responses}
        assert len(retries) == sum(row["retries"] for row in logged) > 0
        for r in retries:
            draft = drafts[r["step"], r["draft"]]
            assert (r["prompt"], r["baseline"], r["guidance"]) == (draft["prompt"], draft["reward"], "")
            assert r["baseline"] < 1
            assert any((o["kind"], o["draft"], o["step"]) == ("revision", r["draft"], r["step"]) for o in responses)
        assert len({row["revise_share"] for row in logged}) > 1
        assert [row["optimizer_steps"] for row in logged[:-1]] == [3 * row["step"] for row in logged[:-1]]
        assert all(row["retry_gain"] is not None for row in logged)
    else:
        assert not retries
        assert not {"retries", "revise_share", "revision_gain", "retry_gain"} & set(logged[0])


LORA: dict[str, Any] = {**SMALL, "lora_rank": 2, "learning_rate": 2e-3}


def test_with_lora_hindsight_off_is_ppo_to_the_bit_and_the_weights_stay(tmp_path: Path, checkpoint: Path) -> None:
    ppo = make_run(tmp_path / "ppo", checkpoint, PPOConfig(**LORA), budget=400, lively=True)
    off = HeRLConfig(**LORA, hindsight=False, bonus="none")
    herl = make_run(tmp_path / "herl", checkpoint, off, budget=400, lively=True)
    learnt = train(ppo)
    assert_same(learnt, train(herl))
    assert rows(ppo) == rows(herl)
    began = load_policy(str(checkpoint)).model.state_dict()
    frozen = {name.replace(".base_layer", ""): weight for name, weight in learnt.items() if ".lora_" not in name}
    assert_same(began, frozen)
    assert any(weight.any() for name, weight in learnt.items() if ".lora_B.default" in name)


def test_with_lora_killed_and_resumed_gives_the_same_bytes(tmp_path: Path, checkpoint: Path) -> None:
    """And with gradient checkpointing, which changes none of them; a checkpoint holds the adapters alone."""
    config = HeRLConfig(**LORA, guide_prob=0.3)
    whole = make_run(tmp_path / "whole", checkpoint, config, budget=400, lively=True)
    expected = train(whole)

    def die(row: dict[str, Any], rollouts: Any) -> None:
        if row["step"] == 3:
            raise Killed

    saving = replace(config, gradient_checkpointing=True)
    with pytest.raises(Killed):
        train(make_run(tmp_path / "cut", checkpoint, saving, budget=400, on_step=die, lively=True))
    resumed = make_run(tmp_path / "cut", checkpoint, saving, budget=400, resuming=True, lively=True)
    assert_same(expected, train(resumed))
    assert rows(whole) == rows(resumed)
    state = torch.load(list_checkpoints(whole.directory)[-1] / "state.pt", weights_only=True)["state"]
    saved = [*state["policy"], *state["critic"]]
    assert all("lora_" in name or name.startswith("head.") for name in saved)


def test_several_revisions_of_a_draft_fill_the_same_slots(tmp_path: Path, checkpoint: Path) -> None:
    """Of 24 rollouts 8 are revisions: three each of two drafts, and two of a third."""
    run = make_run(tmp_path / "run", checkpoint, HeRLConfig(**SMALL, revisions_per_draft=3), 400, lively=True)
    train(run)
    logged = rows(run, "rollouts.jsonl")
    first = [row for row in logged if row["step"] == 1]
    revised = [row["draft"] for row in first if row["kind"] == "revision"]
    assert len(first) == 24
    assert sorted(revised.count(draft) for draft in set(revised)) == [2, 3, 3]
    for row in first:
        if row["kind"] == "revision":
            assert (row["id"], row["baseline"]) == (first[row["draft"]]["id"], first[row["draft"]]["reward"])


def test_a_step_without_hindsight_reads_no_state_for_the_bonus(tmp_path: Path, checkpoint: Path) -> None:
    measured, off = HeRLConfig(**SMALL, bonus="measured"), HeRLConfig(**SMALL, hindsight=False)
    for config, wanted in ((HeRLConfig(**SMALL), True), (measured, False), (off, False), (PPOConfig(**SMALL), False)):
        learner = Learner(make_run(tmp_path / "run", checkpoint, config))
        scored = learner.models.score([Row(Pair((1, 2), (3, 4)), 0.5)])
        assert scored.end_ND.shape == (1, learner.run.policy.model.config.hidden_size if wanted else 0)


def test_nothing_is_built_that_nothing_asks_for(tmp_path: Path, checkpoint: Path) -> None:
    config = HeRLConfig(**SMALL, kl_coef=0.0, advantage="group", bonus="none")
    learner = Learner(make_run(tmp_path / "run", checkpoint, config))
    assert (learner.models.reference, learner.models.critic, learner.bonus.critic) == (None, None, None)
    run = make_run(tmp_path / "ppo", checkpoint, PPOConfig(**SMALL, kl_coef=0.0), budget=200, lively=True)
    train(run)
    assert all("kl" not in row and row["approx_kl"] >= 0 for row in rows(run))


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_in_bfloat16_the_trained_weights_are_float32(tmp_path: Path, checkpoint: Path, lora_rank: int) -> None:
    run = make_run(
        tmp_path / "run", checkpoint, HeRLConfig(**{**LORA, "lora_rank": lora_rank}), budget=200, lively=True
    )
    run.policy.placement = Placement(dtype="bfloat16")
    began = {name: weight.clone() for name, weight in run.policy.model.named_parameters()}
    learnt = train(run)
    kinds = {weight.dtype for name, weight in learnt.items() if not lora_rank or ".lora_" in name}
    assert kinds == {torch.float32}
    kept = {name: weight.clone() for name, weight in learnt.items()}
    with evaluate_in(run.policy):
        assert {w.dtype for n, w in run.policy.model.named_parameters() if ".lora_" not in n} == {torch.bfloat16}
    assert_same(kept, run.policy.model.state_dict())
    assert any(not torch.equal(weight, began.get(name, weight[:0])) for name, weight in learnt.items())
    assert all(math.isfinite(row["loss"]) for row in rows(run))
    run.save_final()
    loaded = load_policy(run.files.final, placement=run.policy.placement)
    ids = torch.tensor([[1, 7, 8, 9]])
    with torch.no_grad(), evaluate_in(run.policy):
        assert torch.equal(loaded.model(ids).logits, run.policy.model(ids).logits)


@pytest.mark.parametrize("lora_rank", [0, 2])
def test_out_of_memory_halves_the_micro_batch_and_keeps_the_gradient(
    tmp_path: Path, checkpoint: Path, lora_rank: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The device has the memory for a micro-batch's forward pass and for half of its backward pass."""
    config = HeRLConfig(**{**LORA, "lora_rank": lora_rank, "learning_rate": 1e-4})
    whole = make_run(tmp_path / "whole", checkpoint, config, budget=200, lively=True)
    expected = train(whole)
    tight = make_run(tmp_path / "tight", checkpoint, config, budget=200, lively=True)
    first, last = tight.policy.model.model.layers[0].mlp, tight.policy.model.lm_head

    def fill(module: Any, given: Any, output: torch.Tensor) -> None:
        def run_out(gradient: torch.Tensor) -> None:
            if len(gradient) > 4:
                raise torch.OutOfMemoryError("CUDA out of memory")

        if output.requires_grad:
            output.register_hook(run_out)

    assert last.weight.requires_grad  # so that the head had its gradient when the first layer had no memory left
    first.register_forward_hook(fill)
    learnt = train(tight)
    for name, weight in expected.items():
        assert torch.allclose(weight, learnt[name], atol=2e-5), name
    said = [record.message for record in caplog.records if "out of memory" in record.message]
    assert 1 <= len(said) <= 3
    assert all("the same gradient" in line for line in said)


def test_a_resumed_run_goes_on_with_the_micro_batch_that_fitted(tmp_path: Path, checkpoint: Path) -> None:
    killed, resumed = (Learner(make_run(tmp_path / name, checkpoint, HeRLConfig(**SMALL), budget=200)) for name in "ab")
    killed.models.packing.max_tokens //= 2
    assert resumed.models.packing.max_tokens != killed.models.packing.max_tokens
    resumed.load_state_dict(killed.state_dict())
    assert resumed.models.packing.max_tokens == killed.models.packing.max_tokens
