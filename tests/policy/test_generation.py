"""Generation: the same greedy tokens as transformers' own `generate`, the right distribution, and the right ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.checkpoints import make_policy

from herl_bench.errors import HerlBenchError, UsageError
from herl_bench.policy import generation
from herl_bench.policy.capacity import CACHE_BYTES
from herl_bench.policy.generation import fit_prompts, generate

PROMPTS = ["abc", "a much longer prompt", "x", "abc", "yes?", "x", "zz", "abc"]


@pytest.mark.parametrize("kind", ["llama", "qwen2", "sliding", "gpt2", "recurrent"])
def test_greedy_tokens_are_those_of_transformers(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    policy = make_policy(tmp_path, kind)
    prompts = policy.encode(PROMPTS)
    alone = [
        policy.model.generate(torch.tensor([p]), max_new_tokens=24, do_sample=False)[0, len(p) :].tolist()
        for p in prompts
    ]
    # An end token that some of these responses reach at different times, so that rows leave the batch.
    policy.model.generation_config.eos_token_id = alone[1][7]
    ends = [r.index(alone[1][7]) + 1 if alone[1][7] in r else 24 for r in alone]
    for most_rows in (generation.MOST_ROWS, 3):
        monkeypatch.setattr(generation, "MOST_ROWS", most_rows)
        ours = generate(policy, prompts, temperature=0, max_new_tokens=24)
        assert [list(c.ids) for c in ours] == [r[:end] for r, end in zip(alone, ends, strict=True)]
        assert [c.finish for c in ours] == [
            "eos" if end < 24 or r[-1] == alone[1][7] else "length" for r, end in zip(alone, ends, strict=True)
        ]
    assert len(set(ends)) > 1


def test_samples_follow_the_softmax(tmp_path: Path) -> None:
    policy = make_policy(tmp_path)
    prompt = policy.encode(["hello"])[0]
    n, temperature = 20_000, 1.7
    with torch.no_grad():
        expected = (policy.model(torch.tensor([prompt])).logits[0, -1] / temperature).softmax(-1)
    drawn = generate(
        policy, [prompt] * n, temperature=temperature, max_new_tokens=1, generator=torch.Generator().manual_seed(0)
    )
    seen = torch.bincount(torch.tensor([c.ids[0] for c in drawn]), minlength=len(expected))
    common = expected * n >= 5
    chi2 = ((seen - n * expected) ** 2 / (n * expected))[common].sum().item()
    freedom = int(common.sum()) - 1
    assert abs(chi2 - freedom) < 5 * (2 * freedom) ** 0.5
    assert seen[~common].sum() < 2 * n * expected[~common].sum() + 10


def test_the_second_token_is_drawn_given_the_first(tmp_path: Path) -> None:
    policy = make_policy(tmp_path)
    prompts = policy.encode(["hello", "a longer one"])
    n = 4000
    drawn = generate(policy, prompts * n, temperature=1.0, max_new_tokens=2, generator=torch.Generator().manual_seed(0))
    for k, prompt in enumerate(prompts):
        pairs = [c.ids for c in drawn[k::2] if len(c.ids) == 2]
        first = max({p[0] for p in pairs}, key=[p[0] for p in pairs].count)
        with torch.no_grad():
            expected = policy.model(torch.tensor([[*prompt, first]])).logits[0, -1].softmax(-1)
        after = [p[1] for p in pairs if p[0] == first]
        top = int(expected.argmax())
        p = expected[top].item()
        assert abs(after.count(top) / len(after) - p) < 5 * (p * (1 - p) / len(after)) ** 0.5


def test_same_generator_same_responses_in_any_order_of_equal_prompts(tmp_path: Path) -> None:
    policy = make_policy(tmp_path)
    prompts = policy.encode(PROMPTS)
    first, second, other = (
        generate(policy, prompts, temperature=1.0, max_new_tokens=12, generator=torch.Generator().manual_seed(seed))
        for seed in (1, 1, 2)
    )
    assert first == second != other
    assert (
        len({c.ids for c, p in zip(first, PROMPTS, strict=True) if p == "abc"}) == 3
    )  # equal prompts, different draws


@pytest.mark.parametrize(
    "other", ["never", "never€"]
)  # the second ends in a letter of several bytes: every token may complete it
def test_stop_strings_end_a_response_before_them(tmp_path: Path, other: str) -> None:
    policy = make_policy(tmp_path)
    prompts = policy.encode(PROMPTS)
    free = generate(policy, prompts, temperature=0, max_new_tokens=40)
    pairs = [
        text[k : k + 2] for text in (c.text for c in free) for k in range(4, len(text) - 1) if text[k : k + 2].isascii()
    ]
    stop = pairs[0]
    ended = generate(policy, prompts, temperature=0, max_new_tokens=40, stop=[stop, other])
    for before, after in zip(free, ended, strict=True):
        if stop not in before.text:
            assert after == before
            continue
        assert after.finish == "stop"
        assert after.text == before.text[: before.text.index(stop)]
        assert after.ids == before.ids[: len(after.ids)]
        assert policy.decode(after.ids[:-1]).find(stop) < 0 <= policy.decode(after.ids).find(stop)
    assert {c.finish for c in ended} >= {"stop"}
    with pytest.raises(ValueError, match="empty stop string"):
        generate(policy, prompts, temperature=0, max_new_tokens=4, stop=[""])


def test_where_the_prompt_opens_a_thought_the_response_begins_with_it(tmp_path: Path) -> None:
    policy = make_policy(tmp_path)
    for end, opening in (("<think>\n", "<think>"), ("<think>\n</think>\n", "")):
        (done,) = generate(policy, policy.encode([f"abc{end}"]), temperature=0, max_new_tokens=4)
        assert done.text == opening + policy.decode(done.ids)


def test_long_prompts_lose_their_left_and_are_counted(tmp_path: Path) -> None:
    policy = make_policy(tmp_path)
    prompts = policy.encode(["a" * 200 + "bc", "abc"])
    fitted = fit_prompts(policy, prompts, 28)
    assert [len(p) for p in fitted] == [100, 4]
    assert fitted[0][0] == policy.tokenizer.bos_token_id
    assert fitted[0][-2:] == prompts[0][-2:]
    done = generate(policy, prompts, temperature=0, max_new_tokens=28)
    assert [c.dropped for c in done] == [103, 0]
    with pytest.raises(UsageError, match="leaves no room"):
        generate(policy, prompts, temperature=0, max_new_tokens=128)


def test_each_response_is_told_of_once_and_as_soon_as_it_is_finished(tmp_path: Path) -> None:
    policy = make_policy(tmp_path)
    policy.model.train()
    told: list[tuple[int, Any]] = []
    generator = torch.Generator().manual_seed(0)
    done = generate(
        policy,
        policy.encode(PROMPTS),
        temperature=1.0,
        max_new_tokens=60,
        generator=generator,
        on_completion=lambda *c: told.append(c),
    )
    assert dict(told) == dict(enumerate(done))
    assert len(told) == len(done)
    lengths = [len(c.ids) for _, c in told]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]  # all began together, so the shorter is told of first
    assert policy.model.training  # left as it was found


def test_nothing_to_do(tmp_path: Path) -> None:
    policy = make_policy(tmp_path)
    assert generate(policy, [], temperature=1.0, max_new_tokens=4) == []
    with pytest.raises(ValueError, match="empty prompt"):
        generate(policy, [[]], temperature=1.0, max_new_tokens=4)


def test_out_of_memory_halves_the_rows_and_keeps_what_was_finished(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The device here has room for three rows, and runs out of it in the middle of a response."""
    policy, prompts = make_policy(tmp_path), [[3, 4]] * 8
    seen: list[int] = []

    def run_out(module: Any, args: Any, kwargs: Any) -> None:
        if len(args[0]) > 3 and args[0].shape[1] == 1 and len(seen) > 1:
            raise torch.OutOfMemoryError("CUDA out of memory.")

    policy.model.generation_config.eos_token_id = list(range(0, 200, 3))
    policy.model.register_forward_pre_hook(run_out, with_kwargs=True)

    def write() -> list[Any]:
        seen.clear()
        generator = torch.Generator().manual_seed(5)
        return generate(
            policy,
            prompts,
            temperature=1.0,
            max_new_tokens=30,
            generator=generator,
            on_completion=lambda i, _: seen.append(i),
        )

    with caplog.at_level("WARNING", "herl_bench"):
        first = write()
        rows = policy.cache_bytes // generation._measure_row(policy.model, 32)
        policy.cache_bytes = CACHE_BYTES
        again = write()
    assert first == again
    assert rows < 8
    assert sorted(seen) == list(range(8))  # each response is told once
    assert len([r for r in caplog.records if "out of memory" in r.message]) == 1


