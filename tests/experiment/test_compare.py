"""Comparing as a call: a real sweep of two short runs, in a thread beside a running event loop, and what it gives."""

import asyncio
import math
import re
from pathlib import Path
from typing import Any

import pytest
from helpers.tiny_sweep import SETTINGS

from herl_bench.comparison.schema import from_json
from herl_bench.errors import UnknownName, UsageError
from herl_bench.experiment.compare import Comparison, compare
from herl_bench.runs import Run
from herl_bench.settings import parse_settings
from herl_bench.testing import tiny_checkpoint


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("comparison")
    values = parse_settings({}, SETTINGS, None)
    return {
        "task": "gsm8k",
        "methods": ["ppo", "herl"],
        "seeds": [3],
        "budget": 400,
        "data": "synthetic",
        "model": str(tiny_checkpoint(folder / "model")),
        "output_dir": folder / "out",
        **values.run,
        **values.method,
    }


@pytest.fixture(scope="module")
def found(asked: dict[str, Any]) -> Comparison:
    """Made in a thread, where no signal can be caught, while an event loop runs."""
    return asyncio.run(asyncio.to_thread(lambda: compare(**asked)))


def test_what_is_missing_is_run_and_compared(found: Comparison, asked: dict[str, Any]):
    assert [(run.arm, run.seed) for run in found.runs] == [("ppo", 3), ("herl", 3)]
    assert found.folder == asked["output_dir"]
    assert from_json((found.folder / "compare.json").read_text()).contrasts == found.contrasts
    assert "Not enough seeds to compare herl and ppo" in (found.folder / "report.html").read_text()


def test_a_second_call_runs_nothing_even_inside_an_event_loop(
    found: Comparison, asked: dict[str, Any], capfd: pytest.CaptureFixture[str]
):
    async def call() -> Comparison:
        return compare(**asked, progress=True)

    before = {path: path.stat().st_mtime_ns for path in (asked["output_dir"] / "runs").rglob("*")}
    again = asyncio.run(call())
    assert (again.contrasts, again.arm_scores) == (found.contrasts, found.arm_scores)
    assert before == {path: path.stat().st_mtime_ns for path in (asked["output_dir"] / "runs").rglob("*")}
    assert capfd.readouterr() == ("", "")


def test_runs_and_their_folders_are_compared_alike(found: Comparison, asked: dict[str, Any], tmp_path: Path):
    ppo, herl = (asked["output_dir"] / "runs" / f"gsm8k-{method}-s3" for method in ("ppo", "herl"))
    again = compare([Run(herl), str(ppo)])
    assert (again.baseline, again.folder, again.contrasts) == ("ppo", None, found.contrasts)
    page = again.save(tmp_path)
    assert page.read_text() == again.report
    assert from_json((tmp_path / "compare.json").read_text()).arm_scores == again.arm_scores
    answers = compare([ppo / "eval" / "after", herl / "eval" / "after"], baseline=str(herl / "eval" / "after"))
    assert answers.contrasts[0].difference.value == pytest.approx(-(found.contrasts[0].difference.value or 0.0))


def test_it_shows_itself_in_words_as_a_table_and_as_a_frame(found: Comparison):
    ppo, herl = found.rows
    assert ppo["difference"] is None
    assert herl["difference"] == pytest.approx(herl["score"] - ppo["score"])
    assert herl["verdict"] == "not enough seeds"
    assert herl["gain"] == pytest.approx(herl["score"] - herl["before"])
    words = repr(found)
    assert words.splitlines()[1].startswith("Not enough seeds to compare herl and ppo on gsm8k")
    assert f"gsm8k  ppo  {ppo['score']:.3f}" in words
    html = found._repr_html_()
    assert html.count("<tr>") == 3
    assert "<script" not in html
    frame = pytest.importorskip("pandas") and found.to_pandas()
    assert list(frame["arm"]) == ["ppo", "herl"]
    assert math.isclose(frame["score"][1], herl["score"])


def test_families_are_means_over_their_items(found: Comparison):
    items, (run, _) = found.tasks[0].items, found.runs
    for row in found.families():
        own = [run.after.outcomes[i] for i, item in enumerate(items) if item.family == row["family"]]
        assert row["ppo"] == pytest.approx(sum(value or 0.0 for value in own) / len(own))
        assert row["planted"] == any(item.planted for item in items if item.family == row["family"])
    assert {row["family"] for row in found.families("gsm8k")} == {item.family for item in items}


def test_what_a_model_is_called_cannot_act_on_a_notebook(found: Comparison):
    from dataclasses import replace

    scores = tuple(replace(score, arm="<img src=x onerror=alert(1)>") for score in found.arm_scores)
    html = replace(found, arm_scores=scores, verdicts=("<b>\x1b[2J",))._repr_html_()
    assert "<img" not in html
    assert "<b>" not in html
    assert "\x1b" not in html


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"task": "gsm8k", "methods": "ppo"}, "one arm is nothing to compare"),
        ({"task": "gsm8k", "methods": "ppo,herk"}, "did you mean herl"),
        ({"task": "gsm8k", "methods": ["ppo", "herl"], "seeds": "x"}, "write how many (5), or which"),
        ({"task": "gsm8k", "methods": ["ppo", "herl"], "learning_rat": 1}, "did you mean learning_rate"),
        ({"methods": "ppo,herl"}, "--task is missing: choose from"),
        ({"runs": ["nowhere"]}, "nowhere: no such file or folder"),
        ({"runs": ["nowhere"], "methods": "ppo"}, "not both"),
        ({"runs": ["nowhere"], "budget": "9k"}, "not both"),
        ({"runs": [".", ".."], "metric": ["a", "b", "c"]}, "neither a run nor answers"),
    ],
)
def test_what_cannot_be_done_is_one_clear_line(given: dict[str, Any], told: str, tmp_path: Path, monkeypatch: Any):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=re.escape(told)) as refused:
        compare(**given)
    assert "\n" not in str(refused.value)
    assert list(tmp_path.iterdir()) == []


def test_options_win_over_a_grid_given_as_a_mapping(tmp_path: Path):
    grid = {"tasks": "gsm8k", "methods": ["ppo", "herl"], "settings": {"budget": [1, 2]}}
    with pytest.raises(UsageError, match="not a fair comparison: budget: ppo budget=1 has 1"):
        compare(grid=grid, output_dir=tmp_path)
    with pytest.raises(UnknownName, match="no arm named 'x'"):
        compare(grid=grid, budget="9k", baseline="x", output_dir=tmp_path)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"runs": []}, "runs: an empty list: name two or more"),
        ({"task": "gsm8k", "methods": "ppo", "jobs": 0}, "jobs=0: how many runs at a time"),
        ({"task": "gsm8k", "methods": "ppo", "margin": "x"}, "margin=x: write a number"),
    ],
)
def test_what_cannot_be_meant_is_one_line(given, line):
    with pytest.raises(UsageError, match=line):
        compare(**given)
