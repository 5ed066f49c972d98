import pytest
from hypothesis import given
from hypothesis import strategies as st

from herl_bench.budget import Budget, parse_tokens
from herl_bench.errors import UsageError


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("200k", 200_000),
        ("1.5M", 1_500_000),
        ("20000", 20_000),
        ("20_000", 20_000),
        ("20,000", 20_000),
        (" 3b ", 3_000_000_000),
        (".5k", 500),
    ],
)
def test_ways_to_write_a_budget(text, tokens):
    assert parse_tokens(text) == tokens


@pytest.mark.parametrize("text", ["-5", "0", "0.2", "", "k", "ten", "1e5", "5 k k", "nan", "inf", "9" * 400])
def test_what_is_not_a_budget(text):
    with pytest.raises(UsageError, match=r"--budget .*write a positive number of generated tokens, such as 200k"):
        parse_tokens(text)


@given(
    st.integers(1, 10_000),
    st.lists(st.tuples(st.integers(0, 500), st.integers(1, 20)), max_size=20),
    st.integers(1, 200),
)
def test_charges_add_up_and_what_is_affordable_fits(limit, charges, wanted):
    budget = Budget(limit)
    assert budget.affordable(wanted, 50) == min(wanted, limit // 50)
    for tokens, rollouts in charges:
        budget.charge(tokens, rollouts)
    assert budget.spent == sum(t for t, _ in charges)
    assert budget.left == max(0, limit - budget.spent)
    if charges:
        mean = max(1.0, budget.spent / budget.rollouts)
        assert 0 <= budget.affordable(wanted, 50) <= wanted
        assert budget.affordable(wanted, 50) * mean <= budget.left


def test_a_restored_budget_keeps_what_was_spent_and_takes_the_new_limit():
    before, after = (
        Budget(100, spent=60, rollouts=6, reward_calls=7, optimizer_steps=8, forward_tokens=9, trained_tokens=10),
        Budget(200),
    )
    after.load_state_dict(before.state_dict())
    assert after == Budget(200, 60, 6, 7, 8, 9, 10)
