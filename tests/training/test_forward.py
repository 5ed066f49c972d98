import pytest
import torch

from herl_bench.policy.load import Policy, load_policy
from herl_bench.testing import tiny_checkpoint
from herl_bench.training.forward import Critic, Packing, Pair, compute_logprobs, pack_microbatches

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


@torch.no_grad()
def test_critic_reads_the_state_before_each_token_and_after_the_last(policy: Policy):
    critic = Critic(policy.model, extra=1)
    value = Critic(policy.model)
    for module in (critic, value):
        torch.nn.init.normal_(module.head.weight)
    (batch,) = pack_microbatches(PAIRS, WIDE)
    values, last = value(batch), critic.predict_last(batch, torch.full((4,), 0.5))
    for b, row in enumerate(batch.rows_B.tolist()):
        pair = PAIRS[row]
        hidden = value.trunk(torch.tensor([[*pair.prompt, *pair.response]])).last_hidden_state[0]
        states = value.head(hidden)[:, 0][len(pair.prompt) - 1 : -1]
        assert values[b][batch.mask_BT[b] > 0].tolist() == pytest.approx(states.tolist(), abs=1e-5)
        end = critic.head(torch.cat([hidden[-1], torch.tensor([0.5])]))
        assert last[b].item() == pytest.approx(end.item(), abs=1e-5)


def test_a_new_critic_says_zero(policy: Policy):
    (batch,) = pack_microbatches(PAIRS, WIDE)
    assert Critic(policy.model)(batch).abs().max() == 0


@pytest.mark.parametrize("limit", [1, 12, 30])
def test_micro_batches_hold_every_row_once_and_keep_the_limit(limit: int):
    batches = list(pack_microbatches(PAIRS, Packing(limit, 0, "cpu"), rows=[3, 1, 0]))
    assert sorted(i for b in batches for i in b.rows_B.tolist()) == [0, 1, 3]
    assert all(b.inputs["input_ids"].numel() <= limit or len(b.rows_B) == 1 for b in batches)
