"""The plugin that the README tells a newcomer to write: taken from the README, pip-installed from a folder, found, and
trained with."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import yaml
from helpers.packages import install

from herl_bench.hindsight import HINT_LEVELS, write_guidance, write_revision, write_revision_prompt
from herl_bench.rubric import CHECKS, judge
from herl_bench.types import ChatTurns, Criterion, Example, HindsightTemplate, Rubric

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TEMPLATES = (ROOT / "docs" / "templates.md").read_text(encoding="utf-8")


def from_readme(name, page=README):
    """The file that the page shows after naming it."""
    return re.search(rf"`{re.escape(name)}`:\n\n```\w+\n(.*?)^```", page, re.DOTALL | re.MULTILINE)[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("haiku")
    for name in ("herl_haiku.py", "pyproject.toml"):
        (folder / name).write_text(from_readme(name))
    return install(tmp_path_factory.mktemp("site"), folder)


def test_it_is_listed_with_its_distribution(cli, site):
    done = cli("ls", "rubrics", paths=[site])
    (line,) = [line for line in done.stdout.splitlines() if line.split()[0] == "haiku"]
    assert line.endswith("[herl-haiku 0.1.0]")
    assert done.stderr == ""
    (plugin,) = [
        p
        for p in json.loads(cli("plugins", "--format", "json", paths=[site]).stdout)["plugins"]
        if p["name"] == "haiku"
    ]
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
        assert row["reward"] == float(verdict["met"] and row["finish"] != "length")
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
    said = (Path(__file__).parents[2] / "docs" / "run-directory.md").read_text()
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
        "run",
        "--task",
        "gsm8k",
        "--set",
        "rubric=terse.yaml",
        "--budget",
        "600",
        "--data",
        "synthetic",
        "--model",
        checkpoint,
        *small,
    )
    assert done.returncode == 0, done.stderr
    assert "brief" in done.stdout


def test_a_package_brings_its_yaml_and_templates_along(cli, tmp_path):
    """The one in docs/templates.md."""
    package = tmp_path / "herl-brief" / "herl_brief"
    package.mkdir(parents=True)
    (package.parent / "pyproject.toml").write_text(from_readme("pyproject.toml", TEMPLATES))
    for name in ("__init__.py", "brief.yaml"):
        (package / name).write_text(from_readme(f"herl_brief/{name}", TEMPLATES))
    for name in ("guidance.j2", "prompt.j2", "talk.j2", "request.j2"):
        (package / name).write_text(from_readme(name, TEMPLATES))
    site = install(tmp_path / "site", package.parent)
    words = [
        "validate",
        "--tasks",
        "gsm8k",
        "--rubric",
        "brief",
        "--template",
        "brief",
        "--data",
        "synthetic",
        "--items",
        "3",
        "--strict",
    ]
    done = cli(*words, paths=[site])
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    (site / "herl_brief" / "guidance.j2").write_text("{{ level }}\n{% for v in unmet %}{{ v.txt }}{% endfor %}")
    done = cli(*words, paths=[site])
    assert (done.returncode, done.stdout.splitlines()[-1]) == (
        1,
        (
            "gsm8k: problem: hindsight template 'brief': guidance, line 2: 'herl_bench.hindsight._Shown object' has no"
            " attribute 'txt'"
        ),
    )
    (site / "herl_brief" / "guidance.j2").write_text("\n\n{% for v in unmet %}{{ v.text }")
    for words in (["plugins"], ["run", "--task", "gsm8k", "--set", "rubric=brief", "--set", "template=brief"]):
        done = cli(*words, paths=[site])
        assert "hindsight template 'brief': guidance, line 3: unexpected '}'" in done.stderr
        assert not (tmp_path / "runs").exists()


def test_the_template_in_the_docs_says_what_they_say():
    template = HindsightTemplate(
        "brief", *(from_readme(name, TEMPLATES).removesuffix("\n") for name in ("guidance.j2", "prompt.j2"))
    )
    words = next(check for check in CHECKS if check.name == "max_words")
    rubric = Rubric("brief", [Criterion("brief", "Use at most 60 words.", partial(words.function, words=60))])
    example, draft = Example("e", "How many?", "4"), "word " * 72
    (judgement,) = judge([example], [draft], rubric)
    said = {level: write_guidance(template, rubric, example, draft, judgement.verdicts, level) for level in HINT_LEVELS}
    assert said == dict(
        zip(HINT_LEVELS, ["- Use at most 60 words.", *["- Use at most 60 words. Seen: 72 words."] * 2], strict=True)
    )
    assert all(f"```\n{line}\n```" in TEMPLATES or f"`{line}`" in TEMPLATES for line in said.values())
    assert (
        write_revision_prompt(template, example, said["evidence"], "Four.")
        == "How many?\n\nDraft: Four.\n\nTo do better:\n- Use at most 60 words. Seen: 72 words.\n\nAnswer again:"
    )
    assert write_revision_prompt(template, example, "x", None) == "How many?\n\nTo do better:\nx\n\nAnswer again:"
    talking = replace(
        template, turns=ChatTurns(from_readme("talk.j2", TEMPLATES), from_readme("request.j2", TEMPLATES))
    )
    told = write_guidance(talking, rubric, example, draft, judgement.verdicts, "evidence", form="without_draft")
    (turn,) = write_revision(talking, example, told, draft, "without_draft")
    assert f"```\n{turn.text}\n```" in TEMPLATES
    _, _, request = write_revision(talking, example, told, draft, "cut_draft", 5)
    assert request.text.endswith("Write the whole answer, with what comes next done right.")
