"""The plugin in `examples/`: pip-installed from its folder, its own tests run, and a checkpoint trained on its
problems.

Skipped where reasoning-gym is not installed. It is not among the test requirements: it pins other versions than
`constraints.txt`, brings matplotlib, and compiles C. `.ci/run` installs it and runs this test after all others.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.packages import install

pytest.importorskip("reasoning_gym", reason="pip install reasoning-gym to try the example plugin")

FOLDER = Path(__file__).parents[2] / "examples" / "plugins" / "herl-bench-reasoning-gym"


def test_the_example_installs_passes_its_tests_and_trains(cli, checkpoint, tmp_path):
    site = install(tmp_path / "site", FOLDER)
    environment = {**os.environ, "PYTHONPATH": str(site)}
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", FOLDER / "tests"], env=environment, capture_output=True, text=True
    )
    assert tests.returncode == 0, tests.stdout
    assert re.search(r"\d\d passed", tests.stdout)

    (plugin,) = [
        p
        for p in json.loads(cli("plugins", "--format", "json", paths=[site]).stdout)["plugins"]
        if p["name"] == "reasoning_gym"
    ]
    assert plugin["distribution"] == "herl-bench-reasoning-gym"
    assert plugin["gives"]["task"] == plugin["gives"]["rubric"] == plugin["gives"]["template"] == ["reasoning_gym"]

    small = [
        word for setting in ("rollouts_per_step=16", "max_new_tokens=16", "eval_items=8") for word in ("--set", setting)
    ]
    done = cli(
        "run",
        "--task",
        "reasoning_gym",
        "--method",
        "herl",
        "--budget",
        "2k",
        "--model",
        checkpoint,
        *small,
        paths=[site],
    )
    assert done.returncode == 0, done.stderr
    rows = [
        json.loads(line)
        for line in (tmp_path / "runs" / "reasoning_gym-herl-s0" / "rollouts.jsonl").read_text().splitlines()
    ]
    assert {row["kind"] for row in rows} == {"plain", "revision"}
