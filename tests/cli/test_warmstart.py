from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pluggy
import pytest
from click.testing import CliRunner
from helpers.next_digit import METRIC, RUBRIC, TASK, TEMPLATE

from herl_bench import hookimpl, hookspecs
from herl_bench.cli import cli, run_command
from herl_bench.plugins import Host
from herl_bench.types import HindsightTemplate, Metric, Rubric, Task


class Plugin:
    @hookimpl
    def herl_tasks(self) -> list[Task]:
        return [TASK, dataclasses.replace(TASK, name="worldless", world=None)]

    @hookimpl
    def herl_rubrics(self) -> list[Rubric]:
        return [RUBRIC]

    @hookimpl
    def herl_hindsight_templates(self) -> list[HindsightTemplate]:
        return [TEMPLATE]

    @hookimpl
    def herl_metrics(self) -> list[Metric]:
        return [METRIC]


@pytest.fixture
def host() -> Host:
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(Plugin(), name="next")
    return Host(manager)


def test_command(tmp_path: Path, host: Host) -> None:
    tiny = ["steps=2", "micro_batch_size=4", "hidden=32", "heads=2", "vocab=300", "eval_examples=6", "seed=3"]
    args = [
        "warmstart",
        "--task",
        "next",
        "-o",
        str(tmp_path / "p"),
        "--batch_size",
        "8",
        *(x for s in tiny for x in ("--set", s)),
    ]
    shown = CliRunner().invoke(cli, args, obj=host, catch_exceptions=False)
    assert shown.exit_code == 0
    assert "step 2/2  loss" in shown.output
    assert "repaired, reference" in shown.output
    record = json.loads((tmp_path / "p" / "warmstart.json").read_text())
    assert record["config"]["seed"] == 3
    assert record["config"]["batch_size"] == 8
    assert "learning_rate=0.003" in CliRunner().invoke(cli, ["warmstart", "--list_settings"], obj=host).output


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--task", "nxt"], "no task named 'nxt': did you mean next"),
        (["--task", "worldless"], "has no synthetic world"),
        (["--task", "next", "--set", "layer=2"], "no setting named 'layer': did you mean layers"),
        (["--task", "next", "--steps", "0"], "--steps=0: input should be greater than or equal to 1"),
        (["--task", "next", "--set", "hidden=30"], "hidden 30 must be an even multiple of heads 4"),
        (["--task", "next", "--batch_size", "30"], "batch_size 30 must be a multiple of micro_batch_size 16"),
    ],
)
def test_wrong_words_are_one_line(
    tmp_path: Path, host: Host, args: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run_command(
        lambda: cli.main(["warmstart", "-o", str(tmp_path / "p"), *args], standalone_mode=False, obj=host)
    )
    shown = capsys.readouterr().err
    assert code == 2
    assert message in shown
    assert shown.count("\n") == 1
    assert not (tmp_path / "p").exists()
