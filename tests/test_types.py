import dataclasses

import pytest

from herl_bench import types
from herl_bench.types import Judgement, Metric, Verdict


def test_data_is_frozen():
    records = [v for v in vars(types).values() if dataclasses.is_dataclass(v)]
    assert len(records) > 10
    for record in records:
        assert record.__dataclass_params__.frozen, record.__name__


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ([True, True], True),
        ([True, False], False),
        ([None, False], False),
        ([True, None], None),
        ([None, None], None),
        ([False, True], False),
    ],
)
def test_a_criterion_is_unmet_if_any_part_is_and_met_only_if_all_are(parts, expected):
    judgement = Judgement(tuple(Verdict("steps", met) for met in parts), 0.5)
    assert judgement.criteria == {"steps": expected}


def test_undecided_verdicts_are_errors_with_their_reason():
    judgement = Judgement(
        (Verdict("right", None, error="ValueError: no target"), Verdict("short", False, "12 words")), 0.0
    )
    assert judgement.errors == ("right: ValueError: no target",)


def test_a_metric_is_keyed_as_lm_eval_keys_it():
    assert Metric("exact_match", lambda e, o: 1.0, filter="strict-match").key == "exact_match,strict-match"
    assert Metric("exact_match", lambda e, o: 1.0).key == "exact_match,none"
