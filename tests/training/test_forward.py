from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from herl_bench.errors import HerlBenchError
from herl_bench.policy.load import Policy, load_policy
from herl_bench.testing import tiny_checkpoint
from herl_bench.training.forward import (
    Critic,
    Packing,
    Pair,
    compute_logprobs,
    learning,
    pack_microbatches,
    read_ends,
    recompute_layers,
    watching_ends,
)

PAIRS = [
    Pair((1, 7, 8, 9), (10, 11, 2)),
    Pair((1, 20), (30, 31, 32, 33, 2), 0.7),
    Pair((1, 5, 6), (2,)),
    Pair((1, 9, 9, 9, 9), (40, 41)),
]
WIDE = Packing(10_000, 0, "cpu")


@pytest.fixture(scope="module", params=["llama", "qwen2"])
def policy(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Policy:
    return load_policy(str(tiny_checkpoint(tmp_path_factory.mktemp("m") / "x", request.param)))


@torch.no_grad()
def test_packed_logprobs_equal_those_of_each_row_alone(policy: Policy):
    got: dict[int, list[float]] = {}
    for batch in pack_microbatches(PAIRS, WIDE):
        logp, entropy = compute_logprobs(policy.model, batch, with_entropy=True)
        assert entropy is not None
        for b, row in enumerate(batch.rows_B.tolist()):
            got[row] = logp[b][batch.mask_BT[b] > 0].tolist()
    for row, pair in enumerate(PAIRS):
        ids = torch.tensor([[*pair.prompt, *pair.response]])
        full = torch.log_softmax(policy.model(ids).logits[0] / pair.temperature, -1)
        start = len(pair.prompt)
        expected = [float(full[start - 1 + t, token]) for t, token in enumerate(pair.response)]
        assert got[row] == pytest.approx(expected, abs=1e-5)


# What differs between them: one way into the trunk (GPT-2), capped logits (Gemma 2), scaled ones (Granite, Cohere), a
# trunk within the trunk (OPT).
TINY = {"vocab_size": 80, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
HEADS = {"num_key_value_heads": 1, "head_dim": 8, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {**TINY, **HEADS},
    "qwen2": {**TINY, **HEADS, "tie_word_embeddings": True},
    "gemma2": {**TINY, **HEADS, "final_logit_softcapping": 0.3},
    "granite": {**TINY, **HEADS, "logits_scaling": 7.0},
    "cohere": {**TINY, **HEADS, "logit_scale": 0.1},
    "gpt2": {"vocab_size": 80, "n_embd": 16, "n_layer": 2, "n_head": 2, "bos_token_id": 1, "eos_token_id": 2},
    "opt": {**TINY, "ffn_dim": 24, "word_embed_proj_dim": 16},
}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_in_chunks_logprobs_entropies_and_gradients_are_the_same(kind: str):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **ARCHITECTURES[kind])).eval()
    results = []
    for chunk in (None, 4):
        model.zero_grad()
        (batch,) = pack_microbatches(PAIRS, Packing(10_000, 0, "cpu", chunk))
        sizes = watch_logits(model)
        logp, entropy = compute_logprobs(model, batch, with_entropy=True)
        assert entropy is not None
        ((logp * torch.linspace(-1, 1, logp.shape[1]) + 0.3 * entropy) * batch.mask_BT).sum().backward()
        assert max(sizes) == (chunk or 4 * 6)  # 4 rows, the longest response and one more
        gradients = [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]
        results.append([logp * batch.mask_BT, entropy * batch.mask_BT, *gradients])
    assert len(results[0]) == len(results[1]) > 10
    for whole, chunked in zip(*results, strict=True):
        assert torch.allclose(whole, chunked, atol=1e-5)


def watch_logits(model: Any) -> list[int]:
    """How many positions the head is asked for at once, forward and backward."""
    seen: list[int] = []
    model.get_output_embeddings().register_forward_hook(lambda module, given, out: seen.append(out[..., 0].numel()))
    return seen


def test_layers_are_computed_again_while_learning_and_only_then(policy: Policy):
    (batch,) = pack_microbatches(PAIRS, WIDE)
    calls: list[bool] = []
    policy.model.base_model.layers[0].self_attn.register_forward_hook(lambda *_: calls.append(torch.is_grad_enabled()))
    recompute_layers(policy.model)
    compute_logprobs(policy.model, batch)[0].sum().backward()
    assert len(calls) == 1
    with learning(policy.model):
        compute_logprobs(policy.model, batch)[0].sum().backward()
    assert len(calls) == 3
    assert not any(module.training for module in policy.model.modules())


@pytest.mark.parametrize("failures", [1, 2])
def test_work_that_does_not_fit_the_memory_is_done_with_half_of_it(failures: int):
    packing, undone, tried = Packing(64, 0, "cpu"), [], []

    def work() -> str:
        tried.append(packing.max_tokens)
        if len(tried) <= failures:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return "done"

    assert packing.fit(PAIRS, work, lambda: undone.append(len(tried))) == "done"
    assert tried == [64, 12, 6][: failures + 1]  # half of what there was to pack
    assert undone == list(range(1, failures + 1))

    def hopeless() -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(HerlBenchError, match="one response at a time: set gradient_checkpointing=true"):
        packing.fit(PAIRS, hopeless)


@torch.no_grad()
def test_the_critic_reads_the_state_before_each_token(policy: Policy):
    critic = Critic(policy.model)
    torch.nn.init.normal_(critic.head.weight)
    (batch,) = pack_microbatches(PAIRS, WIDE)
    values = critic(batch)
    for b, row in enumerate(batch.rows_B.tolist()):
        pair = PAIRS[row]
        hidden = critic.trunk(torch.tensor([[*pair.prompt, *pair.response]])).last_hidden_state[0]
        states = critic.head(hidden)[:, 0][len(pair.prompt) - 1 : -1]
        assert values[b][batch.mask_BT[b] > 0].tolist() == pytest.approx(states.tolist(), abs=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("chunk", [1, 1000])
def test_scoring_passes_through_the_state_at_each_responses_end(policy: Policy, chunk: int):
    (batch,) = pack_microbatches(PAIRS, replace(WIDE, logits_chunk=chunk))
    expected, _ = compute_logprobs(policy.model, batch)
    with watching_ends(policy.model, batch) as ends:
        scored, _ = compute_logprobs(policy.model, batch)
    assert torch.equal(scored, expected)
    (end_BD,) = ends
    assert torch.equal(end_BD, read_ends(policy.model, batch))
    for b, row in enumerate(batch.rows_B.tolist()):
        ids = torch.tensor([[*PAIRS[row].prompt, *PAIRS[row].response]])
        alone = policy.model.get_decoder()(ids).last_hidden_state[0, -1]
        assert end_BD[b].tolist() == pytest.approx(alone.tolist(), abs=1e-5)
    compute_logprobs(policy.model, batch)
    assert len(ends) == 1, "nobody watches on"


def test_a_new_critic_says_zero(policy: Policy):
    (batch,) = pack_microbatches(PAIRS, WIDE)
    assert Critic(policy.model)(batch).abs().max() == 0


@pytest.mark.parametrize("limit", [1, 12, 30])
def test_micro_batches_hold_every_row_once_and_keep_the_limit(limit: int):
    batches = list(pack_microbatches(PAIRS, Packing(limit, 0, "cpu"), rows=[3, 1, 0]))
    assert sorted(i for b in batches for i in b.rows_B.tolist()) == [0, 1, 3]
    assert all(b.inputs["input_ids"].numel() <= limit or len(b.rows_B) == 1 for b in batches)
