"""Real weights answer each task, and their stored answers are scored to the same numbers."""

import json
import os

import pytest

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("answers")]  # one evaluation for all
ITEMS = 8
DATA = ("--data", os.environ.get("HERL_BENCH_DATA", "synthetic"))


@pytest.fixture(scope="module")
def evaluated(smollm2, tmp_path_factory):
    from helpers.commands import run_command

    folder = tmp_path_factory.mktemp("evaluated")
    words = ["--tasks", "gsm8k,humaneval,bbh", "--model", smollm2, "--limit", ITEMS, "--max_new_tokens", "64"]
    done = run_command("eval", *words, *DATA, "--log_samples", "--output_path", folder, cwd=folder, timeout=600)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("task", ["gsm8k", "humaneval", "bbh"])
def test_what_eval_wrote_is_scored_to_the_same_numbers(evaluated, cli, task):
    (results,) = evaluated.rglob("results_*.json")
    (samples,) = evaluated.rglob(f"samples_{task}_*.jsonl")
    told = json.loads(results.read_text())["results"][task]
    rows = [json.loads(line) for line in samples.read_text().splitlines()]
    assert len({row["doc_id"] for row in rows}) == ITEMS  # a row per way to read the answer
    assert all(row["resps"][0][0].strip() for row in rows), "an empty response"
    done = cli("score", samples, "--task", task, *DATA, "--format", "json")
    assert done.returncode == 0, done.stderr
    scored = json.loads(done.stdout)
    assert scored["responses"] == ITEMS
    assert {name: score["value"] for name, score in scored["metrics"].items()}.items() <= told.items()
