"""Every kind of tampering with an entry is named, and none takes more than its share."""

import os
import shutil
import signal

import pytest
from helpers.commands import run_command
from helpers.entries import edit, in_file, in_results, in_rows, rehash, verify

from herl_bench.experiment.verification import find_referee
from herl_bench.leaderboard.verification import find_problems, verify_bundle
from herl_bench.plugins import load_host


def test_an_untouched_entry_is_verified(entry):
    assert verify(entry) == []


@pytest.mark.parametrize(("field", "value"), [("tokens", 10), ("optimizer_steps", 0)])
def test_a_changed_budget_is_named(entry, field, value):
    edit(entry / "bundle.json", lambda said: said["entry"]["spent"].update({field: value}))
    (problem,) = verify(entry)
    assert problem.startswith(f"bundle.json: entry.spent.{field} is {value}, the run's files say ")


def test_a_budget_changed_in_the_log_is_named_although_hashed(entry):
    edit(entry / "metrics.jsonl", lambda row: row.update(tokens=row["tokens"] // 2))
    rehash(entry, "metrics.jsonl")
    assert any(line.startswith("bundle.json: entry.spent.tokens is ") for line in verify(entry))


@pytest.mark.parametrize("hashed", [False, True])
def test_a_changed_manifest_is_named(entry, hashed):
    edit(entry / "manifest.json", lambda said: said["base_model"].update(sha256="0" * 64))
    if hashed:
        rehash(entry, "manifest.json")
    problems = verify(entry)
    assert ("manifest.json: changed since it was bundled (sha256 differs)" in problems) == (not hashed)
    assert any(line.startswith("bundle.json: entry.base_model is ") for line in problems)


FORGED_AND_HASHED = {
    "rows in another order": (in_rows(lambda rows: rows[::-1]), "doc_id is 7, its place is 0"),
    "a row twice": (in_rows(lambda rows: [*rows, rows[0]]), "its rows have the filters"),
    "an item twice": (in_rows(lambda rows: [*rows, *rows[:4]]), "was answered already in line 1"),
    "an item less": (in_rows(lambda rows: rows[4:]), "the items are not those of manifest.json"),
    "a row of one filter less": (in_rows(lambda rows: rows[:1] + rows[2:]), "its rows have the filters"),
    "a row without what we say of it": (in_rows(lambda rows: rows[0].pop("herl_bench") and None), "KeyError"),
    "no number": (in_rows(lambda rows: rows[0].update(exact_match=float("nan"))), "the number NaN is not finite"),
    "a pass rate of a row": (
        in_rows(lambda rows: rows[3].update(criterion_final_answer=0.5)),
        "column criterion_final_answer (none) is 0.5",
    ),
    "an extracted answer": (
        in_rows(lambda rows: rows[0]["herl_bench"]["responses"][0].update(extracted="7")),
        "extracted is '7', re-scored None",
    ),
    "a wrong type": (
        in_rows(lambda rows: rows[0]["herl_bench"]["responses"][0].update(metrics=[])),
        "not as a run writes it",
    ),
    "what lower is better": (
        in_results(lambda said, ours: said["higher_is_better"]["gsm8k"].update(exact_match=False)),
        "higher_is_better is ",
    ),
    "which metric ranks": (
        in_results(lambda said, ours: ours.update(metrics=dict(reversed(ours["metrics"].items())))),
        "metrics are in another order",
    ),
    "lm-eval's standard error": (
        in_results(lambda said, ours: said["results"]["gsm8k"].update({"exact_match_stderr,strict-match": 0.25})),
        "results exact_match_stderr,strict-match is 0.25",
    ),
    "a share": (in_results(lambda said, ours: ours.update(unparsed=0.125)), "unparsed is 0.125, from the responses "),
    "a metric more": (
        in_results(lambda said, ours: ours["metrics"].update(mine={"value": 1.0})),
        "metrics: mine is {'value': 1.0}, from the responses None",
    ),
    "a huge number": (in_results(lambda said, ours: ours["reward"].update(value=1e308)), "reward: value is 1e+308"),
    "another model's results": (
        in_results(lambda said, ours: said.update(model_name="other")),
        "model_name is 'other'",
    ),
    "a rubric": (
        in_file("manifest.json", lambda said: said["rubric"].update(sha256="0" * 64)),
        "another rubric than gsm8k as it is here",
    ),
    "endless tokens": (
        in_file("metrics.jsonl", lambda row: row.update(tokens=float("inf"))),
        "the number Infinity is not finite",
    ),
    "a list": (lambda entry: (entry / "manifest.json").write_text("[" * 100_000), "more than 100 levels deep"),
    "torn JSON": (lambda entry: (entry / "manifest.json").write_text('{"data": '), "not JSON, perhaps cut off"),
    "one file more": (
        lambda entry: (entry / "notes.txt").write_text("listed"),
        "notes.txt: not part of a bundle, although bundle.json lists it",
    ),
    "a later version": (
        in_file("bundle.json", lambda said: said.update(format=99)),
        "format is 99, and this version of herl-bench reads 1",
    ),
    "a path out of the bundle": (
        in_file("bundle.json", lambda said: said["files"].update({"../../x": ""})),
        "../../x: missing",
    ),
    "a terminal's escapes": (
        in_file("bundle.json", lambda said: said["entry"].update(method="\x1b[2J\nverified")),
        "entry.method is '",
    ),
    "false for zero": (
        in_file("bundle.json", lambda said: said["entry"].update(seed=False)),
        "entry.seed is False, the run's files say 0",
    ),
    "a link": (
        lambda entry: (entry / "rubric.yaml").symlink_to("/dev/zero"),
        "rubric.yaml: a link: a bundle holds its files itself",
    ),
    "a pipe": (lambda entry: os.mkfifo(entry / "rubric.yaml"), "rubric.yaml: neither a file nor a folder"),
}


def test_what_is_forged_is_named_in_one_line_although_every_hash_is_made_anew(place, tmp_path):
    host = load_host()
    for number, (what, (tamper, words)) in enumerate(FORGED_AND_HASHED.items()):
        entry = shutil.copytree(place / "entries" / "herl", tmp_path / str(number))
        tamper(entry)
        for path in entry.rglob("*"):
            if path.is_file() and not path.is_symlink() and path.name != "bundle.json":
                rehash(entry, str(path.relative_to(entry)))
        problems = find_problems(entry, find_referee(host, entry, jobs=1))
        assert any(words in line for line in problems), (what, problems)
        assert all(line.isprintable() and len(line) < 500 for line in problems), what


def test_missing_and_foreign_files_are_named(entry):
    (entry / "notes.txt").write_text("hello")
    (entry / "manifest.json").unlink()
    problems = verify(entry)
    assert "manifest.json: missing" in problems
    assert "notes.txt: not part of the bundle (bundle.json does not list it)" in problems


def test_what_is_no_entry_is_one_line(tmp_path):
    done = run_command("leaderboard", "verify", tmp_path, cwd=tmp_path)
    assert done.returncode == 2
    assert "no bundle.json there" in done.stderr


def hang():
    while True:
        pass


@pytest.mark.parametrize(
    ("judge", "seconds", "told"),
    [
        (hang, 0.3, "took more than 0.3 seconds"),
        (lambda: bytearray(1 << 42), 60, "cannot be verified: MemoryError"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), 60, "ended by SIGKILL"),
        (lambda: os._exit(7), 60, "ended by exit code 7"),
    ],
)
def test_whatever_an_entry_makes_happen_is_bounded(judge, seconds, told, tmp_path):
    (problem,), checked = verify_bundle(tmp_path, judge, seconds)
    assert told in problem
    assert not checked
