"""The script for a machine with an accelerator, rehearsed on the CPU: parts, results, a second call that goes on, and
the page that shows them."""

import importlib.metadata
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from helpers.real_models import find_model
from setting_up import write_entry_points

from herl_bench.testing import tiny_checkpoint

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks" / "gpu"
PAGE = ROOT / "docs" / "gpu.md"
NAME = "Tiny-Chat"
PROBLEM = "Ann has {} apples and buys {} more. How many apples does she have?"
SOLUTION = "She has {a}+{b} = <<{a}+{b}={c}>>{c} apples.\n#### {c}"


@pytest.fixture
def rehearse(tmp_path):
    models, data = tmp_path / "models", tmp_path / "data"
    tiny_checkpoint(models / NAME.lower(), chat_template=True)
    (data / "gsm8k").mkdir(parents=True)
    for split, first in (("train", 10), ("test", 40)):
        rows = [
            {"question": PROBLEM.format(a, a + 3), "answer": SOLUTION.format(a=a, b=a + 3, c=2 * a + 3)}
            for a in range(first, first + 20)
        ]
        (data / "gsm8k" / f"{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(parts, *more, minutes=10):
        words = ["--models", models, "--names", NAME, "--data", data, "--tasks", "gsm8k", "--tiny", "--parts", parts]
        where = ["--work", tmp_path / "work", "--results", tmp_path / "results" / "gpu", "--minutes", minutes]
        return subprocess.run(
            [sys.executable, *map(str, [FOLDER / "measure.py", *words, *where, *more])],
            capture_output=True,
            text=True,
            timeout=1800,
            cwd=tmp_path,
        )

    run.results = tmp_path / "results"
    run.read = lambda part: json.loads((run.results / "gpu" / f"{part}.json").read_text())
    return run


def test_the_working_tree_alone_has_the_tasks(tmp_path):
    write_entry_points(ROOT, tmp_path)
    (found,) = importlib.metadata.distributions(path=[str(tmp_path)])
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (found.metadata["Name"], found.version) == (project["name"], project["version"])
    named = {(point.group, point.name): point.value for point in found.entry_points}
    told = {(group, name): value for group, points in project["entry-points"].items() for name, value in points.items()}
    assert named == told


def test_a_model_is_found_by_how_its_name_begins(tmp_path):
    assert find_model("Some-1B", tmp_path) is None
    (tmp_path / "some-1b").mkdir()
    assert find_model("Some-1B", tmp_path) is None  # holds no checkpoint
    file = tmp_path / "some-1b-q4_k_m.gguf"
    file.touch()
    assert find_model("Some-1B", tmp_path) == file
    (tmp_path / "some-1b" / "config.json").touch()
    assert find_model("Some-1B", tmp_path) == tmp_path / "some-1b"


def write_page(tmp_path, *words):
    page = tmp_path / "gpu.md"
    shutil.copyfile(PAGE, page)
    subprocess.run([sys.executable, FOLDER / "page.py", "--page", page, *words], check=True, timeout=60)
    return page.read_text()


def test_the_page_is_what_the_results_say(tmp_path):
    assert write_page(tmp_path) == PAGE.read_text()


def test_a_second_call_measures_what_is_missing(rehearse):
    done = rehearse("decode")
    assert done.returncode == 0, done.stderr
    found = rehearse.read("decode")
    ((name, measured),) = found["measured"].items()
    assert name == f"{NAME}, bfloat16, 2 rows"
    assert measured["tokens_per_s"] > 0
    assert measured["bytes_per_parameter"] > 4
    assert found["machine"]["device"] == "cpu"
    assert found["machine"]["versions"]["herl-bench"] == importlib.metadata.version("herl-bench")

    again = rehearse("decode")
    assert again.returncode == 0, again.stderr
    assert name not in again.stdout
    assert rehearse.read("decode") == found


@pytest.mark.long
def test_every_part_gives_its_numbers(rehearse, tmp_path):
    done = rehearse("determinism,decode,memory,guidance,learning", minutes=60)
    assert done.returncode == 0, done.stderr
    parts = {part: rehearse.read(part)["measured"] for part in ("determinism", "memory", "guidance", "learning")}
    measured = [each for part in parts.values() for each in part.values()]
    assert not [each for each in measured if {"failed", "stopped"} & set(each)], measured
    as_it_is, exact = parts["determinism"].values()
    assert as_it_is["same_bytes"]
    assert exact["same_bytes"]  # on a CPU
    assert exact["weights_moved"] > 0
    assert [name.split(", ")[1:] for name in parts["memory"]] == [
        ["ppo", "full", "bfloat16"],
        ["herl", "LoRA 16", "bfloat16"],
        ["grpo", "full", "float32"],
    ]
    assert all(each["bytes_per_parameter"] > 0 and each["tokens_per_s"] > 0 for each in parts["memory"].values())
    (gap,) = parts["guidance"].values()
    assert {"plain@0.7", "with_draft:evidence@0.7"} <= set(gap["arms"])
    ppo, grpo = parts["learning"].values()
    assert ppo["after"]["metric"] == grpo["after"]["metric"] == "exact_match,strict-match"
    shown = write_page(tmp_path, "--results", rehearse.results)
    assert all(f"| {name} | " in shown for part in parts.values() for name in part)