def test_a_single_row_that_does_not_fit_is_one_line(tmp_path: Path) -> None:
    policy = make_policy(tmp_path)

    def run_out(module: Any, args: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    policy.model.register_forward_pre_hook(run_out)
    with pytest.raises(HerlBenchError, match="out of memory while llama wrote a single response"):
        generate(policy, policy.encode(PROMPTS), temperature=0, max_new_tokens=3)


def test_what_the_cache_may_take_bounds_the_rows(tmp_path: Path) -> None:
    policy, widest = make_policy(tmp_path), 0

    def count(module: Any, args: Any) -> None:
        nonlocal widest
        widest = max(widest, len(args[0]))

    policy.model.register_forward_pre_hook(count)
    policy.cache_bytes = 3 * generation._measure_row(policy.model, 12)
    prompts = [[3 + i, 4] for i in range(7)]
    few = generate(policy, prompts, temperature=0, max_new_tokens=10)
    assert widest == 3
    policy.cache_bytes = CACHE_BYTES
    assert few == generate(policy, prompts, temperature=0, max_new_tokens=10)
    assert widest == 7


def test_tokens_of_a_large_vocabulary_follow_the_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "LARGE_VOCABULARY", 4)
    probs = torch.tensor([0.5, 0.0, 0.3, 0.2, 0.0])
    drawn = generation._pick(probs.log().expand(20_000, 5), 1.0, torch.Generator().manual_seed(0))
    shares = torch.bincount(drawn, minlength=5) / 20_000
    assert (shares - probs).abs().max() < 0.015
    assert shares[1] == shares[4] == 0
