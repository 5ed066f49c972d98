import dataclasses

import pytest

import herl_bench
from herl_bench import errors, types
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


def test_the_public_names():
    """Plugins import these; taking one away breaks them."""
    assert set(herl_bench.__all__) == {
        "Check", "Criterion", "Demonstration", "Example", "Finding", "HindsightTemplate", "Method", "Metric", "Rubric",
        "SandboxProvider", "Split", "Task", "Verdict", "World", "answer_text", "hookimpl", "judge", "load_rubric",
    }  # fmt: skip
    for name in herl_bench.__all__:
        assert hasattr(herl_bench, name)


def test_the_drawn_exception_tree_is_the_real_one():
    """Name, indent and exit code of each line of the docstring against the classes."""
    lines = [line for line in errors.__doc__.splitlines() if line.startswith("    ")]
    drawn = {}
    for line in lines:
        name = next(word for word in line.split() if word[0].isupper())
        code = next((int(word) for word in line.replace("exit code", "").split() if word.isdigit()), None)
        drawn[name] = (line.index(name), code)
    real = {n: c for n, c in vars(errors).items() if isinstance(c, type) and issubclass(c, Exception)}
    assert set(drawn) == set(real)
    for name, (indent, code) in drawn.items():
        assert real[name].exit_code == code
        depth = len(real[name].__mro__) - len(errors.HerlBenchError.__mro__)
        assert indent == 4 + 4 * depth, name


def test_an_unknown_name_suggests_near_ones_or_lists_all():
    assert str(errors.UnknownName("task", "gsmk8", ["gsm8k", "bbh"])) == "no task named 'gsmk8': did you mean gsm8k?"
    assert str(errors.UnknownName("task", "zzz", ["gsm8k", "bbh"])) == "no task named 'zzz': choose from bbh, gsm8k"
    assert str(errors.UnknownName("task", "zzz", [])) == "no task named 'zzz': choose from (none installed)"
