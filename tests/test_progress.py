"""What is shown while a run or an evaluation goes on."""

from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from herl_bench import progress
from herl_bench.budget import Budget
from herl_bench.progress import LiveProgress, PlainProgress, open_bar


def make_row(step: int, tokens: int, seconds: float) -> dict[str, Any]:
    return {"step": step, "tokens": tokens, "seconds": {"sample": seconds / 2, "learn": seconds / 2}}


def write(tokens: int) -> list[Any]:
    return [SimpleNamespace(ids=(5,) * tokens)]


def test_the_time_left_goes_by_the_steps_alone(capsys: pytest.CaptureFixture[str]):
    """Not by what came before them: a resumed run's tokens, read after the display opened, and an evaluation."""
    run: Any = SimpleNamespace(budget=Budget(1000))
    display = PlainProgress(run)
    display.on_step(make_row(8, 950, 1000.0), write(50))
    display.on_step(make_row(9, 980, 0.0), write(30))
    first, second = (line.rpartition("  ")[2] for line in capsys.readouterr().out.splitlines())
    assert first == "ETA 16:40"
    assert second == "ETA 4:10"


def test_the_time_left_is_unknown_until_a_step_says_how_long_it_took(capsys: pytest.CaptureFixture[str]):
    run: Any = SimpleNamespace(budget=Budget(1000))
    PlainProgress(run).on_step({"step": 1, "tokens": 100}, write(100))
    assert capsys.readouterr().out.endswith("ETA ?\n")


def test_a_terminal_shows_the_same_time_left():
    run: Any = SimpleNamespace(budget=Budget(1000))
    display = LiveProgress(run)
    display.console = Console(record=True, width=120)
    display.on_step(make_row(8, 950, 1000.0), write(50))
    display.console.print(display.live.renderable)
    assert "ETA 16:40" in display.console.export_text()


def test_an_evaluation_is_told_of_at_its_beginning_and_then_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    run: Any = SimpleNamespace(budget=Budget(1000))
    display = PlainProgress(run)
    for done in range(3):
        display.on_eval("before", done, 4)
    assert capsys.readouterr().out == "evaluation before: 0 of 4\n"
    monkeypatch.setattr(progress, "PAUSE", 0.0)
    for done in (3, 4):
        display.on_eval("before", done, 4)
    assert capsys.readouterr().out == "evaluation before: 3 of 4\n"


def test_lines_stand_in_for_a_bar_only_where_they_are_asked_for(capsys: pytest.CaptureFixture[str]):
    for wanted in (None, False, True):
        with open_bar("sums", 2, wanted) as advance:
            advance(0)
            advance(2)
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err == ("sums: 0 of 2\n" if wanted else "")
