"""What stands in results files, and reading it back."""

import re

import pytest

from herl_bench.errors import UsageError
from herl_bench.evaluation.result_files import new_stamp, read_problems, read_summary, sanitize_name


def test_a_folder_without_results_is_named(tmp_path):
    with pytest.raises(UsageError, match="nothing was evaluated"):
        read_summary(tmp_path)
    said = [
        "[]",
        '{"herl_bench": {"summary": {"t": "abc"}, "problems": {"t": "abc"}}}',
        '{"herl_bench": {"summary": [], "problems": [1]}}',
    ]
    for text in said:
        (tmp_path / "results_1.json").write_text(text)
        for read in (read_summary, read_problems):
            with pytest.raises(UsageError, match=r"results_1\.json: not a results file"):
                read(tmp_path)


def test_the_last_one_written_is_the_newest_whatever_the_clock_says(tmp_path):
    """Files of a clock that was ahead, one to the second, and names that are no stamps."""
    for name in (
        "results_2999-01-02T03-04-05.678901.json",
        "samples_a_2999-01-02T03-04-06.jsonl",
        "results_2999-99-99T00-00-00.json",
        "results_.json",
    ):
        (tmp_path / name).touch()
    stamp = new_stamp(tmp_path)
    assert stamp == "2999-01-02T03-04-07.000000"
    (tmp_path / f"results_{stamp}.json").touch()
    assert new_stamp(tmp_path) == "2999-01-02T03-04-07.000001"
    assert new_stamp(tmp_path / "nowhere") < "2999"


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("org/m", "org__m"),
        ("/a/b", "__a__b"),
        ("a:b?c", "a__b__c"),
        ("../m", "m"),
        ("./m", "m"),
        ("a/../../m", "m"),
        ("../../x/y.z", "y.z"),
    ],
)
def test_a_model_s_folder_has_a_plain_name(name, folder, tmp_path, monkeypatch):
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path / "deep")
    assert sanitize_name(name) == folder


@pytest.mark.parametrize(("name", "folder"), [(".", "deep"), ("..", "deeper"), ("./", "deep")])
def test_where_one_stands_is_named_by_its_folder(name, folder, tmp_path, monkeypatch):
    place = tmp_path / "deeper" / "deep"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    assert sanitize_name(name) == folder


@pytest.mark.parametrize(
    "there",
    [
        "2999-01-01T00-00-00.000000",
        "2999-01-01T00-00-00",
        "2999-01-01T00-00-00.999999",
        "2999-01-01T00-00-00.5",
        "garbage",
        "9999-12-31T23-59-59.999999",
    ],
)
def test_the_newest_stands_last_even_where_the_clock_was_set_back(there, tmp_path):
    old = tmp_path / f"results_{there}.json"
    old.touch()
    new = tmp_path / f"results_{new_stamp(tmp_path)}.json"
    assert max(new, old) == new or not there.startswith("2999")
    assert re.fullmatch(r"results_\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{6}\.json", new.name)
