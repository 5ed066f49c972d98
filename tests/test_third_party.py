"""The plugin that the README tells a newcomer to write: taken from the README, pip-installed from a folder, found, and trained with."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def from_readme(name):
    """The file that the README shows after naming it."""
    return re.search(rf"`{re.escape(name)}`:\n\n```\w+\n(.*?)^```", README, re.DOTALL | re.MULTILINE)[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The package, as pip installs it."""
    folder, target = tmp_path_factory.mktemp("haiku"), tmp_path_factory.mktemp("site")
    for name in ("herl_haiku.py", "pyproject.toml"):
        (folder / name).write_text(from_readme(name))
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--target", target, folder]
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    return target


def test_it_is_listed_with_its_distribution(cli, site):
    done = cli("ls", "rubrics", paths=[site])
    (line,) = [line for line in done.stdout.splitlines() if line.split()[0] == "haiku"]
    assert line.endswith("[herl-haiku 0.1.0]")
    assert done.stderr == ""
    (plugin,) = [p for p in json.loads(cli("plugins", "--format", "json", paths=[site]).stdout)["plugins"] if p["name"] == "haiku"]
    assert (plugin["distribution"], plugin["gives"]["rubric"], plugin["error"]) == ("herl-haiku", ["haiku"], "")
    assert "haiku" not in cli("ls", "rubrics").stdout, "it is there only where it is installed"


SMALL = ["rollouts_per_step=16", "max_new_tokens=16", "eval_items=8", "save_steps=100"]


@pytest.fixture(scope="module")
def trained(site, checkpoint, tmp_path_factory):
    cwd = tmp_path_factory.mktemp("trained")
    command = [
        sys.executable,
        "-m",
        "herl_bench",
        "run",
        "--task",
        "gsm8k",
        "--set",
        "rubric=haiku",
        "--budget",
        "3k",
        "--data",
        "synthetic",
    ]
    command += ["--model", str(checkpoint), *(word for setting in SMALL for word in ("--set", setting))]
    done = subprocess.run(command, cwd=cwd, env={**os.environ, "PYTHONPATH": str(site)}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done, cwd / "runs" / "gsm8k-herl-s0"


def test_it_trains_with_it(trained):
    done, directory = trained
    assert yaml.safe_load((directory / "config.yaml").read_text())["rubric"] == "haiku"
    rollouts = [json.loads(line) for line in (directory / "rollouts.jsonl").read_text().splitlines()]
    assert rollouts
    for row in rollouts:
        (verdict,) = row["verdicts"]
        assert verdict["criterion"] == "three_lines"
        assert verdict["met"] == (len(row["response"].strip().splitlines()) == 3)
        assert row["reward"] == float(verdict["met"])
    guided = [row for row in rollouts if row["kind"] == "revision"]
    assert guided
    assert all("The poem has three lines." in row["guidance"] for row in guided)
    metrics = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    assert all(set(row["criteria"]) == {"three_lines"} for row in metrics)
    assert "three_lines" in done.stdout


def test_the_manifest_names_the_plugin(trained):
    manifest = json.loads((trained[1] / "manifest.json").read_text())
    assert {"name": "haiku", "distribution": "herl-haiku", "version": "0.1.0", "error": ""} in manifest["plugins"]


def test_every_file_that_the_run_left_is_documented(trained):
    said = (Path(__file__).parent.parent / "docs" / "run-directory.md").read_text()
    documented = re.findall(r"`([\w/<>.-]+)`", said.partition("## `manifest.json`")[0])
    patterns = [re.sub(r"NNNNNN|<stamp>|<task>", ".+", name.rstrip("/")) for name in documented]
    for path in (p for p in trained[1].rglob("*") if p.is_file()):
        name = str(path.relative_to(trained[1]))
        assert any(re.fullmatch(p, n) for p in patterns for n in (name, path.name, name.split("/")[0])), name


def test_without_the_package_the_run_says_what_is_missing(cli, trained):
    done = cli("run", "--resume", trained[1], "--budget", "4k")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("herl-bench: no rubric named 'haiku'")


def test_the_readme_s_rubric_file_trains_too(cli, checkpoint, tmp_path):
    (tmp_path / "terse.yaml").write_text(from_readme("terse.yaml"))
    small = [word for setting in SMALL for word in ("--set", setting)]
    done = cli(
        "run", "--task", "gsm8k", "--set", "rubric=terse.yaml", "--budget", "600", "--data", "synthetic", "--model", checkpoint, *small
    )
    assert done.returncode == 0, done.stderr
    assert "brief" in done.stdout
