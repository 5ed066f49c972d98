"""What a bundle says of its responses against judging them again."""

import os

import pytest
from helpers.commands import run_command
from helpers.entries import SMALL, easier, edit, only, rehash, right, verify


@pytest.mark.parametrize("hashed", [False, True])
def test_a_changed_response_is_named(entry, hashed):
    path, name = only(entry, "samples_*.jsonl")
    edit(path, right)
    if hashed:
        rehash(entry, name)
    problems = verify(entry)
    assert (f"{name}: changed since it was bundled (sha256 differs)" in problems) == (not hashed)
    assert any(line.startswith(f"{name}: gsm8k/") and "re-scored 1.0" in line for line in problems)


def test_a_changed_score_of_a_response_is_named_although_hashed(entry):
    path, name = only(entry, "samples_*.jsonl")

    def better(row):
        if "herl_bench" in row:
            said = row["herl_bench"]["responses"][0]
            said["metrics"] = dict.fromkeys(said["metrics"], 1.0)

    edit(path, better)
    rehash(entry, name)
    assert any("is 1.0, re-scored 0.0" in line for line in verify(entry))


def test_a_changed_number_is_named_although_hashed_and_claimed(entry):
    path, name = only(entry, "results_*.json")
    key = "exact_match,strict-match"

    def better(said):
        said["results"]["gsm8k"][key] = 0.9
        said["herl_bench"]["summary"]["gsm8k"]["metrics"][key]["value"] = 0.9

    edit(path, better)
    rehash(entry, name)
    edit(entry / "bundle.json", lambda said: said["entry"]["scores"]["after"][key].update(value=0.9))
    problems = verify(entry)
    assert f"{name}: metrics {key}: value is 0.9, from the responses 0.0" in problems
    assert f"{name}: results {key} is 0.9, from the responses 0.0" in problems


def test_a_changed_reference_answer_is_named_although_everything_else_agrees(entry):
    """The response is declared right by changing what is asked for, with lm-eval's hashes made anew."""
    path, name = only(entry, "samples_*.jsonl")
    edit(path, easier)
    rehash(entry, name)
    assert any("the problem or its reference answer is not the one of the source" in line for line in verify(entry))


TERSE = """
name: terse
criteria:
  - {name: passes, text: All hidden tests pass., check: humaneval.hidden_tests, weight: 3}
  - {name: brief, text: At most 40 words., check: max_words, with: {words: 40}}
"""


@pytest.mark.long
def test_programs_run_again_and_a_rubric_file_goes_along(tmp_path):
    """A code task with the user's own rubric, which the bundle takes with it."""
    (tmp_path / "terse.yaml").write_text(TERSE)
    small = [
        word for setting in ("rubric=terse.yaml", "rollouts_per_step=8", "eval_items=6") for word in ("--set", setting)
    ]
    done = run_command(
        "run", "--task", "humaneval", "--method", "ppo", "--budget", "600", "--data", "synthetic", *small, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    made = run_command("leaderboard", "bundle", "runs/humaneval-ppo-s0", "-o", "entry", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    (tmp_path / "terse.yaml").unlink()
    entry = tmp_path / "entry"
    assert verify(entry) == []

    path, name = only(entry, "samples_*.jsonl")
    whole = path.read_text()

    def unfinished(row):
        row["resps"] = [["    pass\n"]]
        row["filtered_resps"] = ["    pass\n"]

    edit(path, unfinished)
    rehash(entry, name)
    assert any("is 1.0, re-scored 0.0" in line for line in verify(entry))

    path.write_text(whole)
    rehash(entry, name)
    assert verify(entry) == []
    (entry / "rubric.yaml").write_text(TERSE.replace("words: 40", "words: 1"))
    assert "rubric.yaml: changed since it was bundled (sha256 differs)" in verify(entry)
    rehash(entry, "rubric.yaml")
    assert any("the verdicts on its criteria are others when it is judged again" in line for line in verify(entry))


@pytest.mark.skipif("HERL_BENCH_DATA" not in os.environ, reason="needs the published files: HERL_BENCH_DATA=DIR")
def test_reference_answers_are_checked_against_real_files(place, tmp_path):
    data = os.environ["HERL_BENCH_DATA"]
    small = [word for setting in SMALL for word in ("--set", setting)]
    words = [
        "--task",
        "gsm8k",
        "--method",
        "ppo",
        "--model",
        place / "llama",
        "--data",
        data,
        "--budget",
        "200",
        *small,
    ]
    done = run_command("run", *words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    made = run_command("leaderboard", "bundle", "runs/gsm8k-ppo-s0", "-o", "entry", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert (
        "taken from the bundle itself: pass --data"
        in run_command("leaderboard", "verify", "entry", cwd=tmp_path).stdout
    )
    sound = run_command("leaderboard", "verify", "entry", "--data", data, cwd=tmp_path)
    assert (sound.returncode, sound.stdout) == (0, "entry: verified; every response was judged again\n"), sound.stderr
    path, name = only(tmp_path / "entry", "samples_*.jsonl")
    edit(path, easier)
    rehash(tmp_path / "entry", name)
    forged = run_command("leaderboard", "verify", "entry", "--data", data, cwd=tmp_path)
    assert forged.returncode == 1
    assert "the problem or its reference answer is not the one of the source" in forged.stdout
