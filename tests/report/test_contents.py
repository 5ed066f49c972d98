"""What a page holds, read from a folder."""

import dataclasses

import pytest
from helpers.invented_comparison import a_comparison

from herl_bench.comparison.schema import to_json
from herl_bench.errors import UsageError
from herl_bench.report.contents import describe_comparison, read_contents


def test_a_comparison_lists_every_flip(tmp_path):
    comparison = a_comparison(flips=6)
    (tmp_path / "compare.json").write_text(to_json(comparison))
    for place in (tmp_path, tmp_path / "compare.json"):
        contents = read_contents(place)
        assert contents == describe_comparison(comparison)
        assert [pair.state for pair in contents.pairs] == ["broken", "fixed", "fixed"] * 2
        assert contents.groups == {"herl against ppo": ("ppo", "herl")}
        assert contents.kicker == "ppo and herl on gsm8k · 3 seeds · 100,000 generated tokens each"


def test_answers_that_nobody_trained_for_have_no_seeds():
    contents = describe_comparison(dataclasses.replace(a_comparison(), runs=()))
    assert contents.kicker == "ppo and herl on gsm8k · sets of answers to the same items"
    assert contents.items_note == "Items that one of the two got right and the other wrong."


def test_another_folder_is_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"neither a run nor a comparison: name a folder with a config"):
        read_contents(tmp_path)
